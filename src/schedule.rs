//! Runs jobs in parallel: as many as their slots allow, heaviest first, none after the first failure.
//! Knows nothing of backends; a job is a number with a weight.

pub mod shared;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::slots::{Slots, Supply};

enum Event<R> {
    Token(std::io::Result<jobserver::Acquired>),
    Done {
        thread: usize,
        job: usize,
        result: thread::Result<R>,
    },
}

/// What a finished job says of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    Continue,
    /// Start no more jobs; those that run are waited for.
    Stop,
}

/// Runs jobs `0..weights.len()`, heaviest first. `allow` is told how many may run at once, again and again, and says how
/// many more than those can be begun, to have them at hand when one ends; `run` makes a job's result on a thread that
/// does nothing else meanwhile, or here where no thread can be had; `done` takes each result as it comes, here. Returns once nothing runs any more and every token is given back.
pub fn run<R: Send + 'static>(
    weights: &[u64],
    slots: &Slots,
    allow: impl Fn(usize) -> usize,
    run: impl Fn(usize) -> R + Sync,
    mut done: impl FnMut(usize, R) -> Next,
) {
    let mut queue: Vec<usize> = (0..weights.len()).collect();
    queue.sort_by_key(|job| weights[*job]);
    thread::scope(|scope| {
        let (events, inbox) = mpsc::channel::<Event<R>>();
        let lender = events.clone();
        let mut supply = Supply::open(slots, queue.len(), move |token| {
            // Nobody listens any more once the last job is done; the token is given back as it is dropped here.
            let _ = lender.send(Event::Token(token));
        });
        let mut running: usize = 0;
        // As many as have run at once, and kept: of ten thousand short backends, starting a thread for each shows.
        let mut threads: Vec<Sender<usize>> = Vec::new();
        let mut idle: Vec<usize> = Vec::new();
        loop {
            supply.look(running + queue.len());
            let begun = supply.allowed() + allow(supply.allowed());
            while running < begun {
                let Some(job) = queue.pop() else { break };
                let thread = idle.pop().or_else(|| {
                    let (jobs, given) = mpsc::channel();
                    let (events, run, thread) = (events.clone(), &run, threads.len());
                    let work = move || {
                        for job in given {
                            let result = catch_unwind(AssertUnwindSafe(|| run(job)));
                            // The loop below takes events until the last job's; a send can only fail after it has panicked.
                            let _ = events.send(Event::Done { thread, job, result });
                        }
                    };
                    thread::Builder::new().spawn_scoped(scope, work).ok()?;
                    threads.push(jobs);
                    Some(thread)
                });
                match thread {
                    Some(thread) => {
                        running += 1;
                        // It waits for one, as long as `threads` has its end.
                        let _ = threads[thread].send(job);
                    }
                    // No more threads than there are can be had: the job waits for one of them.
                    None if running > 0 => {
                        queue.push(job);
                        break;
                    }
                    None if done(job, run(job)) == Next::Stop => queue.clear(),
                    None => {}
                }
            }
            if queue.is_empty() {
                supply.give_back(running);
            }
            if running == 0 {
                break;
            }
            match receive(&inbox, supply.patience(running + queue.len())) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Ok(Event::Token(token)) => supply.lent(token, running + queue.len()),
                Ok(Event::Done { thread, job, result }) => {
                    running -= 1;
                    idle.push(thread);
                    // A panic is everybody's: nothing more is begun, and tokens are given back.
                    let result = result.unwrap_or_else(|panic| resume_unwind(panic));
                    if done(job, result) == Next::Stop {
                        queue.clear();
                    }
                }
            }
        }
    });
}

fn receive<T>(inbox: &Receiver<T>, patience: Option<Duration>) -> Result<T, RecvTimeoutError> {
    match patience {
        Some(patience) => inbox.recv_timeout(patience),
        None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::slots_in;
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
            |job| order.lock().unwrap().push(job),
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
            |_| started.fetch_add(1, Ordering::SeqCst),
            |_, _| Next::Stop,
        );
        assert_eq!(started.load(Ordering::SeqCst), 1);
    }

    /// Of forty jobs: the most that ran at once, and the most that might have.
    fn forty(slots: &Slots) -> (usize, usize) {
        let (now, peak, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        run(
            &[1; 40],
            slots,
            |allowed| {
                most.fetch_max(allowed, Ordering::SeqCst);
                0
            },
            |_| {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(5));
                now.fetch_sub(1, Ordering::SeqCst);
            },
            |_, ()| Next::Continue,
        );
        (peak.into_inner(), most.into_inner())
    }

    #[test]
    fn tokens_bound_what_runs_and_are_all_given_back() {
        let client = jobserver::Client::new(2).unwrap();
        let slots = Slots::Jobserver {
            client: client.clone(),
            limit: 8,
        };
        let (peak, _) = forty(&slots);
        assert!((2..=3).contains(&peak), "one of our own and make's two: {peak}");
        assert_eq!(client.available().unwrap(), 2);
    }

    #[test]
    fn slots_of_the_machine_bound_what_runs_and_are_all_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let machine = slots_in(folder.path());
        let limit = thread::available_parallelism().unwrap().get() + 4;
        let slots = Slots::Machine {
            slots: machine.clone(),
            limit,
        };
        let mut held = Vec::new();
        for (taken, expected) in [(0, limit), (limit - 3, 3), (limit, 1)] {
            held.extend(machine.open(limit).unwrap().take(taken).unwrap());
            let (peak, most) = forty(&slots);
            assert_eq!(most, expected.min(40));
            assert!(peak <= expected, "{peak} at once where {expected} may be");
        }
    }

    /// Also for jobs that have been begun ahead of their turn, with none left after them.
    #[test]
    fn a_slot_that_becomes_free_is_taken() {
        for ahead in [0, 4] {
            let folder = tempfile::tempdir().unwrap();
            let machine = slots_in(folder.path());
            let limit = thread::available_parallelism().unwrap().get() + 1;
            let held = Mutex::new(machine.open(limit).unwrap().take(limit).unwrap());
            let allowed = AtomicUsize::new(0);
            run(
                &[1; 5],
                &Slots::Machine { slots: machine, limit },
                |now| {
                    allowed.fetch_max(now, Ordering::SeqCst);
                    ahead
                },
                |_| {
                    held.lock().unwrap().clear();
                    while allowed.load(Ordering::SeqCst) < limit.min(5) {
                        thread::sleep(Duration::from_millis(1));
                    }
                },
                |_, ()| Next::Continue,
            );
        }
    }
}
