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
