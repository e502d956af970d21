//! What runs the backends: the fork server and plain processes make the same objects; what no server can be made of falls back.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Bench;

/// More modules than a fork server is worth starting for.
const MODULES: usize = 12;

fn many(bench: &Bench, flags: &[&str]) -> Vec<String> {
    let mut main = String::from("int printf(const char *, ...);\n");
    let mut sum = String::new();
    let mut objects = vec!["main.o".to_owned()];
    for n in 0..MODULES {
        let next = (n + 1) % MODULES;
        let text = format!(
            "int f{next}(int); int table{n}[8] = {{{n}, 1, 2}};\n\
             int f{n}(int x) {{ int s = 0; for (int i = 0; i < x; i++) s += table{n}[i & 7] ^ i; \
             return x > 100 ? f{next}(x - 100) : s; }}\n"
        );
        bench.compile(&format!("f{n}.c"), &text, flags);
        objects.push(format!("f{n}.o"));
        main += &format!("int f{n}(int);\n");
        sum += &format!("+ f{n}(c + {n})");
    }
    main += &format!("int main(int c, char **v) {{ printf(\"%d\\n\", 0 {sum}); return 0; }}\n");
    bench.compile("main.c", &main, flags);
    objects
}

fn engine(outcome: &common::Outcome) -> (String, String) {
    let backends = &outcome.stats.last().unwrap()["backends"];
    let text = |name: &str| backends[name].as_str().unwrap_or_default().to_owned();
    (text("engine"), text("engine_fallback"))
}

#[test]
fn both_engines_make_in_process_lld_s_objects() {
    for (asked, flags) in [("forkserver", "-O2"), ("process", "-O2"), ("forkserver", "-O1")] {
        let mut bench = Bench::new();
        bench.env("THINLTO_LD_ENGINE", asked).env("THINLTO_LD_CACHE", "off");
        let objects = many(&bench, &["-flto=thin", "-O2", "-g"]);
        let mut words: Vec<&str> = objects.iter().map(String::as_str).collect();
        words.push(flags);
        let outcome = bench.both("clang", &words);
        assert_eq!(engine(&outcome), (asked.to_owned(), String::new()), "{flags}");
        let printed = bench.output_of("in.out");
        bench.both_print(&printed);
    }
}

#[test]
fn every_llvm_s_clang_can_be_a_server() {
    for llvm in [22, 19, 16] {
        let mut bench = Bench::of(llvm);
        bench.env("THINLTO_LD_CACHE", "off");
        let objects = many(&bench, &["-flto=thin", "-O2"]);
        let outcome = bench.both("clang", &objects.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(
            engine(&outcome),
            ("forkserver".to_owned(), String::new()),
            "LLVM {llvm}"
        );
    }
}

/// A script's shell must not be taken for clang, and which compiler it runs cannot be told: nothing is cached.
#[test]
fn a_clang_that_is_a_script_gets_plain_processes_and_no_cache() {
    let mut bench = Bench::new();
    bench.write_program("myclang", "#!/bin/sh\nexec clang-22 \"$@\"\n");
    let script = bench.path("myclang").to_str().unwrap().to_owned();
    bench.env("THINLTO_LD_CLANG", &script);
    let objects = many(&bench, &["-flto=thin", "-O2"]);
    let words: Vec<_> = objects.iter().map(String::as_str).collect();
    for _ in 0..2 {
        let outcome = bench.both("clang", &words);
        assert_eq!(
            engine(&outcome),
            (
                "process".to_owned(),
                "clang does not load the fork server library".to_owned()
            )
        );
        assert_eq!(outcome.backends("cached"), 0);
        assert_eq!(outcome.backends("uncacheable"), 13);
    }
}

#[test]
fn an_error_in_a_forked_backend_reads_as_any_other() {
    let mut bench = Bench::new();
    bench.env("THINLTO_LD_CACHE", "off");
    let mut objects = many(&bench, &["-flto=thin", "-O2"]);
    bench.compile(
        "bad.c",
        "void bad(void) { __asm__ volatile(\"bogus\"); }\n",
        &["-flto=thin", "-O2"],
    );
    objects.push("bad.o".into());
    objects.push("-Wl,--export-dynamic".into());
    let words: Vec<_> = objects.iter().map(String::as_str).collect();
    let outcome = bench.drive("clang", bench.shim().to_str().unwrap(), &words);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome
            .stderr
            .contains("error: bad.o <inline asm>:1:2: invalid instruction mnemonic 'bogus'"),
        "{}",
        outcome.stderr
    );
}

/// fakeroot and its kin are preloaded too, and must stay.
#[test]
fn what_was_preloaded_stays_preloaded() {
    let mut bench = Bench::new();
    bench.write(
        "witness.c",
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n\
        __attribute__((constructor)) static void here(void) {\n\
        char exe[4096]; ssize_t n = readlink(\"/proc/self/exe\", exe, sizeof exe - 1); if (n < 0) return; exe[n] = 0;\n\
        if (!strstr(exe, \"/clang\") || !getenv(\"THINLTO_LD_FORKSERVER\")) return;\n\
        FILE *f = fopen(getenv(\"WITNESS\"), \"a\"); if (f) { fputs(\"here\\n\", f); fclose(f); } }\n",
    );
    bench.clang(&["-shared", "-fPIC", "witness.c", "-o", "witness.so"]);
    let objects = many(&bench, &["-flto=thin", "-O2"]);
    let (library, told) = (bench.path("witness.so"), bench.path("told"));
    bench
        .env("LD_PRELOAD", library.to_str().unwrap())
        .env("WITNESS", told.to_str().unwrap());
    bench.env("THINLTO_LD_CACHE", "off");
    let outcome = bench.both("clang", &objects.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(engine(&outcome).0, "forkserver");
    assert_eq!(bench.text("told"), "here\n");
}
