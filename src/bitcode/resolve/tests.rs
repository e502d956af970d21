use std::collections::HashSet;

use super::*;
use crate::bitcode::symbols;
use crate::bitcode::testing::Llvm;

/// Default-PIE code whose names are resolved in other modules without being imported: addresses taken, weak references,
/// variables that are written to; and an imported function (`relay`) that names what `first` itself does not.
const MODULES: [(&str, &str); 3] = [
    (
        "first",
        "int taken(int); extern int counter; extern __attribute__((weak)) int perhaps(int); int relay(int);\n\
         extern __attribute__((weak)) int absent(int); extern __attribute__((weak)) int maybe; int second_name(int);\n\
         typedef int (*fn)(int); fn keep[2]; fn pick(void) { return second_name; }\n\
         int main(int c, char **v) { keep[0] = taken; keep[1] = perhaps; counter += c; return relay(c) + (absent ? 1 : 0) + (&maybe != 0) + pick()(c); }",
    ),
    (
        "second",
        "extern int hidden_counter; int far(int); typedef int (*fn)(int); fn slot; extern int counter; int third_only(int);\n\
         int relay(int x) { slot = far; hidden_counter += x; return slot(x) + counter; }\n\
         __attribute__((noinline)) int taken(int x) { return x + third_only(x); } int maybe = 4;\n\
         __attribute__((noinline)) int plain(int x) { __asm__ volatile(\"nop\"); return x - 9; }\n\
         int second_name(int) __attribute__((alias(\"plain\")));",
    ),
    (
        "third",
        "int counter, hidden_counter; extern int (*slot)(int); int main(int, char **);\n\
         __attribute__((noinline)) int far(int x) { counter = x; return x * 7; }\n\
         __attribute__((noinline)) int perhaps(int x) { hidden_counter++; return x / 3 + (slot != 0); }\n\
         __attribute__((noinline)) int third_only(int x) { __asm__ volatile(\"\" : : : \"memory\"); return x + hidden_counter; }",
    ),
];
const OBJECTS: [&str; 3] = ["first.o", "second.o", "third.o"];

/// What a link does with the indexes: everything named in a module or in those it imports from, if it is dso_local elsewhere.
fn cure(llvm: &Llvm, indexes: &[Index]) -> Vec<(Index, usize)> {
    let local: HashSet<u64> = OBJECTS
        .iter()
        .zip(indexes)
        .flat_map(|(name, index)| index.definitions_of(name.as_bytes()))
        .filter(|summary| summary.flags.is_dso_local())
        .map(|summary| summary.guid)
        .collect();
    OBJECTS
        .iter()
        .zip(indexes)
        .map(|(name, index)| {
            let mut cured = index.clone();
            let own = symbols(&llvm.read(name)).unwrap();
            let imported = index
                .modules()
                .into_iter()
                .filter(|module| module.path != name.as_bytes());
            let imported = imported.flat_map(|module| {
                symbols(&llvm.read(std::str::from_utf8(&module.path).unwrap())).unwrap()
            });
            let declarations: Vec<_> = own
                .into_iter()
                .chain(imported)
                .filter_map(|symbol| Declaration::of(&symbol))
                .filter(|declaration| local.contains(&declaration.guid))
                .collect();
            let added = cured.add_dso_local(name.as_bytes(), &declarations).unwrap();
            (cured, added)
        })
        .collect()
}

#[test]
fn position_independent_code_is_what_the_whole_index_makes_it() {
    for llvm in Llvm::all() {
        for (name, source) in MODULES {
            llvm.compile(name, source, "-O2 -fpie -flto=thin");
        }
        let options = "-pie -e main --export-dynamic-symbol=nothing";
        let indexes: Vec<_> = llvm
            .thin_link(&OBJECTS, options)
            .iter()
            .map(|bytes| Index::parse(bytes).unwrap())
            .collect();
        let objects = llvm.in_process(&OBJECTS, options);
        let mut differed = 0;
        for (((name, index), object), (cured, added)) in OBJECTS
            .iter()
            .zip(&indexes)
            .zip(&objects)
            .zip(cure(&llvm, &indexes))
        {
            differed += usize::from(&llvm.backend(name, &index.write(), "pic") != object);
            assert!(added > 0, "{name} of LLVM {}", llvm.version);
            assert_eq!(
                &llvm.backend(name, &cured.write(), "pic"),
                object,
                "{name} of LLVM {}",
                llvm.version
            );
            llvm.disassemble(&cured.write());
        }
        assert!(
            differed > 1,
            "LLVM {} needs no cure, or this test's modules no longer do",
            llvm.version
        );
    }
}

#[test]
fn what_has_a_summary_is_left_alone() {
    let llvm = Llvm::newest();
    for (name, source) in MODULES {
        llvm.compile(name, source, "-O2 -fpie -flto=thin");
    }
    let indexes = llvm.thin_link(&OBJECTS, "-pie -e main");
    let mut index = Index::parse(&indexes[0]).unwrap();
    let declarations: Vec<_> = index
        .summarized()
        .into_iter()
        .map(|guid| Declaration {
            guid,
            of: SummaryOf::Function,
            linkage: Linkage::External,
        })
        .collect();
    let before = index.clone();
    assert_eq!(index.add_dso_local(b"first.o", &declarations), Ok(0));
    assert_eq!(index, before);
    assert_eq!(
        index.add_dso_local(b"fourth.o", &declarations),
        Err(BitcodeError::NoSuchModule)
    );
}

#[test]
fn an_added_summary_reads_back() {
    for llvm in Llvm::all() {
        llvm.compile(
            "alone",
            "int main(void) { return 0; }",
            "-O2 -fpie -flto=thin",
        );
        let [bytes] = llvm
            .thin_link(&["alone.o"], "-pie -e main")
            .try_into()
            .unwrap();
        let mut index = Index::parse(&bytes).unwrap();
        let guid = 0xfedc_ba98_7654_3210;
        let weak = Declaration {
            guid,
            of: SummaryOf::Variable,
            linkage: Linkage::ExternalWeak,
        };
        assert_eq!(index.add_dso_local(b"alone.o", &[weak, weak]), Ok(1));
        let text = llvm.disassemble(&index.write());
        let line = text
            .lines()
            .find(|line| line.contains(&format!("guid: {guid}")))
            .unwrap();
        assert!(
            line.contains("variable: ") && line.contains("linkage: extern_weak"),
            "{line}"
        );
        assert!(
            line.contains("live: 1, dsoLocal: 1") && line.contains("readonly: 0, writeonly: 0"),
            "{line}"
        );
        assert_eq!(index.definitions_of(b"alone.o").last().unwrap().guid, guid);
    }
}
