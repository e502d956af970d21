//! `-r` links made with sections renamed: what comes of them is what lld makes of the objects as they are, byte for byte, and
//! where it could not be so nothing is renamed, which has a name. Random links are of native objects and pass through; more of
//! them are made by `RELOCATABLE_LINKS=N`, from another on by `RELOCATABLE_SEED=N`.
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
const USUAL: u64 = 40;

/// Scripts: of other sections, of those that others are linked to, of those that are linked, of all there are.
const SCRIPTS: [&str; 6] = [
    "SECTIONS { .initcall : { *(.initcall0.init) KEEP(*(.initcall1.init)) } }",
    "SECTIONS { .text.s1 : { *(.text.s2 .text.s3) } .map2 : { *(.text.f0_*) } }",
    "SECTIONS { .map : { *(.kcfi_traps) } }",
    "SECTIONS { .all : { *(.text .text.*) } /DISCARD/ : { *(.map) } }",
    "SECTIONS { .some : { *(.text.g*) *(.text.s1) } }",
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

fn compare(bench: &Bench, llvm: u32, link: u64, tally: &mut BTreeMap<String, u64>) {
    let random = &mut Random::new(u64::from(llvm) * 1_000_000 + link);
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
        "RELOCATABLE_SEED={link}, LLVM {llvm}, {}: {words:?}: {relocatable}\n{}\n{}\n{}",
        program.target,
        direct.2,
        through.2,
        program.sources.join("\n\n")
    );
    assert!(before == inputs(bench), "RELOCATABLE_SEED={link}: an input has changed");
    let what = relocatable["why"].as_str().unwrap_or("renamed");
    let what = what.split([':', '=']).next().unwrap();
    *tally.entry(what.to_owned()).or_default() += 1;
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn random_links_are_as_lld_makes_them() {
    let number = |variable, usual| std::env::var(variable).map_or(usual, |text| text.parse().unwrap());
    let (first, links) = (number("RELOCATABLE_SEED", 0), number("RELOCATABLE_LINKS", USUAL));
    for llvm in VERSIONS {
        let mut bench = Bench::of(llvm);
        bench.env("THINLTO_LD_RELOCATABLE", "always");
        let mut tally = BTreeMap::new();
        for link in first..first + links {
            compare(&bench, llvm, link, &mut tally);
        }
        eprintln!("LLVM {llvm}: {tally:?}");
        let renamed = tally.get("renamed").copied().unwrap_or_default();
        assert!(
            links < USUAL || renamed * 4 >= links,
            "{renamed} of {links} were renamed"
        );
    }
}

/// `functions` functions, each with a section of its own in which its entry can be patched.
fn patchable(bench: &Bench, name: &str, functions: usize, more: &[&str]) {
    let text: String = (0..functions)
        .map(|n| format!("int outside(int); int {name}_{n}(int x) {{ return outside(x) + {n}; }}\n"))
        .collect();
    let flags = ["-O1", "-g", "-ffunction-sections", "-fpatchable-function-entry=2,2"];
    bench.compile(&format!("{name}.c"), &text, &[&flags, more].concat());
}

fn relocatable(outcome: &Outcome) -> (u64, &str) {
    let relocatable = &outcome.stats.last().expect("no stats line")["relocatable"];
    let why = relocatable["why"].as_str().unwrap_or_default();
    (relocatable["renamed"].as_u64().unwrap(), why)
}

#[test]
fn native_objects_are_linked_so_where_it_pays() {
    let bench = Bench::new();
    patchable(&bench, "many", 2500, &[]);
    patchable(&bench, "few", 50, &[]);
    let link = |words: &[&str]| {
        bench.direct(&[words, &["-o", "direct.o"]].concat()).ok();
        let outcome = bench.through(&[words, &["-o", "through.o"]].concat()).ok();
        assert_eq!(outcome.mode(), "passthrough");
        assert!(bench.read("direct.o") == bench.read("through.o"), "{words:?}");
        let told = bench
            .run(
                env!("CARGO_BIN_EXE_thinlto"),
                &[&["explain", "--", &bench.lld()], words].concat(),
            )
            .ok();
        let (renamed, why) = relocatable(&outcome);
        (renamed, why.to_owned(), told.stdout)
    };
    let (renamed, _, told) = link(&["-r", "many.o", "few.o"]);
    assert_eq!(renamed, 2550);
    assert!(told.contains("-r        2550 sections are renamed"), "{told}");
    for (words, why) in [
        (&["-r", "few.o"][..], "few sections of one name"),
        (&["-r", "many.o", "--build-id"], "--build-id"),
        (&["-r", "many.o", "-Map=map"], "-Map"),
    ] {
        let (renamed, reason, told) = link(words);
        assert_eq!((renamed, reason.as_str()), (0, why));
        assert!(told.contains(&format!("no sections are renamed: {why}")), "{told}");
    }
    bench.ar(&["rcsT", "thin.a", "many.o", "few.o"]);
    assert_eq!(link(&["-r", "--whole-archive", "thin.a"]).0, 2550);
    bench.write("initcalls.lds", "SECTIONS { .initcall : { *(.initcall0.init) } }");
    assert_eq!(link(&["-r", "many.o", "-T", "initcalls.lds"]).0, 2500);
    bench.write(
        "module.lds",
        "SECTIONS { __patchable_function_entries : { *(__patchable_function_entries) } }",
    );
    let (_, why, _) = link(&["-r", "many.o", "-T", "module.lds"]);
    assert_eq!(why, "linker script: __patchable_function_entries");
}

#[test]
fn a_link_that_fails_says_what_lld_says() {
    let mut bench = Bench::new();
    bench.env("THINLTO_LD_RELOCATABLE", "always");
    patchable(&bench, "one", 3, &[]);
    let words = ["-r", "one.o", "one.o", "-o", "out.o"];
    let (direct, through) = (bench.direct(&words), bench.through(&words));
    assert_eq!(through.stderr.replace("thinlto-ld", "ld.lld"), direct.stderr);
    assert_eq!(
        (through.status, relocatable(&through)),
        (direct.status, (0, "the link failed"))
    );
    let to_nowhere = bench.through(&["-r", "one.o", "-o", "/dev/null"]).ok();
    assert_eq!(relocatable(&to_nowhere), (0, "the output is no file"));
    let left: Vec<String> = bench.objects(".thinlto-ld").into_keys().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn objects_of_bitcode_are_linked_so() {
    for llvm in VERSIONS {
        let mut bench = Bench::of(llvm);
        patchable(&bench, "a", 40, &["-flto=thin"]);
        patchable(&bench, "b", 40, &["-flto=thin"]);
        patchable(&bench, "native", 5, &[]);
        let words = ["-r", "a.o", "native.o", "b.o", "-o"];
        let link = |bench: &Bench, output: &str| {
            let outcome = bench.through(&[&words[..], &[output]].concat()).ok();
            assert_eq!(outcome.mode(), "distributed", "{}", outcome.reason());
            let (renamed, why) = relocatable(&outcome);
            (renamed, why.to_owned())
        };
        assert_eq!(link(&bench, "few.o"), (0, "few sections of one name".to_owned()));
        bench.env("THINLTO_LD_RELOCATABLE", "always");
        assert_eq!(link(&bench, "renamed.o"), (85, String::new()));
        assert!(bench.read("few.o") == bench.read("renamed.o"));
    }
}

#[test]
fn a_link_made_so_is_put_back_until_an_input_changes() {
    let mut bench = Bench::new();
    bench
        .env("THINLTO_LD_RELOCATABLE", "always")
        .env("THINLTO_LD_UNCHANGED", "restore");
    patchable(&bench, "a", 4, &["-flto=thin"]);
    patchable(&bench, "native", 4, &[]);
    // Old enough for a link to know what it read.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let state = |bench: &Bench| {
        let outcome = bench.through(&["-r", "a.o", "native.o", "-o", "out.o"]).ok();
        outcome.stats.last().unwrap()["output_state"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(state(&bench), "linked");
    assert_eq!(state(&bench), "restored");
    patchable(&bench, "native", 5, &[]);
    assert_eq!(state(&bench), "linked");
}
