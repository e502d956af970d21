//! Where the backends that must run do: here, here behind a cache that is shared, or at a server and here at once.
//! Knows nothing of which those are, nor of what is made of their words.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::away::{self, Ahead, By, Ended, Farm, Lookups, Ran, Sharing, Whose};
use super::engine::Chosen;
use super::forkserver::{ForkServer, NoServer};
use super::launcher::Launcher;
use super::prepare::{self, Prepared};
use super::process::{self, Engine, Failure};
use super::{BackendError, Backends, OBJECT, Results};
use crate::observe::stats;
use crate::observe::timeline::timed;
use crate::schedule::shared::{Here, Line, Shared, Side};
use crate::schedule::{self, Next};
use crate::settings::remote::Local;
use crate::staging::Staging;

impl Backends<'_> {
    /// Compiles these modules here, once `stage` has put in place what they read.
    pub(super) fn run_here(
        &mut self,
        stage: impl Fn(&Backends<'_>, &[Prepared], &[usize]) -> Result<(), BackendError> + Sync,
        prepared: &[Prepared],
        waiting: &[usize],
        results: &mut Results,
        sharing: Option<&Sharing>,
        counts: &mut stats::Backends,
    ) -> Result<(), BackendError> {
        let weights: Vec<u64> = waiting.iter().map(|module| prepared[*module].weight).collect();
        let server = self.server.take();
        // clang is started while files are put in place for it, and asked whether it takes the options.
        let launcher = self.launcher(prepared, waiting, counts);
        let (chosen, staged) = rayon::join(
            || self.engine(launcher, server, waiting.len()),
            || stage(self, prepared, waiting),
        );
        staged?;
        chosen.tell(waiting.len(), counts);
        let engine = chosen.engine;
        let compile = |module: usize| {
            let said = process::run(&engine, &self.clang.path, &prepared[module].backend, self.children)?;
            if let Some(sharing) = sharing {
                sharing.offer(self, module, &prepared[module], &said);
            }
            self.done(&prepared[module], said)
        };
        schedule::run(
            &weights,
            &self.slots,
            |running| {
                if let Some(timeline) = self.timeline {
                    timeline.allow(running);
                }
                engine.allow(running)
            },
            |job| timed(self.timeline, waiting[job], || compile(waiting[job])),
            |job, result| {
                let ended = result.map(|stderr| Ran { stderr, by: By::Here });
                results.take(waiting[job], ended, counts)
            },
        );
        Ok(())
    }

    /// Takes what a shared cache has, and compiles the rest here.
    pub(super) fn run_behind_a_cache(
        &mut self,
        remote: Ahead,
        prepared: &[Prepared],
        waiting: &[usize],
        results: &mut Results,
        sharing: &Sharing,
        counts: &mut stats::Backends,
    ) -> Result<(), BackendError> {
        prepare::stage_modules(self, prepared, waiting)?;
        let taken = Mutex::new(Vec::new());
        let lookups = Lookups {
            link: self,
            prepared,
            sharing,
        };
        lookups.take(remote, waiting, |module, ended| {
            taken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((module, ended));
        });
        let taken = taken.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (module, ended) in taken {
            if results.take(module, ended, counts) == Next::Stop {
                return Ok(());
            }
        }
        let left: Vec<usize> = waiting
            .iter()
            .copied()
            .filter(|module| results.done[*module].is_none())
            .collect();
        self.run_here(prepare::stage_indexes, prepared, &left, results, Some(sharing), counts)
    }

    /// Has a server execute these modules' backends, and compiles here as well.
    pub(super) fn run_shared(
        &mut self,
        remote: Ahead,
        prepared: &[Prepared],
        waiting: &[usize],
        results: &mut Results,
        sharing: &Sharing,
        counts: &mut stats::Backends,
    ) -> Result<(), BackendError> {
        let weights: Vec<u64> = waiting.iter().map(|module| prepared[*module].weight).collect();
        prepare::stage_modules(self, prepared, waiting)?;
        let taken: Vec<AtomicBool> = prepared.iter().map(|_| AtomicBool::new(false)).collect();
        let here = match remote.local() {
            Local::On => Here::All,
            Local::Off => Here::Refused,
        };
        let launcher = self.launcher(prepared, waiting, counts);
        let (server, chosen) = (Mutex::new(self.server.take()), OnceLock::new());
        // Nothing may have to run here at all.
        let engine_here = || {
            let server = || server.lock().unwrap_or_else(PoisonError::into_inner).take();
            let choose = || self.engine(launcher.clone(), server(), waiting.len());
            &chosen.get_or_init(choose).engine
        };
        let line = Line::new();
        let (farm, inbox) = Farm::new(self, (prepared, waiting), (sharing, &taken), &remote, line.tell());
        let ranks = prepare::ranks(self);
        let shared = Shared {
            weights: &weights,
            slots: &self.slots,
            here,
            elsewhere: &farm,
            allow: &|running| {
                if let Some(timeline) = self.timeline {
                    timeline.allow(running);
                }
                engine_here().allow(running);
            },
            run: |job: usize| {
                let module = waiting[job];
                timed(self.timeline, module, || {
                    self.compile_beside(engine_here(), prepared, module, &taken[module], sharing, &ranks)
                })
            },
            halt: &|| self.children.kill(),
            interrupted: &|| self.children.interrupted().is_some(),
        };
        counts.raced = std::thread::scope(|scope| {
            let farm = &farm;
            // Whatever ends what is here: else it would be waited for for ever.
            let _ends = farm.ends();
            scope.spawn(move || farm.attend(remote, inbox));
            shared.run(line, |job, ended, side| {
                if side == Side::Here {
                    sharing.ran_here(waiting[job]);
                }
                results.take(waiting[job], ended, counts)
            })
        });
        if let Some(chosen) = chosen.get() {
            chosen.tell(waiting.len(), counts);
        }
        counts.engine = Some("remote");
        Ok(())
    }

    /// Compiles one module that may be compiled elsewhere too; none where its object has come from there first.
    fn compile_beside(
        &self,
        engine: &Engine,
        prepared: &[Prepared],
        module: usize,
        taken: &AtomicBool,
        sharing: &Sharing,
        ranks: &HashMap<&[u8], usize>,
    ) -> Option<Ended> {
        let object = prepared[module].object.path();
        let is_taken = || taken.load(Ordering::Acquire);
        if is_taken() {
            return None;
        }
        let compile = || {
            let staged = prepare::stage_index(self, prepared, module, ranks);
            staged.map_err(|error| Failure::Unprepared(error.to_string()))?;
            // What writes more than its object runs nowhere else, and names those files by it.
            match prepared[module].travels() {
                false => process::run(engine, &self.clang.path, &prepared[module].backend, self.children),
                true => {
                    let beside = away::beside(object, "here");
                    let backend = prepared[module].backend.leaving(&beside);
                    let said = process::run(engine, &self.clang.path, &backend, self.children)?;
                    Ok(said.replace(&*beside.to_string_lossy(), &object.to_string_lossy()))
                }
            }
        };
        let said = match compile() {
            Ok(said) => said,
            Err(_) if is_taken() => return None,
            Err(failure) => return Some(Err(failure)),
        };
        if taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        if prepared[module].travels()
            && let Err(error) = std::fs::rename(away::beside(object, "here"), object)
        {
            return Some(Err(Failure::Unprepared(error.to_string())));
        }
        sharing.offer(self, module, &prepared[module], &said);
        let done = self.done(&prepared[module], said);
        Some(done.map(|stderr| Ran { stderr, by: By::Here }))
    }

    /// Whether the modules it is made from are still what they were when they were read.
    pub(super) fn are_unchanged(&self, module: &Prepared) -> bool {
        let mut sources = module.reads.iter().map(|read| self.plan.modules[*read].source);
        sources.all(|source| self.inputs.change(source).is_none())
    }

    fn engine(
        &self,
        launcher: Option<Launcher>,
        ahead: Option<Result<ForkServer, NoServer>>,
        backends: usize,
    ) -> Chosen {
        match launcher {
            Some(launcher) => Chosen::launched(launcher, self.engine),
            None => Chosen::of(
                self.engine,
                ahead,
                backends,
                &self.clang.path,
                self.staging,
                self.children,
            ),
        }
    }

    /// What the backends that run are started through, where clang's driver makes of every target among them what it should.
    fn launcher(&self, prepared: &[Prepared], running: &[usize], counts: &mut stats::Backends) -> Option<Launcher> {
        let launcher = self.launcher.filter(|_| !running.is_empty())?;
        let mut asked = HashSet::new();
        for module in running.iter().map(|at| &prepared[*at]) {
            // One question a command: modules differ by target, and by their own options.
            if !asked.insert(module.kind()) {
                continue;
            }
            if let Err(why) = launcher.suits(self.clang, &module.backend) {
                tracing::warn!("{why}: backends are not started through {}", launcher.text());
                counts.launcher_off = Some(why);
                return None;
            }
        }
        Some(launcher.clone())
    }

    /// An object is in its place: does to it what is to be done, and keeps it if what it was made from is still what its
    /// key was made from.
    pub(super) fn done(&self, module: &Prepared, stderr: String) -> Result<String, Failure> {
        let stderr = self.post(module, stderr)?;
        self.keep(module, &stderr);
        Ok(stderr)
    }

    /// As [`Backends::done`], of one that comes from elsewhere: kept only if it is of the clang that its key is of.
    pub(super) fn done_elsewhere(&self, module: &Prepared, stderr: String, whose: Whose) -> Result<String, Failure> {
        match whose {
            Whose::Ours => self.done(module, stderr),
            Whose::Workers => self.post(module, stderr),
        }
    }

    fn post(&self, module: &Prepared, mut stderr: String) -> Result<String, Failure> {
        if let Some(post) = self.post {
            stderr.push_str(&post.run(module.object.path(), self.children)?);
        }
        Ok(stderr)
    }

    fn keep(&self, module: &Prepared, stderr: &str) {
        if let (Some(cache), Some(keyed)) = (self.cache, &module.key)
            && self.are_unchanged(module)
        {
            match lasting(self.staging, stderr, module.object.path(), OBJECT) {
                Some(said) => cache.put(keyed, module.object.path(), &module.sides, &said),
                None => tracing::debug!("not kept: it said where it is compiled: {stderr}"),
            }
        }
    }
}

/// What a backend said, as it is true of a later link too: `called` for its object. None where it names another file that
/// only exists in this one.
pub(super) fn lasting(staging: &Staging, stderr: &str, object: &Path, called: &str) -> Option<String> {
    let said = stderr.replace(&*object.to_string_lossy(), called);
    let here = [staging.dir(), staging.indexes()];
    let is_lasting = here.iter().all(|dir| !said.contains(&*dir.to_string_lossy()));
    is_lasting.then_some(said)
}
