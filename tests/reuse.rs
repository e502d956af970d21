//! A thin link whose result an earlier one has decided is not run, and nobody can tell by what is made.
//! Knows nothing of how that is told.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Bench, Outcome};

const THIN: [&str; 2] = ["-O2", "-flto=thin"];

/// `visible` is imported into `a.c`, and with it the name of what is local to `b.c`: promoted, and called by b's hash.
const A: &str = "int puts(const char *); int visible(int), weak(int);\n\
     int main(int c, char **v) { return visible(c) + weak(c) * 2 + (v[0][0] == 'x'); }\n";
const B: &str = "#include \"h.h\"\n int puts(const char *); static int counter; extern int far;\n\
     static __attribute__((noinline)) int hidden(int x) { counter += x; puts(\"hello\"); return counter * 3; }\n\
     int visible(int x) { return hidden(x) + inlined(x) + far + 40; }\n";
const C: &str = "int far = 7; __attribute__((weak)) int weak(int x) { return x - 1; } int unused(int x) { return x * far; }\n\
     int puts(const char *s) { return s[0]; }\n";
const H: &str = "static inline int inlined(int x) { return x / 3; }\n";

const LINK: [&str; 5] = ["a.o", "b.o", "c.o", "-e", "main"];

/// The program, compiled.
fn program() -> Bench {
    program_of(22, &THIN)
}

fn program_of(llvm: u32, options: &[&str]) -> Bench {
    let bench = Bench::of(llvm);
    bench.write("h.h", H);
    bench
        .compile("a.c", A, options)
        .compile("b.c", B, options)
        .compile("c.c", C, options);
    bench
}

/// Compiles one of the three with something in it replaced; all edits are of the original.
fn edit(bench: &Bench, file: &str, (from, to): (&str, &str), options: &[&str]) {
    let original = match file {
        "a.c" => A,
        "b.c" => B,
        _ => C,
    };
    assert!(original.contains(from), "{from}");
    bench.compile(file, &original.replace(from, to), options);
}

fn thin_link(outcome: &Outcome) -> &str {
    outcome.stats.last().unwrap()["thin_link"].as_str().unwrap_or_default()
}

/// Links in-process and through us; every object must be in-process lld's, and the output that of a link without a cache.
#[track_caller]
fn link(bench: &Bench, words: &[&str]) -> Outcome {
    let outcome = bench.both_bare(words);
    bench.tidy();
    let made = bench.read("our.out");
    let fresh = bench
        .through(&[words, &["-o", "our.out", "--thinlto-ld-cache=off"]].concat())
        .ok();
    assert_eq!(thin_link(&fresh), "run");
    assert!(bench.read("our.out") == made, "another output than without a cache");
    outcome
}

#[track_caller]
fn run(bench: &Bench, words: &[&str]) -> Outcome {
    let outcome = link(bench, words);
    assert_eq!(thin_link(&outcome), "run");
    outcome
}

#[track_caller]
fn reused(bench: &Bench, words: &[&str]) -> Outcome {
    let outcome = link(bench, words);
    assert_eq!(thin_link(&outcome), "reused");
    outcome
}

/// Everything kept in the cache: objects, outputs, plans.
fn contents(bench: &Bench) -> Vec<PathBuf> {
    let folders = fs::read_dir(bench.path("cache/thinlto-ld/v1")).unwrap().flatten();
    let files = folders
        .filter_map(|folder| fs::read_dir(folder.path()).ok())
        .flatten()
        .flatten();
    files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|end| end == "bin"))
        .collect()
}

fn is_plan(path: &PathBuf) -> bool {
    !fs::read(path).unwrap().starts_with(b"\x7fELF")
}

#[test]
fn an_edit_the_thin_link_does_not_see_reuses_it() {
    let edits = [
        ("b.c", ("hello", "jello")),
        ("b.c", ("hello", "a longer greeting")),
        ("b.c", ("static int counter", "/* a comment\n\n */ static int counter")),
        ("b.c", ("+ 40", "+ 41")),
        ("c.c", ("far = 7", "far = 8")),
        ("a.c", ("'x'", "'y'")),
    ];
    for (llvm, options) in [
        (22, &THIN[..]),
        (22, &["-O2", "-flto=thin", "-g", "-ffunction-sections", "-fno-pie"]),
        (19, &THIN[..]),
        (16, &THIN[..]),
    ] {
        let bench = program_of(llvm, options);
        run(&bench, &LINK);
        for (file, change) in edits {
            edit(&bench, file, change, options);
            reused(&bench, &LINK);
            edit(&bench, file, ("int", "int"), options);
        }
        assert_eq!(reused(&bench, &LINK).backends("run"), 0);
    }
}

/// With no object left every backend compiles from a kept index.
#[test]
fn there_and_back_and_on() {
    let bench = program();
    run(&bench, &LINK);
    for greeting in ["jello", "hello", "mello", "mello", "a longer greeting"] {
        edit(&bench, "b.c", ("hello", greeting), &THIN);
        contents(&bench)
            .iter()
            .filter(|path| !is_plan(path))
            .for_each(|path| fs::remove_file(path).unwrap());
        assert_eq!(reused(&bench, &LINK).backends("run"), 3);
    }
}

/// What is done to the program between two links, after which the second has something to decide.
type Change = fn(&Bench);

const SEEN: &[(&str, &[&str], Change)] = &[
    ("a symbol", &[], |bench| {
        edit(bench, "c.c", ("int unused", "int other"), &THIN)
    }),
    ("a reference", &[], |bench| edit(bench, "b.c", ("+ far", ""), &THIN)),
    ("a call", &[], |bench| {
        edit(bench, "a.c", ("+ (v", "+ visible(c + 1) + (v"), &THIN)
    }),
    ("a count of instructions", &[], |bench| {
        edit(bench, "c.c", ("x - 1", "x * x - 1"), &THIN)
    }),
    ("a linkage", &[], |bench| {
        edit(bench, "c.c", ("__attribute__((weak))", ""), &THIN)
    }),
    ("an inline function of a header", &[], |bench| {
        bench.write(
            "h.h",
            "static inline int inlined(int x) { return x / 3 + (x ^ 5) * x; }\n",
        );
        edit(bench, "b.c", ("int", "int"), &THIN);
    }),
    ("other options of one module", &[], |bench| {
        edit(
            bench,
            "c.c",
            ("int", "int"),
            &["-O2", "-flto=thin", "-fvisibility=hidden"],
        );
    }),
    ("a native object", &["n.o"], |bench| {
        // Takes what was called from its module's hands.
        bench.compile("n.c", "int weak(int x) { return x + 9; } int n;\n", &["-O2"]);
    }),
    ("a native object that keeps more alive", &["n.o"], |bench| {
        bench.compile("n.c", "int unused(int); int n(int x) { return unused(x); }\n", &["-O2"]);
    }),
    (
        "a native member of an archive",
        &["--whole-archive", "libn.a"],
        |bench| {
            bench.compile("n.c", "int unused(int); int n(int x) { return unused(x); }\n", &["-O2"]);
            bench.ar(&["rcs", "libn.a", "n.o"]);
        },
    ),
    ("a version script", &["-shared", "--version-script=v"], |bench| {
        bench.write("v", "{ global: main; unused; local: *; };\n");
    }),
    ("a linker script", &["-T", "t.lds"], |bench| {
        bench.write("t.lds", "SECTIONS { .text : { *(.text*) } weak = 0x1234; }\n");
    }),
    (
        "a library found earlier",
        &["-Lone", "-Ltwo", "--whole-archive", "-lfound"],
        |bench| {
            fs::copy(bench.path("libn.a"), bench.path("one/libfound.a")).unwrap();
        },
    ),
    ("a shared library before an archive", &["-Ltwo", "-lfound"], |bench| {
        bench.clang(&["-shared", "-nostdlib", "n.o", "-o", "two/libfound.so"]);
    }),
];

#[test]
fn whatever_may_decide_otherwise_is_asked_again() {
    std::thread::scope(|scope| {
        for (what, more, change) in SEEN {
            scope.spawn(|| is_asked_again(what, more, *change));
        }
    });
}

fn is_asked_again(what: &str, more: &[&str], change: Change) {
    let bench = program_of(22, &["-O2", "-flto=thin", "-fPIC"]);
    bench
        .write("v", "{ global: main; local: *; };\n")
        .write("t.lds", "SECTIONS { .text : { *(.text*) } }\n")
        .compile("n.c", "int n;\n", &["-O2", "-fPIC"])
        .ar(&["rcs", "libn.a", "n.o"]);
    for folder in ["one", "two"] {
        fs::create_dir(bench.path(folder)).unwrap();
    }
    fs::copy(bench.path("libn.a"), bench.path("two/libfound.a")).unwrap();
    for file in ["a.c", "b.c", "c.c"] {
        edit(&bench, file, ("int", "int"), &THIN);
    }
    let words = [&LINK, more].concat();
    assert_eq!(thin_link(&link(&bench, &words)), "run", "{what}");
    assert_eq!(thin_link(&link(&bench, &words)), "reused", "{what}");
    change(&bench);
    assert_eq!(thin_link(&link(&bench, &words)), "run", "{what}");
    assert_eq!(thin_link(&link(&bench, &words)), "reused", "{what}");
}

#[test]
fn another_command_line_is_another_thin_link() {
    let bench = program();
    run(&bench, &LINK);
    for more in [
        &["-u", "unused"][..],
        &["-pie"],
        &["-mllvm", "-import-instr-limit=0"],
        &["--lto-O1"],
    ] {
        let words = [&LINK, more].concat();
        run(&bench, &words);
        reused(&bench, &words);
    }
    run(&bench, &["b.o", "a.o", "c.o", "-e", "main"]);
    // What only the final link writes or prints is none of it.
    reused(&bench, &[&LINK[..], &["-Map=map", "--cref"]].concat());
    assert!(bench.text("map").contains("a.o"));
}

#[test]
fn another_linker_in_the_same_place_decides_anew() {
    let mut bench = program();
    let real = fs::canonicalize(which::which(bench.lld()).unwrap()).unwrap();
    fs::copy(&real, bench.path("tools/ld.lld-22")).unwrap();
    let clang = which::which("clang-22").unwrap();
    let linker = bench.path("tools/ld.lld-22");
    bench
        .env("THINLTO_LD_LINKER", linker.to_str().unwrap())
        .env("THINLTO_LD_CLANG", clang.to_str().unwrap());
    run(&bench, &LINK);
    reused(&bench, &LINK);
    let mut bytes = fs::read(&linker).unwrap();
    bytes.push(0);
    fs::remove_file(&linker).unwrap();
    fs::copy(&real, &linker).unwrap();
    fs::write(&linker, bytes).unwrap();
    run(&bench, &LINK);
    bench.env("LLVM_OVERRIDE_PRODUCER", "somebody else");
    run(&bench, &LINK);
}

#[test]
fn members_of_archives_are_seen_as_files_are() {
    for (kind, words) in [
        ("rcs", ["a.o", "libx.a", "-e", "main", "--gc-sections"]),
        ("rcsT", ["a.o", "libx.a", "-e", "main", "--gc-sections"]),
        ("rcsT", ["a.o", "--whole-archive", "libx.a", "-e", "main"]),
    ] {
        let bench = program();
        bench.compile("n.c", "int n;\n", &["-O2"]);
        let archive = || {
            let _ = fs::remove_file(bench.path("libx.a"));
            bench.ar(&[kind, "libx.a", "c.o", "n.o", "b.o"]);
        };
        archive();
        run(&bench, &words);
        // The last one, so that no other moves.
        edit(&bench, "b.c", ("hello", "jello"), &THIN);
        archive();
        reused(&bench, &words);
        edit(&bench, "c.c", ("int unused", "int other"), &THIN);
        archive();
        run(&bench, &words);
        reused(&bench, &words);
        // Of the last one nothing but its content tells: it defines the same, and none is in another place for it.
        let native_last = |text: &str| {
            bench.compile("n.c", text, &["-O2"]);
            let _ = fs::remove_file(bench.path("libx.a"));
            bench.ar(&[kind, "libx.a", "c.o", "b.o", "n.o"]);
        };
        native_last("int weak(int); int n(int x) { return weak(x); }\n");
        run(&bench, &words);
        reused(&bench, &words);
        native_last("int other(int); int n(int x) { return other(x); }\n");
        run(&bench, &words);
    }
}

/// The thin link compiles it: what it holds is made of code.
#[test]
fn a_regular_partition_is_compiled_each_time() {
    let bench = program();
    bench.compile(
        "r.c",
        "int unused(int); int r(int x) { return unused(x) + 1; }\n",
        &["-O2", "-flto=full"],
    );
    let words = [&LINK[..], &["r.o", "-u", "r"]].concat();
    run(&bench, &words);
    run(&bench, &words);
    bench.compile(
        "r.c",
        "int unused(int); int r(int x) { return unused(x) + 2; }\n",
        &["-O2", "-flto=full"],
    );
    run(&bench, &words);

    let classes = "struct A { virtual int f(); }; int A::f() { return 1; } int call(A *a) { return a->f(); }\n";
    let split = [
        "-O2",
        "-flto=thin",
        "-fsplit-lto-unit",
        "-fvisibility=hidden",
        "-fwhole-program-vtables",
        "-fno-rtti",
    ];
    bench.compile("s.cpp", classes, &split);
    bench.compile(
        "m.cpp",
        "struct A; int call(A *); A *a; int main() { return call(a); }\n",
        &split,
    );
    let words = ["m.o", "s.o", "-e", "main"];
    run(&bench, &words);
    bench.compile("s.cpp", &classes.replace("return 1", "return 3"), &split);
    run(&bench, &words);
}

/// lld opens these while it resolves symbols: only a thin link that runs writes them.
#[test]
fn what_the_thin_link_writes_is_written() {
    let bench = program();
    for (option, file) in [
        ("--why-extract=why", "why"),
        ("--print-archive-stats=stats.txt", "stats.txt"),
    ] {
        let words = [&LINK[..], &[option]].concat();
        run(&bench, &words);
        fs::remove_file(bench.path(file)).unwrap();
        run(&bench, &words);
        assert!(bench.path(file).exists(), "{option}");
    }
}

/// A library that only bitcode names is searched for by lld alone.
#[test]
fn a_library_named_by_bitcode_alone_is_looked_for_each_time() {
    let bench = program();
    bench
        .compile(
            "d.c",
            "#pragma comment(lib, \"d\")\nint d(void); int e(void) { return d(); }\n",
            &THIN,
        )
        .compile("n.c", "int d(void) { return 1; }\n", &["-O2"])
        .ar(&["rcs", "libd.a", "n.o"]);
    let words = [&LINK[..], &["d.o", "-L.", "-u", "e"]].concat();
    run(&bench, &words);
    run(&bench, &words);
    bench.compile(
        "n.c",
        "int d(void) { return 1; } int weak(int x) { return x; }\n",
        &["-O2"],
    );
    bench.ar(&["rcs", "libd.a", "n.o"]);
    run(&bench, &words);
}

#[test]
fn a_damaged_plan_is_made_again_without_a_word() {
    let bench = program();
    run(&bench, &LINK);
    for damage in [
        (|bytes| bytes[20] ^= 1) as fn(&mut Vec<u8>),
        |bytes| bytes.truncate(bytes.len() / 2),
        Vec::clear,
    ] {
        let plans: Vec<_> = contents(&bench).into_iter().filter(is_plan).collect();
        assert_eq!(plans.len(), 1);
        let mut bytes = fs::read(&plans[0]).unwrap();
        damage(&mut bytes);
        fs::remove_file(&plans[0]).unwrap();
        fs::write(&plans[0], bytes).unwrap();
        let outcome = run(&bench, &LINK);
        assert_eq!(outcome.stderr, "");
        reused(&bench, &LINK);
    }
}

#[test]
fn what_the_thin_link_said_is_said_again() {
    let bench = program();
    let words = [&LINK[..], &["-z", "nonsense"]].concat();
    let first = run(&bench, &words);
    assert!(first.stderr.contains("nonsense"), "{}", first.stderr);
    assert_eq!(reused(&bench, &words).stderr, first.stderr);
}

#[test]
fn what_it_prints_to_stdout_is_printed_each_time() {
    let bench = program();
    let native = "struct S { virtual int f(); }; int S::f() { return 1; }\n";
    bench.compile("n.cpp", native, &["-O2", "-fno-rtti"]);
    let validated = [
        "n.o",
        "--lto-whole-program-visibility",
        "--lto-validate-all-vtables-have-type-infos",
    ];
    let words = [&LINK[..], &validated].concat();
    let first = run(&bench, &words);
    assert!(first.stdout.contains("RTTI missing for vtable"), "{}", first.stdout);
    assert_eq!(run(&bench, &words).stdout, first.stdout);
}

#[test]
fn classes_and_templates_in_a_program_that_runs() {
    let bench = Bench::new();
    let options = ["-O2", "-flto=thin", "-g", "-fPIE"];
    let source = |greeting: &str| {
        format!(
            "#include <string>\n#include <vector>\n#include <cstdio>\nstatic std::vector<std::string> kept;\n\
             struct Speaker {{ virtual ~Speaker(); virtual void speak() const; }}; Speaker::~Speaker() {{}}\n\
             void Speaker::speak() const {{ for (auto &s : kept) std::puts(s.c_str()); }}\n\
             static void add(const char *s) {{ kept.emplace_back(s); }}\n\
             Speaker *make() {{ add(\"{greeting}\"); return new Speaker; }}\n"
        )
    };
    bench.compile("s.cpp", &source("good morning to you all"), &options);
    bench.compile(
        "m.cpp",
        "struct Speaker { virtual ~Speaker(); virtual void speak() const; }; Speaker *make();\n\
         int main() { Speaker *s = make(); s->speak(); delete s; }\n",
        &options,
    );
    let words = ["m.o", "s.o", "-flto=thin", "-O2", "-pie"];
    assert_eq!(thin_link(&bench.both("clang++", &words)), "run");
    bench.both_print("good morning to you all\n");
    bench.compile("s.cpp", &source("good evening to you all"), &options);
    assert_eq!(thin_link(&bench.both("clang++", &words)), "reused");
    bench.both_print("good evening to you all\n");
}
