//! Links whose backends a remote execution engine executes, or whose objects come from a cache that several use.
//! The engine is a real buildbox-casd, whose workers have nothing but what is sent to them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use common::casd::{Casd, free_port};
use common::nginx::Nginx;
use common::silent::{NEVER, Silent, Until};
use common::{Bench, Outcome};
use serde_json::Value;
use thinlto_ld::backend::forkserver::LIBRARY;
use thinlto_ld::remote::compiler::{Compiler, FOLDER};
use thinlto_ld::remote::tree::{Access, Tree};
use thinlto_ld::remote::{Blob, Cancel, Digest, api};

const THIN: &[&str] = &["-flto=thin", "-O2"];
/// What the program below prints.
const PRINTS: &str = "some data 6765 55 hello\n";
const MODULES: u64 = 14;

/// A program of C and C++: imports, inline functions, two archive members, a file pulled in by assembly.
fn program(bench: &Bench) -> Vec<String> {
    bench.write("data.bin", "some data");
    for number in 0..10 {
        let next = (number + 1) % 10;
        let text = format!(
            "int step{next}(int, int);\nint step{number}(int n, int sum) {{ return n <= 0 ? sum : step{next}(n - 1, sum + n); }}\n"
        );
        bench.compile(&format!("step{number}.c"), &text, THIN);
    }
    bench.compile(
        "fib.c",
        "int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }\n",
        THIN,
    );
    bench.compile(
        "text.cpp",
        "#include <string>\nstd::string text() { return std::string(\"hel\") + \"lo\"; }\n",
        THIN,
    );
    fs::create_dir_all(bench.path("lib")).unwrap();
    bench.ar(&["rcs", "lib/libparts.a", "fib.o", "text.o"]);
    bench.compile(
        "blob.c",
        "__asm__(\".section .rodata\\n.globl blob\\nblob:\\n.incbin \\\"data.bin\\\"\\n.byte 0\\n.previous\\n\");\n",
        THIN,
    );
    bench.compile(
        "main.cpp",
        "#include <cstdio>\n#include <string>\nextern \"C\" { int step0(int, int); int fib(int); extern const char blob[]; }\n\
         std::string text();\nint main() { std::printf(\"%s %d %d %s\\n\", blob, fib(20), step0(10, 0), text().c_str()); }\n",
        THIN,
    );
    let steps = (0..10).map(|number| format!("step{number}.o"));
    steps
        .chain(["main.o", "blob.o", "lib/libparts.a"].map(str::to_owned))
        .collect()
}

fn words(objects: &[String]) -> Vec<&str> {
    objects.iter().map(String::as_str).collect()
}

/// A folder whose links are executed by this server alone.
fn bench(casd: &Casd) -> Bench {
    let mut bench = Bench::new();
    bench
        .env("THINLTO_LD_ENGINE", "remote")
        .env("THINLTO_LD_REMOTE", &casd.address())
        .env("THINLTO_LD_REMOTE_LOCAL", "off");
    bench
}

fn stats(outcome: &Outcome) -> &Value {
    outcome.stats.last().expect("no stats line")
}

/// Backends by who ran them: here, a worker, the action cache.
fn ran(outcome: &Outcome) -> [u64; 3] {
    ["run", "remote", "remote_cached"].map(|what| outcome.backends(what))
}

fn up(outcome: &Outcome) -> u64 {
    stats(outcome)["bytes"]["up"].as_u64().unwrap()
}

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

/// The digest of each module's action, as the log tells them.
fn actions(outcome: &Outcome) -> BTreeMap<String, Digest> {
    let line = |line: &str| {
        let (_, rest) = line.split_once("module=\"")?;
        let (module, rest) = rest.split_once('"')?;
        let (_, digest) = rest.split_once("action=")?;
        Some((module.to_owned(), digest.split_whitespace().next()?.parse().ok()?))
    };
    outcome.stderr.lines().filter_map(line).collect()
}

/// A cache that somebody else can fill may have anything.
#[test]
fn what_is_no_object_is_not_believed() {
    let casd = Casd::bare();
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_LOG", "thinlto_ld=debug");
    let objects = program(&bench);
    let outcome = bench.both("clang++", &words(&objects));
    let actions = actions(&outcome);
    assert_eq!(actions.len() as u64, MODULES);
    let client = casd.client();
    let text = Blob::of_bytes(&b"no object"[..]);
    client.upload(std::slice::from_ref(&text)).unwrap();
    let wrong = |digest: Digest| api::ActionResult {
        output_files: vec![api::OutputFile {
            path: ".thinlto-ld/object.o".to_owned(),
            digest: Some(digest.to_message()),
            ..Default::default()
        }],
        ..Default::default()
    };
    client.remember(actions["main.o"], wrong(Digest::of(b""))).unwrap();
    client.remember(actions["blob.o"], wrong(text.digest)).unwrap();
    client
        .remember(actions["step1.o"], wrong(Digest::of(b"nobody has this")))
        .unwrap();
    fs::remove_dir_all(bench.path("cache")).unwrap();
    let outcome = bench.both("clang++", &words(&objects));
    bench.both_print(PRINTS);
    assert_eq!(ran(&outcome), [0, 3, MODULES - 3], "{}", outcome.stderr);
}

/// clang is content where an import cannot be read; its guard is not, so that no engine keeps what it left.
#[test]
fn a_command_that_leaves_an_empty_object_fails() {
    let casd = Casd::bare();
    let bench = Bench::new();
    bench.compile("two.c", "int two(int x) { return x + 2; }\n", THIN);
    bench.compile("one.c", "int two(int); int main(void) { return two(1); }\n", THIN);
    bench
        .direct(&["--thinlto-index-only", "-e", "main", "one.o", "two.o"])
        .ok();
    bench.write_bytes("guard.so", LIBRARY);
    let digest = |path: &Path| Digest::of_reader(fs::File::open(path)?);
    let clang = which::which("clang-22").unwrap();
    let compiler = Compiler::travelling(&clang, LIBRARY, &bench.path("guard.so"), digest).unwrap();
    let client = casd.client();
    for (files, status) in [
        (&["one.o", "two.o", "one.o.thinlto.bc"][..], 0),
        (&["one.o", "one.o.thinlto.bc"], 70),
    ] {
        let (mut tree, mut blobs) = (Tree::default(), compiler.blobs.clone());
        tree.graft(FOLDER, compiler.root).unwrap();
        for name in files {
            let blob = Blob::of_file(bench.path(name)).unwrap();
            tree.add(name, blob.digest, Access::Read).unwrap();
            blobs.push(blob);
        }
        let step =
            "-cc1 -triple x86_64-pc-linux-gnu -emit-obj -O2 -fthinlto-index=one.o.thinlto.bc -o out.o -x ir one.o";
        let step = step.split(' ').map(str::to_owned).collect();
        let command = Blob::of_message(&api::Command {
            arguments: compiler.command("out.o", &[step]),
            output_paths: vec!["out.o".to_owned()],
            ..Default::default()
        });
        let packed = tree.pack();
        let action = Blob::of_message(&api::Action {
            command_digest: Some(command.digest.to_message()),
            input_root_digest: Some(packed.root.to_message()),
            ..Default::default()
        });
        blobs.extend(packed.folders);
        blobs.extend([command, action.clone()]);
        client.upload(&blobs).unwrap();
        let executed = client.execute(action.digest, &Cancel::new()).unwrap();
        let said = String::from_utf8_lossy(&executed.result.stderr_raw).into_owned();
        assert_eq!(executed.result.exit_code, status, "{said}");
        assert_eq!(client.cached(action.digest).unwrap().is_some(), status == 0, "{said}");
    }
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
fn a_server_that_takes_few_at_once_is_given_few_at_once() {
    let casd = Casd::bare();
    let narrow = Nginx::narrow(casd.port, 2);
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_REMOTE", &narrow.plain_address());
    let objects = program(&bench);
    let outcome = bench.both("clang++", &words(&objects));
    bench.both_print(PRINTS);
    assert!(narrow.refusals() > 0);
    // What was under way when it was left to the server may have come out meanwhile.
    let [here, remote, cached] = ran(&outcome);
    assert_eq!((here, remote + cached), (0, MODULES), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");
}

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

/// Nobody there, from the beginning or from somewhere in the middle: the link is made here, and says why.
#[test]
fn a_server_that_is_not_there_costs_time_and_nothing_else() {
    let bench = {
        let mut bench = Bench::new();
        bench
            .env("THINLTO_LD_ENGINE", "remote")
            .env("THINLTO_LD_REMOTE", &format!("grpc://127.0.0.1:{}", free_port()));
        bench
    };
    let objects = program(&bench);
    let outcome = bench.both("clang++", &words(&objects));
    bench.both_print(PRINTS);
    assert_eq!(ran(&outcome), [MODULES, 0, 0]);
    assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("grpc://127.0.0.1:"), "{}", outcome.stderr);
    assert!(stats(&outcome)["backends"]["remote_fallback"].is_string());
}

#[test]
fn a_server_that_is_killed_in_between_costs_time_and_nothing_else() {
    let mut casd = Casd::with(&["--jobs=1"]);
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_CACHE", "off");
    let mut objects = program(&bench);
    for number in 0..40 {
        let text = format!("int other{number}(int x) {{ return x * {number}; }}\n");
        bench.compile(&format!("other{number}.c"), &text, THIN);
        objects.push(format!("other{number}.o"));
    }
    let words = words(&objects);
    let results = casd.cache().join("actioncache/objects");
    let outcome = thread::scope(|scope| {
        let link = scope.spawn(|| bench.both("clang++", &words));
        let begun = Instant::now();
        while files(&results) < 5 && begun.elapsed() < Duration::from_secs(120) {
            thread::sleep(Duration::from_millis(10));
        }
        casd.kill();
        link.join().unwrap()
    });
    bench.both_print(PRINTS);
    let [here, remote, _] = ran(&outcome);
    assert_eq!(here + remote, MODULES + 40);
    assert!(here > 0 && remote > 0, "{here} here, {remote} elsewhere");
    assert_eq!(outcome.backends("remote_fell_back"), here);
    assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{}", outcome.stderr);
}

/// Files below a folder.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 })
        .sum()
}

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

/// In the middle of lookups, in the middle of fetching.
#[test]
fn a_cache_that_falls_silent_is_left_alone() {
    let casd = filled();
    for silent in silent(&casd) {
        let mut bench = Bench::new();
        bench.env("THINLTO_LD_REMOTE_CACHE", &silent.address());
        let objects = program(&bench);
        let begun = Instant::now();
        let outcome = bench.both("clang++", &words(&objects));
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        bench.both_print(PRINTS);
        assert!(silent.is_silent());
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
    let mut bench = Bench::new();
    bench.env("THINLTO_LD_REMOTE_CACHE", &silent.address());
    let objects = program(&bench);
    let begun = Instant::now();
    let outcome = bench.both("clang++", &words(&objects));
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert!(silent.is_silent());
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

#[test]
fn an_engine_without_a_server_is_an_error() {
    let mut bench = Bench::new();
    bench.env("THINLTO_LD_ENGINE", "remote");
    bench.compile("main.c", "int main(void) { return 0; }\n", THIN);
    let outcome = bench.through(&["main.o", "-e", "main", "-o", "out"]);
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("THINLTO_LD_REMOTE"), "{}", outcome.stderr);
}
