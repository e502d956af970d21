//! A `-r` link of native objects alone, made with sections renamed: the user's inputs are not touched, and what comes of it is
//! what the real linker makes. Knows nothing of how that is done, nor of bitcode.

use std::io::{self, Write};
use std::process::Stdio;
use std::time::Instant;

use super::{Ending, Link};
use crate::cache::Cache;
use crate::children::Children;
use crate::cmdline::OutputKind;
use crate::color::Color;
use crate::observe::stats::{OutputState, milliseconds};
use crate::relocatable::{Kept, Renamed};
use crate::response;
use crate::say;
use crate::settings::Mode;
use crate::staging::Staging;
use crate::threads;

/// Why the link is not made.
enum Unmade {
    /// It is to be made of the objects as they are.
    Kept(Kept),
    /// A signal came first.
    Interrupted(i32),
}

impl From<Kept> for Unmade {
    fn from(kept: Kept) -> Unmade {
        Unmade::Kept(kept)
    }
}

impl Link {
    /// Makes the link so where that pays; none where it is still to be made.
    pub(super) fn renamed(&mut self) -> Option<Ending> {
        let is_asked = self.invocation.kind == OutputKind::Relocatable && self.settings.mode != Mode::InProcess;
        if !is_asked || self.invocation.foreign || self.invocation.informational {
            return None;
        }
        let began = Instant::now();
        match self.try_renamed() {
            Ok(count) => {
                self.stats.relocatable = Some(Ok(count).into());
                self.stats.output_state = Some(OutputState::Linked);
                self.stats.ms.final_link = Some(milliseconds(began.elapsed()));
                self.stats.exit = Some(0);
                Some(Ending::Exit(0))
            }
            Err(Unmade::Kept(kept)) => {
                self.stats.relocatable = Some(Err(kept).into());
                None
            }
            Err(Unmade::Interrupted(signal)) => Some(Ending::Signal(signal)),
        }
    }

    fn try_renamed(&self) -> Result<usize, Unmade> {
        threads::pool().map_err(|error| Kept::Staging(error.to_string()))?;
        let renamed = Renamed::of(&self.invocation, self.settings.relocatable)?;
        let not_staged = |error: io::Error| Kept::Staging(error.to_string());
        let children = Children::watch().map_err(not_staged)?;
        let cache = Cache::folders(&self.settings, &self.invocation).into_iter().next();
        let staging = Staging::beside(cache.as_deref()).map_err(|(_, error)| not_staged(error))?;
        let staged = renamed.stage(&staging)?;
        let mut words = staged.words.clone();
        words.push(Color::of(&self.invocation).word().into());
        let words = response::shorten(words, &staging.path("link.rsp")).map_err(not_staged)?;
        let mut command = self.linker.command_for(self.invocation.inputs.len());
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = children.spawn(&mut command).and_then(|running| running.output());
        if let Some(signal) = children.interrupted() {
            return Err(Unmade::Interrupted(signal));
        }
        let output = output.map_err(not_staged)?;
        let count = staged.finish(&output)?;
        // Reports that lld dies of not writing are of options with which nothing is renamed.
        let _ = say::answer(&output.stdout);
        let _ = say::Aside.write_all(&output.stderr);
        Ok(count)
    }
}
