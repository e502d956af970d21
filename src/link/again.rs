//! A link that was made before: looked for, put back where nothing has changed, and otherwise remembered for the next time.
//! Knows nothing of how a link is made, nor of what shows that nothing has changed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::{Ending, Link, lost, version_memo, write_stats};
use crate::backend::Compiled;
use crate::cache::{Cache, Counts};
use crate::cmdline::{Invocation, Item};
use crate::final_link::Finished;
use crate::final_link::dependencies::without_dots;
use crate::inputs::Inputs;
use crate::native::Left;
use crate::observe::stats::{LinkMode, OutputState, milliseconds};
use crate::say;
use crate::settings::Unchanged;
use crate::toolchain::Clang;
use crate::unchanged::{Identity, Made, Replay};

impl Link {
    /// What names this link among those made before, where it may be put back instead of made again.
    pub(super) fn identity(&self) -> Option<Identity> {
        let settings = &self.settings;
        if !settings.cache || settings.unchanged == Unchanged::Relink {
            return None;
        }
        Identity::of(&self.arguments, &self.invocation, settings, &self.linker)
    }

    /// Puts the link back as it was made, if it was and nothing has changed since.
    pub(super) fn restore(&mut self, identity: &Identity) -> Option<Replay> {
        let folders = Cache::folders(&self.settings, &self.invocation);
        if !folders.iter().any(|folder| identity.may_be_in(folder)) {
            return None;
        }
        let cache = Cache::for_link(&self.settings, &self.invocation).0?;
        let clang = Clang::find(&self.linker, &self.settings, &version_memo()).ok()?;
        let replay = identity.restore(&cache, &clang)?;
        Cache::use_entries(&replay.kept);
        // As many backends as did not run.
        cache.count(Counts {
            hits: replay.modules as u64,
            ..Counts::default()
        });
        self.stats.clang = Some(clang.path.display().to_string());
        self.stats.llvm = Some(clang.version.to_string());
        say::aside(cache.prune_users(0));
        cache.tidy();
        Some(replay)
    }

    /// Says what the link said when it was made.
    pub(super) fn replay(mut self, replay: &Replay, began: Instant) -> Result<Ending, String> {
        let passed_on = say::answer(&replay.stdout);
        say::aside(&replay.stderr);
        let ending = lost::ending(&self.invocation, &passed_on).unwrap_or(Ending::Exit(0));
        self.stats.mode = LinkMode::Distributed;
        self.stats.output_state = Some(OutputState::Restored);
        (self.stats.inputs, self.stats.modules) = (replay.inputs, replay.modules);
        self.stats.backends.cached_ms = replay.compiling_ms;
        self.stats.ms.scan = milliseconds(began.elapsed());
        self.stats.exit = ending.status();
        write_stats(&mut self.stats, &self.settings);
        Ok(ending)
    }

    /// Writes down what was linked of what, to put it back where nothing has changed.
    pub(super) fn remember(
        &self,
        identity: &Identity,
        cache: &Cache,
        (inputs, opened): (&Inputs, SystemTime),
        clang: &Clang,
        (compiled, left): (Compiled, Vec<Left>),
        finished: Finished,
    ) {
        let Some((mut others, named_by_assembly)) = finished.read.zip(compiled.files) else {
            tracing::debug!("not remembered: what it read cannot be told");
            return;
        };
        others.extend(named_by_assembly);
        let (mut read, mut absent) = (inputs.files(), inputs.absent.clone());
        for (path, stamp) in compiled.looks {
            match stamp {
                Some(stamp) => read.push((path, stamp)),
                None => absent.push(path),
            }
        }
        let made = Made {
            read,
            others,
            absent,
            sides: compiled.sides,
            left,
            tools: (&self.linker, clang),
            began: opened,
            replay: Replay {
                inputs: self.stats.inputs,
                modules: self.stats.modules,
                compiling_ms: self.stats.backends.run_ms + self.stats.backends.cached_ms,
                stdout: finished.stdout,
                stderr: finished.stderr,
                kept: cache.users_entries(),
            },
        };
        identity.remember(cache, &self.invocation, made);
    }
}

/// The files besides the inputs that the linker has read: those its options name. None where it has read a file that
/// nothing names: then it was searched for, and where else it was looked for nobody knows.
pub(super) fn named_reads(
    invocation: &Invocation,
    inputs: &Inputs,
    read: Option<Vec<PathBuf>>,
) -> Option<Vec<PathBuf>> {
    let known: HashSet<PathBuf> = inputs.files().iter().map(|(path, _)| without_dots(path)).collect();
    let mut read = read?;
    read.retain(|path| !known.contains(path));
    let named: HashSet<PathBuf> = invocation
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Option { value: Some(value), .. } => Some(without_dots(Path::new(value))),
            _ => None,
        })
        .collect();
    read.iter().all(|path| named.contains(path)).then_some(read)
}
