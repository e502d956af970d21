//! DTLTO links of one program: by a distributor that just runs the jobs, and by `thinlto distribute`; what became of them.
//! Knows nothing of servers.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;

use super::{Bench, Outcome};

pub const THINLTO: &str = env!("CARGO_BIN_EXE_thinlto");

/// What llvm/utils/dtlto/local.py does: every job by itself, one after the other.
pub const PLAIN: &str = "import json, subprocess, sys\n\
                     jobs = json.load(open(sys.argv[-1]))\n\
                     for job in jobs['jobs']:\n    subprocess.check_call(jobs['common']['args'] + job['args'])\n";

pub const FLAGS: &[&str] = &["-flto=thin", "-O2", "-g", "-fPIC"];
pub const MODULES: usize = 10;

pub fn shape(n: usize, factor: usize) -> String {
    format!(
        "#include \"shapes.h\"\nnamespace {{ int count = {n}; struct Own : Shape {{ int area(int x) const override {{ \
         return x * {factor} + twice(x) + count++; }} }}; }}\n\
         std::unique_ptr<Shape> make{n}() {{ return std::make_unique<Own>(); }}\n"
    )
}

/// Ten classes behind one interface, two of them in an archive, two in a thin one, and who uses them all.
pub fn program() -> Bench {
    let bench = Bench::new();
    bench.write("plain.py", PLAIN);
    bench.write(
        "shapes.h",
        "#pragma once\n#include <memory>\n#include <string>\n#include <vector>\n\
         struct Shape { virtual ~Shape() = default; virtual int area(int) const = 0; };\nint twice(int);\n",
    );
    bench.compile("twice.cc", "int twice(int x) { return x + x; }\n", FLAGS);
    let mut main = String::from("#include \"shapes.h\"\n#include <iostream>\n");
    let mut all = String::new();
    for n in 0..MODULES {
        bench.compile(&format!("s{n}.cc"), &shape(n, n), FLAGS);
        main += &format!("std::unique_ptr<Shape> make{n}();\n");
        all += &format!("all.push_back(make{n}());");
    }
    main += &format!(
        "int main(int c, char **) {{ std::vector<std::unique_ptr<Shape>> all; {all} int sum = 0; \
         for (auto &shape : all) sum += shape->area(c); std::cout << sum << std::endl; }}\n"
    );
    bench.compile("main.cc", &main, FLAGS);
    archives(&bench);
    bench
}

pub fn archives(bench: &Bench) {
    let _ = fs::remove_file(bench.path("libfat.a"));
    bench.ar(&["rc", "libfat.a", "s6.o", "s7.o", "twice.o"]);
    let _ = fs::remove_file(bench.path("libthin.a"));
    bench.ar(&["rcT", "libthin.a", "s8.o", "s9.o"]);
}

pub const INPUTS: &[&str] = &[
    "main.o",
    "s0.o",
    "s1.o",
    "s2.o",
    "s3.o",
    "s4.o",
    "s5.o",
    "libthin.a",
    "libfat.a",
    "-pie",
];
pub const ALL: u64 = MODULES as u64 + 2;

/// A DTLTO link by clang; its objects go to `P`, `P1` …
pub fn dtlto(bench: &Bench, name: &str, distributor: &[&str], words: &[&str]) -> Outcome {
    let objects = format!("-Wl,--lto-obj-path={name}.P");
    let output = format!("{name}.out");
    let mut all = vec!["-fuse-ld=lld", "-flto=thin", "-O2", "-o", &output, &objects];
    let program = format!("-fthinlto-distributor={}", distributor[0]);
    let arguments: Vec<String> = distributor[1..]
        .iter()
        .map(|argument| format!("-Xthinlto-distributor={argument}"))
        .collect();
    all.push(&program);
    all.extend(arguments.iter().map(String::as_str));
    all.extend(words);
    bench.run(format!("clang++-{}", bench.llvm), &all)
}

pub fn plain(bench: &Bench, words: &[&str]) -> Outcome {
    let python = which::which("python3").unwrap();
    dtlto(bench, "in", &[python.to_str().unwrap(), "plain.py"], words).ok()
}

pub fn ours(bench: &Bench, words: &[&str]) -> Outcome {
    let outcome = dtlto(bench, "our", &[THINLTO, "distribute"], words);
    if outcome.status == 0 {
        assert_eq!(outcome.mode(), "distributor");
        assert_eq!(outcome.stats.len(), 1);
    }
    outcome
}

/// The objects of both, and the outputs, to the byte.
#[track_caller]
pub fn same(bench: &Bench, words: &[&str], count: u64) {
    plain(bench, words);
    assert_eq!(
        bench.objects("in.P").len() as u64,
        count + 1,
        "one a module, and that of regular LTO"
    );
    assert_eq!(bench.differing_objects(), [""; 0]);
    assert!(bench.read("in.out") == bench.read("our.out"));
}

/// Backends (run, cached).
pub fn counts(outcome: &Outcome) -> (u64, u64) {
    (outcome.backends("run"), outcome.backends("cached"))
}

pub fn engine(outcome: &Outcome) -> (String, String) {
    let backends = &outcome.stats.last().unwrap()["backends"];
    let text = |name: &str| backends[name].as_str().unwrap_or_default().to_owned();
    (text("engine"), text("engine_fallback"))
}

/// Nothing of either is left in the folder of the output.
#[track_caller]
pub fn tidy(bench: &Bench) {
    let entries = fs::read_dir(bench.path(".")).unwrap().flatten();
    let left: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.contains(".native.o") || name.ends_with(".json") && name != "stats.json")
        .collect();
    assert_eq!(left, [""; 0]);
}
