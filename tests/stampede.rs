//! Two hundred links at once on one cache, of the same and of different programs. Knows nothing of how the cache is locked.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::process::Stdio;

use common::Bench;

const LINKS: usize = 200;
const THIN: &[&str] = &["-flto=thin", "-O2", "-fPIC"];

/// Three modules each, one of which all have.
fn programs(bench: &Bench, count: usize) -> Vec<[String; 3]> {
    bench.compile(
        "all.c",
        "__attribute__((noinline)) int g(int x) { return x * 40; }\n",
        THIN,
    );
    let program = |number: usize| {
        let (main, f) = (format!("main{number}.c"), format!("f{number}.c"));
        let text = "int f(int); int printf(const char *, ...); int main(void) { return !printf(\"%d\\n\", f(1)); }\n";
        bench.compile(&main, text, THIN);
        bench.compile(
            &f,
            &format!("int g(int); int f(int x) {{ return g(x) + {number}; }}\n"),
            THIN,
        );
        [main, f, "all.c".into()].map(|name| name.replace(".c", ".o"))
    };
    (0..count).map(program).collect()
}

#[test]
fn two_hundred_links_at_once_on_one_cache() {
    let bench = Bench::new();
    let programs = programs(&bench, 10);
    let real = which::which(bench.lld()).unwrap().display().to_string();
    let fresh = |program: &[String; 3]| {
        let words: Vec<&str> = program.iter().map(String::as_str).collect();
        bench.fresh("clang-22", &real, &words);
        bench.read("ref.out")
    };
    let expected: Vec<Vec<u8>> = programs.iter().map(fresh).collect();
    let ld = format!("--ld-path={}", bench.shim().display());
    let start = |number: usize| {
        let output = format!("out{number}");
        let mut words = vec![ld.as_str(), "-o", &output];
        words.extend(programs[number % programs.len()].iter().map(String::as_str));
        let mut command = bench.command("clang-22", &words);
        command.env("THINLTO_LD_STATS", bench.path(&format!("stats{number}")));
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    let links: Vec<_> = (0..LINKS).map(start).collect();
    for (number, link) in links.into_iter().enumerate() {
        let ended = link.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!((ended.status.code(), said.as_str()), (Some(0), ""), "link {number}");
        let stats: serde_json::Value = serde_json::from_str(&bench.text(&format!("stats{number}"))).unwrap();
        assert_eq!(stats["mode"], "distributed", "link {number}");
        let program = number % programs.len();
        assert!(
            bench.read(&format!("out{number}")) == expected[program],
            "link {number}"
        );
    }
    bench.tidy();
    for (number, expected) in expected.iter().enumerate() {
        let output = format!("out{number}");
        let mut words = vec!["-o", &output];
        words.extend(programs[number].iter().map(String::as_str));
        let again = bench
            .drive("clang", bench.shim().to_str().unwrap(), &words)
            .clean()
            .ok();
        assert_eq!(again.backends("run"), 0, "program {number}");
        assert!(bench.read(&output) == *expected, "program {number}");
        assert_eq!(bench.output_of(&output), format!("{}\n", 40 + number));
    }
    let shown = bench.run(env!("CARGO_BIN_EXE_thinlto"), &["cache"]).ok().stdout;
    assert!(shown.contains(" files, "), "{shown}");
}
