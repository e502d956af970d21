use super::*;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What elsewhere makes of a job it is handed.
#[derive(Clone, Copy)]
enum Does {
    Job(Duration),
    Refuse,
    Nothing,
    /// This one is done, nothing is ever heard of another.
    Only(usize),
}

struct Other {
    tell: Tell<usize>,
    does: Does,
    room: usize,
    away: AtomicUsize,
    most: AtomicUsize,
    started: Mutex<Vec<usize>>,
    cancelled: Mutex<HashSet<usize>>,
}

impl Elsewhere for Other {
    fn room(&self) -> usize {
        self.room
    }

    fn start(&self, job: usize) {
        self.started.lock().unwrap().push(job);
        self.most
            .fetch_max(self.away.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let (tell, does) = (self.tell.clone(), self.does);
        match does {
            Does::Nothing => tell.of(job, Told::Begun),
            Does::Only(one) if one == job => tell.of(job, Told::Done(job)),
            Does::Only(_) => {}
            Does::Refuse => tell.of(job, Told::Refused),
            Does::Job(takes) => drop(thread::spawn(move || {
                // The first worker may be lost, or what it left no good.
                tell.of(job, Told::Begun);
                tell.of(job, Told::Begun);
                thread::sleep(takes);
                tell.of(job, Told::Done(job));
            })),
        }
    }

    fn cancel(&self, job: usize) {
        self.cancelled.lock().unwrap().insert(job);
    }
}

struct Outcome {
    ended: Vec<(usize, Side)>,
    other: Other,
    raced: usize,
}

impl Outcome {
    fn by(&self, side: Side) -> usize {
        self.ended.iter().filter(|(_, by)| *by == side).count()
    }
}

fn run(weights: &[u64], place: (Does, usize), here: Here, takes: Duration) -> Outcome {
    run_told(weights, place, here, takes, |_| {})
}

/// `before` tells of jobs before any is handed over.
fn run_told(
    weights: &[u64],
    (does, room): (Does, usize),
    here: Here,
    takes: Duration,
    before: impl Fn(&Tell<usize>),
) -> Outcome {
    let line = Line::new();
    before(&line.tell());
    let begun = Instant::now();
    let other = Other {
        tell: line.tell(),
        does,
        room,
        away: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        started: Mutex::default(),
        cancelled: Mutex::default(),
    };
    line.tell().opened();
    let mut ended = Vec::new();
    let raced = Shared {
        weights,
        slots: &Slots::Fixed(2),
        here,
        elsewhere: &other,
        allow: &|_| {},
        run: |job| {
            thread::sleep(takes);
            Some(job)
        },
        halt: &|| {},
        // Whoever hangs fails.
        interrupted: &|| begun.elapsed() > Duration::from_secs(30),
    }
    .run(line, |job, result, side| {
        assert_eq!(job, result);
        ended.push((job, side));
        other.away.fetch_sub(1, Ordering::SeqCst);
        Next::Continue
    });
    let each: HashSet<usize> = ended.iter().map(|(job, _)| *job).collect();
    assert_eq!((each.len(), ended.len()), (weights.len(), weights.len()));
    Outcome { ended, other, raced }
}

const SHORT: Duration = Duration::from_millis(5);

#[test]
fn elsewhere_alone_does_everything_heaviest_first() {
    let weights = [3, 9, 1, 7];
    let outcome = run(&weights, (Does::Job(SHORT), 2), Here::Refused, SHORT);
    assert_eq!(outcome.by(Side::Elsewhere), 4);
    assert_eq!(*outcome.other.started.lock().unwrap(), [1, 3, 0, 2]);
    assert!(outcome.other.most.load(Ordering::SeqCst) <= 2);
    assert_eq!(outcome.raced, 0);
}

#[test]
fn what_is_refused_is_done_here() {
    for here in [Here::All, Here::Refused] {
        let outcome = run(&[1; 9], (Does::Refuse, 4), here, SHORT);
        assert_eq!(outcome.by(Side::Here), 9);
    }
}

#[test]
fn without_room_elsewhere_all_is_done_here() {
    let outcome = run(&[1; 9], (Does::Nothing, 0), Here::Refused, SHORT);
    assert_eq!(outcome.by(Side::Here), 9);
    assert!(outcome.other.started.lock().unwrap().is_empty());
}

/// Whatever elsewhere has begun and never ends is begun here too, and no longer wanted once it has ended.
#[test]
fn what_hangs_elsewhere_is_done_here() {
    let outcome = run(&[1; 5], (Does::Nothing, 3), Here::All, SHORT);
    assert_eq!(outcome.by(Side::Here), 5);
    assert!(outcome.raced >= 1);
    let cancelled = outcome.other.cancelled.lock().unwrap();
    assert!(
        outcome
            .other
            .started
            .lock()
            .unwrap()
            .iter()
            .all(|job| cancelled.contains(job))
    );
}

/// And the other way round: slots here that take long do not keep a free server waiting.
#[test]
fn what_takes_long_here_is_done_elsewhere() {
    let outcome = run(&[1; 6], (Does::Job(SHORT), 1), Here::All, Duration::from_secs(4));
    assert!(outcome.by(Side::Elsewhere) >= 4, "{:?}", outcome.ended);
}

#[test]
fn nothing_is_waited_for_once_all_is_to_end() {
    let line = Line::new();
    let other = Other {
        tell: line.tell(),
        does: Does::Nothing,
        room: 9,
        away: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        started: Mutex::default(),
        cancelled: Mutex::default(),
    };
    let shared = Shared {
        weights: &[1; 4],
        slots: &Slots::Fixed(1),
        here: Here::Refused,
        elsewhere: &other,
        allow: &|_| {},
        run: Some,
        halt: &|| {},
        interrupted: &|| other.started.lock().unwrap().len() == 4,
    };
    shared.run(line, |_, _: usize, _| Next::Continue);
    assert_eq!(other.cancelled.lock().unwrap().len(), 4);
}

/// Whatever is in a server's cache may be here before its turn has come.
#[test]
fn what_has_ended_is_not_handed_over() {
    let told = |tell: &Tell<usize>| (0..5).rev().for_each(|job| tell.of(job, Told::Done(job)));
    let outcome = run_told(&[9, 8, 7, 6, 5, 1], (Does::Only(5), 1), Here::Refused, SHORT, told);
    assert_eq!(outcome.by(Side::Elsewhere), 6);
}

#[test]
fn what_is_refused_before_its_turn_is_done_here() {
    let told = |tell: &Tell<usize>| (0..5).rev().for_each(|job| tell.of(job, Told::Refused));
    let outcome = run_told(&[9, 8, 7, 6, 5, 1], (Does::Only(5), 1), Here::Refused, SHORT, told);
    assert_eq!((outcome.by(Side::Here), outcome.by(Side::Elsewhere)), (5, 1));
}

/// What was left to the other end, which then fails, is begun again here, in whichever order that is heard.
#[test]
fn what_both_ends_lose_is_done_here() {
    for late in [Duration::ZERO, Duration::from_millis(60)] {
        let line = Line::new();
        let tell = line.tell();
        tell.opened();
        let other = Other {
            tell: line.tell(),
            does: Does::Nothing,
            room: 1,
            away: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            started: Mutex::default(),
            cancelled: Mutex::default(),
        };
        let (tries, begun) = (AtomicUsize::new(0), Instant::now());
        let mut ended = Vec::new();
        Shared {
            weights: &[1],
            slots: &Slots::Fixed(2),
            here: Here::All,
            elsewhere: &other,
            allow: &|_| {},
            run: |job| {
                if tries.fetch_add(1, Ordering::SeqCst) > 0 {
                    return Some(job);
                }
                let tell = tell.clone();
                thread::spawn(move || {
                    thread::sleep(late);
                    tell.of(job, Told::Refused);
                });
                thread::sleep(Duration::from_millis(20));
                None
            },
            halt: &|| {},
            interrupted: &|| begun.elapsed() > Duration::from_secs(30),
        }
        .run(line, |job, _, side| {
            ended.push((job, side));
            Next::Continue
        });
        assert_eq!(ended, [(0, Side::Here)]);
    }
}
