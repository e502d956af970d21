//! A link that is left to the real linker: what is said of it, and this process becomes the linker.
//! Knows nothing of why.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::{Ending, Link, write_stats};
use crate::observe::stats::LinkMode;
use crate::route::Route;
use crate::settings::Mode;

impl Link {
    /// Leaves the link to the real linker, the user's command line as it came.
    pub(super) fn give_up(mut self, route: Route) -> Result<Ending, String> {
        let distribution_wanted = self.settings.mode == Mode::Distributed;
        let (mode, reason, refused) = match route {
            Route::Passthrough(reason) => (LinkMode::Passthrough, reason.to_owned(), false),
            Route::InProcess(reason) => (LinkMode::InProcess, reason, distribution_wanted),
            Route::Doomed(reason) => (LinkMode::InProcess, reason, false),
        };
        tracing::info!(?mode, reason, "left to the linker");
        if mode == LinkMode::InProcess && self.settings.are_for_backends() {
            tracing::warn!("{reason}: left to in-process LTO, which heeds no flags, native or post-backend setting");
        }
        self.stats.mode = mode;
        self.stats.reason = Some(reason.clone());
        if refused {
            self.stats.exit = Some(1);
        }
        if mode == LinkMode::Passthrough
            && let Some(ending) = self.renamed()
        {
            write_stats(&mut self.stats, &self.settings);
            return Ok(ending);
        }
        write_stats(&mut self.stats, &self.settings);
        if refused {
            return Err(format!(
                "this link would go in-process: {reason}\n>>> THINLTO_LD_MODE=distributed asks for an error instead; \
                 unset it to let {} make the link",
                self.linker_name()
            ));
        }
        let mut command = match (mode, self.settings.mode) {
            (LinkMode::Passthrough, Mode::Auto | Mode::Distributed) => {
                self.linker.command_for(self.invocation.inputs.len())
            }
            // Just as it is without us, and so is all that it starts (a distributor).
            _ => self.linker.command(),
        };
        // Those of our options that came by a response file can only be taken out by expanding it.
        let on_the_line = self.arguments.iter().filter(|word| is_own(word)).count();
        match on_the_line == self.invocation.own.len() {
            true => command.args(self.arguments.iter().filter(|word| !is_own(word))),
            false => command.args(self.invocation.words()),
        };
        exec(command)
    }
}

/// Whether a word of the command line is for us.
pub(super) fn is_own(word: &OsStr) -> bool {
    let word = word.as_encoded_bytes();
    word.starts_with(b"--thinlto-ld-") || word.starts_with(b"-thinlto-ld-")
}

/// Becomes the linker.
pub(super) fn exec(mut linker: Command) -> Result<Ending, String> {
    let error = linker.exec();
    Err(format!(
        "cannot run {}: {error}",
        Path::new(linker.get_program()).display()
    ))
}
