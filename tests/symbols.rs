//! What a link exports, needs and lays out where: as in-process lld does.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Bench;
use common::pairs::{bench, exported, names, pair, symbols};
use object::{Object, ObjectSection, ObjectSymbol};

/// lld holds a version script against what bitcode defines, also where LTO then leaves nothing of it: Linux's vDSO for riscv64
/// is linked so.
#[test]
fn versions_of_what_is_optimised_away() {
    let bench = Bench::new();
    bench
        .compile(
            "lib.c",
            "__attribute__((visibility(\"hidden\"))) int gone(void) { return 1; }\nint kept(void) { return 2; }\n",
            &["-O2", "-fPIC", "-flto=thin"],
        )
        .write("versions", "V1 { global: gone; kept; local: *; };\n")
        .write(
            "script.lds",
            "SECTIONS { .text : { *(.text*) } } VERSION { V1 { global: gone; kept; local: *; }; }\n",
        )
        .write("more", "V1 { global: gone; kept; nosuch; local: *; };\n");
    for words in [
        &["-shared", "lib.o", "--version-script=versions"][..],
        &["-shared", "lib.o", "-T", "script.lds"],
    ] {
        bench.both_bare(words);
        for output in ["in.out", "our.out"] {
            let symbols = names(&bench, output);
            assert!(
                symbols.contains("kept") && !symbols.contains("gone"),
                "{output}: {symbols:?}"
            );
        }
    }
    // What never was there is still refused, in lld's words.
    let words = ["-shared", "lib.o", "--version-script=more", "-o", "out"];
    let (inside, ours) = (bench.direct(&words), bench.through(&words));
    assert!(inside.stderr.contains("nosuch"), "{}", inside.stderr);
    assert_eq!((ours.status, ours.stderr), (inside.status, inside.stderr));
}

/// What is hidden to one file of a link is hidden in it, though nothing is left of the reference, and though a native object
/// or assembly defines the symbol.
#[test]
fn visibility_that_only_bitcode_asks_for() {
    let bench = Bench::new();
    let (thin, native) = (["-O2", "-fPIC", "-flto=thin"], ["-O2", "-fPIC"]);
    bench
        .compile(
            "weak.c",
            "__attribute__((weak, visibility(\"hidden\"))) int n(int x) { return x; }\n\
             extern int asked __attribute__((visibility(\"hidden\")));\n\
             extern int guarded __attribute__((visibility(\"protected\")));\n\
             int seen(int x) { return x ? 1 : asked + guarded ? 1 : 1; }\n",
            &thin,
        )
        .compile(
            "n.c",
            "int n(int x) { return x + 1; }\nint asked = 1;\nint guarded;\nint open;\n",
            &native,
        )
        .compile(
            "assembled.c",
            "asm(\".globl made\\nmade: ret\\n.type made,@function\");\nint other(void) { return 4; }\nint wide(void) { return 5; }\n",
            &thin,
        )
        .compile(
            "hides.c",
            "void made(void) __attribute__((visibility(\"hidden\")));\n\
             int wide(void) __attribute__((visibility(\"hidden\")));\n\
             static void unused(void) { made(); wide(); }\nint third(int x) { if (0 * x) unused(); return 3; }\n",
            &["-O0", "-Xclang", "-disable-O0-optnone", "-fPIC", "-flto=thin"],
        );
    for words in [
        &["-shared", "weak.o", "n.o", "assembled.o", "hides.o"][..],
        &["-r", "weak.o", "n.o", "assembled.o", "hides.o"],
        &["-shared", "weak.o", "n.o", "hides.o", "--defsym=made=third"],
        &[
            "-shared",
            "weak.o",
            "hides.o",
            "--defsym=n=seen",
            "--defsym=made=n",
            "--defsym",
            "asked=0",
            "--defsym=guarded=0",
        ],
        &[
            "-shared",
            "-O0",
            "n.o",
            "--start-lib",
            "weak.o",
            "--end-lib",
            "-u",
            "seen",
            "hides.o",
            "assembled.o",
        ],
    ] {
        let (_, ours) = pair(&bench, words, &[]);
        let visibilities = |file: &str| {
            let bytes = bench.read(file);
            let file = object::File::parse(&*bytes).unwrap();
            let symbols = file
                .symbols()
                .filter(|symbol| !symbol.is_local() || symbol.is_definition());
            let symbols = symbols.filter_map(|symbol| match symbol.flags() {
                object::SymbolFlags::Elf { st_other, .. } => Some((symbol.name().unwrap().to_owned(), st_other & 3)),
                _ => None,
            });
            symbols
                .filter(|(name, _)| {
                    ["n", "asked", "guarded", "open", "made", "seen", "third", "wide"].contains(&name.as_str())
                })
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        let (inside, out) = (visibilities("in/out"), visibilities("our/out"));
        assert_eq!(out, inside, "{words:?}");
        assert!(inside.values().any(|visibility| *visibility == 2), "{inside:?}");
        assert_eq!(ours.mode(), "distributed");
        assert_eq!(exported(&bench, "our/out"), exported(&bench, "in/out"), "{words:?}");
    }
}

#[test]
fn what_is_exported() {
    let bench = bench();
    bench
        .write("versions", "V1 { global: g; same1; local: *; };\n")
        .write("list", "{ same2; data; };\n");
    for (words, some, none) in [
        (&["-shared", "main.o", "libx.a"][..], "g", "unused"),
        (&["-shared", "main.o", "libx.a", "--exclude-libs=libx.a"], "same1", "g"),
        (&["-shared", "main.o", "-L.", "-lx", "--exclude-libs=ALL"], "same1", "g"),
        (
            &[
                "-shared",
                "main.o",
                "--whole-archive",
                "libx.a",
                "--exclude-libs=libx.a",
            ],
            "same1",
            "unused",
        ),
        (
            &[
                "-shared",
                "main.o",
                "--start-lib",
                "g.o",
                "n.o",
                "--end-lib",
                "--exclude-libs=ALL",
            ],
            "g",
            "unused",
        ),
        (
            &["-shared", "main.o", "libx.a", "--version-script=versions"],
            "g",
            "same2",
        ),
        (&["-pie", "main.o", "libx.a", "--export-dynamic"], "same2", "unused"),
        (&["-pie", "main.o", "libx.a", "--dynamic-list=list"], "same2", "same1"),
        (&["-pie", "main.o", "libx.a", "--export-dynamic-symbol=g"], "g", "same1"),
        (
            &["-shared", "main.o", "libx.a", "--retain-symbols-file=list"],
            "g",
            "unused",
        ),
    ] {
        pair(&bench, words, &[]);
        let ours = exported(&bench, "our/out");
        assert_eq!(ours, exported(&bench, "in/out"), "{words:?}");
        let has = |name: &str| ours.iter().any(|s| s == name);
        assert!(has(some) && !has(none), "{words:?}: {ours:?}");
    }
}

/// A library is needed if the code that is left refers to it, whatever the bitcode did.
#[test]
fn libraries_needed_under_as_needed() {
    for llvm in [22, 19, 16] {
        let bench = Bench::of(llvm);
        bench
            .compile("gone.c", "int gone(void) { return 1; }\n", &["-fPIC"])
            .compile("kept.c", "int kept(void) { return 1; }\n", &["-fPIC"])
            .compile(
                "main.c",
                "int gone(void), kept(void); static int never(void) { return 0; } __attribute__((weak)) int weak(void);\n\
                 int main(void) { return never() ? gone() + weak() : kept(); }\n",
                &["-flto=thin", "-O0", "-Xclang", "-disable-O0-optnone", "-fPIC"],
            );
        for name in ["gone", "kept"] {
            let (object, soname) = (format!("{name}.o"), format!("-soname={name}.so"));
            bench
                .direct(&["-shared", &object, &soname, "-o", &format!("{name}.so")])
                .ok();
        }
        for more in [
            &["--as-needed"][..],
            &["--as-needed", "--gc-sections"],
            &[],
            &["-pie", "--as-needed"],
        ] {
            let mut words = more.to_vec();
            words.extend(["main.o", "gone.so", "kept.so"]);
            pair(&bench, &words, &[]);
            let needed = |file: &str| {
                let text = bench.run(format!("llvm-readelf-{llvm}"), &["-d", file]).ok().stdout;
                let found: Vec<_> = text
                    .lines()
                    .filter(|line| line.contains("(NEEDED)"))
                    .map(str::to_owned)
                    .collect();
                found
            };
            assert_eq!(needed("our/out"), needed("in/out"), "LLVM {llvm} {more:?}");
        }
    }
}

/// Sections in which symbols are counted: their order is that in which files were read, and that is another. (So is that
/// of the PLT, which is why the shared library here is linked `-Bsymbolic`.)
const NUMBERED: [&str; 8] = [
    ".symtab",
    ".strtab",
    ".dynsym",
    ".dynstr",
    ".gnu.hash",
    ".hash",
    ".gnu.version",
    ".llvm_addrsig",
];

#[test]
fn layout_of_sections_in_the_order_of_in_process_lld() {
    let mut bench = bench();
    bench.write("order", "same2\ng\nmain\n");
    bench.env("THINLTO_LD_ORDER", "in-process");
    for words in [
        &["main.o", "n.o", "libx.a"][..],
        &["main.o", "--whole-archive", "libx.a"],
        &["-shared", "-Bsymbolic", "main.o", "n.o", "libx.a"],
        &[
            "-pie",
            "main.o",
            "n.o",
            "libx.a",
            "--gc-sections",
            "--icf=all",
            "--symbol-ordering-file=order",
        ],
        &["-r", "main.o", "--whole-archive", "libx.a"],
    ] {
        pair(&bench, words, &[]);
        let contents = |file: &str| {
            let bytes = bench.read(file);
            let file = object::File::parse(&*bytes).unwrap();
            let sections: Vec<_> = file
                .sections()
                .map(|s| (s.name().unwrap().to_owned(), s.address(), s.data().unwrap().to_vec()))
                .collect();
            sections
        };
        let (ours, inside) = (contents("our/out"), contents("in/out"));
        assert_eq!(ours.len(), inside.len());
        for ((name, address, ours), (called, stands, inside)) in ours.into_iter().zip(inside) {
            assert_eq!((&name, address), (&called, stands), "{words:?}");
            // Relocations name symbols by number.
            if !NUMBERED.contains(&name.as_str()) && !name.starts_with(".rela") {
                assert_eq!(ours, inside, "{name} of {words:?}");
            }
        }
        assert_eq!(exported(&bench, "our/out"), exported(&bench, "in/out"));
        assert_eq!(names(&bench, "our/out"), names(&bench, "in/out"));
    }
}

#[test]
fn symbols_in_the_order_asked_for() {
    let bench = bench();
    bench.write("order", "same2\ng\nmain\nsame1\n");
    pair(&bench, &["main.o", "libx.a", "--symbol-ordering-file=order"], &[]);
    let at = symbols(&bench, "our/out");
    assert!(
        at["same2"] < at["g"] && at["g"] < at["main"] && at["main"] < at["same1"],
        "{at:?}"
    );
}
