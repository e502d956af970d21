//! When each backend of a link ran, and on which slot, as the stats line tells it to whoever asks.
//! Knows nothing of engines: it is told how many may run at once, when a backend is handed over and when it has ended.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::stats::milliseconds;

/// One backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// The module, as lld calls it.
    pub name: String,
    /// Its number among LTO tasks, as in the names of `--lto-obj-path`'s files.
    pub task: usize,
    /// Which of those that ran at once it was, from 0; none where its object came from a cache, or from a worker.
    pub slot: Option<usize>,
    /// The worker that ran it, where it was executed remotely; empty where the server does not say which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Milliseconds from the link's beginning to the backend's.
    pub start: f64,
    /// And to its end.
    pub end: f64,
}

/// Backends as they come and go.
#[derive(Debug)]
pub struct Timeline {
    began: Instant,
    state: Mutex<State>,
}

/// Where backends are at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glimpse {
    /// Those that have ended.
    pub ended: usize,
    /// That which has run longest, and for how many milliseconds.
    pub longest: Option<(usize, f64)>,
}

#[derive(Debug, Default)]
struct State {
    allowed: usize,
    /// Handed over, with none free to take them yet: the fork server is given some ahead of time.
    waiting: VecDeque<usize>,
    running: HashMap<usize, (usize, f64)>,
    done: Vec<Run>,
    away: HashMap<usize, Away>,
}

/// What a worker ran.
#[derive(Debug)]
struct Away {
    worker: String,
    start: f64,
    end: f64,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    module: usize,
    slot: usize,
    start: f64,
    end: f64,
}

impl State {
    /// Whoever has waited longest runs, as long as there is room.
    fn fill(&mut self, now: f64) {
        while self.running.len() < self.allowed.max(1)
            && let Some(module) = self.waiting.pop_front()
        {
            let taken: BTreeSet<usize> = self.running.values().map(|(slot, _)| *slot).collect();
            let slot = (0..).find(|slot| !taken.contains(slot)).unwrap_or_default();
            self.running.insert(module, (slot, now));
        }
    }
}

/// What `run` makes; whoever asks is told when it did.
pub fn timed<R>(timeline: &Timeline, module: usize, run: impl FnOnce() -> R) -> R {
    timeline.given(module);
    let made = run();
    timeline.ended(module);
    made
}

impl Timeline {
    /// Of a link that began then.
    pub fn new(began: Instant) -> Timeline {
        Timeline {
            began,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> (MutexGuard<'_, State>, f64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state, milliseconds(self.began.elapsed()))
    }

    /// So many may run at once from now on.
    pub fn allow(&self, backends: usize) {
        let (mut state, now) = self.state();
        state.allowed = backends;
        state.fill(now);
    }

    /// A module's backend is handed over.
    pub fn given(&self, module: usize) {
        let (mut state, now) = self.state();
        state.waiting.push_back(module);
        state.fill(now);
    }

    /// It has ended.
    pub fn ended(&self, module: usize) {
        let (mut state, now) = self.state();
        // One that was thought to wait has been taken up before another: it has ended with no time of its own known.
        state.waiting.retain(|waiting| *waiting != module);
        let (slot, start) = state.running.remove(&module).unwrap_or((0, now));
        state.done.push(Run {
            module,
            slot,
            start,
            end: now,
        });
        state.fill(now);
    }

    /// A module's backend was handed over to a server then, and its object is here now.
    pub fn away(&self, module: usize, since: Instant, worker: Option<&str>) {
        let start = milliseconds(since.saturating_duration_since(self.began));
        let (mut state, end) = self.state();
        let worker = worker.unwrap_or_default().to_owned();
        state.away.insert(module, Away { worker, start, end });
    }

    /// How long a module's backend has run by now, here or away; none where it is not known to have begun.
    pub fn took(&self, module: usize) -> Option<Duration> {
        let (state, now) = self.state();
        let running = state.running.get(&module).map(|(_, start)| now - start);
        let away = || state.away.get(&module).map(|away| away.end - away.start);
        let ms = running.or_else(away)?;
        Duration::try_from_secs_f64(ms / 1e3).ok()
    }

    /// Milliseconds that those which ran here took, one after the other.
    pub fn spent(&self) -> f64 {
        let (state, _) = self.state();
        state.done.iter().map(|run| run.end - run.start).sum()
    }

    /// Where they are at.
    pub fn glimpse(&self) -> Glimpse {
        let (state, now) = self.state();
        let here: HashSet<usize> = state.done.iter().map(|run| run.module).collect();
        let away = state.away.keys().filter(|module| !here.contains(module));
        let longest = state.running.iter().min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b));
        Glimpse {
            ended: here.len() + away.count(),
            longest: longest.map(|(module, (_, start))| (*module, now - start)),
        }
    }

    /// Every one of `modules` backends in their order; `describe` tells a module's name and task. Those that never ran
    /// came from the cache.
    pub fn spans(&self, modules: usize, describe: impl Fn(usize) -> (String, usize)) -> Vec<Span> {
        let (state, _) = self.state();
        let runs: HashMap<usize, Run> = state.done.iter().map(|run| (run.module, *run)).collect();
        let span = |module| {
            let (name, task) = describe(module);
            if let Some(away) = state.away.get(&module) {
                return Span {
                    name,
                    task,
                    slot: None,
                    worker: Some(away.worker.clone()),
                    start: away.start,
                    end: away.end,
                };
            }
            let run = runs.get(&module);
            Span {
                name,
                task,
                slot: run.map(|run| run.slot),
                worker: None,
                start: run.map_or(0.0, |run| run.start),
                end: run.map_or(0.0, |run| run.end),
            }
        };
        (0..modules).map(span).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(timeline: &Timeline, modules: usize) -> Vec<Option<usize>> {
        let spans = timeline.spans(modules, |module| (format!("{module}.o"), module + 1));
        spans.iter().map(|span| span.slot).collect()
    }

    #[test]
    fn what_is_handed_over_early_waits_for_the_first_slot_that_is_free() {
        let timeline = Timeline::new(Instant::now());
        timeline.allow(2);
        for module in [0, 1, 2, 3] {
            timeline.given(module);
        }
        timeline.ended(1);
        timeline.ended(2);
        timeline.ended(0);
        timeline.ended(3);
        assert_eq!(slots(&timeline, 5), [Some(0), Some(1), Some(1), Some(1), None]);
        let spans = timeline.spans(4, |module| (String::new(), module));
        assert!(spans[2].start >= spans[1].end && spans[3].start >= spans[2].end);
    }

    #[test]
    fn more_slots_take_up_what_waits() {
        let timeline = Timeline::new(Instant::now());
        timeline.allow(1);
        timeline.given(0);
        timeline.given(1);
        timeline.allow(2);
        timeline.ended(0);
        timeline.ended(1);
        assert_eq!(slots(&timeline, 2), [Some(0), Some(1)]);
    }
}
