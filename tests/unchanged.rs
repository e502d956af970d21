//! A link of which nothing has changed is put back as it was made, without a linker; one of which anything has is made.
//! Knows nothing of how that is told.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::thread::sleep;
use std::time::Duration;

use common::{Bench, Outcome};

const A: &str = "int other(int); int main(void) { return other(40) - 42; }\n";
const B: &str = "int other(int x) { return x + 2; }\n";

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.env("THINLTO_LD_UNCHANGED", "restore");
    bench
}

/// Objects of `a.c` and `b.c`, old enough for a link to know what it read.
fn program() -> Bench {
    let bench = bench();
    bench.write("a.c", A).write("b.c", B);
    compile(&bench);
    bench
}

fn compile(bench: &Bench) {
    for file in ["a", "b"] {
        bench.clang(&[
            "-O2",
            "-flto=thin",
            "-c",
            &format!("{file}.c"),
            "-o",
            &format!("{file}.o"),
        ]);
    }
    sleep(Duration::from_millis(50));
}

const LINK: [&str; 6] = ["-o", "out", "a.o", "b.o", "-e", "main"];

fn link(bench: &Bench, more: &[&str]) -> Outcome {
    bench.run(bench.shim(), &[LINK.as_slice(), more].concat()).ok()
}

fn state(outcome: &Outcome) -> &str {
    outcome.stats.last().unwrap()["output_state"]
        .as_str()
        .unwrap_or_default()
}

#[track_caller]
fn linked(outcome: Outcome) -> Outcome {
    assert_eq!(state(&outcome), "linked");
    outcome
}

#[track_caller]
fn restored(outcome: Outcome) -> Outcome {
    assert_eq!(state(&outcome), "restored");
    assert!(outcome.stats[0]["thin_link"].is_null());
    assert_eq!(outcome.stats[0]["modules"], 2);
    outcome
}

#[test]
fn what_was_edited_in_place_is_put_back_with_a_new_time() {
    let bench = program();
    linked(link(&bench, &[]));
    let made = bench.read("out");
    let mode = fs::metadata(bench.path("out")).unwrap().mode();
    // As objtool does: the file itself is written to.
    let mut edited = made.clone();
    edited[100] ^= 1;
    fs::write(bench.path("out"), &edited).unwrap();
    let before = fs::metadata(bench.path("out")).unwrap().modified().unwrap();
    sleep(Duration::from_millis(20));
    restored(link(&bench, &[]));
    let now = fs::metadata(bench.path("out")).unwrap();
    assert_eq!(bench.read("out"), made);
    assert!(now.modified().unwrap() > before);
    assert_eq!(now.mode(), mode);
    // Edited again: the copy that is kept is not the one the user has.
    fs::write(bench.path("out"), "rubbish").unwrap();
    restored(link(&bench, &[]));
    assert_eq!(bench.read("out"), made);
    fs::remove_file(bench.path("out")).unwrap();
    restored(link(&bench, &[]));
    assert_eq!(bench.read("out"), made);
    let left: Vec<_> = fs::read_dir(bench.path("."))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        left.iter().all(|name| !name.to_string_lossy().starts_with(".thinlto")),
        "{left:?}"
    );
}

/// LLVM's libraries do not fit into what is left of the address space: whatever runs here is no lld and no clang.
#[test]
fn no_linker_is_run() {
    let mut bench = program();
    linked(link(&bench, &[]));
    bench.env("MALLOC_ARENA_MAX", "1").env("RAYON_NUM_THREADS", "1");
    let words = LINK.join(" ");
    let script = format!("ulimit -v 100000; exec {} {words}", bench.shim().display());
    restored(bench.run("sh", &["-c", &script]).ok());
    bench.env("THINLTO_LD_UNCHANGED", "relink");
    assert_ne!(
        bench.run("sh", &["-c", &script]).status,
        0,
        "a linker fits after all: nothing is shown"
    );
}

#[test]
fn files_beside_the_output_and_words_come_back() {
    let bench = program();
    bench.write("old.s", ".section .note.GNU-stack,\"\",@progbits\n");
    let more = ["-Map=out.map", "--dependency-file=out.d", "--trace", "-z", "nonsense"];
    let first = linked(link(&bench, &more));
    assert!(first.stderr.contains("nonsense"), "{}", first.stderr);
    let (map, rule) = (bench.read("out.map"), bench.read("out.d"));
    fs::remove_file(bench.path("out.map")).unwrap();
    fs::write(bench.path("out.d"), "x").unwrap();
    let again = restored(link(&bench, &more));
    assert_eq!((again.stdout, again.stderr), (first.stdout, first.stderr));
    assert_eq!((bench.read("out.map"), bench.read("out.d")), (map, rule));
}

#[test]
fn remarks_of_every_part_come_back() {
    let bench = program();
    let more = ["--opt-remarks-filename", "r.yaml"];
    linked(link(&bench, &more));
    let remarks = bench.objects("r.yaml");
    assert_eq!(remarks.len(), 3, "one of the regular part, one of each module");
    for name in remarks.keys().map(String::as_str).chain(["out"]) {
        fs::remove_file(bench.path(name)).unwrap();
    }
    restored(link(&bench, &more));
    assert_eq!(bench.objects("r.yaml"), remarks);
}

/// The words are the same: the program is what is found on PATH.
#[test]
fn another_post_backend_program_is_another_link() {
    let mut bench = program();
    let path = std::env::var("PATH").unwrap();
    for folder in ["one", "two"] {
        let script = format!("#!/bin/sh\nllvm-objcopy-22 --add-section .{folder}=a.c \"$1\"\n");
        let program = format!("{folder}/post");
        bench.write_program(&program, &script);
    }
    // What a link read must have been there for a while for anybody to know when.
    sleep(Duration::from_millis(2100));
    bench.env("THINLTO_LD_POST_BACKEND", "post");
    for folder in ["one", "two"] {
        let folders = format!("{}:{path}", bench.path(folder).display());
        bench.env("PATH", &folders);
        linked(link(&bench, &[]));
        restored(link(&bench, &[]));
        let sections = bench.run("llvm-readelf-22", &["-SW", "out"]).ok().stdout;
        assert!(sections.contains(&format!(".{folder}")), "{sections}");
    }
    bench.env("PATH", &path);
    let missing = bench.run(bench.shim(), &LINK);
    assert!(missing.status == 1 && missing.stderr.contains("THINLTO_LD_POST_BACKEND=post"));
}

#[test]
fn back_to_an_earlier_state_is_no_new_link() {
    let bench = program();
    linked(link(&bench, &[]));
    let made = bench.read("out");
    bench.write("b.c", "int other(int x) { return x * 3; }\n");
    compile(&bench);
    linked(link(&bench, &[]));
    assert_ne!(bench.read("out"), made);
    bench.write("b.c", B);
    compile(&bench);
    restored(link(&bench, &[]));
    assert_eq!(bench.read("out"), made);
}

/// What is done to a program between two links, after which the second is no repetition of the first.
type Change = fn(&Bench);

const CHANGES: &[(&str, &[&str], Change)] = &[
    ("a native input", &["n.o"], |bench| {
        bench.write("n.c", "int native(void) { return 2; }\n");
        bench.clang(&["-c", "n.c", "-o", "n.o"]);
    }),
    ("an archive member", &["libm.a"], |bench| {
        bench.write("n.c", "int native(void) { return 3; }\n");
        bench.clang(&["-c", "n.c", "-o", "n.o"]);
        bench.run("llvm-ar-22", &["rcs", "libm.a", "n.o"]).ok();
    }),
    ("a version script", &["--version-script=v"], |bench| {
        bench.write("v", "{ global: main; other; local: *; };\n");
    }),
    ("a linker script", &["-T", "t.lds"], |bench| {
        bench.write("t.lds", "SECTIONS { . = 0x500000; .text : { *(.text*) } }\n");
    }),
    ("a library found earlier", &["-Lone", "-Ltwo", "-lfound"], |bench| {
        fs::copy(bench.path("libm.a"), bench.path("one/libfound.a")).unwrap();
    }),
    (
        "a shared library before an archive",
        &["-Lone", "-Ltwo", "-lfound"],
        |bench| {
            bench.clang(&["-shared", "-nostdlib", "n.o", "-o", "two/libfound.so"]);
        },
    ),
    ("the same size and time", &["n.o"], |bench| {
        let path = bench.path("n.o");
        let (time, mut bytes) = (
            fs::metadata(&path).unwrap().modified().unwrap(),
            fs::read(&path).unwrap(),
        );
        let at = bytes
            .windows(4)
            .position(|w| w == [1, 0, 0, 0xc3] || w == [0xb8, 1, 0, 0])
            .unwrap_or(0);
        bytes[at + usize::from(at > 0)] ^= u8::from(at > 0) * 6;
        fs::write(&path, bytes).unwrap();
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }),
];

#[test]
fn whatever_changes_is_linked_again() {
    std::thread::scope(|scope| {
        for (what, more, change) in CHANGES {
            scope.spawn(|| is_linked_again(what, more, *change));
        }
    });
}

fn is_linked_again(what: &str, more: &[&str], change: Change) {
    let bench = program();
    bench
        .write("n.c", "int native(void) { return 1; }\n")
        .write("v", "{ global: main; local: *; };\n");
    bench.write("t.lds", "SECTIONS { . = 0x400000; .text : { *(.text*) } }\n");
    bench.clang(&["-c", "n.c", "-o", "n.o"]);
    bench.run("llvm-ar-22", &["rcs", "libm.a", "n.o"]).ok();
    fs::create_dir(bench.path("one")).unwrap();
    fs::create_dir(bench.path("two")).unwrap();
    fs::copy(bench.path("libm.a"), bench.path("two/libfound.a")).unwrap();
    // What only an option names must have been there for a while for anybody to know when it was read.
    sleep(Duration::from_millis(2100));
    linked(link(&bench, more));
    assert_eq!(state(&link(&bench, more)), "restored", "{what}");
    change(&bench);
    assert_eq!(state(&link(&bench, more)), "linked", "{what}");
}

#[test]
fn a_file_that_assembly_names_counts() {
    let bench = bench();
    bench.write("blob", "one").write("a.c", A);
    bench.write(
        "b.c",
        &format!("__asm__(\".data\\n.incbin \\\"blob\\\"\\n.text\");\n{B}"),
    );
    compile(&bench);
    sleep(Duration::from_millis(2100));
    linked(link(&bench, &[]));
    restored(link(&bench, &[]));
    bench.write("blob", "two");
    linked(link(&bench, &[]));
    let out = bench.read("out");
    assert!(out.windows(3).any(|w| w == b"two") && !out.windows(3).any(|w| w == b"one"));
}

#[test]
fn another_command_line_or_folder_is_another_link() {
    let bench = program();
    linked(link(&bench, &[]));
    linked(link(&bench, &["--lto-O1"]));
    linked(link(&bench, &["--build-id"]));
    restored(link(&bench, &[]));
    restored(link(&bench, &["--lto-O1"]));
}

#[test]
fn a_damaged_copy_is_not_put_back() {
    let bench = program();
    linked(link(&bench, &[]));
    let made = bench.read("out");
    let mut damaged = 0;
    for folder in fs::read_dir(bench.path("cache/thinlto-ld/v1")).unwrap() {
        let folder = folder.unwrap().path();
        for file in fs::read_dir(&folder).into_iter().flatten() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == "bin") && fs::read(&path).unwrap() == made {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
                fs::write(&path, vec![0; made.len()]).unwrap();
                damaged += 1;
            }
        }
    }
    assert_eq!(damaged, 1);
    linked(link(&bench, &[]));
    assert_eq!(bench.read("out"), made);
}

#[test]
fn what_is_no_plain_file_is_written_by_the_linker() {
    let bench = program();
    for _ in 0..2 {
        linked(
            bench
                .run(bench.shim(), &["-o", "/dev/null", "a.o", "b.o", "-e", "main"])
                .ok(),
        );
        linked(link(&bench, &["-Map=/dev/null"]));
    }
    linked(link(&bench, &[]));
    fs::rename(bench.path("out"), bench.path("elsewhere")).unwrap();
    symlink("elsewhere", bench.path("out")).unwrap();
    linked(link(&bench, &[]));
}
