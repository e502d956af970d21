//! The cache of backends' objects: what is found again, and everything that must make it be compiled anew.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Bench, Outcome};

const THIN: &[&str] = &["-flto=thin", "-O2"];
const MAIN: &str = "int f(int); int printf(const char *, ...);\n\
                    int main(int c, char **v) { printf(\"%d\\n\", f(c)); return 0; }\n";
const G: &str = "__attribute__((noinline)) int g(int x) { return x * 40; }\n";

/// main.o calls f, which is imported; f calls g, which is not inlined; g.o's code is its own.
fn bench() -> Bench {
    let bench = Bench::new();
    bench
        .compile("main.c", MAIN, THIN)
        .compile("f.c", "int g(int); int f(int x) { return g(x) + 1; }\n", THIN)
        .compile("g.c", G, THIN);
    bench
}

const LINK: &[&str] = &["main.o", "f.o", "g.o"];

fn link(bench: &Bench, words: &[&str]) -> Outcome {
    let mut all = vec!["-o", "out"];
    all.extend(words);
    let outcome = bench.drive("clang", bench.shim().to_str().unwrap(), &all).clean().ok();
    assert_eq!(outcome.mode(), "distributed", "{}", outcome.reason());
    bench.tidy();
    outcome
}

/// Backends (run, cached).
fn counts(outcome: &Outcome) -> (u64, u64) {
    (outcome.backends("run"), outcome.backends("cached"))
}

#[test]
fn an_unchanged_link_runs_no_backend_and_gives_the_same_bytes() {
    let bench = bench();
    assert_eq!(counts(&link(&bench, LINK)), (3, 0));
    let first = bench.read("out");
    assert_eq!(counts(&link(&bench, LINK)), (0, 3));
    assert_eq!(bench.read("out"), first);
    assert_eq!(bench.output_of("out"), "41\n");
}

#[test]
fn an_edit_reaches_what_it_reaches() {
    let bench = bench();
    link(&bench, LINK);
    bench.compile("g.c", &G.replace("40", "50"), THIN);
    assert_eq!(counts(&link(&bench, LINK)), (1, 2), "an edit of what nobody imports");
    assert_eq!(bench.output_of("out"), "51\n");
    bench.compile("f.c", "int g(int); int f(int x) { return g(x) + 2; }\n", THIN);
    assert_eq!(counts(&link(&bench, LINK)), (2, 1), "an edit of what main.o imports");
    assert_eq!(bench.output_of("out"), "52\n");
    bench.compile("g.c", G, THIN);
    bench.compile("f.c", "int g(int); int f(int x) { return g(x) + 1; }\n", THIN);
    assert_eq!(counts(&link(&bench, LINK)), (0, 3), "and back again");
    assert_eq!(bench.output_of("out"), "41\n");
}

#[test]
fn every_option_that_shapes_an_object_counts() {
    let bench = bench();
    link(&bench, LINK);
    for option in [
        "-no-pie",
        "-Wl,--lto-O1",
        "-Wl,--lto-O3",
        "-Wl,--lto-CGO3",
        "-Wl,-mllvm,-inline-threshold=1",
        "-Wl,-plugin-opt=mcpu=haswell",
    ] {
        let mut words = LINK.to_vec();
        words.push(option);
        assert_eq!(counts(&link(&bench, &words)).0, 3, "{option}");
        assert_eq!(counts(&link(&bench, &words)), (0, 3), "{option} again");
    }
    for option in [
        "-Wl,--gc-sections",
        "-Wl,-Map=map",
        "-Wl,--build-id",
        "-Wl,--threads=1",
        "-s",
    ] {
        let mut words = LINK.to_vec();
        words.push(option);
        assert_eq!(counts(&link(&bench, &words)), (0, 3), "{option} shapes no object");
    }
}

/// What lld's own cache misses: a file that assembly pulls in.
#[test]
fn files_pulled_in_by_assembly_count_by_content() {
    let bench = bench();
    bench.write("blob", "one").compile(
        "f.c",
        "__asm__(\".data\\n.globl blob\\nblob: .incbin \\\"blob\\\"\\n.byte 0\\n.text\"); extern char blob[]; int puts(const char *);\n\
         int g(int); int f(int x) { puts(blob); return g(x); }\n",
        THIN,
    );
    link(&bench, LINK);
    assert_eq!(counts(&link(&bench, LINK)), (0, 3));
    assert_eq!(bench.output_of("out"), "one\n40\n");
    bench.write("blob", "two");
    // main.o imports from f.o, and what that would bring along is not looked into.
    assert_eq!(counts(&link(&bench, LINK)), (2, 1));
    assert_eq!(bench.output_of("out"), "two\n40\n");
}

#[test]
fn a_profile_counts_by_content() {
    let bench = bench();
    let profile = |count: u32| {
        bench.write(
            "profile.txt",
            &format!("main:{count}:{count}\n 1: {count} f:{count}\nf:{count}:{count}\n 0: {count}\n"),
        );
    };
    let words = ["main.o", "f.o", "g.o", "-Wl,--lto-sample-profile=profile.txt"];
    profile(10);
    link(&bench, &words);
    assert_eq!(counts(&link(&bench, &words)), (0, 3));
    profile(20);
    assert_eq!(counts(&link(&bench, &words)), (3, 0));
}

#[test]
fn it_can_be_switched_off_and_elsewhere() {
    let mut bench = bench();
    link(&bench, LINK);
    let off = ["main.o", "f.o", "g.o", "-Wl,--thinlto-ld-cache=off"];
    assert_eq!(counts(&link(&bench, &off)), (3, 0));
    let elsewhere = ["main.o", "f.o", "g.o", "-Wl,--thinlto-ld-cache-dir=mine"];
    assert_eq!(counts(&link(&bench, &elsewhere)), (3, 0));
    assert_eq!(counts(&link(&bench, &elsewhere)), (0, 3));
    bench.env("THINLTO_LD_CACHE", "off");
    for _ in 0..2 {
        assert_eq!(counts(&link(&bench, LINK)), (3, 0));
    }
}

/// Every file of the cache's store.
fn stored(bench: &Bench) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![bench.path("cache/thinlto-ld/v1")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path)
            } else {
                files.push(path)
            }
        }
    }
    files
}

#[test]
fn damaged_entries_are_compiled_anew() {
    let bench = bench();
    link(&bench, LINK);
    let good = bench.read("out");
    type Damage = fn(&[u8]) -> Vec<u8>;
    let damages: [(&str, Damage); 4] = [
        ("emptied", |_| Vec::new()),
        ("cut", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("a bit flipped", |bytes| {
            let mut bytes = bytes.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        }),
        ("lengthened", |bytes| [bytes, b"x"].concat()),
    ];
    for (what, damage) in damages {
        for contents in [true, false] {
            let files = stored(&bench);
            let hit = files
                .iter()
                .filter(|path| path.extension().is_some_and(|e| e == "bin") == contents);
            for path in hit.filter(|path| !path.ends_with("digests")) {
                let bytes = fs::read(path).unwrap();
                fs::remove_file(path).unwrap();
                fs::write(path, damage(&bytes)).unwrap();
            }
            assert_eq!(counts(&link(&bench, LINK)), (3, 0), "{what}");
            assert_eq!(bench.read("out"), good, "{what}");
            assert_eq!(counts(&link(&bench, LINK)), (0, 3), "mended after it was {what}");
        }
    }
    let memo = stored(&bench).into_iter().find(|path| path.ends_with("digests"));
    fs::write(memo.unwrap_or(bench.path("cache/thinlto-ld/v1/digests")), "garbage").unwrap();
    link(&bench, LINK);
    assert_eq!(bench.read("out"), good, "with a damaged memo of digests");
}

/// `thinlto cache`, line by line without the first.
fn shown(bench: &Bench) -> Vec<String> {
    let shown = bench.run(env!("CARGO_BIN_EXE_thinlto"), &["cache"]).ok().stdout;
    let lines = shown.lines().skip(1).map(|line| line.to_owned());
    lines.collect()
}

#[test]
fn thinlto_cache_tells_how_often_it_served_and_what_would_go() {
    let mut bench = bench();
    let nothing = "pruning   would remove nothing";
    assert_eq!(shown(&bench), ["entries   0", "hit rate  none yet", nothing]);
    link(&bench, LINK);
    let after_one = "hit rate  0.0 % (0 of 3 objects, last day)";
    assert_eq!(shown(&bench), ["entries   4", after_one, nothing]);
    link(&bench, LINK);
    assert_eq!(shown(&bench)[1], "hit rate  50.0 % (3 of 6 objects, last day)");
    let off = ["main.o", "f.o", "g.o", "-Wl,--thinlto-ld-cache=off"];
    link(&bench, &off);
    assert_eq!(shown(&bench)[1], "hit rate  50.0 % (3 of 6 objects, last day)");
    // A link put back: all its objects were there.
    bench.env("THINLTO_LD_UNCHANGED", "restore");
    assert_eq!(link(&bench, LINK).stats[0]["output_state"], "linked");
    assert_eq!(link(&bench, LINK).stats[0]["output_state"], "restored");
    let after_four = "hit rate  75.0 % (9 of 12 objects, last day)";
    assert_eq!(shown(&bench)[..2], ["entries   5", after_four]);
    bench.env("THINLTO_LD_CACHE_POLICY", "cache_size_files=3");
    let doomed = &shown(&bench)[2];
    assert!(
        doomed.starts_with("pruning   would remove 7 files, ") && doomed.ends_with(" MB (7 beyond the number)"),
        "{doomed}"
    );
    bench.env("THINLTO_LD_CACHE_POLICY", "");
    bench.clang_standing_before("standin", "compile \"$@\"");
    link(&bench, LINK);
    assert_eq!(shown(&bench)[1], format!("{after_four}; 3 more could not be cached"));
}

#[test]
fn twenty_links_at_once_on_one_cache() {
    let bench = bench();
    let start = |number: usize| {
        let (shim, output) = (format!("--ld-path={}", bench.shim().display()), format!("out{number}"));
        let stats = bench.path(&format!("stats{number}"));
        let mut words = vec![shim.as_str(), "-o", &output];
        words.extend(LINK);
        let mut command = bench.command("clang-22", &words);
        command.env("THINLTO_LD_STATS", stats).spawn().unwrap()
    };
    let links: Vec<_> = (0..20).map(start).collect();
    for mut link in links {
        assert!(link.wait().unwrap().success());
    }
    let first = bench.read("out0");
    for number in 0..20 {
        assert_eq!(bench.read(&format!("out{number}")), first);
        let stats: serde_json::Value = serde_json::from_str(&bench.text(&format!("stats{number}"))).unwrap();
        assert_eq!(stats["mode"], "distributed");
        assert_eq!(
            stats["backends"]["run"].as_u64().unwrap() + stats["backends"]["cached"].as_u64().unwrap(),
            3
        );
    }
    let all = |line: &String| line.ends_with(" of 60 objects, last day)");
    assert!(shown(&bench).iter().any(all), "{:?}", shown(&bench));
    assert_eq!(counts(&link(&bench, LINK)), (0, 3));
    bench.tidy();
    assert!(
        !stored(&bench)
            .iter()
            .any(|path| path.file_name().unwrap().to_string_lossy().starts_with("tmp-"))
    );
}

#[test]
fn a_cache_that_cannot_be_is_off_without_a_word() {
    let mut bench = bench();
    bench.write("file", "");
    bench.env("THINLTO_LD_CACHE_DIR", "file/cache");
    let outcome = link(&bench, LINK);
    assert_eq!((counts(&outcome), outcome.stderr.as_str()), ((3, 0), ""));
    assert_eq!(outcome.stats[0]["cache_off"], "cache-cannot-create");
    assert_eq!(bench.output_of("out"), "41\n");
}

/// The same sources in two folders, compiled by relative names: each object is compiled once.
#[test]
fn another_checkout_finds_the_objects_of_the_first() {
    let bench = bench();
    for folder in ["one/src", "two/src"] {
        bench
            .write(&format!("{folder}/main.c"), MAIN)
            .write(&format!("{folder}/g.c"), G)
            .write(
                &format!("{folder}/f.c"),
                "#include <assert.h>\nint g(int); int f(int x) { assert(x < 100); return g(x) + 1; }\n",
            );
        for name in ["main", "f", "g"] {
            let (source, object) = (format!("src/{name}.c"), format!("{name}.o"));
            let mut words = vec!["-c", &source, "-o", &object];
            words.extend(THIN);
            let done = bench
                .command("clang-22", &words)
                .current_dir(bench.path(folder).parent().unwrap())
                .status();
            assert!(done.unwrap().success());
        }
    }
    let linked = |folder: &str| {
        let _ = fs::remove_file(bench.path("stats.json"));
        let shim = format!("--ld-path={}", bench.shim().display());
        let mut words = vec![shim.as_str(), "-o", "out"];
        words.extend(LINK);
        let output = bench
            .command("clang-22", &words)
            .current_dir(bench.path(folder))
            .output()
            .unwrap();
        counts(&bench.outcome(&output).ok())
    };
    assert_eq!(linked("one"), (3, 0));
    assert_eq!(linked("two"), (0, 3));
    assert_eq!(bench.read("one/out"), bench.read("two/out"));
}

/// A script that stands before clang may call another clang tomorrow: what it makes is not kept.
#[test]
fn a_compiler_that_is_a_script_has_no_identity() {
    let mut bench = bench();
    bench.clang_standing_before("standin", "compile \"$@\"");
    for _ in 0..2 {
        let outcome = link(&bench, LINK);
        assert_eq!((counts(&outcome), outcome.backends("uncacheable")), ((3, 0), 3));
    }
}

/// A module that changes after it was hashed and before clang reads it must not leave its object under the old key.
#[test]
fn an_object_of_what_was_not_hashed_is_not_kept() {
    let mut bench = bench();
    bench.write(
        "swap.c",
        "#include <stdio.h>\n#include <string.h>\n\
         __attribute__((constructor)) static void swap(void) {\n\
           char line[65536]; FILE *f = fopen(\"/proc/self/cmdline\", \"r\"); if (!f) return;\n\
           size_t n = fread(line, 1, sizeof line, f); fclose(f);\n\
           for (size_t i = 0; i < n; i += strlen(line + i) + 1)\n\
             if (!strncmp(line + i, \"-fthinlto-index=\", 16)) rename(\"other/g.o\", \"g.o\");\n\
         }\n",
    );
    bench.clang(&["-O2", "-shared", "-fPIC", "swap.c", "-o", "swap.so"]);
    bench.compile("other/g.c", &G.replace("40", "50"), THIN);
    let hashed = bench.read("g.o");
    let preload = bench.path("swap.so");
    bench.env("LD_PRELOAD", preload.to_str().unwrap());
    let changed = bench.drive(
        "clang",
        bench.shim().to_str().unwrap(),
        &["-o", "out", "main.o", "f.o", "g.o"],
    );
    assert_eq!(changed.status, 1);
    assert!(changed.reason().contains("g.o changed"), "{}", changed.stderr);
    bench.env("LD_PRELOAD", "");
    fs::write(bench.path("g.o"), hashed).unwrap();
    link(&bench, LINK);
    assert_eq!(bench.output_of("out"), "41\n");
}
