//! Native objects left for the user, and what is done to them by a command of the user's. Knows nothing of how they are made.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use common::{Bench, Outcome};

const A: &str = "int other(int); int main(void) { return other(40) - 42; }\n";
const B: &str = "int other(int x) { return x + 2; }\n";
const OBJECTS: [&str; 2] = ["d/a.thinlto-native.o", "b.thinlto-native.o"];

fn program() -> Bench {
    let mut bench = Bench::new();
    bench.env("THINLTO_LD_NATIVE", "1");
    bench.compile("d/a.c", A, &["-O2", "-flto=thin"]);
    bench.compile("b.c", B, &["-O2", "-flto=thin"]);
    sleep(Duration::from_millis(50));
    bench
}

fn link(bench: &Bench, more: &[&str]) -> Outcome {
    let words = ["-o", "out", "-e", "main", "--lto-obj-path=P", "d/a.o", "b.o"];
    bench.run(bench.shim(), &[&words, more].concat()).ok()
}

/// As the stats count them: written, and there already.
fn natives(outcome: &Outcome) -> (u64, u64) {
    let natives = &outcome.stats[0]["native"];
    let count = |what: &str| natives[what].as_u64().unwrap();
    (count("written"), count("unchanged"))
}

fn modified(bench: &Bench, name: &str) -> SystemTime {
    fs::metadata(bench.path(name)).unwrap().modified().unwrap()
}

#[test]
fn each_is_left_beside_its_bitcode_and_not_touched_when_unchanged() {
    let bench = program();
    assert_eq!(natives(&link(&bench, &[])), (2, 0));
    for (native, number) in OBJECTS.iter().zip(1..) {
        assert!(bench.read(native) == bench.read(&format!("P{number}")), "{native}");
        let metadata = fs::metadata(bench.path(native)).unwrap();
        let plain = fs::metadata(bench.path("b.c")).unwrap();
        assert_eq!((metadata.nlink(), metadata.mode()), (1, plain.mode()));
    }
    let before = OBJECTS.map(|native| modified(&bench, native));
    sleep(Duration::from_millis(20));
    assert_eq!(natives(&link(&bench, &[])), (0, 2));
    assert_eq!(OBJECTS.map(|native| modified(&bench, native)), before);
    // An edit of one is an edit of one; what somebody has written over one is not the cache's.
    bench.compile(
        "b.c",
        "int other(int x) { return x + 3; }\n",
        &["-O2", "-flto=thin", "-fno-inline"],
    );
    fs::write(bench.path(OBJECTS[0]), "rubbish").unwrap();
    let outcome = link(&bench, &[]);
    assert_eq!(natives(&outcome), (2, 0));
    assert!(bench.read(OBJECTS[0]) == bench.read("P1") && bench.read(OBJECTS[1]) == bench.read("P2"));
}

#[test]
fn members_fat_objects_and_a_folder_of_their_own() {
    let mut bench = program();
    let more = |name: &str| format!("int {name}(void) {{ return {}; }}\n", name.len());
    bench.compile("sub/in_thin.c", &more("in_thin"), &["-O2", "-flto=thin"]);
    bench.compile("sub/member.c", &more("member"), &["-O2", "-flto=thin"]);
    bench.compile("fat.c", &more("fat"), &["-O2", "-flto=thin", "-ffat-lto-objects"]);
    bench.run("llvm-ar-22", &["rcT", "libthin.a", "sub/in_thin.o"]).ok();
    bench.run("llvm-ar-22", &["rc", "d/libm.a", "sub/member.o"]).ok();
    let all = ["--whole-archive", "libthin.a", "d/libm.a", "fat.o", "--fat-lto-objects"];
    assert_eq!(natives(&link(&bench, &all)), (5, 0));
    let beside = ["d/a", "b", "sub/in_thin", "d/member", "fat"];
    let made = beside.map(|name| bench.read(&format!("{name}.thinlto-native.o")));
    bench.env("THINLTO_LD_NATIVE", "natives/of");
    assert_eq!(natives(&link(&bench, &all)), (5, 0));
    assert!(made == beside.map(|name| bench.read(&format!("natives/of/{name}.thinlto-native.o"))));
}

#[test]
fn no_two_modules_have_one_place() {
    let bench = program();
    let numbered = |name: &str| format!("int {name}(void) {{ return {}; }}\n", name.len());
    for (source, function) in [("m.c", "m"), ("m.2.c", "mm2"), ("sub/m.c", "other_m"), ("q.c", "qqqqq")] {
        bench.compile(source, &numbered(function), &["-O2", "-flto=thin"]);
    }
    fs::copy(bench.path("q.o"), bench.path("q")).unwrap();
    bench.compile("q.c", &numbered("another_q"), &["-O2", "-flto=thin"]);
    bench.run("llvm-ar-22", &["rc", "libm.a", "sub/m.o"]).ok();
    let all = ["m.o", "m.2.o", "q", "q.o", "-L.", "--whole-archive", "-lm"];
    assert_eq!(natives(&link(&bench, &all)), (7, 0));
    for (number, native) in ["d/a", "b", "m", "m.2", "q", "q.2", "m.3"].iter().enumerate() {
        let made = bench.read(&format!("{native}.thinlto-native.o"));
        assert!(made == bench.read(&format!("P{}", number + 1)), "{native}");
    }
    assert_eq!(natives(&link(&bench, &all)), (0, 7));
}

#[test]
fn a_link_put_back_has_them_too() {
    let mut bench = program();
    bench.env("THINLTO_LD_UNCHANGED", "restore");
    let words = ["-o", "out", "-e", "main", "d/a.o", "b.o"];
    let state = || {
        let outcome = bench.run(bench.shim(), &words).ok();
        outcome.stats[0]["output_state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(), "linked");
    let before = OBJECTS.map(|native| modified(&bench, native));
    assert_eq!(state(), "restored");
    assert_eq!(OBJECTS.map(|native| modified(&bench, native)), before);
    fs::remove_file(bench.path(OBJECTS[0])).unwrap();
    fs::write(bench.path(OBJECTS[1]), "rubbish").unwrap();
    assert_eq!(state(), "linked");
    for native in OBJECTS {
        assert!(bench.read(native).starts_with(b"\x7fELF"), "{native}");
    }
    assert_eq!(state(), "restored");
}

#[test]
fn a_place_that_cannot_be_written_is_an_error() {
    let mut bench = program();
    bench.write("file", "");
    for (native, what) in [
        ("file", "cannot write the native object file/d: "),
        ("file/below", "cannot write the native object file/below/d: "),
    ] {
        bench.env("THINLTO_LD_NATIVE", native);
        let outcome = bench.run(bench.shim(), &["-o", "out", "-e", "main", "d/a.o", "b.o"]);
        assert_eq!(outcome.status, 1);
        assert!(
            outcome.stderr.starts_with(&format!("ld.lld-22: error: {what}")),
            "{}",
            outcome.stderr
        );
        assert!(!bench.path("out").exists());
    }
    assert_eq!(bench.text("file"), "");
}

/// A command that adds a section, and notes that it ran.
fn post(bench: &mut Bench, section: &str) {
    let script = format!(
        "#!/bin/sh\necho \"$1\" >> {log}\nllvm-objcopy-22 --add-section {section}={log} \"$2\"\n",
        log = bench.path("log").display()
    );
    bench.write_program("post.sh", &script);
    let command = format!("'{}' \"a word\"", bench.path("post.sh").display());
    bench.env("THINLTO_LD_POST_BACKEND", &command);
}

fn has_section(bench: &Bench, file: &str, section: &str) -> bool {
    let listed = bench.run("llvm-readelf-22", &["-SW", file]).ok().stdout;
    listed.contains(section)
}

#[test]
fn a_command_of_the_user_s_runs_on_each_and_is_cached_with_it() {
    let mut bench = program();
    let plain = link(&bench, &[]);
    assert_eq!(plain.backends("run"), 2);
    let without = bench.read(OBJECTS[0]);
    post(&mut bench, ".posted");
    let outcome = link(&bench, &[]);
    assert_eq!(outcome.backends("run"), 2);
    assert_eq!(bench.text("log"), "a word\na word\n");
    for file in ["out", OBJECTS[0], OBJECTS[1]] {
        assert!(has_section(&bench, file, ".posted"), "{file}");
    }
    let outcome = link(&bench, &[]);
    assert_eq!((outcome.backends("cached"), natives(&outcome)), (2, (0, 2)));
    assert_eq!(bench.text("log"), "a word\na word\n");
    // Another program under the same name, and none.
    post(&mut bench, ".other");
    assert_eq!(link(&bench, &[]).backends("run"), 2);
    assert!(has_section(&bench, OBJECTS[1], ".other"));
    bench.env("THINLTO_LD_POST_BACKEND", "");
    assert_eq!(link(&bench, &[]).backends("cached"), 2);
    assert!(bench.read(OBJECTS[0]) == without);
}

#[test]
fn a_command_that_fails_fails_the_link_and_names_the_user_s_object() {
    let mut bench = program();
    let fails = |bench: &mut Bench, command: &str| {
        bench.env("THINLTO_LD_POST_BACKEND", command);
        let outcome = bench.run(bench.shim(), &["-o", "out", "-e", "main", "d/a.o"]);
        assert_eq!(outcome.status, 1, "{command}");
        assert!(
            !bench.path("out").exists() && !bench.path(OBJECTS[0]).exists(),
            "{command}"
        );
        assert_eq!(outcome.stats[0]["mode"], "distributed");
        outcome.stderr
    };
    let said = fails(&mut bench, "sh -c 'echo \"bad $0\" >&2; exit 3'");
    let expected = "ld.lld-22: error: d/a.o: post-backend command failed (exit status: 3)\n>>> sh -c echo \"bad $0\" >&2; exit 3\nbad d/a.o\n";
    assert_eq!(said, expected);
    let said = fails(&mut bench, "sh -c ': > {}'");
    assert!(
        said.contains("d/a.o: post-backend command left an empty object"),
        "{said}"
    );
    let said = fails(&mut bench, "no-such-program --x");
    assert!(
        said.starts_with("ld.lld-22: error: THINLTO_LD_POST_BACKEND=no-such-program --x: "),
        "{said}"
    );
}

/// Each of its words was about a file that no longer is.
#[test]
fn what_a_command_said_is_said_again_of_the_user_s_object() {
    let mut bench = program();
    bench.env("THINLTO_LD_POST_BACKEND", "sh -c 'echo \"seen $0\" >&2'");
    let (first, again) = (link(&bench, &[]), link(&bench, &[]));
    for object in ["seen d/a.o\n", "seen b.o\n"] {
        assert!(first.stderr.contains(object), "{}", first.stderr);
    }
    assert_eq!((again.backends("cached"), again.stderr), (2, first.stderr));
    // Who names what else there is there is not remembered.
    bench.env("THINLTO_LD_POST_BACKEND", "sh -c 'echo \"in $(dirname $0)\" >&2'");
    link(&bench, &[]);
    assert_eq!(link(&bench, &[]).backends("run"), 2);
}
