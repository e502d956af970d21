use super::*;
use crate::bitcode::testing::Llvm;
use crate::bitcode::{Facts, guid};

/// Three modules that import from each other.
const MODULES: [(&str, &str); 3] = [
    (
        "one",
        "int two(int); int three(int); extern int table[3]; int main(int c, char **v) { return two(c) + three(c) + table[c & 1]; }",
    ),
    (
        "two",
        "int three(int); static int hidden(int x) { return x * 5; } int two(int x) { return three(x) + hidden(x); }",
    ),
    (
        "three",
        "int table[3] = {1, 2, 3}; __attribute__((noinline)) int leaf(int x) { return x ^ table[2]; } int three(int x) { return leaf(x) + 1; }",
    ),
];
const OBJECTS: [&str; 3] = ["one.o", "two.o", "three.o"];

fn build(llvm: &Llvm) -> Vec<Vec<u8>> {
    for (name, source) in MODULES {
        llvm.compile(name, source, "-O2 -fPIC -flto=thin");
    }
    llvm.thin_link(&OBJECTS, "-pie -e main")
}

/// llvm-dis's text without the file's own name.
fn summary_text(llvm: &Llvm, index: &[u8]) -> String {
    llvm.disassemble(index)
}

#[test]
fn writing_what_was_read_says_the_same() {
    for llvm in Llvm::all() {
        for bytes in build(&llvm) {
            let index = Index::parse(&bytes).unwrap();
            let again = index.write();
            assert_eq!(summary_text(&llvm, &again), summary_text(&llvm, &bytes));
            assert_eq!(Index::parse(&again).unwrap(), index);
        }
    }
}

#[test]
fn modules_and_summaries_are_those_of_the_link() {
    for llvm in Llvm::all() {
        let indexes = build(&llvm);
        let index = Index::parse(&indexes[0]).unwrap();
        let paths: Vec<_> = index.modules().into_iter().map(|module| module.path).collect();
        assert_eq!(paths, [b"one.o".to_vec(), b"three.o".to_vec(), b"two.o".to_vec()]);
        for module in index.modules() {
            let bytes = llvm.read(std::str::from_utf8(&module.path).unwrap());
            assert_eq!(Some(module.hash), Facts::read(&bytes).unwrap().modules[0].hash);
        }
        let own: Vec<_> = index.definitions_of(b"one.o");
        assert_eq!(own.len(), 1);
        assert_eq!((own[0].guid, own[0].of), (guid(b"main"), SummaryOf::Function));
        assert!(own[0].flags.is_live() && own[0].flags.linkage() == Linkage::External);
        assert!(index.summarized().contains(&guid(b"three")));
        let variables = Index::parse(&indexes[2]).unwrap().definitions_of(b"three.o");
        assert!(
            variables
                .iter()
                .any(|summary| summary.guid == guid(b"table") && summary.of == SummaryOf::Variable)
        );
        assert!(!index.is_skipped() && !index.is_empty());
    }
}

#[test]
fn renamed_modules_give_the_same_objects() {
    for llvm in Llvm::all() {
        let indexes = build(&llvm);
        let objects = llvm.in_process(&OBJECTS, "-pie -e main");
        for ((name, bytes), object) in OBJECTS.iter().zip(&indexes).zip(&objects) {
            let moved = |path: &str| format!("moved-with-a-longer-name/\u{e9}{path}.bc");
            llvm.write(&moved(name), llvm.read(name));
            let mut index = Index::parse(bytes).unwrap();
            index.rename_modules(|old| moved(std::str::from_utf8(old).unwrap()).into_bytes());
            for other in OBJECTS {
                llvm.write(&moved(other), llvm.read(other));
            }
            assert_eq!(
                &llvm.backend(&moved(name), &index.write(), "pic"),
                object,
                "{name} of LLVM {}",
                llvm.version
            );
            // The old paths are needed no more, and an index that still named them would not import.
            assert_ne!(
                &llvm.backend(&moved(name), &[], "pic"),
                object,
                "{name} imports nothing"
            );
        }
    }
}

#[test]
fn a_lazy_member_is_skipped_and_a_module_without_summary_empty() {
    for llvm in Llvm::all() {
        build(&llvm);
        llvm.compile("lazy", "int lazy(void) { return 1; }", "-O2 -fPIC -flto=thin");
        llvm.compile(
            "bare",
            "int bare(void) { return 1; }",
            "-O2 -fPIC -flto=thin -Xclang -disable-llvm-passes",
        );
        let indexes = llvm.thin_link(
            &[
                "one.o",
                "two.o",
                "three.o",
                "bare.o",
                "--start-lib",
                "lazy.o",
                "--end-lib",
            ]
            .map(|name| name)[..4],
            "-pie -e main --start-lib lazy.o --end-lib",
        );
        let lazy = Index::parse(&llvm.read("lazy.o.thinlto.bc")).unwrap();
        assert!(lazy.is_skipped() && lazy.is_empty());
        let bare = Index::parse(&indexes[3]).unwrap();
        assert!(bare.is_empty() && !bare.is_skipped());
        assert_eq!(Index::parse(&bare.write()).unwrap(), bare);
    }
    assert!(Index::parse(&[]).unwrap().is_empty());
    assert_eq!(Index::parse(&[]).unwrap().write(), Vec::<u8>::new());
}

/// Without the module's hash a promoted local is called otherwise by those who import it.
#[test]
fn hashes_are_set_where_modules_are_known() {
    for llvm in Llvm::all() {
        let indexes = build(&llvm);
        let mut index = Index::parse(&indexes[0]).unwrap();
        let before = index.modules();
        index.set_hashes(|path| (path == b"two.o").then_some([1, 2, 3, 4, u32::MAX]));
        let after = Index::parse(&index.write()).unwrap().modules();
        for (before, after) in before.iter().zip(&after) {
            let expected = if before.path == b"two.o" {
                [1, 2, 3, 4, u32::MAX]
            } else {
                before.hash
            };
            assert_eq!((&after.path, after.id, after.hash), (&before.path, before.id, expected));
        }
        let text = summary_text(&llvm, &index.write());
        assert!(text.contains("4294967295"), "{text}");
    }
}
