//! Files made to break us: damaged archives, endless scripts. Nothing here may panic or hang.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::inputs::classify::FatObjects;
use crate::inputs::{Problem, Scan, archive, quick_scan};

/// A real archive's bytes, with a long name, a short one, and bitcode.
static ARCHIVES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let folder = Folder::new();
    folder.bitcode("b.o", "b");
    folder.native("a-name-longer-than-sixteen.o", "n");
    let files = ["b.o", "a-name-longer-than-sixteen.o"];
    ["rc", "rcT"].map(|flags| std::fs::read(folder.ar(flags, flags, &files)).unwrap())
});

#[test]
fn scripts_that_name_themselves_end() {
    let folder = Folder::new();
    let path = folder.at("loop.ld");
    for script in [
        format!("INPUT({path})"),
        format!("INPUT({path} {path} {path})"),
        format!("INCLUDE {path}"),
    ] {
        folder.write("loop.ld", script);
        let inv = link(&[&path]);
        assert_eq!(quick_scan(&inv, None), Scan::None);
        let inputs = Inputs::open(&inv).unwrap();
        let problem = &inputs.missing[0].problem;
        assert!(matches!(problem, Problem::Nesting | Problem::Script(_)), "{problem}");
    }
}

#[test]
fn included_twice_is_no_cycle() {
    let folder = Folder::new();
    let part = folder.write("part.ld", "x = 1;");
    let script = folder.write("script.ld", format!("INCLUDE {part} INCLUDE {part}"));
    let inputs = Inputs::open(&link(&[&script])).unwrap();
    assert!(inputs.missing.is_empty(), "{:?}", inputs.missing);
    assert_eq!(inputs.scripts.len(), 3);
}

#[test]
fn errors_tell_the_line() {
    let folder = Folder::new();
    let script = folder.write("script.ld", "\n/* two\n */ INPUT(\n  gone.o)");
    let inputs = Inputs::open(&link(&[&script])).unwrap();
    assert_eq!(
        inputs.missing[0].problem.to_string(),
        format!("{script}:4: unable to find gone.o")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_archives(which in 0..2_usize, edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
                        end in any::<prop::sample::Index>(), cut in any::<bool>()) {
        let mut bytes = ARCHIVES[which].clone();
        for (at, byte) in edits {
            // The interesting bytes are headers and the name table, near the front.
            let at = at.index(bytes.len().min(400));
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        let path = Path::new("/nowhere/x.a");
        if let Ok(members) = archive::members(path, &bytes, FatObjects::Looked) {
            for member in &members {
                let _ = member.module_name(path);
            }
        }
        let _ = archive::holds_bitcode(path, &bytes, FatObjects::Looked);
    }

    #[test]
    fn any_archive_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), thin in any::<bool>()) {
        let magic: &[u8] = if thin { b"!<thin>\n" } else { b"!<arch>\n" };
        bytes.splice(0..0, magic.iter().copied());
        let _ = archive::members(Path::new("x.a"), &bytes, FatObjects::Looked);
    }

    #[test]
    fn any_script(script in "([A-Z_]{1,3}|INPUT|GROUP|AS_NEEDED|SECTIONS|INCLUDE|SEARCH_DIR|ASSERT|[(){};\"#,=+*/ \n]|/\\*|\\*/|=x|-lx|\\PC){0,40}") {
        let folder = Folder::new();
        let path = folder.write("script.ld", script);
        let inv = link(&[&path]);
        let inputs = Inputs::open(&inv).unwrap();
        prop_assert!(inputs.entries.len() < 100);
        let _ = quick_scan(&inv, None);
    }

    #[test]
    fn any_script_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let folder = Folder::new();
        let path = folder.write("script.ld", [b"INPUT ( ", bytes.as_slice()].concat());
        let _ = Inputs::open(&link(&[&path]));
    }
}
