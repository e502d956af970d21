//! Runs jobs in parallel: as many as make's jobserver or the CPUs allow, heaviest first, none after the first failure.
//! Knows nothing of backends; a job is a number with a weight.

use std::sync::mpsc::{self, Sender};
use std::thread;

/// How many jobs may run at once.
#[derive(Debug)]
pub enum Slots {
    /// This many.
    Fixed(usize),
    /// One that make already counts for us, and one more for every token it lends, up to a limit.
    Jobserver {
        /// make's.
        client: jobserver::Client,
        /// The most to ask for.
        limit: usize,
    },
}

impl Slots {
    /// The slots of this process: make's jobserver if it can be used, else `MAKEFLAGS`' `-jN`, else every CPU; never
    /// more than `limit` where one is given.
    pub fn from_environment(limit: Option<usize>) -> Slots {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        match crate::sys::jobserver() {
            Ok(client) => Slots::Jobserver {
                client,
                limit: limit.unwrap_or(cpus),
            },
            Err(_) => {
                let make = std::env::var("MAKEFLAGS").ok().and_then(|flags| make_jobs(&flags));
                let most = make.map_or(cpus, |n| n.min(cpus));
                Slots::Fixed(limit.map_or(most, |n| n.min(make.unwrap_or(n))))
            }
        }
    }

    fn most(&self) -> usize {
        match self {
            Slots::Fixed(n) | Slots::Jobserver { limit: n, .. } => (*n).max(1),
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

enum Event<R> {
    Token(std::io::Result<jobserver::Acquired>),
    Done(usize, R),
}

/// What a finished job says of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    Continue,
    /// Start no more jobs; those that run are waited for.
    Stop,
}

/// Runs jobs `0..weights.len()`, heaviest first. `run` makes a job's result on a thread of its own, and is told how many
/// may run at once; `ahead` says how many more than those it can be given, to have them at hand when one ends; `done`
/// takes each result as it comes, here. Returns once nothing runs any more and every token is given back.
pub fn run<R: Send + 'static>(
    weights: &[u64],
    slots: &Slots,
    ahead: impl Fn(usize) -> usize,
    run: impl Fn(usize, usize) -> R + Sync,
    mut done: impl FnMut(usize, R) -> Next,
) {
    let mut queue: Vec<usize> = (0..weights.len()).collect();
    queue.sort_by_key(|job| weights[*job]);
    let most = slots.most();
    thread::scope(|scope| {
        let (events, inbox) = mpsc::channel::<Event<R>>();
        let helper = token_helper(slots, most, queue.len(), &events);
        let mut tokens = Vec::new();
        let mut running: usize = 0;
        // The slots that need no token: all of them, or the one that make counts for us.
        let free = if helper.is_some() { 1 } else { most };
        loop {
            let allowed = free + tokens.len();
            while running < allowed + ahead(allowed) {
                let Some(job) = queue.pop() else { break };
                running += 1;
                let (events, run) = (events.clone(), &run);
                scope.spawn(move || {
                    let result = run(job, allowed);
                    // The loop below takes events until the last job's; a send can only fail after it has panicked.
                    let _ = events.send(Event::Done(job, result));
                });
            }
            if queue.is_empty() {
                tokens.truncate(running.saturating_sub(free));
            }
            if running == 0 {
                break;
            }
            match inbox.recv() {
                Err(_) => break,
                Ok(Event::Token(token)) => tokens.extend(token.ok().filter(|_| !queue.is_empty())),
                Ok(Event::Done(job, result)) => {
                    running -= 1;
                    if done(job, result) == Next::Stop {
                        queue.clear();
                    }
                }
            }
        }
    });
}

/// A thread that waits for make's tokens, where there is a jobserver and more than one job could use them.
fn token_helper<R: Send + 'static>(
    slots: &Slots,
    most: usize,
    jobs: usize,
    events: &Sender<Event<R>>,
) -> Option<jobserver::HelperThread> {
    let Slots::Jobserver { client, .. } = slots else {
        return None;
    };
    let events = events.clone();
    let forward = move |token| {
        // Nobody listens any more once the last job is done; the token is given back as it is dropped here.
        let _ = events.send(Event::Token(token));
    };
    let helper = client.clone().into_helper_thread(forward).ok()?;
    for _ in 1..most.min(jobs) {
        helper.request_token();
    }
    Some(helper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn heaviest_first_and_all_of_them() {
        let order = Mutex::new(Vec::new());
        let mut results = Vec::new();
        run(
            &[1, 9, 5],
            &Slots::Fixed(1),
            |_| 0,
            |job, _| order.lock().unwrap().push(job),
            |job, ()| {
                results.push(job);
                Next::Continue
            },
        );
        assert_eq!(*order.lock().unwrap(), [1, 2, 0]);
        assert_eq!(results, [1, 2, 0]);
    }

    #[test]
    fn nothing_starts_after_a_failure() {
        let started = AtomicUsize::new(0);
        run(
            &[1; 50],
            &Slots::Fixed(1),
            |_| 0,
            |_, _| started.fetch_add(1, Ordering::SeqCst),
            |_, _| Next::Stop,
        );
        assert_eq!(started.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn tokens_bound_what_runs_and_are_all_given_back() {
        let client = jobserver::Client::new(2).unwrap();
        let (now, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let job = |_, _| {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(std::time::Duration::from_millis(5));
            now.fetch_sub(1, Ordering::SeqCst);
        };
        run(
            &[1; 40],
            &Slots::Jobserver {
                client: client.clone(),
                limit: 8,
            },
            |_| 0,
            job,
            |_, ()| Next::Continue,
        );
        assert!(
            (2..=3).contains(&peak.load(Ordering::SeqCst)),
            "one of our own and make's two: {peak:?}"
        );
        assert_eq!(client.available().unwrap(), 2);
    }

    #[test]
    fn a_dead_jobservers_j_still_counts() {
        assert_eq!(make_jobs(" -j4 --jobserver-auth=3,4"), Some(4));
        assert_eq!(make_jobs("w -j --jobserver-auth=3,4"), None);
    }
}
