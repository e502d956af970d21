//! Every kind of link: made in-process and distributed, the output run, the backends' objects compared byte for byte.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Bench;

const THIN: &[&str] = &["-flto=thin", "-O2"];

const MAIN: &str = "int f(int); int printf(const char *, ...);\n\
                    int main(int c, char **v) { printf(\"%d\\n\", f(c)); return 0; }\n";
const F: &str = "int g(int); int f(int x) { return g(x) + 1; }\n";
const G: &str = "__attribute__((noinline)) int g(int x) { return x * 40; }\n";

fn three_modules(flags: &[&str]) -> Bench {
    let bench = Bench::new();
    bench
        .compile("main.c", MAIN, flags)
        .compile("f.c", F, flags)
        .compile("g.c", G, flags);
    bench
}

#[test]
fn executable_pie_and_static() {
    let bench = three_modules(THIN);
    for kind in [&["-no-pie"][..], &["-pie"], &["-static"], &["-static-pie"]] {
        let mut words = vec!["main.o", "f.o", "g.o"];
        words.extend(kind);
        let outcome = bench.both("clang", &words);
        assert_eq!(outcome.stats[0]["modules"], 3, "{kind:?}");
        bench.both_print("41\n");
    }
}

#[test]
fn optimisation_levels_that_need_two_steps() {
    let bench = three_modules(THIN);
    for level in ["-O0", "-O1", "-O2", "-O3", "-Os"] {
        // Without -flto clang does not tell the linker its level.
        bench.both("clang", &["-flto=thin", level, "main.o", "f.o", "g.o"]);
        bench.both_print("41\n");
    }
}

#[test]
fn shared_library() {
    let bench = three_modules(&["-flto=thin", "-O2", "-fPIC"]);
    bench.both("clang", &["-shared", "f.o", "g.o"]);
    bench.clang(&[
        "main.o",
        "./our.out",
        "-flto=thin",
        "-fuse-ld=lld",
        "-Wl,-rpath,.",
        "-o",
        "prog",
    ]);
    assert_eq!(bench.output_of("prog"), "41\n");
}

#[test]
fn relocatable_takes_each_modules_own_pic_level() {
    let bench = Bench::new();
    bench
        .compile("main.c", MAIN, &["-flto=thin", "-O2", "-fno-pic"])
        .compile("f.c", F, &["-flto=thin", "-O2", "-fPIC"])
        .compile("g.c", G, &["-flto=thin", "-O2", "-fpie"]);
    bench.both_bare(&["-r", "main.o", "f.o", "g.o"]);
    bench.clang(&["-no-pie", "our.out", "-o", "prog"]);
    assert_eq!(bench.output_of("prog"), "41\n");
}

#[test]
fn archives_regular_thin_and_mixed() {
    let bench = three_modules(THIN);
    bench.compile("native.c", "int h(int x) { return x; }\n", &["-O2"]);
    bench.ar(&["rc", "libreg.a", "f.o", "g.o", "native.o"]);
    bench
        .write("sub/keep", "")
        .ar(&["rcT", "sub/libthin.a", "f.o", "g.o", "native.o"]);
    for library in ["libreg.a", "sub/libthin.a", "./sub/../libreg.a"] {
        let outcome = bench.both("clang", &["main.o", library]);
        assert_eq!(outcome.stats[0]["modules"], 3, "{library}");
        bench.both_print("41\n");
    }
    bench.both("clang", &["main.o", "-L.", "-lreg", "-lreg"]);
    bench.both_print("41\n");
    bench.both(
        "clang",
        &["main.o", "-Wl,--whole-archive", "libreg.a", "-Wl,--no-whole-archive"],
    );
    bench.both_print("41\n");
}

#[test]
fn members_with_equal_names() {
    let bench = three_modules(THIN);
    bench.write("a/keep", "").write("b/keep", "");
    std::fs::copy(bench.path("f.o"), bench.path("a/x.o")).unwrap();
    std::fs::copy(bench.path("g.o"), bench.path("b/x.o")).unwrap();
    bench.ar(&["qc", "libsame.a", "a/x.o", "b/x.o"]);
    bench.both("clang", &["main.o", "libsame.a"]);
    bench.both_print("41\n");
}

#[test]
fn start_lib_and_paths_that_leave_the_folder() {
    let bench = three_modules(THIN);
    let name = bench.path("").file_name().unwrap().to_string_lossy().into_owned();
    let far = format!("../{name}/g.o");
    bench.both("clang", &["main.o", "-Wl,--start-lib", "f.o", &far, "-Wl,--end-lib"]);
    bench.both_print("41\n");
}

/// Facts: command-line order decides which weak definition wins.
#[test]
fn the_first_weak_definition_wins_as_in_process() {
    let bench = Bench::new();
    bench
        .compile(
            "main.c",
            "int puts(const char *); const char *who(void); int main(void) { puts(who()); return 0; }\n",
            THIN,
        )
        .compile(
            "w1.c",
            "__attribute__((weak)) const char *who(void) { return \"w1\"; }\n",
            THIN,
        )
        .compile(
            "w2.c",
            "__attribute__((weak)) const char *who(void) { return \"w2\"; }\n",
            &["-O2"],
        );
    bench.both("clang", &["main.o", "w1.o", "w2.o"]);
    bench.both_print("w1\n");
    bench.both("clang", &["main.o", "w2.o", "w1.o"]);
    bench.both_print("w2\n");
}

/// A member taken out of its archive for a reference that is optimized away stays in the link: its constructor runs.
#[test]
fn extracted_members_stay_extracted() {
    let bench = Bench::new();
    let with_constructor = |name: &str| {
        format!(
            "int puts(const char *);\n\
             __attribute__((constructor)) static void hello_{name}(void) {{ puts(\"{name} is here\"); }}\n\
             int {name}(void) {{ return 1; }}\n"
        )
    };
    bench
        .compile(
            "main.c",
            "int bit(void), nat(void); int main(int c, char **v) { return c > 100 && 0 * (bit() + nat()); }\n",
            THIN,
        )
        .compile("bit.c", &with_constructor("bit"), THIN)
        .compile("nat.c", &with_constructor("nat"), &["-O2"])
        .compile(
            "main2.c",
            "static int never(void) { return 0; } int bit(void), nat(void);\n\
                             int main(void) { if (never()) return bit() + nat(); return 0; }\n",
            &["-flto=thin", "-O0", "-Xclang", "-disable-O0-optnone"],
        );
    bench
        .ar(&["rc", "libbit.a", "bit.o"])
        .ar(&["rc", "libnat.a", "nat.o"])
        .ar(&["rc", "libmixed.a", "bit.o", "nat.o"]);
    for libraries in [
        &["libbit.a", "libnat.a"][..],
        &["libnat.a", "libbit.a"],
        &["libmixed.a"],
        &["-Wl,--start-lib", "bit.o", "nat.o", "-Wl,--end-lib"],
    ] {
        let mut words = vec!["main2.o"];
        words.extend(libraries);
        bench.both("clang", &words);
        let expected = bench.output_of("in.out");
        assert!(
            expected.contains("bit is here") && expected.contains("nat is here"),
            "{libraries:?}: {expected}"
        );
        let mut got: Vec<_> = bench.output_of("our.out").lines().map(str::to_owned).collect();
        got.sort();
        assert_eq!(got, ["bit is here", "nat is here"], "{libraries:?}");
    }
}

#[test]
fn bitcode_without_a_summary_is_regular_lto() {
    let bench = three_modules(THIN);
    bench.compile(
        "nosum.c",
        "int h(int x) { return x; }\nint only_here(void) { return 7; }\n",
        &["-flto=thin", "-O2", "-Xclang", "-disable-llvm-passes"],
    );
    bench.both("clang", &["main.o", "f.o", "g.o", "nosum.o"]);
    bench.both_print("41\n");
}

#[test]
fn regular_lto_beside_thin() {
    let bench = Bench::new();
    bench
        .compile("main.c", MAIN, THIN)
        .compile("f.c", F, &["-flto=full", "-O2"])
        .compile("g.c", G, THIN);
    bench.both("clang", &["main.o", "f.o", "g.o"]);
    bench.both_print("41\n");
}

/// The combined index knows what regular modules define: position-independent code addresses it directly.
#[test]
fn regular_lto_defines_what_thin_modules_take_the_address_of() {
    let bench = Bench::new();
    let regular = &["-flto=full", "-O2"];
    bench
        .compile(
            "main.c",
            "int printf(const char *, ...); extern int table[2]; int cb(int);\n\
             int (*f(void))(int) { return cb; } int *t(void) { return table; }\n\
             int main(int c, char **v) { printf(\"%d %d\\n\", f()(c), *t()); return 0; }\n",
            THIN,
        )
        .compile(
            "reg.c",
            "int table[2] = {3}; int cb(int x) { return x + ++table[1]; }\n",
            regular,
        )
        .compile("unused.c", "int table[2] = {4}; int never;\n", regular)
        .ar(&["rc", "libreg.a", "reg.o"])
        .ar(&["rc", "libunused.a", "unused.o"]);
    for words in [&["main.o", "reg.o"][..], &["main.o", "libreg.a", "libunused.a"]] {
        for kind in ["-pie", "-no-pie"] {
            bench.both("clang", &[words, &[kind]].concat());
            bench.both_print("2 3\n");
        }
    }
}

/// But of ifuncs, and of other names of one, there are no summaries: what they are is known to nobody before the final link.
#[test]
fn regular_lto_defines_ifuncs() {
    for llvm in [16, 19, 22] {
        let bench = Bench::of(llvm);
        bench
            .compile(
                "main.c",
                "int printf(const char *, ...); __attribute__((weak)) int f(void); int g(void);\n\
                 int main(void) { int (*volatile p)(void) = g; printf(\"%d %d\\n\", f ? f() : 0, p()); return 0; }\n",
                &["-flto=thin", "-O2", "-fPIE"],
            )
            .compile(
                "reg.c",
                "int which; static int six(void) { return 6; } static int seven(void) { return 7; }\n\
                 static int (*choose(void))(void) { return which ? six : seven; }\n\
                 int f(void) __attribute__((ifunc(\"choose\"))); int g(void) __attribute__((alias(\"f\")));\n",
                &["-flto=full", "-O2", "-fPIE"],
            );
        bench.both("clang", &["main.o", "reg.o", "-pie"]);
        bench.both_print("7 7\n");
    }
}

#[test]
fn split_units_with_whole_program_devirtualisation() {
    let flags = &[
        "-flto=thin",
        "-O2",
        "-fsplit-lto-unit",
        "-fwhole-program-vtables",
        "-fvisibility=hidden",
    ];
    let bench = Bench::new();
    bench
        .write("s.h", "struct S { virtual int f(int); virtual ~S(); }; struct T : S { int f(int) override; }; S *make(int);\n")
        .compile("s.cc", "#include \"s.h\"\nint S::f(int x) { return x; } S::~S() {}\n", flags)
        .compile("t.cc", "#include \"s.h\"\nint T::f(int x) { return x + 41; } S *make(int n) { return n ? new T : new S; }\n", flags)
        .compile("m.cc", "#include \"s.h\"\n#include <cstdio>\nint main(int c, char **) { S *s = make(c); printf(\"%d\\n\", s->f(0)); delete s; }\n", flags);
    bench.both(
        "clang++",
        &[
            "m.o",
            "s.o",
            "t.o",
            "-fwhole-program-vtables",
            "-Wl,--lto-whole-program-visibility",
        ],
    );
    bench.both_print("41\n");
}

#[test]
fn unified_lto() {
    let bench = three_modules(&["-flto=thin", "-funified-lto", "-O2"]);
    bench.both(
        "clang",
        &["-flto=thin", "-funified-lto", "-Wl,--lto=thin", "main.o", "f.o", "g.o"],
    );
    bench.both_print("41\n");
}

#[test]
fn fat_objects() {
    let bench = three_modules(&["-flto=thin", "-ffat-lto-objects", "-O2"]);
    bench.both("clang", &["-Wl,--fat-lto-objects", "main.o", "f.o", "g.o"]);
    bench.both_print("41\n");
    bench.ar(&["rc", "libfat.a", "f.o", "g.o"]);
    bench.both("clang", &["-Wl,--fat-lto-objects", "main.o", "libfat.a"]);
    bench.both_print("41\n");
    let plain = bench
        .drive(
            "clang",
            bench.shim().to_str().unwrap(),
            &["main.o", "libfat.a", "-o", "p"],
        )
        .ok();
    assert_eq!(plain.mode(), "passthrough");
}

#[test]
fn wrap_and_defsym() {
    let bench = Bench::new();
    bench
        .compile(
            "main.c",
            "int printf(const char *, ...); int f(int); int twin(int);\n\
                            int main(int c, char **v) { printf(\"%d %d\\n\", f(c), twin(c)); return 0; }\n",
            THIN,
        )
        .compile("f.c", "int f(int x) { return x + 1; }\n", THIN)
        .compile(
            "w.c",
            "int __real_f(int); int __wrap_f(int x) { return __real_f(x) * 10; }\n\
                         int other(int x) { return x + 6; }\n",
            THIN,
        );
    bench.both(
        "clang",
        &["main.o", "f.o", "w.o", "-Wl,--wrap=f", "-Wl,--defsym=twin=other"],
    );
    bench.both_print("20 7\n");
}

#[test]
fn linker_script_inputs_and_as_needed() {
    let bench = three_modules(THIN);
    bench.ar(&["rc", "libreg.a", "f.o", "g.o"]);
    bench.write("liball.so", "/* a script */ INPUT(libreg.a) GROUP(AS_NEEDED(-lm))\n");
    bench.both("clang", &["main.o", "-L.", "-lall"]);
    bench.both_print("41\n");
}

#[test]
fn response_files_and_odd_names() {
    let bench = three_modules(THIN);
    std::fs::rename(bench.path("f.o"), bench.path("f with space.o")).unwrap();
    bench
        .write("line.rsp", "main.o \"f with space.o\"\n@more.rsp")
        .write("more.rsp", "g.o");
    bench.both("clang", &["-Wl,@line.rsp"]);
    bench.both_print("41\n");
}

#[test]
fn passthrough_without_bitcode() {
    let bench = three_modules(&["-O2"]);
    let outcome = bench
        .drive(
            "clang",
            bench.shim().to_str().unwrap(),
            &["main.o", "f.o", "g.o", "-o", "p"],
        )
        .ok();
    assert_eq!(
        (outcome.mode(), outcome.reason()),
        ("passthrough", "no ThinLTO bitcode")
    );
    assert_eq!(bench.output_of("p"), "41\n");
    for word in ["-v", "--version", "--help"] {
        let (ours, real) = (bench.through(&[word]), bench.direct(&[word]));
        assert_eq!((ours.status, ours.stdout), (real.status, real.stdout), "{word}");
    }
}

/// A descriptor's name means a file that may be read once, and means another to every process.
#[test]
fn files_that_are_named_by_their_descriptor() {
    let bench = three_modules(THIN);
    bench.write("versions", "{ global: main; local: *; };\n");
    for (words, before, after) in [
        ("main.o f.o /dev/stdin", "", "< g.o"),
        ("main.o f.o /proc/self/fd/0", "", "< g.o"),
        ("main.o f.o /dev/fd/0", "cat g.o |", ""),
        ("main.o /dev/stdin g.o", "cat f.o |", ""),
        ("main.o /dev/fd/7 g.o", "", "7< f.o"),
        ("main.o /dev/fd/7 g.o", "cat f.o |", "7<&0 < /dev/null"),
        ("main.o f.o g.o --version-script=/dev/stdin", "cat versions |", ""),
        ("main.o f.o g.o --version-script=/dev/stdin", "", "< versions"),
        (
            "main.o f.o g.o --version-script /dev/fd/5",
            "cat versions |",
            "5<&0 < /dev/null",
        ),
    ] {
        let line = |linker: &str, output: &str| {
            let line = format!("{before} {linker} -shared {words} -o {output} --lto-obj-path={output}.P {after}");
            bench.run("sh", &["-c", &line]).ok()
        };
        line(&bench.lld(), "in.out");
        let ours = line(bench.shim().to_str().unwrap(), "our.out");
        assert_eq!((ours.mode(), ours.reason()), ("distributed", ""), "{words}");
        let (inside, ours) = (bench.objects("in.out.P"), bench.objects("our.out.P"));
        assert!(inside.values().eq(ours.values()), "{before} {words} {after}");
        let dynamic = ["in.out", "our.out"].map(|name| {
            let words = ["--dynamic", "--format=just-symbols", name];
            bench.run("llvm-nm-22", &words).ok().stdout
        });
        assert_eq!(dynamic[0], dynamic[1], "{before} {words} {after}");
    }
}

/// LLVM cannot write such a name into an index. In-process it takes imports in the order of the names all the same.
#[test]
fn names_that_are_not_ascii() {
    for llvm in [22, 19, 16] {
        let bench = Bench::of(llvm);
        for (name, text) in [
            ("José/main", MAIN),
            ("f", F),
            ("José/ñ", G),
            ("z", "int z(int x) { return x; }\n"),
        ] {
            // Small enough to be imported from both sides.
            let text = text.replace("__attribute__((noinline)) ", "");
            bench.compile(&format!("{name}.c"), &text, THIN);
        }
        bench
            .ar(&["rc", "José/libg.a", "José/../f.o", "z.o"])
            .ar(&["rcT", "José/libthin.a", "f.o", "z.o"]);
        let far = bench.path("José/main.o");
        let far = far.to_str().unwrap();
        for words in [
            &["José/main.o", "f.o", "José/ñ.o"][..],
            &[far, "f.o", "./José/../José/ñ.o"],
            &["José/ñ.o", "-LJosé", "-lg", "José/main.o"],
            &[far, "José/libthin.a", "José/ñ.o", "-Wl,-y,g"],
        ] {
            let outcome = bench.both("clang", words);
            assert_eq!(outcome.stats[0]["modules"], 3, "{words:?}");
            assert!(
                !format!("{}{}", outcome.stdout, outcome.stderr).contains("ascii"),
                "{words:?}"
            );
            bench.both_print("41\n");
        }
    }
}
