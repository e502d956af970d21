//! `thinlto distribute` as the distributor of DTLTO (LLVM 22 and later): the objects are those of a plain local distributor, to the byte;
//! an edit compiles what it reaches; what fails is told by whose it is. Knows nothing of thinlto-ld's own links.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::Bench;
use common::dtlto::{ALL, FLAGS, INPUTS, MODULES, THINLTO, archives, counts, engine, ours, program, same, shape, tidy};

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
    let copied = format!("{copy} && clang++-{} {link} {}", bench.llvm, INPUTS.join(" "));
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
    let script = bench.write_program("scribe", "#!/bin/sh\necho \"$@\" >> lines\nexec \"$@\"\n");
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
    let strip = format!("llvm-objcopy-{} --strip-debug", bench.llvm);
    bench
        .env("THINLTO_LD_LAUNCHER", "")
        .env("THINLTO_LD_POST_BACKEND", &strip);
    assert_eq!(counts(&ours(&bench, INPUTS).ok()), (ALL, 0));
    assert!(bench.read("in.out") != bench.read("our.out"));
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
    let liar = format!(
        "#!/bin/sh\ncase \" $* \" in *' -### '*) exec clang-{} \"$@\";; esac\n\
         while [ $# -gt 1 ]; do [ \"$1\" = -o ] && : > \"$2\"; shift; done\n",
        bench.llvm
    );
    bench.write_program("liar", &liar);
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
        "clang++-{} -fuse-ld=lld -flto=thin -O2 -o our.out -fthinlto-distributor={THINLTO} -Xthinlto-distributor=distribute {}",
        bench.llvm,
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
    let compiler = format!("-Wl,--thinlto-remote-compiler=clang-{}", bench.llvm);
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
            &compiler,
        ],
        INPUTS,
    ]
    .concat();
    let outcome = bench.run(format!("clang++-{}", bench.llvm), &words).ok();
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
