//! Links whose objects come from a cache that several use, with nobody who executes.
//! The cache is a real buildbox-casd, and at times falls silent.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use common::casd::{Casd, free_port};
use common::silent::{NEVER, Silent, Until};
use common::{Bench, Outcome};
use serde_json::Value;

use common::remote::{MODULES, PRINTS, THIN, bench, program, ran, stats, up, words};

/// A cache without anybody who executes: one fills it, others use it.
#[test]
fn a_cache_is_shared() {
    let casd = Casd::bare();
    let user = |access: &str| {
        let mut bench = Bench::new();
        bench.env("THINLTO_LD_REMOTE_CACHE", &format!("{access}{}", casd.address()));
        let objects = program(&bench);
        (bench, objects)
    };
    let (first, objects) = user("");
    let outcome = first.both("clang++", &words(&objects));
    assert_eq!(ran(&outcome), [MODULES, 0, 0]);
    assert_eq!(outcome.stderr, "");

    let (second, objects) = user("read-only:");
    let outcome = second.both("clang++", &words(&objects));
    second.both_print(PRINTS);
    assert_eq!(ran(&outcome), [0, 0, MODULES]);
    assert_eq!(up(&outcome), 0);

    // Who only reads puts nothing there.
    let edited = "int fib(int n) { return n < 2 ? n : fib(n - 2) + fib(n - 1); }\n";
    second
        .compile("fib.c", edited, THIN)
        .ar(&["rcs", "lib/libparts.a", "fib.o"]);
    let outcome = second.both("clang++", &words(&objects));
    let [reached, ..] = ran(&outcome);
    assert!(reached > 0);
    let (third, objects) = user("read-only:");
    third
        .compile("fib.c", edited, THIN)
        .ar(&["rcs", "lib/libparts.a", "fib.o"]);
    let outcome = third.both("clang++", &words(&objects));
    assert_eq!(ran(&outcome), [reached, 0, MODULES - reached]);

    // What was executed remotely is what was compiled here: they are the same actions.
    let executing = bench(&casd);
    let objects = program(&executing);
    let outcome = executing.both("clang++", &words(&objects));
    assert_eq!(ran(&outcome), [0, 0, MODULES]);
}

/// Nor are our clang's for theirs: nobody puts there what such a clang has not compiled.
#[test]
fn a_cache_of_workers_own_clang_is_not_filled_by_ours() {
    let casd = Casd::bare();
    for _ in 0..2 {
        let mut bench = Bench::new();
        bench
            .env("THINLTO_LD_REMOTE_CLANG", "worker")
            .env("THINLTO_LD_REMOTE_CACHE", &casd.address());
        let objects = program(&bench);
        let outcome = bench.both("clang++", &words(&objects));
        assert_eq!(ran(&outcome), [MODULES, 0, 0]);
        let why = stats(&outcome)["backends"]["remote_cache_off"].as_str().unwrap();
        assert!(why.contains("THINLTO_LD_REMOTE_CLANG"), "{why}");
    }
}

#[test]
fn a_cache_that_is_not_there_is_left_alone() {
    let mut bench = Bench::new();
    bench.env("THINLTO_LD_REMOTE_CACHE", &format!("grpc://127.0.0.1:{}", free_port()));
    let objects = program(&bench);
    let outcome = bench.both("clang++", &words(&objects));
    bench.both_print(PRINTS);
    assert_eq!(ran(&outcome), [MODULES, 0, 0]);
    assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{}", outcome.stderr);
    assert!(stats(&outcome)["backends"]["remote_cache_off"].is_string());
}

/// Far less than the client's retries of every question would take, and more than any link here does.
const PATIENCE: Duration = Duration::from_secs(60);

/// Links that use the cache behind each of these: some questions get through and no more, some answers.
fn silent(casd: &Casd) -> [Silent; 2] {
    let until = [Until { up: 1500, down: NEVER }, Until { up: NEVER, down: 6000 }];
    until.map(|until| Silent::before(casd.port, until))
}

/// A cache filled by a link.
fn filled() -> Casd {
    let casd = Casd::bare();
    let mut bench = Bench::new();
    bench.env("THINLTO_LD_REMOTE_CACHE", &casd.address());
    let objects = program(&bench);
    bench.both("clang++", &words(&objects));
    casd
}

/// A link behind one that falls silent, which takes no longer for it than is bearable.
fn link_behind(silent: &Silent) -> (Bench, Outcome) {
    let mut bench = Bench::new();
    bench.env("THINLTO_LD_REMOTE_CACHE", &silent.address());
    let objects = program(&bench);
    let begun = Instant::now();
    let outcome = bench.both("clang++", &words(&objects));
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert!(silent.is_silent());
    (bench, outcome)
}

/// In the middle of lookups, in the middle of fetching.
#[test]
fn a_cache_that_falls_silent_is_left_alone() {
    let casd = filled();
    for silent in silent(&casd) {
        let (bench, outcome) = link_behind(&silent);
        bench.both_print(PRINTS);
        assert_eq!(ran(&outcome).iter().sum::<u64>(), MODULES);
        assert!(ran(&outcome)[0] > 0);
        let why = stats(&outcome)["backends"]["remote_cache_off"].as_str().unwrap();
        assert!(why.contains("no answer") && !why.contains("connecting"), "{why}");
        assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{}", outcome.stderr);
    }
}

/// And one that takes nothing any more of what is compiled here.
#[test]
fn a_cache_that_falls_silent_while_it_is_filled_is_left_alone() {
    let casd = Casd::bare();
    let silent = Silent::before(casd.port, Until { up: 8000, down: NEVER });
    let (_, outcome) = link_behind(&silent);
    assert_eq!(ran(&outcome), [MODULES, 0, 0]);
    let why = stats(&outcome)["backends"]["remote_cache_off"].as_str().unwrap();
    assert!(why.contains("no answer"), "{why}");
}

/// Whatever a link waits for of a cache, a signal is heard: while it connects, while it looks, while it fetches.
#[test]
fn a_signal_ends_a_link_that_waits_for_a_cache() {
    let casd = filled();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("grpc://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let held = Mutex::new(Vec::new());
    let ways = silent(&casd);
    let waits: [(&str, &dyn Fn() -> bool); 3] = [
        (&mute, &|| {
            held.lock().unwrap().push(listener.accept().unwrap());
            true
        }),
        (&ways[0].address(), &|| ways[0].is_silent()),
        (&ways[1].address(), &|| ways[1].is_silent()),
    ];
    for (address, waits) in waits {
        let mut bench = Bench::new();
        bench.env("THINLTO_LD_REMOTE_CACHE", address);
        let objects = program(&bench);
        let shim = format!("--ld-path={}", bench.shim().display());
        let line = [
            &["--default-signal=INT", "clang++-22", &shim, "-o", "our.out"][..],
            &words(&objects),
        ]
        .concat();
        let mut link = bench.command("env", &line).process_group(0).spawn().unwrap();
        let begun = Instant::now();
        while !waits() {
            assert!(begun.elapsed() < PATIENCE, "{address} is not asked");
            thread::sleep(Duration::from_millis(10));
        }
        let kill = ["-INT", "--", &format!("-{}", link.id())];
        assert!(Command::new("kill").args(kill).status().unwrap().success());
        assert!(!link.wait().unwrap().success());
        // clang has died of it at once; the linker's last word is its stats.
        let told = Instant::now();
        let line = || fs::read_to_string(bench.path("stats.json")).unwrap_or_default();
        while !line().ends_with('\n') && told.elapsed() < Duration::from_secs(4) {
            thread::sleep(Duration::from_millis(10));
        }
        let line: Value = serde_json::from_str(&line()).expect("it still waits");
        assert!(line["exit"].is_null(), "{line}");
        assert!(!bench.path("our.out").exists());
    }
}
