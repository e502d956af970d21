use super::*;
use crate::bitcode::testing::Llvm;

#[test]
fn names_kinds_and_linkages_are_the_sources() {
    let source = "extern int there; extern __attribute__((weak)) int perhaps(void); int here = 3; static int mine[4];\n\
                  __attribute__((weak)) int soft(void) { return there + mine[here]; } int common_one;\n\
                  int set(int n) { mine[n & 3] = n; return perhaps ? perhaps() : soft(); }\n\
                  int other_name(int) __attribute__((alias(\"set\")));\n\
                  static int (*choose(void))(void) { return soft; } int chosen(void) __attribute__((ifunc(\"choose\")));\n\
                  int labelled(void) __asm__(\"a_label\"); int use(void) { return labelled() + chosen(); }";
    for llvm in Llvm::all() {
        let found = symbols(&llvm.compile("names", source, "-O1 -fcommon -flto=thin")).unwrap();
        let of = |name: &str| {
            let symbol = found
                .iter()
                .find(|symbol| symbol.name == name.as_bytes())
                .unwrap_or_else(|| panic!("{name} of {found:?}"));
            (symbol.kind, symbol.presence, symbol.linkage)
        };
        use Presence::{Declaration, Definition};
        assert_eq!(
            of("there"),
            (SymbolKind::Variable, Declaration, Linkage::External)
        );
        assert_eq!(
            of("perhaps"),
            (SymbolKind::Function, Declaration, Linkage::ExternalWeak)
        );
        assert_eq!(
            of("here"),
            (SymbolKind::Variable, Definition, Linkage::External)
        );
        assert_eq!(
            of("mine"),
            (SymbolKind::Variable, Definition, Linkage::Internal)
        );
        assert_eq!(
            of("soft"),
            (SymbolKind::Function, Definition, Linkage::WeakAny)
        );
        assert_eq!(
            of("common_one"),
            (SymbolKind::Variable, Definition, Linkage::Common)
        );
        assert_eq!(
            of("other_name"),
            (SymbolKind::Alias, Definition, Linkage::External)
        );
        assert_eq!(
            of("chosen"),
            (SymbolKind::Ifunc, Definition, Linkage::External)
        );
        assert_eq!(
            of("\u{1}a_label"),
            (SymbolKind::Function, Declaration, Linkage::External)
        );
    }
}

/// The GUIDs are those LLVM gives the same names in a summary; an asm label's is that of the bare name.
#[test]
fn guids_are_llvms() {
    for llvm in Llvm::all() {
        let source = "int labelled(void) __asm__(\"a_label\"); int labelled(void) { return 1; } int main(void) { return 0; }";
        llvm.compile("guids", source, "-O1 -flto=thin");
        let [index] = llvm
            .thin_link(&["guids.o"], "-e main -u a_label")
            .try_into()
            .unwrap();
        let summarized = crate::bitcode::Index::parse(&index).unwrap().summarized();
        let names = symbols(&llvm.read("guids.o")).unwrap();
        assert_eq!(names.len(), 2);
        assert_eq!(
            summarized,
            names.iter().map(|symbol| guid(&symbol.name)).collect()
        );
    }
}

#[test]
fn both_modules_of_a_split_unit_are_read() {
    let llvm = Llvm::newest();
    let source =
        "struct A { virtual int f(); }; int A::f() { return 1; } int call(A *a) { return a->f(); }";
    let options = "-O2 -flto=thin -fsplit-lto-unit -fvisibility=hidden -fwhole-program-vtables";
    let found = symbols(&llvm.compile("cxxboth", source, options)).unwrap();
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
