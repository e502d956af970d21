use super::*;
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

/// What a link does with the indexes: everything left open in a module or in those it imports from, if it is dso_local elsewhere.
fn cure<'n>(llvm: &Llvm, names: &[&'n str], indexes: &[Index]) -> Vec<(&'n str, Index)> {
    let open = |name: &str| left_open(&symbols(&llvm.read(name)).unwrap());
    let all: Vec<_> = names.iter().flat_map(|name| open(name)).collect();
    let mut resolutions = Resolutions::of(&all);
    for (name, index) in names.iter().zip(indexes) {
        resolutions.add_outline(&Outline::of(index, name.as_bytes()));
        resolutions.add_regular_part(&llvm.read(name)).unwrap();
    }
    let cured = |(name, index): (&&'n str, &Index)| {
        let mut cured = index.clone();
        // The module itself is among them.
        let modules = index
            .modules()
            .into_iter()
            .map(|module| String::from_utf8(module.path).unwrap());
        let open: Vec<_> = modules.flat_map(|path| open(&path)).collect();
        cured
            .add_dso_local(name.as_bytes(), &resolutions.declarations(&open))
            .unwrap();
        (*name, cured)
    };
    names.iter().zip(indexes).map(cured).collect()
}

/// Classes, templates and inline functions, with debug info: many copies of a name, of which one prevails.
const CLASSES: [(&str, &str); 3] = [
    (
        "cxxfirst",
        "struct Shape { virtual ~Shape(); virtual int area() const; static int made; };\n\
         template <class T> T twice(T v) { static T last; last += v; return last + v; }\n\
         inline int bump() { static int n; return ++n + Shape::made; } Shape *make(int); extern thread_local int depth;\n\
         typedef int (*fn)(); extern fn hook; int describe(const Shape &);\n\
         int main(int c, char **) { Shape *s = make(c); hook = bump; depth++; int r = describe(*s) + twice(c) + Shape::made; r += describe(*new Shape); delete s; return r; }",
    ),
    (
        "cxxsecond",
        "struct Shape { virtual ~Shape(); virtual int area() const; static int made; };\n\
         inline int bump() { static int n; return ++n + Shape::made; } typedef int (*fn)(); fn hook = bump;\n\
         struct Square : Shape { int side; Square(int s) : side(s) { made++; } int area() const override { return side * side; } };\n\
         thread_local int depth; int log(const char *, int); Shape *make(int n) { if (n > 40) throw n; return new Square(n); }\n\
         int describe(const Shape &s) { log(\"area\", s.area()); return s.area() + hook(); }",
    ),
    (
        "cxxthird",
        "struct Shape { virtual ~Shape(); virtual int area() const; static int made; }; int Shape::made;\n\
         template <class T> T twice(T v) { static T last; last += v; return last + v; } Shape::~Shape() {}\n\
         int Shape::area() const { return twice(made); } extern thread_local int depth;\n\
         __attribute__((noinline)) int log(const char *text, int n) { return text[0] + depth + twice(n); }",
    ),
];

/// Compiles the modules, and compares each backend's object with in-process lld's: all equal with the cure, some not without.
fn compare(llvm: &Llvm, modules: &[(&str, &str)], compile: &str, link: &str) {
    for (name, source) in modules {
        llvm.compile(name, source, compile);
    }
    let names: Vec<_> = modules.iter().map(|(name, _)| format!("{name}.o")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let indexes = llvm.thin_link(&names, link);
    let indexes: Vec<_> = indexes.iter().map(|bytes| Index::parse(bytes).unwrap()).collect();
    let objects = llvm.in_process(&names, link);
    let mut differed = 0;
    for ((index, object), (name, cured)) in indexes.iter().zip(&objects).zip(cure(llvm, &names, &indexes)) {
        differed += usize::from(&llvm.backend(name, &index.write(), "pic") != object);
        let same = &llvm.backend(name, &cured.write(), "pic") == object;
        assert!(same, "{name} of LLVM {} {compile}", llvm.version);
        llvm.disassemble(&cured.write());
    }
    assert!(
        differed > 0,
        "LLVM {} needs no cure, or not for these modules",
        llvm.version
    );
}

#[test]
fn position_independent_code_is_what_the_whole_index_makes_it() {
    for llvm in Llvm::all() {
        compare(&llvm, &MODULES, "-O2 -fpie -flto=thin", "-pie -e main");
        compare(
            &llvm,
            &MODULES,
            "-O0 -g -fPIE -flto=thin",
            "-pie -e main --export-dynamic",
        );
    }
}

#[test]
fn classes_and_templates_too() {
    for llvm in Llvm::all() {
        // Symbols of the C++ runtime stay undefined.
        let link = "-pie -e main --unresolved-symbols=ignore-all";
        compare(&llvm, &CLASSES, "-O2 -g -fPIE -flto=thin", link);
        compare(
            &llvm,
            &CLASSES,
            "-O1 -fPIE -flto=thin -fvisibility-inlines-hidden",
            link,
        );
    }
}

#[test]
fn split_units_too() {
    for llvm in Llvm::all() {
        let link = "-pie -e main --unresolved-symbols=ignore-all";
        let split = "-O2 -fPIE -flto=thin -fsplit-lto-unit -fvisibility=hidden -fwhole-program-vtables";
        compare(&llvm, &CLASSES, split, link);
        // A vtable that is not hidden has a copy in the thin part too, which is not dso_local: all must be.
        let public = "-O2 -fpie -flto=thin -fsplit-lto-unit -fwhole-program-vtables";
        compare(&llvm, &CLASSES, public, link);
    }
}

#[test]
fn what_has_a_summary_is_left_alone() {
    let llvm = Llvm::newest();
    for (name, source) in MODULES {
        llvm.compile(name, source, "-O2 -fpie -flto=thin");
    }
    let indexes = llvm.thin_link(&["first.o", "second.o", "third.o"], "-pie -e main");
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
        llvm.compile("alone", "int main(void) { return 0; }", "-O2 -fpie -flto=thin");
        let [bytes] = llvm.thin_link(&["alone.o"], "-pie -e main").try_into().unwrap();
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
