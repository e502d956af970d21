use super::*;
use crate::bitcode::testing::Llvm;

const SOURCE: &str = "__asm__(\".globl blob\\nblob: .incbin \\\"blob.bin\\\"\");\n\
    int one(int x) { __asm__ volatile(\"first %0\" : \"+r\"(x)); return x; }\n\
    int two(int x) { if (x) { __asm__(\"second\\n.incbin \\\"\u{e9}.bin\\\"\"); } return x + 5; }\n\
    int none(int x) { return x * 3; }";

#[test]
fn module_and_inline_text_is_found() {
    for llvm in Llvm::all() {
        // clang assembles the module's text once to know its symbols, the functions' only in the backend.
        llvm.write("blob.bin", "bytes");
        for options in ["-O0 -flto=thin", "-O2 -flto=thin -g", "-O2 -flto=full"] {
            let found = assembly(&llvm.compile("text", SOURCE, options)).unwrap();
            let text = format!("{found:?}");
            assert_eq!(found.len(), 3, "clang-{} {options}: {text}", llvm.version);
            assert_eq!(found[0], ".globl blob\nblob: .incbin \"blob.bin\"\n");
            assert!(found.contains(&"first $0".to_owned()), "{text}");
            assert!(found.contains(&"second\n.incbin \"\u{e9}.bin\"".to_owned()), "{text}");
        }
    }
}

#[test]
fn no_assembly_is_no_text() {
    let llvm = Llvm::newest();
    let found = assembly(&llvm.compile("none", "int f(int x) { return x; }", "-O2 -flto=thin")).unwrap();
    assert_eq!(found, Vec::<String>::new());
}
