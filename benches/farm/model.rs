//! The wall time of a recorded link on a farm of any size: uploads, the server, workers, downloads and the machine's own
//! slots, event by event. Knows nothing of where figures come from; what it leaves out stands in `docs/scale.md`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use crate::farm::{Farm, Hands};
use crate::recording::{Recording, Task};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Seconds of the whole link.
    pub wall: f64,
    /// Of which until the last object was here.
    pub backends: f64,
    /// Backends that the farm has run.
    pub remote: usize,
    /// Bytes sent and received.
    pub bytes: (u64, u64),
    /// What it waited for most.
    pub bound: Bound,
}

/// What could not have been faster without more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Thin link and final link, which no farm helps.
    Links,
    /// Slots that run backends.
    Slots,
    /// The wire up.
    Upload,
    /// The wire down.
    Download,
    /// Actions a second: the server's, or those the linking machine can prepare.
    Dispatch,
    /// The longest backend and what it takes to have it run.
    Longest,
}

impl Bound {
    /// For the table.
    pub fn word(self) -> &'static str {
        match self {
            Bound::Links => "links",
            Bound::Slots => "slots",
            Bound::Upload => "upload",
            Bound::Download => "download",
            Bound::Dispatch => "dispatch",
            Bound::Longest => "longest",
        }
    }
}

/// A moment, in nanoseconds: whole numbers have an order.
type Moment = u64;

fn moment(seconds: f64) -> Moment {
    (seconds * 1e9).round() as Moment
}

fn seconds(moment: Moment) -> f64 {
    moment as f64 / 1e9
}

/// Something that serves one after the other: a wire, the server's queue.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    free: Moment,
    busy: f64,
}

impl Line {
    /// When what comes at `from` and takes so long has been served.
    fn through(&mut self, from: Moment, seconds: f64) -> Moment {
        self.busy += seconds;
        self.free = self.free.max(from) + moment(seconds);
        self.free
    }
}

/// Slots of one kind, by when each is free.
struct Slots(BinaryHeap<Reverse<(Moment, usize)>>);

impl Slots {
    fn new(count: usize) -> Slots {
        Slots((0..count).map(|slot| Reverse((0, slot))).collect())
    }

    fn first(&self) -> Option<(Moment, usize)> {
        self.0.peek().map(|first| first.0)
    }

    fn take(&mut self, until: Moment) {
        if let Some(mut first) = self.0.peek_mut() {
            first.0.0 = until;
        }
    }
}

/// A farm at work on one link.
struct Work<'a> {
    farm: &'a Farm,
    tasks: &'a [Task],
    up: Line,
    down: Line,
    dispatch: Line,
    slots: Slots,
    /// Modules the server has.
    sent: HashSet<usize>,
    /// Modules each worker has.
    fetched: Vec<HashSet<usize>>,
    bytes: (u64, u64),
}

/// What would come of one action, before anything is done for it.
struct Planned {
    done: Moment,
    busy_until: Moment,
    up: Line,
    down: Line,
    dispatch: Line,
    bytes: (u64, u64),
}

impl Work<'_> {
    fn reads(&self, task: usize) -> impl Iterator<Item = usize> + '_ {
        let imports = self.tasks.get(task).map_or(&[][..], |task| &task.work.imports);
        std::iter::once(task).chain(imports.iter().copied())
    }

    fn new_bytes(&self, task: usize, known: &HashSet<usize>) -> u64 {
        let modules = self.reads(task).filter(|module| !known.contains(module));
        let modules: u64 = modules.filter_map(|at| Some(self.tasks.get(at)?.work.module)).sum();
        modules + self.tasks.get(task).map_or(0, |task| task.work.index)
    }

    /// The way of one action: its files up, through the server, to a worker, and its object down.
    fn plan(&self, at: usize, task: &Task, prepare: f64) -> Option<Planned> {
        let (free, slot) = self.slots.first()?;
        let (mut up, mut down, mut dispatch) = (self.up, self.down, self.dispatch);
        let squeezed = |bytes: u64| bytes as f64 * self.farm.compressed;
        let sent = self.new_bytes(at, &self.sent);
        let there = up.through(0, squeezed(sent) / self.farm.up) + moment(self.farm.round_trip / 2.0);
        let handed = dispatch.through(there, (1.0 / self.farm.dispatched).max(prepare));
        let worker = slot / self.farm.worker_slots.max(1);
        let fetched = self.fetched.get(worker).map_or(0, |known| self.new_bytes(at, known));
        let takes = self.farm.action + squeezed(fetched) / self.farm.worker_wire + task.seconds * self.farm.slowness;
        let busy_until = free.max(handed) + moment(takes);
        let told = busy_until + moment(self.farm.round_trip / 2.0);
        let done = down.through(told, squeezed(task.work.object) / self.farm.down) + moment(self.farm.round_trip);
        Some(Planned {
            done,
            busy_until,
            up,
            down,
            dispatch,
            bytes: (sent, task.work.object),
        })
    }

    fn commit(&mut self, at: usize, planned: Planned) {
        let worker = self.slots.first().map(|(_, slot)| slot / self.farm.worker_slots.max(1));
        let reads: Vec<usize> = self.reads(at).collect();
        self.sent.extend(&reads);
        if let Some(known) = worker.and_then(|worker| self.fetched.get_mut(worker)) {
            known.extend(&reads);
        }
        self.slots.take(planned.busy_until);
        (self.up, self.down, self.dispatch) = (planned.up, planned.down, planned.dispatch);
        self.bytes.0 += planned.bytes.0;
        self.bytes.1 += planned.bytes.1;
    }
}

/// The link with nothing in any cache: in the order of the schedule, each backend to whoever would finish it sooner.
pub fn cold(link: &Recording, farm: &Farm, hands: Hands) -> Outcome {
    let mut order: Vec<usize> = (0..link.tasks.len()).collect();
    order.sort_by_key(|at| Reverse(link.weight(*at)));
    let mut local = Slots::new(hands.local);
    let mut work = Work {
        farm,
        tasks: &link.tasks,
        // The server is asked what it can do, then which files it lacks.
        up: Line {
            free: moment(2.0 * farm.round_trip),
            busy: 0.0,
        },
        down: Line::default(),
        dispatch: Line::default(),
        slots: Slots::new(hands.workers * farm.worker_slots),
        sent: HashSet::new(),
        fetched: vec![HashSet::new(); hands.workers],
        bytes: (0, 0),
    };
    let (mut last, mut remote, mut busy) = (0, 0, 0.0);
    for at in order {
        let Some(task) = link.tasks.get(at) else { continue };
        let here = local.first().map(|(free, _)| free + moment(task.seconds));
        let there = work.plan(at, task, link.own_cpu);
        let done = match (here, there) {
            (Some(here), Some(there)) if here <= there.done => {
                local.take(here);
                busy += task.seconds;
                here
            }
            (_, Some(there)) => {
                let done = there.done;
                remote += 1;
                busy += farm.action + task.seconds * farm.slowness;
                work.commit(at, there);
                done
            }
            (Some(here), None) => {
                local.take(here);
                busy += task.seconds;
                here
            }
            // Nobody is there to run it.
            (None, None) => Moment::MAX / 2,
        };
        last = last.max(done);
    }
    let links = link.before + link.after;
    let slots = hands.local + hands.workers * farm.worker_slots;
    let longest = link.tasks.iter().map(|task| task.seconds).fold(0.0, f64::max);
    let bounds = [
        (Bound::Links, links),
        (Bound::Slots, busy / slots.max(1) as f64),
        (Bound::Upload, work.up.busy),
        (Bound::Download, work.down.busy),
        (Bound::Dispatch, work.dispatch.busy),
        (Bound::Longest, longest),
    ];
    Outcome {
        wall: links + seconds(last),
        backends: seconds(last),
        remote,
        bytes: work.bytes,
        bound: largest(&bounds),
    }
}

/// The link when every result is in the farm's action cache and nothing is here: questions, then downloads.
pub fn cached(link: &Recording, farm: &Farm) -> Outcome {
    let count = link.tasks.len() as f64;
    let at_once = farm.questions.max(1) as f64;
    let asked = (count * (farm.cached + farm.round_trip) / at_once).max(farm.cached + farm.round_trip);
    let prepared = count * link.own_cpu;
    let objects: u64 = link.tasks.iter().map(|task| task.work.object).sum();
    let down = objects as f64 * farm.compressed / farm.down;
    let backends = asked.max(prepared).max(down) + farm.round_trip;
    let links = link.before + link.after;
    let bounds = [
        (Bound::Links, links),
        (Bound::Dispatch, asked.max(prepared)),
        (Bound::Download, down),
    ];
    Outcome {
        wall: links + backends,
        backends,
        remote: 0,
        bytes: (0, objects),
        bound: largest(&bounds),
    }
}

fn largest(bounds: &[(Bound, f64)]) -> Bound {
    let largest = bounds.iter().max_by(|one, other| one.1.total_cmp(&other.1));
    largest.map_or(Bound::Links, |(bound, _)| *bound)
}
