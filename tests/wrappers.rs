//! What `thinlto install` leaves, used as its users would: clang, PATH, make, CMake, Meson and Cargo each link a program through it.
//! Knows nothing of what thinlto-ld does in a link, but that it says `distributed`.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::{Bench, Outcome};

const MAIN: &str =
    "int answer(void); int printf(const char *, ...);\nint main(void) { printf(\"%d\\n\", answer()); return 0; }\n";
const ANSWER: &str = "int answer(void) { return 42; }\n";

const THINLTO: &str = env!("CARGO_BIN_EXE_thinlto");

/// A folder with a program in two files, and thinlto-ld installed in `opt`.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("main.c", MAIN).write("answer.c", ANSWER);
    let prefix = bench.path("opt");
    bench
        .run(
            THINLTO,
            &["install", "--prefix", prefix.to_str().unwrap(), "--llvm", "22"],
        )
        .ok();
    bench
}

/// What is installed for build systems.
fn installed(bench: &Bench, name: &str) -> String {
    bench.path("opt/lib/thinlto-ld").join(name).to_str().unwrap().to_owned()
}

fn compiled() -> Bench {
    let bench = bench();
    bench
        .compile("main.c", MAIN, &["-O2", "-flto=thin"])
        .compile("answer.c", ANSWER, &["-O2", "-flto=thin"]);
    bench
}

/// The links of `output`, by the end of its name; other links of a build system are its probes.
fn distributed(outcome: &Outcome, output: &str) {
    let link = outcome
        .stats
        .iter()
        .rfind(|link| link["output"].as_str().is_some_and(|name| name.ends_with(output)))
        .unwrap_or_else(|| panic!("no link of {output}: {:?}", outcome.stats));
    assert_eq!(link["mode"], "distributed", "{output}: {}", link["reason"]);
}

fn with_path(bench: &mut Bench, dir: &Path) {
    let path = std::env::var("PATH").unwrap();
    bench.env("PATH", &format!("{}:{path}", dir.display()));
}

#[test]
fn behind_clang_the_linker_is_the_one_clang_would_have_taken() {
    let bench = compiled();
    let ways = [
        vec![format!("--ld-path={}", installed(&bench, "ld.lld"))],
        vec![format!("-B{}", installed(&bench, "")), "-fuse-ld=lld".into()],
    ];
    for way in ways {
        let mut words: Vec<&str> = way.iter().map(String::as_str).collect();
        words.extend(["main.o", "answer.o", "-o", "prog"]);
        let outcome = bench.run("clang-22", &words).ok();
        distributed(&outcome, "prog");
        let linker = outcome.stats[0]["linker"].as_str().unwrap();
        assert!(linker.contains("llvm-22"), "{linker}");
        assert_eq!(bench.output_of("prog"), "42\n");
    }
}

/// Who makes the link to compare it is called by us and not by clang; the linker is the same.
#[test]
fn behind_clang_links_are_compared_too() {
    let mut bench = compiled();
    let reports = bench.path("reports");
    bench.env("THINLTO_LD_COMPARE", reports.to_str().unwrap());
    let linker = format!("--ld-path={}", installed(&bench, "ld.lld"));
    let outcome = bench
        .run("clang-22", &[&linker, "main.o", "answer.o", "-o", "prog"])
        .ok();
    distributed(&outcome, "prog");
    let told = bench
        .run(THINLTO, &["compare", "--report", "reports", "--json"])
        .ok()
        .stdout;
    assert!(told.contains("\"equivalent\""), "{told}");
}

#[test]
fn first_on_path_under_a_versions_name() {
    let mut bench = compiled();
    fs::create_dir(bench.path("first")).unwrap();
    symlink(installed(&bench, "ld.lld"), bench.path("first/ld.lld-22")).unwrap();
    let first = bench.path("first");
    with_path(&mut bench, &first);
    let outcome = bench.direct(&["--shared", "answer.o", "-o", "answer.so"]).ok();
    distributed(&outcome, "answer.so");
    let linker = outcome.stats[0]["linker"].as_str().unwrap().to_owned();
    assert!(linker.ends_with("/ld.lld-22") && !linker.contains("first"), "{linker}");
    assert_eq!(outcome.stats.len(), 1, "one link, one line: {:?}", outcome.stats);
}

/// Two of them on PATH, each a copy that knows nothing of the other: neither calls the other for ever.
#[test]
fn wrappers_behind_wrappers_end_at_the_real_linker() {
    let mut bench = compiled();
    for dir in ["one", "two"] {
        fs::create_dir(bench.path(dir)).unwrap();
        fs::copy(installed(&bench, "ld.lld"), bench.path(&format!("{dir}/ld.lld-22"))).unwrap();
    }
    bench.env("THINLTO_LD_MODE", "auto");
    for dir in ["two", "one"] {
        let dir = bench.path(dir);
        let earlier = bench.command("env", &[]);
        let path = earlier
            .get_envs()
            .find(|(name, _)| *name == "PATH")
            .and_then(|(_, value)| value)
            .map_or_else(
                || std::env::var("PATH").unwrap(),
                |value| value.to_str().unwrap().to_owned(),
            );
        bench.env("PATH", &format!("{}:{path}", dir.display()));
    }
    bench.direct(&["--shared", "answer.o", "-o", "answer.so"]).ok();
    assert!(bench.path("answer.so").exists());
}

#[test]
fn kmake_takes_the_place_of_the_linker_that_llvm_means() {
    let bench = compiled();
    // As the kernel's Makefile has it: what LLVM= means, unless the command line says LD=.
    bench.write(
        "Makefile",
        "ifneq ($(filter %/,$(LLVM)),)\nLD = $(LLVM)ld.lld\nelse\nLD = ld.lld$(filter -%,$(LLVM))\nendif\n\
         prog.o: main.o answer.o\n\t$(LD) -r -o $@ $^\n",
    );
    let kmake = installed(&bench, "kmake");
    for (words, linker) in [
        (vec![], "ld.lld-22"),
        (vec!["LLVM=-22", "prog.o"], "ld.lld-22"),
        (vec!["LLVM=/usr/lib/llvm-22/bin/"], "/usr/lib/llvm-22/bin/ld.lld"),
    ] {
        let outcome = bench.run(&kmake, &words).ok();
        distributed(&outcome, "prog.o");
        assert_eq!(
            outcome.stats[0]["linker"],
            which::which(linker).unwrap().to_str().unwrap()
        );
        fs::remove_file(bench.path("prog.o")).unwrap();
    }
}

/// A makefile of rules that make knows, and one that links by the linker itself.
#[test]
fn plain_make() {
    let mut bench = bench();
    bench.write(
        "Makefile",
        "main: main.o answer.o\nall.o: main.o answer.o\n\t$(LD) -r -o $@ $^\n",
    );
    let linker = format!("LDFLAGS=--ld-path={}", installed(&bench, "ld.lld"));
    let words = ["CC=clang-22", "CFLAGS=-O2 -flto=thin", &linker, "LD=thinlto-ld-22"];
    let bin = bench.path("opt/bin");
    with_path(&mut bench, &bin);
    for output in ["main", "all.o"] {
        let outcome = bench.run("make", &[&words[..], &[output]].concat()).ok();
        distributed(&outcome, output);
    }
    assert_eq!(bench.output_of("main"), "42\n");
}

#[test]
fn cmake() {
    for (words, environment) in [
        (vec![], vec![]),
        (vec!["-DCMAKE_C_COMPILER=clang-22"], vec![]),
        (vec![], vec![("CC", "clang-22")]),
    ] {
        let mut bench = bench();
        for (name, value) in environment {
            bench.env(name, value);
        }
        bench.write(
            "CMakeLists.txt",
            "cmake_minimum_required(VERSION 3.5)\nproject(answer C)\nadd_library(answer SHARED answer.c)\n\
             add_library(static STATIC answer.c)\nadd_executable(prog main.c)\ntarget_link_libraries(prog static)\n",
        );
        let toolchain = format!("-DCMAKE_TOOLCHAIN_FILE={}", installed(&bench, "thinlto.cmake"));
        let common = ["-B", "build", &toolchain, "-DCMAKE_BUILD_TYPE=Release"];
        bench.run("cmake", &[&common, &words[..]].concat()).ok();
        let outcome = bench.run("cmake", &["--build", "build"]).ok();
        distributed(&outcome, "prog");
        distributed(&outcome, "libanswer.so");
        assert_eq!(bench.output_of("build/prog"), "42\n");
    }
}

/// C++ as well, by the compilers that the toolchain file picks; and again where nothing is left to configure.
#[test]
fn cmake_picks_both_compilers() {
    let bench = bench();
    bench.write(
        "CMakeLists.txt",
        "cmake_minimum_required(VERSION 3.5)\nproject(answer C CXX)\nadd_executable(prog main.c more.cpp)\n\
         target_sources(prog PRIVATE answer.c)\n",
    );
    bench.write("more.cpp", "int more() { return 1; }\n");
    let toolchain = format!("-DCMAKE_TOOLCHAIN_FILE={}", installed(&bench, "thinlto.cmake"));
    for _ in 0..2 {
        bench.run("cmake", &["-B", "build", &toolchain]).ok();
        let compiler = bench.run(
            "sh",
            &["-c", "grep 'CXX_COMPILER ' build/CMakeFiles/*/CMakeCXXCompiler.cmake"],
        );
        let compiler = compiler.ok().stdout;
        assert!(compiler.contains("clang++-22"), "{compiler}");
    }
    let outcome = bench.run("cmake", &["--build", "build"]).ok();
    distributed(&outcome, "prog");
}

#[test]
fn meson() {
    let bench = bench();
    bench.write(
        "meson.build",
        "project('answer', 'c')\nanswer = static_library('answer', 'answer.c')\n\
         executable('prog', 'main.c', link_with: answer)\nshared_library('shared', 'answer.c')\n",
    );
    let native = installed(&bench, "meson.ini");
    bench.run("meson", &["setup", "--native-file", &native, "build"]).ok();
    let outcome = bench.run("ninja", &["-C", "build"]).ok();
    distributed(&outcome, "prog");
    distributed(&outcome, "libshared.so");
    assert_eq!(bench.output_of("build/prog"), "42\n");
}

/// Rust and C in one ThinLTO link: the C function is called from Rust, and the cc crate has compiled it.
#[test]
fn cargo() {
    let bench = bench();
    bench.write(
        "Cargo.toml",
        "[package]\nname = \"prog\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[build-dependencies]\ncc = \"1\"\n\n[workspace]\n",
    );
    bench.write(
        "src/main.rs",
        "unsafe extern \"C\" { safe fn answer() -> i32; }\nfn main() { println!(\"{}\", answer()); }\n",
    );
    bench.write(
        "build.rs",
        "fn main() { cc::Build::new().file(\"answer.c\").compile(\"answer\"); }\n",
    );
    let config = installed(&bench, "cargo-config.toml");
    let target = bench.path("target");
    let words = [
        "--config",
        &config,
        "build",
        "--release",
        "--offline",
        "--target-dir",
        target.to_str().unwrap(),
    ];
    let outcome = bench.run("cargo", &words).ok();
    let link = outcome
        .stats
        .iter()
        .rfind(|link| link["output"].as_str().is_some_and(|name| name.contains("/deps/prog-")))
        .unwrap();
    assert_eq!(link["mode"], "distributed", "{}", link["reason"]);
    assert_eq!(bench.output_of("target/release/prog"), "42\n");
    // The C function is bitcode, and part of the link as Rust's are.
    let objects = bench.run(
        "find",
        &[
            "target/release/build",
            "-name",
            "*answer.o",
            "-exec",
            "head",
            "-c2",
            "{}",
            "+",
        ],
    );
    assert!(objects.ok().stdout.starts_with("BC"));
}
