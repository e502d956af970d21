//! One small program with an archive, and one link line through both linkers with all its files kept apart.
//! Knows nothing of what is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use object::{Object, ObjectSymbol};

use super::{Bench, Outcome};

pub const THIN: &[&str] = &["-flto=thin", "-O2", "-fPIC"];

/// main.o (bitcode) uses libx.a(g.o) (bitcode) and libx.a(n.o) (native); libx.a(unused.o) is not used.
pub fn bench() -> Bench {
    let bench = Bench::new();
    bench
        .compile(
            "main.c",
            "int g(int), n(int), same(int); __attribute__((noinline)) int same1(int x) { return x * 7 + 3; }\n\
             __attribute__((noinline)) int same2(int x) { return x * 7 + 3; } int data = 5;\n\
             int main(int c, char **v) { return g(c) + n(c) + same1(c) + same2(c) + data; }\n",
            THIN,
        )
        .compile(
            "g.c",
            "__attribute__((noinline)) int g(int x) { return x * 40; }\n",
            THIN,
        )
        .compile(
            "n.c",
            "int n(int x) { return x - 1; } int lonely(void) { return 1; }\n",
            &["-O2", "-fPIC", "-ffunction-sections"],
        )
        .compile("unused.c", "int unused(int x) { return x; }\n", THIN)
        .ar(&["rc", "libx.a", "g.o", "n.o", "unused.o"]);
    bench
}

/// One link line through both, each run's files kept: `in/NAME` and `our/NAME`. `out` is one of the names.
pub fn pair(bench: &Bench, words: &[&str], files: &[&str]) -> (Outcome, Outcome) {
    let run = |folder: &str, ours: bool| {
        let mut all = vec!["-e", "main", "-o", "out"];
        all.extend(words);
        let outcome = if ours { bench.through(&all) } else { bench.direct(&all) };
        fs::create_dir_all(bench.path(folder)).unwrap();
        for file in files.iter().chain(&["out"]) {
            if outcome.status == 0 {
                fs::rename(bench.path(file), bench.path(&format!("{folder}/{file}"))).unwrap();
            }
        }
        outcome
    };
    let inside = run("in", false);
    let ours = run("our", true).clean();
    assert_eq!(ours.status, inside.status, "{}", ours.stderr);
    assert_eq!(ours.mode(), "distributed", "{}", ours.reason());
    let all: Vec<String> = files.iter().map(|file| format!("our/{file}")).collect();
    if ours.status == 0 {
        bench.unstaged(&all.iter().map(String::as_str).collect::<Vec<_>>());
    }
    bench.tidy();
    (inside, ours)
}

/// Defined symbols and their addresses.
pub fn symbols(bench: &Bench, file: &str) -> BTreeMap<String, u64> {
    let bytes = bench.read(file);
    let file = object::File::parse(&*bytes).unwrap();
    let symbols = file
        .symbols()
        .filter(|s| !s.is_undefined() && !s.name().unwrap().is_empty());
    symbols.map(|s| (s.name().unwrap().to_owned(), s.address())).collect()
}

pub fn names(bench: &Bench, file: &str) -> BTreeSet<String> {
    symbols(bench, file)
        .into_keys()
        .filter(|name| !name.contains(".c") || !name.ends_with(".c"))
        .collect()
}

pub fn exported(bench: &Bench, file: &str) -> Vec<String> {
    let bytes = bench.read(file);
    let file = object::File::parse(&*bytes).unwrap();
    let mut names: Vec<_> = file
        .dynamic_symbols()
        .filter(|s| !s.is_undefined())
        .map(|s| s.name().unwrap().to_owned())
        .collect();
    names.sort();
    names
}
