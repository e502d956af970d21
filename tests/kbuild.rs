//! Small links with the words that Kbuild has for each architecture with ThinLTO: distributed, objects byte for byte as
//! in-process lld makes them. Knows nothing of whole kernels: those take `kernel-matrix.sh`.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Bench;

/// Calls through pointers (KCFI), weak and imported symbols, a jump table, constants.
const CORE: &str = r#"
extern int shared(int), weak(int) __attribute__((weak));
extern int table[16];
static int local(int x) { return shared(x) + table[x & 15]; }
int (*hook)(int) = local;
__attribute__((section(".init.text"))) int start(int x) { return hook(x) + (weak ? weak(x) : 0); }
const char *text(void) { return "kernel"; }
int choose(int x) {
    switch (x) {
    case 0: return shared(1);
    case 1: return table[2];
    case 2: return 7;
    case 3: return 9;
    case 4: return 123;
    case 5: return table[9];
    }
    return x / 7;
}
"#;

const TABLE: &str = r"
int table[16];
extern int start(int);
int shared(int x) { __builtin_memset(table, x, sizeof table); return table[3] / (x | 1); }
int again(int x) { return start(x) + shared(x); }
";

/// Assembly of the module's and of a function's, which the target's default features assemble: a nop in each.
const ASSEMBLY: &str = r#"
asm(".pushsection .init.data\nstub: nop\n nop\n.popsection");
extern int shared(int), elsewhere;
__attribute__((used)) static int loop(int x) {
    asm volatile("1: nop\n.pushsection __ex_table,\"a\"\n.long 1b - ., 1b - .\n.popsection" ::"r"(x));
    for (int i = 0; i < x; i++) shared(i);
    return 3;
}
int deref(void) { return elsewhere + loop(2); }
"#;

/// What every kernel is compiled with, as far as it reaches code.
const COMMON: &str = "-std=gnu11 -fno-common -fno-PIE -fno-strict-aliasing -ffreestanding -Os -flto=thin -fsplit-lto-unit \
                      -fvisibility=hidden -fno-asynchronous-unwind-tables";

/// What every kernel's links have.
const LINK: &str = "-z noexecstack -mllvm -import-instr-limit=5 -r core.o table.o assembly.o";

fn links(compile: &str, link: &str) {
    linked(&Bench::new(), compile, link);
}

fn linked(bench: &Bench, compile: &str, link: &str) {
    let flags: Vec<&str> = COMMON.split_whitespace().chain(compile.split_whitespace()).collect();
    for (name, text) in [("core.c", CORE), ("table.c", TABLE), ("assembly.c", ASSEMBLY)] {
        bench.compile(name, text, &flags);
    }
    let words: Vec<&str> = link.split_whitespace().chain(LINK.split_whitespace()).collect();
    let outcome = bench.both_bare(&words);
    assert_eq!(outcome.stats[0]["modules"], 3);
}

#[test]
fn x86_64_with_kcfi_and_ibt() {
    links(
        "--target=x86_64-linux-gnu -mcmodel=kernel -mno-red-zone -mno-sse -mno-80387 -fcf-protection=branch -fno-jump-tables \
         -fsanitize=kcfi -fsanitize-cfi-icall-experimental-normalize-integers -fpatchable-function-entry=11,11 \
         -mretpoline-external-thunk -mindirect-branch-cs-prefix -mfunction-return=thunk-extern -mstack-alignment=8",
        "-m elf_x86_64",
    );
}

#[test]
fn arm64_with_kcfi_pointer_authentication_and_stack_protector() {
    links(
        "--target=aarch64-linux-gnu -mgeneral-regs-only -mbranch-protection=pac-ret+bti -fpatchable-function-entry=4,2 \
         -fsanitize=kcfi -fstack-protector-strong -mstack-protector-guard=sysreg -mstack-protector-guard-reg=sp_el0 \
         -mstack-protector-guard-offset=1000",
        "-EL -maarch64elf -z norelro",
    );
}

#[test]
fn riscv64_whose_links_name_features() {
    let features = "-melf64lriscv -mllvm -mattr=+c -mllvm -mattr=+relax --no-relax-gp";
    let target = "--target=riscv64-linux-gnu -mabi=lp64 -mno-save-restore -mcmodel=medany -mstrict-align";
    links(
        &format!("{target} -march=rv64imac_zicsr_zifencei -fsanitize=kcfi"),
        features,
    );
    // As a module is compiled.
    links(
        &format!("{target} -march=rv64imafdc_zicsr_zifencei -mno-relax"),
        features,
    );
}

#[test]
fn loongarch64_without_floating_point() {
    let target = "--target=loongarch64-linux-gnu -mabi=lp64s -msoft-float -mcmodel=normal -mstrict-align";
    links(&format!("{target} -fdirect-access-external-data"), "-m elf64loongarch");
    links(
        &format!("{target} -fno-direct-access-external-data"),
        "-m elf64loongarch",
    );
}

/// Since 6.13: `scripts/Makefile.autofdo` and `scripts/Makefile.propeller`.
#[test]
fn profiles_of_autofdo_and_propeller() {
    let bench = Bench::new();
    bench
        .write(
            "afdo",
            "start:1000:100\n 1: 90\n 2: 80 shared:80\nshared:900:80\n 1: 70\n",
        )
        .write("cc_profile.txt", "!start\n!!0\n!shared\n!!0\n")
        .write("ld_profile.txt", "start\nshared\n");
    let target = "--target=x86_64-linux-gnu -mcmodel=kernel -mno-red-zone -gmlt -ffunction-sections";
    linked(
        &bench,
        &format!(
            "{target} -fdebug-info-for-profiling -mllvm -enable-fs-discriminator=true \
             -mllvm -improved-fs-discriminator=true -fprofile-sample-use=afdo"
        ),
        "-m elf_x86_64 --lto-sample-profile=afdo --mllvm=-enable-fs-discriminator=true \
         --mllvm=-improved-fs-discriminator=true -plugin-opt=thinlto",
    );
    linked(
        &bench,
        &format!("{target} -fbasic-block-sections=list=cc_profile.txt"),
        "-m elf_x86_64 --symbol-ordering-file=ld_profile.txt --no-warn-symbol-ordering \
         --lto-basic-block-sections=cc_profile.txt",
    );
    linked(
        &bench,
        &format!("{target} -fbasic-block-address-map"),
        "-m elf_x86_64 --lto-basic-block-address-map",
    );
}
