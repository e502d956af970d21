//! Edits seen through imports: whom an edit of a body reaches, and that whoever it does not reach has the object that
//! in-process LTO would make now.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Bench, Outcome};

const THIN: &[&str] = &["-flto=thin", "-O2"];

/// What others import from: small ones that are inlined, one that is large, some that come with a local symbol.
const LIB: &str = "
    extern int out(int);
    static int state = 1;
    static const char *const words[] = {\"none\", \"one\"};
    static __attribute__((noinline)) int local(int x) { return out(x) * LOCAL; }
    int small(int x) { return x * SMALL + 1; }
    int other(int x) { return out(x) + out(x + OTHER) * 3; }
    int stateful(int x) { state += x; return state * STATE; }
    int through(int x) { return local(x) + 1; }
    const char *word(int x) { return words[x & 1]; }
    int table[4] = {1, 2, 3, 4};
    int entry(int x) { return table[x & 3]; }
    __attribute__((noinline)) int alone(int x) { for (int i = 0; i < 9; i++) x = out(x ^ ALONE); return x; }
";

/// Modules that each import one thing, and one that imports nothing.
const USERS: [(&str, &str); 7] = [
    ("small", "int small(int); int use_small(int x) { return small(x) + 2; }"),
    ("other", "int other(int); int use_other(int x) { return other(x) + 2; }"),
    (
        "stateful",
        "int stateful(int); int use_stateful(int x) { return stateful(x) + 2; }",
    ),
    (
        "through",
        "int through(int); int use_through(int x) { return through(x) + 2; }",
    ),
    (
        "word",
        "const char *word(int); int use_word(int x) { return word(x)[0]; }",
    ),
    ("entry", "int entry(int); int use_entry(int x) { return entry(x) + 2; }"),
    ("out", "int out(int x) { return x + 5; }"),
];

const MAIN: &str = "
    int use_small(int), use_other(int), use_stateful(int), use_through(int), use_word(int), use_entry(int), alone(int);
    int printf(const char *, ...);
    int main(int c, char **v) {
        return printf(\"%d %d %d %d %d %d %d\\n\", use_small(c), use_other(c), use_stateful(c), use_through(c), use_word(c),
                      use_entry(c), alone(c)) < 0;
    }
";

/// The library's numbers, in this order: SMALL OTHER STATE LOCAL ALONE.
fn library(bench: &Bench, numbers: [u32; 5]) {
    let names = ["SMALL", "OTHER", "STATE", "LOCAL", "ALONE"];
    let mut text = LIB.to_owned();
    for (name, number) in names.iter().zip(numbers) {
        text = text.replace(name, &number.to_string());
    }
    bench.compile("lib.c", &text, THIN);
}

fn bench() -> Bench {
    let bench = Bench::new();
    for (name, text) in USERS {
        bench.compile(&format!("{name}.c"), text, THIN);
    }
    bench.compile("main.c", MAIN, THIN);
    library(&bench, [3, 4, 5, 6, 7]);
    bench
}

/// Links both ways with every object compared; how many backends the second ran.
fn run_of(bench: &Bench, more: &[&str]) -> u64 {
    let mut words = vec!["main.o", "lib.o"];
    let users = USERS.map(|(name, _)| format!("{name}.o"));
    words.extend(users.iter().map(String::as_str));
    words.extend(more);
    let outcome: Outcome = bench.both("clang", &words);
    bench.tidy();
    outcome.backends("run")
}

#[test]
fn an_edit_reaches_those_who_import_what_was_edited() {
    for link in [&["-no-pie"][..], &[]] {
        let bench = bench();
        run_of(&bench, link);
        // Itself, those three that import what a local symbol comes with (that is called by the module's hash), and main.o,
        // which imports from all.
        for (numbers, reached, what) in [
            ([3, 4, 5, 6, 8], 5, "a body nobody imports"),
            ([3, 9, 5, 6, 8], 6, "a body that one imports"),
            ([10, 9, 5, 6, 8], 6, "another"),
            ([10, 9, 11, 6, 8], 5, "one that a local symbol comes with"),
            ([10, 9, 11, 12, 8], 5, "the local function"),
        ] {
            library(&bench, numbers);
            assert_eq!(run_of(&bench, link), reached, "{link:?}: {what}");
            assert_eq!(run_of(&bench, link), 0, "{link:?}: {what}, again");
        }
        library(&bench, [3, 4, 5, 6, 7]);
        assert_eq!(run_of(&bench, link), 0, "{link:?}: and back");
    }
}

/// A function with assembly that is imported, and one that is not; `before` moves them.
fn assembler(bench: &Bench, name: &str, before: &str, more: &str) {
    let text = format!(
        "{before}\n extern int out(int);\n void stop_{name}(void) {{ __asm__ volatile(\"ud2\"); {more} __builtin_unreachable(); }}\n\
         __attribute__((noinline)) int alone_{name}(int x) {{ __asm__ volatile(\"nop\"); return out(x); }}\n"
    );
    bench.compile(&format!("{name}.c"), &text, THIN);
}

/// Two such modules, and one that imports from both: where their assembly stands at the same place in either file, it has
/// two statements of one `!srcloc`, and LLVM compares those.
fn bench_of_assembly(llvm: u32) -> Bench {
    let bench = Bench::of(llvm);
    assembler(&bench, "a", "", "");
    assembler(&bench, "b", "", "");
    let user = "void stop_a(void), stop_b(void); int out(int);
        __attribute__((noinline)) int use(int x) { if (x == 5) stop_a(); x = out(x); if (x == 7) stop_b(); return out(x); }";
    bench.compile("user.c", user, THIN);
    let main = "int use(int), alone_a(int), alone_b(int); int out(int x) { return x + 5; }
        int main(int c, char **v) { return use(c) + alone_a(c) + alone_b(c) == 0; }";
    bench.compile("main.c", main, THIN);
    bench
}

/// Links those both ways with every object compared; how many backends ran, and what was said.
fn link_assembly(bench: &Bench) -> (u64, String) {
    let outcome = bench.both("clang", &["main.o", "user.o", "a.o", "b.o"]);
    bench.tidy();
    (outcome.backends("run"), outcome.stderr)
}

#[test]
fn an_edit_that_only_moves_assembly_reaches_nobody_unless_it_makes_two_alike() {
    for llvm in [22, 19, 16] {
        let bench = bench_of_assembly(llvm);
        assert_eq!(link_assembly(&bench).0, 4, "LLVM {llvm}");
        for (name, before, run, what) in [
            ("a", "/**/", 2, "no longer alike"),
            ("a", "/*  */", 1, "further away"),
            ("b", "/*      */", 1, "both moved"),
            ("a", "/*      */", 1, "alike again elsewhere, as at first"),
            ("b", "/*  */", 1, "apart as before"),
        ] {
            assembler(&bench, name, before, "");
            assert_eq!(link_assembly(&bench).0, run, "LLVM {llvm}: {what}");
        }
    }
}

#[test]
fn what_is_said_of_assembly_that_was_moved_is_said_anew() {
    let bench = bench_of_assembly(22);
    let warning = "__asm__ volatile(\".warning \\\"hey\\\"\");";
    assembler(&bench, "a", "", warning);
    let (_, first) = link_assembly(&bench);
    assert!(first.contains("warning: user.o <inline asm>"), "{first}");
    assert_eq!(link_assembly(&bench), (0, first.clone()));
    assembler(&bench, "a", "/**/", warning);
    assert_eq!(link_assembly(&bench), (2, first.clone()));
    assert_eq!(link_assembly(&bench), (0, first));
}
