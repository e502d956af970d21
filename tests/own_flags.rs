//! Backends with the options their objects were compiled with: from Kbuild's files, the recipe that runs, a compilation
//! database. Knows nothing of how they are found; it looks at the alignment of loops in the native objects.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use common::{Bench, Outcome};
use object::{Object, ObjectSection};

const LOOP: &str =
    "int NAME(int n) { int s = 0; for (int i = 0; i < n; i++) { s += i * n; __asm__ volatile(\"\"); } return s; }\n";

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.env("THINLTO_LD_FLAGS", "kbuild").env("THINLTO_LD_NATIVE", "1");
    bench
}

/// Compiles a function of this name with a loop in it, as Kbuild would and with what it would write down.
fn kbuild(bench: &Bench, object: &str, options: &str) {
    compile(bench, object, options);
    saved(
        bench,
        object,
        &format!("savedcmd_{object} := {}", command(object, options)),
    );
}

fn command(object: &str, options: &str) -> String {
    let source = object.replace(".o", ".c");
    format!("clang-22 -Wp,-MMD,x.d -DA='\"$(pound)\"' -O2 -flto=thin {options} -c -o {object} {source}")
}

fn compile(bench: &Bench, object: &str, options: &str) {
    let name = object.rsplit('/').next().unwrap().trim_end_matches(".o");
    bench.write(&object.replace(".o", ".c"), &LOOP.replace("NAME", name));
    let line = command(object, options).replace("$(pound)", "#");
    bench.run("sh", &["-c", &line]).ok();
}

fn saved(bench: &Bench, object: &str, text: &str) {
    let (dir, name) = object.rsplit_once('/').unwrap_or((".", object));
    bench.write(
        &format!("{dir}/.{name}.cmd"),
        &format!("{text}\n\nsource_{object} := x.c\n"),
    );
}

fn link(bench: &Bench, words: &[&str]) -> Outcome {
    bench.run(bench.shim(), &[&["-r", "-o", "out.o"], words].concat()).ok()
}

/// To how many bytes the code of the function in this native object is aligned.
fn alignment(bench: &Bench, native: &str) -> u64 {
    let bytes = bench.read(native);
    let file = object::File::parse(&*bytes).unwrap();
    let code = file
        .sections()
        .find(|section| section.name().unwrap().starts_with(".text."));
    code.unwrap().align()
}

fn missing(outcome: &Outcome) -> Vec<&str> {
    let backends = &outcome.stats[0]["backends"];
    let why = backends["flags_missing_why"].as_array();
    let why: Vec<&str> = why.into_iter().flatten().map(|why| why.as_str().unwrap()).collect();
    assert_eq!(backends["flags_missing"], why.len());
    why
}

#[test]
fn an_object_s_own_option_reaches_its_backend_alone() {
    let mut bench = bench();
    kbuild(&bench, "d/a.o", "-falign-loops=64");
    kbuild(&bench, "b.o", "-mllvm -align-all-functions=7");
    kbuild(&bench, "c.o", "");
    let outcome = link(&bench, &["d/a.o", "b.o", "c.o"]);
    assert_eq!((outcome.backends("flags_own"), missing(&outcome).len()), (3, 0));
    let alignments = ["d/a", "b", "c"].map(|name| alignment(&bench, &format!("{name}.thinlto-native.o")));
    assert_eq!(alignments, [64, 128, 16]);
    // With the link's options nobody asks how objects were compiled.
    bench.env("THINLTO_LD_FLAGS", "link");
    let outcome = link(&bench, &["d/a.o", "b.o", "c.o"]);
    assert!(outcome.stats[0]["backends"]["flags_own"].is_null());
    assert_eq!(alignment(&bench, "d/a.thinlto-native.o"), 16);
}

#[test]
fn whatever_kbuild_calls_the_command() {
    let bench = bench();
    compile(&bench, "a.o", "-falign-loops=64");
    let compiled = command("a.o", "-falign-loops=64");
    let texts = [
        format!("cmd_a.o := {compiled}"),
        format!("savedcmd_a.o := {compiled} ; ld.lld -r -o .tmp_a.o a.o; mv .tmp_a.o a.o"),
        format!(
            "savedcmd_a.o := ccache {}\nsaved_c_flags_a.o := -O2 '-falign-loops=64'",
            command("a.o", "")
        ),
    ];
    for text in texts {
        saved(&bench, "a.o", &text);
        let outcome = link(&bench, &["a.o"]);
        assert_eq!(missing(&outcome), [""; 0], "{text}");
        assert_eq!(alignment(&bench, "a.thinlto-native.o"), 64, "{text}");
    }
}

#[test]
fn members_of_thin_archives_lead_to_their_files() {
    let bench = bench();
    kbuild(&bench, "d/a.o", "-falign-loops=64");
    kbuild(&bench, "e/b.o", "-falign-loops=32");
    bench.run("llvm-ar-22", &["cDPrST", "d/built-in.a", "d/a.o"]).ok();
    bench
        .run("llvm-ar-22", &["cDPrST", "built-in.a", "d/built-in.a", "e/b.o"])
        .ok();
    let outcome = link(&bench, &["--whole-archive", "built-in.a"]);
    assert_eq!(missing(&outcome), [""; 0]);
    assert_eq!(alignment(&bench, "d/a.thinlto-native.o"), 64);
    assert_eq!(alignment(&bench, "e/b.thinlto-native.o"), 32);
}

#[test]
fn whose_options_are_not_known_is_counted_and_named() {
    let bench = bench();
    kbuild(&bench, "e.o", "-falign-loops=64");
    sleep(Duration::from_millis(30));
    for object in ["a.o", "b.o", "c.o", "d.o", "e.o"] {
        compile(&bench, object, "");
    }
    saved(&bench, "b.o", "savedcmd_b.o := ld.lld -r -o b.o x.o y.o");
    saved(
        &bench,
        "c.o",
        &format!("savedcmd_c.o := {}", command("c.o", "-fno-such-option")),
    );
    bench.run("llvm-ar-22", &["rc", "libd.a", "d.o"]).ok();
    saved(
        &bench,
        "d.o",
        &format!("savedcmd_d.o := {}", command("d.o", "-falign-loops=64")),
    );
    for (input, why) in [
        ("a.o", "a.o: there is no .a.o.cmd"),
        ("b.o", "b.o: .b.o.cmd has no command that compiles it"),
        ("e.o", "e.o: .e.o.cmd is older than the object"),
        ("c.o", "c.o: clang: error: unknown argument: '-fno-such-option'"),
        ("libd.a", "an archive holds it, so that no .cmd file is beside it"),
    ] {
        let outcome = link(&bench, &["--whole-archive", input]);
        assert_eq!(outcome.backends("flags_own"), 0);
        let missing = missing(&outcome);
        assert!(
            missing.len() == 1 && missing[0].replace("clang-22", "clang").contains(why),
            "{missing:?}"
        );
    }
    assert_eq!(alignment(&bench, "d.thinlto-native.o"), 16);
}

/// As Kbuild makes a module of one object: what is written down is still of the time before.
#[test]
fn an_object_linked_in_the_recipe_that_compiles_it() {
    let bench = bench();
    kbuild(&bench, "m.o", "-falign-loops=32");
    let recipe = |compiled: &str| {
        let line = format!(
            "set -e; {compiled} ; {} -r -o .tmp_m.o m.o; mv .tmp_m.o m2.o",
            bench.shim().display()
        );
        let outcome = bench.run("sh", &["-c", &line]).ok();
        assert_eq!(missing(&outcome), [""; 0]);
        alignment(&bench, "m.thinlto-native.o")
    };
    assert_eq!(recipe(&command("m.o", "-falign-loops=64").replace("$(pound)", "#")), 64);
    // Another object's recipe says nothing of this one.
    kbuild(&bench, "m.o", "-falign-loops=32");
    let other = command("n.o", "-falign-loops=64")
        .replace("$(pound)", "#")
        .replace("n.c", "m.c");
    assert_eq!(recipe(&other), 32);
}

#[test]
fn what_the_link_or_the_module_decides_stays_so() {
    let mut bench = bench();
    let options = "-g -gz -gsplit-dwarf -O1 -fno-vectorize -mcmodel=medium -march=znver3 -ffast-math -Wall -fno-inline";
    kbuild(&bench, "a.o", options);
    bench.env("THINLTO_LD_FLAGS", "link");
    link(&bench, &["a.o"]);
    let as_linked = bench.read("a.thinlto-native.o");
    bench.env("THINLTO_LD_FLAGS", "kbuild");
    let outcome = link(&bench, &["a.o"]);
    assert_eq!(outcome.backends("flags_own"), 1);
    assert!(
        bench.read("a.thinlto-native.o") == as_linked,
        "debug information, levels or targets were handed on"
    );
    // Said twice, the link is heard, be it the very same option of LLVM's.
    kbuild(&bench, "b.o", "-falign-loops=64 -mllvm -align-all-functions=7");
    link(
        &bench,
        &["b.o", "-mllvm", "-align-loops=32", "-mllvm", "-align-all-functions=6"],
    );
    assert_eq!(alignment(&bench, "b.thinlto-native.o"), 64);
}

#[test]
fn other_options_are_another_object_and_another_link() {
    let mut bench = bench();
    bench.env("THINLTO_LD_UNCHANGED", "restore");
    kbuild(&bench, "a.o", "");
    kbuild(&bench, "b.o", "");
    sleep(Duration::from_millis(50));
    let state = |outcome: Outcome| outcome.stats[0]["output_state"].as_str().unwrap().to_owned();
    assert_eq!(state(link(&bench, &["a.o", "b.o"])), "linked");
    assert_eq!(state(link(&bench, &["a.o", "b.o"])), "restored");
    // The object is what it was: this option is none of the front end's.
    kbuild(&bench, "b.o", "-falign-loops=64");
    let outcome = link(&bench, &["a.o", "b.o"]);
    assert_eq!((outcome.backends("run"), outcome.backends("cached")), (1, 1));
    assert_eq!(state(outcome), "linked");
    assert_eq!(alignment(&bench, "b.thinlto-native.o"), 64);
    fs::remove_file(bench.path(".b.o.cmd")).unwrap();
    let outcome = link(&bench, &["a.o", "b.o"]);
    assert_eq!((outcome.backends("cached"), missing(&outcome).len()), (2, 1));
    // Back at the first state, native objects and all.
    kbuild(&bench, "b.o", "");
    assert_eq!(state(link(&bench, &["a.o", "b.o"])), "restored");
    assert_eq!(alignment(&bench, "b.thinlto-native.o"), 16);
}

fn database(bench: &Bench, entries: &str) {
    bench.write(
        "cc.json",
        &entries.replace("HERE", &bench.path("").display().to_string()),
    );
}

#[test]
fn a_compilation_database_tells_it_too() {
    let mut bench = bench();
    bench.env("THINLTO_LD_FLAGS", "compile-commands=cc.json");
    for object in ["d/a.o", "b.o", "c.o", "e.o", "g.o"] {
        compile(&bench, object, "");
    }
    bench.run("llvm-ar-22", &["rc", "libg.a", "g.o"]).ok();
    database(
        &bench,
        r#"[{"directory":"HERE/d","file":"a.c","command":"clang-22 -DX=\"a b\" -falign-loops=64 -c a.c"},
            {"directory":"HERE","file":"b.c","output":"b.o","arguments":["clang-22","-falign-loops=32","-c","b.c"]},
            {"directory":"HERE","file":"b.c","arguments":["clang-22","-falign-loops=8","-o","other.o","-c","b.c"]},
            {"directory":"HERE","file":"g.c","arguments":["clang-22","-falign-loops=64","-o","somewhere/g.o","-c","g.c"]},
            {"directory":"HERE","file":"e.c","command":"clang-22 -O1 -c e.c"},
            {"directory":"HERE","file":"e.c","command":"clang-22 -O2 -c e.c"}]"#,
    );
    let outcome = link(&bench, &["d/a.o", "b.o", "c.o", "e.o", "--whole-archive", "libg.a"]);
    assert_eq!(
        missing(&outcome),
        [
            "c.o: cc.json has no command that compiles it",
            "e.o: cc.json has entries for it with different options"
        ]
    );
    let alignments = ["d/a", "b", "c", "g"].map(|name| alignment(&bench, &format!("{name}.thinlto-native.o")));
    assert_eq!(alignments, [64, 32, 16, 64]);
}

/// What is in a configuration file is in no key.
#[test]
fn configuration_files_count_for_nothing() {
    let mut bench = bench();
    bench.env("THINLTO_LD_FLAGS", "compile-commands=cc.json");
    // A clang that finds its configuration in a folder here.
    let script = format!(
        "#!/bin/sh\ncase $1 in -cc1*|--version) ;; *) set -- --config-user-dir={} \"$@\";; esac\nexec {} \"$@\"\n",
        bench.path("home").display(),
        which::which("clang-22").unwrap().display()
    );
    let clang = bench.write_program("clang", &script);
    bench.write("more.cfg", "-falign-loops=64\n");
    bench.env("THINLTO_LD_CLANG", clang.to_str().unwrap());
    for object in ["a.o", "b.o", "c.o"] {
        compile(&bench, object, "");
    }
    database(
        &bench,
        r#"[{"directory":"HERE","file":"a.c","command":"clang-22 --config=more.cfg -c a.c"},
            {"directory":"HERE","file":"b.c","command":"clang-22 -O2 --config more.cfg -c b.c"},
            {"directory":"HERE","file":"c.c","command":"clang-22 -O2 -falign-loops=32 -c c.c"}]"#,
    );
    let alignment_of_c = || {
        let outcome = link(&bench, &["a.o", "b.o", "c.o"]);
        let said = missing(&outcome);
        assert_eq!(said[0], "a.o: its command reads options from --config=more.cfg");
        assert_eq!(said[1..], ["b.o: its command reads options from --config more.cfg"]);
        alignment(&bench, "c.thinlto-native.o")
    };
    // Read, these would leave nothing that the object's own option adds.
    for name in ["clang.cfg", "x86_64-pc-linux-gnu-clang.cfg"] {
        bench.write(&format!("home/{name}"), "-falign-loops=32\n");
    }
    let seen = bench.run(&clang, &["-v"]).ok().stderr;
    assert!(seen.contains("Configuration file: "), "{seen}");
    assert_eq!(alignment_of_c(), 32);
}

#[test]
fn a_database_that_is_none_is_an_error() {
    let mut bench = bench();
    compile(&bench, "a.o", "");
    bench.env("THINLTO_LD_FLAGS", "compile-commands=cc.json");
    let refused = |why: &str| {
        let outcome = bench.run(bench.shim(), &["-r", "-o", "out.o", "a.o"]);
        assert_eq!(outcome.status, 1);
        assert!(
            outcome.stderr.starts_with("ld.lld-22: error: cc.json: "),
            "{}",
            outcome.stderr
        );
        assert!(outcome.stderr.contains(why), "{}", outcome.stderr);
        assert!(!bench.path("out.o").exists());
    };
    refused("cannot read the compilation database");
    bench.write("cc.json", "[{\"directory\": \"/\",\n \"file\": 1}]");
    refused("line 2 column");
    bench.write("cc.json", "[{\"directory\": \"/\", \"file\": \"a.c\"}]");
    refused("the entry for a.c has neither arguments nor a command");
}

#[test]
fn other_versions_of_clang_are_asked_the_same() {
    for llvm in [19, 16] {
        let mut bench = Bench::of(llvm);
        bench.env("THINLTO_LD_FLAGS", "kbuild").env("THINLTO_LD_NATIVE", "1");
        let options = [
            "-O2",
            "-flto=thin",
            "-falign-loops=64",
            "-fno-asynchronous-unwind-tables",
        ];
        bench.compile("a.c", &LOOP.replace("NAME", "a"), &options);
        let words = options.join(" ");
        saved(&bench, "a.o", &format!("cmd_a.o := clang-{llvm} {words} -c -o a.o a.c"));
        let outcome = link(&bench, &["a.o"]);
        assert_eq!(missing(&outcome), [""; 0], "{llvm}");
        assert_eq!(alignment(&bench, "a.thinlto-native.o"), 64, "{llvm}");
    }
}
