//! Damaged inputs behind a cache that knows them undamaged: what lld refuses is refused, what it links is linked alike.
//!
//! `DAMAGED=500` tries as many damages, `DAMAGED_SEED=$RANDOM` fresh ones.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::random::Random;
use common::{Bench, Outcome};

/// What is damaged.
const INPUTS: [&str; 6] = ["main.o", "classes.o", "lib.a", "thin.a", "thinmember.o", "exports.map"];

const LINK: [&str; 9] = [
    "-flto=thin",
    "-Wl,--version-script=exports.map",
    "main.o",
    "classes.o",
    "native.o",
    "lib.a",
    "thin.a",
    "-Wl,--gc-sections",
    "-o",
];

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench
        .env("THINLTO_LD_MODE", "auto")
        .env("THINLTO_LD_UNCHANGED", "restore");
    const THIN: &[&str] = &["-flto=thin", "-O2"];
    bench
        .compile(
            "main.c",
            "int printf(const char *, ...); int classes(int), native(int), near(int), far(int), thin(int);\n\
             int main(int c, char **v) { printf(\"%d %d %d %d %d\\n\", classes(c), native(c), near(c), far(c), thin(c)); }\n",
            THIN,
        )
        .compile(
            "classes.cpp",
            "struct A { virtual int f(int x) { return x + 1; } virtual ~A() = default; };\n\
             struct B : A { int f(int x) override { return x + 2; } };\n\
             static int sum(A &a, int x) { return a.f(x); }\n\
             extern \"C\" int classes(int x) { B b; return sum(b, x); }\n",
            &["-flto=thin", "-O2", "-fno-rtti"],
        )
        .compile("native.c", "int near(int); int native(int x) { return near(x) + 1; }\n", &["-O2"])
        .compile("near.c", "int far(int); int near(int x) { return far(x) * 5; }\n", THIN)
        .compile("far.c", "static const char words[] = \"some words to read\"; int far(int x) { return words[x & 15]; }\n", THIN)
        .compile("other.c", "int other(int x) { return x; }\n", &["-O2"])
        .compile("thinmember.c", "__attribute__((noinline)) static int work(int x) { return x % 7; } int thin(int x) { return work(x); }\n", THIN)
        .ar(&["rc", "lib.a", "near.o", "far.o", "other.o"])
        .ar(&["rcT", "thin.a", "thinmember.o"])
        .write("exports.map", "{ global: main; near; local: *; };\n");
    bench
}

fn link(bench: &Bench, linker: &str, output: &str) -> Outcome {
    let _ = fs::remove_file(bench.path(output));
    let mut words = LINK.to_vec();
    words.push(output);
    bench.drive("clang", linker, &words)
}

/// A damage, and how it is called.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) -> String {
    let at = random.below(bytes.len());
    match random.below(6) {
        0 => {
            bytes[at] ^= 1 << random.below(8);
            format!("a bit of byte {at}")
        }
        1 => {
            bytes[at] = u8::try_from(random.below(256)).unwrap();
            format!("byte {at}")
        }
        2 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        3 => {
            let end = bytes.len().min(at + 1 + random.below(64));
            bytes[at..end].fill(0);
            format!("zeroes from {at} to {end}")
        }
        4 => {
            let end = bytes.len().min(at + 4 * (1 + random.below(16)));
            bytes.drain(at..end);
            format!("{at} to {end} taken out")
        }
        _ => {
            // What stands at the beginning says how the rest is to be read.
            let at = at % bytes.len().min(256);
            bytes[at] ^= 1 << random.below(8);
            format!("a bit of byte {at}")
        }
    }
}

/// What a user sees of a link: whether it was made, and what the program does.
fn seen(bench: &Bench, outcome: &Outcome, output: &str) -> String {
    match outcome.status {
        0 => {
            let ran = bench.run(bench.path(output), &[]);
            format!("linked, exits {} and prints {}", ran.status, ran.stdout)
        }
        _ => "refused".to_owned(),
    }
}

#[test]
fn what_lld_refuses_is_refused_behind_a_warm_cache() {
    let damages: usize = std::env::var("DAMAGED").map_or(40, |text| text.parse().unwrap());
    let bench = bench();
    let shim = bench.shim().to_str().unwrap().to_owned();
    let real = which::which(bench.lld()).unwrap().to_str().unwrap().to_owned();
    let whole = link(&bench, &shim, "our.out").ok();
    assert_eq!(whole.mode(), "distributed", "{}", whole.reason());
    // Another time, so that only its bytes tell that it is the file that was linked.
    fs::write(bench.path("main.o"), bench.read("main.o")).unwrap();
    let again = link(&bench, &shim, "our.out").ok();
    assert_eq!(again.stats[0]["thin_link"], "reused");
    let mut random = Random::seeded("DAMAGED_SEED", 5);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut different = Vec::new();
    for _ in 0..damages {
        let name = *random.pick(&INPUTS);
        let original = bench.read(name);
        let mut bytes = original.clone();
        let what = damage(&mut random, &mut bytes);
        fs::write(bench.path(name), &bytes).unwrap();
        let inside = link(&bench, &real, "in.out");
        let ours = link(&bench, &shim, "our.out");
        let (expected, got) = (seen(&bench, &inside, "in.out"), seen(&bench, &ours, "our.out"));
        let mode = ours
            .stats
            .last()
            .map_or("no stats line", |line| line["mode"].as_str().unwrap());
        let kind = expected.split(',').next().unwrap().to_owned();
        *counts.entry(format!("{kind}, {mode}")).or_default() += 1;
        if expected != got {
            different.push(format!(
                "{name}, {what}: lld {expected}: {}\nours {got}: {}\n",
                inside.stderr, ours.stderr
            ));
        }
        if ours.status != 0 && !bench.path("our.out").exists() && ours.stderr.trim().is_empty() {
            different.push(format!("{name}, {what}: ours says nothing"));
        }
        fs::write(bench.path(name), &original).unwrap();
    }
    println!("{counts:?}");
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

/// The size in a member's header is padded with spaces; lld wants nothing else there.
#[test]
fn a_size_that_is_no_number_is_refused_behind_a_warm_cache() {
    let bench = bench();
    let shim = bench.shim().to_str().unwrap().to_owned();
    link(&bench, &shim, "our.out").ok();
    for name in ["lib.a", "thin.a"] {
        let original = bench.read(name);
        let mut bytes = original.clone();
        // Of the first member, the symbol table: the magic is eight bytes long, and the size ends at byte 58 of a header.
        bytes[8 + 57] = b'<';
        fs::write(bench.path(name), &bytes).unwrap();
        let ours = link(&bench, &shim, "our.out");
        assert_ne!(ours.status, 0, "{name}");
        assert!(ours.stderr.contains("size field"), "{}", ours.stderr);
        fs::write(bench.path(name), &original).unwrap();
    }
}
