//! What links say of themselves: the sums of `thinlto stats`, a line a link, the line that moves on a terminal.
//! Knows nothing of the stats line, which every other test reads.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;

use common::{Bench, Outcome};
use serde_json::Value;

const THINLTO: &str = env!("CARGO_BIN_EXE_thinlto");

fn program() -> Bench {
    let bench = Bench::new();
    bench
        .compile(
            "main.c",
            "int f(int); int main(int c, char **v) { return f(c) - 2; }\n",
            &["-O2", "-flto=thin"],
        )
        .compile("f.c", "int f(int x) { return x * 2; }\n", &["-O2", "-flto=thin"])
        .compile("plain.c", "int plain(void) { return 1; }\n", &["-O2"]);
    bench
}

fn sums(bench: &Bench) -> Value {
    serde_json::from_str(&bench.run(THINLTO, &["stats", "--json"]).ok().stdout).unwrap()
}

fn shared(bench: &Bench, words: &[&str]) -> Outcome {
    bench.through(&[&["-shared", "-o", "out.so"], words].concat())
}

#[test]
fn links_are_counted_by_what_became_of_them() {
    let mut bench = program();
    assert_eq!(bench.run(THINLTO, &["stats"]).ok().stdout, "no links counted yet\n");
    bench
        .env("THINLTO_LD_MODE", "auto")
        .env("THINLTO_LD_UNCHANGED", "restore");
    shared(&bench, &["main.o", "f.o"]).ok();
    let first = sums(&bench);
    assert_eq!(
        first["modules"],
        serde_json::json!({"compiled": 2, "remote": 0, "cached": 0})
    );
    let compiling = first["ms"]["compiling"].as_f64().unwrap();
    assert!(compiling > 0.0, "{first}");
    // Put back; linked anew of kept objects; left to lld, once for each of two reasons; none of LTO's business; no links.
    shared(&bench, &["main.o", "f.o"]).ok();
    shared(&bench, &["f.o", "main.o"]).ok();
    for word in ["--lto-emit-asm", "--reproduce=r.tar", "--reproduce=r.tar"] {
        shared(&bench, &["f.o", word]).ok();
    }
    shared(&bench, &["plain.o"]).ok();
    bench.through(&["--version"]).ok();
    bench
        .run(THINLTO, &["compare", "--", "ld.lld-22", "-shared", "main.o", "f.o"])
        .ok();
    let told = sums(&bench);
    assert_eq!(
        told["links"],
        serde_json::json!({"distributed": 3, "in-process": 3, "passthrough": 1})
    );
    assert_eq!(told["restored"], 1);
    assert_eq!(told["reasons"]["in-process"].as_object().unwrap().len(), 2, "{told}");
    assert_eq!(told["modules"]["cached"], 4);
    // Of the one that was put back, and of the one whose objects were there, the same again.
    let saved = told["ms"]["saved"].as_f64().unwrap();
    assert!(
        saved > compiling && saved < 3.0 * compiling,
        "{saved} of twice {compiling}"
    );
    let table = bench.run(THINLTO, &["stats"]).ok().stdout;
    for line in [
        "put back as they were made",
        "2   --reproduce",
        "from cache        4   66.7 %",
        "saved",
    ] {
        assert!(table.contains(line), "{line}: {table}");
    }
    assert_eq!(
        bench.run(THINLTO, &["stats", "--zero"]).ok().stdout,
        "counting begins anew\n"
    );
    assert_eq!(bench.run(THINLTO, &["stats"]).ok().stdout, "no links counted yet\n");
}

#[test]
fn links_at_once_are_all_counted_and_none_fails_of_it() {
    let mut bench = program();
    thread::scope(|scope| {
        for number in 0..8 {
            let bench = &bench;
            scope.spawn(move || {
                for _ in 0..10 {
                    let output = format!("{number}.o");
                    let done = bench.command(bench.shim(), &["-r", "-o", &output, "plain.o"]).status();
                    assert!(done.unwrap().success());
                }
            });
        }
    });
    assert_eq!(sums(&bench)["links"]["passthrough"], 80);
    // Nowhere to count, and nobody who wants it.
    bench.env("XDG_CACHE_HOME", "/proc/none").env("THINLTO_LD_MODE", "auto");
    shared(&bench, &["main.o", "f.o"]).ok();
    bench.env("XDG_CACHE_HOME", bench.path("other").to_str().unwrap());
    bench.env("THINLTO_LD_CACHE", "off");
    shared(&bench, &["main.o", "f.o"]).ok();
    assert!(!bench.path("other/thinlto-ld/v1").exists());
}

#[test]
fn a_line_a_link_where_it_is_asked_for() {
    let mut bench = program();
    bench.env("THINLTO_LD_SUMMARY", "on").env("THINLTO_LD_MODE", "auto");
    let said = shared(&bench, &["main.o", "f.o"]).ok().stderr;
    assert!(
        said.starts_with("thinlto-ld: out.so: distributed, 2 of 2 modules compiled, 0 from the cache, ")
            && said.lines().count() == 1,
        "{said}"
    );
    let said = shared(&bench, &["plain.o"]).ok().stderr;
    assert_eq!(said, "thinlto-ld: out.so: passthrough: no ThinLTO bitcode\n");
    let said = shared(&bench, &["f.o", "--lto-emit-asm"]).ok().stderr;
    assert!(said.starts_with("thinlto-ld: out.so: in-process: "), "{said}");
    // Scripts read what a linker says of itself.
    assert_eq!(bench.through(&["--version"]).ok().stderr, "");
}

#[test]
fn our_version_is_ours() {
    let bench = Bench::new();
    let expected = concat!("thinlto-ld ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(bench.through(&["--thinlto-ld-version"]).ok().stdout, expected);
    // Wherever no linker is found, too.
    fs::create_dir(bench.path("none")).unwrap();
    symlink(env!("CARGO_BIN_EXE_thinlto-ld"), bench.path("none/ld.lld-99")).unwrap();
    let outcome = bench.run(bench.path("none/ld.lld-99"), &["--thinlto-ld-version"]).ok();
    assert_eq!(outcome.stdout, expected);
}

/// A link of some seconds, on a terminal and not.
#[test]
fn a_line_moves_on_a_terminal_and_is_gone_at_the_end() {
    let mut bench = program();
    bench
        .env("TERM", "xterm")
        .env("THINLTO_LD_JOBS", "1")
        .env("THINLTO_LD_POST_BACKEND", "sh -c 'sleep 1.3'");
    let line = format!("{} -shared -o out.so main.o f.o", bench.shim().display());
    let plain = bench.run("sh", &["-c", &line]).ok();
    assert_eq!(plain.stderr, "");
    bench.env("THINLTO_LD_CACHE", "off");
    let shown = bench.run("script", &["-qec", &line, "/dev/null"]).ok().stdout;
    let frames: Vec<&str> = shown
        .split("\r\u{1b}[K")
        .filter(|frame| !frame.trim().is_empty())
        .collect();
    assert!(shown.ends_with("\r\u{1b}[K"), "{shown:?}");
    assert!(
        frames
            .iter()
            .any(|frame| frame.starts_with("out.so: 1 of 2 modules, 0 from the cache, 2 s; slowest ")),
        "{frames:?}"
    );
    assert!(frames.iter().all(|frame| frame.chars().count() < 80), "{frames:?}");
    // What is said meanwhile does not stand behind it.
    bench.env("THINLTO_LD_SUMMARY", "on");
    let shown = bench.run("script", &["-qec", &line, "/dev/null"]).ok().stdout;
    assert!(shown.contains("\r\u{1b}[Kthinlto-ld: out.so: distributed"), "{shown:?}");
    bench.env("TERM", "dumb").env("THINLTO_LD_SUMMARY", "off");
    assert_eq!(bench.run("script", &["-qec", &line, "/dev/null"]).ok().stdout, "");
}
