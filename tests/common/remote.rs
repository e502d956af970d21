//! The program that remote execution is tried with, and what its links tell of who ran their backends.
//! Knows nothing of servers but their address.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;

use serde_json::Value;

use super::casd::Casd;
use super::{Bench, Outcome};

pub const THIN: &[&str] = &["-flto=thin", "-O2"];
/// What the program below prints.
pub const PRINTS: &str = "some data 6765 55 hello\n";
pub const MODULES: u64 = 14;

/// A program of C and C++: imports, inline functions, two archive members, a file pulled in by assembly.
pub fn program(bench: &Bench) -> Vec<String> {
    bench.write("data.bin", "some data");
    for number in 0..10 {
        let next = (number + 1) % 10;
        let text = format!(
            "int step{next}(int, int);\nint step{number}(int n, int sum) {{ return n <= 0 ? sum : step{next}(n - 1, sum + n); }}\n"
        );
        bench.compile(&format!("step{number}.c"), &text, THIN);
    }
    bench.compile(
        "fib.c",
        "int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }\n",
        THIN,
    );
    bench.compile(
        "text.cpp",
        "#include <string>\nstd::string text() { return std::string(\"hel\") + \"lo\"; }\n",
        THIN,
    );
    fs::create_dir_all(bench.path("lib")).unwrap();
    bench.ar(&["rcs", "lib/libparts.a", "fib.o", "text.o"]);
    bench.compile(
        "blob.c",
        "__asm__(\".section .rodata\\n.globl blob\\nblob:\\n.incbin \\\"data.bin\\\"\\n.byte 0\\n.previous\\n\");\n",
        THIN,
    );
    bench.compile(
        "main.cpp",
        "#include <cstdio>\n#include <string>\nextern \"C\" { int step0(int, int); int fib(int); extern const char blob[]; }\n\
         std::string text();\nint main() { std::printf(\"%s %d %d %s\\n\", blob, fib(20), step0(10, 0), text().c_str()); }\n",
        THIN,
    );
    let steps = (0..10).map(|number| format!("step{number}.o"));
    steps
        .chain(["main.o", "blob.o", "lib/libparts.a"].map(str::to_owned))
        .collect()
}

pub fn words(objects: &[String]) -> Vec<&str> {
    objects.iter().map(String::as_str).collect()
}

/// A folder whose links are executed by this server alone.
pub fn bench(casd: &Casd) -> Bench {
    let mut bench = Bench::new();
    bench
        .env("THINLTO_LD_ENGINE", "remote")
        .env("THINLTO_LD_REMOTE", &casd.address())
        .env("THINLTO_LD_REMOTE_LOCAL", "off");
    bench
}

pub fn stats(outcome: &Outcome) -> &Value {
    outcome.stats.last().expect("no stats line")
}

/// Backends by who ran them: here, a worker, the action cache.
pub fn ran(outcome: &Outcome) -> [u64; 3] {
    ["run", "remote", "remote_cached"].map(|what| outcome.backends(what))
}

pub fn up(outcome: &Outcome) -> u64 {
    stats(outcome)["bytes"]["up"].as_u64().unwrap()
}
