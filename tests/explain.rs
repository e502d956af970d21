//! `thinlto explain`: what it says of inputs, options and the route, and that it makes nothing.
//! Knows nothing of the links themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;

use common::{Bench, Outcome};
use serde_json::Value;

const THINLTO: &str = env!("CARGO_BIN_EXE_thinlto");

fn explain(bench: &Bench, words: &[&str]) -> Value {
    let mut all = vec!["explain", "--json", "--"];
    all.extend(words);
    let outcome = run(bench, &all).ok();
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// As a user would: without the mode that tests have.
fn run(bench: &Bench, words: &[&str]) -> Outcome {
    let output = bench
        .command(THINLTO, words)
        .env_remove("THINLTO_LD_MODE")
        .output()
        .unwrap();
    bench.outcome(&output)
}

fn input<'v>(explanation: &'v Value, path: &str) -> &'v Value {
    let inputs = explanation["inputs"].as_array().unwrap();
    inputs
        .iter()
        .find(|input| input["path"].as_str().unwrap() == path)
        .unwrap_or_else(|| panic!("{path} is not among {inputs:#?}"))
}

fn option<'v>(explanation: &'v Value, spelled: &str) -> &'v Value {
    let options = explanation["options"].as_array().unwrap();
    options
        .iter()
        .find(|option| option["option"] == spelled)
        .unwrap_or_else(|| panic!("{spelled}: {options:#?}"))
}

fn words(option: &Value) -> Vec<&str> {
    option["words"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect()
}

/// One of each sort of input.
fn inputs() -> Bench {
    let bench = Bench::new();
    let f = |name: &str| format!("int {name}(void) {{ return 1; }}\n");
    bench
        .compile("thin.c", "int main(void) { return 0; }\n", &["-flto=thin"])
        .compile("regular.c", &f("regular"), &["-flto=full"])
        .compile("fat.c", &f("fat"), &["-flto=thin", "-ffat-lto-objects"])
        .compile("native.c", &f("native"), &[])
        .compile(
            "split.cc",
            "struct S { virtual int f(); }; int S::f() { return 1; }\n",
            &[
                "-flto=thin",
                "-fsplit-lto-unit",
                "-fvisibility=hidden",
                "-fwhole-program-vtables",
            ],
        )
        .compile("m1.c", &f("m1"), &["-flto=thin"])
        .ar(&["rc", "libmixed.a", "m1.o", "native.o"])
        .ar(&["rc", "libnative.a", "native.o"])
        .write("names.ld", "INPUT(thin.o)\n");
    bench.clang(&["-shared", "-o", "libshared.so", "native.o"]);
    bench
}

#[test]
fn every_input_by_what_it_is_and_what_becomes_of_it() {
    let bench = inputs();
    let all = [
        "ld.lld-22",
        "--fat-lto-objects",
        "names.ld",
        "regular.o",
        "fat.o",
        "native.o",
        "split.o",
        "libmixed.a",
        "-L.",
        "-lshared",
        "libnative.a",
        "--start-lib",
        "m1.o",
        "--end-lib",
        "-o",
        "out",
    ];
    let explanation = explain(&bench, &all);
    assert_eq!(explanation["route"], "distributed", "{explanation:#}");
    let kinds = [
        ("thin.o", "thin"),
        ("regular.o", "regular"),
        ("fat.o", "fat"),
        ("native.o", "native"),
        ("split.o", "split"),
        ("libmixed.a", "archive"),
        ("./libshared.so", "shared library"),
        ("names.ld", "script"),
    ];
    for (path, kind) in kinds {
        assert_eq!(input(&explanation, path)["kind"], kind, "{path}");
    }
    let mixed = input(&explanation, "libmixed.a");
    assert_eq!(
        (mixed["members"].as_u64(), mixed["bitcode_members"].as_u64()),
        (Some(2), Some(1))
    );
    assert!(
        mixed["treatment"]
            .as_str()
            .unwrap()
            .contains("rebuilt with native members")
    );
    assert!(
        input(&explanation, "libnative.a")["treatment"]
            .as_str()
            .unwrap()
            .contains("no bitcode")
    );
    assert_eq!(input(&explanation, "thin.o")["from"], "names.ld");
    assert_eq!(input(&explanation, "./libshared.so")["from"], "-lshared");
    assert!(
        input(&explanation, "m1.o")["treatment"]
            .as_str()
            .unwrap()
            .contains("--start-lib")
    );
    assert!(
        input(&explanation, "thin.o")["producer"]
            .as_str()
            .unwrap()
            .contains("22")
    );
    assert!(!bench.path("out").exists() && bench.leftovers().is_empty());
    assert!(!bench.path("stats.json").exists());
}

#[test]
fn every_option_by_what_it_comes_to_in_a_backend() {
    let bench = inputs();
    let line = [
        "ld.lld-22",
        "thin.o",
        "--lto-O3",
        "--lto-O1",
        "-plugin-opt=mcpu=skylake",
        "-mllvm",
        "-enable-misched=0",
        "--thinlto-jobs=3",
        "--thinlto-ld-cache=off",
    ];
    let explanation = explain(&bench, &line);
    assert_eq!(option(&explanation, "--lto-O3")["meaning"], "overridden");
    assert!(words(option(&explanation, "--lto-O1"))[0].contains("-O1 to optimise, -O2 to generate code"));
    assert_eq!(
        words(option(&explanation, "-plugin-opt=mcpu=skylake")),
        ["-target-cpu", "skylake"]
    );
    assert_eq!(
        words(option(&explanation, "-mllvm -enable-misched=0")),
        ["-mllvm", "-enable-misched=0"]
    );
    assert_eq!(option(&explanation, "--thinlto-jobs=3")["meaning"], "nothing");
    assert_eq!(explanation["cache"], Value::Null);
    assert!(
        explanation["slots"].as_str().unwrap().contains('3'),
        "{}",
        explanation["slots"]
    );
    assert_eq!(explanation["backend"].as_array().unwrap().len(), 2);
}

#[test]
fn where_objects_are_kept_or_why_nowhere() {
    let mut bench = inputs();
    let of = |bench: &Bench, more: &[&str]| {
        let explanation = explain(bench, &[&["ld.lld-22", "thin.o"], more].concat());
        [&explanation["cache"], &explanation["cache_off"]].map(|value| value.as_str().map(str::to_owned))
    };
    let ours = bench.path("cache/thinlto-ld").display().to_string();
    let kept = "--thinlto-cache-dir=kept";
    for (more, cache, off) in [
        (&[][..], Some(ours.as_str()), None),
        (&[kept], Some("kept"), None),
        (&["--time-trace"], None, Some("time-trace")),
        (&[kept, "--time-trace"], Some("kept"), None),
        (&[kept, "--save-temps"], None, Some("save-temps")),
        (&[kept, "--thinlto-ld-cache=off"], None, None),
        (&[kept, "--thinlto-ld-cache-dir=mine"], Some("mine"), None),
    ] {
        assert_eq!(
            of(&bench, more),
            [cache, off].map(|text| text.map(str::to_owned)),
            "{more:?}"
        );
    }
    let text = run(&bench, &["explain", "--", "ld.lld-22", "thin.o", "--save-temps"])
        .ok()
        .stdout;
    assert!(text.contains("\ncache     off: save-temps\n"), "{text}");
    bench.env("XDG_CACHE_HOME", "").env("HOME", "");
    assert_eq!(of(&bench, &[]), [None, Some("cache-no-home".to_owned())]);
    assert!(!bench.path("kept").exists() && !bench.path("mine").exists());
}

#[test]
fn why_a_link_is_not_distributed() {
    let bench = inputs();
    let lines: [(&[&str], &str, &str); 5] = [
        (&["ld.lld-22", "native.o"], "passthrough", "no ThinLTO bitcode"),
        (&["ld.lld-22", "regular.o"], "passthrough", "only regular"),
        (&["ld.lld-22", "--version"], "passthrough", "nothing to link"),
        (
            &["ld.lld-22", "thin.o", "--lto-emit-asm"],
            "in-process",
            "--lto-emit-asm",
        ),
        (&["ld.lld-22", "thin.o", "missing.o"], "in-process", "missing.o"),
    ];
    for (line, route, reason) in lines {
        let explanation = explain(&bench, line);
        assert_eq!(explanation["route"], route, "{line:?}");
        assert!(
            explanation["reason"].as_str().unwrap().contains(reason),
            "{line:?}: {}",
            explanation["reason"]
        );
    }
}

#[test]
fn a_drivers_line_a_saved_one_and_the_text_people_read() {
    let bench = inputs();
    bench.write(
        ".out.cmd",
        "savedcmd_out := ld.lld-22 -r -o out 'thin.o' ; ./objtool out\n",
    );
    for line in [
        &["clang-22", "-flto=thin", "-fuse-ld=lld", "thin.o"][..],
        &[".out.cmd"],
        &["@.out.cmd"],
    ] {
        let mut all = vec!["explain", "--"];
        all.extend(line);
        let text = run(&bench, &all).ok().stdout;
        assert!(text.starts_with("route     distributed\n"), "{text}");
        assert!(text.contains(" thin: ThinLTO bitcode: a backend of its own"), "{text}");
        assert!(text.contains("\nevery backend\n  clang -cc1 "), "{text}");
    }
    let compiles = run(
        &bench,
        &["explain", "--", "clang-22", "-flto=thin", "-fuse-ld=lld", "thin.c"],
    );
    assert_eq!(compiles.status, 1);
    assert!(compiles.stderr.contains("also compiles"), "{}", compiles.stderr);
    assert!(!fs::exists(bench.path("a.out")).unwrap());
    let other = run(&bench, &["explain", "--", "true", "thin.o"]);
    assert!(other.stderr.contains("neither ld.lld nor clang"), "{}", other.stderr);
}
