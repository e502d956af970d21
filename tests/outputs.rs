//! What a link writes and prints besides its program: maps, lists, warnings, symbol tables. Each as in-process lld gives
//! it to its user, and never with a staged name in it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::Bench;
use common::pairs::{THIN, bench, names, pair, symbols};
use object::Object;

fn lines(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| !line.contains(".lto.")).collect()
}

#[test]
fn map_and_cross_references_name_the_users_files() {
    let bench = bench();
    let (inside, ours) = pair(&bench, &["main.o", "libx.a", "-Map=map", "--cref"], &["map"]);
    let map = bench.text("our/map");
    for place in ["main.o:(.text", "libx.a(g.o):(.text", "libx.a(n.o):(.text"] {
        assert!(map.contains(place), "{map}");
    }
    assert!(
        bench.text("in/map").contains("out.lto.main.o:(.text"),
        "in-process names have changed"
    );
    assert_eq!((&ours.stderr, &ours.stdout), (&inside.stderr, &inside.stdout));
    let (_, ours) = pair(
        &bench,
        &["main.o", "--start-lib", "g.o", "n.o", "--end-lib", "-M", "--cref"],
        &[],
    );
    for place in ["main.o:(.text", "g.o:(.text", "Cross Reference Table"] {
        assert!(ours.stdout.contains(place), "{}", ours.stdout);
    }
}

#[test]
fn lists_of_inputs_are_llds() {
    let bench = bench();
    bench.write("script", "INPUT(libx.a)\n").write("sub/keep", "");
    fs::copy(bench.path("libx.a"), bench.path("lib x$.a")).unwrap();
    for inputs in [
        &["main.o", "libx.a"][..],
        &["main.o", "script"],
        &["./sub/../main.o", "lib x$.a"],
        &["main.o", "-L.", "-lx"],
        &["./main.o", "--whole-archive", "libx.a"],
    ] {
        let mut words = inputs.to_vec();
        words.extend([
            "--dependency-file=deps",
            "--why-extract=why",
            "--print-archive-stats=stats",
            "--trace",
        ]);
        let (inside, ours) = pair(&bench, &words, &["deps", "why", "stats"]);
        for file in ["deps", "why", "stats"] {
            let text = |folder: &str| bench.text(&format!("{folder}/{file}"));
            assert_eq!(lines(&text("our")), lines(&text("in")), "{file} of {inputs:?}");
        }
        assert_eq!(lines(&ours.stdout), lines(&inside.stdout), "--trace of {inputs:?}");
    }
}

#[test]
fn sections_removed_and_folded_and_times() {
    let bench = bench();
    let words = [
        "main.o",
        "libx.a",
        "--gc-sections",
        "--print-gc-sections",
        "--icf=all",
        "--print-icf-sections",
        "--time-trace=trace",
    ];
    let (inside, ours) = pair(&bench, &words, &["trace"]);
    for text in [
        "removing unused section libx.a(n.o):(.text.lonely)",
        "selected section main.o:(.text.same1)",
        "removing identical section main.o:(.text.same2)",
    ] {
        assert!(ours.stdout.contains(text), "{}\n{}", inside.stdout, ours.stdout);
    }
    serde_json::from_str::<serde_json::Value>(&bench.text("our/trace")).unwrap();
    let symbols = symbols(&bench, "our/out");
    assert_eq!(symbols.get("same1"), symbols.get("same2"));
    assert!(!symbols.contains_key("lonely"));
    assert_eq!(names(&bench, "our/out"), names(&bench, "in/out"));
}

#[test]
fn a_build_id_that_stays() {
    let bench = bench();
    for kind in ["--build-id", "--build-id=sha1", "--build-id=0x1234"] {
        let id = || {
            pair(&bench, &["main.o", "libx.a", kind], &[]);
            let bytes = bench.read("our/out");
            let file = object::File::parse(&*bytes).unwrap();
            file.build_id().unwrap().unwrap().to_vec()
        };
        assert_eq!(id(), id(), "{kind}");
    }
}

#[test]
fn inputs_that_are_no_code() {
    let bench = bench();
    bench.write("blob", "hello").compile(
        "main.c",
        "extern char _binary_blob_start[], _binary_blob_end[]; extern char there[]; int printf(const char *, ...);\n\
         int main(void) { printf(\"%d %lx\\n\", (int)(_binary_blob_end - _binary_blob_start), (long)there); return 0; }\n",
        &["-flto=thin", "-O2", "-fno-pic"],
    );
    bench.compile("where.c", "__asm__(\".globl there\\nthere = 0x1234\");\n", &[]);
    let outcome = bench.both(
        "clang",
        &[
            "-no-pie",
            "main.o",
            "-Wl,--format=binary",
            "blob",
            "-Wl,--format=default",
            "-Wl,--just-symbols=where.o",
        ],
    );
    assert_eq!(outcome.clean().stderr, "");
    bench.both_print("5 1234\n");
}

/// A warning of the thin link, of a backend and of the final link.
const WARNS: &str = "__attribute__((noinline)) int warns(int x) { volatile char big[9000]; big[x] = 1; return big[1]; }\n\
                     int main(int c, char **v) { return warns(c); }\n";

#[test]
fn warnings_come_once_in_llds_words_and_again_from_the_cache() {
    let bench = bench();
    bench.compile(
        "warns.c",
        WARNS,
        &["-flto=thin", "-O2", "-fPIC", "-Wframe-larger-than=1000"],
    );
    for words in [
        &["warns.o"][..],
        &["warns.o", "-w"],
        &["warns.o", "--no-warnings"],
        &["warns.o", "--fatal-warnings"],
        &["warns.o", "-e", "nowhere"],
        &["warns.o", "-e", "nowhere", "-w"],
        &["warns.o", "-e", "nowhere", "--fatal-warnings"],
        &["warns.o", "-z", "nonsense"],
        &[
            "warns.o",
            "main.o",
            "libx.a",
            "--noinhibit-exec",
            "--allow-multiple-definition",
            "--undefined-version",
        ],
    ] {
        let (inside, first) = pair(&bench, words, &[]);
        assert_eq!(first.stderr, inside.stderr, "{words:?}");
        let (_, again) = pair(&bench, words, &[]);
        assert_eq!(again.stderr, inside.stderr, "{words:?}, cached");
        assert_eq!(again.backends("run"), 0);
    }
}

#[test]
fn colours_where_lld_would_colour() {
    let mut bench = bench();
    bench.compile(
        "warns.c",
        WARNS,
        &["-flto=thin", "-O2", "-fPIC", "-Wframe-larger-than=1000"],
    );
    bench.compile("bad.c", "int main(void) { __asm__(\"bogus\"); return 0; }\n", THIN);
    for (term, words, coloured) in [
        ("xterm", "warns.o -e nowhere", true),
        ("xterm", "bad.o -e main", true),
        ("xterm", "main.o", true),
        ("xterm", "warns.o -e nowhere --color-diagnostics=never", false),
        ("dumb", "warns.o -e nowhere", false),
        ("dumb", "warns.o -e nowhere --color-diagnostics", true),
    ] {
        bench.env("TERM", term);
        let said = |linker: &str| {
            let line = format!("{linker} -o out {words}");
            bench.run("script", &["-qec", &line, "/dev/null"]).stdout
        };
        let (inside, ours) = (said(&bench.lld()), said(bench.shim().to_str().unwrap()));
        assert_eq!(inside.contains("\x1b["), coloured, "{inside}");
        let places = |text: String| text.replace("out.lto.main.o", "main.o");
        assert_eq!(places(ours), places(inside), "{term} {words}");
    }
}

#[test]
fn options_that_are_left_to_in_process_lld_by_name() {
    let mut bench = bench();
    bench.env("THINLTO_LD_MODE", "auto");
    for (option, reason) in [
        ("-plugin-opt=stats-file=stats", "-plugin-opt=stats-file"),
        ("--lto-emit-asm", "--lto-emit-asm"),
        ("--lto-emit-llvm", "--lto-emit-llvm"),
        ("--reproduce=r.tar", "--reproduce"),
    ] {
        let ours = bench
            .through(&["-e", "main", "-o", "out", "main.o", "libx.a", option])
            .clean()
            .ok();
        assert_eq!(ours.mode(), "in-process");
        assert!(ours.reason().starts_with(reason), "{option}: {}", ours.reason());
        bench.tidy();
    }
    bench.env(
        "LLD_REPRODUCE",
        bench.path("repro.tar").to_str().unwrap().to_owned().as_str(),
    );
    let ours = bench.through(&["-e", "main", "-o", "out", "main.o", "libx.a"]).ok();
    assert_eq!((ours.mode(), ours.reason()), ("in-process", "LLD_REPRODUCE"));
    assert!(bench.path("repro.tar").exists());
}

#[test]
fn inputs_under_other_names_are_no_way_round_distribution() {
    let mut bench = bench();
    bench.compile("regular.c", "int regular(void) { return 1; }\n", &["-flto", "-O2"]);
    bench.compile("native.c", "int native(void) { return 1; }\n", &["-O2"]);
    bench.write("map", "not-there.o=main.o\n");
    let remapped = [
        (["not-there.o", "--remap-inputs=not-there.o=main.o"], "--remap-inputs"),
        (["not-there.o", "--remap-inputs-file=map"], "--remap-inputs-file"),
        (["regular.o", "--remap-inputs=regular.o=main.o"], "--remap-inputs"),
        (["native.o", "--remap-inputs=native.o=main.o"], "--remap-inputs"),
    ];
    let line = ["-e", "main", "-o", "out", "libx.a"];
    for (words, option) in remapped {
        let refused = bench.through(&[&line[..], &words].concat());
        assert_eq!(
            (refused.status, refused.mode(), refused.reason()),
            (1, "in-process", option),
            "{words:?}"
        );
        assert!(!bench.path("out").exists());
    }
    let words = ["-e", "main", "-o", "out", "not-there.o", "--chroot", "somewhere"];
    assert_eq!(bench.through(&words).reason(), "--chroot");
    bench.env("THINLTO_LD_MODE", "auto");
    for (words, option) in remapped {
        let ours = bench.through(&[&line[..], &words].concat()).clean().ok();
        assert_eq!((ours.mode(), ours.reason()), ("in-process", option));
    }
}

#[test]
fn a_build_that_distributes_by_rules_of_its_own() {
    let bench = Bench::new();
    bench.compile("main.c", "int next(void);\nint main(void) { return next(); }", THIN);
    bench.compile("next.c", "int next(void) { return 7; }", THIN);
    for option in [
        "--thinlto-index-only",
        "--thinlto-index-only=list",
        "-plugin-opt=thinlto-index-only",
        "-plugin-opt=thinlto-index-only=list",
    ] {
        let thin = bench.through(&["-r", option, "main.o", "next.o"]).ok();
        assert_eq!(
            (thin.mode(), thin.reason()),
            ("passthrough", "asks for the thin link alone")
        );
    }
    assert_eq!(
        bench.text("list").split_whitespace().collect::<Vec<_>>(),
        ["main.o", "next.o"]
    );
    for module in ["main", "next"] {
        let index = format!("-fthinlto-index={module}.o.thinlto.bc");
        let (bitcode, native) = (format!("{module}.o"), format!("{module}.native.o"));
        bench.clang(&["-O2", "-c", "-x", "ir", &index, "-o", &native, &bitcode]);
    }
    let shim = bench.shim();
    let natives = ["-o", "out", "main.native.o", "next.native.o"];
    let linked = bench.drive("clang", shim.to_str().unwrap(), &natives).ok();
    assert_eq!(linked.mode(), "passthrough");
    assert_eq!(bench.run(bench.path("out"), &[]).status, 7);
}

#[test]
fn another_flavor_word_and_an_output_on_stdout() {
    let bench = bench();
    let ours = bench
        .through(&["-flavor", "gnu", "-e", "main", "-o", "out", "main.o", "libx.a"])
        .clean()
        .ok();
    assert_eq!(ours.mode(), "distributed");
    let ours = bench
        .command(bench.shim(), &["-e", "main", "-o", "-", "main.o", "libx.a"])
        .output()
        .unwrap();
    assert!(ours.status.success());
    let inside = bench
        .command(bench.lld(), &["-e", "main", "-o", "-", "main.o", "libx.a"])
        .output()
        .unwrap();
    for bytes in [&ours.stdout, &inside.stdout] {
        assert_eq!(
            object::File::parse(&**bytes).unwrap().format(),
            object::BinaryFormat::Elf
        );
    }
}

#[test]
fn another_final_linker() {
    let Ok(mold) = which::which("mold") else {
        eprintln!("skipped: mold is not installed");
        return;
    };
    let mut bench = bench();
    bench.env("THINLTO_LD_FINAL_LINKER", mold.to_str().unwrap());
    let outcome = bench
        .drive(
            "clang",
            bench.shim().to_str().unwrap(),
            &["main.o", "libx.a", "-o", "out"],
        )
        .clean()
        .ok();
    assert_eq!(outcome.mode(), "distributed");
    assert_eq!(bench.run(bench.path("out"), &[]).status, 40 + 10 + 10 + 5);
    let comment = bench.run("llvm-readelf-22", &["-p", ".comment", "out"]).ok().stdout;
    assert!(comment.contains("mold"), "{comment}");
}

#[test]
fn lto_objects_beside_the_output() {
    bench().both_bare(&["-e", "main", "main.o", "libx.a"]);
}

/// PATH has an `ld.lld-22` that is a script which leads back to us.
#[test]
fn a_wrapper_script_that_leads_back() {
    let bench = bench();
    let script = format!("#!/bin/sh\nexec {} \"$@\"\n", bench.shim().display());
    bench.write_program("bin/ld.lld-22", &script);
    let path = format!("{}:{}", bench.path("bin").display(), std::env::var("PATH").unwrap());
    for program in [bench.path("bin/ld.lld-22"), bench.shim()] {
        let _ = fs::remove_file(bench.path("stats.json"));
        let output = bench
            .command(&program, &["-e", "main", "-o", "out", "main.o", "libx.a"])
            .env("PATH", &path)
            .output()
            .unwrap();
        let outcome = bench.outcome(&output).clean().ok();
        assert_eq!(outcome.stats.last().unwrap()["mode"], "distributed");
        assert_eq!(
            outcome
                .stats
                .iter()
                .filter(|line| line["mode"] == "distributed")
                .count(),
            1,
            "{:?}",
            outcome.stats
        );
    }
}

/// With and without a module for regular LTO, which is taken out of an archive or not.
#[test]
fn split_debug_info_is_llds_set_of_files() {
    let bench = Bench::new();
    let flags = ["-O2", "-g", "-gsplit-dwarf"];
    let thin = [&flags[..], &["-flto=thin"]].concat();
    bench
        .compile("main.c", "int f(int); int main(void) { return f(2) - 3; }\n", &thin)
        .compile("f.c", "int f(int x) { return x + 1; }\n", &thin)
        .compile("other.c", "int r(int); int main(void) { return r(2) - 1; }\n", &thin)
        .compile(
            "r.c",
            "int r(int x) { return x - 1; }\n",
            &[&flags[..], &["-flto=full"]].concat(),
        );
    bench.ar(&["rc", "libr.a", "f.o", "r.o"]);
    let files = |folder: &str| {
        let files = fs::read_dir(bench.path(folder)).unwrap().flatten();
        let names = files.map(|file| file.file_name().into_string().unwrap());
        names.collect::<BTreeSet<_>>()
    };
    for (inputs, expected) in [
        (&["main.o", "f.o"][..], &["1.dwo", "2.dwo"][..]),
        (&["main.o", "libr.a"], &["1.dwo", "2.dwo"]),
        (&["other.o", "libr.a"], &["0.dwo", "1.dwo"]),
        (&["other.o", "r.o"], &["0.dwo", "1.dwo"]),
    ] {
        for folder in ["in", "our"] {
            let _ = fs::remove_dir_all(bench.path(folder));
        }
        let line = |out: &str, dir: &str| {
            let dir = format!("--plugin-opt=dwo_dir={dir}");
            let fixed = ["-e", "main", "-o", out, &dir].map(str::to_owned);
            inputs
                .iter()
                .map(|word| word.to_string())
                .chain(fixed)
                .collect::<Vec<_>>()
        };
        let (inside, ours) = (line("in.out", "in"), line("our.out", "our"));
        bench
            .direct(&inside.iter().map(String::as_str).collect::<Vec<_>>())
            .ok();
        let ours = bench.through(&ours.iter().map(String::as_str).collect::<Vec<_>>()).ok();
        assert_eq!(ours.mode(), "distributed", "{}", ours.reason());
        assert_eq!(files("in"), expected.iter().map(|name| name.to_string()).collect());
        assert_eq!(files("our"), files("in"), "{inputs:?}");
    }
}
