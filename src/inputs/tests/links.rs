//! Which files a link opens, and how their paths are spelled: ours against lld's `--verbose`.

use super::*;
use crate::inputs::{FileKind, Origin, Problem, Scan, Stamp, quick_scan};

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
        &[&l1, &l2, "-Bstatic", "-lstatic", "-lboth", "-Bdynamic", "-lboth"],
        &[&l1, &l2, "-Bstatic", "--push-state", "-Bdynamic", "-lsecond"],
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
        .map(|entry| (entry.item, entry.kind, entry.origin.clone(), entry.position.as_needed))
        .collect();
    assert_eq!(
        seen,
        [
            (2, FileKind::Text, Origin::CommandLine, false),
            (2, FileKind::NativeObject, Origin::Script(script.clone().into()), false),
            (2, FileKind::SharedObject, Origin::Script(script.into()), true),
            (3, FileKind::Archive, Origin::Library("static".into()), false),
        ]
    );
    assert!(inputs.entries.iter().all(|entry| entry.position.whole_archive));
    assert_eq!(inputs.missing.len(), 1);
    assert_eq!(
        (inputs.missing[0].item, inputs.missing[0].name.to_str()),
        (4, Some("gone.o"))
    );
    assert!(matches!(inputs.missing[0].problem, Problem::Open(_)));
}

#[test]
fn every_kind() {
    let folder = tree();
    let fat = folder.compile("clang-22", "fat.o", "fat", &["-flto=thin", "-ffat-lto-objects"]);
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
    assert!(std::fs::read(&wrapped).unwrap().starts_with(&[0xde, 0xc0, 0x17, 0x0b]));
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
            quick_scan(&plain, None),
            if bitcode { Scan::HasBitcode } else { Scan::None },
            "{path}"
        );
        assert_eq!(inputs.entries[0].map.is_some(), bitcode || kind.is_archive(), "{path}");
        let data = link(&["--format=binary", path]);
        assert_eq!(Inputs::open(&data).unwrap().entries[0].kind, FileKind::Data);
        assert_eq!(quick_scan(&data, None), Scan::None, "{path}");
        let symbols = link(&[format!("--just-symbols={path}")]);
        assert_eq!(Inputs::open(&symbols).unwrap().entries[0].kind, FileKind::Data);
        assert_eq!(quick_scan(&symbols, None), Scan::None, "{path}");
    }
    let shared_or_program = Inputs::open(&link(&[program])).unwrap().entries[0].kind;
    assert!(matches!(shared_or_program, FileKind::SharedObject | FileKind::Unknown));
    for (path, kind) in [(&fat, FileKind::FatObject), (&native, FileKind::NativeObject)] {
        let inv = link(&["--fat-lto-objects", path]);
        let inputs = Inputs::open(&inv).unwrap();
        assert_eq!(inputs.entries[0].kind, kind);
        assert_eq!(quick_scan(&inv, None) == Scan::HasBitcode, kind.is_bitcode());
        let inside = super::super::classify::fat_bitcode(&std::fs::read(path).unwrap()).map(<[u8]>::to_vec);
        assert_eq!(
            inside.is_some_and(|bitcode| bitcode.starts_with(b"BC\xC0\xDE")),
            kind.is_bitcode()
        );
    }
}

#[test]
fn pipes_are_left_for_the_linker() {
    let folder = Folder::new();
    let pipe = folder.at("pipe");
    run(Command::new("mkfifo").arg(&pipe));
    for words in [vec![pipe.as_str()], vec!["-T", &pipe]] {
        let inv = link(&words);
        assert_eq!(quick_scan(&inv, None), Scan::None);
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

#[test]
fn many_inputs_are_scanned_by_many_threads() {
    let folder = tree();
    let native = folder.at("one.o");
    let mut words = vec![native; 1500];
    assert_eq!(quick_scan(&link(&words), None), Scan::None);
    words.push(folder.bitcode("bit.o", "bit"));
    assert_eq!(quick_scan(&link(&words), None), Scan::HasBitcode);
}

/// System calls that this thread has read with.
fn reads() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("syscr: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn what_had_no_bitcode_is_read_again_only_where_it_changed() {
    let folder = tree();
    let (native, archive) = (folder.at("one.o"), folder.ar("rcT", "thin.a", &["main.o"]));
    let mut words = vec![native.clone(); 299];
    words.push(archive);
    let cache = folder.path().join("cache");
    let scan = || {
        let before = reads();
        let answer = quick_scan(&link(&words), Some(&cache));
        (answer, reads() - before)
    };
    // What was only just written could change again and look the same.
    std::thread::sleep(std::time::Duration::from_millis(60));
    let (first, read) = scan();
    assert!(first == Scan::None && read >= 300, "{first:?}, {read} reads");
    let (second, read) = scan();
    assert!(second == Scan::None && read < 50, "{second:?}, {read} reads");
    folder.bitcode("main.o", "main");
    assert_eq!(scan().0, Scan::HasBitcode, "a member of a thin archive");
    folder.native("main.o", "main");
    let same_times = std::fs::metadata(&native).unwrap().modified().unwrap();
    folder.bitcode("one.o", "one");
    std::fs::File::options()
        .write(true)
        .open(&native)
        .unwrap()
        .set_modified(same_times)
        .unwrap();
    assert_eq!(scan().0, Scan::HasBitcode);
}
