//! How many jobs may run at once: make's jobserver says, or the slots of the machine do, or a number.
//! Knows nothing of the jobs, nor of when they are started.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use jobserver::{Acquired, Client, HelperThread};

use crate::machine::{MachineSlots, OpenSlots, Slot};

/// How many jobs may run at once.
#[derive(Debug)]
pub enum Slots {
    /// This many.
    Fixed(usize),
    /// One that make already counts for us, and one more for every token it lends, up to a limit.
    Jobserver {
        /// make's.
        client: Client,
        /// The most to ask for.
        limit: usize,
    },
    /// One that everybody has, and one more for every slot of the machine that is free, up to a limit.
    Machine {
        /// Shared with this user's other links.
        slots: MachineSlots,
        /// The most at once.
        limit: usize,
    },
}

impl Slots {
    /// The slots of this process: make's jobserver if it can be used, else those of the machine, as many as `MAKEFLAGS`'
    /// `-jN` says or there are CPUs; never more than `limit` where one is given.
    pub fn from_environment(limit: Option<usize>) -> Slots {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        match crate::sys::jobserver() {
            Some(client) => Slots::Jobserver {
                client,
                limit: limit.unwrap_or(cpus),
            },
            None => {
                let make = std::env::var("MAKEFLAGS").ok().and_then(|flags| make_jobs(&flags));
                let most = make.map_or(cpus, |n| n.min(cpus));
                Slots::Machine {
                    slots: MachineSlots::of_user(),
                    limit: limit.map_or(most, |n| n.min(make.unwrap_or(n))),
                }
            }
        }
    }
}

/// `-jN` of a `MAKEFLAGS` whose jobserver cannot be used.
fn make_jobs(flags: &str) -> Option<usize> {
    flags
        .split_whitespace()
        .rev()
        .find_map(|word| word.strip_prefix("-j")?.parse().ok())
}

/// What allows one more job; given back when dropped.
trait Token {}

impl Token for Acquired {}

impl Token for Slot {}

/// How long after one look for free slots of the machine comes the next, while there is work for them. The kernel tells
/// nobody that a lock was let go, but for one who waits for that very lock in a call that only a signal ends. A look costs
/// less than a microsecond a slot, and a backend takes several times this long.
const AGAIN: Duration = Duration::from_millis(20);

/// The most slots that a link holds of the machine: as many workers as its fork server has.
const MOST: usize = 1024;

/// Slots in use: what is held of them, and where more come from.
pub struct Supply {
    /// So many jobs need no token.
    free: usize,
    /// As many tokens as there can be a use for.
    wanted: usize,
    tokens: Vec<Box<dyn Token>>,
    source: Source,
}

enum Source {
    None,
    /// A thread that waits for make's; it ends when dropped.
    Make {
        _helper: HelperThread,
    },
    Machine {
        slots: OpenSlots,
        looked: Instant,
    },
}

impl Supply {
    /// For so many jobs. What the machine has free is taken at once; what make lends goes to `lend`, which hands it to
    /// [`Supply::lent`].
    pub fn open(slots: &Slots, jobs: usize, lend: impl FnMut(io::Result<Acquired>) + Send + 'static) -> Supply {
        match slots {
            Slots::Fixed(limit) => Supply::ample(*limit),
            Slots::Jobserver { client, limit } => {
                Supply::of_make(client, *limit, jobs, lend).unwrap_or_else(|| Supply::ample(*limit))
            }
            Slots::Machine { limit, .. } if *limit <= 1 || jobs <= 1 => Supply::ample(*limit),
            Slots::Machine { slots, limit } => Supply::of_machine(slots, *limit, jobs).unwrap_or_else(|error| {
                tracing::debug!(%error, "no slots of the machine: other links are not heeded");
                Supply::ample(*limit)
            }),
        }
    }

    fn ample(limit: usize) -> Supply {
        Supply {
            free: limit.max(1),
            wanted: 0,
            tokens: Vec::new(),
            source: Source::None,
        }
    }

    fn of_make(
        client: &Client,
        limit: usize,
        jobs: usize,
        lend: impl FnMut(io::Result<Acquired>) + Send + 'static,
    ) -> Option<Supply> {
        let helper = client.clone().into_helper_thread(lend).ok()?;
        let wanted = limit.min(jobs).saturating_sub(1);
        for _ in 0..wanted {
            helper.request_token();
        }
        Some(Supply {
            free: 1,
            wanted,
            tokens: Vec::new(),
            source: Source::Make { _helper: helper },
        })
    }

    fn of_machine(slots: &MachineSlots, limit: usize, jobs: usize) -> io::Result<Supply> {
        let wanted = limit.min(jobs).saturating_sub(1);
        // Not one file for each that somebody may have a use for some day.
        let mut slots = slots.open((wanted + 1).min(MOST))?;
        let tokens = boxed(slots.take(wanted)?);
        Ok(Supply {
            free: 1,
            wanted,
            tokens,
            source: Source::Machine {
                slots,
                looked: Instant::now(),
            },
        })
    }

    /// How many jobs may run at once now.
    pub fn allowed(&self) -> usize {
        self.free + self.tokens.len()
    }

    /// How many more tokens so many jobs, running or waiting, have a use for.
    fn missing(&self, jobs: usize) -> usize {
        let wanted = self.wanted.min(jobs.saturating_sub(self.free));
        wanted.saturating_sub(self.tokens.len())
    }

    /// A token of make's has come, or make is gone; it is given back at once if there is no use for it.
    pub fn lent(&mut self, token: io::Result<Acquired>, jobs: usize) {
        if let (Ok(token), 1..) = (token, self.missing(jobs)) {
            self.tokens.push(Box::new(token));
        }
    }

    /// Takes what slots of the machine have become free, if jobs have a use for them and it is time for a look.
    pub fn look(&mut self, jobs: usize) {
        let missing = self.missing(jobs);
        if let (Source::Machine { slots, looked }, 1..) = (&mut self.source, missing)
            && looked.elapsed() >= AGAIN
        {
            *looked = Instant::now();
            match slots.take(missing) {
                Ok(taken) => self.tokens.extend(boxed(taken)),
                Err(error) => tracing::debug!(%error, "no more slots of the machine"),
            }
        }
    }

    /// How long to wait for anything else before [`Supply::look`] is called again; none where it has nothing to look for.
    pub fn patience(&self, jobs: usize) -> Option<Duration> {
        match &self.source {
            Source::Machine { looked, .. } if self.missing(jobs) > 0 => Some(AGAIN.saturating_sub(looked.elapsed())),
            _ => None,
        }
    }

    /// Gives back what so many jobs, and none after them, have no use for.
    pub fn give_back(&mut self, running: usize) {
        self.tokens.truncate(running.saturating_sub(self.free));
    }
}

fn boxed(slots: Vec<Slot>) -> Vec<Box<dyn Token>> {
    slots.into_iter().map(|slot| Box::new(slot) as Box<dyn Token>).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_jobservers_j_still_counts() {
        assert_eq!(make_jobs(" -j4 --jobserver-auth=3,4"), Some(4));
        assert_eq!(make_jobs("w -j --jobserver-auth=3,4"), None);
    }
}
