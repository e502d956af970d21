use super::*;
use crate::bitcode::RAW_MAGIC;
use crate::bitcode::testing::Llvm;

/// Of `perhaps_read` a linker is not told: to LLVM a weak reference of assembly is not global (ModuleSymbolTable.cpp
/// `CollectAsmSymbols`).
const SOURCE: &str = "extern int there; extern __attribute__((weak)) int perhaps(void); __attribute__((visibility(\"hidden\"))) int near(void);\n\
     static int mine; __attribute__((weak)) int soft(void) { return near() + there++; }\n\
     __attribute__((visibility(\"protected\"))) int here(void) { return perhaps ? perhaps() : mine++; }\n\
     extern inline __attribute__((gnu_inline, noinline)) int elsewhere(void) { return 3; } int use(void) { return elsewhere(); }\n\
     int shared; struct big { int of[99]; }; void copy(struct big *to, struct big *from) { *to = *from; }\n\
     __asm__(\".globl written\\n.hidden written\\nwritten: ret\\n.weak written_softly\\nwritten_softly: ret\\n\"\n\
             \".weak perhaps_read\\n.quad perhaps_read\\n.quad read, perhaps\\nown: ret\");";

/// Name, origin, presence, binding, visibility.
type Row<'a> = (&'a str, Origin, Presence, Binding, Visibility);

fn rows<'a>(symbols: &[TableSymbol<'a>]) -> Vec<Row<'a>> {
    let row = |symbol: &TableSymbol<'a>| {
        let name = std::str::from_utf8(symbol.name).unwrap();
        (name, symbol.origin, symbol.presence, symbol.binding, symbol.visibility)
    };
    let mut rows: Vec<_> = symbols.iter().map(row).collect();
    rows.sort_by_key(|row| (row.0, row.1 == Origin::Assembly));
    rows
}

#[test]
fn code_and_assembly_are_told_as_a_linker_sees_them() {
    use Binding::{Common, Global, Weak};
    use Origin::{Assembly, Code};
    use Presence::{Declaration, Definition};
    use Visibility::{Default, Hidden, Protected};
    let expected = [
        ("copy", Code, Definition, Global, Default),
        ("elsewhere", Code, Declaration, Global, Default),
        ("here", Code, Definition, Global, Protected),
        ("near", Code, Declaration, Global, Hidden),
        ("perhaps", Code, Declaration, Weak, Default),
        ("perhaps", Assembly, Declaration, Global, Default),
        ("read", Assembly, Declaration, Global, Default),
        ("shared", Code, Definition, Common, Default),
        ("soft", Code, Definition, Weak, Default),
        ("there", Code, Declaration, Global, Default),
        ("use", Code, Definition, Global, Default),
        ("written", Assembly, Definition, Global, Default),
        ("written_softly", Assembly, Definition, Weak, Default),
    ];
    for llvm in Llvm::all() {
        let bitcode = llvm.compile("table", SOURCE, "-O1 -fPIC -fcommon -flto=thin");
        assert_eq!(
            rows(&symbol_table(&bitcode).unwrap()),
            expected,
            "LLVM {}",
            llvm.version
        );
        // Without a table that covers it a file tells what its IR names.
        let of_code: Vec<_> = expected.into_iter().filter(|row| row.1 == Code).collect();
        let joined = [bitcode.as_slice(), &bitcode[RAW_MAGIC.len()..]].concat();
        assert_eq!(
            rows(&super::of_code(&bitcode).unwrap()),
            of_code,
            "LLVM {}",
            llvm.version
        );
        assert_eq!(symbol_table(&joined).unwrap().len(), 2 * of_code.len());
    }
}
