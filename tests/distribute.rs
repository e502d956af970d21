//! `thinlto distribute` as the distributor of LLVM 22's DTLTO: the objects are those of a plain local distributor, to the byte;
//! an edit compiles what it reaches; what fails is told by whose it is. Knows nothing of thinlto-ld's own links.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::casd::{Casd, free_port};
use common::{Bench, Outcome};

const THINLTO: &str = env!("CARGO_BIN_EXE_thinlto");

/// What llvm/utils/dtlto/local.py does: every job by itself, one after the other.
const PLAIN: &str = "import json, subprocess, sys\n\
                     jobs = json.load(open(sys.argv[-1]))\n\
                     for job in jobs['jobs']:\n    subprocess.check_call(jobs['common']['args'] + job['args'])\n";

const FLAGS: &[&str] = &["-flto=thin", "-O2", "-g", "-fPIC"];
const MODULES: usize = 10;

fn shape(n: usize, factor: usize) -> String {
    format!(
        "#include \"shapes.h\"\nnamespace {{ int count = {n}; struct Own : Shape {{ int area(int x) const override {{ \
         return x * {factor} + twice(x) + count++; }} }}; }}\n\
         std::unique_ptr<Shape> make{n}() {{ return std::make_unique<Own>(); }}\n"
    )
}

/// Ten classes behind one interface, two of them in an archive, two in a thin one, and who uses them all.
fn program() -> Bench {
    let bench = Bench::new();
    bench.write("plain.py", PLAIN);
    bench.write(
        "shapes.h",
        "#pragma once\n#include <memory>\n#include <string>\n#include <vector>\n\
         struct Shape { virtual ~Shape() = default; virtual int area(int) const = 0; };\nint twice(int);\n",
    );
    bench.compile("twice.cc", "int twice(int x) { return x + x; }\n", FLAGS);
    let mut main = String::from("#include \"shapes.h\"\n#include <iostream>\n");
    let mut all = String::new();
    for n in 0..MODULES {
        bench.compile(&format!("s{n}.cc"), &shape(n, n), FLAGS);
        main += &format!("std::unique_ptr<Shape> make{n}();\n");
        all += &format!("all.push_back(make{n}());");
    }
    main += &format!(
        "int main(int c, char **) {{ std::vector<std::unique_ptr<Shape>> all; {all} int sum = 0; \
         for (auto &shape : all) sum += shape->area(c); std::cout << sum << std::endl; }}\n"
    );
    bench.compile("main.cc", &main, FLAGS);
    archives(&bench);
    bench
}

fn archives(bench: &Bench) {
    let _ = fs::remove_file(bench.path("libfat.a"));
    bench.ar(&["rc", "libfat.a", "s6.o", "s7.o", "twice.o"]);
    let _ = fs::remove_file(bench.path("libthin.a"));
    bench.ar(&["rcT", "libthin.a", "s8.o", "s9.o"]);
}

const INPUTS: &[&str] = &[
    "main.o",
    "s0.o",
    "s1.o",
    "s2.o",
    "s3.o",
    "s4.o",
    "s5.o",
    "libthin.a",
    "libfat.a",
    "-pie",
];
const ALL: u64 = MODULES as u64 + 2;

/// A DTLTO link by clang; its objects go to `P`, `P1` …
fn dtlto(bench: &Bench, name: &str, distributor: &[&str], words: &[&str]) -> Outcome {
    let objects = format!("-Wl,--lto-obj-path={name}.P");
    let output = format!("{name}.out");
    let mut all = vec!["-fuse-ld=lld", "-flto=thin", "-O2", "-o", &output, &objects];
    let program = format!("-fthinlto-distributor={}", distributor[0]);
    let arguments: Vec<String> = distributor[1..]
        .iter()
        .map(|argument| format!("-Xthinlto-distributor={argument}"))
        .collect();
    all.push(&program);
    all.extend(arguments.iter().map(String::as_str));
    all.extend(words);
    bench.run("clang++-22", &all)
}

fn plain(bench: &Bench, words: &[&str]) -> Outcome {
    let python = which::which("python3").unwrap();
    dtlto(bench, "in", &[python.to_str().unwrap(), "plain.py"], words).ok()
}

fn ours(bench: &Bench, words: &[&str]) -> Outcome {
    let outcome = dtlto(bench, "our", &[THINLTO, "distribute"], words);
    if outcome.status == 0 {
        assert_eq!(outcome.mode(), "distributor");
        assert_eq!(outcome.stats.len(), 1);
    }
    outcome
}

/// The objects of both, and the outputs, to the byte.
#[track_caller]
fn same(bench: &Bench, words: &[&str], count: u64) {
    plain(bench, words);
    assert_eq!(
        bench.objects("in.P").len() as u64,
        count + 1,
        "one a module, and that of regular LTO"
    );
    assert_eq!(bench.differing_objects(), [""; 0]);
    assert!(bench.read("in.out") == bench.read("our.out"));
}

/// Backends (run, cached).
fn counts(outcome: &Outcome) -> (u64, u64) {
    (outcome.backends("run"), outcome.backends("cached"))
}

fn engine(outcome: &Outcome) -> (String, String) {
    let backends = &outcome.stats.last().unwrap()["backends"];
    let text = |name: &str| backends[name].as_str().unwrap_or_default().to_owned();
    (text("engine"), text("engine_fallback"))
}

/// Nothing of either is left in the folder of the output.
#[track_caller]
fn tidy(bench: &Bench) {
    let entries = fs::read_dir(bench.path(".")).unwrap().flatten();
    let left: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.contains(".native.o") || name.ends_with(".json") && name != "stats.json")
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn every_object_is_a_plain_distributor_s_and_the_second_link_compiles_none() {
    for engine_name in ["forkserver", "process"] {
        let mut bench = program();
        bench.env("THINLTO_LD_ENGINE", engine_name);
        let first = ours(&bench, INPUTS).ok();
        assert_eq!(counts(&first), (ALL, 0));
        assert_eq!(engine(&first), (engine_name.to_owned(), String::new()));
        same(&bench, INPUTS, ALL);
        for entry in bench.objects("our.P").keys() {
            fs::remove_file(bench.path(entry)).unwrap();
        }
        let second = ours(&bench, INPUTS).ok();
        assert_eq!(counts(&second), (0, ALL));
        assert_eq!(bench.differing_objects(), [""; 0]);
        assert!(bench.read("in.out") == bench.read("our.out"));
        assert_eq!(bench.output_of("our.out"), bench.output_of("in.out"));
        tidy(&bench);
    }
}

#[test]
fn an_edit_compiles_what_it_reaches() {
    let bench = program();
    ours(&bench, INPUTS).ok();
    // Of a member whose function nobody imports, and back.
    bench.compile("s7.cc", &shape(7, 70), FLAGS);
    archives(&bench);
    let edited = ours(&bench, INPUTS).ok();
    same(&bench, INPUTS, ALL);
    let (run, cached) = counts(&edited);
    assert!((1..=2).contains(&run) && run + cached == ALL, "{run} of {ALL}");
    bench.compile("s7.cc", &shape(7, 7), FLAGS);
    archives(&bench);
    assert_eq!(counts(&ours(&bench, INPUTS).ok()), (0, ALL));
    // Of one that all import.
    bench.compile("twice.cc", "int twice(int x) { return x * 2 + 1; }\n", FLAGS);
    archives(&bench);
    let (run, _) = counts(&ours(&bench, INPUTS).ok());
    assert!(run > MODULES as u64, "{run}");
    same(&bench, INPUTS, ALL);
}

#[test]
fn a_link_elsewhere_shares_its_objects() {
    let bench = program();
    ours(&bench, INPUTS).ok();
    fs::create_dir(bench.path("elsewhere")).unwrap();
    let link = format!(
        "-fuse-ld=lld -flto=thin -O2 -o our.out -Wl,--lto-obj-path=our.P \
         -fthinlto-distributor={THINLTO} -Xthinlto-distributor=distribute"
    );
    let copy = "cp *.o lib*.a elsewhere && cd elsewhere";
    let copied = format!("{copy} && clang++-22 {link} {}", INPUTS.join(" "));
    let outcome = bench.run("sh", &["-c", &copied]).ok();
    assert_eq!(counts(&outcome), (0, ALL));
    assert!(bench.read("elsewhere/our.out") == bench.read("our.out"));
}

/// The function that is imported brings its file along.
#[test]
fn a_file_that_assembly_pulls_in_counts() {
    let bench = program();
    bench.write("blob", "one");
    let asm = "int twice(int x) { static const char *p; \
               __asm__(\".pushsection .rodata\\n1: .incbin \\\"blob\\\"\\n.byte 0\\n.popsection\\n lea 1b(%%rip), %0\" : \"=r\"(p)); \
               return x + p[0]; }\n";
    bench.compile("twice.cc", asm, FLAGS);
    archives(&bench);
    let first = ours(&bench, INPUTS).ok();
    assert_eq!(counts(&first), (ALL, 0));
    assert_eq!(counts(&ours(&bench, INPUTS).ok()), (0, ALL));
    bench.write("blob", "two");
    let (run, _) = counts(&ours(&bench, INPUTS).ok());
    same(&bench, INPUTS, ALL);
    // Its own and whoever has imported it.
    assert!(run > 1, "{run}");
    bench.write("blob", "one");
    assert_eq!(counts(&ours(&bench, INPUTS).ok()), (0, ALL));
}

#[test]
fn what_the_command_says_and_the_files_it_names_count() {
    let bench = program();
    bench.write("blocks", "!main\n");
    let with = |words: &[&'static str]| [INPUTS, words].concat();
    let listed = with(&["-Wl,--thinlto-remote-compiler-arg=-fbasic-block-sections=list=blocks"]);
    let runs = |words: &[&str]| counts(&ours(&bench, words).ok()).0;
    assert_eq!(runs(INPUTS), ALL);
    assert_eq!(runs(&listed), ALL);
    assert_eq!(runs(&listed), 0);
    bench.write("blocks", "!twice\n");
    assert_eq!(runs(&listed), ALL);
    same(&bench, &listed, ALL);
    assert_eq!(
        runs(&with(&["-Wl,--thinlto-remote-compiler-arg=-falign-loops=64"])),
        ALL
    );
    assert_eq!(runs(INPUTS), 0);
}

#[test]
fn a_command_that_is_more_than_cc1_is_run_as_it_stands() {
    let bench = program();
    let words = [INPUTS, &["-Wl,--thinlto-remote-compiler-arg=-gsplit-dwarf"]].concat();
    for _ in 0..2 {
        let outcome = ours(&bench, &words).ok();
        assert_eq!(counts(&outcome), (ALL, 0));
        let (engine, why) = engine(&outcome);
        assert_eq!(engine, "process");
        assert_eq!(why, outcome.stats[0]["cache_off"].as_str().unwrap());
        assert!(why.starts_with("clang's driver"), "{why}");
        assert_eq!(outcome.backends("uncacheable"), ALL);
    }
    assert_eq!(bench.output_of("our.out"), "110\n");
}

#[test]
fn launchers_and_post_backend_commands() {
    let mut bench = program();
    bench.write("scribe", "#!/bin/sh\necho \"$@\" >> lines\nexec \"$@\"\n");
    let script = bench.path("scribe");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    bench.env("THINLTO_LD_LAUNCHER", script.to_str().unwrap());
    assert_eq!(counts(&ours(&bench, INPUTS).ok()), (ALL, 0));
    same(&bench, INPUTS, ALL);
    let lines = bench.text("lines");
    assert_eq!(lines.lines().count() as u64, ALL);
    assert!(
        lines
            .lines()
            .all(|line| line.contains(" -c --target=") && !line.contains("-cc1")),
        "{lines}"
    );
    assert_eq!(counts(&ours(&bench, INPUTS).ok()), (0, ALL));
    bench
        .env("THINLTO_LD_LAUNCHER", "")
        .env("THINLTO_LD_POST_BACKEND", "llvm-objcopy-22 --strip-debug");
    assert_eq!(counts(&ours(&bench, INPUTS).ok()), (ALL, 0));
    assert!(!bench.differing_objects().is_empty());
    assert_eq!(bench.output_of("our.out"), bench.output_of("in.out"));
}

#[test]
fn a_backend_that_fails_is_told_by_its_module_and_lld_ends_the_link() {
    let bench = program();
    let bad = "int twice(int x) { __asm__ volatile(\"bogus\"); return x; }\n";
    bench.compile("twice.cc", bad, &["-flto=thin", "-O2", "-fno-inline", "-fPIC"]);
    archives(&bench);
    let outcome = ours(&bench, INPUTS);
    assert_eq!(outcome.status, 1);
    for said in [
        "error: invalid instruction mnemonic 'bogus'",
        "thinlto: error: the backend of libfat.a(twice.o at ",
        "): clang reported errors",
        "ld.lld: error: DTLTO backend compilation: distributor execution failed",
    ] {
        assert!(outcome.stderr.contains(said), "{said}: {}", outcome.stderr);
    }
    assert_eq!(outcome.stats[0]["exit"], 1);
    assert!(outcome.backends("failed") >= 1);
    assert!(!bench.path("our.out").exists());
    tidy(&bench);
    // The rest was kept, what failed was not.
    bench.compile("twice.cc", "int twice(int x) { return x + x; }\n", FLAGS);
    archives(&bench);
    ours(&bench, INPUTS).ok();
    same(&bench, INPUTS, ALL);
}

/// A compiler that leaves an empty object and is content: clang does so where an import is missing.
#[test]
fn an_object_is_looked_at_before_it_is_believed() {
    let bench = program();
    let liar = "#!/bin/sh\ncase \" $* \" in *' -### '*) exec clang-22 \"$@\";; esac\n\
                while [ $# -gt 1 ]; do [ \"$1\" = -o ] && : > \"$2\"; shift; done\n";
    bench.write("liar", liar);
    fs::set_permissions(bench.path("liar"), fs::Permissions::from_mode(0o755)).unwrap();
    let compiler = format!("-Wl,--thinlto-remote-compiler={}", bench.path("liar").display());
    let words = [INPUTS, &[compiler.as_str()]].concat();
    let outcome = ours(&bench, &words);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.stderr.contains("clang exited 0 but left an empty object"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.backends("run"), 0);
    let missing = [INPUTS, &["-Wl,--thinlto-remote-compiler=/no/such/clang"]].concat();
    let outcome = ours(&bench, &missing);
    let said = "cannot run /no/such/clang, the compiler that --thinlto-remote-compiler names: ";
    assert!(
        outcome.status == 1 && outcome.stderr.contains(said),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_list_that_cannot_be_followed_is_told_with_its_name() {
    let bench = Bench::new();
    bench.write("cut.json", "{\"common\":{\"args\":[\"clang-22\"");
    bench.write("empty.json", "{\"common\":{\"args\":[]},\"jobs\":[]}");
    bench.write(
        "gone.json",
        "{\"common\":{\"args\":[\"clang-22\"]},\"jobs\":[{\"args\":[],\"inputs\":[\"a.o\",\"a.o.thinlto.bc\"],\"outputs\":[\"x\"]}]}",
    );
    for (words, said) in [
        (
            &["distribute", "none.json"][..],
            "none.json: cannot be read: No such file",
        ),
        (
            &["distribute", "cut.json"],
            "cut.json: not a list of jobs as lld 20 to 22 write it: EOF",
        ),
        (&["distribute", "empty.json"], "empty.json: names no compiler"),
        (&["distribute", "gone.json"], "a.o: No such file"),
        (
            &["distribute", "--fast", "cut.json"],
            "--fast: expected [--thinlto-ld-SETTING=VALUE]",
        ),
        (
            &["distribute", "--thinlto-ld-jobs=0", "cut.json"],
            "--thinlto-ld-jobs=0: expected a number from 1",
        ),
    ] {
        let outcome = bench.run(THINLTO, words);
        assert_eq!(outcome.status, 1);
        assert!(
            outcome.stderr.starts_with(&format!("thinlto: error: {said}")),
            "{}",
            outcome.stderr
        );
    }
}

/// make has two jobs: while another recipe holds one, the link has its own and no more.
#[test]
fn make_counts_its_backends() {
    let mut bench = program();
    bench
        .env("THINLTO_LD_CACHE", "off")
        .env("THINLTO_LD_JOBS", "2")
        .env("THINLTO_LD_TIMELINE", "on");
    let link = format!(
        "clang++-22 -fuse-ld=lld -flto=thin -O2 -o our.out -fthinlto-distributor={THINLTO} -Xthinlto-distributor=distribute {}",
        INPUTS.join(" ")
    );
    bench.write(
        "Makefile",
        &format!("all: hold link\nhold: ; while [ ! -e done ]; do sleep 0.05; done\nlink: ; +{link}; touch done\n"),
    );
    for (jobs, slots) in [("-j2", 1), ("-j3", 2)] {
        let _ = fs::remove_file(bench.path("done"));
        let outcome = bench.run("make", &[jobs, "-s"]).ok();
        let timeline = outcome.stats[0]["timeline"].as_array().unwrap();
        let used: BTreeSet<u64> = timeline.iter().map(|span| span["slot"].as_u64().unwrap()).collect();
        assert_eq!((timeline.len() as u64, used.len()), (ALL, slots), "{jobs}");
        let names: BTreeSet<&str> = timeline.iter().map(|span| span["name"].as_str().unwrap()).collect();
        assert!(
            names
                .iter()
                .any(|name| name.starts_with("libfat.a(s6.o at ") && name.ends_with(')')),
            "{names:?}"
        );
    }
}

/// Whoever has both: thinlto-ld leaves DTLTO links to lld, which calls the distributor.
#[test]
fn thinlto_ld_passes_dtlto_links_through() {
    let mut bench = program();
    bench.env("THINLTO_LD_MODE", "auto");
    let shim = bench.shim();
    let ld = format!("--ld-path={}", shim.display());
    let program = format!("-Wl,--thinlto-distributor={THINLTO}");
    let words = [
        &[
            ld.as_str(),
            "-flto=thin",
            "-O2",
            "-o",
            "our.out",
            &program,
            "-Wl,--thinlto-distributor-arg=distribute",
            "-Wl,--thinlto-distributor-arg=--thinlto-ld-jobs=1",
            // Found on PATH.
            "-Wl,--thinlto-remote-compiler=clang-22",
        ],
        INPUTS,
    ]
    .concat();
    let outcome = bench.run("clang++-22", &words).ok();
    let modes: Vec<&str> = outcome
        .stats
        .iter()
        .map(|line| line["mode"].as_str().unwrap())
        .collect();
    assert_eq!(modes, ["in-process", "distributor"]);
    assert_eq!(outcome.stats[0]["reason"], "--thinlto-distributor");
    assert_eq!(counts(&outcome), (ALL, 0));
}

/// What only who makes the link can do is told to whoever asks for it.
#[test]
fn a_setting_that_is_not_heeded_is_not_passed_over_in_silence() {
    let mut bench = program();
    bench.env("THINLTO_LD_ORDER", "in-process");
    let outcome = ours(&bench, INPUTS).ok();
    assert_eq!(counts(&outcome), (ALL, 0));
    let said = "a distributor heeds no order setting";
    assert_eq!(outcome.reason(), said);
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}

/// Backends by who ran them: here, a worker, a server's action cache.
fn ran(outcome: &Outcome) -> [u64; 3] {
    ["run", "remote", "remote_cached"].map(|what| outcome.backends(what))
}

fn told<'a>(outcome: &'a Outcome, what: &str) -> &'a serde_json::Value {
    &outcome.stats[0]["backends"][what]
}

fn sent(outcome: &Outcome) -> u64 {
    outcome.stats[0]["bytes"]["up"].as_u64().unwrap()
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
    assert_eq!((ran(&again), sent(&again)), ([0, 0, ALL], 0), "{}", again.stderr);
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
    assert_eq!((ran(&there), sent(&there)), ([0, 0, ALL], 0), "{}", there.stderr);
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
    assert!(sent(&outcome) < 4 << 20, "{} bytes", sent(&outcome));
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
    assert_eq!((ran(&outcome), sent(&outcome)), ([0, 0, ALL], 0), "{}", outcome.stderr);
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
    assert!(sent(&outcome) > 0);
    let why = told(&outcome, "remote_fallback").as_str().unwrap();
    assert!(why.starts_with("a remote backend failed (1): "), "{why}");
    assert!(!bench.path("our.out").exists());
    tidy(&bench);
}
