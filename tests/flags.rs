//! Every row of the flag tables against the real programs: a small link made by in-process lld and by our commands,
//! object by object. Knows nothing of the rest of the pipeline: it runs the thin link itself.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use thinlto_ld::backend::flags::{Flags, JobFiles, LlvmVersion, ModuleTarget, Trace};
use thinlto_ld::cmdline::{LtoSetting, OutputKind};

use Effect::{Same, Visible};
use OutputKind::{Executable as Exe, Pie, Relocatable as Rel, Shared};

const TRIPLE: &str = "x86_64-pc-linux-gnu";

/// Whether an option must change some object (so that its row can fail).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Visible,
    Same,
}

struct Row {
    llvm: u32,
    kind: OutputKind,
    options: &'static str,
    effect: Effect,
}

const fn row(llvm: u32, kind: OutputKind, options: &'static str, effect: Effect) -> Row {
    Row {
        llvm,
        kind,
        options,
        effect,
    }
}

const ROWS: &[Row] = &[
    row(22, Exe, "", Same),
    row(22, Pie, "", Same),
    row(22, Shared, "", Same),
    row(22, Rel, "", Same),
    row(22, Exe, "--lto-O0", Visible),
    row(22, Exe, "--lto-O1", Visible),
    row(22, Rel, "--lto-O1 -plugin-opt=mcpu=znver3", Visible),
    row(22, Shared, "--lto-O3", Visible),
    row(22, Exe, "--lto-CGO0", Visible),
    row(22, Pie, "--lto-CGO1", Visible),
    row(22, Exe, "--lto-CGO3", Same),
    row(22, Exe, "--lto-O3 --lto-CGO2", Visible),
    row(22, Exe, "--lto-O1 --lto-CGO1", Visible),
    row(22, Exe, "--lto-O0 --lto-CGO0", Visible),
    row(22, Exe, "--lto-O3 --lto-O2", Same),
    row(22, Exe, "-plugin-opt=mcpu=x86-64", Visible),
    row(22, Shared, "-plugin-opt=mcpu=haswell", Visible),
    row(22, Exe, "-plugin-opt=-mcpu=haswell", Visible),
    row(22, Exe, "-plugin-opt=-mattr=+avx2", Visible),
    row(
        22,
        Exe,
        "-plugin-opt=-mattr=+sse4.2,+avx512f,-avx512cd",
        Visible,
    ),
    row(22, Exe, "-plugin-opt=-mattr=+avx,+popcnt --lto-O1", Visible),
    row(
        22,
        Exe,
        "-plugin-opt=mcpu=x86-64 -plugin-opt=-mattr=avx2,+xsaveopt,-fma",
        Visible,
    ),
    row(22, Exe, "-plugin-opt=-inline-threshold=0", Visible),
    row(22, Exe, "-plugin-opt=-disable-lsr --lto-O1", Visible),
    row(22, Exe, "-plugin-opt=-import-instr-limit=0", Visible),
    row(22, Exe, "-plugin-opt=-relocation-model=pic", Visible),
    row(22, Rel, "-plugin-opt=-relocation-model=pic", Visible),
    row(22, Shared, "-plugin-opt=-code-model=medium", Visible),
    row(22, Exe, "-plugin-opt=-code-model=large", Visible),
    row(22, Exe, "-plugin-opt=-emulated-tls", Visible),
    row(22, Shared, "-plugin-opt=-enable-tlsdesc", Visible),
    row(22, Exe, "-plugin-opt=-unique-section-names=0", Visible),
    row(22, Exe, "-plugin-opt=-separate-named-sections", Visible),
    row(22, Exe, "-plugin-opt=-stack-size-section", Visible),
    row(22, Exe, "-plugin-opt=-align-loops=64", Visible),
    row(22, Exe, "-plugin-opt=-use-ctors", Visible),
    row(22, Exe, "-plugin-opt=-nozero-initialized-in-bss", Visible),
    row(22, Exe, "-plugin-opt=-force-dwarf-frame-section", Visible),
    row(22, Exe, "-plugin-opt=-partition-static-data-sections", Same),
    row(22, Exe, "-plugin-opt=-split-machine-functions", Same),
    row(22, Exe, "-plugin-opt=-call-graph-section", Visible),
    row(22, Exe, "-plugin-opt=-debugger-tune=sce", Visible),
    row(22, Exe, "-plugin-opt=-strict-dwarf", Visible),
    row(22, Exe, "-plugin-opt=-enable-jmc-instrument", Visible),
    row(22, Exe, "-plugin-opt=-xray-function-index=false", Visible),
    row(22, Exe, "-plugin-opt=-emit-call-site-info", Visible),
    row(22, Exe, "-plugin-opt=-vector-library=LIBMVEC", Visible),
    row(22, Exe, "-plugin-opt=-exception-model=sjlj", Visible),
    row(22, Exe, "-plugin-opt=-crel", Visible),
    row(22, Shared, "-plugin-opt=-x86-relax-relocations=0", Visible),
    row(22, Exe, "-plugin-opt=-dwarf64", Visible),
    row(22, Exe, "-plugin-opt=-save-temp-labels", Visible),
    row(22, Exe, "-plugin-opt=-mc-relax-all", Visible),
    row(22, Exe, "-plugin-opt=-x86-sse2avx", Same),
    row(22, Exe, "-plugin-opt=-gsframe", Visible),
    row(
        22,
        Exe,
        "-plugin-opt=-frame-pointer=all -plugin-opt=-trap-func=oops",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=-disable-tail-calls -plugin-opt=-stackrealign -plugin-opt=-debug-entry-values",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=-function-sections -plugin-opt=-data-sections=0 -plugin-opt=-addrsig=0",
        Same,
    ),
    row(
        22,
        Shared,
        "-plugin-opt=-code-model=medium -plugin-opt=-large-data-threshold=9999999",
        Visible,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=-no-integrated-as -plugin-opt=-thread-model=single",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=-enable-no-nans-fp-math -plugin-opt=-denormal-fp-math=preserve-sign",
        Same,
    ),
    row(22, Exe, "--lto-basic-block-sections=all", Visible),
    row(
        22,
        Exe,
        "--lto-basic-block-sections=all --lto-unique-basic-block-section-names",
        Visible,
    ),
    row(22, Exe, "--lto-basic-block-sections=all --lto-O1", Visible),
    row(22, Exe, "--lto-basic-block-sections=@list", Visible),
    row(22, Exe, "--lto-basic-block-sections=labels", Same),
    row(22, Exe, "-plugin-opt=-basic-block-sections=all", Visible),
    row(
        22,
        Exe,
        "-plugin-opt=-basic-block-sections=all --lto-basic-block-sections=none",
        Same,
    ),
    row(22, Exe, "--lto-basic-block-address-map", Visible),
    row(22, Exe, "-plugin-opt=-basic-block-address-map", Same),
    row(22, Exe, "--lto-sample-profile=@sample", Visible),
    row(22, Exe, "--lto-sample-profile=@sample --lto-O1", Visible),
    row(22, Exe, "--lto-cs-profile-generate", Visible),
    row(
        22,
        Exe,
        "--lto-cs-profile-generate --lto-cs-profile-file=/nowhere/cs.profraw",
        Visible,
    ),
    row(22, Exe, "--lto-cs-profile-generate --lto-O1", Visible),
    row(
        22,
        Exe,
        "--lto-cs-profile-file=@csprofile --no-lto-pgo-warn-mismatch",
        Visible,
    ),
    row(22, Exe, "--lto-cs-profile-file=@irprofile", Same),
    row(22, Exe, "-plugin-opt=dwo_dir=@dwo", Visible),
    row(
        22,
        Exe,
        "-plugin-opt=dwo_dir=@dwo --lto-partitions=3 --lto-O1",
        Visible,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=opt-remarks-filename=@remarks -plugin-opt=opt-remarks-format=yaml",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=opt-remarks-filename=@remarks -plugin-opt=opt-remarks-passes=inline",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=opt-remarks-filename=@remarks -plugin-opt=opt-remarks-with-hotness",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=opt-remarks-filename=@remarks -plugin-opt=opt-remarks-with-hotness \
         -plugin-opt=opt-remarks-hotness-threshold=50 --lto-sample-profile=@sample",
        Visible,
    ),
    row(
        22,
        Exe,
        "--lto-whole-program-visibility --lto-validate-all-vtables-have-type-infos",
        Same,
    ),
    row(
        22,
        Exe,
        "--disable-verify --lto-partitions=4 --thinlto-jobs=1 --lto=thin",
        Same,
    ),
    row(19, Exe, "", Same),
    row(19, Rel, "--lto-O1", Visible),
    row(19, Exe, "--lto-basic-block-sections=labels", Visible),
    row(19, Exe, "--lto-basic-block-address-map", Visible),
    row(19, Exe, "-plugin-opt=-vector-library=LIBMVEC-X86", Visible),
    row(19, Exe, "-plugin-opt=-emit-call-site-info", Visible),
    row(
        19,
        Exe,
        "-plugin-opt=-xray-function-index=0 -plugin-opt=-crel",
        Visible,
    ),
    row(
        19,
        Shared,
        "-plugin-opt=-x86-relax-relocations=0 -plugin-opt=-save-temp-labels",
        Visible,
    ),
    row(19, Exe, "--lto-cs-profile-file=@csprofile", Visible),
    row(19, Exe, "-plugin-opt=-mattr=+avx2", Visible),
    row(16, Pie, "", Same),
    row(16, Exe, "--lto-O0", Visible),
    row(16, Exe, "--lto-basic-block-sections=labels", Visible),
    row(16, Exe, "-plugin-opt=-vector-library=LIBMVEC-X86", Visible),
    row(16, Exe, "-plugin-opt=-emit-call-site-info", Visible),
    row(16, Exe, "-plugin-opt=-no-xray-index", Visible),
    row(16, Shared, "-plugin-opt=-relax-elf-relocations=0", Visible),
    row(16, Exe, "-plugin-opt=-mattr=+avx2", Visible),
];

/// The sources: (name, compile options besides the position model, text).
const SOURCES: &[(&str, &str, &str)] = &[
    (
        "a.cpp",
        "-O2 -fxray-instrument -fxray-instruction-threshold=1",
        r#"
extern "C" { double sum(const double *, int); int pick(int); int work(int); int plain(int *, int); extern int table[64];
             void may_throw(int); __attribute__((weak)) int hook(int x) { return x + 1; } }
thread_local int counter;
int zeroes[100];
struct Guard { int v; Guard() : v(pick(3)) {} ~Guard() { counter++; } } guard;
struct Base { virtual int f(int) { return 1; } };
struct Derived : Base { int f(int x) override { return x * pick(x); } };
Base *volatile object = new Derived;
extern "C" int main(int argc, char **) {
  double d[16]; for (int i = 0; i < 16; i++) d[i] = i * argc;
  try { Guard g; may_throw(argc); } catch (int e) { counter += e; }
  counter += object->f(argc) + hook(argc) + work(argc) + plain(table, 64) + zeroes[argc];
  return (int)sum(d, 16) + pick(argc) + counter;
}
"#,
    ),
    (
        "b.c",
        "-O2",
        r#"
double sin(double);
double out[1024];
int table[64] = {1, 2, 3};
__thread int local_count;
double sum(const double *p, int n) { double s = 0; for (int i = 0; i < n; i++) s += p[i] * 2.5; local_count++; return s; }
__attribute__((noinline)) static void fill(void) { for (int i = 0; i < 1024; i++) out[i] = __builtin_sin(out[i]); }
int pick(int x) {
  switch (x) { case 0: return 5; case 1: return table[3]; case 2: fill(); return 3; case 3: return local_count;
    case 4: return 99; case 5: return -4; case 6: return 12; case 7: return x * table[9]; default: return 0; }
}
"#,
    ),
    (
        "c.cpp",
        "-O2 -g",
        r#"
extern "C" { int pick(int); extern int table[64]; int use(const char *);
static int helper(int x, int y) {
  int r = 0;
  for (int i = 0; i < x; i++) r += table[(i * y) & 63] ^ (r >> 3);
  return r;
}
int work(int x) {
  int a = 0;
  for (int i = 0; i < x; i++) {
    if (pick(i) > 3)
      a += helper(i, x);
    else
      a -= use("cold");
  }
  return a;
}
void may_throw(int x) { if (x > 100) throw x; }
}
"#,
    ),
    (
        "d.c",
        "-O2",
        r#"
extern int pick(int);
int cells[256];
int plain(int *p, int n) {
  int r = 0;
  for (int i = 0; i < 256; i++) cells[i] = cells[i] * 3 + p[i & 63];
  for (int i = 0; i < n; i++) r += __builtin_popcount(p[i]) + pick(i);
  return r + (int)__builtin_floor(r * 0.3);
}
"#,
    ),
];

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Compiles the sources for one LLVM and position model. The module `d` loses its target attributes: only there do
/// the link's CPU and features show.
fn compile(dir: &Path, llvm: u32, pic: bool) {
    fs::create_dir_all(dir).unwrap();
    for (name, options, text) in SOURCES {
        let stem = name.split('.').next().unwrap();
        let source = dir.join(name);
        fs::write(&source, text).unwrap();
        let clang = format!("clang-{llvm}");
        let compile = |from: &Path, to: &str, extra: &[&str]| {
            let mut command = Command::new(&clang);
            command
                .current_dir(dir)
                .args(["-flto=thin", if pic { "-fPIC" } else { "-fno-pic" }]);
            run(command
                .args(options.split(' '))
                .args(extra)
                .arg(from)
                .args(["-o", to]));
        };
        if stem == "d" {
            compile(&source, "d.ll", &["-S"]);
            let ir = fs::read_to_string(dir.join("d.ll")).unwrap();
            let kept = |w: &&str| {
                !(w.starts_with("\"target-cpu\"")
                    || w.starts_with("\"target-features\"")
                    || w.starts_with("\"tune-cpu\""))
            };
            let lines: Vec<String> = ir
                .lines()
                .filter(|l| !l.starts_with('^'))
                .map(|l| l.split(' ').filter(kept).collect::<Vec<_>>().join(" "))
                .collect();
            fs::write(dir.join("d.ll"), lines.join("\n")).unwrap();
            compile(Path::new("d.ll"), "d.o", &["-c"]);
        } else {
            compile(&source, &format!("{stem}.o"), &["-c"]);
        }
    }
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
        let bare = word
            .trim_start_matches("-plugin-opt=")
            .trim_start_matches('-');
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
}

impl Bench {
    fn new(root: &Path, name: &str, row: &Row) -> Self {
        let dir = root.join(name);
        fs::create_dir_all(&dir).unwrap();
        for stem in ["a", "b", "c", "d"] {
            // A relocatable link has both kinds of modules.
            let pic = match row.kind {
                Exe => false,
                Pie | Shared => true,
                Rel => stem == "b" || stem == "d",
            };
            fs::copy(
                corpus(root, row.llvm, pic).join(format!("{stem}.o")),
                dir.join(format!("{stem}.o")),
            )
            .unwrap();
        }
        let words = row.options.split_whitespace().map(str::to_owned).collect();
        Self {
            dir,
            llvm: row.llvm,
            kind: row.kind,
            words,
        }
    }

    fn pic_level(&self, stem: &str) -> u32 {
        match self.kind {
            Exe => 0,
            Pie | Shared => 2,
            Rel => {
                if stem == "b" || stem == "d" {
                    2
                } else {
                    0
                }
            }
        }
    }

    fn lld(&self, extra: &[String]) {
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
            .args(["a.o", "b.o", "c.o", "d.o", "-o", "out"]));
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

    /// Ours, by task.
    fn distributed(&self, flags: &Flags) -> Vec<Vec<u8>> {
        self.lld(&["--thinlto-index-only".to_owned()]);
        let clang = PathBuf::from(format!("clang-{}", self.llvm));
        let backend = |(at, stem): (usize, &str)| {
            let target = ModuleTarget {
                triple: TRIPLE.to_owned(),
                pic_level: self.pic_level(stem),
            };
            flags.accepts(&target).unwrap();
            flags.probe(&clang, &target).unwrap();
            let [module, index, object, intermediate] =
                ["o", "o.thinlto.bc", "native.o", "opt.bc"].map(|end| PathBuf::from(format!("{stem}.{end}")));
            let task = flags.first_task() + at;
            let job = JobFiles { module: &module, index: &index, object: &object, intermediate: &intermediate, task };
            for step in flags.steps(&target, &job) {
                run(Command::new(&clang).current_dir(&self.dir).args(step));
            }
            fs::read(self.dir.join(job.object)).unwrap()
        };
        ["a", "b", "c", "d"]
            .into_iter()
            .enumerate()
            .map(backend)
            .collect()
    }
}

fn corpus(root: &Path, llvm: u32, pic: bool) -> PathBuf {
    root.join(format!("corpus-{llvm}-{pic}"))
}

const SAMPLE: &str =
    "work:20000:100\n 2: 5000\n 3: 5000\n 4: 10 pick:10\n 5: 4000\n 7: 1\nmain:100:1\n 1: 1\n";
const LIST: &str = "v1\nf main\nc 0 2\nf work\nc 0 1 3\nc 2\n";

/// Writes the files that rows name with `@`.
fn materials(root: &Path) {
    fs::write(root.join("sample"), SAMPLE).unwrap();
    fs::write(root.join("list"), LIST).unwrap();
}

/// What is wrong with a row, if anything.
fn check(
    root: &Path,
    at: usize,
    row: &Row,
    plain: &Mutex<HashMap<(u32, String), Vec<Vec<u8>>>>,
) -> Option<String> {
    let mut bench = Bench::new(root, &format!("row{at}"), row);
    for word in &mut bench.words {
        for shared in ["sample", "list", "csprofile", "irprofile"] {
            let name = if shared.ends_with("profile") {
                format!("{shared}-{}", row.llvm)
            } else {
                shared.to_owned()
            };
            *word = word.replace(
                &format!("@{shared}"),
                &root.join(name).display().to_string(),
            );
        }
        *word = word.replace('@', "");
    }
    let flags = bench.flags();
    let theirs = bench.in_process(flags.first_task());
    let side = |at: usize| -> Vec<(PathBuf, Option<String>)> {
        let read = |f: PathBuf| {
            (
                f.clone(),
                fs::read(bench.dir.join(f))
                    .ok()
                    .map(|b| String::from_utf8_lossy(&b).into_owned()),
            )
        };
        flags
            .side_outputs(flags.first_task() + at)
            .into_iter()
            .map(read)
            .collect()
    };
    let their_side: Vec<_> = (0..4).flat_map(side).collect();
    for (file, _) in &their_side {
        fs::remove_file(bench.dir.join(file))
            .unwrap_or_else(|e| panic!("in-process wrote no {file:?}: {e}"));
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

#[test]
fn every_row_makes_the_objects_of_in_process_lld() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    materials(root);
    let models: Vec<_> = [22, 19, 16]
        .into_iter()
        .flat_map(|llvm| [(llvm, false), (llvm, true)])
        .collect();
    in_parallel(models.len(), |at| {
        compile(
            &corpus(root, models[at].0, models[at].1),
            models[at].0,
            models[at].1,
        )
    });
    let plain = Mutex::new(HashMap::new());
    let mut links: Vec<_> = ROWS.iter().map(|r| (r.llvm, r.kind)).collect();
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
    for llvm in [22, 19] {
        profiles(root, llvm);
    }
    let wrong = Mutex::new(Vec::new());
    in_parallel(ROWS.len(), |at| {
        let r = &ROWS[at];
        let name = format!("{} {:?} {}", r.llvm, r.kind, r.options);
        let checked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(root, at, r, &plain)));
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

/// A context-sensitive profile of this very link, made from the hashes that instrumentation wrote into its objects;
/// and one that isn't context-sensitive (clang's driver hands those to the linker too).
fn profiles(root: &Path, llvm: u32) {
    use md5::{Digest, Md5};
    use object::{Object, ObjectSection};
    let bench = Bench::new(
        root,
        &format!("instrumented-{llvm}"),
        &row(llvm, Exe, "--lto-cs-profile-generate", Visible),
    );
    let mut text = String::new();
    for object in bench.in_process(1) {
        let file = object::File::parse(&*object).unwrap();
        for section in file
            .sections()
            .filter(|s| s.name().is_ok_and(|n| n.starts_with("__llvm_prf_data")))
        {
            let data = section.data().unwrap();
            let number = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
            let guid = |name: &str| u64::from_le_bytes(Md5::digest(name)[..8].try_into().unwrap());
            for name in ["work", "pick", "plain", "sum", "main"]
                .into_iter()
                .filter(|n| guid(n) == number(0))
            {
                let counters = number(48) & 0xffff_ffff;
                let counts: Vec<_> = (0..counters)
                    .map(|i| (10_u64.pow(i as u32 % 5)).to_string())
                    .collect();
                text += &format!(
                    "{name}\n{}\n{counters}\n{}\n\n",
                    number(8),
                    counts.join("\n")
                );
            }
        }
    }
    assert!(text.contains("work"), "no function data found");
    for (name, header) in [("csprofile", ":csir\n"), ("irprofile", ":ir\n")] {
        let source = root.join(format!("{name}-{llvm}.txt"));
        fs::write(&source, format!("{header}{text}")).unwrap();
        let mut merge = Command::new(format!("llvm-profdata-{llvm}"));
        run(merge
            .args(["merge", "-o"])
            .arg(root.join(format!("{name}-{llvm}")))
            .arg(&source));
    }
}
