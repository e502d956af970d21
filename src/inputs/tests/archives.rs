//! Archives made by llvm-ar: what we name their members, against lld.

use super::*;
use crate::inputs::{FileKind, InputError, MemberData, Scan, quick_scan};

const LONG: &str = "a-name-much-longer-than-sixteen-bytes.o";

fn members(inputs: &Inputs) -> Vec<(String, FileKind)> {
    let entry = &inputs.entries[0];
    entry
        .members
        .iter()
        .map(|member| (text(member.name.as_bytes()), member.kind))
        .collect()
}

/// Names lld gives to a whole archive's bitcode members, as index-only mode lists them.
fn lld_names(folder: &Folder, linker: &str, archive: &str) -> Vec<String> {
    let list = folder.at("list");
    let output = folder.at("out");
    let index_only = format!("--thinlto-index-only={list}");
    run(Command::new(linker).args(["-shared", &index_only, "--whole-archive", archive, "-o", &output]));
    std::fs::read_to_string(list)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn members_are_named_as_lld_names_them() {
    let folder = Folder::new();
    for (file, function) in [("a.o", "a"), ("deep/er/b.o", "b"), (LONG, "c"), ("deep/a.o", "d")] {
        // The oldest clang's, which every lld reads.
        folder.compile("clang-16", file, function, &["-flto=thin"]);
    }
    folder.native("native.o", "n");
    let all = ["a.o", "native.o", "deep/er/b.o", LONG, "deep/a.o"];
    folder.at("elsewhere/x");
    folder.ar("rcT", "deep/er/nested.a", &["deep/er/b.o"]);
    for (flags, archive, given) in [
        ("rc", "regular.a", &all[..]),
        ("rcS", "no-table.a", &all),
        ("rcT", "thin.a", &all),
        ("rcT", "elsewhere/thin.a", &all),
        ("rcT", "of-nested.a", &["a.o", "deep/er/nested.a"]),
        ("qcP", "paths.a", &all),
    ] {
        let archive = folder.ar(flags, archive, given);
        let inv = link(&[&archive]);
        let inputs = Inputs::open(&inv).unwrap();
        let entry = &inputs.entries[0];
        let ours: Vec<_> = (0..entry.members.len())
            .filter(|&member| entry.members[member].kind == FileKind::Bitcode)
            .map(|member| name(&inputs, 0, member))
            .collect();
        assert!(ours.len() > 1);
        for linker in LINKERS {
            assert_eq!(ours, lld_names(&folder, linker, &archive), "{linker} {flags}");
        }
        for member in entry.members.iter().filter(|member| member.kind == FileKind::Bitcode) {
            assert!(entry.member_bytes(member).unwrap().starts_with(b"BC\xC0\xDE"));
        }
        assert_eq!(quick_scan(&inv, None), Scan::HasBitcode);
    }
}

#[test]
fn thin_members_are_files() {
    let folder = Folder::new();
    folder.bitcode("deep/a.o", "a");
    folder.native("n.o", "n");
    let archive = folder.ar("rcT", "lib/thin.a", &["deep/a.o", "n.o"]);
    let inputs = Inputs::open(&link(&[&archive])).unwrap();
    assert_eq!(inputs.entries[0].kind, FileKind::ThinArchive);
    let paths: Vec<_> = inputs.entries[0]
        .members
        .iter()
        .map(|member| match &member.data {
            MemberData::File { path, map, stamp } => {
                assert_eq!(stamp.size, std::fs::metadata(path).unwrap().len());
                (path.clone(), map.is_some())
            }
            MemberData::Inside(_) => panic!("{member:?}"),
        })
        .collect();
    let lib = folder.path().join("lib");
    assert_eq!(paths, [(lib.join("../deep/a.o"), true), (lib.join("../n.o"), false)]);

    std::fs::remove_file(folder.at("n.o")).unwrap();
    let inv = link(&[&archive]);
    let InputError::Archive(error) = Inputs::open(&inv).unwrap_err();
    assert!(error.to_string().starts_with(&archive), "{error}");
    assert!(error.to_string().contains("n.o"), "{error}");
}

#[test]
fn equal_names_are_told_apart_by_offset() {
    let folder = Folder::new();
    for (file, function) in [("x/m.o", "a"), ("y/m.o", "b")] {
        folder.bitcode(file, function);
    }
    let archive = folder.ar("qc", "twins.a", &["x/m.o", "y/m.o"]);
    let inputs = Inputs::open(&link(&[&archive])).unwrap();
    assert_eq!(
        members(&inputs),
        [("m.o".into(), FileKind::Bitcode), ("m.o".into(), FileKind::Bitcode)]
    );
    let [first, second] = &inputs.entries[0].members[..] else {
        panic!()
    };
    assert!(first.header_offset < second.header_offset);
    let bytes = |member| inputs.entries[0].member_bytes(member).unwrap();
    assert_eq!(bytes(first), std::fs::read(folder.at("x/m.o")).unwrap());
    assert_eq!(bytes(second), std::fs::read(folder.at("y/m.o")).unwrap());
    assert_eq!(text(second.display_name(Path::new("t.a")).as_bytes()), "t.a(m.o)");
}

#[test]
fn other_archives() {
    let folder = Folder::new();
    folder.bitcode("b.o", "b");
    folder.native("n.o", "n");
    folder.write("readme", "not code");
    folder.write("empty", "");
    folder.compile("clang-22", "f.o", "f", &["-flto=thin", "-ffat-lto-objects"]);
    let open = |archive: &str| Inputs::open(&link(&[archive])).unwrap();

    assert!(members(&open(&folder.ar("rc", "empty.a", &[]))).is_empty());
    assert!(members(&open(&folder.ar("rcT", "empty-thin.a", &[]))).is_empty());

    let mixed = folder.ar("rc", "mixed.a", &["n.o", "readme", "empty", "f.o"]);
    let kinds = |inputs: &Inputs| members(inputs).into_iter().map(|(_, kind)| kind).collect::<Vec<_>>();
    let (native, text) = (FileKind::NativeObject, FileKind::Text);
    assert_eq!(kinds(&open(&mixed)), [native, text, text, native]);
    assert_eq!(quick_scan(&link(&[&mixed]), None), Scan::None);
    let fat = link(&["--fat-lto-objects", &mixed]);
    assert_eq!(
        kinds(&Inputs::open(&fat).unwrap()),
        [native, text, text, FileKind::FatObject]
    );
    assert_eq!(quick_scan(&fat, None), Scan::HasBitcode);

    folder.write(LONG, std::fs::read(folder.at("b.o")).unwrap());
    for function in ["b", "c"] {
        folder.bitcode(&format!("{function}-{LONG}"), function);
    }
    let (first, second) = (format!("b-{LONG}"), format!("c-{LONG}"));
    folder.ar("--format=bsd", "rc", &["bsd.a", &first, &second]);
    let bsd = folder.at("bsd.a");
    let inputs = open(&bsd);
    let names: Vec<_> = members(&inputs).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [first, second]);
    let ours: Vec<_> = (0..2).map(|member| name(&inputs, 0, member)).collect();
    assert_eq!(ours, lld_names(&folder, "ld.lld-22", &bsd));
}

#[test]
fn damaged_archives_are_errors_that_name_the_file() {
    let folder = Folder::new();
    folder.bitcode("b.o", "b");
    let whole = std::fs::read(folder.ar("rc", "whole.a", &["b.o"])).unwrap();
    let mut header = whole.clone();
    let terminator = header.windows(2).rposition(|pair| pair == b"`\n").unwrap();
    header[terminator] = b'x';
    for bytes in [&whole[..whole.len() / 2], &whole[..30], &header] {
        let path = folder.write("damaged.a", bytes);
        let inv = link(&[&path]);
        let error = Inputs::open(&inv).unwrap_err();
        assert!(error.to_string().starts_with(&path), "{error}");
        assert_eq!(quick_scan(&inv, None), Scan::None);
        let lld = Command::new("ld.lld-22")
            .args([&path, "-o", &folder.at("out")])
            .output()
            .unwrap();
        assert!(!lld.status.success(), "lld takes what we refuse");
    }
}
