//! How the linkers that thinlto-ld starts are told to get their memory, asked of a script that stands before the real one.
//! Knows nothing of what it gains: that is the benchmark's.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;

use common::Bench;

/// A program, as bitcode and as it is, an object with nothing in it, and a linker that writes down what it was told.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let source = "int _start(void) { return 0; }\n";
    bench
        .compile("thin.c", source, &["-O2", "-flto=thin"])
        .compile("native.c", source, &["-O2"])
        .compile("none.c", "struct none;\n", &["-O2"]);
    let script = format!(
        "#!/bin/sh\nlink=\ncase \"$*\" in *--version*) ;; *--thinlto-index-only*) link=thin ;; *) link=final ;; esac\n\
         [ -z \"$link\" ] || echo \"$link ${{GLIBC_TUNABLES-nothing}}\" >>told\nexec {} \"$@\"\n",
        which::which(bench.lld()).unwrap().display()
    );
    let linker = bench.write_program("linker", &script);
    bench.env("THINLTO_LD_LINKER", linker.to_str().unwrap());
    bench
}

/// Which linkers one link has started, and what each was told of memory.
fn told(bench: &Bench, first: &str, others: &[String]) -> Vec<String> {
    let mut words = vec![first, "-o", "out"];
    words.extend(others.iter().map(String::as_str));
    let _ = fs::remove_file(bench.path("told"));
    bench.through(&words).ok();
    let told = bench.text("told");
    let brief = |line: &str| match line.split_once(' ').unwrap() {
        (link, all) if all.contains("glibc.malloc.hugetlb=1:") && all.ends_with("glibc.malloc.top_pad=8388608") => {
            format!("{link} huge")
        }
        (link, other) => format!("{link} {other}"),
    };
    told.lines().map(brief).collect()
}

fn nothing(times: usize) -> Vec<String> {
    vec!["none.o".to_owned(); times]
}

/// As many modules of bitcode.
fn modules(bench: &Bench, count: usize) -> Vec<String> {
    let thin = bench.read("module.o");
    let names: Vec<String> = (0..count).map(|n| format!("m{n}.o")).collect();
    for name in &names {
        bench.write_bytes(name, &thin);
    }
    names
}

#[test]
fn a_link_of_many_files_has_its_heap_on_huge_pages() {
    let bench = bench();
    assert_eq!(told(&bench, "native.o", &nothing(511)), ["final huge"]);
    assert_eq!(told(&bench, "native.o", &nothing(510)), ["final nothing"]);
    // The thin link has one module to read.
    assert_eq!(told(&bench, "thin.o", &nothing(511)), ["thin nothing", "final huge"]);
    assert_eq!(told(&bench, "thin.o", &nothing(3)), ["thin nothing", "final nothing"]);
}

#[test]
fn a_module_and_its_object_are_one_file() {
    let bench = bench();
    bench.compile("module.c", "static int unused;\n", &["-O2", "-flto=thin"]);
    let all = modules(&bench, 511);
    assert_eq!(told(&bench, "thin.o", &all[..510]), ["thin nothing", "final nothing"]);
    assert_eq!(told(&bench, "thin.o", &all), ["thin huge", "final huge"]);
}

#[test]
fn what_the_user_has_told_malloc_is_not_added_to() {
    let mut bench = bench();
    let wish = "glibc.malloc.hugetlb=0";
    bench.env("GLIBC_TUNABLES", wish);
    assert_eq!(told(&bench, "native.o", &nothing(600)), [format!("final {wish}")]);
}

#[test]
fn in_process_the_linker_is_left_as_it_is() {
    let mut bench = bench();
    bench.env("THINLTO_LD_MODE", "auto");
    let many = nothing(600);
    let in_process = [many.as_slice(), &["--lto-emit-asm".to_owned()]].concat();
    assert_eq!(told(&bench, "thin.o", &in_process), ["final nothing"]);
    bench.env("THINLTO_LD_MODE", "in-process");
    assert_eq!(told(&bench, "thin.o", &many), ["final nothing"]);
    assert_eq!(told(&bench, "native.o", &many), ["final nothing"]);
}
