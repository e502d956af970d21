//! A folder to build in, the real clang and lld, and links made twice: in-process and through thinlto-ld.
//! Knows nothing of what the links are for; each test file says that in link lines and outcomes.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs)]

pub mod browser;
pub mod casd;
pub mod dtlto;
pub mod fresh;
pub mod nginx;
pub mod pairs;
pub mod random;
pub mod remote;
pub mod silent;
pub mod sources;
pub mod traces;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// One LLVM, one folder.
pub struct Bench {
    dir: TempDir,
    pub llvm: u32,
    env: Vec<(String, String)>,
}

/// What a program did.
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    /// The stats lines it wrote.
    pub stats: Vec<Value>,
}

impl Outcome {
    pub fn ok(self) -> Outcome {
        assert_eq!(self.status, 0, "{}{}", self.stdout, self.stderr);
        self
    }

    pub fn mode(&self) -> &str {
        self.stats.last().expect("no stats line")["mode"].as_str().unwrap()
    }

    pub fn reason(&self) -> &str {
        self.stats.last().expect("no stats line")["reason"]
            .as_str()
            .unwrap_or_default()
    }

    pub fn backends(&self, what: &str) -> u64 {
        self.stats.last().expect("no stats line")["backends"][what]
            .as_u64()
            .unwrap()
    }
}

impl Bench {
    /// A folder for the version that most tests are of: 22, or what TESTS_LLVM says.
    pub fn new() -> Bench {
        let told = std::env::var("TESTS_LLVM").ok();
        Bench::of(told.map_or(22, |llvm| llvm.parse().expect("TESTS_LLVM is a number")))
    }

    /// A folder for LLVM `llvm`; its clang and lld must be there.
    pub fn of(llvm: u32) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench {
            dir,
            llvm,
            env: Vec::new(),
        };
        fs::create_dir(bench.path("tools")).unwrap();
        fs::create_dir(bench.tmp()).unwrap();
        DirBuilder::new().mode(0o700).create(bench.runtime()).unwrap();
        symlink(env!("CARGO_BIN_EXE_thinlto-ld"), bench.shim()).unwrap();
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where links here find the machine's slots.
    pub fn runtime(&self) -> PathBuf {
        self.path("run")
    }

    /// thinlto-ld under the name that means this LLVM.
    pub fn shim(&self) -> PathBuf {
        self.path(&format!("tools/thinlto-ld-{}", self.llvm))
    }

    pub fn lld(&self) -> String {
        format!("ld.lld-{}", self.llvm)
    }

    /// Sets a variable for every program run from now on.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Bench {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn write(&self, name: &str, text: &str) -> &Bench {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// A program, most often of a shell.
    pub fn write_program(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        self.write(name, text);
        let path = self.path(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub fn write_bytes(&self, name: &str, bytes: &[u8]) -> &Bench {
        fs::write(self.path(name), bytes).unwrap();
        self
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.read(name)).into_owned()
    }

    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(self.dir.path())
            .env_remove("MAKEFLAGS")
            .env_remove("GLIBC_TUNABLES")
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("TMPDIR", self.tmp())
            // So that the links here share the machine's CPUs with each other alone.
            .env("XDG_RUNTIME_DIR", self.runtime())
            .env("THINLTO_LD_STATS", self.path("stats.json"))
            .env("THINLTO_LD_MODE", "distributed")
            // So that a second link says what became of its modules; what is put back has tests of its own.
            .env("THINLTO_LD_UNCHANGED", "relink");
        for (name, value) in &self.env {
            command.env(name, value);
        }
        command
    }

    /// Runs a program here.
    pub fn run(&self, program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> Outcome {
        let program = program.as_ref();
        let _ = fs::remove_file(self.path("stats.json"));
        let output = self
            .command(program, words)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", program.to_string_lossy()));
        self.outcome(&output)
    }

    pub fn outcome(&self, output: &Output) -> Outcome {
        let stats = fs::read_to_string(self.path("stats.json")).unwrap_or_default();
        Outcome {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            stats: stats.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        }
    }

    /// `clang-N WORDS`, which must succeed.
    pub fn clang(&self, words: &[&str]) -> &Bench {
        self.run(format!("clang-{}", self.llvm), words).ok();
        self
    }

    /// Writes a source file and compiles it to `STEM.o` with `flags`.
    pub fn compile(&self, name: &str, text: &str, flags: &[&str]) -> &Bench {
        self.write(name, text);
        let object = Path::new(name).with_extension("o");
        let mut words = vec!["-c", name, "-o", object.to_str().unwrap()];
        words.extend(flags);
        let driver = if name.ends_with(".c") { "clang" } else { "clang++" };
        self.run(format!("{driver}-{}", self.llvm), &words).ok();
        self
    }

    /// Writes C sources and compiles each to `STEM.o` with `flags`, all by one clang: starting one takes longer than most.
    pub fn compile_at_once(&self, sources: &[(String, String)], flags: &[&str]) -> &Bench {
        let clang = format!("clang-{}", self.llvm);
        let words = [&["-###", "-c", "-x", "c", "/dev/null", "-o", "null.o"], flags].concat();
        let shown = self.run(&clang, &words).ok().stderr;
        let line = shown.lines().find(|line| line.contains("\"-cc1\"")).unwrap();
        let line = line.replace("\"-o\" \"null.o\"", "").replace("\"/dev/null\"", "");
        for (name, text) in sources {
            self.write(name, text);
        }
        // Without an output's name, each goes beside its source.
        let names: Vec<&str> = sources.iter().map(|(name, _)| name.as_str()).collect();
        self.run("sh", &["-c", &format!("{line} {}", names.join(" "))]).ok();
        for (name, _) in sources {
            let made = self.path(name).with_extension("bc");
            fs::rename(&made, made.with_extension("o")).unwrap();
        }
        self
    }

    /// `llvm-ar-N WORDS`.
    pub fn ar(&self, words: &[&str]) -> &Bench {
        self.run(format!("llvm-ar-{}", self.llvm), words).ok();
        self
    }

    /// `ld.lld-N WORDS`.
    pub fn direct(&self, words: &[&str]) -> Outcome {
        self.run(self.lld(), words)
    }

    /// `thinlto-ld-N WORDS`.
    pub fn through(&self, words: &[&str]) -> Outcome {
        self.run(self.shim(), words)
    }

    /// A clang link line, linked by `linker`.
    pub fn drive(&self, driver: &str, linker: &str, words: &[&str]) -> Outcome {
        let ld = format!("--ld-path={linker}");
        let mut all = vec![ld.as_str()];
        all.extend(words);
        self.run(format!("{driver}-{}", self.llvm), &all)
    }

    /// The same clang link line in-process and through thinlto-ld: `in.out` and `our.out`. Both must succeed, ours
    /// distributed, with byte-identical backend objects.
    pub fn both(&self, driver: &str, words: &[&str]) -> Outcome {
        let outcome = self.both_differing(driver, words);
        let differing = self.differing_objects();
        assert!(
            differing.is_empty(),
            "objects differ from in-process lld's: {differing:?}"
        );
        outcome
    }

    /// As [`Bench::both`], without looking at the objects.
    pub fn both_differing(&self, driver: &str, words: &[&str]) -> Outcome {
        self.clear_objects();
        let real = which::which(self.lld()).unwrap();
        let mut inside = vec!["-o", "in.out", "-Wl,--lto-obj-path=in.P"];
        inside.extend(words);
        self.drive(driver, real.to_str().unwrap(), &inside).ok();
        let mut ours = vec!["-o", "our.out", "-Wl,--lto-obj-path=our.P"];
        ours.extend(words);
        let outcome = self.drive(driver, self.shim().to_str().unwrap(), &ours).ok();
        assert_eq!(outcome.mode(), "distributed", "{}", outcome.reason());
        outcome
    }

    /// As [`Bench::both`], with bare linker command lines.
    pub fn both_bare(&self, words: &[&str]) -> Outcome {
        self.clear_objects();
        let mut inside = vec!["-o", "in.out", "--lto-obj-path=in.P"];
        inside.extend(words);
        self.direct(&inside).ok();
        let mut ours = vec!["-o", "our.out", "--lto-obj-path=our.P"];
        ours.extend(words);
        let outcome = self.through(&ours).ok();
        assert_eq!(outcome.mode(), "distributed", "{}", outcome.reason());
        let differing = self.differing_objects();
        assert!(
            differing.is_empty(),
            "objects differ from in-process lld's: {differing:?}"
        );
        outcome
    }

    fn clear_objects(&self) {
        for (name, _) in self.objects("in.P").into_iter().chain(self.objects("our.P")) {
            fs::remove_file(self.path(&name)).unwrap();
        }
    }

    pub fn objects(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.dir.path()).unwrap().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(prefix))
            .map(|name| (name.clone(), fs::read(self.path(&name)).unwrap()))
            .collect()
    }

    /// Backend objects (`--lto-obj-path`'s P, P1, P2 …) that are not byte for byte in-process lld's.
    pub fn differing_objects(&self) -> Vec<String> {
        let inside = self.objects("in.P");
        let ours = self.objects("our.P");
        assert!(!inside.is_empty(), "in-process lld kept no objects");
        let names: Vec<_> = inside
            .keys()
            .map(|name| name.trim_start_matches("in.P").to_owned())
            .collect();
        let mut differing: Vec<_> = names
            .into_iter()
            .filter(|number| inside.get(&format!("in.P{number}")) != ours.get(&format!("our.P{number}")))
            .collect();
        differing.extend(
            ours.keys()
                .map(|n| n.trim_start_matches("our.P").to_owned())
                .filter(|n| !inside.contains_key(&format!("in.P{n}"))),
        );
        differing
    }

    /// Runs a program made here and gives its stdout.
    pub fn output_of(&self, program: &str) -> String {
        let outcome = self.run(self.path(program), &[]).ok();
        outcome.stdout
    }

    /// Both outputs of [`Bench::both`] print this.
    pub fn both_print(&self, expected: &str) -> &Bench {
        assert_eq!(self.output_of("in.out"), expected, "in-process");
        assert_eq!(self.output_of("our.out"), expected, "through thinlto-ld");
        self
    }
}
