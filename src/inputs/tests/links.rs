//! Which files a link opens, and how their paths are spelled: ours against lld's `--verbose`.

use super::*;
use crate::inputs::{FileKind, Origin, Problem, Scan, Stamp, quick_scan};

/// A tree with two library directories and scripts of every sort.
fn tree() -> Folder {
    let folder = Folder::new();
    folder.native("main.o", "_start");
    folder.native("one.o", "one");
    folder.native("two.o", "two");
    folder.native("sub/beside.o", "beside");
    for library in [
        "l1/libstatic.a",
        "l1/libboth.a",
        "l2/libboth.a",
        "l2/libsecond.a",
        "root/lib/libr.a",
    ] {
        folder.at(library);
        folder.ar("rc", library, &["one.o"]);
    }
    for library in ["l1/libboth.so", "l2/libstatic.so", "l2/odd.name"] {
        let library = folder.at(library);
        run(Command::new("ld.lld-22").args(["-shared", &folder.at("two.o"), "-o", &library]));
    }
    std::fs::copy(folder.at("one.o"), folder.at("root/abs.o")).unwrap();
    folder
}

fn agree(folder: &Folder, words: &[String]) {
    let inputs = Inputs::open(&link(words)).unwrap();
    let only_scripts: Vec<_> = inputs
        .scripts
        .iter()
        .map(|script| script.path.clone())
        .collect();
    let ours = we_open(&inputs);
    for linker in LINKERS {
        let theirs: Vec<_> = lld_opens(linker, words, &folder.path().join("out"))
            .into_iter()
            .filter(|path| ours.contains(path) || !only_scripts.contains(path))
            .collect();
        assert_eq!(
            ours, theirs,
            "{linker} {words:?} (missing: {:?})",
            inputs.missing
        );
    }
}

#[test]
fn libraries_are_found_where_lld_finds_them() {
    let folder = tree();
    let at = |name: &str| folder.at(name);
    let (l1, l2) = (format!("-L{}", at("l1")), format!("-L{}", at("l2")));
    let doubled = format!("-L{}//", at("l1"));
    let dotted = format!("-L{}/./sub/../l2", folder.path().display());
    let sysroot = format!("--sysroot={}", at("root"));
    let slashed = format!("--sysroot={}/", at("root"));
    let table: &[&[&str]] = &[
        &[&l1, &l2, "-lstatic", "-lboth"],
        &[&l2, &l1, "-lstatic", "-lboth"],
        &[
            &l1,
            &l2,
            "-Bstatic",
            "-lstatic",
            "-lboth",
            "-Bdynamic",
            "-lboth",
        ],
        &[
            &l1,
            &l2,
            "-Bstatic",
            "--push-state",
            "-Bdynamic",
            "-lsecond",
        ],
        &[&doubled, &l2, "-lstatic", "-l:odd.name", "-l:libboth.a"],
        &[&dotted, "-lsecond", "-lboth"],
        &[&sysroot, "-L=/lib", "-lr"],
        &[&slashed, "-L=lib", "-lr"],
        &[&slashed, "-L=/lib/", "-lr"],
        &["-L/usr/lib/x86_64-linux-gnu", "-lc", "-lm"],
        &["-L/usr/lib/x86_64-linux-gnu", "-Bstatic", "-lc"],
    ];
    for words in table {
        let words: Vec<String> = [at("main.o")]
            .into_iter()
            .chain(words.iter().map(ToString::to_string))
            .collect();
        agree(&folder, &words);
    }
}

#[test]
fn relocatable_links_find_archives_only() {
    let folder = tree();
    let words = [
        "-r".into(),
        folder.at("main.o"),
        format!("-L{}", folder.at("l1")),
        "-lboth".into(),
    ];
    let ours = we_open(&Inputs::open(&link(&words)).unwrap());
    // LLD 16 still takes the shared library, and then refuses it.
    for linker in ["ld.lld-22", "ld.lld-19"] {
        assert_eq!(ours, lld_opens(linker, &words, &folder.path().join("out")));
    }
}

#[test]
fn sysroot_variable_means_nothing_to_lld() {
    let folder = tree();
    let words = [
        format!("--sysroot={}", folder.at("root")),
        "-L$SYSROOT/lib".into(),
        "-lr".into(),
    ];
    let inputs = Inputs::open(&link(&words)).unwrap();
    assert!(inputs.entries.is_empty());
    assert_eq!(inputs.missing[0].name, "-lr");
    assert!(matches!(inputs.missing[0].problem, Problem::NotFound));
    assert!(lld_opens("ld.lld-22", &words, &folder.path().join("out")).is_empty());
}

#[test]
fn scripts_bring_in_what_lld_reads() {
    let folder = tree();
    let at = |name: &str| folder.at(name);
    let one = at("one.o");
    let scripts: &[&str] = &[
        &format!("INPUT({one})"),
        &format!("/* c */ # line\nGROUP ( \"{one}\" AS_NEEDED ( -lboth ) two.o );"),
        "INPUT(sub/beside.o l2/odd.name)",
        "INPUT(libsecond.a)",
        &format!(
            "SEARCH_DIR({0}/root/lib) INPUT(-lr) SEARCH_DIR(\"{0}\")",
            folder.path().display()
        ),
        "OUTPUT_FORMAT(elf64-x86-64) TARGET(elf64-x86-64) OUTPUT_ARCH(i386:x86-64) ENTRY(_start) GROUP(one.o)",
        "x = 1 + (2 * 3); y += x; PROVIDE(z = .); ASSERT(1 /* ) */, \"no\") INPUT(one.o)",
        "SECTIONS { .text : { *(.text INPUT) *lib/*.o(.text) } /DISCARD/ : { *(.x) } } INPUT(one.o)",
        "INCLUDE included.ld INPUT(two.o)",
        "INPUT(inner.ld) INPUT(-lr)",
        "EXTERN(one) VERSION { { global: *; }; } INPUT(one.o)",
        "INPUT(one.o",
        "INPUT one.o",
        "INPUT(nothing.o one.o)",
        "INPUT(one.o, two.o)",
        "nonsense INPUT(one.o)",
        "",
    ];
    folder.write("included.ld", "INPUT(one.o)");
    folder.write(
        "inner.ld",
        format!("SEARCH_DIR({}) INPUT(one.o)", at("root/lib")),
    );
    for script in scripts {
        let script = folder.write("script.ld", script);
        let paths = [
            format!("-L{}", at("l1")),
            format!("-L{}", at("l2")),
            format!("-L{}", folder.path().display()),
        ];
        for middle in [vec![script.clone()], vec!["-T".into(), script.clone()]] {
            let words: Vec<String> = [at("main.o")]
                .into_iter()
                .chain(paths.clone())
                .chain(middle)
                .collect();
            agree(&folder, &words);
        }
    }
}

#[test]
fn scripts_below_the_sysroot_stay_below_it() {
    let folder = tree();
    let sysroot = format!("--sysroot={}", folder.at("root"));
    let below = folder.write("root/lib/below.ld", "INPUT(/abs.o =abs.o =/abs.o)");
    let outside = folder.write(
        "outside.ld",
        format!("INPUT({} =abs.o)", folder.at("one.o")),
    );
    let broken = folder.write("root/broken.ld", "INPUT(/nothing.o)");
    for script in [&below, &outside, &broken] {
        agree(
            &folder,
            &[sysroot.clone(), folder.at("main.o"), script.clone()],
        );
    }
    agree(&folder, &[folder.at("main.o"), below]);
}

#[test]
fn relative_names_are_tried_from_here_too() {
    let folder = tree();
    let up = "../".repeat(std::env::current_dir().unwrap().components().count() - 1);
    let here = format!("{up}{}", folder.path().strip_prefix("/").unwrap().display());
    let script = folder.write(
        "far/script.ld",
        format!("INPUT({here}/one.o) INPUT(beside.o)"),
    );
    agree(
        &folder,
        &[format!("{here}/main.o"), format!("-L{here}/sub"), script],
    );
    folder.write("near.ld", "INPUT(one.o)");
    agree(
        &folder,
        &[
            format!("{here}/main.o"),
            format!("-L{here}/l1"),
            format!("{here}/near.ld"),
            "-lboth".into(),
        ],
    );
    agree(
        &folder,
        &[
            format!("-L{here}"),
            format!("{here}/main.o"),
            "-T".into(),
            "near.ld".into(),
        ],
    );
}

#[test]
fn default_scripts_come_last_and_give_way() {
    let folder = tree();
    let default = folder.write("default.ld", "INPUT(one.o)");
    let given = folder.write("given.ld", "INPUT(two.o)");
    let words = |middle: &[&str]| {
        [&["-dT", &default], middle, &[&folder.at("main.o")]]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    for middle in [&[][..], &["-T", &given][..]] {
        let ours = we_open(&Inputs::open(&link(&words(middle))).unwrap());
        let theirs = lld_opens("ld.lld-22", &words(middle), &folder.path().join("out"));
        let theirs: Vec<_> = theirs
            .into_iter()
            .filter(|path| path.extension().unwrap() != "ld")
            .collect();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn entries_tell_where_they_come_from() {
    let folder = tree();
    let one = folder.at("one.o");
    let script = folder.write("script.ld", format!("INPUT({one} AS_NEEDED(-lboth))"));
    let words = [
        format!("-L{}", folder.at("l1")),
        "--whole-archive".into(),
        script.clone(),
        "-lstatic".into(),
        "gone.o".into(),
    ];
    let inputs = Inputs::open(&link(&words)).unwrap();
    let seen: Vec<_> = inputs
        .entries
        .iter()
        .map(|entry| {
            (
                entry.item,
                entry.kind,
                entry.origin.clone(),
                entry.position.as_needed,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (2, FileKind::Text, Origin::CommandLine, false),
            (
                2,
                FileKind::NativeObject,
                Origin::Script(script.clone().into()),
                false
            ),
            (
                2,
                FileKind::SharedObject,
                Origin::Script(script.into()),
                true
            ),
            (
                3,
                FileKind::Archive,
                Origin::Library("static".into()),
                false
            ),
        ]
    );
    assert!(
        inputs
            .entries
            .iter()
            .all(|entry| entry.position.whole_archive)
    );
    assert_eq!(inputs.missing.len(), 1);
    assert_eq!(
        (inputs.missing[0].item, inputs.missing[0].name.to_str()),
        (4, Some("gone.o"))
    );
    assert!(matches!(inputs.missing[0].problem, Problem::Open(_)));
}

#[test]
fn script_options_take_the_state_where_they_stand() {
    let folder = tree();
    let script = folder.write("script.ld", "INPUT(-lboth)");
    let l1 = format!("-L{}", folder.at("l1"));
    for (middle, static_too) in [
        (&["-Bstatic"][..], true),
        (&["--push-state", "-Bstatic", "--pop-state"], false),
    ] {
        let words: Vec<String> = [l1.as_str(), "-shared"]
            .iter()
            .chain(middle)
            .chain(&["-T", &script])
            .map(ToString::to_string)
            .collect();
        agree(&folder, &words);
        assert_eq!(
            Inputs::open(&link(&words)).unwrap().entries[0]
                .position
                .prefer_static,
            static_too
        );
    }
}

#[test]
fn every_kind() {
    let folder = tree();
    let fat = folder.compile(
        "clang-22",
        "fat.o",
        "fat",
        &["-flto=thin", "-ffat-lto-objects"],
    );
    let wrapped = folder.compile(
        "clang-22",
        "wrapped.o",
        "wrapped",
        &["-flto=thin", "--target=arm64-apple-macos11"],
    );
    let thin = folder.bitcode("thin.o", "thin");
    let full = folder.compile("clang-22", "full.o", "full", &["-flto"]);
    let archive = folder.ar("rc", "regular.a", &["one.o"]);
    let thin_archive = folder.ar("rcT", "thin.a", &["one.o"]);
    let native = folder.at("one.o");
    let shared = folder.at("l1/libboth.so");
    let script = folder.write("kind.ld", "");
    let program = "/proc/self/exe";
    assert!(
        std::fs::read(&wrapped)
            .unwrap()
            .starts_with(&[0xde, 0xc0, 0x17, 0x0b])
    );
    let table = [
        (&thin, FileKind::Bitcode, true),
        (&full, FileKind::Bitcode, true),
        (&wrapped, FileKind::Bitcode, true),
        (&fat, FileKind::NativeObject, false),
        (&native, FileKind::NativeObject, false),
        (&shared, FileKind::SharedObject, false),
        (&archive, FileKind::Archive, false),
        (&thin_archive, FileKind::ThinArchive, false),
        (&script, FileKind::Text, false),
    ];
    for (path, kind, bitcode) in table {
        let plain = link(&[path]);
        let inputs = Inputs::open(&plain).unwrap();
        assert_eq!(inputs.entries[0].kind, kind, "{path}");
        assert_eq!(inputs.has_bitcode(), bitcode, "{path}");
        assert_eq!(
            quick_scan(&plain),
            if bitcode {
                Scan::HasBitcode
            } else {
                Scan::None
            },
            "{path}"
        );
        assert_eq!(
            inputs.entries[0].map.is_some(),
            bitcode || kind.is_archive(),
            "{path}"
        );
        let data = link(&["--format=binary", path]);
        assert_eq!(Inputs::open(&data).unwrap().entries[0].kind, FileKind::Data);
        assert_eq!(quick_scan(&data), Scan::None, "{path}");
        let symbols = link(&[format!("--just-symbols={path}")]);
        assert_eq!(
            Inputs::open(&symbols).unwrap().entries[0].kind,
            FileKind::Data
        );
        assert_eq!(quick_scan(&symbols), Scan::None, "{path}");
    }
    let shared_or_program = Inputs::open(&link(&[program])).unwrap().entries[0].kind;
    assert!(matches!(
        shared_or_program,
        FileKind::SharedObject | FileKind::Unknown
    ));
    for (path, kind) in [
        (&fat, FileKind::FatObject),
        (&native, FileKind::NativeObject),
    ] {
        let inv = link(&["--fat-lto-objects", path]);
        let inputs = Inputs::open(&inv).unwrap();
        assert_eq!(inputs.entries[0].kind, kind);
        assert_eq!(quick_scan(&inv) == Scan::HasBitcode, kind.is_bitcode());
        let inside =
            super::super::classify::fat_bitcode(&std::fs::read(path).unwrap()).map(<[u8]>::to_vec);
        assert_eq!(
            inside.is_some_and(|bitcode| bitcode.starts_with(b"BC\xC0\xDE")),
            kind.is_bitcode()
        );
    }
}

#[test]
fn quick_scan_looks_behind_scripts() {
    let folder = tree();
    folder.bitcode("bit.o", "bit");
    folder.ar("rc", "hidden/libbit.a", &["one.o", "bit.o"]);
    let library = folder.write("bit.ld", "INPUT(bit.o)");
    let searched = folder.write("search.ld", format!("SEARCH_DIR({})", folder.at("hidden")));
    for words in [
        vec![library.as_str()],
        vec!["-T", &library],
        vec![&searched, "-lbit"],
    ] {
        let inv = link(&words);
        assert_eq!(quick_scan(&inv), Scan::HasBitcode, "{words:?}");
        assert!(Inputs::open(&inv).unwrap().has_bitcode(), "{words:?}");
    }
    for words in [
        vec!["-lbit"],
        vec!["-nostdlib", &searched, "-lbit"],
        vec![&searched],
    ] {
        assert_eq!(quick_scan(&link(&words)), Scan::None, "{words:?}");
    }
}

#[test]
fn pipes_are_left_for_the_linker() {
    let folder = Folder::new();
    let pipe = folder.at("pipe");
    run(Command::new("mkfifo").arg(&pipe));
    for words in [vec![pipe.as_str()], vec!["-T", &pipe]] {
        let inv = link(&words);
        assert_eq!(quick_scan(&inv), Scan::None);
        let inputs = Inputs::open(&inv).unwrap();
        assert!(inputs.entries.is_empty());
        assert!(matches!(inputs.missing[0].problem, Problem::Stream));
    }
}

#[test]
fn stamps_notice_a_change() {
    let folder = tree();
    let path = folder.at("one.o");
    let inputs = Inputs::open(&link(&[&path])).unwrap();
    let before = inputs.entries[0].stamp;
    assert_eq!(before, Stamp::of(Path::new(&path)).unwrap());
    assert_eq!(before.size, std::fs::metadata(&path).unwrap().len());
    let copy = folder.at("copy.o");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    assert_ne!(
        before,
        Stamp::of(Path::new(&path)).unwrap(),
        "same bytes in another file"
    );
}
