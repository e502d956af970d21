use super::*;
use crate::bitcode::testing::Llvm;
use crate::bitcode::{Facts, Index};

const SOURCE: &str = "int puts(const char *); int other(int); static int kept[4]; extern int far;\n\
     static __attribute__((noinline)) int local(int x) { kept[x & 3] += x; return kept[(x + 1) & 3]; }\n\
     int entry(int x) { puts(\"hello\"); return local(x) * 5 + other(x) + far; } struct P { char c[8]; } p = {\"abc\"};\n\
     int second(int x) __attribute__((weak)); int second(int x) { return local(x); }\n\
     __attribute__((used)) int one; int two;\n";

/// What an edit replaces by what.
type Edit = (&'static str, &'static str);

const UNSEEN: [Edit; 6] = [
    ("int entry", "/* a comment\n of two lines */ int entry"),
    ("hello", "jello"),
    ("hello", "a longer greeting"),
    ("* 5", "* 7"),
    ("\"abc\"", "\"xyz\""),
    ("x & 3", "x & 2"),
];

const SEEN: [Edit; 10] = [
    ("int second", "int third"),
    ("+ far", ""),
    ("+ other(x)", "+ other(x) + other(x + 1)"),
    ("return kept", "if (x > 9) return 3; return kept"),
    (
        "static __attribute__((noinline)) int local",
        "__attribute__((noinline)) int local",
    ),
    ("__attribute__((weak))", ""),
    ("extern int far", "extern int further; extern int far"),
    ("int far;", "int far __attribute__((visibility(\"hidden\")));"),
    ("struct P", "__attribute__((used)) static int more; struct P"),
    // As many as before, and not the same.
    (
        "__attribute__((used)) int one; int two;",
        "int one; __attribute__((used)) int two;",
    ),
];

/// Nobody uses what was declared: not in the module at all.
const NO_CHANGE: Edit = SEEN[6];

fn views(llvm: &Llvm, options: &str, (from, to): Edit) -> (ThinView, ThinView, bool) {
    assert!(SOURCE.contains(from), "{from}");
    let version = version(llvm);
    let before = llvm.compile("m", SOURCE, options);
    let after = llvm.compile("m", &SOURCE.replace(from, to), options);
    (
        ThinView::of(&before, &version),
        ThinView::of(&after, &version),
        before != after,
    )
}

fn version(llvm: &Llvm) -> String {
    let bytes = llvm.compile("version", "int version;", "-O2 -flto=thin");
    Facts::read(&bytes)
        .unwrap()
        .producer
        .trim_start_matches("LLVM")
        .to_owned()
}

#[test]
fn an_edit_that_changes_no_symbol_reference_call_or_count_is_not_seen() {
    for llvm in Llvm::all() {
        for options in ["-O2 -flto=thin", "-O2 -flto=thin -g -fPIC -ffunction-sections"] {
            for edit in UNSEEN {
                let (before, after, _) = views(&llvm, options, edit);
                assert!(before.hash.is_some(), "{edit:?}: digested whole");
                assert_eq!(after.digest, before.digest, "{edit:?} {options} LLVM {}", llvm.version);
            }
            let (before, after, changed) = views(&llvm, options, UNSEEN[1]);
            assert!(changed && before.hash != after.hash);
        }
    }
}

#[test]
fn every_other_edit_is_seen() {
    for llvm in Llvm::all() {
        for edit in SEEN.into_iter().filter(|edit| *edit != NO_CHANGE) {
            let (before, after, _) = views(&llvm, "-O2 -flto=thin", edit);
            assert_ne!(after.digest, before.digest, "{edit:?} LLVM {}", llvm.version);
        }
    }
}

/// What the view says is the same must be the same: the indexes of a link, but for the hash.
#[test]
fn files_of_one_view_give_one_thin_link() {
    for llvm in Llvm::all() {
        llvm.compile(
            "main",
            "int entry(int), second(int); int far; int other(int x) { return x; } int puts(const char *s) { return *s; }\n\
             int main(void) { return entry(1) + second(2); }",
            "-O2 -flto=thin",
        );
        let mut links = Vec::new();
        for (from, to) in UNSEEN {
            llvm.compile("m", &SOURCE.replace(from, to), "-O2 -flto=thin");
            let indexes = llvm.thin_link(&["main.o", "m.o"], "-e main");
            let mut parsed: Vec<Index> = indexes.iter().map(|index| Index::parse(index).unwrap()).collect();
            assert!(
                parsed[0].modules().iter().any(|module| module.path == b"m.o"),
                "nothing is imported"
            );
            parsed.iter_mut().for_each(|index| index.set_hashes(|_| Some([0; 5])));
            links.push(parsed);
        }
        assert!(links.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn what_is_not_understood_is_digested_whole() {
    let llvm = Llvm::newest();
    let (thin, full) = ("-O2 -flto=thin", "-O2 -flto=full");
    let bytes = llvm.compile("m", SOURCE, thin);
    let version = version(&llvm);
    assert!(ThinView::of(&bytes, &version).hash.is_some());
    for version in ["22.1", "9.9.9", ""] {
        assert_eq!(ThinView::of(&bytes, version), ThinView::of_all(&bytes), "{version}");
    }
    let regular = llvm.compile("m", SOURCE, full);
    assert_eq!(ThinView::of(&regular, &version), ThinView::of_all(&regular));
    let classes = "struct A { virtual int f(); }; int A::f() { return 1; } int call(A *a) { return a->f(); }";
    let split = llvm.compile(
        "cxx",
        classes,
        "-O2 -flto=thin -fsplit-lto-unit -fvisibility=hidden -fwhole-program-vtables",
    );
    assert_eq!(Facts::read(&split).unwrap().modules.len(), 2);
    assert_eq!(ThinView::of(&split, &version), ThinView::of_all(&split));
    for cut in [0, 3, 100, bytes.len() / 2, bytes.len() - 9] {
        assert_eq!(
            ThinView::of(&bytes[..cut], &version),
            ThinView::of_all(&bytes[..cut]),
            "{cut}"
        );
    }
}
