use super::*;
use crate::bitcode::testing::Llvm;

const SOURCE: &str = "int other(int); int main(void) { return other(3); }";

fn single(bytes: &[u8]) -> ModuleFacts {
    let mut facts = Facts::read(bytes).unwrap();
    assert_eq!(facts.modules.len(), 1);
    facts.modules.remove(0)
}

#[test]
fn levels_and_models_are_the_compilers() {
    for llvm in Llvm::all() {
        let cases: [(&str, u32, u32, Option<u32>); 6] = [
            ("-fno-pic", 0, 0, None),
            ("-fpie", 1, 1, None),
            ("-fPIE -g", 2, 2, None),
            ("-fpic", 1, 0, None),
            ("-fPIC -mcmodel=large -g", 2, 0, Some(4)),
            ("-fno-pic -mcmodel=kernel", 0, 0, Some(2)),
        ];
        for (options, pic, pie, model) in cases {
            let facts = single(&llvm.compile("levels", SOURCE, &format!("-O2 -flto=thin {options}")));
            let found = (facts.pic_level, facts.pie_level, facts.code_model, facts.summary);
            assert_eq!(
                found,
                (pic, pie, model, SummaryKind::Thin),
                "clang-{} {options}",
                llvm.version
            );
            assert_eq!(facts.triple, "x86_64-pc-linux-gnu");
            assert_eq!(facts.source_file_name, "levels.c");
        }
    }
}

/// More than 25 nodes of metadata make LLVM write an index to them, which is another way to the same flags.
#[test]
fn flags_are_found_behind_much_metadata() {
    let llvm = Llvm::newest();
    let functions: String = (0..200)
        .map(|n| format!("struct S{n} {{ int a; struct S{n} *p; }}; int f{n}(struct S{n} *s) {{ return s->p->a; }}\n"))
        .collect();
    let facts = single(&llvm.compile("much", &functions, "-O2 -g -flto=thin -fPIE -mcmodel=medium"));
    assert_eq!((facts.pic_level, facts.pie_level, facts.code_model), (2, 2, Some(3)));
}

#[test]
fn the_hash_is_the_one_the_thin_link_passes_on() {
    for llvm in Llvm::all() {
        let facts = single(&llvm.compile("hash", "int main(void) { return 0; }", "-O2 -flto=thin"));
        let [index] = llvm.thin_link(&["hash.o"], "-e main").try_into().unwrap();
        let index = crate::bitcode::Index::parse(&index).unwrap();
        assert_eq!(index.modules()[0].hash, facts.hash.unwrap());
        assert_ne!(facts.hash.unwrap(), [0; 5]);
    }
}

#[test]
fn the_producer_is_the_compilers_version() {
    for llvm in Llvm::all() {
        let facts = Facts::read(&llvm.compile("producer", SOURCE, "-flto=thin")).unwrap();
        assert!(
            facts.producer.starts_with(&format!("LLVM{}.", llvm.version)),
            "{}",
            facts.producer
        );
    }
}

#[test]
fn regular_lto_is_told_from_thin() {
    for llvm in Llvm::all() {
        let facts = Facts::read(&llvm.compile("full", SOURCE, "-O2 -flto=full")).unwrap();
        assert_eq!(facts.kind(LtoMode::Default), LtoKind::Regular);
        assert_eq!(facts.modules[0].thin_lto_flag, Some(0));
        let facts = Facts::read(&llvm.compile("thin", SOURCE, "-O2 -flto=thin")).unwrap();
        assert_eq!(facts.kind(LtoMode::Default), LtoKind::Thin);
        assert_eq!(facts.modules[0].thin_lto_flag, None);
        // Only unified modules may be linked so; lld refuses others, but would make regular LTO of them.
        assert_eq!(facts.kind(LtoMode::Full), LtoKind::Regular);
    }
}

#[test]
fn split_units_have_two_modules() {
    let source = "struct A { virtual int f(); virtual ~A(); }; struct B : A { int f() override; };\n\
                  int A::f() { return 1; } A::~A() {} int B::f() { return 2; } int call(A *a) { return a->f(); }\n\
                  A *make() { return new B; }";
    for llvm in Llvm::all() {
        let options = "-O2 -fPIC -flto=thin -fsplit-lto-unit -fvisibility=hidden -fwhole-program-vtables";
        let facts = Facts::read(&llvm.compile("cxxsplit", source, options)).unwrap();
        let kinds: Vec<_> = facts.modules.iter().map(|module| module.summary).collect();
        assert_eq!(kinds, [SummaryKind::Thin, SummaryKind::Regular]);
        assert_eq!(facts.kind(LtoMode::Default), LtoKind::Split);
        // The second module has a BLOCKINFO of its own: read with the first one's, its flags would be lost.
        assert!(
            facts
                .modules
                .iter()
                .all(|module| module.pic_level == 2 && module.enable_split_lto_unit)
        );
    }
}

#[test]
fn unified_modules_are_what_the_link_asks_for() {
    for llvm in Llvm::all().into_iter().filter(|llvm| llvm.version > 16) {
        let facts = Facts::read(&llvm.compile("unified", SOURCE, "-O2 -flto=thin -funified-lto")).unwrap();
        assert!(facts.modules[0].unified_lto);
        assert_eq!(facts.kind(LtoMode::Default), LtoKind::Thin);
        assert_eq!(facts.kind(LtoMode::Thin), LtoKind::Thin);
        assert_eq!(facts.kind(LtoMode::Full), LtoKind::Regular);
    }
}

#[test]
fn no_summary_is_told_from_a_summary() {
    for llvm in Llvm::all() {
        let facts = Facts::read(&llvm.compile("bare", SOURCE, "-O2 -flto=thin -Xclang -disable-llvm-passes")).unwrap();
        assert_eq!(facts.kind(LtoMode::Default), LtoKind::NoSummary);
        llvm.write("as.ll", "target triple = \"aarch64-none-elf\"\n@v = global i32 1\n");
        llvm.run("llvm-as", ["as.ll", "-o", "as.bc"]);
        let facts = single(&llvm.read("as.bc"));
        assert_eq!(
            (facts.summary, facts.hash, facts.triple.as_str()),
            (SummaryKind::None, None, "aarch64-none-elf")
        );
    }
}

#[test]
fn a_wrapper_is_taken_off() {
    let llvm = Llvm::newest();
    let raw = llvm.compile("wrapped", SOURCE, "-O2 -flto=thin -fPIC");
    let mut wrapped = Vec::new();
    for word in [0x0B17_C0DE_u32, 0, 20, u32::try_from(raw.len()).unwrap(), 0x0100_0007] {
        wrapped.extend(word.to_le_bytes());
    }
    wrapped.extend(&raw);
    wrapped.extend([0; 12]);
    assert!(crate::bitcode::is_bitcode(&wrapped));
    assert_eq!(Facts::read(&wrapped).unwrap(), Facts::read(&raw).unwrap());
    // llvm-dis agrees that this is a file.
    assert!(llvm.disassemble(&wrapped).contains("@main"));
}

#[test]
fn other_files_are_refused() {
    assert_eq!(Facts::read(b"\x7fELF").unwrap_err(), BitcodeError::NotBitcode);
    assert_eq!(Facts::read(b"").unwrap_err(), BitcodeError::NotBitcode);
}
