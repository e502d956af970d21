//! `-r` links made with sections renamed: what comes of them is what lld makes of the objects as they are, byte for byte, and
//! where it could not be so nothing is renamed, which has a name. Random links are of native objects and pass through; more of
//! them are made by `RELOCATABLE_LINKS=N`, others by `RELOCATABLE_SEED=N`.
//! Knows nothing of how sections are renamed.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod generate;

use std::collections::BTreeMap;
use std::fs;

use common::random::Random;
use common::{Bench, Outcome};
use generate::Program;

const VERSIONS: [u32; 3] = [16, 19, 22];

/// Links of each version.
const USUAL: usize = 40;

/// Scripts: of other sections, of those that others are linked to, of those that are linked, of all there are.
const SCRIPTS: [&str; 5] = [
    "SECTIONS { .initcall : { *(.initcall0.init) KEEP(*(.initcall1.init)) } }",
    "SECTIONS { .text.s1 : { *(.text.s2 .text.s3) } .map2 : { *(.text.f0_*) } }",
    "SECTIONS { .map : { *(.kcfi_traps) } }",
    "SECTIONS { .all : { *(.text .text.*) } /DISCARD/ : { *(.map) } }",
    "SECTIONS { .odd : { *(?plain *_entries) } .rela.map : { *(.none) } }",
];

const OPTIONS: [&[&str]; 16] = [
    &["-S"],
    &["--strip-debug"],
    &["-x"],
    &["-X"],
    &["-O0"],
    &["-O2"],
    &["--build-id=none"],
    &["--build-id=sha1"],
    &["--gc-sections", "--undefined=f0_0"],
    &["--unique"],
    &["-Map=map"],
    &["--emit-relocs"],
    &["--defsym=outside1=0"],
    &["--orphan-handling=warn"],
    &["--cref"],
    &["--threads=1"],
];

fn seed_of(llvm: u32, link: usize) -> u64 {
    let first: u64 = std::env::var("RELOCATABLE_SEED").map_or(1, |text| text.parse().unwrap());
    u64::from(llvm) * 1_000_000 + first * 10_000 + link as u64
}

/// Where an object stands on the command line: by itself, or in an archive.
fn arranged(bench: &Bench, random: &mut Random, program: &Program) -> Vec<String> {
    let names: Vec<String> = (0..program.sources.len()).map(|n| format!("{n}.o")).collect();
    let archived = random.below(names.len() + 1);
    let (members, files) = names.split_at(archived);
    let mut words = Vec::new();
    if !members.is_empty() && random.below(2) == 0 {
        let how = *random.pick(&["rcs", "rcsT"]);
        let _ = fs::remove_file(bench.path("lib.a"));
        let mut ar = vec![how, "lib.a"];
        ar.extend(members.iter().map(String::as_str));
        bench.ar(&ar);
        match random.below(3) {
            0 => words.extend(["--start-group".into(), "lib.a".into(), "--end-group".into()]),
            _ => words.extend(["--whole-archive".into(), "lib.a".into(), "--no-whole-archive".into()]),
        }
    } else {
        words.extend_from_slice(members);
    }
    match random.below(6) {
        0 if !files.is_empty() => {
            words.push("--start-lib".into());
            words.extend_from_slice(files);
            words.push("--end-lib".into());
            words.push("--undefined=f1_0".into());
        }
        _ => words.extend_from_slice(files),
    }
    words
}

fn compare(bench: &Bench, llvm: u32, link: usize, tally: &mut BTreeMap<String, usize>) {
    let seed = seed_of(llvm, link);
    let random = &mut Random::new(seed);
    let program = generate::program(random);
    let target = format!("--target={}", program.target);
    let mut assemble = vec![target, "-c".to_owned()];
    for (number, text) in program.sources.iter().enumerate() {
        bench.write(&format!("{number}.s"), text);
        assemble.push(format!("{number}.s"));
    }
    bench.run("clang-22", &strs(&assemble)).ok();
    let mut words = vec!["-r".to_owned()];
    words.extend(arranged(bench, random, &program));
    if random.below(3) == 0 {
        let script: &str = SCRIPTS[random.below(SCRIPTS.len())];
        bench.write("script.lds", script);
        words.push("-Tscript.lds".into());
    }
    for _ in 0..random.below(3) {
        words.extend(random.pick(&OPTIONS).iter().map(|word| (*word).to_owned()));
    }
    let inputs = |bench: &Bench| -> Vec<Vec<u8>> {
        (0..program.sources.len())
            .map(|n| bench.read(&format!("{n}.o")))
            .collect()
    };
    let before = inputs(bench);
    words.extend(["-o".into(), "out.o".into()]);
    let made = |outcome: Outcome| {
        let output = fs::read(bench.path("out.o")).ok();
        let map = fs::read(bench.path("map")).ok();
        for file in ["out.o", "map"] {
            let _ = fs::remove_file(bench.path(file));
        }
        // Where lld crashes it says at what addresses.
        let said = outcome.stderr.replace("thinlto-ld", "ld.lld");
        let said = said.split("PLEASE submit a bug report").next().unwrap().to_owned();
        (outcome.status, outcome.stdout, said, output, map)
    };
    let direct = made(bench.direct(&strs(&words)));
    let outcome = bench.through(&strs(&words));
    let relocatable = outcome.stats.last().expect("no stats line")["relocatable"].clone();
    let through = made(outcome);
    assert!(
        direct == through,
        "seed {seed}, LLVM {llvm}, {}: {words:?}: {relocatable}\n{}\n{}",
        program.target,
        direct.2,
        through.2
    );
    assert!(before == inputs(bench), "seed {seed}: an input has changed");
    let what = relocatable["why"].as_str().unwrap_or("renamed");
    let what = what.split([':', '=']).next().unwrap();
    *tally.entry(what.to_owned()).or_default() += 1;
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn random_links_are_as_lld_makes_them() {
    let links = std::env::var("RELOCATABLE_LINKS").map_or(USUAL, |text| text.parse().unwrap());
    for llvm in VERSIONS {
        let mut bench = Bench::of(llvm);
        bench.env("THINLTO_LD_RELOCATABLE", "always");
        let mut tally = BTreeMap::new();
        for link in 0..links {
            compare(&bench, llvm, link, &mut tally);
        }
        eprintln!("LLVM {llvm}: {tally:?}");
        let renamed = tally.get("renamed").copied().unwrap_or_default();
        assert!(renamed * 4 >= links, "{renamed} of {links} were renamed");
    }
}
