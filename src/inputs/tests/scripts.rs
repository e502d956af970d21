//! What linker scripts bring into a link: ours against lld's `--verbose`.

use super::*;
use crate::inputs::{Scan, quick_scan};

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
    folder.write("inner.ld", format!("SEARCH_DIR({}) INPUT(one.o)", at("root/lib")));
    for script in scripts {
        let script = folder.write("script.ld", script);
        let paths = [
            format!("-L{}", at("l1")),
            format!("-L{}", at("l2")),
            format!("-L{}", folder.path().display()),
        ];
        for middle in [vec![script.clone()], vec!["-T".into(), script.clone()]] {
            let words: Vec<String> = [at("main.o")].into_iter().chain(paths.clone()).chain(middle).collect();
            agree(&folder, &words);
        }
    }
}

#[test]
fn scripts_below_the_sysroot_stay_below_it() {
    let folder = tree();
    let sysroot = format!("--sysroot={}", folder.at("root"));
    let below = folder.write("root/lib/below.ld", "INPUT(/abs.o =abs.o =/abs.o)");
    let outside = folder.write("outside.ld", format!("INPUT({} =abs.o)", folder.at("one.o")));
    let broken = folder.write("root/broken.ld", "INPUT(/nothing.o)");
    for script in [&below, &outside, &broken] {
        agree(&folder, &[sysroot.clone(), folder.at("main.o"), script.clone()]);
    }
    agree(&folder, &[folder.at("main.o"), below]);
}

#[test]
fn relative_names_are_tried_from_here_too() {
    let folder = tree();
    let up = "../".repeat(std::env::current_dir().unwrap().components().count() - 1);
    let here = format!("{up}{}", folder.path().strip_prefix("/").unwrap().display());
    let script = folder.write("far/script.ld", format!("INPUT({here}/one.o) INPUT(beside.o)"));
    agree(&folder, &[format!("{here}/main.o"), format!("-L{here}/sub"), script]);
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
            Inputs::open(&link(&words)).unwrap().entries[0].position.prefer_static,
            static_too
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
    for words in [vec![library.as_str()], vec!["-T", &library], vec![&searched, "-lbit"]] {
        let inv = link(&words);
        assert_eq!(quick_scan(&inv, None), Scan::HasBitcode, "{words:?}");
        assert!(Inputs::open(&inv).unwrap().has_bitcode(), "{words:?}");
    }
    for words in [vec!["-lbit"], vec!["-nostdlib", &searched, "-lbit"], vec![&searched]] {
        assert_eq!(quick_scan(&link(&words), None), Scan::None, "{words:?}");
    }
}
