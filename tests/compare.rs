//! `thinlto compare`: real links made both ways, links made to differ, links of which nothing can be told.
//! Knows nothing of how links are compared; each test is a command line, an exit status and what is named.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use common::{Bench, Outcome};
use serde_json::Value;

const THINLTO: &str = env!("CARGO_BIN_EXE_thinlto");
const THIN: &[&str] = &["-flto=thin", "-O2", "-g"];

/// `thinlto compare --json -- LINE`, its exit status and its answer.
fn compare(bench: &Bench, line: &[&str]) -> (i32, Value) {
    let mut all = vec!["compare", "--json", "--"];
    all.extend(line);
    let outcome = bench.run(THINLTO, &all);
    let answer = serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", outcome.stdout, outcome.stderr));
    (outcome.status, answer)
}

fn equivalent(bench: &Bench, line: &[&str]) -> Value {
    let (status, answer) = compare(bench, line);
    assert_eq!((status, &answer["verdict"]), (0, &"equivalent".into()), "{answer:#}");
    assert_eq!(answer["objects"]["identical"], answer["objects"]["total"], "{answer:#}");
    assert!(answer["objects"]["total"].as_u64().unwrap() > 0);
    bench.tidy();
    answer
}

fn different(bench: &Bench, line: &[&str]) -> Value {
    let (status, answer) = compare(bench, line);
    assert_eq!((status, &answer["verdict"]), (1, &"different".into()), "{answer:#}");
    bench.tidy();
    answer
}

fn unknown(bench: &Bench, line: &[&str]) -> String {
    let (status, answer) = compare(bench, line);
    assert_eq!((status, &answer["verdict"]), (2, &"unknown".into()), "{answer:#}");
    bench.tidy();
    answer["why"].as_str().unwrap().to_owned()
}

/// Names of what differs in the outputs, with the aspect before.
fn differences(answer: &Value) -> Vec<String> {
    let all = answer["output"]["differences"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.iter()
        .map(|one| format!("{} {}", text(&one["aspect"]), text(&one["name"])))
        .collect()
}

/// A C++ program of two modules, one in an archive beside a native object.
fn program() -> Bench {
    let bench = Bench::new();
    bench
        .compile(
            "main.cc",
            "#include <cstdio>\n#include <stdexcept>\n#include <string>\nint f(int); int n(int); static std::string s = \"text\";\n\
             static int step(int x) { return f(x) + 1; }\n\
             int main(int c, char **) { try { std::printf(\"%d %s\\n\", step(c) + n(c), s.c_str()); } catch (std::exception &) \
             { return 1; } }\n",
            THIN,
        )
        .compile(
            "f.cc",
            "#include <stdexcept>\nint g(int); thread_local int calls;\n\
             __attribute__((noinline)) int f(int x) { ++calls; if (x > 100) throw std::runtime_error(\"big\"); \
             switch (x) { case 1: return g(4); case 2: return 17; case 3: return g(1); case 4: return 99; case 5: return g(2) * 2; } return calls; }\n",
            THIN,
        )
        .compile("g.cc", "extern int table[]; int g(int x) { return table[x] * 3; } int table[5] = {1, 2, 3, 4, 5};\n", THIN)
        .compile("n.cc", "#include <cmath>\nint n(int x) { return int(std::cbrt(x)); }\n", &["-O2"])
        .ar(&["rc", "libfg.a", "f.o", "n.o", "g.o"]);
    bench
}

const LINE: [&str; 6] = ["clang++-22", "-flto=thin", "-fuse-ld=lld", "main.o", "libfg.a", "-oout"];

#[test]
fn a_program_is_the_same_both_ways_and_nothing_of_the_users_is_touched() {
    let bench = program();
    bench
        .write("out", "theirs")
        .write("out.map", "theirs")
        .write("out.d", "theirs")
        .write("objects", "theirs");
    let mut line = LINE.to_vec();
    line.extend([
        "-Wl,-Map=out.map,--dependency-file=out.d,--lto-obj-path=objects,--thinlto-cache-dir=kept",
        "-Wl,--build-id",
    ]);
    let answer = equivalent(&bench, &line);
    assert_eq!(answer["objects"]["total"], 3);
    assert_eq!(answer["llvm"].as_str().unwrap().split('.').next(), Some("22"));
    for file in ["out", "out.map", "out.d", "objects"] {
        assert_eq!(bench.text(file), "theirs");
    }
    assert!(!bench.path("kept").exists());
    for side in ["in_process", "distributed"] {
        let cost = &answer[side];
        assert!(cost["wall_ms"].as_f64().unwrap() > 0.0 && cost["cpu_ms"].as_f64().unwrap() > 0.0);
        assert!(cost["peak_bytes"].as_u64().unwrap() > 1_000_000);
        assert_eq!(cost["phases"].as_array().unwrap().len(), 4, "{cost:#}");
    }
    assert_eq!(answer["distributed"]["compiled"], 3, "no cache stands between");
}

#[test]
fn a_shared_library_with_versions_and_a_relocatable_link_are_the_same() {
    let bench = program();
    bench.write(
        "versions",
        "V1 { global: extern \"C++\" { \"f(int)\"; }; local: *; };\n",
    );
    bench.compile(
        "fpic.cc",
        "int h(int); int f(int x) { return h(x) + 1; }\n",
        &["-flto=thin", "-O2", "-fPIC"],
    );
    bench.compile(
        "hpic.cc",
        "int h(int x) { return x * 7; }\n",
        &["-flto=thin", "-O2", "-fPIC"],
    );
    let shared = [
        "clang++-22",
        "-flto=thin",
        "-fuse-ld=lld",
        "-shared",
        "fpic.o",
        "hpic.o",
        "-o",
        "f.so",
        "-Wl,--version-script=versions,-soname,f.so.1",
    ];
    equivalent(&bench, &shared);
    let answer = equivalent(&bench, &["ld.lld-22", "-r", "-o", "all.o", "f.o", "n.o", "g.o"]);
    assert_eq!(answer["objects"]["total"], 2);
    assert!(!bench.path("f.so").exists() && !bench.path("all.o").exists());
}

#[test]
fn the_regular_partition_counts_as_an_object() {
    let bench = Bench::new();
    bench
        .compile(
            "thin.c",
            "int r(int); int main(int c, char **v) { return r(c); }\n",
            THIN,
        )
        .compile("regular.c", "int r(int x) { return x * 5; }\n", &["-flto=full", "-O2"]);
    let answer = equivalent(&bench, &["ld.lld-22", "-e", "main", "thin.o", "regular.o", "-o", "out"]);
    assert_eq!(answer["objects"]["total"], 2);
}

/// Asked for objects, in-process lld links an empty one more, which does not say that it was made for IBT.
#[test]
fn what_comes_of_comparing_is_no_difference() {
    let bench = Bench::new();
    let ibt = ["-flto=thin", "-O2", "-fcf-protection"];
    bench
        .compile("a.c", "int b(int); int a(int x) { return b(x) + 1; }\n", &ibt)
        .compile("b.c", "int b(int x) { return x * 3; }\n", &ibt);
    let answer = equivalent(&bench, &["ld.lld-22", "-r", "a.o", "b.o", "-o", "all.o"]);
    let allowed = answer["output"]["allowed"].to_string();
    assert!(allowed.contains(".note.gnu.property"), "{answer:#}");
}

/// Without exceptions lld has no duplicates: laid out its way, every byte is the same.
#[test]
fn a_difference_of_order_alone_is_shown_to_be_one() {
    let bench = Bench::new();
    bench
        .compile(
            "a.c",
            "int b(int), n(int); int main(int c, char **v) { return b(c) + n(c); }\n",
            THIN,
        )
        .compile("n.c", "int n(int x) { return x + 1; }\n", &["-O2"])
        .compile(
            "b.c",
            "__attribute__((noinline)) int b(int x) { return x * 3; }\n",
            THIN,
        );
    let answer = equivalent(&bench, &["ld.lld-22", "-e", "main", "a.o", "n.o", "b.o", "-o", "out"]);
    assert_eq!(answer["output"]["likeness"], "order", "{answer:#}");
}

#[test]
fn saved_commands_are_links_too() {
    let bench = program();
    bench.write(
        ".all.o.cmd",
        "savedcmd_all.o := ld.lld-22  -r -o all.o 'f.o' n.o g.o ; ./objtool all.o\n\nx := y\n",
    );
    bench.write(
        "line",
        "# what cargo says\nLC_ALL=\"C\" clang++-22 -flto=thin -fuse-ld=lld \\\n  main.o \"libfg.a\" && echo done\n",
    );
    equivalent(&bench, &[".all.o.cmd"]);
    equivalent(&bench, &["@line"]);
    let kept = bench.run(THINLTO, &["compare", "--keep", "kept", "--", "@line"]).ok();
    assert!(kept.stdout.starts_with("equivalent: "), "{}", kept.stdout);
    assert!(kept.stdout.contains("objects   3 of 3 identical"), "{}", kept.stdout);
    assert_eq!(
        bench.read("kept/in-process/object.1"),
        bench.read("kept/distributed/object.1")
    );
}

#[test]
fn a_drivers_line_that_compiles_too_does_so_out_of_sight() {
    let bench = program();
    equivalent(
        &bench,
        &[
            "clang++-22",
            "-flto=thin",
            "-O1",
            "-fuse-ld=lld",
            "main.cc",
            "f.cc",
            "g.o",
            "n.o",
            "-o",
            "out",
        ],
    );
    assert!(!bench.path("out").exists());
    let outcome = bench.run(
        THINLTO,
        &[
            "compare",
            "--",
            "clang++-22",
            "-MD",
            "-flto=thin",
            "-fuse-ld=lld",
            "main.cc",
            "libfg.a",
        ],
    );
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("compile first"), "{}", outcome.stderr);
}

#[test]
fn one_object_built_with_another_option_is_named_with_its_function() {
    let mut bench = program();
    bench.clang_standing_before(
        "clang",
        "case $object in *f.o) set -- \"$@\" -O0;; esac\ncompile \"$@\"",
    );
    let answer = different(&bench, &LINE);
    let differing = answer["objects"]["differing"].as_array().unwrap();
    assert_eq!(differing.len(), 1, "{answer:#}");
    let object = &differing[0];
    assert_eq!(
        (
            &object["kind"],
            object["module"].as_str().unwrap().starts_with("libfg.a(f.o")
        ),
        (&"code".into(), true)
    );
    let function = &object["symbols"][0];
    assert_eq!(
        (&function["name"], &function["what"]),
        (&"_Z1fi".into(), &"differs".into())
    );
    let listing: Vec<&str> = function["listing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    assert!(
        listing.iter().any(|line| line.starts_with("- ")) && listing.iter().any(|line| line.starts_with("+ ")),
        "{listing:?}"
    );
    assert!(
        listing.iter().any(|line| line.contains("mov") || line.contains("push")),
        "disassembled: {listing:?}"
    );
    assert!(answer["why"].as_str().unwrap().contains("1 of 3 objects"));
}

#[test]
fn where_only_debug_info_differs_it_is_said_and_the_code_is_the_same() {
    let mut bench = program();
    bench.clang_standing_before("clang", "compile \"$@\" --compress-debug-sections=zlib");
    let (status, answer) = compare(&bench, &LINE);
    assert_eq!((status, &answer["objects"]["identical"]), (0, &0.into()), "{answer:#}");
    let kinds: Vec<&Value> = answer["objects"]["differing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["kind"])
        .collect();
    assert_eq!(kinds, ["debug-info"; 3]);
}

/// A linker that is the real one, but for what it does after the final link.
fn linker_that_then(bench: &mut Bench, body: &str) {
    let real = which::which("ld.lld-22").unwrap();
    let script = format!(
        "#!/bin/sh\nout= last=\nfor word; do case $last in -o) out=$word;; esac; last=$word; done\n\
         case \" $* \" in *--thinlto-index-only*|*--lto-obj-path*|*--version*) exec {real} \"$@\";; esac\n\
         {real} \"$@\" || exit\n{body}\n",
        real = real.display()
    );
    let path = bench.write_program("ld.lld", &script);
    bench.env("THINLTO_LD_LINKER", path.to_str().unwrap());
}

#[test]
fn a_symbol_that_is_dropped_is_named() {
    let mut bench = program();
    linker_that_then(&mut bench, "llvm-objcopy-22 --strip-symbol=_Z1gi \"$out\"");
    let answer = different(&bench, &LINE);
    assert_eq!(differences(&answer), ["symbol _Z1gi"], "{answer:#}");
}

#[test]
fn a_byte_of_data_and_a_byte_of_code_that_are_changed_are_named() {
    let mut bench = program();
    // The first bytes of `table` and of `f`, by what objdump says of where they are in the file.
    linker_that_then(
        &mut bench,
        "at() { llvm-objdump-22 -h \"$out\" | awk -v s=\"$1\" '$2 == s { print $4 }'; }\n\
         change() { set -- $(llvm-nm-22 \"$out\" | awk -v n=\"$1\" '$3 == n { print $1 }') \"$2\"\n\
           address=$((0x$1)); section=$((0x$(at \"$2\")))\n\
           offset=$((0x$(llvm-readelf-22 -SW \"$out\" | tr -d '[]' | awk -v s=\"$2\" '$2 == s { print $5 }')))\n\
           printf '\\314' | dd of=\"$out\" bs=1 seek=$((address - section + offset)) conv=notrunc 2> /dev/null; }\n\
         change table .data; change _Z1fi .text",
    );
    let answer = different(&bench, &LINE);
    assert_eq!(differences(&answer), ["code _Z1fi", "data table"], "{answer:#}");
}

/// Two weak definitions of one size: which of them is linked only its bytes tell. It is the same one in both orders; a final linker
/// that reads the other one first is told on.
#[test]
fn a_definition_that_another_took_the_place_of_is_named() {
    let mut bench = Bench::new();
    bench
        .compile("m.c", "int who(void); int main(void) { return who(); }\n", THIN)
        .compile(
            "w1.c",
            "__attribute__((weak, noinline)) int who(void) { return 1; }\n",
            &["-flto=thin", "-O2"],
        )
        .compile(
            "w2.c",
            "__attribute__((weak)) int who(void) { return 2; }\n",
            &["-O2", "-ffunction-sections"],
        );
    let line = ["ld.lld-22", "-e", "main", "m.o", "w1.o", "w2.o", "-o", "out"];
    equivalent(&bench, &line);
    bench.env("THINLTO_LD_ORDER", "in-process");
    equivalent(&bench, &line);
    linker_that_then(&mut bench, "exec ld.lld-22 w2.o \"$@\"");
    let answer = different(&bench, &line);
    assert!(differences(&answer).contains(&"code who".to_owned()), "{answer:#}");
}

/// A switch's table of 12 bytes has no name, and nothing says where it ends: what stands behind it depends on the order of
/// objects. The link in in-process order tells, and where it does not, nothing is claimed.
#[test]
fn data_without_a_name_is_looked_at_in_in_process_order() {
    let mut bench = Bench::new();
    let table = |function: &str, [a, b, c]: [u32; 3]| {
        format!(
            "{function}(int x) {{ switch (x) {{ case 0: return {a}; case 1: return {b}; case 2: return {c}; }} return 5; }}\n"
        )
    };
    let own = table("__attribute__((noinline)) static int own", [1017, 9911, 3014]);
    let main = format!("{own}int f(int), n(int); int main(int c, char **v) {{ return f(c) + n(c) + own(c); }}\n");
    bench
        .compile("m.c", &main, THIN)
        .compile("n.c", &table("int n", [7117, 1199, 8833]), &["-O2"])
        .compile("f.c", &table("int f", [2222, 6161, 4747]), THIN);
    let line = ["ld.lld-22", "-e", "main", "m.o", "n.o", "f.o", "-o", "out"];
    let answer = equivalent(&bench, &line);
    assert_eq!(answer["output"]["likeness"], "order", "{answer:#}");
    // The first byte of the table of 9911.
    linker_that_then(
        &mut bench,
        "offset=$(LC_ALL=C grep -obUaP '\\xb7\\x26\\x00\\x00' \"$out\" | head -n 1 | cut -d: -f1)\n\
         [ -n \"$offset\" ] && printf '\\314' | dd of=\"$out\" bs=1 seek=\"$offset\" conv=notrunc 2> /dev/null",
    );
    let why = unknown(&bench, &line);
    assert!(why.contains("cannot be told to be the same"), "{why}");
}

/// In-process lld has a pointer to what handles exceptions once for each module that throws, since it heeds no COMDAT groups in LTO's
/// objects: everything behind these is elsewhere, and in in-process order they must be there as often.
#[test]
fn in_process_order_has_what_is_grouped_as_often_as_in_process_lld() {
    let bench = Bench::new();
    let catches = "struct S { ~S(); }; int may_throw(int);\n\
                   int NAME(int x) { try { S s; return may_throw(x); } catch (...) { return 8; } }\n";
    let main = "int a(int), b(int); double scale(double);\n\
                int main(int c, char **) { return a(c) + b(c) + int(scale(c) * 7.7); }\n";
    // What stands behind the last constant of eight bytes depends on the order of objects.
    let native = "extern const int other[] = {15, 16, 17, 18, 19, 20, 21, 22, 23}; volatile int at;\n\
                  struct S { ~S(); }; S::~S() {} int may_throw(int x) { if (x > 3) throw x; return other[at]; }\n\
                  double scale(double x) { return x * 6.6; }\n";
    let table = "extern const int table[] = {5, 6, 7, 8, 9, 10, 11, 12, 13}; extern volatile int at;\n\
                 int also() { return table[at]; }\n";
    bench
        .compile("main.cc", &format!("{main}{table}"), THIN)
        .compile("a.cc", &catches.replace("NAME", "a"), THIN)
        .compile("b.cc", &catches.replace("NAME", "b"), THIN)
        .compile("n.cc", native, &["-O2"]);
    let line = [
        "clang++-22",
        "-flto=thin",
        "-fuse-ld=lld",
        "main.o",
        "a.o",
        "b.o",
        "n.o",
        "-oout",
    ];
    let answer = equivalent(&bench, &line);
    let note = answer["notes"][0].as_str().unwrap();
    assert!(note.contains("every place means the same"), "{answer:#}");
}

#[test]
fn a_library_more_is_named_and_a_link_that_only_fails_one_way_differs() {
    let mut bench = program();
    linker_that_then(
        &mut bench,
        "exec REAL --no-as-needed \"$@\" -lz"
            .replace("REAL", "ld.lld-22")
            .as_str(),
    );
    bench.write("libz.so", "INPUT(libreal-z.so)\n");
    bench.clang(&[
        "-shared",
        "-o",
        "libreal-z.so",
        "-xc",
        "/dev/null",
        "-Wl,-soname,libz.so.9",
    ]);
    let mut line = LINE.to_vec();
    line.push("-L.");
    let answer = different(&bench, &line);
    assert!(
        differences(&answer).contains(&"needed library ".to_owned()),
        "{answer:#}"
    );
    linker_that_then(&mut bench, "echo 'ld.lld: error: no room' >&2; exit 1");
    let answer = different(&bench, &line);
    assert_eq!(answer["why"], "only the distributed link fails: ld.lld: error: no room");
}

#[test]
fn what_cannot_be_told_is_said_to_be_so() {
    let bench = program();
    assert!(unknown(&bench, &["ld.lld-22", "n.o", "-o", "out"]).contains("no ThinLTO bitcode"));
    assert!(unknown(&bench, &["ld.lld-22", "main.o", "libfg.a", "-o", "out"]).contains("error: undefined symbol"));
    let mut line = LINE.to_vec();
    line.push("-Wl,--lto-emit-asm");
    assert!(unknown(&bench, &line).contains("--lto-emit-asm"));
    for words in [&["ls", "f.o"][..], &["clang++-22", "-c", "main.cc"], &["@nowhere"]] {
        let mut all = vec!["compare", "--"];
        all.extend(words);
        let outcome = bench.run(THINLTO, &all);
        assert_eq!(outcome.status, 2, "{}", outcome.stderr);
        assert!(outcome.stderr.starts_with("thinlto: error: "), "{}", outcome.stderr);
    }
}

/// A link as a build makes it, compared or not.
fn built(bench: &Bench, words: &[&str], output: &str) -> Outcome {
    let mut all = vec!["-flto=thin", "-o", output];
    all.extend(words);
    bench.drive("clang++", bench.shim().to_str().unwrap(), &all)
}

#[test]
fn every_link_of_a_build_is_compared_and_none_is_changed() {
    let mut bench = program();
    let words = ["main.o", "libfg.a", "-Wl,--build-id"];
    built(&bench, &words, "plain").ok();
    let folder = bench.path("compared");
    bench.env("THINLTO_LD_COMPARE", folder.to_str().unwrap());
    let outcome = built(&bench, &words, "out").ok();
    assert_eq!((outcome.mode(), outcome.stats.len()), ("distributed", 1));
    assert!(outcome.stats[0].get("timeline").is_none());
    assert_eq!(bench.read("plain"), bench.read("out"));
    built(&bench, &["n.o", "-shared"], "n.so").ok();
    let failed = built(&bench, &["main.o"], "bad");
    assert!(
        failed.status != 0 && failed.stderr.contains("undefined symbol: f(int)"),
        "{}",
        failed.stderr
    );
    let kept = built(
        &bench,
        &["main.o", "libfg.a", "-Wl,--lto-obj-path=kept."],
        "with-objects",
    )
    .ok();
    assert_eq!(kept.backends("cached"), 3);
    assert!(bench.path("kept.1").exists() && bench.path("kept.3").exists());
    bench.tidy();

    let report = bench.run(THINLTO, &["compare", "--report", "compared", "--json"]).ok();
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["links"], 4);
    assert_eq!(
        report["modes"],
        serde_json::json!({"distributed": 2, "failed": 1, "passthrough": 1}),
        "{report:#}"
    );
    assert_eq!(report["verdicts"], serde_json::json!({"equivalent": 2}), "{report:#}");
    assert_eq!((&report["objects"], &report["identical"]), (&6.into(), &6.into()));

    bench.clang_standing_before(
        "clang",
        "case $object in *g.o) set -- \"$@\" -O0;; esac\ncompile \"$@\"",
    );
    bench.env("THINLTO_LD_CACHE", "off");
    built(&bench, &words, "differs").ok();
    let report = bench.run(THINLTO, &["compare", "--report", "compared"]);
    assert_eq!(report.status, 1);
    assert!(
        report.stdout.contains("differs in ") && report.stdout.contains("8 of 9 identical"),
        "{}",
        report.stdout
    );
}

/// A third link, in in-process order, takes what the build's own link has just kept.
#[test]
fn no_backend_of_a_build_is_run_twice_to_be_compared() {
    let mut bench = program();
    let (folder, lines) = (bench.path("compared"), bench.path("lines"));
    let script = bench.write_program(
        "scribe",
        &format!("#!/bin/sh\necho run >> '{}'\nexec \"$@\"\n", lines.display()),
    );
    bench
        .env("THINLTO_LD_COMPARE", folder.to_str().unwrap())
        .env("THINLTO_LD_LAUNCHER", script.to_str().unwrap());
    built(&bench, &["main.o", "libfg.a"], "out").ok();
    let report = bench.run(THINLTO, &["compare", "--report", "compared", "--json"]).ok();
    assert!(report.stdout.contains("\"equivalent\""), "{}", report.stdout);
    assert_eq!(bench.text("lines").lines().count(), 3);
}

/// A link whose files would tell of what a comparison adds to it is not compared, and is what it would be without.
#[test]
fn what_a_comparison_would_change_is_not_compared() {
    let mut bench = program();
    let all_files = |bench: &Bench| {
        let entries = fs::read_dir(bench.path("")).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let words = ["main.o", "libfg.a"];
    let folder = bench.path("compared");
    let saved = |bench: &Bench| built(bench, &[&words[..], &["-Wl,--save-temps"]].concat(), "out").ok();
    fs::create_dir(&folder).unwrap();
    saved(&bench);
    let before = all_files(&bench);
    for name in before
        .iter()
        .filter(|name| name.contains(".lto.") || name.ends_with(".bc"))
    {
        fs::remove_file(bench.path(name)).unwrap();
    }
    bench.env("THINLTO_LD_COMPARE", folder.to_str().unwrap());
    saved(&bench);
    assert_eq!(all_files(&bench), before);
    bench.env("THINLTO_LD_NATIVE", "natives");
    built(&bench, &words, "out").ok();
    bench.env("THINLTO_LD_NATIVE", "off");
    bench.env("THINLTO_LD_MODE", "auto");
    built(&bench, &[&words[..], &["-Wl,--reproduce=out.tar"]].concat(), "out").ok();
    let response = bench.run("tar", &["-xOf", "out.tar", "out/response.txt"]).ok().stdout;
    assert!(
        response.contains("--reproduce") || response.contains("main.o"),
        "{response}"
    );
    assert!(!response.contains("lto-obj-path"), "{response}");

    let mut told: Vec<(String, String)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let value: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            assert_eq!(value["verdict"], "unknown", "{value:#}");
            let text = |what: &str| value[what].as_str().unwrap().to_owned();
            (text("mode"), text("why"))
        })
        .collect();
    told.sort();
    let [save_temps, natives, reproduce] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(save_temps.1.starts_with("--save-temps would show"), "{told:?}");
    assert!(natives.1.contains("native or post-backend setting"), "{told:?}");
    assert_eq!(
        (reproduce.0.as_str(), reproduce.1.as_str()),
        ("in-process", "the link is not distributed: --reproduce")
    );
}

/// Two programs of one instruction set that need no library: a module and a native object at each side of another module,
/// so that what stands behind the first has another place in the two links.
fn mixed(bench: &Bench, flags: &[&str], [a, n, b]: [&str; 3]) {
    let modules = [flags, &["-O2", "-ffreestanding", "-flto=thin"]].concat();
    bench.compile("a.c", a, &modules).compile("b.c", b, &modules).compile(
        "n.c",
        n,
        &[flags, &["-O2", "-ffreestanding"]].concat(),
    );
}

/// A linker that takes `wrong.o` for `n.o` in the final link alone: what a link would be that resolved something otherwise.
fn linker_that_takes_another(bench: &mut Bench, flags: &[&str], source: &str) {
    bench.compile("wrong.c", source, &[flags, &["-O2", "-ffreestanding"]].concat());
    linker_that_then(
        bench,
        "for word; do shift; case $word in n.o) word=wrong.o;; esac; set -- \"$@\" \"$word\"; done\nld.lld-22 \"$@\"",
    );
}

/// Of a linked file: changes the bytes of a section at an offset, in octal.
const POKE: &str = "poke() { offset=$((0x$(llvm-readelf-22 -SW \"$out\" | tr -d '[]' | awk -v s=\"$1\" '$2 == s { print $5 }')))\n\
     printf \"$3\" | dd of=\"$out\" bs=1 seek=$((offset + $2)) conv=notrunc 2> /dev/null; }\n";

#[test]
fn a_statically_linked_program_is_the_same() {
    let bench = Bench::new();
    bench
        .compile(
            "main.c",
            "#include <stdio.h>\n#include <string.h>\nint f(const char *, char *);\n\
             int main(int c, char **v) { char b[100]; printf(\"%d %s\\n\", f(v[0], b), b + strlen(b)); return 0; }\n",
            THIN,
        )
        .compile(
            "f.c",
            "#include <string.h>\nint f(const char *s, char *d) { memcpy(d, s, strlen(s) + 1); return strchr(d, '/') != 0; }\n",
            THIN,
        );
    for kind in ["-static", "-static-pie"] {
        let line = ["clang-22", "-flto=thin", "-fuse-ld=lld", kind, "main.o", "f.o", "-oout"];
        equivalent(&bench, &line);
    }
}

/// A module and a native object with a function each that is chosen when the program starts.
const CHOSEN: [&str; 3] = [
    "int one(int), two(int), b(int); int main(int c, char **v) { return two(c) + one(c) + b(c); }\n",
    "static int first(int x) { return x * 33; } static int (*resolve_two(void))(int) { return first; }\n\
     int two(int) __attribute__((ifunc(\"resolve_two\"))); int n(int x) { return two(x) + 1; }\n",
    "static int other(int x) { return x * 5; } static int (*resolve_one(void))(int) { return other; }\n\
     int one(int) __attribute__((ifunc(\"resolve_one\"))); int b(int x) { return one(x) * 3; }\n",
];
const CHOSEN_LINE: [&str; 8] = ["ld.lld-22", "-e", "main", "a.o", "n.o", "b.o", "-o", "out"];

/// Which entry of the procedure linkage table is whose depends on the order of objects; what tells is where it leads to.
#[test]
fn an_entry_of_a_linkage_table_is_what_its_resolver_is() {
    for target in ["x86_64", "i386", "aarch64"] {
        let mut bench = Bench::new();
        let target = format!("--target={target}-linux-gnu");
        mixed(&bench, &[&target], CHOSEN);
        equivalent(&bench, &CHOSEN_LINE);
        if !target.contains("x86_64") {
            continue;
        }
        // Both entries of the table of relocations get the first one's resolver.
        linker_that_then(
            &mut bench,
            &format!(
                "{POKE}llvm-objcopy-22 --dump-section=.rela.dyn=resolvers \"$out\"\n\
                 poke .rela.dyn 40 \"$(dd if=resolvers bs=1 skip=16 count=8 2> /dev/null | od -An -to1 -v | sed 's/ /\\\\/g')\""
            ),
        );
        let answer = different(&bench, &CHOSEN_LINE);
        assert!(
            differences(&answer).iter().any(|one| one.starts_with("code ")),
            "{answer:#}"
        );
    }
}

#[test]
fn a_note_says_where_something_is_wherever_that_is() {
    let mut bench = Bench::new();
    let note = |name: &str, owner: &str| {
        format!(
            "__asm__(\".pushsection .note.probe, \\\"\\\", @note\\n.long 5, 8, 3\\n.asciz \\\"{owner}\\\"\\n.balign 4\\n.quad {name}\\n.popsection\");\n"
        )
    };
    let a = "int n(int), b(int); int main(int c, char **v) { return n(c) + b(c); }\n";
    let n = |noted: &str| {
        format!(
            "int n(int x) {{ return x * 3; }} int n2(int x) {{ return x * 7; }}\n{}",
            note(noted, "good")
        )
    };
    let b = format!(
        "__attribute__((noinline)) int b(int x) {{ return x + 1; }}\n{}",
        note("b", "goad")
    );
    mixed(&bench, &[], [a, &n("n"), &b]);
    equivalent(&bench, &CHOSEN_LINE);
    linker_that_takes_another(&mut bench, &[], &n("n2"));
    assert_eq!(differences(&different(&bench, &CHOSEN_LINE)), ["note .note.probe"]);
}

/// Asked for objects, in-process lld links an empty one more, which does not say that it was made for branch protection.
#[test]
fn what_all_objects_say_the_output_says() {
    for (target, flag) in [
        ("aarch64", "-mbranch-protection=standard"),
        ("x86_64", "-fcf-protection"),
    ] {
        let mut bench = Bench::new();
        let target = format!("--target={target}-linux-gnu");
        mixed(&bench, &[&target, flag], CHOSEN);
        equivalent(&bench, &CHOSEN_LINE);
        linker_that_then(
            &mut bench,
            "llvm-objcopy-22 --remove-section=.note.gnu.property \"$out\"",
        );
        let answer = different(&bench, &CHOSEN_LINE);
        assert!(
            differences(&answer).contains(&"note .note.gnu.property".to_owned()),
            "{answer:#}"
        );
    }
}

#[test]
fn a_line_that_names_its_linker_may_name_the_wrapper() {
    let mut bench = program();
    let executable = |name: &str, text: &str| {
        bench.write_program(name, text);
    };
    fs::create_dir(bench.path("here")).unwrap();
    symlink(env!("CARGO_BIN_EXE_thinlto-ld"), bench.path("here/ld.lld")).unwrap();
    executable("here/mylink", "#!/bin/sh\nexec \"${0%/*}/ld.lld\" \"$@\"\n");
    executable("here/nolink", "#!/bin/sh\necho no linker\n");
    let beside = fs::canonicalize(which::which("clang++-22").unwrap()).unwrap();
    let beside = beside.with_file_name("ld.lld");
    for name in ["ld.lld", "mylink"] {
        let path = format!("--ld-path={}", bench.path("here").join(name).display());
        let line = ["clang++-22", "-flto=thin", path.as_str(), "main.o", "libfg.a", "-oout"];
        let answer = equivalent(&bench, &line);
        let linker = answer["linker"].as_str().unwrap();
        if name == "ld.lld" {
            assert_eq!(fs::canonicalize(linker).unwrap(), fs::canonicalize(&beside).unwrap());
        }
        let explained = bench
            .run(THINLTO, &[&["explain", "--json", "--"], &line[..]].concat())
            .ok();
        let explained: Value = serde_json::from_str(&explained.stdout).unwrap();
        assert_eq!(
            (&explained["route"], &explained["linker"]),
            (&"distributed".into(), &linker.into())
        );
    }
    // The wrapper itself, as make would call it.
    bench.env("THINLTO_LD_LINKER", "ld.lld-22");
    let path = bench.path("here/ld.lld");
    equivalent(
        &bench,
        &[path.to_str().unwrap(), "-r", "-o", "all.o", "f.o", "n.o", "g.o"],
    );
    let path = format!("--ld-path={}", bench.path("here/nolink").display());
    let outcome = bench.run(
        THINLTO,
        &["compare", "--", "clang++-22", "-flto=thin", &path, "main.o", "libfg.a"],
    );
    assert_eq!(outcome.status, 2);
    assert!(
        outcome.stderr.contains("nolink, is neither ld.lld nor clang"),
        "{}",
        outcome.stderr
    );
}

/// A module and a native object with thread-local variables each, one the other's.
const THREADS: [&str; 3] = [
    "extern __thread int shared; static __thread int mine = 7; int b(int), n(int);\n\
     int main(int c, char **v) { mine += c; return b(c) + n(c) + shared + mine; }\n",
    "static __thread int left = 3, right = 5; __thread int shared = 9;\n\
     int n(int x) { left += x; shared++; return left; } int n2(int x) { right += x; return right; }\n",
    "static __thread int third; __attribute__((noinline)) int b(int x) { third += x; return third; }\n",
];

#[test]
fn a_threads_variable_is_told_by_its_name() {
    let shared: &[&str] = &["-shared"];
    for (target, flags, words) in [
        ("x86_64", &[][..], &[][..]),
        ("x86_64", &["-fPIC"], shared),
        ("x86_64", &["-fPIC", "-mtls-dialect=gnu2"], shared),
        ("x86_64", &["-fPIC", "-ftls-model=initial-exec"], shared),
        ("aarch64", &[], &[]),
        ("aarch64", &["-fPIC"], shared),
        ("i386", &["-fPIC"], shared),
    ] {
        let mut bench = Bench::new();
        let target = format!("--target={target}-linux-gnu");
        let flags = [&[target.as_str()], flags].concat();
        mixed(&bench, &flags, THREADS);
        let line = [&CHOSEN_LINE, words].concat();
        equivalent(&bench, &line);
        let wrong = THREADS[1].replace("left +=", "? +=").replace("return left", "return ?");
        let wrong = wrong
            .replace("right +=", "left +=")
            .replace("return right", "return left")
            .replace('?', "right");
        linker_that_takes_another(&mut bench, &flags, &wrong);
        let (status, answer) = compare(&bench, &line);
        assert_eq!(status, 1, "{flags:?}: {answer:#}");
        assert!(
            differences(&answer).contains(&"code n2".to_owned()),
            "{flags:?}: {answer:#}"
        );
        bench.tidy();
    }
}

#[test]
fn what_a_thread_begins_with_is_compared_too() {
    let mut bench = Bench::new();
    mixed(&bench, &[], THREADS);
    linker_that_takes_another(&mut bench, &[], &THREADS[1].replace("right = 5", "right = 6"));
    assert_eq!(differences(&different(&bench, &CHOSEN_LINE)), ["data right"]);
}

/// As the nodes of profiles: where one list ends another begins, or none does.
#[test]
fn the_end_of_a_section_is_no_place_in_the_next() {
    let mut bench = Bench::new();
    let list = |name: &str, value: u32| {
        format!(
            "__attribute__((section(\"{name}\"), used)) static int in_{name} = {value}; extern int __start_{name}[], __stop_{name}[];\n"
        )
    };
    let a = format!(
        "{}int n(void); int b(void); int *volatile mine; int main(void) {{ mine = __stop_nodes; return n() + b(); }}\n",
        list("nodes", 1)
    );
    let n = |[one, other]: [&str; 2]| {
        format!(
            "{}{}int *volatile ends[] = {{__stop_{one}, __stop_{other}}}; int n(void) {{ return ends[0] != ends[1]; }}\n",
            list("counts", 2),
            list("nodes", 3)
        )
    };
    let b = format!(
        "{}__attribute__((section(\"counts\"), used)) static int more[2] = {{5, 6}}; int *volatile first = __start_counts; int b(void) {{ return *first; }}\n",
        list("counts", 4)
    );
    mixed(&bench, &[], [&a, &n(["nodes", "counts"]), &b]);
    equivalent(&bench, &CHOSEN_LINE);
    linker_that_takes_another(&mut bench, &[], &n(["counts", "nodes"]));
    assert_eq!(differences(&different(&bench, &CHOSEN_LINE)), ["data ends"]);
}

/// What programs that count their own branches are made of, with the part that is not compiled here left out.
#[test]
fn programs_that_profile_themselves_are_the_same() {
    for flags in [
        &["-fprofile-generate"][..],
        &["-fprofile-instr-generate", "-fcoverage-mapping"],
        &["--coverage"],
    ] {
        let bench = Bench::new();
        let calls = "int n(int), b(int); typedef int (*F)(int);\n\
             int main(int c, char **v) { F all[] = {n, b}; return all[c & 1](c) + b(c); }\n";
        let n =
            "int n(int x) { switch (x) { case 1: return 117; case 2: return 911; case 3: return 314; } return x; }\n";
        let b = "__attribute__((noinline)) int b(int x) { return x < 2 ? x : b(x - 1) + b(x - 2); }\n";
        mixed(&bench, flags, [calls, n, b]);
        let ends = "extern char __start___llvm_prf_vnds[] __attribute__((weak)), __stop___llvm_prf_vnds[] __attribute__((weak));\n\
             char *first = __start___llvm_prf_vnds, *end = __stop___llvm_prf_vnds;\n";
        bench.compile("ends.c", ends, &["-O2"]);
        let line = [&CHOSEN_LINE[..], &["ends.o", "--unresolved-symbols=ignore-all"]].concat();
        equivalent(&bench, &line);
    }
}

/// Packed relocations, and a stripped C++ program, of which no symbol says what handles exceptions.
#[test]
fn tables_of_the_loader_are_told_by_what_they_say() {
    let bench = program();
    for option in ["-Wl,--pack-dyn-relocs=relr", "-Wl,-z,rel", "-Wl,-s", "-static-pie"] {
        let mut line = LINE.to_vec();
        line.push(option);
        let (status, answer) = compare(&bench, &line);
        assert_eq!(status, 0, "{option}: {answer:#}");
    }
}

/// What goes to no file, and what is no link: both are what configure scripts try.
#[test]
fn probes_of_a_configure_script_are_told_apart() {
    let mut bench = program();
    symlink("/dev/null", bench.path("nowhere")).unwrap();
    let before = fs::metadata("/dev/null").unwrap().permissions();
    equivalent(&bench, &[&LINE[..5], &["-o", "nowhere"]].concat());
    let folder = bench.path("compared");
    bench.env("THINLTO_LD_COMPARE", folder.to_str().unwrap());
    built(&bench, &["main.o", "libfg.a"], "nowhere").ok();
    let failed = built(&bench, &["main.o"], "bad");
    assert_eq!(
        failed.stderr.matches("undefined symbol: f(int)").count(),
        1,
        "{}",
        failed.stderr
    );
    assert_eq!(fs::metadata("/dev/null").unwrap().permissions(), before);
    assert!(fs::symlink_metadata(bench.path("nowhere")).unwrap().is_symlink());
    let report = |bench: &Bench| -> Value {
        let outcome = bench.run(THINLTO, &["compare", "--report", "compared", "--json"]);
        serde_json::from_str(&outcome.stdout).unwrap()
    };
    let told = report(&bench);
    assert_eq!(told["verdicts"], serde_json::json!({"equivalent": 1}), "{told:#}");
    assert_eq!(
        (&told["failed"], &told["reasons"]),
        (&1.into(), &serde_json::json!({})),
        "{told:#}"
    );
    assert_eq!(told["doubtful"], serde_json::json!([]), "{told:#}");

    // A link that only we fail to make is another matter.
    linker_that_then(&mut bench, "echo 'ld.lld: error: no room' >&2; exit 1");
    built(&bench, &["main.o", "libfg.a"], "bad");
    let told = report(&bench);
    assert_eq!(
        told["verdicts"],
        serde_json::json!({"equivalent": 1, "different": 1}),
        "{told:#}"
    );
    assert_eq!(told["doubtful"][0]["output_file"], "bad", "{told:#}");
}

#[test]
fn comparing_that_fails_costs_the_build_nothing() {
    let mut bench = program();
    bench.write("not-a-folder", "");
    let folder = bench.path("not-a-folder");
    bench.env("THINLTO_LD_COMPARE", folder.to_str().unwrap());
    let outcome = built(&bench, &["main.o", "libfg.a"], "out").ok();
    assert!(outcome.stderr.contains("is not compared"), "{}", outcome.stderr);
    bench.output_of("out");
    assert_eq!(bench.run(THINLTO, &["compare", "--report", "nowhere"]).status, 2);
}
