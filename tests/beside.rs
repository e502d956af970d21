//! What a link leaves beside its output because an option asks in-process LTO for it: stages, indexes, objects, a cache in
//! lld's own shape, one time trace, traced symbols. Each must be what in-process lld leaves, to the byte where it has bytes.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::pairs::THIN;
use common::{Bench, Outcome};

/// `a.o`, `d/libb.a(b.o)` and, for regular LTO, `r.o`, in a folder for each linker.
fn bench(llvm: u32) -> Bench {
    let bench = Bench::of(llvm);
    bench
        .compile("a.c", "int g(int); int main(int c, char **v) { return g(c); }\n", THIN)
        .compile(
            "b.c",
            "__attribute__((noinline)) int h(int x) { return x + 2; } int g(int x) { return h(x) * 3; }\n",
            THIN,
        )
        .compile("r.c", "int r(void) { return 3; }\n", &["-flto", "-O2", "-fPIC"])
        .ar(&["rc", "libb.a", "b.o"]);
    for folder in ["in", "our"] {
        fs::create_dir_all(bench.path(folder).join("d")).unwrap();
        for (from, to) in [("a.o", "a.o"), ("r.o", "r.o"), ("b.o", "d/b.o"), ("libb.a", "d/libb.a")] {
            fs::copy(bench.path(from), bench.path(folder).join(to)).unwrap();
        }
    }
    bench
}

/// Every file below a folder.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => {
                    let name = path.strip_prefix(folder).unwrap().display().to_string();
                    files.insert(name, fs::read(&path).unwrap());
                }
            }
        }
    }
    files
}

/// One link line in both folders.
fn both(bench: &Bench, words: &str) -> (Outcome, Outcome) {
    let link = |folder: &str, linker: &str| {
        let line = format!("cd {folder} && {linker} -e main -o out {words}");
        bench.run("sh", &["-c", &line]).clean().ok()
    };
    let inside = link("in", &bench.lld());
    let ours = link("our", bench.shim().to_str().unwrap());
    assert_eq!(ours.mode(), "distributed", "{words}: {}", ours.reason());
    (inside, ours)
}

/// The same files with the same bytes, but for the output; so many that are not inputs.
fn same_files(bench: &Bench, words: &str) -> usize {
    both(bench, words);
    let [mut inside, mut ours] = ["in", "our"].map(|folder| tree(&bench.path(folder)));
    let (inside_out, our_out) = (inside.remove("out"), ours.remove("out"));
    assert!(inside_out.is_some() && our_out.is_some());
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&inside), "{words}");
    let differing: Vec<&String> = ours.keys().filter(|name| ours[*name] != inside[*name]).collect();
    assert!(differing.is_empty(), "{words}: {differing:?}");
    ours.len() - 4
}

#[test]
fn saved_stages_objects_and_resolutions_are_llds() {
    for llvm in [22, 19, 16] {
        // One step, and two; of two modules six stages and an object, of the regular part four and an object, three of the link.
        for level in ["", "--lto-O0", "--lto-O1 -plugin-opt=mcpu=znver3"] {
            let words = format!("a.o d/libb.a r.o -u r {level}");
            assert_eq!(
                same_files(&bench(llvm), &format!("{words} --save-temps")),
                22,
                "{llvm} {level}"
            );
        }
        let some = "a.o d/b.o --save-temps=opt --save-temps=prelink --save-temps=resolution";
        assert_eq!(same_files(&bench(llvm), some), 5);
        assert_eq!(
            same_files(&bench(llvm), "a.o d/b.o --lto-O1 --save-temps=precodegen"),
            2
        );
    }
}

#[test]
fn the_regular_part_has_an_object_where_a_module_has_one_with_nothing_in_it() {
    let virtual_call = "struct A { virtual int f(); }; int A::f() { return 1; } A a; int v(A *x) { return x->f(); }\n";
    let split = [
        THIN,
        &[
            "-fsplit-lto-unit",
            "-fwhole-program-vtables",
            "-fvisibility=hidden",
            "-fno-rtti",
        ],
    ]
    .concat();
    for (words, has_object) in [
        ("m.o v.o --save-temps", true),
        ("m.o v.o --save-temps=prelink", true),
        ("m.o --start-lib v.o --end-lib --save-temps=prelink", false),
    ] {
        let bench = bench(22);
        bench.compile("v.cc", virtual_call, &split);
        bench.compile("m.cc", "extern \"C\" int main() { return 0; }\n", &split);
        for (folder, object) in [("in", "v.o"), ("in", "m.o"), ("our", "v.o"), ("our", "m.o")] {
            fs::copy(bench.path(object), bench.path(folder).join(object)).unwrap();
        }
        same_files(&bench, words);
        assert_eq!(bench.path("in/out.lto.o").exists(), has_object, "{words}");
    }
}

#[test]
fn stages_are_saved_again_whatever_is_cached() {
    let bench = bench(22);
    for _ in 0..2 {
        assert_eq!(same_files(&bench, "a.o d/b.o -plugin-opt=save-temps"), 19);
        fs::remove_file(bench.path("our/a.o.4.opt.bc")).unwrap();
    }
    let bad = bench.direct(&["-e", "main", "-o", "out", "a.o", "--save-temps=all"]);
    let mut bench = bench;
    let ours = bench
        .env("THINLTO_LD_MODE", "auto")
        .through(&["-e", "main", "-o", "out", "a.o", "--save-temps=all"]);
    assert_eq!((ours.status, ours.stderr), (bad.status, bad.stderr));
}

#[test]
fn index_files_beside_the_modules() {
    for llvm in [22, 19, 16] {
        let bench = bench(llvm);
        fs::copy(bench.path("in/d/b.o"), bench.path("in/lazy.o")).unwrap();
        fs::copy(bench.path("our/d/b.o"), bench.path("our/lazy.o")).unwrap();
        let words = "a.o d/b.o --start-lib lazy.o --end-lib --thinlto-emit-index-files";
        // Two modules and an unused one; then their imports too. One more file is an input.
        assert_eq!(same_files(&bench, words), 3 + 1);
        assert_eq!(
            same_files(&bench, &format!("{words} --thinlto-emit-imports-files")),
            6 + 1
        );
    }
}

/// None of them is read, which pruning would take for a use.
fn names(bench: &Bench, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(bench.path(folder)).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

const CACHE: &str = "a.o d/b.o --thinlto-cache-dir=kept";

#[test]
fn a_cache_folder_has_llds_files_and_no_others() {
    let mut bench = bench(22);
    let (_, ours) = both(&bench, CACHE);
    assert_eq!((ours.backends("run"), ours.backends("cached")), (2, 0));
    let [inside, first] = ["in/kept", "our/kept"].map(|folder| names(&bench, folder));
    let shape = |names: &[String]| -> Vec<(String, usize)> {
        let start = |name: &String| name.split_once('-').map_or(name.clone(), |(start, _)| start.into());
        names.iter().map(|name| (start(name), name.len())).collect()
    };
    assert_eq!(shape(&first), shape(&inside));
    let (_, ours) = both(&bench, CACHE);
    assert_eq!((ours.backends("run"), ours.backends("cached")), (0, 2));
    assert_eq!(names(&bench, "our/kept"), first);
    // Damaged, and lld's own: neither is taken for an object.
    fs::write(bench.path("our/kept").join(&first[0]), "not an object").unwrap();
    let (_, ours) = both(&bench, CACHE);
    assert_eq!((ours.backends("run"), ours.backends("cached")), (1, 1));
    // A link that is put back as it was made fills a folder that was emptied.
    bench.env("THINLTO_LD_UNCHANGED", "restore");
    for (emptied, state) in [(false, "linked"), (false, "restored"), (true, "linked")] {
        if emptied {
            fs::remove_dir_all(bench.path("our/kept")).unwrap();
        }
        let (_, ours) = both(&bench, CACHE);
        assert_eq!(ours.stats.last().unwrap()["output_state"], state);
        assert_eq!(names(&bench, "our/kept"), first);
    }
}

#[test]
fn a_cache_folder_is_pruned_by_llds_rules() {
    let bench = bench(22);
    both(&bench, CACHE);
    let old = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    for folder in ["in", "our"] {
        for name in ["llvmcache-old", "mine"] {
            let path = bench.path(folder).join("kept").join(name);
            let file = File::create(path).unwrap();
            file.set_times(FileTimes::new().set_accessed(old).set_modified(old))
                .unwrap();
        }
    }
    let with = |policy: &str| both(&bench, &format!("{CACHE} --thinlto-cache-policy={policy}"));
    let left = || {
        let counted = ["in/kept", "our/kept"].map(|folder| names(&bench, folder).len());
        assert_eq!(counted[0], counted[1]);
        counted[1]
    };
    with("prune_interval=1h:prune_after=1h");
    assert_eq!(left(), 5, "too early");
    with("prune_interval=0s:prune_after=1h");
    assert_eq!(left(), 4, "what is old and a cache's");
    let (inside, ours) = with("prune_interval=0s:cache_size_files=1");
    assert_eq!(left(), 3, "all but one, the timestamp and the stranger");
    assert_eq!(ours.stderr, inside.stderr);
    assert!(
        ours.stderr.contains("exceeds the maximum number of files (1)"),
        "{}",
        ours.stderr
    );
    let (inside, ours) = with("prune_interval=0s:cache_size_bytes=1");
    assert_eq!(left(), 2);
    let before_sizes = |text: &str| text.split(" (").next().unwrap().to_owned();
    assert_eq!(before_sizes(&ours.stderr), before_sizes(&inside.stderr));
    assert!(
        ours.stderr.contains("exceeds maximum cache size (1 bytes)"),
        "{}",
        ours.stderr
    );
}

#[test]
fn a_setting_wins_over_the_cache_folder_of_the_link_line() {
    let mut bench = bench(22);
    let own = bench.path("own").display().to_string();
    bench.env("THINLTO_LD_CACHE_DIR", &own);
    both(&bench, CACHE);
    assert!(!bench.path("our/kept").exists() && bench.path("own/v1").is_dir());
}

/// What the folder does not take is elsewhere then; objects are where they were asked to be.
#[test]
fn a_home_that_cannot_be_written_takes_no_cache_folder_away() {
    let mut bench = bench(22);
    bench.env("XDG_CACHE_HOME", "").env("HOME", "/dev/null/x");
    for counts in [(2, 0), (0, 2)] {
        let (_, ours) = both(&bench, CACHE);
        assert_eq!((ours.backends("run"), ours.backends("cached")), counts);
        assert!(ours.stats[0]["cache_off"].is_null());
    }
    bench.env("THINLTO_LD_UNCHANGED", "restore");
    for state in ["linked", "restored"] {
        assert_eq!(both(&bench, CACHE).1.stats[0]["output_state"], state);
    }
    // Whoever names a folder for all has no other.
    bench.env("THINLTO_LD_CACHE_DIR", "/dev/null/x");
    let (_, ours) = both(&bench, CACHE);
    assert_eq!(ours.stats[0]["cache_off"], "cache-cannot-create");
}

#[test]
fn a_link_put_back_keeps_its_objects_from_being_pruned() {
    let mut bench = bench(22);
    bench.env("THINLTO_LD_UNCHANGED", "restore");
    let words = format!("{CACHE} --thinlto-cache-policy=prune_interval=0s:prune_after=1h");
    let line = format!("cd our && {} -e main -o out {words}", bench.shim().display());
    let link = || bench.run("sh", &["-c", &line]).ok();
    // Of files just written no link knows what it read.
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(link().stats[0]["output_state"], "linked");
    let kept = names(&bench, "our/kept");
    assert_eq!(kept.len(), 3);
    let old = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    for name in &kept {
        let file = File::open(bench.path("our/kept").join(name)).unwrap();
        file.set_times(FileTimes::new().set_accessed(old)).unwrap();
    }
    assert_eq!(link().stats[0]["output_state"], "restored");
    assert_eq!(names(&bench, "our/kept"), kept);
    // One whose objects are gone is not put back: not even where no linker can be run (see tests/unchanged.rs).
    for name in &kept {
        fs::remove_file(bench.path("our/kept").join(name)).unwrap();
    }
    fs::remove_file(bench.path("our/out")).unwrap();
    bench.env("MALLOC_ARENA_MAX", "1").env("RAYON_NUM_THREADS", "1");
    let starved = bench.run("sh", &["-c", &format!("ulimit -v 100000; {line}")]);
    assert!(starved.status != 0 && !bench.path("our/out").exists());
}

#[test]
fn a_policy_that_is_wrong_is_refused_in_llds_words_alone() {
    let mut bench = bench(22);
    for dir in ["--thinlto-cache-dir=kept", "--no-lto-pgo-warn-mismatch"] {
        let words = [
            "-e",
            "main",
            "-o",
            "out",
            "a.o",
            "b.o",
            dir,
            "--thinlto-cache-policy=nonsense",
        ];
        let (inside, ours) = (bench.direct(&words), bench.through(&words));
        assert_ne!(inside.status, 0);
        assert_eq!((ours.status, ours.stderr), (inside.status, inside.stderr));
    }
    bench.env("THINLTO_LD_CACHE_POLICY", "nonsense");
    let ours = bench.through(&["-e", "main", "-o", "out", "a.o", "b.o"]).ok();
    assert!(ours.stderr.contains("Unknown key: 'nonsense'"), "{}", ours.stderr);
}

#[test]
fn a_time_trace_that_cannot_be_written_takes_no_words_away() {
    let bench = bench(22);
    let words = [
        "-e",
        "main",
        "-o",
        "out",
        "a.o",
        "b.o",
        "-z",
        "nonsense",
        "--time-trace=/dev/null/x",
    ];
    let (inside, ours) = (bench.direct(&words), bench.through(&words));
    assert_eq!((inside.status, ours.status), (1, 1));
    for said in [inside.stderr, ours.stderr] {
        assert!(
            said.contains("unknown -z value: nonsense") && said.contains("/dev/null/x"),
            "{said}"
        );
    }
    assert!(bench.path("out").exists());
}

#[test]
fn one_time_trace_of_all_that_ran() {
    let bench = bench(22);
    for level in ["", "--lto-O1 -plugin-opt=mcpu=znver3"] {
        let words = format!("a.o d/libb.a --time-trace --time-trace-granularity=0 {level}");
        both(&bench, &words);
        let [inside, ours] = ["in", "our"].map(|folder| bench.text(&format!("{folder}/out.time-trace")));
        let staged = ours
            .split('{')
            .find(|event| common::traces::staged_name(event).is_some());
        assert_eq!(staged, None);
        let details = |text: &str, name: &str| -> Vec<String> {
            let trace: serde_json::Value = serde_json::from_str(text).unwrap();
            let events = trace["traceEvents"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|event| event["name"] == name);
            let mut details: Vec<String> = events.map(|event| event["args"]["detail"].to_string()).collect();
            details.sort();
            // Of a backend in two steps each optimises, if only by name.
            details.dedup();
            details
        };
        for name in ["OptModule", "OptFunction"] {
            assert_eq!(details(&ours, name), details(&inside, name), "{name}");
        }
        assert!(!details(&ours, "OptModule").is_empty());
        assert!(!details(&ours, "Total OptModule").is_empty());
    }
}

#[test]
fn traced_symbols_are_told_as_in_process() {
    for order in ["command-line", "in-process"] {
        for llvm in [22, 19] {
            let mut bench = bench(llvm);
            bench.env("THINLTO_LD_ORDER", order);
            bench.compile("n.c", "int g(int); int n(int x) { return g(x) + 1; }\n", &["-O2"]);
            for words in [
                "a.o d/b.o -y g",
                "a.o d/libb.a -y g --trace-symbol=main -y h",
                "--start-lib d/b.o ../n.o --end-lib a.o -y g -u n -y n",
                "d/libb.a a.o r.o ../n.o -u r -y g -y r -y n",
            ] {
                let (inside, ours) = both(&bench, words);
                assert!(inside.stdout.contains(": definition of "), "{}", inside.stdout);
                assert_eq!(ours.stdout, inside.stdout, "{order} {llvm} {words}");
            }
        }
    }
}

#[test]
fn a_profile_that_does_not_match_is_silent_where_asked() {
    let bench = bench(22);
    // As in lld's own test of it: g has one counter, the profile has two.
    let summary = "!{i32 1, !\"ProfileSummary\", !{!{!\"ProfileFormat\", !\"InstrProf\"}, !{!\"TotalCount\", i64 2}, \
                   !{!\"MaxCount\", i64 1}, !{!\"MaxInternalCount\", i64 0}, !{!\"MaxFunctionCount\", i64 1}, \
                   !{!\"NumCounts\", i64 3}, !{!\"NumFunctions\", i64 2}, \
                   !{!\"DetailedSummary\", !{!{i32 10000, i64 0, i32 0}, !{i32 990000, i64 1, i32 2}, !{i32 999999, i64 1, i32 2}}}}}";
    bench
        .write(
            "b.ll",
            &format!(
                "target triple = \"x86_64-pc-linux-gnu\"\n\
                 target datalayout = \"e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128\"\n\
                 define i32 @g(i32 returned %a) {{\n  ret i32 %a\n}}\n!llvm.module.flags = !{{!0}}\n!0 = {summary}\n"
            ),
        )
        .write("cs.proftext", ":csir\ng\n1535914979662757887\n2\n1\n0\n");
    for words in [
        ["llvm-profdata-22", "merge", "cs.proftext", "-o", "cs.profdata"],
        ["opt-22", "-module-summary", "b.ll", "-o", "b.o"],
    ] {
        bench.run(words[0], &words[1..]).ok();
    }
    for folder in ["in", "our"] {
        fs::copy(bench.path("b.o"), bench.path(folder).join("d/b.o")).unwrap();
    }
    let words = "a.o d/b.o --lto-cs-profile-file=../cs.profdata";
    let (inside, ours) = both(&bench, words);
    assert!(inside.stderr.contains("hash mismatch"), "{}", inside.stderr);
    let without_linker = |text: &str| text.split_once(": ").map(|(_, rest)| rest.to_owned());
    assert_eq!(without_linker(&ours.stderr), without_linker(&inside.stderr));
    let (_, ours) = both(&bench, &format!("{words} --no-lto-pgo-warn-mismatch --fatal-warnings"));
    assert_eq!(ours.stderr, "");
}

#[test]
fn what_has_no_thin_bitcode_is_no_fallback() {
    let bench = bench(22);
    let ours = bench.through(&["-e", "r", "-o", "out", "r.o", "--lto-emit-asm"]).ok();
    assert_eq!(ours.mode(), "passthrough");
}

#[test]
fn a_name_that_llvm_cannot_write_is_left_to_lld() {
    let mut bench = bench(22);
    bench.env("THINLTO_LD_MODE", "auto");
    fs::copy(bench.path("a.o"), bench.path("ä.o")).unwrap();
    bench.ar(&["rc", "liba.a", "ä.o"]).write("script", "INPUT(\"ä.o\")\n");
    for words in ["liba.a", "script", "ä.o --save-temps=prelink"] {
        let line: Vec<&str> = "-e main -o out b.o".split(' ').chain(words.split(' ')).collect();
        let ours = bench.through(&line).clean().ok();
        assert_eq!((ours.mode(), ours.stderr.as_str()), ("in-process", ""), "{words}");
        assert!(ours.reason().contains("not ASCII"), "{}", ours.reason());
    }
}

#[test]
fn remarks_are_printed_as_in_process() {
    let bench = bench(22);
    for words in [
        "-mllvm -pass-remarks=.",
        "-plugin-opt=-pass-remarks-missed=. -mllvm -pass-remarks-analysis=size-info",
    ] {
        let (inside, ours) = both(&bench, &format!("a.o d/libb.a {words} --thinlto-jobs=1"));
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert!(!inside.stdout.is_empty(), "{words}");
        assert_eq!(sorted(&ours.stdout), sorted(&inside.stdout), "{words}");
    }
}

#[test]
fn what_passes_run_is_printed_as_in_process() {
    let bench = bench(22);
    for option in ["--lto-debug-pass-manager", "--plugin-opt=debug-pass-manager"] {
        let (inside, ours) = both(&bench, &format!("a.o d/libb.a {option} --thinlto-jobs=1"));
        assert!(
            inside.stderr.contains("Running pass: GlobalOptPass"),
            "{}",
            inside.stderr
        );
        assert_eq!(ours.stderr, inside.stderr, "{option}");
    }
}
