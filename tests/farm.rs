//! The farm simulator of `benches/farm` against what can be said without one, and the recording that a link leaves for it.
//! Knows nothing of real farms.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

mod common;

#[path = "../benches/farm/farm.rs"]
mod farm;
#[path = "../benches/farm/model.rs"]
mod model;
#[path = "../benches/farm/recording.rs"]
mod recording;

use common::Bench;
use farm::{Farm, Hands};
use model::Bound;
use recording::{Made, Recording, Task};
use thinlto_ld::observe::work::Work;

/// Whatever can be free is.
fn ideal() -> Farm {
    Farm {
        name: "ideal".to_owned(),
        source: "none".to_owned(),
        action: 0.0,
        dispatched: 1e9,
        cached: 0.0,
        questions: 1,
        round_trip: 0.0,
        up: 1e15,
        down: 1e15,
        worker_wire: 1e15,
        worker_slots: 1,
        slowness: 1.0,
        compressed: 1.0,
    }
}

/// Backends of one to ten seconds, each module a megabyte for a second, each importing from its neighbours.
fn link(tasks: usize) -> Recording {
    let task = |at: usize| Task {
        seconds: (at % 10 + 1) as f64,
        work: Work {
            module: (at % 10 + 1) as u64 * 1_000_000,
            index: 1000,
            object: 500_000,
            imports: (1..4).map(|step| (at + step) % tasks).collect(),
        },
    };
    Recording {
        name: "made up".to_owned(),
        llvm: "22.1.8".to_owned(),
        before: 3.0,
        backends: 0.0,
        after: 2.0,
        own_cpu: 0.0,
        tasks: (0..tasks).map(task).collect(),
    }
}

fn hands(workers: usize, local: usize) -> Hands {
    Hands { workers, local }
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!(
        (found / expected - 1.0).abs() < 1e-3,
        "{found} where {expected} was expected"
    );
}

#[test]
fn one_pair_of_hands_takes_the_sum_and_very_many_the_longest() {
    let link = link(200);
    let sum: f64 = link.tasks.iter().map(|task| task.seconds).sum();
    for one in [hands(0, 1), hands(1, 0)] {
        let outcome = model::cold(&link, &ideal(), one);
        near(outcome.backends, sum);
        near(outcome.wall, sum + 5.0);
        assert_eq!(outcome.bound, Bound::Slots);
    }
    near(model::cold(&link, &ideal(), hands(100, 100)).backends, 10.0);
    near(model::cold(&link, &ideal(), hands(1, 1)).backends, sum / 2.0);
}

#[test]
fn more_workers_are_never_much_slower() {
    let link = link(500);
    let farm: Farm = serde_json::from_str(include_str!("../benches/farm/engines/buildgrid.json")).unwrap();
    let walls: Vec<f64> = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]
        .map(|workers| model::cold(&link, &farm, hands(workers, 2)).wall)
        .to_vec();
    // Greedy schedules can be a little worse with more hands.
    assert!(walls.windows(2).all(|two| two[1] <= two[0] * 1.01), "{walls:?}");
    assert!(walls[9] < walls[0] / 20.0);
}

#[test]
fn each_thing_that_is_slow_alone_bounds_the_link() {
    let link = link(300);
    let all = hands(1000, 0);
    let uploaded: u64 = link.tasks.iter().map(|task| task.work.module + task.work.index).sum();
    let up = Farm { up: 1e6, ..ideal() };
    let outcome = model::cold(&link, &up, all);
    assert_eq!((outcome.bound, outcome.bytes.0), (Bound::Upload, uploaded));
    assert!(outcome.backends >= uploaded as f64 / 1e6);
    let down = Farm { down: 1e6, ..ideal() };
    let outcome = model::cold(&link, &down, all);
    assert_eq!((outcome.bound, outcome.bytes.1), (Bound::Download, 300 * 500_000));
    let slow = Farm {
        dispatched: 10.0,
        ..ideal()
    };
    let outcome = model::cold(&link, &slow, all);
    assert_eq!(outcome.bound, Bound::Dispatch);
    assert!(outcome.backends >= 30.0);
    // A farm that is no help is not used.
    let hopeless = Farm {
        slowness: 1e6,
        ..ideal()
    };
    let outcome = model::cold(&link, &hopeless, hands(4, 2));
    assert_eq!(outcome.remote, 0);
    near(outcome.backends, model::cold(&link, &ideal(), hands(0, 2)).backends);
    let cached = model::cached(
        &link,
        &Farm {
            cached: 0.1,
            questions: 10,
            ..ideal()
        },
    );
    near(cached.backends, 3.0);
}

#[test]
fn a_larger_program_is_the_same_one_again_and_again() {
    let link = link(100);
    let larger = link.scaled(250);
    assert_eq!(larger.tasks.len(), 250);
    near(larger.before, 7.5);
    assert_eq!(larger.tasks[103].seconds, link.tasks[3].seconds);
    assert_eq!(larger.tasks[103].work.imports, [104, 105, 106]);
    assert!(
        larger
            .tasks
            .iter()
            .flat_map(|task| &task.work.imports)
            .all(|import| *import < 250)
    );
    let farm = ideal();
    let (once, twice) = (link.scaled(100), link.scaled(200));
    let [once, twice] = [once, twice].map(|link| model::cold(&link, &farm, hands(0, 1)).backends);
    near(twice, once * 2.0);
}

#[test]
fn a_real_link_leaves_a_recording() {
    let mut bench = Bench::new();
    let flags = ["-flto=thin", "-O2"];
    bench.compile(
        "a.c",
        "int g(int); int main(int c, char **v) { return g(c); }\n",
        &flags,
    );
    bench.compile("b.c", "int h(int); int g(int x) { return h(x) + 1; }\n", &flags);
    bench.compile(
        "c.c",
        "__attribute__((noinline)) int h(int x) { return x * 3; }\n",
        &flags,
    );
    let words = ["-o", "out", "-e", "main", "a.o", "b.o", "c.o", "--lto-obj-path=P"];
    bench.through(&words).ok();
    let stats = bench.path("stats.json");
    assert_eq!(
        Recording::read(&stats).unwrap_err(),
        format!("{}: the link was made without THINLTO_LD_TIMELINE=on", stats.display())
    );
    bench.env("THINLTO_LD_TIMELINE", "on").env("THINLTO_LD_JOBS", "1");
    bench.through(&words).ok();
    let error = Recording::read(&stats).unwrap_err();
    assert!(
        error.ends_with("a.o came from the cache: record with THINLTO_LD_CACHE=off"),
        "{error}"
    );
    let error = Made::read(&stats).unwrap_err();
    assert!(
        error.ends_with("0 backends run and 3 from a cache: nothing to compare with"),
        "{error}"
    );
    bench.env("THINLTO_LD_CACHE", "off");
    bench.through(&words).ok();
    let made = Made::read(&stats).unwrap();
    assert!(made.backends > 0.0 && made.slots == 1, "{made:?}");
    let recording = Recording::read(&stats).unwrap();
    assert_eq!((recording.tasks.len(), recording.llvm.as_str()), (3, "22.1.8"));
    for (task, (module, object)) in recording
        .tasks
        .iter()
        .zip([("a.o", "P1"), ("b.o", "P2"), ("c.o", "P3")])
    {
        assert_eq!(task.work.module, bench.read(module).len() as u64);
        assert_eq!(task.work.object, bench.read(object).len() as u64);
        assert!(task.work.index > 0 && task.seconds > 0.0);
    }
    // main imports g and what that calls.
    assert!(recording.tasks[0].work.imports.contains(&1));
    // What one slot does is the sum, in simulation too.
    let simulated = model::cold(&recording, &ideal(), hands(0, 1)).backends;
    assert!(simulated <= recording.backends);
}
