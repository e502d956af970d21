//! How the linkers that thinlto-ld starts are told to get their memory, asked of a script that stands before the real one.
//! Knows nothing of what it gains: that is the benchmark's.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use common::Bench;

/// A program of bitcode, an object with nothing in it, and a linker that writes down what it was told.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench
        .compile("thin.c", "int _start(void) { return 0; }\n", &["-O2", "-flto=thin"])
        .compile("native.c", "int _start(void) { return 0; }\n", &["-O2"])
        .compile("none.c", "struct none;\n", &["-O2"]);
    let linker = bench.path("linker");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) ;; *--thinlto-index-only*) link=thin ;; *) link=final ;; esac\n\
         [ -z \"$link\" ] || echo \"$link ${{GLIBC_TUNABLES-unset}}\" >>told\nexec {} \"$@\"\n",
        which::which(bench.lld()).unwrap().display()
    );
    bench.write("linker", &script);
    fs::set_permissions(&linker, Permissions::from_mode(0o755)).unwrap();
    bench.env("THINLTO_LD_LINKER", linker.to_str().unwrap());
    bench
}

/// What the linkers of one link were told, in their order.
fn told(bench: &Bench, first: &str, others: usize) -> Vec<String> {
    let mut words = vec![first, "-o", "out"];
    words.extend(std::iter::repeat_n("none.o", others));
    let _ = fs::remove_file(bench.path("told"));
    bench.through(&words).ok();
    bench.text("told").lines().map(str::to_owned).collect()
}

const HUGE: &str = "glibc.malloc.hugetlb=1";

#[test]
fn a_link_of_many_files_has_its_heap_on_huge_pages() {
    let bench = bench();
    let many = told(&bench, "native.o", 600);
    assert!(
        many[0].starts_with(&format!("final {HUGE}:")) && many.len() == 1,
        "{many:?}"
    );
    assert_eq!(told(&bench, "native.o", 3), ["final unset"]);
    // The thin link has one module to read.
    let many = told(&bench, "thin.o", 600);
    assert_eq!(many[0], "thin unset");
    assert!(
        many[1].starts_with(&format!("final {HUGE}:")) && many.len() == 2,
        "{many:?}"
    );
    assert_eq!(told(&bench, "thin.o", 3), ["thin unset", "final unset"]);
}

#[test]
fn the_users_own_wishes_count_last() {
    let mut bench = bench();
    bench.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0");
    let many = told(&bench, "native.o", 600);
    assert!(
        many[0].starts_with(&format!("final {HUGE}:")) && many[0].ends_with(":glibc.malloc.hugetlb=0"),
        "{many:?}"
    );
    assert_eq!(told(&bench, "native.o", 3), ["final glibc.malloc.hugetlb=0"]);
}

#[test]
fn in_process_the_linker_is_left_as_it_is() {
    let mut bench = bench();
    bench.env("THINLTO_LD_MODE", "in-process");
    assert_eq!(told(&bench, "thin.o", 600), ["final unset"]);
}
