//! Runs jobs here and elsewhere at once: heaviest first to whoever is free, and where nothing else is left, what one has
//! been at for long is begun by the other too. Knows nothing of backends, nor of what the other place is.
//!
//! Elsewhere is taken to be wide: as many jobs are handed over as it has room for. Here is narrow but certain: slots take
//! what nobody has, then what waits its turn elsewhere, lightest first since that comes last there, and at the end what has
//! been under way there for longer than such jobs take. A job's first end counts, the other is told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::Next;
use crate::slots::{Slots, Supply};

/// What elsewhere tells of a job.
#[derive(Debug)]
pub enum Told<R> {
    /// A worker has it now.
    Begun,
    /// Its end.
    Done(R),
    /// It is to be run here.
    Refused,
}

/// The other place.
pub trait Elsewhere: Sync {
    /// How many jobs may be there at once; none when nothing more is to be had of it.
    fn room(&self) -> usize;
    /// Takes a job on, and tells of it by [`Tell`]. Called by one thread.
    fn start(&self, job: usize);
    /// A job need not be gone on with.
    fn cancel(&self, job: usize);
}

/// How elsewhere tells of jobs.
#[derive(Debug)]
pub struct Tell<R>(Sender<Event<R>>);

impl<R> Clone for Tell<R> {
    fn clone(&self) -> Self {
        Tell(self.0.clone())
    }
}

impl<R> Tell<R> {
    /// Something of a job.
    pub fn of(&self, job: usize, told: Told<R>) {
        // Nobody listens any more once every job has ended.
        let _ = self.0.send(Event::Elsewhere(job, told));
    }

    /// Elsewhere has met a fault of ours and tells nothing more: everything is to end.
    pub fn broken(&self) {
        let _ = self.0.send(Event::Broken);
    }

    /// It is known what elsewhere need not run at all: slots here may begin.
    pub fn opened(&self) {
        let _ = self.0.send(Event::Opened);
    }
}

#[derive(Debug)]
enum Event<R> {
    Token(std::io::Result<jobserver::Acquired>),
    /// None where its other end came first.
    Here(usize, thread::Result<Option<R>>),
    Elsewhere(usize, Told<R>),
    Opened,
    Broken,
}

/// Which jobs slots here take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// Any.
    All,
    /// Those that elsewhere refuses.
    Refused,
}

/// Where a job's end came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A slot of ours.
    Here,
    /// The other place.
    Elsewhere,
}

/// How long slots here wait to be told that they may begin.
const OPENING: Duration = Duration::from_secs(2);
/// How often it is looked whether all is to end, and whether something takes long.
const TICK: Duration = Duration::from_millis(50);
/// Nothing is begun twice that has been under way for less.
const SOON: Duration = Duration::from_millis(200);

/// The jobs of one run, and what is done with them.
pub struct Shared<'a, E, F> {
    /// Of jobs `0..weights.len()`.
    pub weights: &'a [u64],
    /// For what runs here.
    pub slots: &'a Slots,
    /// What they take.
    pub here: Here,
    /// The other place, made with what it tells us by.
    pub elsewhere: &'a E,
    /// Told how many may run here at once.
    pub allow: &'a dyn Fn(usize),
    /// A job's result on a thread of its own; none where its other end came first.
    pub run: F,
    /// Ends what still runs here when every job has ended.
    pub halt: &'a dyn Fn(),
    /// Whether everything is to end.
    pub interrupted: &'a dyn Fn() -> bool,
}

/// What is told, before there is anybody to hear it.
pub struct Line<R> {
    tell: Tell<R>,
    inbox: mpsc::Receiver<Event<R>>,
}

impl<R> Line<R> {
    /// A new one.
    pub fn new() -> Line<R> {
        let (sender, inbox) = mpsc::channel();
        Line {
            tell: Tell(sender),
            inbox,
        }
    }

    /// What elsewhere tells by.
    pub fn tell(&self) -> Tell<R> {
        self.tell.clone()
    }
}

impl<R> Default for Line<R> {
    fn default() -> Self {
        Line::new()
    }
}

/// Where every job is. Jobs go by their place in the order of weights: 0 is the heaviest.
#[derive(Default)]
struct Where {
    /// With nobody, and anybody's.
    free: BTreeSet<usize>,
    /// To be run here.
    refused: BTreeSet<usize>,
    /// There alone, and not begun.
    queued: BTreeSet<usize>,
    /// There alone, since when.
    begun: BTreeMap<usize, Instant>,
    /// Here alone, since when, and may go there too.
    here: BTreeMap<usize, Instant>,
    /// In both places.
    both: BTreeSet<usize>,
    /// Ended.
    ended: BTreeSet<usize>,
    /// Those that were under way in both.
    raced: BTreeSet<usize>,
    /// Those that may not go there (any more).
    ours: BTreeSet<usize>,
    /// Those that were left to there, having been here.
    left: BTreeSet<usize>,
    /// How long those took that came back: sum and number.
    took: (Duration, u32),
}

impl Where {
    fn is_away(&self, job: usize) -> bool {
        self.queued.contains(&job) || self.begun.contains_key(&job) || self.both.contains(&job)
    }

    fn away(&self) -> usize {
        self.queued.len() + self.begun.len() + self.both.len()
    }

    /// How long is long, for what is under way.
    fn long(&self) -> Duration {
        match self.took {
            (_, 0) => SOON * 5,
            (sum, number) => (sum / number * 2).max(SOON),
        }
    }

    /// What a slot here takes up next.
    fn for_here(&mut self, here: Here) -> Option<usize> {
        if let Some(job) = self.refused.pop_first() {
            self.ours.insert(job);
            return Some(job);
        }
        if here == Here::Refused {
            return None;
        }
        if let Some(job) = self.free.pop_first() {
            return Some(job);
        }
        // Who comes last there is taken. It stays wanted from there too: not every server tells what it has begun.
        if let Some(job) = self.queued.pop_last() {
            self.both.insert(job);
            return Some(job);
        }
        let long = self.long();
        let longest = self.begun.iter().min_by_key(|(_, since)| **since);
        let (job, _) = longest.filter(|(_, since)| since.elapsed() >= long)?;
        let job = *job;
        self.begun.remove(&job);
        self.both.insert(job);
        self.raced.insert(job);
        Some(job)
    }

    /// What is handed over next.
    fn for_there(&mut self) -> Option<usize> {
        if let Some(job) = self.free.pop_first() {
            self.queued.insert(job);
            return Some(job);
        }
        let long = self.long();
        let longest = self.here.iter().min_by_key(|(_, since)| **since);
        let (job, _) = longest.filter(|(_, since)| since.elapsed() >= long)?;
        let job = *job;
        self.here.remove(&job);
        self.both.insert(job);
        Some(job)
    }

    fn end(&mut self, job: usize) {
        // It may be told of what was never handed over.
        self.free.remove(&job);
        self.queued.remove(&job);
        self.begun.remove(&job);
        self.here.remove(&job);
        self.both.remove(&job);
        self.refused.remove(&job);
        self.ended.insert(job);
    }
}

fn run_here<R>(run: &impl Fn(usize) -> Option<R>, job: usize, events: &Sender<Event<R>>) {
    let result = catch_unwind(AssertUnwindSafe(|| run(job)));
    // Nobody listens any more once every job has ended.
    let _ = events.send(Event::Here(job, result));
}

impl<E: Elsewhere, F> Shared<'_, E, F> {
    /// Runs them; `done` takes each result as it comes, here. Returns how many were in both places, once nothing runs here
    /// any more and every token is given back.
    pub fn run<R>(&self, line: Line<R>, mut done: impl FnMut(usize, R, Side) -> Next) -> usize
    where
        R: Send + 'static,
        F: Fn(usize) -> Option<R> + Sync,
    {
        let mut order: Vec<usize> = (0..self.weights.len()).collect();
        order.sort_by_key(|job| std::cmp::Reverse(self.weights[*job]));
        let mut place = vec![0; order.len()];
        for (at, job) in order.iter().enumerate() {
            place[*job] = at;
        }
        let mut jobs = Where {
            free: (0..order.len()).collect(),
            ..Where::default()
        };
        let Line {
            tell: Tell(events),
            inbox,
        } = line;
        let mut supply: Option<Supply> = None;
        let (mut running, mut open_at) = (0_usize, Some(Instant::now() + OPENING));
        let mut stopped = false;
        thread::scope(|scope| {
            loop {
                if !stopped && (self.interrupted)() {
                    stopped = true;
                }
                if stopped {
                    self.give_up(&mut jobs, &order);
                }
                // Elsewhere first: what waits there costs us nothing.
                while !stopped && jobs.away() < self.elsewhere.room() {
                    let Some(job) = jobs.for_there() else { break };
                    self.elsewhere.start(order[job]);
                }
                if self.elsewhere.room() == 0 {
                    let left = std::mem::take(&mut jobs.free);
                    jobs.refused.extend(left);
                }
                let is_open = open_at.is_none_or(|at| Instant::now() >= at) || self.elsewhere.room() == 0;
                let unended = order.len() - jobs.ended.len();
                let wanted = match self.here {
                    Here::All => unended,
                    Here::Refused => jobs.refused.len() + running,
                };
                if supply.is_none() && wanted > 0 && is_open && !stopped {
                    let lender = events.clone();
                    supply = Some(Supply::open(self.slots, unended, move |token| {
                        let _ = lender.send(Event::Token(token));
                    }));
                }
                if let Some(supply) = supply.as_mut().filter(|_| is_open && !stopped) {
                    supply.look(wanted);
                    (self.allow)(supply.allowed());
                    while running < supply.allowed() {
                        let Some(job) = jobs.for_here(self.here) else { break };
                        if !jobs.both.contains(&job) && !jobs.ours.contains(&job) {
                            jobs.here.insert(job, Instant::now());
                        }
                        running += 1;
                        let (teller, run, number) = (events.clone(), &self.run, order[job]);
                        let work = move || run_here(run, number, &teller);
                        if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                            // What is told meanwhile waits.
                            run_here(run, number, &events);
                        }
                    }
                    if wanted <= running {
                        supply.give_back(running);
                    }
                }
                if jobs.ended.len() == order.len() || (stopped && running == 0) {
                    break;
                }
                match inbox.recv_timeout(TICK) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                    Ok(Event::Opened) => open_at = None,
                    Ok(Event::Broken) => stopped = true,
                    Ok(Event::Token(token)) => {
                        if let Some(supply) = &mut supply {
                            supply.lent(token, wanted);
                        }
                    }
                    Ok(Event::Here(job, result)) => {
                        running -= 1;
                        let result = result.unwrap_or_else(|panic| resume_unwind(panic));
                        let at = place[job];
                        if jobs.ended.contains(&at) {
                            continue;
                        }
                        let Some(result) = result else {
                            jobs.leave(at);
                            continue;
                        };
                        if jobs.is_away(at) {
                            self.elsewhere.cancel(job);
                        }
                        jobs.end(at);
                        stopped |= done(job, result, Side::Here) == Next::Stop;
                    }
                    Ok(Event::Elsewhere(job, told)) => {
                        let at = place[job];
                        if jobs.ended.contains(&at) {
                            continue;
                        }
                        match told {
                            Told::Begun if jobs.queued.remove(&at) => {
                                jobs.begun.insert(at, Instant::now());
                            }
                            Told::Begun if jobs.both.contains(&at) => {
                                jobs.raced.insert(at);
                            }
                            // By another worker, after one that was lost.
                            Told::Begun => {}
                            Told::Done(result) => {
                                if let Some(since) = jobs.begun.get(&at) {
                                    jobs.took = (jobs.took.0 + since.elapsed(), jobs.took.1 + 1);
                                }
                                jobs.end(at);
                                stopped |= done(job, result, Side::Elsewhere) == Next::Stop;
                            }
                            Told::Refused => jobs.come_back(at),
                        }
                    }
                }
            }
            for job in jobs.queued.iter().chain(jobs.begun.keys()).chain(&jobs.both) {
                self.elsewhere.cancel(order[*job]);
            }
            // What still runs here has lost.
            if running > 0 {
                (self.halt)();
            }
        });
        jobs.raced.len()
    }

    /// Nothing more is begun, and nothing elsewhere waited for.
    fn give_up(&self, jobs: &mut Where, order: &[usize]) {
        let away = jobs.queued.iter().chain(jobs.begun.keys()).chain(&jobs.both);
        for job in away {
            self.elsewhere.cancel(order[*job]);
        }
        for set in [&mut jobs.free, &mut jobs.refused, &mut jobs.queued, &mut jobs.both] {
            set.clear();
        }
        jobs.begun.clear();
    }
}

impl Where {
    /// What ran here has found its object there already: whose it is will be told.
    fn leave(&mut self, job: usize) {
        self.here.remove(&job);
        match self.ours.contains(&job) {
            // It was, and has been lost since.
            true => self.refused.insert(job),
            false => self.left.insert(job),
        };
    }

    /// Elsewhere has refused a job.
    fn come_back(&mut self, job: usize) {
        // Refused before its turn, it is not to be handed over.
        let was_there = self.free.remove(&job) || self.queued.remove(&job) || self.begun.remove(&job).is_some();
        if self.left.remove(&job) {
            self.both.remove(&job);
            self.refused.insert(job);
        } else if self.both.remove(&job) {
            // It runs here already.
            self.ours.insert(job);
        } else if was_there {
            self.refused.insert(job);
        } else if self.here.remove(&job).is_some() {
            self.ours.insert(job);
        }
    }
}

#[cfg(test)]
mod tests;
