//! The jobs of a description, done: taken from the cache, or run as those of a link are, here and elsewhere.
//! Knows nothing of where the description came from, nor of what is said of it in the end.

use rayon::prelude::*;

use super::jobs::ListedJobs;
use super::words;
use crate::backend::away::Ahead;
use crate::backend::jobs::Jobs;
use crate::backend::process::Failure;
use crate::backend::results::{Done, Made, Results};
use crate::backend::run::{Counts, Runs};
use crate::cache::{self, Destination};
use crate::observe::stats::Stats;
use crate::settings::EngineKind;
use crate::slots::Slots;

/// Who does the jobs, and with what.
pub struct Distribution<'a> {
    /// The jobs.
    pub jobs: ListedJobs<'a>,
    /// What runs them.
    pub engine: EngineKind,
    /// Servers that execute them, or have their objects.
    pub remote: Option<Ahead>,
    /// How many at once.
    pub slots: Slots,
}

/// Why not all are done.
#[derive(Debug)]
pub enum Undone {
    /// One failed, of this number.
    Failed(usize, Failure),
    /// None could be begun: why.
    Unprepared(String),
}

impl Distribution<'_> {
    /// Does every job; what each had to say, in their order.
    ///
    /// # Errors
    /// The first that failed; nothing runs any more when it is returned.
    pub fn run(mut self, stats: &mut Stats) -> Result<Vec<String>, Undone> {
        let counts = &mut stats.backends;
        let jobs = &self.jobs;
        let unkeyed = jobs.keys.iter().filter(|key| jobs.are_kept() && key.is_none());
        counts.uncacheable = unkeyed.count();
        let kept = (0..jobs.count()).into_par_iter().map(|at| self.kept(at));
        let mut results = Results::of(kept.collect());
        counts.cached = jobs.count() - results.waiting().len();
        (counts.cached_ms, counts.cached_behind) = (results.saved(), results.behind());
        let runs = Runs {
            jobs,
            clang: jobs.description.compiler(),
            engine: match jobs.commands {
                Some(_) => self.engine,
                // A server takes -cc1 lines alone.
                None => EngineKind::Process,
            },
            launcher: jobs.launcher.cloned(),
            server: None,
            staging: jobs.staging,
            slots: &self.slots,
            timeline: jobs.timeline,
            children: jobs.children,
        };
        let of = Counts {
            backends: counts,
            bytes: &mut stats.bytes,
        };
        let ran = runs.run(self.remote.take(), &mut results, of);
        counts.run_ms = jobs.timeline.spent();
        if let Some(engine) = ran.map_err(Undone::Unprepared)? {
            engine.end();
        }
        if let Some(cache) = jobs.cache {
            cache.count(cache::Counts {
                hits: counts.cached as u64,
                misses: (counts.run + counts.remote + counts.remote_cached).saturating_sub(counts.uncacheable) as u64,
                uncacheable: counts.uncacheable as u64,
            });
        }
        if let Some((at, failure)) = results.failure {
            return Err(Undone::Failed(at, failure));
        }
        let said = results.done.into_iter().enumerate();
        // No failure and no result: a signal stopped the schedule.
        said.map(|(at, done)| {
            done.map(|done| done.stderr)
                .ok_or(Undone::Failed(at, Failure::Interrupted))
        })
        .collect()
    }

    /// Puts a kept object in place. lld leaves it there where the user saves temporary files, so it must not be the cache's
    /// own.
    fn kept(&self, at: usize) -> Option<Done> {
        let key = self.jobs.keys[at].as_ref()?;
        let kept = self
            .jobs
            .cache?
            .get(key, Destination::Public(self.jobs.object(at)), &[])?;
        Some(Done {
            stderr: words::naming(&kept.said, self.jobs.description.jobs[at].called()),
            made: Made::Cached(kept.held),
        })
    }
}
