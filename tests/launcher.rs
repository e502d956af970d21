//! Backends started through a command of the user's: it gets the lines a person would type, and the objects are in-process
//! lld's all the same. Knows nothing of what such commands are good for.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{Bench, Outcome};

const MODULES: usize = 9;

/// Enough modules for a fork server, one of them in an archive.
fn program(bench: &Bench) -> Vec<String> {
    let mut main = String::from("int printf(const char *, ...);\n");
    let mut sum = String::new();
    let mut words = vec!["main.o".to_owned()];
    for n in 0..MODULES {
        let text = format!(
            "#include <string.h>\ndouble h{n}(double x) {{ double s = 0; for (int i = 0; i < 64; i++) s += x * i + {n}; return s; }}\n\
             int f{n}(int c, char *to) {{ memset(to, c, 16); return (int)h{n}(c); }}\n"
        );
        bench.compile(&format!("f{n}.c"), &text, &["-O2", "-g", "-flto=thin"]);
        words.push(format!("f{n}.o"));
        main += &format!("int f{n}(int, char *);\n");
        sum += &format!("+ f{n}(c + {n}, b)");
    }
    main += &format!("int main(int c, char **v) {{ char b[16]; printf(\"%d\\n\", 0 {sum}); return 0; }}\n");
    bench.compile("main.c", &main, &["-O2", "-g", "-flto=thin"]);
    bench.ar(&["rc", "lib.a", "f8.o"]);
    words.retain(|word| word != "f8.o");
    words.push("lib.a".to_owned());
    words
}

/// A script that writes down the line it is given, one word a line, and then runs it.
fn scribe(bench: &Bench, name: &str, more: &str) -> String {
    let log = bench.path("lines");
    let text = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >> {}\n{more}exec \"$@\"\n",
        log.display()
    );
    let script = bench.write_program(name, &text);
    script.to_str().unwrap().to_owned()
}

fn launched(outcome: &Outcome) -> (String, String, String, String) {
    let backends = &outcome.stats.last().unwrap()["backends"];
    let text = |name: &str| backends[name].as_str().unwrap_or_default().to_owned();
    (
        text("launcher"),
        text("engine"),
        text("engine_fallback"),
        text("launcher_off"),
    )
}

const SERVER: &str = "a launcher starts a process for each";

#[test]
fn a_prefix_gets_the_driver_s_lines_and_the_objects_are_lld_s() {
    for level in ["-Wl,--lto-O2", "-Wl,--lto-O1", "-Wl,--lto-O3"] {
        let mut bench = Bench::new();
        let words = program(&bench);
        let script = scribe(&bench, "scribe", "");
        bench
            .env("THINLTO_LD_LAUNCHER", &format!("env X=1 {script}"))
            .env("THINLTO_LD_CACHE", "off");
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push(level);
        let outcome = bench.both("clang", &words);
        let expected = (
            format!("env X=1 {script}"),
            "process".to_owned(),
            SERVER.to_owned(),
            String::new(),
        );
        assert_eq!(launched(&outcome), expected);
        let printed = bench.output_of("in.out");
        bench.both_print(&printed);
        let lines = bench.text("lines");
        let count = |word: &str| lines.lines().filter(|line| *line == word).count();
        // Two commands a backend where levels part.
        let steps = if level.ends_with("O1") { 2 } else { 1 };
        assert_eq!(count("--no-default-config"), (MODULES + 1) * steps);
        assert_eq!((count("-c"), count("-cc1")), ((MODULES + 1) * steps, 0));
        assert!(
            lines
                .lines()
                .any(|line| line.ends_with("/clang-22") || line.ends_with("/clang"))
        );
        assert_eq!(
            lines
                .lines()
                .filter(|line| line.starts_with("-fthinlto-index="))
                .count(),
            MODULES + 1
        );
    }
}

/// Linux is linked with -r, and names no CPU.
#[test]
fn where_the_link_names_no_cpu_the_driver_s_is_taken_back() {
    for llvm in [22, 19, 16] {
        let mut bench = Bench::of(llvm);
        let words = program(&bench);
        bench.env("THINLTO_LD_LAUNCHER", "nice -n 10");
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend(["-r", "--whole-archive"]);
        let outcome = bench.both_bare(&words);
        assert_eq!(outcome.backends("run") as usize, MODULES + 1);
        let (launcher, _, _, why) = launched(&outcome);
        assert_eq!((launcher.as_str(), why.as_str()), ("nice -n 10", ""), "LLVM {llvm}");
    }
}

#[test]
fn what_it_is_called_with_is_part_of_the_key() {
    let mut bench = Bench::new();
    let words = program(&bench);
    let words: Vec<&str> = ["-o", "out", "-e", "main", "--undefined-version", "-shared"]
        .into_iter()
        .chain(words.iter().map(String::as_str))
        .collect();
    let all = bench.through(&words).ok().backends("run");
    for (launcher, run) in [
        ("nice", all),
        ("nice", 0),
        ("nice -n 1", all),
        ("nice -n 1", 0),
        ("", 0),
    ] {
        bench.env("THINLTO_LD_LAUNCHER", launcher);
        let outcome = bench.through(&words).ok();
        assert_eq!(outcome.backends("run"), run, "{launcher}");
    }
}

#[test]
fn its_failures_are_told() {
    let mut bench = Bench::new();
    let words = program(&bench);
    let words: Vec<&str> = ["-o", "out"]
        .into_iter()
        .chain(words.iter().map(String::as_str))
        .collect();
    let shim = bench.shim().to_str().unwrap().to_owned();
    bench.env("THINLTO_LD_LAUNCHER", "no-such-launcher --fast");
    let outcome = bench.drive("clang", &shim, &words);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome
            .stderr
            .contains("ld.lld-22: error: THINLTO_LD_LAUNCHER=no-such-launcher --fast: "),
        "{}",
        outcome.stderr
    );
    assert!(!bench.path("out").exists());
    // One that claims to be content and has run nothing: no object, no link by us.
    let liar = scribe(&bench, "liar", "exit 0\n");
    bench.env("THINLTO_LD_LAUNCHER", &liar).env("THINLTO_LD_MODE", "auto");
    let outcome = bench.drive("clang", &shim, &words).ok();
    assert_eq!(outcome.mode(), "in-process");
    assert!(
        outcome.reason().contains("clang exited 0 but left no object"),
        "{}",
        outcome.reason()
    );
}

/// clang's driver has features of its own for this target, which lld's backends do not have.
#[test]
fn a_target_that_the_driver_knows_better_is_compiled_without() {
    let mut bench = Bench::new();
    let flags = ["--target=aarch64-linux-gnu", "-ffreestanding", "-O2", "-flto=thin"];
    bench.compile("a.c", "int g(int); int _start(int x) { return g(x); }\n", &flags);
    bench.compile("b.c", "int g(int x) { return x + 1; }\n", &flags);
    bench.env("THINLTO_LD_LAUNCHER", "nice");
    let outcome = bench.both_bare(&["a.o", "b.o"]);
    let (launcher, engine, _, why) = launched(&outcome);
    assert_eq!((launcher.as_str(), engine.as_str()), ("", "process"));
    assert_eq!(why, "clang's driver has its own idea of -enable-tlsdesc");
    assert!(
        outcome.stderr.contains("backends are not started through nice"),
        "{}",
        outcome.stderr
    );
}

/// Debian 12's ccache does not know the language: it hands the line on, and the link is right.
#[test]
fn ccache_hands_on_what_it_does_not_know() {
    let mut bench = Bench::new();
    let words = program(&bench);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let folder = bench.path("ccache").to_str().unwrap().to_owned();
    bench
        .env("THINLTO_LD_LAUNCHER", "ccache")
        .env("CCACHE_DIR", &folder)
        .env("THINLTO_LD_CACHE", "off");
    for _ in 0..2 {
        let outcome = bench.both("clang", &words);
        assert_eq!(launched(&outcome).0, "ccache");
        assert_eq!(outcome.backends("run") as usize, MODULES + 1);
    }
    let stats = bench.run("ccache", &["--print-stats"]).ok().stdout;
    let calls: u64 = stats
        .lines()
        .filter_map(|line| line.strip_prefix("unsupported_source_language\t"))
        .map(|count| count.trim().parse::<u64>().unwrap())
        .sum();
    assert_eq!(calls as usize, 2 * (MODULES + 1), "{stats}");
}
