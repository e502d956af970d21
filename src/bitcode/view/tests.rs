use super::*;
use crate::bitcode::symbols::guid;
use crate::bitcode::testing::Llvm;

const SOURCE: &str = "
    extern int out(int);
    static int secret = 3;
    static __attribute__((noinline)) int inner(int x) { return out(x) * 7; }
    int table[2] = {1, 2};
    int plain(int x) { return x + 1; }
    int other(int x) { return x * BODY; }
    int teller(int x) { return out(x) + out(x + 2); }
    int keeper(int x) { secret += x; return secret; }
    int caller(int x) { return inner(x); }
";

fn view(llvm: &Llvm, body: &str, options: &str) -> Option<ImportView> {
    let source = SOURCE.replace("BODY", body);
    let bytes = llvm.compile("m", &source, &format!("-O1 -flto=thin {options}"));
    ImportView::read(&bytes).unwrap()
}

fn of(view: &ImportView, names: &[&str]) -> Option<Digest> {
    view.of(names.iter().map(|name| guid(name.as_bytes())))
}

#[test]
fn a_body_is_seen_by_those_who_import_it_and_by_nobody_else() {
    for llvm in Llvm::all() {
        let (before, after) = (view(&llvm, "3", "").unwrap(), view(&llvm, "5", "").unwrap());
        for (names, same) in [
            (&["plain"][..], true),
            (&["plain", "teller"], true),
            (&["table"], true),
            (&[], true),
            (&["other"], false),
            (&["plain", "other"], false),
        ] {
            let (before, after) = (of(&before, names), of(&after, names));
            assert!(before.is_some(), "LLVM {}: {names:?}", llvm.version);
            assert_eq!(before == after, same, "LLVM {}: {names:?}", llvm.version);
        }
    }
}

#[test]
fn what_can_name_a_local_symbol_sees_the_whole_module() {
    for llvm in Llvm::all() {
        let view = view(&llvm, "3", "").unwrap();
        for name in ["keeper", "caller", "inner", "secret", "nobody"] {
            assert_eq!(of(&view, &[name]), None, "LLVM {}: {name}", llvm.version);
        }
    }
}

#[test]
fn what_everybody_reads_is_in_every_view() {
    let llvm = Llvm::newest();
    let plain = view(&llvm, "3", "").unwrap();
    for options in ["-Dout=elsewhere", "-fPIC", "-DBODY2", "-Dtable=desk"] {
        let other = view(&llvm, "3", options).unwrap();
        assert_eq!(
            of(&other, &["plain"]) == of(&plain, &["plain"]),
            options == "-DBODY2",
            "{options}"
        );
    }
}

#[test]
fn debug_information_and_block_addresses_are_not_followed() {
    let llvm = Llvm::newest();
    assert_eq!(view(&llvm, "3", "-g"), None);
    let source = "
        extern void say(void *);
        void here(void) { lbl: say(&&lbl); }
        int plain(int x) { return x + 1; }
    ";
    let bytes = llvm.compile("b", source, "-O1 -flto=thin");
    let view = ImportView::read(&bytes).unwrap().unwrap();
    assert_eq!(of(&view, &["here"]), None);
    assert!(of(&view, &["plain"]).is_some());
}
