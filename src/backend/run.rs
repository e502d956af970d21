//! Where the jobs that must run do: here, here behind a cache that is shared, or at a server and here at once.
//! Knows nothing of which those are, nor of what is made of their words.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::away::{Ahead, By, Ended, Farm, Lookups, Ran, Sharing, Whose, settle};
use super::engine::Chosen;
use super::forkserver::{ForkServer, NoServer};
use super::jobs::Jobs;
use super::launcher::Launcher;
use super::process::{self, Engine, Failure};
use super::results::Results;
use crate::children::Children;
use crate::observe::stats;
use crate::observe::timeline::{Timeline, timed};
use crate::schedule::shared::{Here, Line, Shared, Side};
use crate::schedule::{self, Next};
use crate::settings::EngineKind;
use crate::settings::remote::Local;
use crate::slots::Slots;
use crate::staging::Staging;

/// Who runs jobs, and with what.
pub struct Runs<'a> {
    /// The jobs.
    pub jobs: &'a dyn Jobs,
    /// The compiler.
    pub clang: &'a Path,
    /// What runs them here.
    pub engine: EngineKind,
    /// What they are started through.
    pub launcher: Option<Launcher>,
    /// What was started before it was known how many there would be.
    pub server: Option<Result<ForkServer, NoServer>>,
    /// Where workers' words and what is half made are put.
    pub staging: &'a Staging,
    /// How many at once.
    pub slots: &'a Slots,
    /// Who is told when each of them runs.
    pub timeline: &'a Timeline,
    /// Our children.
    pub children: &'a Children,
}

/// Where what is counted goes.
pub struct Counts<'a> {
    /// Backends.
    pub backends: &'a mut stats::Backends,
    /// What went over the wire.
    pub bytes: &'a mut Option<stats::Bytes>,
}

impl Runs<'_> {
    /// Runs those that wait, by servers too where there are any. What ran those here, where something did.
    ///
    /// # Errors
    /// What they read cannot be put in place: a text for people. Of a job that fails the results know.
    pub fn run(
        mut self,
        remote: Option<Ahead>,
        results: &mut Results,
        counts: Counts<'_>,
    ) -> Result<Option<Engine>, String> {
        let waiting = results.waiting();
        let Counts { backends, bytes } = counts;
        let Some(remote) = remote.filter(|_| !waiting.is_empty()) else {
            let stage = |waiting: &[usize]| {
                self.jobs.stage_modules(waiting)?;
                self.jobs.stage_indexes(waiting)
            };
            let server = self.server.take();
            let engine = self.run_here(server, stage, &waiting, results, None, backends)?;
            if backends.remote_fallback.is_some() {
                backends.remote_fell_back = backends.run;
            }
            return Ok(Some(engine));
        };
        let whose = remote.whose();
        let mut sharing = Sharing::of(self.jobs.count(), whose);
        let ran = match remote.executes() {
            true => self.run_shared(remote, &waiting, results, &sharing, backends),
            false => self.run_behind_a_cache(remote, &waiting, results, &sharing, backends),
        };
        let has_failed = ran.is_err() || results.failure.is_some();
        let is_over = || has_failed || self.children.interrupted().is_some();
        sharing.finish(&is_over, backends, bytes);
        if ran.is_ok() && whose == Whose::Workers && self.jobs.are_kept() {
            backends.remote_unkept = backends.remote + backends.remote_cached;
        }
        ran
    }

    /// Compiles these here, once `stage` has put in place what they read.
    fn run_here(
        &self,
        server: Option<Result<ForkServer, NoServer>>,
        stage: impl Fn(&[usize]) -> Result<(), String> + Sync,
        waiting: &[usize],
        results: &mut Results,
        sharing: Option<&Sharing>,
        counts: &mut stats::Backends,
    ) -> Result<Engine, String> {
        // clang is started while files are put in place for it, and asked whether it takes the options.
        let (chosen, staged) = rayon::join(|| self.choose(server, waiting.len()), || stage(waiting));
        staged?;
        chosen.tell(waiting.len(), counts);
        let engine = chosen.engine;
        let compile = |at: usize| {
            let ran = process::run(&engine, self.clang, &self.jobs.backend(at), self.children, &|| true);
            let said = ran.inspect_err(|_| self.jobs.discard(at))?;
            if let Some(sharing) = sharing {
                sharing.offer(self.jobs, at, &said);
            }
            self.jobs.done(at, said, Whose::Ours)
        };
        schedule::run(
            &self.weights(waiting),
            self.slots,
            |running| {
                self.timeline.allow(running);
                engine.allow(running)
            },
            |job| timed(self.timeline, waiting[job], || compile(waiting[job])),
            |job, result| {
                let ended = result.map(|stderr| Ran { stderr, by: By::Here });
                results.take(waiting[job], ended, counts)
            },
        );
        counts.retried = engine.retried();
        Ok(engine)
    }

    /// Takes what a shared cache has, and compiles the rest here.
    fn run_behind_a_cache(
        &mut self,
        remote: Ahead,
        waiting: &[usize],
        results: &mut Results,
        sharing: &Sharing,
        counts: &mut stats::Backends,
    ) -> Result<Option<Engine>, String> {
        self.jobs.stage_modules(waiting)?;
        let taken = Mutex::new(Vec::new());
        let lookups = Lookups {
            jobs: self.jobs,
            staging: self.staging,
            children: self.children,
            sharing,
        };
        lookups.take(remote, waiting, |at, ended| {
            taken.lock().unwrap_or_else(PoisonError::into_inner).push((at, ended));
        });
        let taken = taken.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (at, ended) in taken {
            if results.take(at, ended, counts) == Next::Stop {
                return Ok(None);
            }
        }
        let left = results.waiting();
        let stage = |left: &[usize]| self.jobs.stage_indexes(left);
        let server = self.server.take();
        self.run_here(server, stage, &left, results, Some(sharing), counts)
            .map(Some)
    }

    /// Has a server execute these, and compiles here as well.
    fn run_shared(
        &mut self,
        remote: Ahead,
        waiting: &[usize],
        results: &mut Results,
        sharing: &Sharing,
        counts: &mut stats::Backends,
    ) -> Result<Option<Engine>, String> {
        let server = Mutex::new(self.server.take());
        let this = &*self;
        this.jobs.stage_modules(waiting)?;
        let weights = this.weights(waiting);
        let taken: Vec<AtomicBool> = (0..this.jobs.count()).map(|_| AtomicBool::new(false)).collect();
        let here = match remote.local() {
            Local::On => Here::All,
            Local::Off => Here::Refused,
        };
        let (chosen, allowed) = (OnceLock::new(), AtomicUsize::new(0));
        // Nothing may have to run here at all.
        let engine_here = || {
            let server = || server.lock().unwrap_or_else(PoisonError::into_inner).take();
            let choose = || this.choose(server(), waiting.len());
            let engine = &chosen.get_or_init(choose).engine;
            engine.allow(allowed.load(Ordering::Acquire));
            engine
        };
        let line = Line::new();
        let (farm, inbox) = Farm::new(this, waiting, (sharing, &taken), &remote, line.tell());
        let shared = Shared {
            weights: &weights,
            slots: this.slots,
            here,
            elsewhere: &farm,
            allow: &|running| {
                this.timeline.allow(running);
                // Its start takes its time, and is left to the first that needs it: here servers' answers wait.
                allowed.store(running, Ordering::Release);
                if let Some(chosen) = chosen.get() {
                    chosen.engine.allow(running);
                }
            },
            run: |job: usize| {
                let at = waiting[job];
                timed(this.timeline, at, || {
                    this.compile_beside(engine_here(), at, &taken[at], sharing)
                })
            },
            halt: &|| this.children.kill(),
            interrupted: &|| this.children.interrupted().is_some(),
        };
        counts.raced = std::thread::scope(|scope| {
            let farm = &farm;
            // Whatever ends what is here: else it would be waited for for ever.
            let _ends = farm.ends();
            let attended = std::thread::Builder::new().spawn_scoped(scope, move || farm.attend(remote, inbox));
            if let Err(error) = attended {
                farm.down(format!("no thread can be started: {error}"));
            }
            shared.run(line, |job, ended, side| {
                if side == Side::Here {
                    sharing.ran_here(waiting[job]);
                }
                results.take(waiting[job], ended, counts)
            })
        });
        if let Some(chosen) = chosen.get() {
            chosen.tell(waiting.len(), counts);
            counts.retried = chosen.engine.retried();
        }
        counts.engine = Some("remote");
        Ok(chosen.into_inner().map(|chosen| chosen.engine))
    }

    /// Compiles one that may be compiled elsewhere too; none where its object has come from there first.
    fn compile_beside(&self, engine: &Engine, at: usize, taken: &AtomicBool, sharing: &Sharing) -> Option<Ended> {
        let is_taken = || taken.load(Ordering::Acquire);
        if is_taken() {
            return None;
        }
        let object = self.jobs.object(at);
        let half_made = self.jobs.leaves_one(at).then(|| self.staging.half_made(at, "here"));
        let compile = || {
            self.jobs.stage_index(at).map_err(Failure::Unprepared)?;
            let backend = self.jobs.backend(at);
            match &half_made {
                // What writes more than its object runs nowhere else, and names those files by it.
                None => {
                    let ran = process::run(engine, self.clang, &backend, self.children, &|| !is_taken());
                    ran.inspect_err(|_| self.jobs.discard(at))
                }
                Some(half_made) => {
                    let backend = backend.leaving(half_made);
                    let said = process::run(engine, self.clang, &backend, self.children, &|| !is_taken())?;
                    Ok(said.replace(&*half_made.to_string_lossy(), &object.to_string_lossy()))
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
        if let Some(Err(error)) = half_made.map(|half_made| settle(&half_made, object)) {
            self.jobs.discard(at);
            return Some(Err(Failure::Unprepared(error.to_string())));
        }
        sharing.offer(self.jobs, at, &said);
        let done = self.jobs.done(at, said, Whose::Ours);
        Some(done.map(|stderr| Ran { stderr, by: By::Here }))
    }

    fn weights(&self, waiting: &[usize]) -> Vec<u64> {
        waiting.iter().map(|at| self.jobs.weight(*at)).collect()
    }

    fn choose(&self, ahead: Option<Result<ForkServer, NoServer>>, backends: usize) -> Chosen {
        match &self.launcher {
            Some(launcher) => Chosen::launched(launcher.clone(), self.engine),
            None => Chosen::of(self.engine, ahead, backends, self.clang, self.staging, self.children),
        }
    }
}
