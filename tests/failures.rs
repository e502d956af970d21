//! Links that fail: with in-process lld's exit status, in words that name the user's files, the old output untouched and
//! nothing left behind. In `auto` mode what lld can still do is done by lld, and the stats say why.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;

use common::{Bench, Outcome};

const THIN: &[&str] = &["-flto=thin", "-O2", "-fPIC"];
/// Two megabytes that no optimisation drops.
const BIG: &str = "__attribute__((used)) char big[2 << 20] = {1};\n";
const OLD: &str = "the old output";

/// `f` in u.o calls `missing`; `main` in main.o calls `f`.
fn bench() -> Bench {
    let bench = Bench::new();
    bench
        .compile(
            "main.c",
            "int f(int); int main(int c, char **v) { return f(c); }\n",
            THIN,
        )
        .compile(
            "u.c",
            "int missing(int); __attribute__((noinline)) int f(int x) { return missing(x) + 1; }\n",
            THIN,
        )
        .compile("f.c", "int f(int x) { return x - 1; }\n", THIN);
    bench
}

/// The link fails in-process and through thinlto-ld with one status, the old output stands, nothing is left. What
/// in-process lld said, and what was said through thinlto-ld.
fn both_fail(bench: &Bench, words: &[&str]) -> (Outcome, Outcome) {
    let mut inside = vec!["-o", "in.out"];
    inside.extend(words);
    let mut ours = vec!["-o", "our.out"];
    ours.extend(words);
    let inside = bench.direct(&inside);
    let ours = fails(bench, &ours, inside.status);
    (inside, ours)
}

/// A link to `our.out` that fails with `status`.
fn fails(bench: &Bench, words: &[&str], status: i32) -> Outcome {
    bench.write("our.out", OLD);
    let ours = bench.through(words).clean();
    assert_ne!(status, 0, "{}", ours.stderr);
    assert_eq!(ours.status, status, "{}", ours.stderr);
    assert_eq!(bench.text("our.out"), OLD);
    bench.tidy();
    ours
}

/// Both failed in the same words.
fn same_words((inside, ours): (Outcome, Outcome)) -> String {
    assert_eq!(ours.stderr.replace("our.out", "in.out"), inside.stderr);
    ours.stderr
}

/// Whatever lld makes of it, we make of it, and say the same.
fn same(bench: &Bench, words: &[&str]) {
    bench.write("out", OLD);
    let mut all = vec!["-o", "out"];
    all.extend(words);
    let ours = bench.through(&all).clean();
    let untouched = bench.text("out") == OLD;
    let inside = bench.direct(&all);
    assert_eq!(
        (ours.status, &ours.stderr),
        (inside.status, &inside.stderr),
        "{words:?}"
    );
    assert_eq!(untouched, inside.status != 0);
    bench.tidy();
}

fn auto(bench: &mut Bench) -> &mut Bench {
    bench.env("THINLTO_LD_MODE", "auto")
}

#[test]
fn an_undefined_symbol_names_the_users_object() {
    let mut bench = bench();
    bench.ar(&["rc", "libx.a", "u.o"]);
    for mode in ["distributed", "auto"] {
        bench.env("THINLTO_LD_MODE", mode);
        for (words, place) in [
            (&["main.o", "u.o"][..], "u.o:("),
            (&["main.o", "libx.a"], "libx.a(u.o):(f)"),
            (&["main.o", "--start-lib", "u.o", "--end-lib"], "u.o:("),
        ] {
            let (inside, ours) = both_fail(&bench, words);
            assert_eq!(ours.mode(), "distributed");
            for said in [&inside.stderr, &ours.stderr] {
                assert_eq!(
                    said.matches("ld.lld-22: error: undefined symbol: missing").count(),
                    1,
                    "{said}"
                );
            }
            assert!(ours.stderr.contains(place), "{}", ours.stderr);
        }
    }
}

#[test]
fn duplicate_symbols() {
    let mut bench = bench();
    bench.compile("native.c", "int f(int x) { return x; }\n", &["-O2"]);
    for mode in ["distributed", "auto"] {
        bench.env("THINLTO_LD_MODE", mode);
        for words in [&["main.o", "f.o", "f.o"][..], &["main.o", "f.o", "native.o"]] {
            let said = same_words(both_fail(&bench, words));
            assert!(said.contains("duplicate symbol: f"), "{said}");
        }
    }
}

#[test]
fn missing_inputs_and_libraries_and_refused_options() {
    let bench = bench();
    for (words, says) in [
        (&["main.o", "f.o", "nosuch.o"][..], "cannot open nosuch.o: No such file"),
        (&["main.o", "f.o", "-lnosuch"], "unable to find library -lnosuch"),
        (
            &["main.o", "f.o", "-T", "nosuch.lds"],
            "cannot find linker script nosuch.lds",
        ),
        (
            &["main.o", "f.o", "--version-script=nosuch"],
            "cannot find version script nosuch",
        ),
        (&["main.o", "f.o", "@nosuch.rsp"], "nosuch.rsp"),
        (
            &["main.o", "f.o", "--sort-section=sideways"],
            "unknown --sort-section rule",
        ),
        (&["main.o", "f.o", "-z", "defs", "-o"], "missing argument"),
    ] {
        let (inside, ours) = both_fail(&bench, words);
        assert!(inside.stderr.contains(says), "{}", inside.stderr);
        assert!(ours.stderr.contains(says), "{}", ours.stderr);
    }
}

#[test]
fn what_lld_would_refuse_is_llds_to_refuse() {
    let mut bench = bench();
    auto(&mut bench);
    for (option, says) in [
        ("--no-such-option", "unknown argument '--no-such-option'"),
        ("-plugin-opt=nonsense", "unknown plugin option"),
        ("--lto-O9", "invalid optimization level for LTO: 9"),
    ] {
        let said = same_words(both_fail(&bench, &["main.o", "f.o", option]));
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn truncated_bitcode_and_damaged_archives() {
    let bench = bench();
    let whole = bench.read("f.o");
    bench.ar(&["rc", "whole.a", "f.o", "u.o"]);
    let archive = bench.read("whole.a");
    for length in [3, 4, 20, whole.len() / 3, whole.len() / 2, whole.len() - 4] {
        fs::write(bench.path("cut.o"), &whole[..length]).unwrap();
        same(&bench, &["main.o", "cut.o"]);
        // Put in by hand: llvm-ar itself dies of some.
        let header = format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "cut.o/", 0, 0, 0, 644, length);
        let padding = if length % 2 == 1 { "\n" } else { "" };
        let member = [b"!<arch>\n", header.as_bytes(), &whole[..length], padding.as_bytes()].concat();
        fs::write(bench.path("cutmember.a"), member).unwrap();
        same(&bench, &["main.o", "--whole-archive", "cutmember.a"]);
    }
    for length in [8, 30, 100, archive.len() / 2, archive.len() - 40] {
        fs::write(bench.path("cut.a"), &archive[..length]).unwrap();
        same(&bench, &["main.o", "cut.a"]);
    }
    let mut garbled = archive;
    garbled[8 + 48..8 + 58].copy_from_slice(b"99999999zz");
    fs::write(bench.path("garbled.a"), garbled).unwrap();
    same_words(both_fail(&bench, &["main.o", "garbled.a"]));
}

#[test]
fn bitcode_newer_than_the_linker() {
    let old = Bench::of(19);
    for name in ["main", "f"] {
        let source = format!("{name}.c");
        old.write(
            &source,
            "__attribute__((noinline)) int f(char *p) { return *p; } int main(void) { return f(\"x\"); }\n",
        );
        old.run("clang-22", &["-flto=thin", "-O2", "-c", &source]).ok();
    }
    let (inside, ours) = both_fail(&old, &["main.o"]);
    assert!(inside.stderr.contains("Reader: 'LLVM 19"), "{}", inside.stderr);
    assert_eq!(ours.stderr, inside.stderr);
}

#[test]
fn a_clang_of_another_version_leaves_the_link_to_lld() {
    let mut bench = bench();
    bench.env("THINLTO_LD_CLANG", "clang-19");
    let ours = fails(&bench, &["-o", "our.out", "main.o", "f.o"], 1);
    for word in ["would go in-process", "22.1.", "19.1."] {
        assert!(ours.stderr.contains(word), "{}", ours.stderr);
    }
    let ours = auto(&mut bench)
        .through(&["-o", "our.out", "main.o", "f.o", "-e", "main"])
        .ok();
    assert_eq!((ours.mode(), ours.stderr.as_str()), ("in-process", ""));
    for word in ["no clang 22.1.", "clang-19 is 19.1."] {
        assert!(ours.reason().contains(word), "{}", ours.reason());
    }
}

/// What was named and is not there was not meant: the link says so instead of being made in another way.
#[test]
fn a_program_that_is_named_and_not_there_is_an_error() {
    for variable in ["THINLTO_LD_CLANG", "THINLTO_LD_FINAL_LINKER"] {
        for mode in ["distributed", "auto"] {
            let mut bench = bench();
            bench.env("THINLTO_LD_MODE", mode).env(variable, "/no/such/program");
            let ours = fails(&bench, &["-o", "our.out", "main.o", "f.o"], 1);
            let says = format!("ld.lld-22: error: /no/such/program: no such program ({variable})\n");
            assert_eq!(ours.stderr, says);
        }
    }
}

#[test]
fn a_misspelt_variable_is_told_of_once_with_the_nearest() {
    let mut bench = bench();
    bench.env("THINLTO_LD_CLNAG", "x").env("THINLTO_LD_REMOTE_CASH", "x");
    let ours = auto(&mut bench)
        .through(&["-o", "our.out", "main.o", "f.o", "-e", "main"])
        .ok();
    for (misspelt, nearest) in [("CLNAG", "CLANG"), ("REMOTE_CASH", "REMOTE_CACHE")] {
        let says = format!("THINLTO_LD_{misspelt} is no setting and does nothing; did you mean THINLTO_LD_{nearest}?");
        assert_eq!(ours.stderr.matches(&says).count(), 1, "{}", ours.stderr);
    }
    assert_eq!(ours.stderr.lines().count(), 2, "{}", ours.stderr);
    // Links that are none of ours say nothing: configure scripts take words for failures.
    bench.compile("native.c", "int main(void) { return 0; }\n", &["-O2"]);
    assert_eq!(
        bench.through(&["-o", "our.out", "native.o", "-e", "main"]).ok().stderr,
        ""
    );
}

#[test]
fn the_reason_has_the_linkers_own_first_words() {
    let mut bench = bench();
    auto(&mut bench);
    let ours = bench.through(&["-o", "our.out", "main.o", "f.o", "f.o"]);
    assert_eq!(ours.status, 1);
    let reason = "the thin link failed: ld.lld-22: error: duplicate symbol: f";
    assert_eq!(ours.reason(), reason);
}

/// lld can crash where it writes indexes and nowhere else: that says nothing of the link.
#[test]
fn a_thin_link_that_crashes_is_named() {
    let mut bench = bench();
    let path = bench.write_program(
        "ld.lld",
        "#!/bin/sh\ncase \" $* \" in *--version*) ;; *--thinlto-index-only*) echo 'PLEASE submit a bug report' >&2; kill -SEGV $$ ;; esac\n\
         exec ld.lld-22 \"$@\"\n",
    );
    bench.env("THINLTO_LD_LINKER", path.to_str().unwrap());
    let words = ["-o", "our.out", "main.o", "f.o", "-e", "main"];
    let reason = "the thin link failed and names no error: a crash";
    let refused = bench.through(&words);
    assert_eq!((refused.status, refused.reason()), (1, reason));
    for said in ["PLEASE submit a bug report", "this link would go in-process"] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    let made = auto(&mut bench).through(&words).ok();
    assert_eq!((made.reason(), made.stderr.as_str()), (reason, ""));
}

#[test]
fn an_output_that_cannot_be_written() {
    let mut bench = bench();
    bench.write("file", "").write("folder/keep", "");
    for mode in ["distributed", "auto"] {
        bench.env("THINLTO_LD_MODE", mode);
        for output in ["file/x", "nosuch/x", "folder"] {
            let words = ["main.o", "f.o", "-o", output];
            let (inside, ours) = both_fail(&bench, &words);
            assert_eq!(ours.stderr, inside.stderr);
            assert!(
                ours.stderr.contains(&format!("cannot open output file {output}")),
                "{}",
                ours.stderr
            );
        }
    }
}

/// A file system of `kilobytes` at `NAME`, gone with this. None where we are not allowed to mount.
struct Disk<'a>(&'a Bench, &'static str);

impl<'a> Disk<'a> {
    fn mount(bench: &'a Bench, name: &'static str, kilobytes: u32) -> Option<Disk<'a>> {
        fs::create_dir_all(bench.path(name)).unwrap();
        let size = format!("size={kilobytes}k");
        let done = bench.run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", name]);
        if done.status != 0 {
            eprintln!(
                "skipped: a full disk needs a file system of its own, and mount says: {}",
                done.stderr
            );
            return None;
        }
        Some(Disk(bench, name))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        self.0.run("umount", &[self.1]);
    }
}

/// lld maps its output: where a tmpfs is full it dies by SIGBUS, and so do we, leaving what it leaves.
#[test]
fn a_full_disk_under_the_output() {
    let bench = bench();
    bench.compile("big.c", BIG, THIN);
    let ends = |linker: &std::path::Path| {
        let _disk = Disk::mount(&bench, "disk", 64)?;
        bench.write("disk/out", OLD);
        let output = bench
            .command(linker, &["main.o", "f.o", "big.o", "-o", "disk/out"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(common::traces::staged_name(&said), None);
        let left = fs::read_dir(bench.path("disk")).unwrap().count();
        Some((output.status, said.lines().next().map(str::to_owned), left))
    };
    let inside = ends(std::path::Path::new(&bench.lld()));
    assert!(inside.as_ref().is_none_or(|(status, ..)| !status.success()));
    assert_eq!(ends(&bench.shim()), inside);
    bench.tidy();
}

/// Where it is our own work that finds no room, lld still makes the link.
#[test]
fn a_full_disk_under_the_cache_and_the_temporary_folder() {
    let mut bench = bench();
    bench.compile("big.c", BIG, THIN);
    bench.env("XDG_CACHE_HOME", "/proc/none");
    let tmp = bench.path("disk").display().to_string();
    bench.env("TMPDIR", &tmp).env("THINLTO_LD_MODE", "auto");
    let left = {
        let Some(_disk) = Disk::mount(&bench, "disk", 64) else {
            return;
        };
        let ours = bench.through(&["-o", "our.out", "main.o", "f.o", "big.o"]).clean().ok();
        assert_eq!(ours.mode(), "in-process", "{}", ours.stderr);
        assert!(ours.reason().contains("No space left"), "{}", ours.reason());
        let folders = fs::read_dir(bench.path("disk")).unwrap().map(|e| e.unwrap().path());
        folders.flat_map(|folder| fs::read_dir(folder).unwrap()).count()
    };
    assert_eq!(left, 0);
}

/// The cache's own disk, where objects are staged too.
#[test]
fn a_cache_that_became_full_is_named() {
    let mut bench = bench();
    bench.compile("big.c", BIG, THIN);
    let cache = bench.path("disk").display().to_string();
    bench.env("XDG_CACHE_HOME", &cache).env("THINLTO_LD_MODE", "auto");
    for kilobytes in [16, 64, 256] {
        let Some(_disk) = Disk::mount(&bench, "disk", kilobytes) else {
            return;
        };
        let ours = bench.through(&["-o", "our.out", "main.o", "f.o", "big.o"]).clean().ok();
        assert_eq!(ours.mode(), "in-process", "{}", ours.stderr);
        assert!(ours.reason().contains("o space left"), "{kilobytes}: {}", ours.reason());
        assert!(ours.reason().contains(&cache), "{kilobytes}: {}", ours.reason());
    }
}

#[test]
fn an_error_in_assembly_is_said_as_lld_says_it() {
    let mut bench = bench();
    bench.compile("asm.c", "int _start(void) { __asm__(\"bogus\"); return 0; }\n", THIN);
    for mode in ["distributed", "auto"] {
        bench.env("THINLTO_LD_MODE", mode);
        let (inside, ours) = both_fail(&bench, &["asm.o", "f.o"]);
        assert_eq!(ours.stderr, inside.stderr);
        assert_eq!(ours.stats[0]["backends"]["failed"], 1);
    }
}

#[test]
fn a_backend_that_leaves_no_object() {
    for (body, says) in [
        ("exit 0", "no object"),
        (": >\"$object\"; exit 0", "an empty object"),
        ("echo text >\"$object\"; exit 0", "no whole ELF object"),
        (
            "compile \"$@\" && head -c 100 \"$object\" >\"$object.t\" && mv \"$object.t\" \"$object\"",
            "no whole ELF object",
        ),
    ] {
        let mut bench = bench();
        bench.clang_standing_before("standin", body);
        let ours = fails(&bench, &["-o", "our.out", "main.o", "f.o"], 1);
        assert!(ours.stderr.contains(says), "{body}: {}", ours.stderr);
        left_to_lld(&mut bench, says);
    }
}

#[test]
fn a_backend_that_is_killed_or_crashes() {
    for (body, says) in [
        ("kill -SEGV $$", "was killed by signal 11"),
        ("kill -KILL $$", "was killed by signal 9"),
        (
            "echo PLEASE submit a bug report >&2; exit 139",
            "exited with status 139",
        ),
    ] {
        let mut bench = bench();
        bench.clang_standing_before("standin", body);
        let ours = fails(&bench, &["-o", "our.out", "main.o", "f.o"], 1);
        assert!(ours.stderr.contains(says), "{}", ours.stderr);
        left_to_lld(&mut bench, says);
    }
}

/// In `auto` mode the link is made by lld, and the stats have the reason, which names a module.
fn left_to_lld(bench: &mut Bench, reason: &str) {
    let ours = auto(bench)
        .through(&["-o", "our.out", "main.o", "f.o", "-e", "main"])
        .clean()
        .ok();
    assert_eq!(ours.mode(), "in-process");
    assert!(ours.reason().contains(reason), "{}", ours.reason());
    assert!(
        ours.reason().contains("main.o") || ours.reason().contains("f.o"),
        "{}",
        ours.reason()
    );
    assert_ne!(bench.text("our.out"), OLD);
    bench.tidy();
}

/// An input rewritten once the thin link has read it: the index no longer fits, whatever clang made of it.
#[test]
fn an_input_that_changes_between_thin_link_and_backend() {
    for change in ["cp other.o f.o", "cp f.o g.o && mv g.o f.o", "rm f.o && cp other.o f.o"] {
        let mut bench = bench();
        bench.compile(
            "other.c",
            "int f(int x) { return x + 7; } int more(void) { return 1; }\n",
            THIN,
        );
        bench.clang_standing_before(
            "standin",
            &format!("[ -e done ] || {{ : >done; {change}; }}\ncompile \"$@\""),
        );
        let ours = fails(&bench, &["-o", "our.out", "main.o", "f.o"], 1);
        assert!(
            ours.stderr.contains("f.o changed while it was being linked"),
            "{}",
            ours.stderr
        );
        fs::remove_file(bench.path("done")).unwrap();
        bench.compile("f.c", "int f(int x) { return x - 1; }\n", THIN);
        left_to_lld(&mut bench, "f.o changed");
    }
}

#[test]
fn a_folder_left_by_a_killed_link_is_swept() {
    let mut bench = bench();
    bench.clang_standing_before("standin", "kill -KILL $PPID; exit 1");
    let killed = bench
        .command(bench.shim(), &["-o", "our.out", "main.o", "f.o"])
        .output()
        .unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9));
    let left = bench.leftovers();
    assert_eq!(left.len(), 1, "{left:?}");
    // A lock that is a moment old may be of a link that is only starting.
    let lock = fs::File::options().write(true).open(left[0].join("lock")).unwrap();
    lock.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(60))
        .unwrap();
    bench.env("THINLTO_LD_CLANG", "clang-22");
    bench.through(&["-o", "our.out", "main.o", "f.o"]).ok();
    bench.tidy();
}
