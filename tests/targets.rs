//! Every target that lld does LTO for and Debian's clang compiles for: the same objects as in-process, and programs that run.
//! (Not x32: of its modules lld makes 64-bit objects that it cannot read itself.)
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::Bench;

/// A target, and what to know of it to make a program without a library.
struct Target {
    name: &'static str,
    /// Words for the compiler.
    words: &'static [&'static str],
    /// Ends the program with `status`, in C.
    exit: &'static str,
    /// What runs its programs here.
    runner: Option<&'static str>,
    /// The first LLVM whose lld links for it.
    since: u32,
}

const RISCV_EXIT: &str = "register long n asm(\"a7\") = 93, s asm(\"a0\") = status; \
                          asm volatile(\"ecall\" :: \"r\"(n), \"r\"(s));";
const TARGETS: &[Target] = &[
    Target {
        name: "x86_64",
        words: &["--target=x86_64-linux-gnu"],
        exit: "asm volatile(\"syscall\" :: \"a\"(60l), \"D\"((long)status));",
        runner: Some(""),
        since: 16,
    },
    Target {
        name: "i386",
        words: &["--target=i386-linux-gnu"],
        exit: "asm volatile(\"int $0x80\" :: \"a\"(1), \"b\"(status));",
        runner: Some("qemu-i386"),
        since: 16,
    },
    Target {
        name: "aarch64",
        words: &["--target=aarch64-linux-gnu"],
        exit: "register long n asm(\"x8\") = 93, s asm(\"x0\") = status; asm volatile(\"svc 0\" :: \"r\"(n), \"r\"(s));",
        runner: Some("qemu-aarch64"),
        since: 16,
    },
    Target {
        name: "armhf",
        words: &["--target=arm-linux-gnueabihf", "-march=armv7-a"],
        exit: "register long n asm(\"r7\") = 1, s asm(\"r0\") = status; asm volatile(\"svc 0\" :: \"r\"(n), \"r\"(s));",
        runner: Some("qemu-arm"),
        // Before, clang says of whatever it compiles that it has no floating-point exceptions (`Tag_ABI_FP_exceptions`).
        since: 22,
    },
    Target {
        name: "riscv64, lp64d",
        words: &["--target=riscv64-linux-gnu"],
        exit: RISCV_EXIT,
        runner: Some("qemu-riscv64"),
        since: 16,
    },
    Target {
        name: "riscv64, lp64",
        words: &["--target=riscv64-linux-gnu", "-mabi=lp64"],
        exit: RISCV_EXIT,
        runner: Some("qemu-riscv64"),
        since: 16,
    },
    Target {
        name: "riscv32, ilp32f",
        words: &["--target=riscv32-linux-gnu", "-march=rv32imafc", "-mabi=ilp32f"],
        exit: RISCV_EXIT,
        runner: Some("qemu-riscv32"),
        since: 16,
    },
    Target {
        name: "loongarch64",
        words: &["--target=loongarch64-linux-gnu", "-mno-lsx"],
        exit: "register long n asm(\"$a7\") = 93, s asm(\"$a0\") = status; \
               asm volatile(\"syscall 0\" :: \"r\"(n), \"r\"(s));",
        runner: Some("qemu-loongarch64"),
        since: 22,
    },
    Target {
        name: "ppc64le",
        words: &["--target=powerpc64le-linux-gnu"],
        exit: "register long n asm(\"r0\") = 1, s asm(\"r3\") = status; asm volatile(\"sc\" :: \"r\"(n), \"r\"(s));",
        runner: Some("qemu-ppc64le"),
        since: 16,
    },
    Target {
        name: "s390x",
        words: &["--target=s390x-linux-gnu"],
        exit: "register long n asm(\"1\") = 1, s asm(\"2\") = status; asm volatile(\"svc 0\" :: \"r\"(n), \"r\"(s)); \
               asm volatile(\"larl %r12, _GLOBAL_OFFSET_TABLE_\");",
        runner: Some("qemu-s390x"),
        since: 19,
    },
];

/// What may depend on where a name is defined: calls, addresses of functions, variables, thread-locals, weak references.
/// Nothing that would need a loader is done when it runs: `never` is zero.
const F: &str = "extern int table[]; extern volatile int never; extern float scale; extern _Thread_local int counter, *place;\n\
                 int g(int); int h(int); float half(float);\n\
                 __attribute__((weak)) int nowhere(int);\n\
                 __attribute__((weak)) int elsewhere(int);\n\
                 int f(int x) { int (*volatile p)(int) = h;\n\
                 if (never) { counter += x; *place = x; table[x] = x; scale += x; if (nowhere) x = nowhere(x); }\n\
                 return elsewhere(g(x)) + p(x) + (int)half(scale) + table[x]; }\n";
const G: &str = "#define FAR __attribute__((noinline))\n\
                 volatile int never; int table[9] = {0, 0, 10}; float scale = 20; _Thread_local int counter = 3, *place = table;\n\
                 FAR int g(int x) { if (never) ++counter; return x * 7; } FAR int h(int x) { return x + 6; }\n\
                 FAR int elsewhere(int x) { return never ? h(x) : x; } FAR float half(float x) { return x * 0.5f; }\n";
const STATUS: i32 = 42;

/// Kinds of links: how modules are compiled (`-f…`), the linker's words, and whether what comes out is a program.
const KINDS: &[(&str, &[&str], bool)] = &[
    ("no-pic", &["-e", "_start"], true),
    ("pie", &["-pie", "-e", "_start"], true),
    ("PIC", &["-shared"], false),
    ("no-pic", &["-r"], false),
    ("PIC", &["-r"], false),
];
const MODELS: [&str; 3] = ["no-pic", "pie", "PIC"];

impl Target {
    /// A folder with its modules, compiled with `words` too.
    fn bench(&self, llvm: u32, words: &[&str]) -> Bench {
        let bench = Bench::of(llvm);
        for model in MODELS {
            let pic = format!("-f{model}");
            self.compile(&bench, model, &[&["-O2", &pic], words].concat());
        }
        bench
    }

    /// Compiles its modules in `folder`.
    fn compile(&self, bench: &Bench, folder: &str, words: &[&str]) {
        let source = |name: &str, text: &str| (format!("{folder}/{name}.c"), text.to_owned());
        let native = [self.words, words].concat();
        let bitcode = [&native[..], &["-flto=thin"]].concat();
        bench.compile_at_once(&[source("f", F), source("g", G)], &bitcode);
        let exit = self.exit;
        let start = format!("int f(int); void _start(void) {{ int status = f(2); {exit} for (;;) ; }}\n");
        // In machine code as a C library's is: what that refers to lld has defined before LTO, such as `.TOC.`.
        bench.compile(&format!("{folder}/start.c"), &start, &native);
    }

    /// How a program ends, where it can be run.
    fn run(&self, bench: &Bench, program: &str) -> Option<i32> {
        let program = bench.path(program);
        let outcome = match self.runner? {
            "" => bench.run(&program, &[]),
            runner => bench.run(runner, &[program.to_str().unwrap()]),
        };
        Some(outcome.status)
    }

    /// Makes every kind of link of these modules both ways; gives what is not as it is in-process.
    fn differences(&self, bench: &Bench) -> Vec<String> {
        let mut found = Vec::new();
        for (model, words, is_program) in KINDS {
            let shown = format!("{} {}, -f{model}, {words:?}", self.name, bench.llvm);
            let differing = linked_both_ways(bench, model, words);
            found.extend(differing.into_iter().map(|what| format!("{shown}: {what}")));
            if *is_program {
                let (inside, ours) = (self.run(bench, "in.out"), self.run(bench, "our.out"));
                // Who is position-independent and has no loader may fail, but not otherwise than in-process.
                let is_right = inside == ours && (*model == "pie" || inside.is_none_or(|status| status == STATUS));
                found.extend((!is_right).then(|| format!("{shown}: {inside:?} and {ours:?}")));
            }
        }
        found
    }
}

/// The same link in-process and distributed, and the objects that differ. They are those of `--save-temps=prelink`: with
/// `--lto-obj-path` lld links an object of the empty partition, too, and refuses it itself where that is for another ABI.
fn linked_both_ways(bench: &Bench, model: &str, words: &[&str]) -> Vec<String> {
    let objects = ["start", "f", "g"].map(|name| format!("{model}/{name}.o"));
    let line = |output: &'static str| {
        let objects = objects.iter().map(String::as_str);
        let fixed = ["-o", output, "--save-temps=prelink"].into_iter();
        fixed.chain(objects).chain(words.iter().copied()).collect::<Vec<_>>()
    };
    let (inside, ours) = (bench.direct(&line("in.out")), bench.through(&line("our.out")));
    if let Some(failed) = [inside, ours].iter().find(|link| link.status != 0) {
        return vec![failed.stderr.clone()];
    }
    let (inside, ours) = (prelinked(bench, "in.out"), prelinked(bench, "our.out"));
    assert_eq!(inside.len(), ["f", "g"].len());
    assert!(inside.keys().eq(ours.keys()), "other objects are left");
    let differing = inside.into_iter().filter(|(name, bytes)| ours.get(name) != Some(bytes));
    differing.map(|(name, _)| name).collect()
}

/// The native objects that a link has left beside its modules or beside its `output`, which is in their names. Takes them away.
fn prelinked(bench: &Bench, output: &str) -> BTreeMap<String, Vec<u8>> {
    let folders = MODELS.iter().chain(&["."]);
    let entries = folders.flat_map(|folder| fs::read_dir(bench.path(folder)));
    let entries = entries.flat_map(Iterator::flatten);
    let mut found = BTreeMap::new();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if let Some(rest) = name.strip_prefix(output).filter(|rest| rest.ends_with(".o")) {
            found.insert(rest.to_owned(), fs::read(&path).unwrap());
            fs::remove_file(path).unwrap();
        }
    }
    found
}

fn every_target(llvm: u32, words: &[&str]) {
    let targets = TARGETS.iter().filter(|target| target.since <= llvm);
    let found: Vec<String> = targets
        .flat_map(|target| target.differences(&target.bench(llvm, words)))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_target_of_llvm_22() {
    every_target(22, &[]);
}

#[test]
fn every_target_of_llvm_19() {
    every_target(19, &[]);
}

#[test]
fn every_target_of_llvm_16() {
    every_target(16, &[]);
}

/// Code that is linked to one place and reaches what may be defined elsewhere as if it were not.
#[test]
fn calls_and_data_through_tables() {
    every_target(22, &["-fno-plt", "-fno-direct-access-external-data"]);
}
