use super::*;
use crate::bitcode::testing::Llvm;

#[test]
fn names_kinds_and_linkages_are_the_sources() {
    let source = "extern int there; extern __attribute__((weak)) int perhaps(void); int here = 3; static int mine[4];\n\
                  __attribute__((weak)) int soft(void) { return there + mine[here]; } int common_one;\n\
                  int set(int n) { mine[n & 3] = n; return perhaps ? perhaps() : soft(); }\n\
                  int other_name(int) __attribute__((alias(\"set\")));\n\
                  static int (*choose(void))(void) { return soft; } int chosen(void) __attribute__((ifunc(\"choose\")));\n\
                  int labelled(void) __asm__(\"a_label\"); int use(void) { return labelled() + chosen(); }\n\
                  __attribute__((visibility(\"hidden\"))) int covered; __attribute__((visibility(\"protected\"))) int cover(void) { return ++covered; }";
    for llvm in Llvm::all() {
        let bitcode = llvm.compile(
            "names",
            source,
            "-O1 -fPIC -fsemantic-interposition -fcommon -flto=thin",
        );
        let found = symbols(&bitcode).unwrap();
        let of = |name: &str| {
            let symbol = found
                .iter()
                .find(|symbol| symbol.name == name.as_bytes())
                .unwrap_or_else(|| panic!("{name} of {found:?}"));
            (symbol.kind, symbol.presence, symbol.linkage)
        };
        use Presence::{Declaration, Definition};
        let local = |name: &str| {
            found
                .iter()
                .find(|symbol| symbol.name == name.as_bytes())
                .unwrap()
                .dso_local
        };
        assert_eq!(["mine", "covered", "cover"].map(local), [true; 3]);
        assert_eq!(["here", "there", "perhaps", "use", "other_name"].map(local), [false; 5]);
        assert_eq!(of("there"), (SymbolKind::Variable, Declaration, Linkage::External));
        assert_eq!(
            of("perhaps"),
            (SymbolKind::Function, Declaration, Linkage::ExternalWeak)
        );
        assert_eq!(of("here"), (SymbolKind::Variable, Definition, Linkage::External));
        assert_eq!(of("mine"), (SymbolKind::Variable, Definition, Linkage::Internal));
        assert_eq!(of("soft"), (SymbolKind::Function, Definition, Linkage::WeakAny));
        assert_eq!(of("common_one"), (SymbolKind::Variable, Definition, Linkage::Common));
        assert_eq!(of("other_name"), (SymbolKind::Alias, Definition, Linkage::External));
        assert_eq!(of("chosen"), (SymbolKind::Ifunc, Definition, Linkage::External));
        assert_eq!(of("a_label"), (SymbolKind::Function, Declaration, Linkage::External));
    }
}

/// The GUIDs are those LLVM gives the same names in a summary, whether or not they may be mangled.
#[test]
fn guids_are_llvms() {
    for llvm in Llvm::all() {
        let module = "target triple = \"x86_64-pc-linux-gnu\"\n\
                      target datalayout = \"e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128\"\n\
                      define i32 @\"\\01odd\"() { ret i32 1 }\ndefine i32 @main() { ret i32 0 }\n";
        llvm.write("guids.ll", module);
        llvm.run(
            "clang",
            ["-Wno-override-module", "-flto=thin", "-c", "guids.ll", "-o", "guids.o"],
        );
        let [index] = llvm.thin_link(&["guids.o"], "-e main -u odd").try_into().unwrap();
        let bitcode = llvm.read("guids.o");
        let names = symbols(&bitcode).unwrap();
        assert!(names.iter().any(|symbol| symbol.name == b"\x01odd"));
        let summarized = crate::bitcode::Index::parse(&index).unwrap().summarized();
        assert_eq!(summarized, names.iter().map(|symbol| guid(symbol.name)).collect());
    }
}

#[test]
fn both_modules_of_a_split_unit_are_read() {
    let llvm = Llvm::newest();
    let source = "struct A { virtual int f(); }; int A::f() { return 1; } int call(A *a) { return a->f(); }";
    let options = "-O2 -flto=thin -fsplit-lto-unit -fvisibility=hidden -fwhole-program-vtables";
    let bitcode = llvm.compile("cxxboth", source, options);
    let found = symbols(&bitcode).unwrap();
    let vtable: Vec<_> = found
        .iter()
        .filter(|symbol| symbol.name == b"_ZTV1A")
        .map(|symbol| symbol.presence)
        .collect();
    assert!(vtable.contains(&Presence::Definition), "{found:?}");
    assert!(
        found
            .iter()
            .any(|symbol| symbol.name == b"_Z4callP1A" && symbol.presence == Presence::Definition)
    );
}
