//! The jobs of a description, done: taken from the cache or compiled, heaviest first, each object looked at before it is
//! believed. Knows nothing of where the description came from, nor of what is said of it in the end.

use std::path::Path;

use rayon::prelude::*;

use super::command::{self, Command};
use super::description::{Description, Job};
use super::modules::{Common, Modules};
use super::words;
use crate::backend::engine::Chosen;
use crate::backend::launcher::Launcher;
use crate::backend::post::PostBackend;
use crate::backend::process::{self, Backend, Engine, Failure};
use crate::cache::{Cache, Counts, Destination, Keyed};
use crate::children::Children;
use crate::observe::stats;
use crate::observe::timeline::{Timeline, timed};
use crate::schedule::{self, Next};
use crate::settings::EngineKind;
use crate::slots::Slots;
use crate::staging::Staging;
use crate::toolchain::Clang;

/// Who does the jobs, and with what.
#[derive(Debug)]
pub struct Distribution<'a> {
    /// The jobs.
    pub description: &'a Description,
    /// What they read.
    pub modules: &'a Modules<'a>,
    /// What clang's driver makes of each, where that could be told of all.
    pub commands: Option<&'a [Command]>,
    /// The compiler; none where nobody could tell which it is.
    pub clang: Option<&'a Clang>,
    /// Where objects are kept, if they are.
    pub cache: Option<&'a Cache>,
    /// What runs them.
    pub engine: EngineKind,
    /// What they are started through.
    pub launcher: Option<&'a Launcher>,
    /// What else is done to objects.
    pub post: Option<&'a PostBackend>,
    /// Where workers' words are put.
    pub staging: &'a Staging,
    /// How many at once.
    pub slots: Slots,
    /// Who is told when each of them runs, where somebody asks.
    pub timeline: Option<&'a Timeline>,
    /// Our children.
    pub children: &'a Children,
}

/// A job that failed.
#[derive(Debug)]
pub struct FailedJob {
    /// Its number.
    pub job: usize,
    /// How.
    pub failure: Failure,
}

impl Distribution<'_> {
    /// Does every job; what each had to say, in their order.
    ///
    /// # Errors
    /// The first that failed; nothing runs any more when it is returned.
    pub fn run(&self, counts: &mut stats::Backends) -> Result<Vec<String>, FailedJob> {
        let jobs = &self.description.jobs;
        let keys = self.keys();
        counts.uncacheable = keys.iter().filter(|key| self.cache.is_some() && key.is_none()).count();
        let mut said: Vec<Option<String>> = jobs
            .par_iter()
            .zip(&keys)
            .map(|(job, key)| self.kept(job, key))
            .collect();
        let waiting: Vec<usize> = (0..jobs.len()).filter(|job| said[*job].is_none()).collect();
        counts.cached = jobs.len() - waiting.len();
        let weights: Vec<u64> = waiting.iter().map(|job| self.modules.weight(&jobs[*job])).collect();
        let engine = self.engine(waiting.len(), counts);
        let mut failed: Option<FailedJob> = None;
        schedule::run(
            &weights,
            &self.slots,
            |running| {
                if let Some(timeline) = self.timeline {
                    timeline.allow(running);
                }
                engine.allow(running)
            },
            |at| {
                timed(self.timeline, waiting[at], || {
                    self.compile(&engine, waiting[at], keys[waiting[at]].as_ref())
                })
            },
            |at, result| match result {
                Ok(stderr) => {
                    counts.run += 1;
                    said[waiting[at]] = Some(stderr);
                    Next::Continue
                }
                Err(failure) => {
                    counts.failed += 1;
                    let job = waiting[at];
                    failed.get_or_insert(FailedJob { job, failure });
                    Next::Stop
                }
            },
        );
        engine.end();
        if let Some(cache) = self.cache {
            cache.count(Counts {
                hits: counts.cached as u64,
                misses: counts.run.saturating_sub(counts.uncacheable) as u64,
                uncacheable: counts.uncacheable as u64,
            });
        }
        match failed {
            Some(failed) => Err(failed),
            None => said
                .into_iter()
                .enumerate()
                .map(|(job, said)| {
                    let failure = Failure::Interrupted;
                    // No failure and no result: a signal stopped the schedule.
                    said.ok_or(FailedJob { job, failure })
                })
                .collect(),
        }
    }

    fn keys(&self) -> Vec<Option<Keyed>> {
        let jobs = &self.description.jobs;
        let (Some(cache), Some(clang), Some(commands)) = (self.cache, self.clang, self.commands) else {
            return jobs.iter().map(|_| None).collect();
        };
        let common = Common {
            cache,
            clang,
            inputs: &self.description.common.inputs,
            launcher: self.launcher,
            post: self.post,
        };
        let key = |(job, command): (&Job, &Command)| match self.modules.key(job, command, &common) {
            Ok(keyed) => Some(keyed),
            Err(why) => {
                tracing::debug!(module = job.shown(), why, "not cached");
                None
            }
        };
        jobs.par_iter().zip(commands).map(key).collect()
    }

    /// Puts a kept object in place; what its backend said. lld leaves it there where the user saves temporary files, so it
    /// must not be the cache's own.
    fn kept(&self, job: &Job, key: &Option<Keyed>) -> Option<String> {
        let said = self.cache?.get(key.as_ref()?, Destination::Public(job.object()), &[])?;
        Some(words::here(&said, job))
    }

    fn engine(&self, backends: usize, counts: &mut stats::Backends) -> Engine {
        let mut chosen = match self.launcher {
            Some(launcher) => Chosen::launched(launcher.clone(), self.engine),
            None => {
                // A server takes -cc1 lines alone.
                let asked = match self.commands {
                    Some(_) => self.engine,
                    None => EngineKind::Process,
                };
                let compiler = self.description.compiler();
                Chosen::of(asked, None, backends, compiler, self.staging, self.children)
            }
        };
        if self.engine == EngineKind::Remote {
            let why = "a distributor's backends run here alone";
            tracing::warn!("{why}: the engine setting's server is not asked");
            chosen.fallback = Some(why.to_owned());
        }
        chosen.tell(backends, counts);
        chosen.engine
    }

    fn compile(&self, engine: &Engine, at: usize, key: Option<&Keyed>) -> Result<String, Failure> {
        let job = &self.description.jobs[at];
        let command = self.commands.and_then(|commands| commands.get(at));
        // Whoever is started through a launcher is so by the driver's line, which lld has written already.
        let step = match command.filter(|_| self.launcher.is_none()) {
            Some(command) => command.of(job),
            None => command::line(self.description, job),
        };
        let backend = Backend {
            steps: vec![step],
            object: job.object().to_owned(),
        };
        let compiler = self.description.compiler();
        let made = process::run(engine, compiler, &backend, self.children);
        let mut said = made.inspect_err(|failure| self.discard(failure, job.object()))?;
        if let Some(post) = self.post {
            let done = post.run(job.object(), self.children);
            said.push_str(&done.inspect_err(|failure| self.discard(failure, job.object()))?);
        }
        if let (Some(cache), Some(key), Some(lasting)) = (self.cache, key, words::lasting(&said, job))
            && self.modules.hold(job)
        {
            cache.put(key, job.object(), &[], &lasting);
        }
        Ok(said)
    }

    /// What is no good object lld must not find.
    fn discard(&self, failure: &Failure, object: &Path) {
        let removed = std::fs::remove_file(object);
        tracing::debug!(%failure, object = %object.display(), ?removed, "discarded");
    }
}
