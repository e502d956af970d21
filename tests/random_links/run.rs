//! Builds random programs and links each twice: by lld with LTO in its process, and by thinlto-ld.
//! Knows nothing of what the links should have in common.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use super::build::{Build, Compile, quoted};
use super::image::Image;
use super::program::Program;

/// What became of one of the two links.
#[derive(Debug, Default)]
pub struct Side {
    pub status: i32,
    pub errors: BTreeSet<String>,
    pub warnings: BTreeSet<String>,
    pub image: Option<Image>,
    /// The link of the program that uses a library or a relocatable object.
    pub user: Option<(i32, BTreeSet<String>)>,
    /// What the program did: its status and what it printed.
    pub run: Option<(i32, String)>,
    /// thinlto-ld's own word, empty for lld.
    pub mode: String,
    pub reason: String,
    pub stderr: String,
}

/// A link made both ways.
pub struct Made {
    /// Of a `-r` link that both make: whether it is lld's byte for byte when LTO's objects stand where lld has them.
    pub in_process_order: Option<bool>,
    pub lld: Side,
    pub ours: Side,
    /// The link line.
    pub link: String,
    /// All of it, for a shell.
    pub script: String,
}

/// Where links are made, and by which programs. Many threads may use it.
pub struct Workshop {
    dir: TempDir,
    lld: PathBuf,
    ours: PathBuf,
    /// Link lines of the compiler by the options that ask for them.
    lines: Mutex<HashMap<Vec<String>, Vec<String>>>,
}

impl Workshop {
    pub fn new(llvm: u32, ours: &Path) -> Workshop {
        let dir = tempfile::tempdir().unwrap();
        for name in ["objects", "run", "tmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        // The compiler only shows what it would do with it.
        fs::write(dir.path().join("INPUTS.o"), "").unwrap();
        // thinlto-ld finds its lld by its own name's suffix; lld compared with itself needs its own.
        let is_lld = ours
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("ld.lld"));
        let named = dir.path().join(format!("thinlto-ld-{llvm}"));
        symlink(fs::canonicalize(ours).unwrap(), &named).unwrap();
        Workshop {
            lld: which::which(format!("ld.lld-{llvm}")).unwrap(),
            ours: if is_lld { ours.to_owned() } else { named },
            dir,
            lines: Mutex::default(),
        }
    }

    /// Builds and links `program` in a folder of its own, `name`. Fails where an input cannot be made.
    pub fn make(&self, program: &Program, name: &str) -> Result<Made, String> {
        let build = Build::of(program);
        let dir = self.dir.path().join(name);
        for side in ["", "lld", "ours"] {
            fs::create_dir_all(dir.join(side)).unwrap();
        }
        let made = self.made(&build, &dir);
        fs::remove_dir_all(&dir).unwrap();
        made
    }

    fn made(&self, build: &Build, dir: &Path) -> Result<Made, String> {
        self.inputs(build, dir)?;
        let mut link = self.line(&build.driver, &build.inputs)?;
        link.extend(["-o".to_owned(), build.output.clone()]);
        let mut user = None;
        if let Some((driver, inputs)) = &build.user {
            let mut line = self.line(driver, inputs)?;
            line.extend(["-o".to_owned(), "user".to_owned()]);
            user = Some(line);
        }
        let shown = user.as_ref().map(|line| output_named(line, &build.output));
        let lld = self.side(build, dir, "lld", &self.lld, &link, user.as_deref());
        let ours = self.side(build, dir, "ours", &self.ours, &link, user.as_deref());
        // Of LTO's groups lld keeps one a module, and of what is wrapped LTO changes the binding: neither can be said to a link of
        // objects. A member that code generation alone asks for comes before the object that does. What is assigned
        // stands where a member that is not loaded had the name.
        let assigns = |word: &String| word.starts_with("--defsym") || word == "provide.ld" || word == "assign.ld";
        let can_be_the_same = link.iter().any(|word| word == "-r")
            && !link.iter().any(|word| word.starts_with("--wrap") || assigns(word))
            && !build
                .compiles
                .iter()
                .any(|of| of.source.ends_with(".cpp") || defines_routines(of));
        let are_made = lld.status == 0 && ours.status == 0;
        Ok(Made {
            in_process_order: (can_be_the_same && are_made).then(|| self.in_process_order(build, dir, &link)),
            lld,
            ours,
            link: quoted(&link),
            script: build.script(&link, shown.as_deref()),
        })
    }

    /// Whether the output in in-process order is lld's, byte for byte.
    fn in_process_order(&self, build: &Build, dir: &Path, link: &[String]) -> bool {
        let mut command = self.command(&self.ours, dir);
        let linked = command.env("THINLTO_LD_ORDER", "in-process").args(link).status();
        let lld = fs::read(dir.join("lld").join(&build.output)).unwrap();
        linked.unwrap().success() && fs::read(dir.join(&build.output)).unwrap() == lld
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(dir)
            .stdin(Stdio::null())
            .env_remove("MAKEFLAGS")
            .env("LC_ALL", "C")
            .env("TMPDIR", self.dir.path().join("tmp"))
            .env("XDG_CACHE_HOME", self.dir.path().join("cache"))
            .env("XDG_RUNTIME_DIR", self.dir.path().join("run"))
            // A link left to lld would be the same as lld's, and show nothing.
            .env("THINLTO_LD_MODE", "distributed")
            .env("THINLTO_LD_STATS", dir.join("stats.json"));
        command
    }

    /// Compiles, and makes archives and libraries. What was compiled once is kept, for shrinking compiles little anew.
    fn inputs(&self, build: &Build, dir: &Path) -> Result<(), String> {
        for (name, text) in &build.files {
            fs::write(dir.join(name), text).unwrap();
        }
        for of in &build.compiles {
            let made_of = format!("{} {} {:?}\n{}", of.clang, of.source, of.flags, of.text);
            let kept = self
                .dir
                .path()
                .join("objects")
                .join(blake3::hash(made_of.as_bytes()).to_string());
            if !kept.exists() {
                fs::write(dir.join(&of.source), &of.text).unwrap();
                let mut clang = self.command(&of.clang, dir);
                clang.arg("-c").args(&of.flags).args([&of.source, "-o", &of.object]);
                succeeded(&mut clang).map_err(|error| format!("{error}\n{}", of.text))?;
                // Another thread may have been faster.
                fs::rename(dir.join(&of.object), &kept).unwrap();
            }
            fs::copy(&kept, dir.join(&of.object)).unwrap();
        }
        for words in &build.commands {
            succeeded(self.command(&words[0], dir).args(&words[1..]))?;
        }
        Ok(())
    }

    /// The compiler's link line with these inputs.
    fn line(&self, driver: &[String], inputs: &[String]) -> Result<Vec<String>, String> {
        let mut lines = self.lines.lock().unwrap();
        if !lines.contains_key(driver) {
            let mut clang = self.command(&driver[0], self.dir.path());
            clang.args(&driver[1..]).args(["-###", "INPUTS.o", "-o", "OUTPUT"]);
            let shown = String::from_utf8_lossy(&succeeded(&mut clang)?.stderr).into_owned();
            let last = shown.lines().last().unwrap_or_default();
            let words = last.split('"').skip(1).step_by(2).skip(1).map(str::to_owned);
            let words: Vec<String> = words.filter(|word| word != "--build-id").collect();
            lines.insert(driver.to_owned(), words);
        }
        let mut line = Vec::new();
        let mut words = lines[driver].iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-o" => _ = words.next(),
                "INPUTS.o" => line.extend(inputs.iter().cloned()),
                _ => line.push(word.clone()),
            }
        }
        Ok(line)
    }

    fn side(
        &self,
        build: &Build,
        dir: &Path,
        name: &str,
        linker: &Path,
        link: &[String],
        user: Option<&[String]>,
    ) -> Side {
        let linked = self.command(linker, dir).args(link).output().unwrap();
        let (errors, warnings, stderr) = said(&linked, &build.output);
        let stats = fs::read_to_string(dir.join("stats.json")).unwrap_or_default();
        let stats: serde_json::Value = stats
            .lines()
            .last()
            .map_or_else(Default::default, |line| serde_json::from_str(line).unwrap());
        let word = |key: &str| stats[key].as_str().unwrap_or_default().to_owned();
        let mut side = Side {
            status: linked.status.code().unwrap_or(-1),
            errors,
            warnings,
            mode: word("mode"),
            reason: word("reason"),
            stderr,
            ..Side::default()
        };
        let output = format!("{name}/{}", build.output);
        if side.status != 0 || fs::rename(dir.join(&build.output), dir.join(&output)).is_err() {
            return side;
        }
        side.image = Some(Image::read(&dir.join(&output)));
        let mut program = output.clone();
        if let Some(user) = user {
            program = format!("{name}/user");
            let mut words = output_named(user, &output);
            words.extend(["-o".to_owned(), program.clone()]);
            let linked = self.command(&self.lld, dir).args(words).output().unwrap();
            let status = linked.status.code().unwrap_or(-1);
            side.user = Some((status, said(&linked, &build.output).0));
            if status != 0 {
                return side;
            }
        }
        // A wrong link may give a program that has no end.
        let mut run = self.command("timeout", dir);
        run.args(["10", &format!("./{program}")])
            .env("LD_LIBRARY_PATH", format!("{name}:."));
        let ran = run.output().unwrap();
        let text = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        let text = text.replace(&format!("{name}/"), "");
        side.run = Some((ran.status.code().unwrap_or(-1), text));
        side
    }
}

/// A user's link line with the library or object it uses.
fn output_named(line: &[String], output: &str) -> Vec<String> {
    let one = |word: &String| {
        if word == "OUTPUT" {
            output.to_owned()
        } else {
            word.clone()
        }
    };
    line.iter().map(one).collect()
}

fn succeeded(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(output),
        false => Err(format!("{command:?}\n{}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// A linker's errors and warnings, in names that both linkers have.
fn said(output: &Output, made: &str) -> (BTreeSet<String>, BTreeSet<String>, String) {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = |mark: &str| {
        stderr
            .lines()
            .filter_map(|line| Some(plain(line.split_once(mark)?.1, made)))
            .collect()
    };
    (lines("error: "), lines("warning: "), stderr.clone())
}

/// A message with modules in place of what was made of them: `out.lto.m3.o`, `libg1.a(m3.o at 1234)` are `m3.o`.
fn plain(line: &str, made: &str) -> String {
    let mut words = Vec::new();
    let mut all = line.split(' ').peekable();
    while let Some(word) = all.next() {
        match module_in(word) {
            // thinlto-ld says which module an assembler's message is about; lld does not.
            Some(_) if all.peek().is_some_and(|next| next.starts_with("<unknown>")) => {}
            Some(module) => words.push(module),
            None if word == "at" && all.peek().is_some_and(|next| next.contains(')')) => _ = all.next(),
            None => words.push(
                word.replace(&format!("lld/{made}"), made)
                    .replace(&format!("ours/{made}"), made),
            ),
        }
    }
    words.join(" ")
}

/// The module that a word names, be it as a member or as what LTO made of it.
fn module_in(word: &str) -> Option<String> {
    let before = word.split(".o").next().filter(|before| before.len() < word.len())?;
    let start = before
        .rfind(|c: char| !c.is_ascii_alphanumeric())
        .map_or(0, |at| at + 1);
    let stem = &before[start..];
    let number = stem.strip_prefix('m').unwrap_or_default();
    let is_module = stem == "same" || !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    is_module.then(|| format!("{stem}.o"))
}

/// Whether code generation may ask for what a module defines.
fn defines_routines(module: &Compile) -> bool {
    module.flags.iter().any(|flag| flag == "-fno-builtin")
}
