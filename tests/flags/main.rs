//! Every row of the flag tables against the real programs: a small link made by in-process lld and by our commands,
//! object by object. Knows nothing of the rest of the pipeline: it runs the thin link itself.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use thinlto_ld::backend::flags::{Flags, JobFiles, LlvmVersion, ModuleTarget, Trace};
use thinlto_ld::cmdline::{LtoSetting, OutputKind};

use OutputKind::{Executable as Exe, Pie, Relocatable as Rel, Shared};
use corpus::{compile, corpus, materials, profiles};
use rows::{
    Effect::{Same, Visible},
    Row, row,
};

mod corpus;
mod rows;

const STEMS: [&str; 4] = ["a", "b", "c", "d"];
const TRIPLE: &str = "x86_64-pc-linux-gnu";

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Reads a row's word as the command line reader would.
fn setting(word: &str) -> LtoSetting {
    let leak = |s: &str| -> &'static str { Box::leak(s.to_owned().into_boxed_str()) };
    let (name, value) = if let Some(option) = word.strip_prefix("-plugin-opt=-") {
        ("mllvm", Some(format!("-{option}")))
    } else if let Some(level) = word.strip_prefix("--lto-CGO") {
        ("lto-CGO", Some(level.to_owned()))
    } else if let Some(level) = word.strip_prefix("--lto-O") {
        ("lto-O", Some(level.to_owned()))
    } else {
        let bare = word.trim_start_matches("-plugin-opt=").trim_start_matches('-');
        bare.split_once('=')
            .map_or((bare, None), |(n, v)| (n, Some(v.to_owned())))
    };
    LtoSetting {
        name: leak(name),
        value,
        spelled: word.to_owned(),
    }
}

fn version(major: u32) -> LlvmVersion {
    LlvmVersion {
        major,
        minor: 0,
        patch: 0,
    }
}

/// One row's working directory, with its modules in it.
struct Bench {
    dir: PathBuf,
    llvm: u32,
    kind: OutputKind,
    words: Vec<String>,
    /// What its modules were compiled with.
    modules: String,
}

impl Bench {
    fn new(root: &Path, name: &str, row: &Row) -> Self {
        let dir = root.join(name);
        fs::create_dir_all(&dir).unwrap();
        let mut words: Vec<_> = row.options.split_whitespace().map(str::to_owned).collect();
        let modules = match row.kind {
            _ if words.first().is_some_and(|w| w.starts_with("-fpi") || w == "-fPIC") => words.remove(0),
            Exe => "-fno-pic".to_owned(),
            Pie | Shared => "-fPIC".to_owned(),
            Rel => "mixed".to_owned(),
        };
        let bench = Self {
            dir,
            llvm: row.llvm,
            kind: row.kind,
            words,
            modules,
        };
        for stem in STEMS {
            let from = corpus(root, row.llvm, bench.model(stem)).join(format!("{stem}.o"));
            fs::copy(from, bench.dir.join(format!("{stem}.o"))).unwrap();
        }
        bench
    }

    /// The position model a module is compiled for; a relocatable link has both kinds.
    fn model(&self, stem: &str) -> &str {
        match (self.modules.as_str(), stem) {
            ("mixed", "b" | "d") => "-fPIC",
            ("mixed", _) => "-fno-pic",
            (model, _) => model,
        }
    }

    fn target(&self, stem: &str) -> ModuleTarget {
        let pic_level = if self.model(stem) == "-fno-pic" { 0 } else { 2 };
        ModuleTarget {
            triple: TRIPLE.to_owned(),
            pic_level,
        }
    }

    fn lld(&self, extra: &[String]) -> String {
        let mut command = Command::new(format!("ld.lld-{}", self.llvm));
        command.current_dir(&self.dir).args(match self.kind {
            Exe => &["-e", "main", "--unresolved-symbols=ignore-all"][..],
            Pie => &[
                "-pie",
                "-e",
                "main",
                "--unresolved-symbols=ignore-all",
                "--export-dynamic",
            ],
            Shared => &["-shared"],
            Rel => &["-r"],
        });
        run(command
            .args(&self.words)
            .args(extra)
            .args(["a.o", "b.o", "c.o", "d.o", "-o", "out"]))
    }

    /// In-process objects, by task.
    fn in_process(&self, first: usize) -> Vec<Vec<u8>> {
        self.lld(&["--lto-obj-path=native.o".to_owned()]);
        (first..first + 4)
            .map(|task| fs::read(self.dir.join(format!("native.o{task}"))).unwrap())
            .collect()
    }

    fn flags(&self) -> Flags {
        let settings: Vec<_> = self.words.iter().map(|w| setting(w)).collect();
        Flags::derive(&settings, self.kind, version(self.llvm), Trace::AsLinked).unwrap()
    }

    /// The passes that in-process backends run, and those that ours do, each as often as some module has them.
    fn pipelines(&self) -> [BTreeSet<String>; 2] {
        let passes = |said: &str| -> BTreeSet<String> { said.lines().map(str::to_owned).collect() };
        let asked = ["-mllvm", "-print-pipeline-passes"].map(str::to_owned);
        // One after the other, lest they print at once.
        let inside = self.lld(&[&asked[..], &["--thinlto-jobs=1".to_owned()]].concat());
        self.lld(&["--thinlto-index-only".to_owned()]);
        let flags = self.flags();
        let mut ours = BTreeSet::new();
        for stem in STEMS {
            let [module, index, object, intermediate] =
                ["o", "o.thinlto.bc", "native.o", "opt.bc"].map(|end| PathBuf::from(format!("{stem}.{end}")));
            let job = JobFiles {
                module: &module,
                index: &index,
                object: &object,
                intermediate: &intermediate,
                task: 1,
            };
            let mut clang = Command::new(format!("clang-{}", self.llvm));
            let optimise = flags.steps(&self.target(stem), &job).swap_remove(0);
            ours.extend(passes(&run(clang.current_dir(&self.dir).args(optimise).args(&asked))));
        }
        [passes(&inside), ours]
    }

    /// Ours, by task.
    fn distributed(&self, flags: &Flags) -> Vec<Vec<u8>> {
        let targets = STEMS.map(|stem| self.target(stem));
        let mut extra = vec!["--thinlto-index-only".to_owned()];
        // What the pipeline adds to the indexes itself (`bitcode::resolve`) is of no concern here: lld has an option that
        // is enough for this corpus, but for LLVM 16.
        let given = self.words.iter().any(|word| word.contains("-import-declaration"));
        if targets.iter().any(|t| t.pic_level > 0) && self.kind != Shared && self.llvm >= 19 && !given {
            extra.extend(["-mllvm", "-import-declaration"].map(str::to_owned));
        }
        self.lld(&extra);
        let clang = PathBuf::from(format!("clang-{}", self.llvm));
        let backend = |(at, stem): (usize, &str)| {
            let target = self.target(stem);
            flags.accepts(&target).unwrap();
            flags.probe(&clang, &target).unwrap();
            let [module, index, object, intermediate] =
                ["o", "o.thinlto.bc", "native.o", "opt.bc"].map(|end| PathBuf::from(format!("{stem}.{end}")));
            let task = flags.first_task() + at;
            let job = JobFiles {
                module: &module,
                index: &index,
                object: &object,
                intermediate: &intermediate,
                task,
            };
            for step in flags.steps(&target, &job) {
                run(Command::new(&clang).current_dir(&self.dir).args(step));
            }
            for trace in flags.traces(&job) {
                let text = fs::read_to_string(self.dir.join(trace)).unwrap();
                assert!(text.contains("traceEvents"), "{text}");
            }
            fs::read(self.dir.join(job.object)).unwrap()
        };
        STEMS.into_iter().enumerate().map(backend).collect()
    }
}

/// A side file as it may differ: remarks in any order, and with names of basic blocks, which in-process lld has
/// thrown away and clang keeps. A file that isn't YAML is one entry.
fn entries(file: &[u8]) -> Vec<String> {
    let text: String = file.iter().map(|b| char::from(*b)).collect();
    let named = |l: &&str| !l.trim_start().starts_with("- BasicBlock:");
    let mut entries: Vec<_> = text
        .split("--- !")
        .map(|e| e.lines().filter(named).collect::<Vec<_>>().join("\n"))
        .collect();
    entries.sort();
    entries
}

/// Objects of links without options, by LLVM version and kind.
type Plain = Mutex<HashMap<(u32, String), Vec<Vec<u8>>>>;

/// What is wrong with a row, if anything.
fn check(root: &Path, at: usize, row: &Row, plain: &Plain) -> Option<String> {
    let mut bench = Bench::new(root, &format!("row{at}"), row);
    for word in &mut bench.words {
        for shared in ["sample", "list", "csprofile", "irprofile"] {
            let name = if shared.ends_with("profile") {
                format!("{shared}-{}", row.llvm)
            } else {
                shared.to_owned()
            };
            *word = word.replace(&format!("@{shared}"), &root.join(name).display().to_string());
        }
        *word = word.replace('@', "");
    }
    let flags = bench.flags();
    let theirs = bench.in_process(flags.first_task());
    let side = |at: usize| -> Vec<(PathBuf, Option<Vec<String>>)> {
        let read = |f: PathBuf| (f.clone(), fs::read(bench.dir.join(f)).ok().map(|b| entries(&b)));
        flags
            .side_outputs(flags.first_task() + at)
            .into_iter()
            .map(read)
            .collect()
    };
    let their_side: Vec<_> = (0..4).flat_map(side).collect();
    for (file, _) in &their_side {
        fs::remove_file(bench.dir.join(file)).unwrap_or_else(|e| panic!("in-process wrote no {file:?}: {e}"));
    }
    let ours = bench.distributed(&flags);
    let differing: Vec<_> = (0..4).filter(|i| ours[*i] != theirs[*i]).collect();
    if !differing.is_empty() {
        return Some(format!("modules {differing:?} differ"));
    }
    if (0..4).flat_map(side).collect::<Vec<_>>() != their_side {
        return Some("files beside the objects differ".to_owned());
    }
    let key = (row.llvm, format!("{:?}", row.kind));
    let changed = plain.lock().unwrap()[&key] != theirs;
    match (row.effect, changed) {
        (Visible, false) => Some("has no effect here, the row can't fail".to_owned()),
        (Same, true) => Some("has an effect, its row says otherwise".to_owned()),
        _ => None,
    }
}

/// Two at a time; `work` gets each number below `count` once.
fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    work(at);
                }
            });
        }
    });
}

/// The settings of `PipelineTuningOptions` and of `Config` that decide which passes run, asked of the installed LLVM itself: which
/// lld and clang set differently is in docs/backends.md. LLVM 16 and 19 do not tell.
#[test]
fn the_optimiser_runs_the_passes_of_in_process_lto() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    materials(root);
    for llvm in [23, 22] {
        for model in ["-fno-pic", "-fPIC"] {
            compile(&corpus(root, llvm, model), llvm, model);
        }
        for (at, (kind, options)) in PIPELINES.iter().enumerate() {
            let bench = Bench::new(root, &format!("passes-{llvm}-{at}"), &row(llvm, *kind, options, Same));
            let [inside, ours] = bench.pipelines();
            assert!(!inside.is_empty(), "lld {llvm} tells no passes");
            assert_eq!(inside, ours, "LLVM {llvm} {options}");
        }
    }
}

/// What decides which passes run, or might.
const PIPELINES: [(OutputKind, &str); 12] = [
    (Exe, ""),
    (Shared, ""),
    (Exe, "--lto-O0"),
    (Exe, "--lto-O1"),
    (Exe, "--lto-O3"),
    (Exe, "--lto-O1 --lto-CGO1"),
    (Exe, "-plugin-opt=-enable-loopinterchange"),
    (Exe, "-plugin-opt=-enable-loopinterchange=0"),
    (Exe, "-plugin-opt=-enable-loopinterchange=0 --lto-O1"),
    (Exe, "-plugin-opt=-enable-merge-functions"),
    (Exe, "-plugin-opt=-supports-hot-cold-new"),
    (Exe, "--lto-sample-profile=../sample"),
];

#[test]
fn every_row_makes_the_objects_of_in_process_lld() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    materials(root);
    let rows = rows::all();
    let models: Vec<_> = [23, 22, 19, 16]
        .into_iter()
        .flat_map(|llvm| ["-fno-pic", "-fPIC", "-fpie"].map(|model| (llvm, model)))
        .collect();
    in_parallel(models.len(), |at| {
        compile(&corpus(root, models[at].0, models[at].1), models[at].0, models[at].1)
    });
    let plain = Plain::default();
    let mut links: Vec<_> = rows.iter().map(|r| (r.llvm, r.kind)).collect();
    links.sort_by_key(|l| format!("{l:?}"));
    links.dedup();
    in_parallel(links.len(), |at| {
        let (llvm, kind) = links[at];
        let bench = Bench::new(root, &format!("plain{at}"), &row(llvm, kind, "", Same));
        plain
            .lock()
            .unwrap()
            .insert((llvm, format!("{kind:?}")), bench.in_process(1));
    });
    for llvm in [23, 22, 19] {
        profiles(root, llvm);
    }
    let wrong = Mutex::new(Vec::new());
    in_parallel(rows.len(), |at| {
        let r = &rows[at];
        let name = format!("{} {:?} {}", r.llvm, r.kind, r.options);
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(root, at, r, &plain)));
        match checked {
            Ok(None) => {}
            Ok(Some(what)) => wrong.lock().unwrap().push(format!("{name}: {what}")),
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                wrong.lock().unwrap().push(format!("{name}: {said}"));
            }
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
