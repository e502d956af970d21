//! `thinlto distribute` with a farm and with a shared cache: the objects are those of a plain local distributor, to the byte,
//! whoever makes them; what cannot be sent is named. The engine is a real buildbox-casd.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;

use common::casd::{Casd, free_port};
use common::dtlto::{ALL, FLAGS, INPUTS, PLAIN, archives, counts, engine, ours, program, same, shape, tidy};
use common::remote::{ran, up};
use common::{Bench, Outcome};

fn told<'a>(outcome: &'a Outcome, what: &str) -> &'a serde_json::Value {
    &outcome.stats[0]["backends"][what]
}

/// Its jobs are executed by this server alone.
fn executed_by(bench: &mut Bench, casd: &Casd) {
    bench
        .env("THINLTO_LD_ENGINE", "remote")
        .env("THINLTO_LD_REMOTE", &casd.address())
        .env("THINLTO_LD_REMOTE_LOCAL", "off");
}

/// A checkout elsewhere, in which the same modules are below a folder.
fn checkout(bench: &Bench, folder: &str) -> Bench {
    let copy = Bench::new();
    fs::create_dir_all(copy.path(folder)).unwrap();
    let files = fs::read_dir(bench.path(".")).unwrap().flatten();
    for file in files.filter(|file| file.file_type().unwrap().is_file()) {
        let name = file.file_name().into_string().unwrap();
        fs::copy(file.path(), copy.path(&format!("{folder}/{name}"))).unwrap();
    }
    copy.write("plain.py", PLAIN);
    copy
}

#[test]
fn a_farm_does_the_jobs_and_its_objects_are_a_plain_distributor_s() {
    let casd = Casd::bare();
    let mut bench = program();
    let elsewhere = checkout(&bench, "objects");
    executed_by(&mut bench, &casd);
    let first = ours(&bench, INPUTS).ok();
    assert_eq!(ran(&first), [0, ALL, 0], "{}", first.stderr);
    assert_eq!((engine(&first).0.as_str(), first.stderr.as_str()), ("remote", ""));
    same(&bench, INPUTS, ALL);
    assert_eq!(bench.output_of("our.out"), bench.output_of("in.out"));
    tidy(&bench);

    // Out of our own cache, and without it out of the server's.
    let again = ours(&bench, INPUTS).ok();
    assert_eq!((counts(&again), ran(&again)), ((0, ALL), [0, 0, 0]));
    fs::remove_dir_all(bench.path("cache")).unwrap();
    let again = ours(&bench, INPUTS).ok();
    assert_eq!((ran(&again), up(&again)), ([0, 0, ALL], 0), "{}", again.stderr);
    assert_eq!(bench.differing_objects(), [""; 0]);
    assert_eq!(counts(&ours(&bench, INPUTS).ok()), (0, ALL));

    // Another checkout, which calls its files otherwise and in the same order; then an edit there.
    let mut bench = elsewhere;
    executed_by(&mut bench, &casd);
    let there = |word: &&str| match word.starts_with('-') {
        true => (*word).to_owned(),
        false => format!("objects/{word}"),
    };
    let inputs: Vec<String> = INPUTS.iter().map(there).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let there = ours(&bench, &inputs).ok();
    assert_eq!((ran(&there), up(&there)), ([0, 0, ALL], 0), "{}", there.stderr);
    same(&bench, &inputs, ALL);
    bench.compile("objects/s5.cc", &shape(5, 50), FLAGS);
    let edited = ours(&bench, &inputs).ok();
    let [here, remote, _] = ran(&edited);
    assert!(here == 0 && (1..=2).contains(&remote), "{remote} of {ALL}");
    same(&bench, &inputs, ALL);
}

#[test]
fn here_and_elsewhere_together_make_the_same_objects() {
    let casd = Casd::bare();
    let mut bench = program();
    executed_by(&mut bench, &casd);
    bench
        .env("THINLTO_LD_REMOTE_LOCAL", "on")
        .env("THINLTO_LD_TIMELINE", "on");
    let outcome = ours(&bench, INPUTS).ok();
    assert_eq!(ran(&outcome).iter().sum::<u64>(), ALL, "{}", outcome.stderr);
    assert_eq!(engine(&outcome).0, "remote");
    assert_eq!(outcome.backends("remote_fell_back"), 0);
    assert_eq!(outcome.stats[0]["timeline"].as_array().unwrap().len() as u64, ALL);
    same(&bench, INPUTS, ALL);
    tidy(&bench);
}

/// It says that it is of our version, and that is all: its objects are not taken for our clang's.
#[test]
fn workers_may_have_a_clang_of_their_own() {
    let casd = Casd::start();
    let mut bench = program();
    executed_by(&mut bench, &casd);
    bench
        .env("THINLTO_LD_REMOTE_CLANG", "worker")
        .env("THINLTO_LD_TIMELINE", "on");
    let outcome = ours(&bench, INPUTS).ok();
    assert_eq!(ran(&outcome), [0, ALL, 0], "{}", outcome.stderr);
    assert!(up(&outcome) < 4 << 20, "{} bytes", up(&outcome));
    assert_eq!(outcome.backends("remote_unkept"), ALL);
    let spans = outcome.stats[0]["timeline"].as_array().unwrap();
    assert!(spans.len() as u64 == ALL && spans.iter().all(|span| span["worker"].is_string()));
    same(&bench, INPUTS, ALL);
    let again = ours(&bench, INPUTS).ok();
    assert_eq!((counts(&again), ran(&again)), ((0, 0), [0, 0, ALL]));
}

/// One folder fills it with what local engines make; another reads it, and a farm finds the same actions there.
#[test]
fn a_cache_is_shared() {
    let casd = Casd::bare();
    let mut bench = program();
    let [mut second, mut third] = [checkout(&bench, "."), checkout(&bench, ".")];
    bench.env("THINLTO_LD_REMOTE_CACHE", &casd.address());
    let first = ours(&bench, INPUTS).ok();
    assert_eq!((ran(&first), first.stderr.as_str()), ([ALL, 0, 0], ""));
    assert_eq!(engine(&first).0, "forkserver");

    second.env("THINLTO_LD_REMOTE_CACHE", &format!("read-only:{}", casd.address()));
    let outcome = ours(&second, INPUTS).ok();
    assert_eq!((ran(&outcome), up(&outcome)), ([0, 0, ALL], 0), "{}", outcome.stderr);
    same(&second, INPUTS, ALL);
    assert_eq!(counts(&ours(&second, INPUTS).ok()), (0, ALL));

    // Who only reads puts nothing there.
    second.compile("s7.cc", &shape(7, 70), FLAGS);
    archives(&second);
    let [reached, ..] = ran(&ours(&second, INPUTS).ok());
    assert!(reached > 0);
    fs::remove_dir_all(second.path("cache")).unwrap();
    assert_eq!(ran(&ours(&second, INPUTS).ok()), [reached, 0, ALL - reached]);

    executed_by(&mut third, &casd);
    assert_eq!(ran(&ours(&third, INPUTS).ok()), [0, 0, ALL]);
}

#[test]
fn servers_that_are_not_there_cost_time_and_nothing_else() {
    let nobody = format!("grpc://127.0.0.1:{}", free_port());
    for (settings, why) in [
        (
            &[("THINLTO_LD_ENGINE", "remote"), ("THINLTO_LD_REMOTE", &nobody)][..],
            "remote_fallback",
        ),
        (&[("THINLTO_LD_REMOTE_CACHE", &nobody)], "remote_cache_off"),
    ] {
        let mut bench = program();
        for (name, value) in settings {
            bench.env(name, value);
        }
        let outcome = ours(&bench, INPUTS).ok();
        assert_eq!(ran(&outcome), [ALL, 0, 0]);
        assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{}", outcome.stderr);
        assert!(told(&outcome, why).as_str().unwrap().contains(&nobody));
        same(&bench, INPUTS, ALL);
        tidy(&bench);
    }
}

/// What a launcher does to an object no action says, nor what a driver's line that is more than `-cc1` would.
#[test]
fn what_no_action_can_say_is_told_and_done_here() {
    let casd = Casd::bare();
    for (launcher, words, says) in [
        ("env X=1", INPUTS.to_vec(), "a launcher"),
        (
            "",
            [INPUTS, &["-Wl,--thinlto-remote-compiler-arg=-gsplit-dwarf"]].concat(),
            "clang's driver ",
        ),
    ] {
        let mut bench = program();
        executed_by(&mut bench, &casd);
        bench
            .env("THINLTO_LD_REMOTE_CACHE", &casd.address())
            .env("THINLTO_LD_LAUNCHER", launcher);
        let outcome = ours(&bench, &words).ok();
        assert_eq!(ran(&outcome), [ALL, 0, 0]);
        for what in ["remote_fallback", "remote_cache_off"] {
            let why = told(&outcome, what).as_str().unwrap();
            assert!(why.starts_with(says), "{what}: {why}");
        }
        assert_eq!(outcome.backends("remote_fell_back"), ALL);
        assert_eq!(outcome.stderr.matches("WARN").count(), 2, "{}", outcome.stderr);
    }
}

/// Those that assembly pulls in, from here or from above, and those that options name, wherever they are.
#[test]
fn files_travel_by_names_that_hold_anywhere_or_keep_the_job_here() {
    let casd = Casd::bare();
    let mut bench = program();
    executed_by(&mut bench, &casd);
    let blob = |name: &str| {
        format!(
            "int twice(int x) {{ static const char *p; \
             __asm__(\".pushsection .rodata\\n1: .incbin \\\"{name}\\\"\\n.byte 0\\n.popsection\\n lea 1b(%%rip), %0\" : \"=r\"(p)); \
             return x + p[0]; }}\n"
        )
    };
    bench.write("blob", "one");
    bench.compile("twice.cc", &blob("blob"), FLAGS);
    archives(&bench);
    let folder = tempfile::tempdir().unwrap();
    let blocks = folder.path().join("blocks");
    fs::write(&blocks, "!main\n").unwrap();
    let option = format!(
        "-Wl,--thinlto-remote-compiler-arg=-fbasic-block-sections=list={}",
        blocks.display()
    );
    let words = [INPUTS, &[option.as_str()]].concat();
    assert_eq!(ran(&ours(&bench, &words).ok()), [0, ALL, 0]);
    same(&bench, &words, ALL);
    bench.write("blob", "two");
    let outcome = ours(&bench, &words).ok();
    let [here, remote, _] = ran(&outcome);
    assert!(here == 0 && remote > 1, "{remote} of {ALL}");
    same(&bench, &words, ALL);

    let absolute = bench.path("blob").display().to_string();
    bench.compile("twice.cc", &blob(&absolute), FLAGS);
    archives(&bench);
    fs::remove_dir_all(bench.path("cache")).unwrap();
    let outcome = ours(&bench, &words).ok();
    let stays = told(&outcome, "remote_stay")["absolute-path"].as_u64().unwrap();
    assert!(stays > 1 && ran(&outcome)[0] == stays, "{stays}");
    assert_eq!(ran(&outcome).iter().sum::<u64>(), ALL);
    assert_eq!(outcome.backends("remote_fell_back"), 0);
    same(&bench, &words, ALL);
    tidy(&bench);
}

#[test]
fn a_post_backend_command_runs_here_on_what_comes_back() {
    let casd = Casd::bare();
    let mut bench = program();
    executed_by(&mut bench, &casd);
    bench.env(
        "THINLTO_LD_POST_BACKEND",
        "llvm-objcopy-22 --add-section=.mark=plain.py",
    );
    for expected in [[0, ALL, 0], [0, 0, ALL]] {
        assert_eq!(ran(&ours(&bench, INPUTS).ok()), expected);
        let objects = bench.objects("our.P");
        let marked = objects
            .values()
            .filter(|object| object.windows(5).any(|bytes| bytes == b".mark"));
        assert_eq!(marked.count() as u64, ALL);
        fs::remove_dir_all(bench.path("cache")).unwrap();
    }
}

/// clang's errors are said once, by a backend here; what failed is nowhere kept.
#[test]
fn a_job_that_fails_elsewhere_is_told_as_any_other() {
    let casd = Casd::bare();
    let mut bench = program();
    executed_by(&mut bench, &casd);
    let bad = "int twice(int x) { __asm__ volatile(\"bogus\"); return x; }\n";
    bench.compile("twice.cc", bad, &["-flto=thin", "-O2", "-fno-inline", "-fPIC"]);
    archives(&bench);
    let outcome = ours(&bench, INPUTS);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome
            .stderr
            .contains("thinlto: error: the backend of libfat.a(twice.o at "),
        "{}",
        outcome.stderr
    );
    let said = outcome.stderr.matches("invalid instruction mnemonic 'bogus'").count();
    assert_eq!(said, 1, "{}", outcome.stderr);
    assert!(up(&outcome) > 0);
    let why = told(&outcome, "remote_fallback").as_str().unwrap();
    assert!(why.starts_with("a remote backend failed (1): "), "{why}");
    assert!(!bench.path("our.out").exists());
    tidy(&bench);
}
