//! Symbols are resolved once, over bitcode: what is linked, defined, undefined, exported and needed is lld's.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Bench;

const THIN: &[&str] = &["-flto=thin", "-O2", "-fPIC"];
const NATIVE: &[&str] = &["-O2", "-fPIC"];

/// The global symbols of an output with type, binding and visibility, those of `.dynsym` too; and the libraries it needs.
fn symbols(bench: &Bench, file: &str) -> Vec<String> {
    let text = bench.run("llvm-readelf-22", &["-sdW", file]).ok().stdout;
    let mut lines = Vec::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        match columns[..] {
            [_, _, _, kind, "GLOBAL" | "WEAK", visibility, section, name] => {
                let place = if section == "UND" { "undefined" } else { "defined" };
                lines.push(format!("{name} {kind} {} {visibility} {place}", columns[4]));
            }
            [_, "(NEEDED)", ..] => lines.push(line.trim().to_owned()),
            _ => {}
        }
    }
    lines.sort();
    lines
}

/// Links both ways, and asks for the same symbols and, of a program, for the same output.
fn alike(bench: &Bench, words: &[&str]) {
    bench.both("clang", words);
    assert_eq!(symbols(bench, "our.out"), symbols(bench, "in.out"), "{words:?}");
    if !words.iter().any(|word| matches!(*word, "-shared" | "-r")) {
        assert_eq!(bench.output_of("our.out"), bench.output_of("in.out"), "{words:?}");
    }
}

/// The link is left to lld, for this reason.
fn left_to_lld(bench: &Bench, words: &[&str], reason: &str) {
    let words = [&["-flto=thin"], words, &["-o", "our.out"]].concat();
    let ours = bench.drive("clang", bench.shim().to_str().unwrap(), &words);
    assert!(!ours.stats.is_empty(), "{words:?}: {}", ours.stderr);
    assert_eq!(ours.reason(), reason, "{words:?}");
}

/// A dead function of `m.c` calls `helper`, which an archive defines beside what runs at start.
fn dead_caller() -> Bench {
    let bench = Bench::new();
    let main = "int puts(const char *), helper(int), live(void); int unused(int x) { return helper(x) + 1; }\n\
                int main(void) { puts(live() == 2 ? \"two\" : \"other\"); return 0; }\n";
    let helper = "int puts(const char *); int helper(int x) { return x * 7; }\n\
                  __attribute__((constructor)) static void hello(void) { puts(\"constructor\"); }\n";
    let set = "int helper(int x) { return x * 5; } __attribute__((section(\"names\"), used)) static int entry = 5;\n\
               extern int __start_names[], __stop_names[];\n\
               int puts(const char *); __attribute__((constructor)) static void count(void)\n\
               { if (__stop_names - __start_names == 1) puts(\"one name\"); }\n";
    let other = "int helper(int x) { return -x; } int live(void) { return 9; }\n";
    bench
        .compile("m.c", main, THIN)
        .compile("helper.c", helper, THIN)
        .compile("nhelper.c", helper, NATIVE)
        .compile("set.c", set, THIN)
        .compile("live.c", "int live(void) { return 2; }\n", THIN)
        .compile("other.c", other, NATIVE);
    bench
        .ar(&["rc", "two.a", "helper.o", "live.o"])
        .ar(&["rcT", "thin.a", "helper.o", "live.o"])
        .ar(&["rc", "mixed.a", "live.o", "nhelper.o"])
        .ar(&["rc", "set.a", "set.o", "live.o"])
        .ar(&["rc", "other.a", "other.o"]);
    bench
}

#[test]
fn a_member_that_only_dead_code_asks_for_is_linked() {
    let bench = dead_caller();
    for words in [
        &["m.o", "two.a"][..],
        &["m.o", "two.a", "-Wl,--gc-sections"],
        &["m.o", "thin.a", "other.a"],
        &["m.o", "mixed.a", "other.a"],
        &["two.a", "m.o"],
        &["two.a", "m.o", "two.a", "other.a"],
        &["m.o", "set.a"],
        &[
            "m.o",
            "-Wl,--start-lib",
            "helper.o",
            "live.o",
            "-Wl,--end-lib",
            "other.a",
        ],
        &[
            "m.o",
            "-Wl,--whole-archive",
            "two.a",
            "-Wl,--no-whole-archive",
            "other.a",
        ],
        &[
            "m.o",
            "-Wl,--start-group",
            "live.o",
            "two.a",
            "-Wl,--end-group",
            "other.a",
        ],
        &["m.o", "two.a", "-static"],
        &["m.o", "two.a", "-static-pie"],
    ] {
        alike(&bench, words);
    }
}

#[test]
fn a_library_exports_and_needs_what_llds_does() {
    let bench = dead_caller();
    bench.write("v.map", "{ global: live; local: *; };\n").write(
        "named.map",
        "V1 { global: live; }; V2 { global: unused; local: h*; } V1;\n",
    );
    for words in [
        &["-shared", "m.o", "two.a", "-Wl,--version-script=v.map", "-Wl,-z,defs"][..],
        &["-shared", "m.o", "two.a", "-Wl,--version-script=named.map"],
        &["-shared", "m.o", "two.a", "-Wl,--exclude-libs=ALL"],
        &["-shared", "m.o", "mixed.a", "-Wl,--exclude-libs=mixed.a"],
        &[
            "-shared",
            "m.o",
            "two.a",
            "-Wl,--exclude-libs=two.a",
            "-Wl,--version-script=v.map",
        ],
        &["-shared", "m.o", "two.a", "-Wl,-Bsymbolic", "-lm"],
        &["-shared", "m.o", "two.a", "-Wl,--as-needed", "-lm"],
        &["-r", "m.o", "two.a"],
    ] {
        alike(&bench, words);
    }
}

/// A member for regular LTO that is not loaded, beside a thin one of its name that is.
#[test]
fn a_thin_members_name_is_no_regular_ones() {
    let bench = Bench::new();
    for folder in ["regular", "thin"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    let hidden = "__attribute__((weak, visibility(\"protected\"))) int v[4]; int unwanted(void) { return 1; }\n";
    bench
        .compile(
            "m.c",
            "int wanted(void); __attribute__((weak)) int v[2] = {7}; int use(void) { return wanted(); }\n",
            NATIVE,
        )
        .compile(
            "regular/s.c",
            hidden,
            &["-flto=full", "-fsplit-lto-unit", "-O2", "-fPIC"],
        )
        .compile(
            "thin/s.c",
            "int wanted(void) { return 3; }\n",
            &["-flto=thin", "-fsplit-lto-unit", "-O2", "-fPIC"],
        )
        .ar(&["qc", "same.a", "regular/s.o"])
        .ar(&["qc", "same.a", "thin/s.o"]);
    alike(&bench, &["-shared", "m.o", "same.a"]);
}

/// `--trace` has one name for both: bitcode is told apart by the list of modules, native members by what they define.
#[test]
fn members_of_one_name_are_told_apart() {
    let bench = Bench::new();
    let say = |name: &str, more: &str| {
        format!(
            "int puts(const char *); {more}\n\
             __attribute__((constructor)) static void hello(void) {{ puts(\"{name}\"); }}\n"
        )
    };
    std::fs::create_dir(bench.path("one")).unwrap();
    std::fs::create_dir(bench.path("two")).unwrap();
    for flags in [THIN, NATIVE] {
        bench
            .compile("m.c", "int f(void); int main(void) { return f() - 3; }\n", THIN)
            .compile(
                "one/s.c",
                &say("one", "int g(void); int f(void) { return g() + 1; }"),
                flags,
            )
            .compile("two/s.c", &say("two", "int g(void) { return 2; }"), flags)
            .compile("s.c", &say("three", "int h(void) { return 3; }"), flags);
        for order in [["one/s.o", "two/s.o", "s.o"], ["s.o", "two/s.o", "one/s.o"]] {
            let _ = std::fs::remove_file(bench.path("same.a"));
            for member in order {
                bench.ar(&["qc", "same.a", member]);
            }
            alike(&bench, &["same.a", "m.o"]);
            alike(&bench, &["m.o", "-Wl,-u,h", "same.a"]);
        }
    }
}

#[test]
fn an_archive_that_only_objects_name_is_linked() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("lib")).unwrap();
    let main = "#pragma comment(lib, \"extra\")\nint extra(int); int main(int c, char **v) { return extra(c) - 11; }\n";
    bench
        .compile("m.c", main, THIN)
        .compile("e.c", "int extra(int x) { return x + 10; }\n", THIN)
        .ar(&["rc", "lib/libextra.a", "e.o"]);
    let words = ["m.o", "-Llib"];
    alike(&bench, &words);
    bench.both_print("");
    bench.compile("e.c", "int extra(int x) { return x + 12; }\n", THIN);
    bench.ar(&["rc", "lib/libextra.a", "e.o"]);
    let again = bench
        .drive(
            "clang",
            bench.shim().to_str().unwrap(),
            &["m.o", "-Llib", "-o", "our.out"],
        )
        .ok();
    assert_eq!(again.mode(), "distributed");
    assert_eq!(bench.run("./our.out", &[]).status, 2);
}

#[test]
fn references_that_lto_removes_count() {
    let bench = Bench::new();
    bench
        .compile(
            "m.c",
            "extern char _end[], mine[]; int gone(void); int dead(void) { return _end - mine + gone(); }\n\
             int main(void) { return 0; }\n",
            THIN,
        )
        .compile("w.c", "__attribute__((weak)) int gone(void); int kept(void) { return gone ? gone() : 1; }\n", NATIVE)
        .compile(
            "wrap.c",
            "int gain(int x) { return x + 1; } int __real_gain(int); int __wrap_gain(int x) { return 9 * __real_gain(x); }\n",
            THIN,
        )
        .compile("use.c", "int gain(int); int main(void) { return gain(1) - 18; }\n", THIN)
        .compile(
            "weakly.c",
            "__attribute__((weak, visibility(\"protected\"))) int gone(void); int one(void) { return gone ? 1 : 0; }\n\
             int two(void) { return 2; }\n",
            THIN,
        )
        .compile("strongly.c", "int gone(void); int two(void); int three(void) { return two() + gone(); }\n", NATIVE)
        .compile(
            "assembly.c",
            "__attribute__((weak)) int gone(void); int four(void) { return gone ? gone() : 4; }\n\
             __asm__(\".pushsection .data.it,\\\"aw\\\"\\n.quad gone\\n.popsection\");\n",
            THIN,
        )
        .compile(
            "table.c",
            "int puts(const char *); extern void *table[]; __asm__(\".pushsection .data.it,\\\"aw\\\"\\n.globl table\\ntable:\\n\"\n\
             \".weak two\\n.quad two\\n.popsection\"); int main(void) { return puts(table[0] ? \"two\" : \"none\") < 0; }\n",
            THIN,
        )
        .compile("two.c", "int two(void) { return 2; }\n", THIN)
        .write("p.ld", "PROVIDE(mine = 0x1234);\n");
    for words in [
        &["m.o", "p.ld"][..],
        &["m.o", "p.ld", "-Wl,--gc-sections"],
        &["-shared", "m.o", "w.o"],
        &["-r", "m.o", "w.o"],
        &["use.o", "wrap.o", "-Wl,--wrap=gain"],
        &["-shared", "use.o", "wrap.o", "-Wl,--wrap=gain"],
        &["-shared", "weakly.o", "w.o"],
        // LTO does not know that assembly refers to it weakly, and removes it.
        &["table.o", "two.o"],
        &["-shared", "assembly.o"],
        &["-r", "assembly.o"],
        &[
            "-shared",
            "-Wl,--start-lib",
            "weakly.o",
            "-Wl,--end-lib",
            "w.o",
            "-Wl,-u,two",
        ],
    ] {
        alike(&bench, words);
    }
}

/// What a script assigns is as visible as the bitcode that defines it asks for.
#[test]
fn a_script_that_assigns_what_bitcode_defines() {
    let bench = Bench::new();
    bench
        .compile(
            "m.c",
            "__attribute__((visibility(\"hidden\"))) int f(void) { return 0; } int g(void) { return 1; }\n",
            THIN,
        )
        .write("assign.ld", "f = g;\n")
        .write("both.ld", "PROVIDE(f = none);\nf = g;\n");
    for kind in ["-shared", "-r"] {
        alike(&bench, &["-flto=thin", kind, "m.o", "assign.ld"]);
        for words in [&["both.ld"][..], &["-Wl,--defsym=f=g", "both.ld"]] {
            let words = [&[kind, "m.o"], words].concat();
            left_to_lld(&bench, &words, "PROVIDE of f, which bitcode defines");
        }
    }
}

/// The routines that code generation asks for: a shared object that has them wins over an archive that stands before it.
#[test]
fn what_only_code_generation_asks_for() {
    let bench = Bench::new();
    let copy = "struct big { char bytes[4000]; }; void copy(struct big *to, struct big *from) { *to = *from; }\n";
    let own = "typedef unsigned long size;\n\
               void *memcpy(void *to, const void *from, size n)\n\
               { char *a = to; const char *b = from; while (n--) { *a++ = *b++; __asm__ volatile(\"\"); } return to; }\n";
    bench
        .compile("m.c", "struct big; void copy(struct big *, struct big *); int main(void) { static char a[4000], b[4000]; copy((struct big *)a, (struct big *)b); return a[5]; }\n", THIN)
        .compile("copy.c", copy, THIN)
        .compile("own.c", own, &["-flto=thin", "-O2", "-fPIC", "-fno-builtin"])
        .compile("nown.c", own, &["-O2", "-fPIC", "-fno-builtin"])
        .compile("wide.c", "int main(int c, char **v) { volatile __int128 x = c; return (int)(x * 1000 / (c + 7)) - 125; }\n", THIN)
        .ar(&["rc", "own.a", "own.o"])
        .ar(&["rc", "nown.a", "nown.o"]);
    for words in [
        &["m.o", "copy.o", "own.a"][..],
        &["m.o", "copy.o", "own.a", "-static"],
        &["m.o", "copy.o", "nown.a"],
        &["wide.o"],
        &["wide.o", "-static"],
    ] {
        alike(&bench, words);
    }
}

#[test]
fn reports_of_resolution_are_llds() {
    let bench = dead_caller();
    for option in [
        "--why-extract=-",
        "--warn-backrefs",
        "--print-archive-stats=-",
        "--trace",
    ] {
        let words = |output: &'static str| {
            [
                "two.a",
                "m.o",
                "other.a",
                "-lc",
                "-L/usr/lib/x86_64-linux-gnu",
                "-e",
                "main",
                option,
                "-o",
                output,
            ]
        };
        let inside = bench.direct(&words("out")).ok();
        let ours = bench.through(&words("out")).ok();
        assert_eq!(ours.mode(), "distributed");
        assert_eq!(ours.stdout, inside.stdout, "{option}");
        assert_eq!(ours.stderr, inside.stderr, "{option}");
    }
}

/// LTO removes a hidden symbol to which only a shared object refers. A member that defines it too is not extracted for that.
#[test]
fn a_shared_object_extracts_nothing_more() {
    let bench = Bench::new();
    bench
        .compile(
            "m.c",
            "__attribute__((visibility(\"hidden\"))) int near = 3; int live(void) { return 1; }\n",
            THIN,
        )
        .compile("s.c", "extern int near; int of_shared(void) { return near; }\n", NATIVE)
        .compile(
            "late.c",
            "__attribute__((weak)) int near = 301; int late(void) { return 5; }\n",
            NATIVE,
        )
        .compile("other.c", "int other(void) { return 5; }\n", NATIVE)
        .ar(&["rc", "late.a", "late.o"])
        .ar(&["rc", "other.a", "other.o"]);
    let shim = bench.shim().to_str().unwrap().to_owned();
    bench.drive("clang", &shim, &["-shared", "s.o", "-o", "libs.so"]).ok();
    alike(&bench, &["-shared", "m.o", "other.a", "libs.so"]);
    for lazy in [&["late.a"][..], &["-Wl,--start-lib", "late.o", "-Wl,--end-lib"]] {
        let words = [&["-flto=thin", "-shared", "m.o"], lazy, &["libs.so", "-o", "our.out"]].concat();
        let ours = bench.drive("clang", &shim, &words);
        let reason = "near, which LTO removes and another file refers to, is in late.";
        assert!(ours.reason().starts_with(reason), "{}", ours.reason());
    }
}

/// Of members of one name, only those that were loaded ask for a symbol's visibility.
#[test]
fn a_member_that_is_not_loaded_asks_for_no_visibility() {
    let bench = Bench::new();
    let hidden = "extern __attribute__((visibility(\"hidden\"))) int v; int g(void);\n";
    bench
        .compile("m.c", "int f(void); int entry(void) { return f(); }\n", NATIVE)
        .compile(
            "a/same.c",
            &format!("{hidden} int f(void) {{ return g(); }} int unused(void) {{ return v; }}\n"),
            THIN,
        )
        .compile("b/same.c", "extern int v; int g(void) { return v++; }\n", THIN)
        .compile(
            "c/same.c",
            &format!("{hidden} __attribute__((weak)) int g(void) {{ return v; }}\n"),
            NATIVE,
        )
        .compile("d.c", "int v = 5;\n", THIN)
        .write("v.map", "{ global: entry; v; local: *; };\n");
    bench
        .ar(&["qc", "lib.a", "a/same.o"])
        .ar(&["qc", "lib.a", "b/same.o"])
        .ar(&["qc", "lib.a", "c/same.o"]);
    alike(
        &bench,
        &["-shared", "-Wl,--version-script=v.map", "m.o", "lib.a", "d.o"],
    );
}

/// Members of one name for ThinLTO and for regular LTO: each stands where it was loaded.
#[test]
fn members_of_one_name_for_both_kinds_of_lto() {
    let bench = Bench::new();
    let constructor = |name: &str| {
        format!(
            "int puts(const char *); int {name}; __attribute__((constructor)) static void c(void) {{ puts(\"{name}\"); }}\n"
        )
    };
    bench
        .compile(
            "main.c",
            "extern int whole, second, first; int *all[] = {&whole, &second, &first}; int main(void) { return 0; }\n",
            NATIVE,
        )
        .compile("thin/same.c", &constructor("first"), THIN)
        .compile("full/same.c", "int whole;\n", &["-flto", "-O2", "-fPIC"])
        .compile("second.c", &constructor("second"), THIN);
    bench
        .ar(&["qc", "same.a", "thin/same.o"])
        .ar(&["qc", "same.a", "full/same.o"])
        .ar(&["qc", "second.a", "second.o"]);
    alike(&bench, &["same.a", "second.a", "main.o"]);
}

/// Where a shared object or a member that was not loaded would decide otherwise than in-process, lld makes the link.
#[test]
fn what_is_not_distributed_is_named() {
    let bench = Bench::new();
    bench
        .compile("m.c", "int f(void) { return 1; } int entry(void) { return 2; }\n", THIN)
        .compile(
            "asks.c",
            "__attribute__((weak, visibility(\"hidden\"))) int f(void); int g(void) { return f ? f() : 0; }\n",
            THIN,
        )
        .compile("defines.c", "int v[4] = {1}; int f(void) { return 3; }\n", NATIVE)
        .compile("common.c", "int v[2];\n", &["-flto=thin", "-O2", "-fPIC", "-fcommon"])
        .compile("uses.c", "int f(void); int u(void) { return f(); }\n", THIN)
        .compile(
            "perhaps.c",
            "__attribute__((weak)) int none(void); int unused(void) { return none ? none() : 0; }\n",
            THIN,
        )
        .compile(
            "asks_for_none.c",
            "int none(void); int asks(void) { return none(); }\n",
            NATIVE,
        )
        .compile(
            "assembly.c",
            "__asm__(\".text\\n.globl near\\n.hidden near\\nnear: ret\"); int h(void) { return 1; }\n",
            THIN,
        )
        .compile(
            "dead.c",
            "int g(void); __attribute__((visibility(\"hidden\"))) int unused(void) { return g(); }\n",
            THIN,
        )
        .compile(
            "versioned.c",
            "__attribute__((used)) int second(void) { return 2; } __asm__(\".symver second, f@@V2\");\n",
            THIN,
        )
        .write("local.map", "{ global: entry; local: *; };\n")
        .write("v.map", "V1 { global: entry; f; local: *; }; V2 { };\n")
        .write("provide.ld", "PROVIDE(f = none);\n");
    let shim = bench.shim().to_str().unwrap().to_owned();
    bench
        .drive("clang", &shim, &["-shared", "defines.o", "-o", "libs.so"])
        .ok();
    bench
        .drive("clang", &shim, &["-shared", "asks_for_none.o", "-o", "libasks.so"])
        .ok();
    bench.ar(&["rc", "defines.a", "defines.o"]);
    bench
        .ar(&["rc", "versioned.a", "versioned.o"])
        .ar(&["rc", "uses.a", "uses.o"]);
    bench
        .write("versions.map", "V1 { local: *; }; V2 { };\n")
        .compile(
            "symver.c",
            "__attribute__((used)) int two(void) { return 2; } __asm__(\".symver two, f2@@V2\");\n",
            THIN,
        )
        .ar(&["rc", "symver.a", "symver.o"]);
    let links: [(&[&str], &str); 11] = [
        (
            &[
                "-Wl,--version-script=versions.map,--exclude-libs=symver.a,-uf2",
                "m.o",
                "symver.a",
            ],
            "exclude-libs of f2@@V2, which has its version by name",
        ),
        (
            &["-Wl,--version-script=local.map", "m.o", "libs.so", "provide.ld"],
            "PROVIDE of f, which bitcode defines",
        ),
        (
            &["uses.o", "libs.so", "asks.o"],
            "f, which is kept from other files and a shared object alone defines",
        ),
        (
            &["-Wl,--version-script=v.map", "m.o", "versioned.a"],
            "f takes its version from a member that is not loaded",
        ),
        (
            &["-Wl,-e,g", "dead.o"],
            "g, which an option looks up and only bitcode refers to",
        ),
        (
            &["-Wl,--wrap=u", "m.o", "uses.a"],
            "--wrap of u, which bitcode defines that is not loaded",
        ),
        (
            &["-Wl,--version-script=local.map", "m.o", "defines.a", "provide.ld"],
            "PROVIDE of f, which bitcode defines",
        ),
        (
            &["-Wl,--version-script=local.map", "m.o", "perhaps.o", "libasks.so"],
            "none, which LTO removes and a shared object refers to",
        ),
        (
            &["-Wl,--gc-sections", "assembly.o"],
            "--gc-sections, and near, which module assembly hides",
        ),
        (
            &["common.o", "libs.so"],
            "v, a common symbol in bitcode or beside it, which a shared object defines",
        ),
        (
            &["-Wl,--undefined-glob=g*", "dead.o"],
            "g, which an option looks up and only bitcode refers to",
        ),
    ];
    for (words, reason) in links {
        left_to_lld(&bench, &[&["-shared"], words].concat(), reason);
    }
}

/// What a shared object names is exported until LTO's object says that it is hidden, and so is no garbage.
#[test]
fn garbage_that_module_assembly_hides_and_a_shared_object_names() {
    let bench = Bench::new();
    bench
        .compile(
            "m.c",
            "__asm__(\".text\\n.globl f\\n.hidden f\\n.type f,@function\\nf: ret\\n.size f, .-f\"); int main(void) { return 0; }\n",
            THIN,
        )
        .compile("f.c", "int f(void) { return 1; }\n", NATIVE);
    let shim = bench.shim().to_str().unwrap().to_owned();
    bench.drive("clang", &shim, &["-shared", "f.o", "-o", "libf.so"]).ok();
    alike(&bench, &["-flto=thin", "-Wl,--gc-sections", "m.o"]);
    let reason = "--gc-sections, and f, which module assembly hides";
    left_to_lld(&bench, &["-Wl,--gc-sections", "libf.so", "m.o"], reason);
}

/// lld keeps a symbol from a shared object that defines it if it is not visible by then. In in-process order bitcode's weak
/// reference is read later than that.
#[test]
fn a_weak_reference_that_keeps_a_symbol_from_a_shared_object() {
    let mut bench = Bench::new();
    bench
        .compile(
            "m.c",
            "__attribute__((weak, visibility(\"protected\"))) int f(void); int g(void) { return f ? f() : 0; }\n",
            &["-O2", "-flto=thin", "-fPIC"],
        )
        .compile("uses.c", "int f(void); int h(void) { return f(); }\n", &["-fPIC"])
        .compile("f.c", "int f(void) { return 5; }\n", &["-fPIC"]);
    let shim = bench.shim().to_str().unwrap().to_owned();
    bench.drive("clang", &shim, &["-shared", "f.o", "-o", "libf.so"]).ok();
    let words = ["-flto=thin", "-shared", "m.o", "libf.so", "uses.o", "-o", "our.so"];
    let inside = bench.drive("clang", &bench.lld(), &words);
    assert!(
        inside.stderr.contains("undefined protected symbol: f"),
        "{}",
        inside.stderr
    );
    let ours = bench.drive("clang", &shim, &words);
    assert!(ours.stderr.contains("undefined protected symbol: f"), "{}", ours.stderr);
    bench.env("THINLTO_LD_ORDER", "in-process");
    let ours = bench.drive("clang", &shim, &words);
    assert_eq!(
        ours.reason(),
        "f, which is kept from other files and a shared object alone defines"
    );
}

/// What `--wrap` and `--exclude-libs` do with symbols that are defined in two places, or not any more.
#[test]
fn a_wrapped_or_excluded_symbol_that_cannot_be_said_to_a_second_link() {
    let bench = Bench::new();
    let wrapper = "int __real_f(void); int __wrap_f(void) { return 1000 + __real_f(); }\n";
    bench
        .compile("strong.c", "int f(void) { return 1; }\n", THIN)
        .compile(
            "assembly.c",
            "__asm__(\".text\\n.weak f\\n.type f,@function\\nf: ret\\n.size f, .-f\");\n",
            THIN,
        )
        .compile("wraps.c", wrapper, THIN)
        .compile("nwraps.c", wrapper, NATIVE)
        .compile("nweak.c", "__attribute__((weak)) int f(void) { return 3; }\n", NATIVE)
        .compile("nstrong.c", "int f(void) { return 2; }\n", NATIVE)
        .compile(
            "perhaps.c",
            "__attribute__((weak)) int f(void); int g(void) { return f ? f() : 0; }\n",
            THIN,
        )
        .compile("main.c", "int main(void) { return 0; }\n", THIN)
        .compile(
            "later.c",
            "int f(void); __attribute__((weak, visibility(\"hidden\"))) int dead(void) { return f() * 3; } int h(void) { return 4; }\n",
            THIN,
        )
        .compile(
            "wrapped.c",
            "__attribute__((weak, visibility(\"hidden\"))) int f(void) { return 5; }\n",
            THIN,
        )
        .compile("calls.c", "int f(void); int main(void) { return f(); }\n", THIN)
        .compile(
            "hidden.c",
            "__attribute__((weak, visibility(\"hidden\"))) int f(void); int g(void) { return f ? f() : 0; }\n",
            THIN,
        )
        .write("provide.ld", "PROVIDE(g = main);\n")
        .ar(&["rc", "strong.a", "strong.o"])
        .ar(&["rc", "late.a", "nwraps.o", "later.o", "wrapped.o"]);
    let shim = bench.shim().to_str().unwrap().to_owned();
    bench
        .drive("clang", &shim, &["-shared", "nweak.o", "-o", "libweak.so"])
        .ok();
    let links: [(&[&str], &str); 7] = [
        (
            &["-Wl,--wrap=f", "assembly.o", "wraps.o", "strong.o"],
            "--wrap of f, which a native object or assembly defines weakly and bitcode does not",
        ),
        (
            &[
                "-Wl,--wrap=f,--unresolved-symbols=ignore-all",
                "main.o",
                "wraps.o",
                "libweak.so",
            ],
            "--wrap of f, whose wrapper LTO removes",
        ),
        (
            &["-shared", "-Wl,--wrap=f", "hidden.o", "wraps.o"],
            "--wrap of f, which bitcode keeps from other files",
        ),
        (
            &["-shared", "-Wl,--defsym=d=h,--wrap=f", "main.o", "late.a"],
            "--wrap, and __wrap_f is in late.a(nwraps.o), which is not loaded",
        ),
        (
            &[
                "-shared",
                "-Wl,--wrap=f",
                "nwraps.o",
                "perhaps.o",
                "-Wl,--start-lib",
                "nstrong.o",
                "-Wl,--end-lib",
            ],
            "--wrap, and f is in nstrong.o, which is not loaded",
        ),
        (
            &["-Wl,--wrap=f", "calls.o", "strong.o", "wraps.o", "provide.ld"],
            "--wrap beside PROVIDE",
        ),
        (
            &[
                "-Wl,--exclude-libs=strong.a,--whole-archive",
                "strong.a",
                "-Wl,--no-whole-archive",
                "main.o",
                "assembly.o",
            ],
            "exclude-libs of f, which module assembly defines too",
        ),
    ];
    for (words, reason) in links {
        left_to_lld(&bench, words, reason);
    }
}

/// A list of exports names symbols of members that stay in their archive, too.
#[test]
fn an_exported_symbol_that_stays_in_its_archive() {
    let bench = Bench::new();
    bench
        .compile(
            "m.c",
            "__attribute__((weak)) int f(void); __attribute__((weak)) int g(void) { return f ? f() : 0; }\n\
             int main(void) { return g(); }\n",
            THIN,
        )
        .compile("f.c", "int f(void) { return 5; }\n", THIN)
        .ar(&["rc", "f.a", "f.o"]);
    let shim = bench.shim().to_str().unwrap().to_owned();
    let words = [
        "-flto=thin",
        "-static-pie",
        "-Wl,--export-dynamic-symbol=f*",
        "f.a",
        "m.o",
        "-o",
        "our.out",
    ];
    let ours = bench.drive("clang", &shim, &words);
    assert_eq!(
        ours.reason(),
        "f, which may be exported and is in a member that is not loaded"
    );
}

/// A weak definition in bitcode asks for no wrapper; a reference that only bitcode makes would.
#[test]
fn a_wrapper_that_stays_in_its_archive() {
    let bench = Bench::new();
    bench
        .compile(
            "m.c",
            "__attribute__((weak)) int w(void) { return 1; } int main(void) { return 0; }\n",
            THIN,
        )
        .compile(
            "wraps.c",
            "int __real_w(void); int w(void) { return 2; } int __wrap_w(void) { return 3 + __real_w(); }\n",
            &[],
        )
        .ar(&["rc", "wraps.a", "wraps.o"]);
    let shim = bench.shim().to_str().unwrap().to_owned();
    let words = ["-flto=thin", "-Wl,--wrap=w", "m.o", "wraps.a", "-o", "our.out"];
    let ours = bench.drive("clang", &shim, &words);
    assert_eq!(
        ours.reason(),
        "--wrap, and __wrap_w is in wraps.a(wraps.o), which is not loaded"
    );
}

/// A wrapped symbol to which bitcode alone refers, weakly, and whose wrapper goes with garbage collection.
#[test]
fn a_wrapped_symbol_that_nobody_defines() {
    let bench = Bench::new();
    bench
        .compile(
            "m.c",
            "int __real_f(void); int __wrap_f(void) { return 1 + __real_f(); } int main(void) { return 0; }\n",
            THIN,
        )
        .compile(
            "n.c",
            "__attribute__((weak)) int f(void); int unused(void) { return f ? f() : 0; }\n",
            THIN,
        );
    alike(&bench, &["-Wl,--wrap=f,--gc-sections", "m.o", "n.o"]);
}
