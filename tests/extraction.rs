//! References that LTO optimizes away still count, as in-process: which members are linked, and whose weak definition wins.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Bench;

const THIN: &[&str] = &["-flto=thin", "-O2"];
const NATIVE: &[&str] = &["-O2"];

const MAIN: &str = "int zero(void), foo(void), call_bar(void); int printf(const char *, ...);\n\
                    int main(void) { if (zero()) foo(); printf(\"bar=%d\\n\", call_bar()); return 0; }\n";
const ZERO: &str = "int zero(void) { return 0; }\n";
/// Defines what main's lost reference is to, and a weak bar.
const MEMBER: &str = "int puts(const char *); __attribute__((constructor)) static void hello(void) { puts(\"member\"); }\n\
                      int foo(void) { return 3; } __attribute__((weak)) int bar(void) { return 1; }\n";
const OTHER_BAR: &str = "__attribute__((weak)) int bar(void) { return 2; } int call_bar(void) { return bar(); }\n";

fn bench() -> Bench {
    let bench = Bench::new();
    bench
        .compile("main.c", MAIN, THIN)
        .compile("b.c", ZERO, THIN)
        .compile("m.c", MEMBER, THIN)
        .compile("mn.c", MEMBER, NATIVE)
        .compile("n.c", OTHER_BAR, NATIVE)
        .compile("z.c", "int foo(void); int keep(void) { return foo(); }\n", NATIVE);
    bench
        .ar(&["rc", "libx.a", "m.o"])
        .ar(&["rc", "libn.a", "mn.o"])
        .ar(&["rc", "libmixed.a", "m.o", "z.o"]);
    bench
}

#[test]
fn a_lost_reference_takes_its_member_where_it_stood() {
    let bench = bench();
    for words in [
        &["main.o", "b.o", "libx.a", "n.o"][..],
        &["main.o", "b.o", "libn.a", "n.o"],
        &["main.o", "b.o", "libx.a", "n.o", "z.o"],
        &["libx.a", "main.o", "b.o", "n.o"],
        &["main.o", "b.o", "-Wl,--start-lib", "m.o", "-Wl,--end-lib", "n.o"],
        &["-Wl,--start-lib", "m.o", "-Wl,--end-lib", "main.o", "b.o", "n.o"],
        &["main.o", "b.o", "libmixed.a", "n.o"],
    ] {
        bench.both("clang", words);
        let expected = bench.output_of("in.out");
        assert_eq!(expected, "member\nbar=1\n", "{words:?}");
        assert_eq!(bench.output_of("our.out"), expected, "{words:?}");
    }
    let last = &["main.o", "b.o", "n.o", "libn.a"];
    bench.both("clang", last);
    let expected = bench.output_of("in.out");
    bench.both_print(&expected);
}

#[test]
fn archives_named_twice_are_one() {
    let bench = bench();
    for words in [
        &["main.o", "b.o", "libn.a", "libn.a", "n.o"][..],
        &["main.o", "b.o", "libx.a", "libn.a", "libx.a", "libn.a", "n.o"],
        &["main.o", "b.o", "n.o", "libx.a", "-lm", "libx.a"],
    ] {
        bench.both("clang", words);
        let expected = bench.output_of("in.out");
        bench.both_print(&expected);
    }
    bench.compile(
        "cpu.c",
        "int zero(void); int main(void) { return __builtin_cpu_supports(\"avx2\") ? zero() : 0; }\n",
        THIN,
    );
    bench.both("clang", &["cpu.o", "b.o"]);
    bench.both_print("");
}

#[test]
fn a_chain_of_lost_references_brings_every_link_of_it() {
    let bench = Bench::new();
    let hello = |name: &str, next: &str| {
        format!(
            "int puts(const char *); int zero(void); {next}\n\
             __attribute__((constructor)) static void hello(void) {{ puts(\"{name}\"); }}\n"
        )
    };
    bench
        .compile(
            "main.c",
            "int zero(void), a(void); int main(void) { return zero() ? a() : 0; }\n",
            THIN,
        )
        .compile("zero.c", ZERO, THIN)
        .compile(
            "a.c",
            &hello("a", "int b(void); int a(void) { return zero() ? b() : 1; }"),
            THIN,
        )
        .compile(
            "b.c",
            &hello("b", "int c(void); int b(void) { return zero() ? c() : 1; }"),
            THIN,
        )
        .compile("c.c", &hello("c", "int c(void) { return 1; }"), NATIVE);
    bench
        .ar(&["rc", "liba.a", "a.o"])
        .ar(&["rc", "libb.a", "b.o"])
        .ar(&["rc", "libc_.a", "c.o"]);
    for words in [
        &["main.o", "zero.o", "liba.a", "libb.a", "libc_.a"][..],
        &["libc_.a", "libb.a", "liba.a", "main.o", "zero.o"],
    ] {
        bench.both("clang", words);
        let mut expected: Vec<_> = bench.output_of("in.out").lines().map(str::to_owned).collect();
        let mut got: Vec<_> = bench.output_of("our.out").lines().map(str::to_owned).collect();
        expected.sort();
        got.sort();
        assert_eq!(got, expected, "{words:?}");
        assert_eq!(got, ["a", "b", "c"]);
    }
}

/// The object that holds the references must not cost the output what all its objects say of branch protection.
#[test]
fn branch_protection_survives() {
    let flags = &["-flto=thin", "-O2", "-fcf-protection=full"];
    let bench = Bench::new();
    bench
        .compile(
            "main.c",
            "int zero(void), foo(void); void _start(void) { if (zero()) foo(); }\n",
            flags,
        )
        .compile("b.c", ZERO, flags)
        .compile("m.c", "int foo(void) { return 3; }\n", flags)
        .ar(&["rc", "libx.a", "m.o"]);
    // Not with --lto-obj-path, which brings in an empty object that says nothing of branch protection.
    let words = ["main.o", "b.o", "libx.a", "-z", "force-ibt", "--fatal-warnings"];
    bench.direct(&[&["-o", "in.out"], &words[..]].concat()).ok();
    let ours = bench.through(&[&["-o", "our.out"], &words[..]].concat()).ok();
    assert_eq!(ours.mode(), "distributed");
    let notes = |file: &str| bench.run("llvm-readelf-22", &["-n", file]).ok().stdout;
    assert!(notes("in.out").contains("IBT"));
    assert_eq!(notes("our.out"), notes("in.out"));
}

#[test]
fn exclude_libs_keeps_what_a_lost_reference_brings_out_of_the_abi() {
    let bench = Bench::new();
    bench
        .compile(
            "sh.c",
            "int zero(void), foo(void); int api(void) { return zero() ? foo() : 1; }\n",
            &["-flto=thin", "-O2", "-fPIC"],
        )
        .compile(
            "b.c",
            "__attribute__((visibility(\"hidden\"))) int zero(void) { return 0; }\n",
            &["-flto=thin", "-O2", "-fPIC"],
        )
        .compile("mn.c", "int foo(void) { return 3; }\n", &["-O2", "-fPIC"])
        .ar(&["rc", "libn.a", "mn.o"]);
    bench.both(
        "clang",
        &[
            "-shared",
            "-nostdlib",
            "sh.o",
            "b.o",
            "libn.a",
            "-Wl,--exclude-libs=ALL",
        ],
    );
    let exported = |file: &str| {
        bench
            .run("llvm-nm-22", &["-D", "--defined-only", "--format=just-symbols", file])
            .ok()
            .stdout
    };
    assert_eq!(exported("in.out"), "api\n");
    assert_eq!(exported("our.out"), "api\n");
}

/// A script given by `-T` says where things go, and which inputs: it stays without them, as the final link names them itself.
#[test]
fn a_layout_script_that_names_bitcode_is_linked() {
    let bench = bench();
    bench.write(
        "s.ld",
        "INPUT(main.o b.o n.o libn.a) SECTIONS { . = 0x5000000; .mytext : { *(.text*) } }\n",
    );
    let words = [
        "-T",
        "s.ld",
        "-e",
        "main",
        "-o",
        "our.out",
        "--unresolved-symbols=ignore-all",
    ];
    let ours = bench.through(&words).ok();
    assert_eq!(ours.mode(), "distributed");
    let sections = bench.run("llvm-readelf-22", &["-S", "our.out"]).ok().stdout;
    assert!(sections.contains(".mytext") && sections.contains("5000"), "{sections}");
}
