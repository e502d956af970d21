//! Real programs nobody here wrote: each built by its own build system with thinlto-ld as its linker, its own tests run, its
//! backends' objects compared with in-process lld's, and every link of the build by `THINLTO_LD_COMPARE`.
//! Knows nothing of how links are made.
//!
//! Sources are Debian's (`fixtures/debian-source.sh`) and crates; they are kept in cargo's target folder.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use common::Bench;
use common::sources::debian_source;
use serde_json::Value;

const THINLTO: &str = env!("CARGO_BIN_EXE_thinlto");

/// A linker of two: every link goes through thinlto-ld; one whose output is among `$COMPARED` is first made in-process, on the
/// same command line while all its inputs are still there. Of options given twice lld takes the last.
const LINKER: &str = r#"#!/bin/sh
output= before=
for word; do
    [ "$before" = -o ] && output=${word##*/}
    before=$word
done
for name in $COMPARED; do
    case $output in $name)
        links=$LINKS/$output
        mkdir -p "$links"
        "$REAL" "$@" -o "$links/in.out" "--lto-obj-path=$links/in.P" || exit
        exec "$SHIM" "$@" "--lto-obj-path=$links/our.P"
    esac
done
exec "$SHIM" "$@"
"#;

/// A program under construction.
struct Program {
    bench: Bench,
}

impl Program {
    /// `compared`: file names of the outputs whose links are made twice, shell patterns apart by spaces.
    fn new(compared: &str) -> Program {
        let mut bench = Bench::new();
        bench.write_program("tools/linker", LINKER);
        let real = which::which(bench.lld()).unwrap();
        let (links, shim) = (bench.path("links"), bench.shim());
        bench
            .env("COMPARED", compared)
            .env("LINKS", links.to_str().unwrap())
            .env("SHIM", shim.to_str().unwrap())
            .env("REAL", real.to_str().unwrap());
        Program { bench }
    }

    /// Unpacks a Debian package's sources into `source`.
    fn debian(self, package: &str) -> Program {
        fs::create_dir(self.bench.path("source")).unwrap();
        let tarball = debian_source(package);
        self.run(
            "tar",
            &["xf", tarball.to_str().unwrap(), "--strip-components=1", "-C", "source"],
        );
        self
    }

    /// The word that makes clang link with us.
    fn ld_path(&self) -> String {
        format!("--ld-path={}", self.bench.path("tools/linker").display())
    }

    /// Runs a program in the bench's folder; it must succeed. The stats lines stay.
    fn run(&self, program: &str, words: &[&str]) -> String {
        succeed(&mut self.bench.command(program, words))
    }

    /// The same, with every link compared.
    fn run_compared(&self, program: &str, words: &[&str]) -> String {
        succeed(self.compared(&mut self.bench.command(program, words)))
    }

    fn compared<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("THINLTO_LD_COMPARE", self.bench.path("compared"))
    }

    /// At least `links` links were compared; every one that was distributed is equivalent, with no object that differs.
    fn assert_equivalent(&self, links: u64) {
        let report = self.run(THINLTO, &["compare", "--report", "compared", "--json"]);
        let report: Value = serde_json::from_str(&report).unwrap();
        let count = |of: &str, what: &str| report[of][what].as_u64().unwrap_or_default();
        assert!(count("verdicts", "equivalent") >= links, "{report:#}");
        assert_eq!(
            count("verdicts", "equivalent"),
            count("modes", "distributed"),
            "{report:#}"
        );
        assert_eq!(
            (count("modes", "in-process"), count("modes", "failed")),
            (0, 0),
            "{report:#}"
        );
        assert_eq!(report["identical"], report["objects"], "{report:#}");
        eprintln!("{}", self.run(THINLTO, &["compare", "--report", "compared"]));
    }

    /// The stats lines of all links until now, none of which was left to in-process lld.
    fn links(&self) -> Vec<Value> {
        let text = self.bench.text("stats.json");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &lines {
            assert_ne!(line["mode"], "in-process", "{line}");
        }
        lines
    }

    /// The compared link of `output` was distributed over at least `modules` modules, and every object is in-process lld's.
    fn assert_same_objects(&self, output: &str, modules: u64) {
        let links = self.links();
        let is_ours = |line: &&Value| Path::new(line["output"].as_str().unwrap()).file_name() == Some(output.as_ref());
        let link = links.iter().rfind(is_ours).expect("the link is not in the stats");
        assert_eq!(link["mode"], "distributed", "{link}");
        assert!(link["modules"].as_u64() >= Some(modules), "{link}");
        let dir = self.bench.path("links").join(output);
        let (inside, ours) = (objects(&dir, "in.P"), objects(&dir, "our.P"));
        let differing: Vec<_> = inside
            .keys()
            .filter(|task| inside.get(*task) != ours.get(*task))
            .collect();
        assert!(
            differing.is_empty(),
            "{output}: objects of tasks {differing:?} differ in {}",
            dir.display()
        );
        assert_eq!(inside.len(), ours.len());
        assert!(inside.len() as u64 > modules, "{output}: only {} objects", inside.len());
        eprintln!("{output}: {} of {} objects byte-identical", inside.len(), inside.len());
    }
}

fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    stdout.into_owned()
}

/// What `--lto-obj-path` left, by task number.
fn objects(dir: &Path, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries
        .flatten()
        .filter_map(|entry| {
            let task = entry.file_name().to_str()?.strip_prefix(prefix)?.to_owned();
            Some((task, fs::read(entry.path()).unwrap()))
        })
        .collect()
}

/// C, Autotools and libtool: a program and the shared library it uses.
#[test]
fn xz_by_autotools() {
    let program = Program::new("xz liblzma.so.*").debian("xz-utils");
    // libtool hands CC to library links whole, but of LDFLAGS only what it knows.
    let cc = format!("CC=clang-22 -flto=thin {}", program.ld_path());
    let configure = format!(
        "cd source && ./configure --disable-static --disable-nls --disable-doc --disable-xzdec --disable-lzmadec \
         --disable-lzmainfo '{cc}' CFLAGS=-O2 AR=llvm-ar-22 RANLIB=llvm-ranlib-22 NM=llvm-nm-22"
    );
    program.run("sh", &["-c", &configure]);
    program.run_compared("make", &["-C", "source", "-j2"]);
    let tests = program.run_compared("make", &["-C", "source", "-j2", "check"]);
    assert!(tests.contains("# PASS:  18\n"), "{tests}");
    assert!(tests.contains("# FAIL:  0\n"), "{tests}");
    program.assert_same_objects("xz", 17);
    program.assert_equivalent(10);
    let library = fs::read_dir(program.bench.path("links")).unwrap().flatten();
    let library = library.map(|dir| dir.file_name().into_string().unwrap());
    let library = library.into_iter().find(|name| name.starts_with("liblzma.so."));
    program.assert_same_objects(&library.expect("the library's link was not compared"), 80);
}

/// Configures a CMake program in `source`, optimised and with debug information, and builds `targets`.
fn cmake(program: &Program, more: &[&str], targets: &[&str]) {
    let ld_path = program.ld_path();
    let linked = |kind: &str| format!("-DCMAKE_{kind}_LINKER_FLAGS=-flto=thin {ld_path}");
    let tool = |name: &str| which::which(name).unwrap().display().to_string();
    let (executables, libraries) = (linked("EXE"), linked("SHARED"));
    let (ar, ranlib) = (
        format!("-DCMAKE_AR={}", tool("llvm-ar-22")),
        format!("-DCMAKE_RANLIB={}", tool("llvm-ranlib-22")),
    );
    let mut words = vec![
        "-S",
        "source",
        "-B",
        "build",
        "-DCMAKE_C_COMPILER=clang-22",
        "-DCMAKE_CXX_COMPILER=clang++-22",
        "-DCMAKE_CXX_FLAGS=-flto=thin",
        "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
        &executables,
        &libraries,
        &ar,
        &ranlib,
    ];
    words.extend(more);
    program.run("cmake", &words);
    let mut words = vec!["--build", "build", "-j2", "--target"];
    words.extend(targets);
    program.run_compared("cmake", &words);
}

/// C++ that throws, with debug information: a shared library and the program that tests it.
#[test]
fn jsoncpp_by_cmake() {
    let program = Program::new("libjsoncpp.so.* jsoncpp_test").debian("libjsoncpp");
    let more = [
        "-DJSONCPP_WITH_POST_BUILD_UNITTEST=OFF",
        "-DBUILD_OBJECT_LIBS=OFF",
        "-DBUILD_STATIC_LIBS=OFF",
    ];
    cmake(&program, &more, &["all"]);
    let tests = program.run("ctest", &["--test-dir", "build"]);
    assert!(tests.contains("100% tests passed, 0 tests failed out of 3"), "{tests}");
    program.assert_same_objects("jsoncpp_test", 3);
    let links = program.links();
    let outputs = links.iter().map(|link| Path::new(link["output"].as_str().unwrap()));
    let mut names = outputs.filter_map(|output| output.file_name()?.to_str());
    let library = names
        .find(|name| name.starts_with("libjsoncpp.so."))
        .expect("no library was linked");
    program.assert_same_objects(library, 3);
    program.assert_equivalent(2);
}

/// C++ of some size with debug information in a position-independent executable: what clang makes unless told otherwise.
#[test]
fn ninja_by_cmake() {
    let program = Program::new("ninja").debian("ninja-build");
    cmake(&program, &[], &["ninja", "ninja_test"]);
    let tests = program.run(program.bench.path("build/ninja_test").to_str().unwrap(), &[]);
    assert!(tests.ends_with("passed\n"), "{tests}");
    program.assert_same_objects("ninja", 29);
    program.assert_equivalent(2);
}

/// Rust, with crates that bring threads, unwinding and assembly, built by cargo: build scripts are linked through us too.
#[test]
fn rust_by_cargo() {
    let rustc = succeed(Command::new("rustc").arg("-vV"));
    assert!(
        rustc.contains("LLVM version: 22."),
        "this test needs a rustc whose LLVM is the linker's, 22:\n{rustc}"
    );
    let program = Program::new("tally-*");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rust-program");
    symlink(fixture, program.bench.path("source")).unwrap();
    let flags = format!("-Clinker-plugin-lto -Clinker=clang-22 -Clink-arg={}", program.ld_path());
    let mut cargo = program.bench.command(
        env!("CARGO"),
        &[
            "build",
            "--release",
            "--locked",
            "--manifest-path",
            "source/Cargo.toml",
            "--target-dir",
            "build",
        ],
    );
    succeed(
        program
            .compared(&mut cargo)
            .env("RUSTFLAGS", flags)
            .env("CC", "clang-22")
            .env("AR", "llvm-ar-22")
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    );
    let said: Value =
        serde_json::from_str(&program.run(program.bench.path("build/release/tally").to_str().unwrap(), &[])).unwrap();
    assert_eq!(
        said["words"],
        serde_json::json!({"linked": 1000, "linker": 2000, "links": 2000, "the": 3000})
    );
    assert_eq!(
        said["hash"],
        blake3::hash(said["text"].as_str().unwrap().as_bytes())
            .to_hex()
            .as_str()
    );
    assert_eq!(said["panicked"], true);
    let compared = fs::read_dir(program.bench.path("links")).unwrap().flatten();
    let compared: Vec<_> = compared.map(|dir| dir.file_name().into_string().unwrap()).collect();
    assert_eq!(compared.len(), 1, "{compared:?}");
    program.assert_same_objects(&compared[0], 30);
    program.assert_equivalent(2);
}
