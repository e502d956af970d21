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

/// A module that was compiled, and what is seen of it.
struct Viewed {
    bytes: Vec<u8>,
    view: ImportView,
}

impl Viewed {
    fn new(bytes: Vec<u8>) -> Viewed {
        let view = ImportView::read(&bytes).unwrap();
        Viewed { bytes, view }
    }

    fn seen(&self, names: &[&str]) -> Option<Seen> {
        self.view
            .of(&self.bytes, names.iter().map(|name| guid(name.as_bytes())))
    }
}

fn view(llvm: &Llvm, body: &str, options: &str) -> Viewed {
    let source = SOURCE.replace("BODY", body);
    Viewed::new(llvm.compile("m", &source, &format!("-O1 -flto=thin {options}")))
}

fn of(viewed: &Viewed, names: &[&str]) -> Option<Digest> {
    viewed.seen(names).map(|seen| seen.digest)
}

#[test]
fn a_body_is_seen_by_those_who_import_it_and_by_nobody_else() {
    for llvm in Llvm::all() {
        let (before, after) = (view(&llvm, "3", ""), view(&llvm, "5", ""));
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
        let view = view(&llvm, "3", "");
        for name in ["keeper", "caller", "inner", "secret", "nobody"] {
            assert_eq!(of(&view, &[name]), None, "LLVM {}: {name}", llvm.version);
        }
    }
}

#[test]
fn a_local_ifunc_comes_along_with_its_resolver_whatever_the_summary_says() {
    let source = "
        static __attribute__((target_clones(\"avx2\", \"default\"))) int chosen(int x) { return x * 3; }
        int caller(int x) { return chosen(x) + 1; }
        int other(int x) { return x + 5; }
    ";
    for llvm in Llvm::all() {
        let viewed = Viewed::new(llvm.compile("m", source, "-O1 -flto=thin"));
        assert_eq!(of(&viewed, &["caller"]), None, "LLVM {}", llvm.version);
    }
}

#[test]
fn what_everybody_reads_is_in_every_view() {
    let llvm = Llvm::newest();
    let plain = view(&llvm, "3", "");
    for options in ["-Dout=elsewhere", "-fPIC", "-DBODY2", "-Dtable=desk"] {
        let other = view(&llvm, "3", options);
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
    assert_eq!(of(&view(&llvm, "3", "-g"), &["plain"]), None);
    let source = "
        extern void say(void *);
        void here(void) { lbl: say(&&lbl); }
        int plain(int x) { return x + 1; }
    ";
    let view = Viewed::new(llvm.compile("b", source, "-O1 -flto=thin"));
    assert_eq!(of(&view, &["here"]), None);
    assert!(of(&view, &["plain"]).is_some());
}

/// Places in the source: each function begins at a place that the ones before it make.
const PLACES: &str = "
    int out(int);
    int stop(int x) { __asm__ volatile(\"pause\"); return out(x); }
    int wait(int x) { __asm__ volatile(\"pause\"); __asm__ volatile(\"nop\\n\\tnop\"); return out(x + 1); }
    int none(int x) { return x + 1; }
";

fn places(llvm: &Llvm, before: &str, behind: &str) -> Viewed {
    Viewed::new(llvm.compile("p", &format!("{before}{PLACES}{behind}"), "-O2 -flto=thin"))
}

#[test]
fn where_assembly_stands_is_no_part_of_what_is_seen() {
    for llvm in Llvm::all() {
        let (here, there) = (places(&llvm, "", ""), places(&llvm, "int unused(int);", ""));
        assert_ne!(here.bytes, there.bytes, "LLVM {}", llvm.version);
        for (names, cookies) in [
            (&["none"][..], 0),
            (&["stop"], 1),
            // One for each line of the text.
            (&["wait"], 3),
            (&["stop", "wait", "none"], 4),
        ] {
            let (here, there) = (here.seen(names).unwrap(), there.seen(names).unwrap());
            assert_eq!(here.digest, there.digest, "LLVM {}: {names:?}", llvm.version);
            assert_eq!(here.cookies.len(), cookies, "LLVM {}: {names:?}", llvm.version);
            let moved = here.cookies.iter().zip(&there.cookies).all(|(a, b)| a < b);
            assert!(moved, "LLVM {}: {here:?}, {there:?}", llvm.version);
        }
    }
}

/// Uses of a number, each in a function `use` behind the assembly; K is the number.
const USES: [&str; 22] = [
    "long use(long x) { return x ^ K; }",
    "long use(void) { return K; }",
    "int use(long x) { return x < K; }",
    "long far(long, long); long use(long x) { return far(x, K); }",
    "void use(long *x) { *x = K; }",
    "long use(long x, long y) { return out(1) ? K : y; }",
    "long far(long); long use(long x) { if (out(1)) { x = K; out(2); } else { x = far(x); } return x; }",
    "int use(long x) { switch (x) { case 5: return out(1); case K: return out(2); default: return out(3); } }",
    "char use(char *x) { return x[K]; }",
    "long use(long *x) { return __atomic_fetch_add(x, K, 5); }",
    "long use(long *x) { return __atomic_compare_exchange_n(x, &(long){K}, 7, 0, 5, 5); }",
    "long use(long *x) { return __atomic_compare_exchange_n(x, &(long){7}, K, 0, 5, 5); }",
    "void use(long *x) { __atomic_store_n(x, K, 5); }",
    "void use(void) { __asm__ volatile(\"nop # %0\" :: \"r\"(K)); }",
    "int use(void) { __asm__ goto(\"jmp %l1 # %0\" :: \"r\"(K) :: l); return 1; l: return 2; }",
    "int far(int, ...); int use(int x) { return far(x, K); }",
    "struct two { long a, b; }; struct two use(long x) { return (struct two){x, K}; }",
    "struct two { long a, b; }; struct two use(void) { return (struct two){7, K}; }",
    "void far(void *); void use(void) { far((void *)K); }",
    "void use(char *x, int y) { __builtin_memset(x, y, K); }",
    "typedef long four __attribute__((vector_size(32))); four use(four x) { x[1] = K; return x; }",
    "char *use(char *x) { x = __builtin_assume_aligned(x, 64, K); *x = 1; return x; }",
];

#[test]
fn a_place_that_is_used_as_a_number_too_counts_for_what_it_is() {
    for llvm in Llvm::all() {
        let [written] = *places(&llvm, "", "").seen(&["stop"]).unwrap().cookies else {
            panic!("one statement has one place");
        };
        for text in USES {
            let text = text.replace('K', &format!("{}L", written >> 1));
            let viewed = places(&llvm, "", &text);
            let seen = viewed
                .seen(&["use"])
                .unwrap_or_else(|| panic!("LLVM {}: {text}", llvm.version));
            assert!(seen.integers.contains(&written), "LLVM {}: {text}", llvm.version);
            let seen = viewed.seen(&["stop", "use"]).unwrap();
            assert!(!seen.cookies.contains(&written), "LLVM {}: {text}", llvm.version);
            // Who does not import that knows nothing of it.
            let seen = viewed.seen(&["stop"]).unwrap();
            assert_eq!((seen.cookies, seen.integers.contains(&written)), (vec![written], false));
        }
        // Where both are changed at once, by an edit that moves what is behind it, no bit of the body tells.
        let both = |before: &str| {
            let moved = (written >> 1) + before.len() as u64;
            places(&llvm, before, &USES[0].replace('K', &format!("{moved}L")))
        };
        let (here, there) = (both(""), both("/**/"));
        assert!(there.seen(&["use"]).unwrap().integers.contains(&(written + 8)));
        assert_ne!(of(&here, &["use"]), of(&there, &["use"]), "LLVM {}", llvm.version);
        assert_eq!(of(&here, &["stop"]), of(&there, &["stop"]), "LLVM {}", llvm.version);
        for text in ["long global = K;", "struct { long a; void *b; } pair = {K, &pair};"] {
            let text = text.replace('K', &format!("{}L", written >> 1));
            let seen = places(&llvm, "", &text).seen(&["stop"]).unwrap();
            assert_eq!((seen.cookies, seen.integers), (vec![], vec![written]), "{text}");
        }
    }
}

#[test]
fn a_node_that_says_something_else_too_counts_for_what_it_is() {
    for llvm in Llvm::all() {
        // The text of the assembly begins at the 64th byte of the file, and so does a member of the structure.
        let source = "void stop() { __asm__ volatile(                               \"pause\"); }
            struct S { char a[64]; long b; }; long member(S *s) { return s->b; }
            struct alignas(64) B { int x; }; struct A { B &r; }; B *aligned(A *a) { return &a->r; }";
        let viewed = Viewed::new(llvm.compile("cxx", source, "-O2 -flto=thin"));
        let alone = viewed.seen(&["_Z4stopv"]).unwrap();
        assert_eq!(
            alone.cookies,
            [128],
            "LLVM {}: move the text in this test",
            llvm.version
        );
        assert!(!alone.integers.contains(&128));
        let text = llvm.disassemble(&viewed.bytes);
        for (name, said) in [("_Z6memberP1S", "i64 64}"), ("_Z7alignedP1A", "!align")] {
            let both = viewed.seen(&["_Z4stopv", name]).unwrap();
            let is_said = text.contains(said);
            assert!(is_said || llvm.version < 22, "LLVM {}: {text}", llvm.version);
            let (hidden, shown) = (both.cookies.contains(&128), both.integers.contains(&128));
            assert_eq!((hidden, shown), (!is_said, is_said), "LLVM {}: {name}", llvm.version);
        }
    }
}
