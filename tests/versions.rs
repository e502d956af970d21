//! LLVM 23, 22, 19 and 16 behind thinlto-ld: a C++ program and a library of each, distributed, run, and compared.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;

use common::Bench;
use object::{Object, ObjectSection};

const VERSIONS: [u32; 4] = [23, 22, 19, 16];

/// A program with virtual functions, exceptions, templates, thread-local and static data, over an archive.
fn program(llvm: u32, flags: &[&str]) -> Bench {
    let bench = Bench::of(llvm);
    let compile = |name: &str, text: &str| {
        bench.compile(name, text, flags);
    };
    bench.write(
        "shape.h",
        "#include <stdexcept>\n#include <string>\n#include <memory>\n#include <vector>\n\
         struct Shape { virtual ~Shape(); virtual int area() const = 0; virtual std::string name() const { return \"shape\"; } };\n\
         struct Bad : std::runtime_error { int code; explicit Bad(int c); ~Bad() override; };\n\
         std::unique_ptr<Shape> make(int kind); extern thread_local int made; extern const char *const names[];\n",
    );
    compile(
        "square.cc",
        "#include \"shape.h\"\nstruct Square : Shape { int a; explicit Square(int n) : a(n) {} int area() const override { return a * a; } \
         std::string name() const override { return names[0]; } };\n\
         thread_local int made; const char *const names[] = {\"square\", \"round\"};\n\
         std::unique_ptr<Shape> make(int kind) { ++made; if (kind < 0) throw Bad(kind); return std::make_unique<Square>(kind); }\n",
    );
    compile(
        "bad.cc",
        "#include \"shape.h\"\nShape::~Shape() {}\nBad::Bad(int c) : std::runtime_error(\"bad \" + std::to_string(c)), code(c) {}\nBad::~Bad() {}\n",
    );
    compile(
        "main.cc",
        "#include \"shape.h\"\n#include <cstdio>\n#include <algorithm>\n\
         template <class F> static int guarded(F f) { try { return f(); } catch (const Bad &b) { return b.code * 100; } }\n\
         int main(int argc, char **) { std::vector<int> all; for (int i = 3 * argc; i > -2; --i) \
         all.push_back(guarded([&] { return make(i)->area(); })); std::sort(all.begin(), all.end());\n\
         for (int n : all) std::printf(\"%d \", n); std::printf(\"%d %s\\n\", made, make(1)->name().c_str()); }\n",
    );
    bench.ar(&["rc", "libshape.a", "square.o", "bad.o"]);
    bench
}

const PRINTS: &str = "-100 0 1 4 9 5 square\n";

/// Sections of backends' objects that differ, but for debug info and what is numbered by it.
fn differing_sections(bench: &Bench) -> Vec<String> {
    let mut found = Vec::new();
    for number in bench.differing_objects() {
        let (inside, ours) = (
            bench.read(&format!("in.P{number}")),
            bench.read(&format!("our.P{number}")),
        );
        let (inside, ours) = (
            object::File::parse(&*inside).unwrap(),
            object::File::parse(&*ours).unwrap(),
        );
        let sections = |file: &object::File<'_>| -> Vec<(String, Vec<u8>)> {
            let all = file.sections();
            all.map(|s| (s.name().unwrap().to_owned(), s.data().unwrap_or_default().to_vec()))
                .collect()
        };
        let (inside, ours) = (sections(&inside), sections(&ours));
        assert_eq!(
            inside.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ours.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "object {number} has other sections"
        );
        let pairs = inside.into_iter().zip(ours);
        found.extend(pairs.filter(|(a, b)| a.1 != b.1).map(|((name, _), _)| name));
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn a_program_with_exceptions_and_virtual_functions() {
    for llvm in VERSIONS {
        for flags in [
            &["-flto=thin", "-O2"][..],
            &["-flto=thin", "-O2", "-g"],
            &["-flto=thin", "-O1", "-g", "-fPIC"],
            &["-flto=thin"],
        ] {
            let bench = program(llvm, flags);
            let mut words = vec!["main.o", "libshape.a"];
            words.extend(flags);
            let outcome = bench.both_differing("clang++", &words).clean();
            assert_eq!(
                (outcome.stats[0]["modules"].as_u64(), outcome.stderr.as_str()),
                (Some(3), ""),
                "LLVM {llvm}"
            );
            assert!(
                outcome.stats[0]["llvm"]
                    .as_str()
                    .unwrap()
                    .starts_with(&format!("{llvm}."))
            );
            bench.both_print(PRINTS);
            assert_eq!(
                differing_sections(&bench),
                Vec::<String>::new(),
                "LLVM {llvm} {flags:?}"
            );
            bench.tidy();
        }
    }
}

#[test]
fn executables_libraries_and_relocatables() {
    for llvm in VERSIONS {
        let bench = program(llvm, &["-flto=thin", "-O2", "-fPIC"]);
        for kind in [
            &["-no-pie"][..],
            &["-static"],
            &["-static-pie"],
            &["-Wl,--gc-sections,--icf=all"],
        ] {
            let mut words = vec!["main.o", "libshape.a"];
            words.extend(kind);
            bench.both("clang++", &words);
            bench.both_print(PRINTS);
        }
        bench.both(
            "clang++",
            &["-shared", "-Wl,--whole-archive", "libshape.a", "-Wl,--no-whole-archive"],
        );
        fs::rename(bench.path("our.out"), bench.path("libshape.so")).unwrap();
        bench.both("clang++", &["main.o", "./libshape.so", "-Wl,-rpath,."]);
        bench.both_print(PRINTS);
        bench.both_bare(&["-r", "main.o", "--whole-archive", "libshape.a"]);
        fs::rename(bench.path("our.out"), bench.path("all.o")).unwrap();
        bench.run(format!("clang++-{llvm}"), &["all.o", "-o", "prog"]).ok();
        assert_eq!(bench.output_of("prog"), PRINTS);
    }
}

/// The second copy's members are not needed; the index of one may be written over the first's.
#[test]
fn an_archive_given_twice() {
    for llvm in VERSIONS {
        let bench = program(llvm, &["-flto=thin", "-O2"]);
        for words in [
            &["main.o", "libshape.a", "libshape.a"][..],
            &["main.o", "-L.", "-lshape", "libshape.a", "-lshape"],
            &[
                "main.o",
                "-Wl,--start-group",
                "libshape.a",
                "libshape.a",
                "-Wl,--end-group",
            ],
            &[
                "-Wl,--start-lib",
                "bad.o",
                "square.o",
                "-Wl,--end-lib",
                "main.o",
                "-Wl,--start-lib",
                "bad.o",
                "square.o",
                "-Wl,--end-lib",
            ],
            &[
                "main.o",
                "bad.o",
                "square.o",
                "-Wl,--start-lib",
                "bad.o",
                "square.o",
                "-Wl,--end-lib",
            ],
        ] {
            bench.both("clang++", words);
            bench.both_print(PRINTS);
        }
    }
}

/// Objects of older compilers, under a newer linker: each is compiled by the linker's own LLVM.
#[test]
fn objects_of_older_versions() {
    for flags in [&["-flto=thin", "-O2", "-g"][..], &["-flto=thin", "-O1"]] {
        let bench = program(23, flags);
        for (llvm, name) in [(22, "square"), (19, "bad")] {
            let (source, object) = (format!("{name}.cc"), format!("{name}.o"));
            let words = [&["-c", &source, "-o", &object], flags].concat();
            bench.run(format!("clang++-{llvm}"), &words).ok();
        }
        let mut words = vec!["main.o", "square.o", "bad.o"];
        words.extend(flags);
        let outcome = bench.both_differing("clang++", &words).clean();
        assert_eq!(outcome.stats[0]["modules"], 3);
        bench.both_print(PRINTS);
        assert_eq!(differing_sections(&bench), Vec::<String>::new(), "{flags:?}");
    }
}

/// A C library in bitcode, of which the link loads nothing: backends that made `puts` of `printf` would miss it.
fn with_library_functions(llvm: u32) -> Bench {
    let bench = Bench::of(llvm);
    let flags = ["-O2", "-fno-pie", "-flto=thin", "-w"];
    bench.compile(
        "main.c",
        "void say(const char *); int main(void) { say(\"hello\\n\"); return 0; }",
        &flags,
    );
    bench.compile(
        "say.c",
        "int printf(const char *, ...); void say(const char *what) { printf(what); }",
        &flags,
    );
    bench.compile(
        "puts.c",
        "int putchar(int); int puts(const char *s) { while (*s) putchar(*s++); putchar('!'); return putchar('\\n'); }",
        &["-O2", "-fno-pie", "-flto=thin", "-ffreestanding"],
    );
    bench.ar(&["rcs", "libown.a", "puts.o"]);
    bench
}

#[test]
fn library_functions_left_in_archives() {
    let mut bench = with_library_functions(23);
    // Something loaded defines it: the C library that is linked, or the bitcode itself.
    bench.both("clang", &["-no-pie", "main.o", "say.o", "libown.a"]);
    bench.both_print("hello\n");
    bench.both(
        "clang",
        &[
            "-static",
            "main.o",
            "say.o",
            "-Wl,--whole-archive",
            "libown.a",
            "-Wl,--no-whole-archive",
        ],
    );
    bench.both_print("hello!\n");
    let shim = bench.shim();
    let static_words = ["-static", "main.o", "say.o", "libown.a", "-o", "prog"];
    let outcome = bench
        .env("THINLTO_LD_MODE", "auto")
        .drive("clang", shim.to_str().unwrap(), &static_words)
        .ok();
    assert_eq!(outcome.mode(), "in-process");
    assert!(
        outcome
            .reason()
            .starts_with("puts: a library function in bitcode that is not loaded"),
        "{}",
        outcome.reason()
    );
    assert_eq!(bench.output_of("prog"), "hello\n");
    // Before, nobody was told: both ways come to the same.
    let bench = with_library_functions(22);
    bench.both("clang", &["-no-pie", "main.o", "say.o", "libown.a"]);
}

/// lld and clang of LLVM 23 that say they are 25, clang without these words.
fn claiming_25(without: &str) -> Bench {
    let mut bench = program(23, &["-flto=thin", "-O2"]);
    for (name, says) in [
        ("ld.lld", "LLD 25.0.0 (compatible with GNU linkers)"),
        ("clang", "clang version 25.0.0"),
    ] {
        let script = format!(
            "#!/bin/bash\n[ \"$1\" = --version ] && echo '{says}' && exit\nwords=()\n\
             for word; do [ \"$word\" = '{without}' ] || words+=(\"$word\"); done\nexec {name}-23 \"${{words[@]}}\"\n"
        );
        let path = bench.write_program(&format!("new/{name}"), &script);
        let setting = if name == "clang" {
            "THINLTO_LD_CLANG"
        } else {
            "THINLTO_LD_LINKER"
        };
        bench.env(setting, path.to_str().unwrap());
    }
    bench
}

#[test]
fn a_version_newer_than_any_known() {
    let bench = claiming_25("");
    let link = || {
        bench
            .drive(
                "clang++",
                bench.shim().to_str().unwrap(),
                &["main.o", "libshape.a", "-flto=thin", "-o", "our.out"],
            )
            .ok()
    };
    let first = link();
    assert_eq!(
        (first.mode(), &first.stats[0]["llvm"]),
        ("distributed", &"25.0.0".into())
    );
    assert!(
        first.stderr.contains("LLVM 25.0.0 is newer than 23") && first.stderr.lines().count() == 1,
        "{}",
        first.stderr
    );
    assert_eq!(bench.output_of("our.out"), PRINTS);
    let second = link();
    assert_eq!((second.mode(), second.stderr.as_str()), ("distributed", ""));

    let mut bench = claiming_25("-floop-interchange");
    let shim = bench.shim();
    bench.env("THINLTO_LD_MODE", "auto");
    for warnings in [1, 0] {
        let words = ["main.o", "libshape.a", "-flto=thin", "-o", "our.out"];
        let outcome = bench.drive("clang++", shim.to_str().unwrap(), &words).ok();
        assert_eq!(outcome.mode(), "in-process");
        assert!(
            outcome
                .reason()
                .starts_with("LLVM 25.0.0 is not known: executable: another object of first.o"),
            "{}",
            outcome.reason()
        );
        assert_eq!(outcome.stderr.lines().count(), warnings, "{}", outcome.stderr);
    }
    assert_eq!(bench.output_of("our.out"), PRINTS);

    let thinlto = env!("CARGO_BIN_EXE_thinlto");
    let checked = bench.run(thinlto, &["check"]);
    assert_eq!(checked.status, 1);
    assert!(
        checked.stdout.contains("sample  executable: another object of first.o"),
        "{}",
        checked.stdout
    );
    let known = Bench::of(22);
    let checked = known.run(thinlto, &["check", "thinlto-ld-22"]).ok();
    assert_eq!(
        checked.stdout.matches(": as in-process\n").count(),
        8,
        "{}",
        checked.stdout
    );
}
