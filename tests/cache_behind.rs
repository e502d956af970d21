//! Caches that are only read: behind the one that is written, and on a mount that cannot be.
//! Knows nothing of what a cached object is named by.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use common::{Bench, Outcome};

fn source(number: u32) -> String {
    format!("int f(int); int main(int c, char **v) {{ return f(c) + {number}; }}\n")
}

/// A program, and a cache `warm` that has its objects.
fn warmed() -> Bench {
    let mut bench = Bench::new();
    bench.compile("main.c", &source(1), &["-O2", "-flto=thin"]).compile(
        "f.c",
        "int f(int x) { return x * 2; }\n",
        &["-O2", "-flto=thin"],
    );
    bench.env("THINLTO_LD_CACHE_DIR", bench.path("warm").to_str().unwrap());
    assert_eq!(link(&bench).backends("run"), 2);
    bench.env("THINLTO_LD_CACHE_DIR", "");
    bench
}

fn link(bench: &Bench) -> Outcome {
    bench.through(&["-shared", "-o", "out.so", "main.o", "f.o"]).ok()
}

/// Every file below, with its size and the time it was last changed.
fn state(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut state = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let found = entry.metadata().unwrap();
        if found.is_dir() {
            state.extend(self::state(&entry.path()));
        }
        state.insert(entry.path(), (found.len(), found.modified().unwrap()));
    }
    state
}

#[test]
fn what_ours_has_not_is_read_behind_it() {
    let mut bench = warmed();
    let warm = bench.path("warm");
    // As if long unused, which a cache that is written would note.
    for (path, _) in state(&warm).iter().filter(|(path, _)| path.is_file()) {
        let file = fs::File::open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000))
            .unwrap();
    }
    let before = state(&warm);
    bench.env(
        "THINLTO_LD_CACHE_BEHIND",
        &format!("{}:{}", bench.path("cache").display(), warm.display()),
    );
    fs::create_dir_all(bench.path("cache")).unwrap();
    let again = link(&bench);
    assert_eq!(
        (
            again.backends("run"),
            again.backends("cached"),
            again.backends("cached_behind")
        ),
        (0, 2, 2)
    );
    assert_eq!(again.stats[0]["thin_link"], "reused");
    assert_eq!(again.stderr, "");
    // What is new is kept in ours, and found there first.
    bench.compile("main.c", &source(2), &["-O2", "-flto=thin"]);
    let edited = link(&bench);
    assert_eq!((edited.backends("run"), edited.backends("cached_behind")), (1, 1));
    let again = link(&bench);
    assert_eq!((again.backends("cached"), again.backends("cached_behind")), (2, 1));
    assert_eq!(state(&warm), before);
}

#[test]
fn damage_behind_is_compiled_anew_and_left_as_it_is() {
    let mut bench = warmed();
    let warm = bench.path("warm");
    for (path, _) in state(&warm) {
        if path.extension().is_some_and(|extension| extension == "bin") {
            let mut bytes = fs::read(&path).unwrap();
            bytes[20] ^= 1;
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }
    let before = state(&warm);
    bench.env("THINLTO_LD_CACHE_BEHIND", warm.to_str().unwrap());
    assert_eq!(link(&bench).backends("run"), 2);
    assert_eq!(state(&warm), before);
}

#[test]
fn one_that_is_not_there_is_told_of() {
    let mut bench = warmed();
    bench.env("THINLTO_LD_CACHE_BEHIND", "/none");
    let linked = link(&bench);
    assert_eq!(linked.backends("run"), 2);
    assert!(
        linked.stderr.contains("THINLTO_LD_CACHE_BEHIND: /none: no such folder"),
        "{}",
        linked.stderr
    );
}

/// As in a job of CI: another checkout, made at another time, with the cache of an earlier one unpacked elsewhere.
#[test]
fn a_cache_that_was_packed_serves_another_checkout() {
    let earlier = warmed();
    earlier.run("tar", &["-cf", "warm.tar", "-C", "warm", "."]).ok();
    let mut bench = Bench::new();
    bench.compile("main.c", &source(1), &["-O2", "-flto=thin"]).compile(
        "f.c",
        "int f(int x) { return x * 2; }\n",
        &["-O2", "-flto=thin"],
    );
    fs::create_dir(bench.path("unpacked")).unwrap();
    let packed = earlier.path("warm.tar");
    bench
        .run("tar", &["-xf", packed.to_str().unwrap(), "-C", "unpacked"])
        .ok();
    bench.env("THINLTO_LD_CACHE_DIR", bench.path("unpacked").to_str().unwrap());
    let linked = link(&bench);
    assert_eq!((linked.backends("run"), linked.backends("cached")), (0, 2));
}

/// As in a container: the layer with the cache cannot be written, and neither can the home folder.
#[test]
fn a_cache_on_a_mount_that_cannot_be_written_is_read() {
    let bench = warmed();
    let warm = bench.path("warm");
    fs::create_dir_all(bench.path("cache")).unwrap();
    let shim = bench.shim();
    let homeless = bench.path("cache");
    for (name, value) in [
        ("THINLTO_LD_CACHE_DIR", warm.to_str().unwrap()),
        ("THINLTO_LD_CACHE_BEHIND", warm.to_str().unwrap()),
    ] {
        let setting = format!("{name}={value}");
        let words = [
            "--dev-bind",
            "/",
            "/",
            "--ro-bind",
            warm.to_str().unwrap(),
            warm.to_str().unwrap(),
            "--ro-bind",
            homeless.to_str().unwrap(),
            homeless.to_str().unwrap(),
            "env",
            &setting,
            shim.to_str().unwrap(),
            "-shared",
            "-o",
            "out.so",
            "main.o",
            "f.o",
        ];
        let again = bench.run("bwrap", &words).ok();
        assert_eq!((again.backends("run"), again.backends("cached")), (0, 2), "{name}");
        assert_eq!(again.stats[0]["cache_unwritten"], "cache-not-writable", "{name}");
        assert_eq!(again.stderr, "");
    }
}
