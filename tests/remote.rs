//! Links whose backends a remote execution engine executes: what travels, what stays, and what comes back.
//! The engine is a real buildbox-casd, whose workers have nothing but what is sent to them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;

use common::casd::Casd;
use common::{Bench, Outcome};
use serde_json::Value;

use common::remote::{MODULES, PRINTS, THIN, bench, program, ran, stats, up, words};

#[test]
fn every_backend_is_executed_elsewhere_and_its_object_is_the_same() {
    let casd = Casd::bare();
    let bench = bench(&casd);
    let objects = program(&bench);
    let outcome = bench.both("clang++", &words(&objects));
    bench.both_print(PRINTS);
    assert_eq!(ran(&outcome), [0, MODULES, 0], "{}", outcome.stderr);
    assert_eq!(stats(&outcome)["backends"]["engine"], "remote");
    assert_eq!(outcome.stderr, "");

    // The same again out of our own cache: nobody is asked.
    let outcome = bench.both("clang++", &words(&objects));
    assert_eq!((outcome.backends("cached"), ran(&outcome)), (MODULES, [0, 0, 0]));

    // Another checkout, another cache: everything is there already.
    let elsewhere = self::bench(&casd);
    let objects = program(&elsewhere);
    let outcome = elsewhere.both("clang++", &words(&objects));
    elsewhere.both_print(PRINTS);
    assert_eq!(ran(&outcome), [0, 0, MODULES]);
    assert_eq!(up(&outcome), 0);

    // An edit there: what it reaches is executed, and what it changed is sent.
    elsewhere.compile(
        "fib.c",
        "int fib(int n) { return n < 2 ? n : fib(n - 2) + fib(n - 1); }\n",
        THIN,
    );
    elsewhere.ar(&["rcs", "lib/libparts.a", "fib.o"]);
    let outcome = elsewhere.both("clang++", &words(&objects));
    elsewhere.both_print(PRINTS);
    let [here, remote, cached] = ran(&outcome);
    assert_eq!((here, remote + cached + outcome.backends("cached")), (0, MODULES));
    assert!((1..=3).contains(&remote), "{remote}");
    assert!((1..64 << 10).contains(&up(&outcome)), "{} bytes", up(&outcome));

    // So is one of a file that no command line names.
    elsewhere.write("data.bin", "more data");
    let outcome = elsewhere.both("clang++", &words(&objects));
    elsewhere.both_print(&PRINTS.replace("some", "more"));
    assert_eq!(ran(&outcome), [0, 1, 0]);
}

/// Optimization and code generation part: two steps in one action.
#[test]
fn both_steps_of_a_backend_are_one_action() {
    let casd = Casd::bare();
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_CACHE", "off");
    let objects = program(&bench);
    let mut words = words(&objects);
    words.extend(["-Wl,--lto-O1", "-Wl,--lto-CGO3"]);
    let outcome = bench.both("clang++", &words);
    bench.both_print(PRINTS);
    assert_eq!(ran(&outcome), [0, MODULES, 0], "{}", outcome.stderr);
}

#[test]
fn here_and_elsewhere_together_make_the_same_objects() {
    let casd = Casd::bare();
    let mut bench = bench(&casd);
    bench
        .env("THINLTO_LD_REMOTE_LOCAL", "on")
        .env("THINLTO_LD_CACHE", "off");
    let objects = program(&bench);
    let outcome = bench.both("clang++", &words(&objects));
    bench.both_print(PRINTS);
    assert_eq!(ran(&outcome).iter().sum::<u64>(), MODULES);
    assert_eq!(outcome.backends("remote_fell_back"), 0, "{}", outcome.stderr);
}

#[test]
fn workers_may_have_a_clang_of_their_own() {
    let casd = Casd::start();
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_REMOTE_CLANG", "worker");
    let objects = program(&bench);
    let outcome = bench.both("clang++", &words(&objects));
    assert_eq!(ran(&outcome), [0, MODULES, 0], "{}", outcome.stderr);
    assert!(up(&outcome) < 4 << 20, "{} bytes", up(&outcome));

    // It says that it is of our version, and that is all: its objects are not taken for our clang's.
    assert_eq!(outcome.backends("remote_unkept"), MODULES);
    let outcome = bench.both("clang++", &words(&objects));
    assert_eq!((outcome.backends("cached"), ran(&outcome)), (0, [0, 0, MODULES]));
}

/// Farms that serve several teams have an instance for each; its name may have slashes.
#[test]
fn an_instance_may_have_a_name() {
    let casd = Casd::with(&["--local-server-instance=team/one"]);
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_REMOTE", &format!("{}/team/one", casd.address()));
    bench.env("THINLTO_LD_CACHE", "off");
    let objects = program(&bench);
    let outcome = bench.both("clang++", &words(&objects));
    bench.both_print(PRINTS);
    assert_eq!(ran(&outcome), [0, MODULES, 0], "{}", outcome.stderr);

    bench.env("THINLTO_LD_REMOTE", &format!("{}/team/two", casd.address()));
    let outcome = bench.both("clang++", &words(&objects));
    bench.both_print(PRINTS);
    assert_eq!(ran(&outcome), [MODULES, 0, 0]);
    assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("team/two"), "{}", outcome.stderr);
}

/// What happens to be there is another version, or nothing: no object of it is taken.
#[test]
fn a_clang_of_another_version_is_not_used() {
    let casd = Casd::start();
    for (clang, says) in [
        ("/usr/bin/clang-19", "is clang 19."),
        ("/nowhere/clang", "no clang at /nowhere/clang"),
    ] {
        let mut bench = bench(&casd);
        bench.env("THINLTO_LD_REMOTE_CLANG", clang);
        let objects = program(&bench);
        let outcome = bench.both("clang++", &words(&objects));
        assert_eq!(ran(&outcome), [MODULES, 0, 0], "{}", outcome.stderr);
        assert_eq!(outcome.backends("remote_fell_back"), MODULES);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    }
}

/// What a launcher does to an object no action says: nothing compiled through one is shared, and nothing is taken for it.
#[test]
fn with_a_launcher_nothing_goes_elsewhere_or_comes_from_there() {
    let casd = Casd::bare();
    let user = |launcher: Option<&str>| {
        let mut bench = Bench::new();
        bench.env("THINLTO_LD_REMOTE_CACHE", &casd.address());
        if let Some(launcher) = launcher {
            bench.env("THINLTO_LD_LAUNCHER", launcher);
        }
        let objects = program(&bench);
        (bench, objects)
    };
    let off = |outcome: &Outcome, what: &str| stats(outcome)["backends"][what].clone();
    let (launched, objects) = user(Some("env X=1"));
    let outcome = launched.both("clang++", &words(&objects));
    assert_eq!(ran(&outcome), [MODULES, 0, 0]);
    assert_eq!(off(&outcome, "remote_cache_off"), "a launcher");
    assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{}", outcome.stderr);

    let (plain, objects) = user(None);
    let outcome = plain.both("clang++", &words(&objects));
    assert_eq!(ran(&outcome), [MODULES, 0, 0]);
    assert!(off(&outcome, "remote_cache_off").is_null());

    let (launched, objects) = user(Some("env X=1"));
    let outcome = launched.both("clang++", &words(&objects));
    assert_eq!(ran(&outcome), [MODULES, 0, 0]);

    let mut executing = bench(&casd);
    executing.env("THINLTO_LD_LAUNCHER", "env X=1");
    let objects = program(&executing);
    let outcome = executing.both("clang++", &words(&objects));
    executing.both_print(PRINTS);
    assert_eq!(ran(&outcome), [MODULES, 0, 0]);
    assert_eq!(off(&outcome, "remote_fallback"), "a launcher");
    assert_eq!(outcome.backends("remote_fell_back"), MODULES);
    assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{}", outcome.stderr);
}

/// Most are in the action cache, and the one that is not has its turn after more than the server has room for.
#[test]
fn what_is_found_takes_no_room() {
    let casd = Casd::bare();
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_REMOTE_JOBS", "2").env("THINLTO_LD_CACHE", "off");
    let mut objects = program(&bench);
    bench.compile("light.c", "int light(void) { return 1; }\n", THIN);
    objects.push("light.o".to_owned());
    objects.push("-Wl,--export-dynamic".to_owned());
    let outcome = bench.both("clang++", &words(&objects));
    assert_eq!(ran(&outcome), [0, MODULES + 1, 0], "{}", outcome.stderr);
    bench.compile("light.c", "int light(void) { return 2; }\n", THIN);
    let shim = format!("--ld-path={}", bench.shim().display());
    let line = [&["120", "clang++-22", &shim, "-o", "our.out"][..], &words(&objects)].concat();
    let outcome = bench.run("timeout", &line).ok();
    assert_eq!(ran(&outcome), [0, 1, MODULES], "{}", outcome.stderr);
}

/// What is done to objects afterwards is done here, on whatever comes from wherever.
#[test]
fn a_post_backend_command_runs_here() {
    let casd = Casd::bare();
    let mut bench = bench(&casd);
    bench.env(
        "THINLTO_LD_POST_BACKEND",
        "llvm-objcopy-22 --add-section=.mark=data.bin",
    );
    let objects = program(&bench);
    for expected in [[0, MODULES, 0], [0, 0, MODULES]] {
        let outcome = bench.drive(
            "clang++",
            bench.shim().to_str().unwrap(),
            &[&["-o", "our.out", "-Wl,--lto-obj-path=our.P"], &words(&objects)[..]].concat(),
        );
        assert_eq!(ran(&outcome.ok()), expected);
        let marked = bench
            .objects("our.P")
            .values()
            .filter(|object| has(object, b".mark"))
            .count();
        assert_eq!(marked as u64, MODULES);
        fs::remove_dir_all(bench.path("cache")).unwrap();
    }
}

fn has(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// Each is compiled here, and counted.
#[test]
fn what_cannot_be_sent_stays_and_is_counted() {
    let casd = Casd::bare();
    let bench = bench(&casd);
    let mut objects = program(&bench);
    let data = bench.path("data.bin");
    bench.compile(
        "absolute.c",
        &format!(
            "__asm__(\".section .rodata\\n.incbin \\\"{}\\\"\\n.previous\\n\");\nint absolute;\n",
            data.display()
        ),
        THIN,
    );
    objects.push("absolute.o".to_owned());
    let outcome = bench.both("clang++", &words(&objects));
    assert_eq!(ran(&outcome), [1, MODULES, 0], "{}", outcome.stderr);
    assert_eq!(stats(&outcome)["backends"]["remote_stay"]["absolute-path"], 1);
    assert_eq!(outcome.stderr, "");
}

/// Files above the folder of the link are found by their names there, too.
#[test]
fn files_above_the_working_folder_are_sent() {
    let casd = Casd::bare();
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_CACHE", "off");
    bench.write("above.bin", "above").write("deep/er/beside.bin", "beside");
    bench.write(
        "deep/er/blob.c",
        "#include <stdio.h>\n\
         __asm__(\".section .rodata\\n.globl blob\\nblob:\\n.incbin \\\"../../above.bin\\\"\\n.incbin \\\"beside.bin\\\"\\n.byte 0\\n.previous\\n\");\n\
         extern const char blob[];\nint main(void) { puts(blob); }\n",
    );
    let script = format!(
        "cd deep/er && clang-22 -O2 -flto=thin -c blob.c && exec clang-22 --ld-path={} blob.o -o blob",
        bench.shim().display()
    );
    let outcome = bench.run("sh", &["-c", &script]).ok();
    assert_eq!(ran(&outcome), [0, 1, 0], "{}", outcome.stderr);
    assert_eq!(bench.output_of("deep/er/blob"), "abovebeside\n");
}

/// Who reads a time trace or the stats sees where each backend ran.
#[test]
fn times_are_told_of_what_ran_elsewhere() {
    let casd = Casd::bare();
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_TIMELINE", "on");
    let objects = program(&bench);
    let outcome = bench.both(
        "clang++",
        &[&words(&objects)[..], &["-Wl,--time-trace=trace.json"]].concat(),
    );
    assert_eq!(ran(&outcome), [0, MODULES, 0], "{}", outcome.stderr);
    let trace: Value = serde_json::from_str(&bench.text("trace.json")).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let remote = events.iter().filter(|event| event["name"] == "Remote backend");
    let told: Vec<_> = remote.map(|event| event["args"]["detail"].as_str().unwrap()).collect();
    assert_eq!(told.len() as u64, MODULES);
    assert!(told.contains(&"main.o"), "{told:?}");
    let spans = stats(&outcome)["timeline"].as_array().unwrap();
    assert_eq!(spans.len() as u64, MODULES);
    assert!(
        spans
            .iter()
            .all(|span| span["worker"].is_string() && span["end"].as_f64() > span["start"].as_f64())
    );
}

/// Messages are those of a link that ran here, names and all.
#[test]
fn errors_read_as_any_others() {
    let casd = Casd::bare();
    let bench = bench(&casd);
    let mut objects = program(&bench);
    bench.compile("bad.c", "void bad(void) { __asm__ volatile(\"bogus\"); }\n", THIN);
    objects.extend(["bad.o".to_owned(), "-Wl,--export-dynamic".to_owned()]);
    let outcome = bench.drive("clang++", bench.shim().to_str().unwrap(), &words(&objects));
    assert_eq!(outcome.status, 1);
    let says = "error: bad.o <inline asm>:1:2: invalid instruction mnemonic 'bogus'";
    assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
}

#[test]
fn an_engine_without_a_server_is_an_error() {
    let mut bench = Bench::new();
    bench.env("THINLTO_LD_ENGINE", "remote");
    bench.compile("main.c", "int main(void) { return 0; }\n", THIN);
    let outcome = bench.through(&["main.o", "-e", "main", "-o", "out"]);
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("THINLTO_LD_REMOTE"), "{}", outcome.stderr);
}
