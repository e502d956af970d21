use super::*;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};

fn find_in<T: AsRef<[u8]>>(texts: &[T], cwd: &Path) -> AsmFiles {
    let texts: Vec<Text> = texts.iter().map(|text| Text::new(text.as_ref())).collect();
    find(&texts.iter().collect::<Vec<_>>(), cwd)
}

/// What is in the folder, and clang is run there.
const FILES: [(&str, &str); 5] = [
    ("a.bin", "A"),
    ("b c.bin", "B"),
    ("x.s", ".byte 1\n"),
    ("nest.s", ".InClude \"x.s\"; .incbin \"a.bin\"\n"),
    ("mac.s", ".macro put f\n.incbin \"\\f\"\n.endm\n"),
];

#[derive(Clone)]
enum Want {
    None,
    /// Exactly what clang opens.
    Files(&'static [&'static str]),
    /// What clang opens, and these it does not.
    TooMany(&'static [&'static str]),
    Undecidable(Undecidable),
}
use Undecidable::{AltMacro, Directive, Malformed, Name};
use Want::{Files, TooMany};

const X86: &str = "x86_64-pc-linux-gnu";
const ARM: &str = "armv7-linux-gnueabihf";
const AARCH64: &str = "aarch64-linux-gnu";
const RISCV: &str = "riscv64-linux-gnu";

/// Module assembly that clang accepts, and what we make of it.
const MODULE_ASM: &[(&str, &str, Want)] = &[
    (X86, ".text\nnop\n", Want::None),
    (X86, ".incbin \"a.bin\"", Files(&["a.bin"])),
    (X86, ".INCBIN\t\"b c.bin\",0,1", Files(&["b c.bin"])),
    (X86, "lab:.incbin\"a.bin\"", Files(&["a.bin"])),
    (
        X86,
        "nop;.incbin/* \"x.s\" */\"a.bin\"/**/;nop # end",
        Files(&["a.bin"]),
    ),
    (X86, ".incbin \"\\141.\\x62in\"", Files(&["a.bin"])),
    (X86, ".incbin \"./a.bin\" # \"x.s\"", Files(&["./a.bin"])),
    (X86, ".include \"x.s\"\n.incbin \"a.bin\"\n", Files(&["x.s", "a.bin"])),
    (X86, ".include \"nest.s\"", Files(&["nest.s", "x.s", "a.bin"])),
    (X86, "# .incbin \"a.bin\"\nnop", TooMany(&["a.bin"])),
    (X86, ".ascii \".incbin \\\"a.bin\\\"\"", Want::Undecidable(Name)),
    (X86, "# uses .incbin for data\nnop", Want::None),
    (X86, ".if 0\n.incbin \"a.bin\"\n.endif", TooMany(&["a.bin"])),
    (X86, ".set incbin, 1\n.incbin_data = 2\nfoo.include = 3", Want::None),
    (X86, ".section .include.foo,\"a\"\n.byte 1", Want::None),
    (ARM, "nop @ \"x.s\"\n.incbin \"a.bin\" @ c", Files(&["a.bin"])),
    (AARCH64, "nop // c\n.incbin \"a.bin\" // c\n", Files(&["a.bin"])),
    (AARCH64, "nop ; .incbin \"a.bin\" ; nop", Files(&["a.bin"])),
    (
        RISCV,
        "nop # c ; .incbin \"x.s\"\n .incbin \"a.bin\"",
        TooMany(&["x.s", "a.bin"]),
    ),
    // Macros.
    (X86, ".macro m\n.incbin \"a.bin\"\n.endm\nm", Files(&["a.bin"])),
    (X86, ".macro m\n.incbin \"a.bin\"\n.endm", TooMany(&["a.bin"])),
    (
        X86,
        ".macro m f\n.incbin \"\\f\"\n.endm\nm a.bin",
        Want::Undecidable(Name),
    ),
    (
        X86,
        ".macro m f:vararg\n.incbin \\f\n.endm\nm \"a.bin\"",
        Want::Undecidable(Name),
    ),
    (
        X86,
        ".macro m d f:vararg\n\\d \\f\n.endm\nm .incbin \"a.bin\"",
        Want::Undecidable(Directive),
    ),
    (
        X86,
        ".macro m d\n.\\d \"a.bin\"\n.endm\nm incbin",
        Want::Undecidable(Directive),
    ),
    (
        X86,
        ".macro m d\n.in\\d\\() \"a.bin\"\n.endm\nm cbin",
        Want::Undecidable(Directive),
    ),
    (
        X86,
        ".macro m d e\n\\d\\e \"a.bin\"\n.endm\nm .in cbin",
        Want::Undecidable(Directive),
    ),
    (
        X86,
        ".macro m\n.in\\()cbin \"a.bin\"\n.endm\nm",
        Want::Undecidable(Directive),
    ),
    (
        X86,
        ".irp f,a,\"b c\"\n.incbin \"\\f\\().bin\"\n.endr",
        Want::Undecidable(Name),
    ),
    (
        X86,
        ".irp d,.incbin,.include\n.ifc \\d,.incbin\n\\d \"a.bin\"\n.endif\n.endr",
        Want::Undecidable(Directive),
    ),
    (
        X86,
        ".irpc d,n\n.i\\d\\()cbin \"a.bin\"\n.endr",
        Want::Undecidable(Directive),
    ),
    (X86, ".rept 2\n.incbin \"a.bin\"\n.endr", Files(&["a.bin"])),
    (
        X86,
        ".altmacro\n.macro m f\n.incbin \"f\"\n.endm\nm a.bin",
        Want::Undecidable(AltMacro),
    ),
    (
        X86,
        ".altmacro\n.macro m f\n.in&f& \"a.bin\"\n.endm",
        Want::Undecidable(AltMacro),
    ),
    (X86, ".include \"mac.s\"\nput a.bin", Want::Undecidable(Name)),
    (
        X86,
        ".macro op r\nmov %\\r, %\\r\n.L\\@: .long .L\\@\n.endm\nop rax",
        Want::None,
    ),
    (X86, ".irp n,0,1,2\n.equ .L_num_x\\n, \\n\n.endr", Want::None),
];

/// Inline assembly: its text, constraints and operands.
const INLINE_ASM: &[(&str, &str, &str, Want)] = &[
    ("movl $0, %eax", "i", "i32 1", Want::None),
    (".incbin \"a.bin\"", "", "", Files(&["a.bin"])),
    (
        "$(.incbin \"a.bin\"$|.include \"x.s\"$)",
        "",
        "",
        TooMany(&["a.bin", "x.s"]),
    ),
    (".incbin \"${0:c}.bin\"", "i", "ptr @a", Want::Undecidable(Name)),
    (".in${0:c} \"a.bin\"", "i", "ptr @cbin", Want::Undecidable(Directive)),
    (".byte $0\n.long ${0:n}\n.L${:uid}:", "i", "i32 1", Want::None),
];

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in FILES {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn ir_string(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b == b' ' {
                char::from(b).to_string()
            } else {
                format!("\\{b:02X}")
            }
        })
        .collect()
}

fn assembles(dir: &Path, triple: &str, ir: &str) -> Result<(), String> {
    std::fs::write(dir.join("module.ll"), ir).unwrap();
    let out = Command::new("clang-22")
        .args([
            "-cc1",
            "-triple",
            triple,
            "-mrelocation-model",
            "static",
            "-emit-obj",
            "-o",
            "module.o",
            "-x",
            "ir",
            "module.ll",
        ])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if out.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&out.stderr).into_owned())
    }
}

/// The files of the folder that clang can't do without.
fn opened(dir: &Path, triple: &str, ir: &str) -> BTreeSet<&'static str> {
    assembles(dir, triple, ir).unwrap_or_else(|e| panic!("clang rejects {ir}\n{e}"));
    let mut opened = BTreeSet::new();
    for (name, text) in FILES {
        std::fs::remove_file(dir.join(name)).unwrap();
        if assembles(dir, triple, ir).is_err() {
            opened.insert(name);
        }
        std::fs::write(dir.join(name), text).unwrap();
    }
    opened
}

fn check(dir: &Path, triple: &str, text: &str, ir: &str, want: Want) {
    let paths = |names: &[&str]| AsmFiles::Files(names.iter().map(PathBuf::from).collect());
    let got = find_in(&[text], dir);
    let opened = opened(dir, triple, ir);
    let named = |names: &[&'static str]| {
        names
            .iter()
            .map(|n| n.trim_start_matches("./"))
            .collect::<BTreeSet<_>>()
    };
    match want {
        Want::None => {
            assert_eq!(got, AsmFiles::None, "{text}");
            assert!(opened.is_empty(), "{text} opens {opened:?}");
        }
        Files(names) => {
            assert_eq!(got, paths(names), "{text}");
            assert_eq!(opened, named(names), "{text}");
        }
        TooMany(names) => {
            assert_eq!(got, paths(names), "{text}");
            assert!(
                opened.is_subset(&named(names)) && opened != named(names),
                "{text} opens {opened:?}"
            );
        }
        Want::Undecidable(why) => {
            assert_eq!(got, AsmFiles::Undecidable(why), "{text} opens {opened:?}")
        }
    }
}

#[test]
fn module_assembly_is_read_as_clang_reads_it() {
    let dir = folder();
    for (triple, text, want) in MODULE_ASM {
        let ir = format!("target triple = \"{triple}\"\nmodule asm \"{}\"\n", ir_string(text));
        check(dir.path(), triple, text, &ir, want.clone());
    }
}

#[test]
fn inline_assembly_is_read_as_clang_reads_it() {
    let dir = folder();
    for (text, constraints, operands, want) in INLINE_ASM {
        let typed = operands.to_string();
        let ir = format!(
            "target triple = \"{X86}\"\n@a = dso_local global i8 0\n@cbin = dso_local global i8 0\n\
             define void @f() {{\n call void asm sideeffect \"{}\", \"{constraints}\"({typed})\n ret void\n}}\n",
            ir_string(text)
        );
        check(dir.path(), X86, text, &ir, want.clone());
    }
}

#[test]
fn a_macro_in_one_text_is_known_in_the_next() {
    let cwd = Path::new("/nonexistent");
    let texts = [".macro m d f:vararg\n\\d \\f\n.endm", "m .incbin \"a.bin\""];
    assert_eq!(find_in(&texts, cwd), AsmFiles::Undecidable(Directive));
    assert_eq!(find_in(&texts[1..], cwd), AsmFiles::Files(vec!["a.bin".into()]));
}

#[test]
fn missing_files_are_named_and_circles_end() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("me.s"),
        ".include \"me.s\"\n.include \"gone.s\"\n.incbin \"gone.bin\"",
    )
    .unwrap();
    let want = ["me.s", "gone.s", "gone.bin"].map(PathBuf::from).to_vec();
    assert_eq!(find_in(&[".include \"me.s\""], dir.path()), AsmFiles::Files(want));
    for special in [".", "/dev/zero"] {
        assert!(matches!(
            find_in(&[format!(".include \"{special}\"")], dir.path()),
            AsmFiles::Undecidable(Undecidable::Unreadable { .. })
        ));
    }
    let large = std::fs::File::create(dir.path().join("large.s")).unwrap();
    large.set_len(MAX_BYTES + 1).unwrap();
    assert_eq!(
        find_in(&[".include \"large.s\""], dir.path()),
        AsmFiles::Undecidable(Undecidable::TooMuch)
    );
}

#[test]
fn what_clang_would_reject_does_not_panic() {
    for text in [
        ".incbin",
        ".incbin \"",
        ".incbin \"\\",
        ".incbin \"\\xg\"",
        ".incbin \"\\777\"",
        ".incbin \"a\" \"b\"",
        ".incbin /*",
        "\\",
        "$",
        "${",
        ".macro\n\\",
    ] {
        let _ = find_in(&[text], Path::new("/"));
    }
    assert_eq!(
        find_in(&[".incbin \"a\" \"b\""], Path::new("/")),
        AsmFiles::Undecidable(Malformed)
    );
    assert_eq!(
        find_in(&[".incbin \"\\777\""], Path::new("/")),
        AsmFiles::Undecidable(Malformed)
    );
}
