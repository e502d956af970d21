//! Whether the backends of an LLVM make what its in-process LTO makes, tried on a sample of modules: what lets a version newer than any
//! known be distributed. Knows nothing of how links are made; lld and thinlto-ld are run for that.

mod memo;
mod sample;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::backend::flags::{Flags, JobFiles, ModuleTarget, Trace};
use crate::cmdline::Invocation;
use crate::llvm;
use crate::settings;
use crate::toolchain::{Clang, Linker};
use sample::{LINKS, MODULES, Sample};

/// Set for the sample's links, and by nobody else: those are distributed unchecked.
const SAMPLING: &str = "THINLTO_LD_SAMPLING";

/// Whom to check.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The real linker.
    pub linker: &'a Linker,
    /// Its clang.
    pub clang: &'a Clang,
    /// thinlto-ld itself.
    pub thinlto_ld: &'a Path,
}

/// One of the sample's links, made both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Which.
    pub link: &'static str,
    /// What is not as in-process, if anything is.
    pub difference: Option<String>,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let difference = self.difference.as_deref();
        write!(f, "{}: {}", self.link, difference.unwrap_or("as in-process"))
    }
}

/// Why the links of this LLVM are left to lld; none where it is known, or newer than any and its sample is as in-process.
pub fn refusal(linker: &Linker, clang: &Clang) -> Option<String> {
    if clang.version.major <= llvm::NEWEST || std::env::var_os(SAMPLING).is_some() {
        return None;
    }
    let memo = memo::of(linker, clang);
    let known = memo.as_deref().and_then(memo::read);
    let difference = known.unwrap_or_else(|| {
        let found = first_difference(linker, clang);
        let newer = format!(
            "LLVM {} is newer than {}, the last one known",
            clang.version,
            llvm::NEWEST
        );
        match &found {
            None => tracing::warn!("{newer}; what it makes of a sample is as in-process, so links are distributed"),
            Some(difference) => {
                tracing::warn!("{newer}, and differs from in-process LTO ({difference}); links are left to lld")
            }
        }
        if let Some(memo) = &memo {
            memo::write(memo, found.as_deref());
        }
        found
    })?;
    Some(format!("LLVM {} is not known: {difference}", clang.version))
}

fn first_difference(linker: &Linker, clang: &Clang) -> Option<String> {
    let thinlto_ld = match std::env::current_exe() {
        Ok(path) => path,
        Err(error) => return Some(error.to_string()),
    };
    let check = Check {
        linker,
        clang,
        thinlto_ld: &thinlto_ld,
    };
    match check.run() {
        Err(error) => Some(error),
        Ok(compared) => compared
            .into_iter()
            .find(|one| one.difference.is_some())
            .map(|one| one.to_string()),
    }
}

impl Check<'_> {
    /// Makes every link of the sample both ways.
    ///
    /// # Errors
    /// The sample cannot be compiled or put anywhere.
    pub fn run(&self) -> Result<Vec<Compared>, String> {
        let folder = tempfile::Builder::new().prefix("thinlto-ld-").tempdir();
        let folder = folder.map_err(|error| format!("no folder for a sample: {error}"))?;
        let sample = Sample::compile(&self.clang.path, folder.path())?;
        let compare = |link: &sample::Link| {
            let objects = self.objects(&sample, link).err();
            Compared {
                link: link.name,
                difference: objects.or_else(|| self.passes(&sample, link).err()),
            }
        };
        Ok(LINKS.iter().map(compare).collect())
    }

    /// The same objects?
    fn objects(&self, sample: &Sample<'_>, link: &sample::Link) -> Result<(), String> {
        let (inside, ours) = (sample.folder.join("inside"), sample.folder.join("ours"));
        let words = |objects: &Path| {
            let mut path = OsString::from("--lto-obj-path=");
            path.push(objects);
            sample.words(link).into_iter().chain([path]).collect::<Vec<_>>()
        };
        said(self.linker.command().current_dir(sample.folder).args(words(&inside)))?;
        let mut distributed = Command::new(self.thinlto_ld);
        distributed
            .arg0("thinlto-ld")
            .current_dir(sample.folder)
            .args(words(&ours));
        for (name, _) in std::env::vars_os() {
            let is_ours = name.to_str().is_some_and(|name| name.starts_with("THINLTO_LD_"));
            if is_ours || name == "MAKEFLAGS" {
                distributed.env_remove(name);
            }
        }
        distributed
            .env(SAMPLING, "1")
            .env(settings::variable("linker"), &self.linker.path)
            .env(settings::variable("clang"), &self.clang.path)
            .env(settings::variable("mode"), "distributed")
            .env(settings::variable("cache"), "off")
            .env(settings::variable("jobs"), "1");
        said(&mut distributed)?;
        for (task, module) in (1..).zip(MODULES) {
            let read = |prefix: &Path| {
                let path = numbered(prefix, task);
                let object = fs::read(&path).map_err(|error| format!("no object of {}: {error}", module.0));
                // The next link's must not be mistaken for it.
                let _ = fs::remove_file(path);
                object
            };
            let (inside, ours) = (read(&inside), read(&ours));
            if inside? != ours? {
                return Err(format!("another object of {}", module.0));
            }
        }
        Ok(())
    }

    /// The same passes of the optimiser? An LLVM that does not tell has none.
    fn passes(&self, sample: &Sample<'_>, link: &sample::Link) -> Result<(), String> {
        let asked = ["-mllvm", "-print-pipeline-passes"];
        let words = sample.words(link);
        let told = |output: &Output| -> BTreeSet<String> {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().map(str::to_owned).collect()
        };
        let mut inside = self.linker.command();
        // One after the other, lest they print at once.
        inside
            .current_dir(sample.folder)
            .args(&words)
            .args(asked)
            .arg("--thinlto-jobs=1");
        let Ok(inside) = said(&mut inside) else {
            return Ok(());
        };
        let mut thin_link = self.linker.command();
        said(
            thin_link
                .current_dir(sample.folder)
                .args(&words)
                .arg("--thinlto-index-only"),
        )?;
        let invocation = Invocation::read(words).map_err(|error| error.to_string())?;
        let flags = Flags::derive(&invocation.lto, invocation.kind, self.clang.version, Trace::AsLinked);
        let flags = flags.map_err(|error| error.to_string())?;
        let target = ModuleTarget {
            triple: sample.triple.clone(),
            pic_level: link.pic_level,
        };
        let mut ours = BTreeSet::new();
        for module in sample.modules(link) {
            let [index, object] = ["thinlto.bc", "native"].map(|end| format!("{module}.{end}"));
            let job = JobFiles {
                module: Path::new(&module),
                index: Path::new(&index),
                object: Path::new(&object),
                intermediate: Path::new(&object),
                task: 1,
            };
            let optimise = flags.steps(&target, &job).into_iter().next().unwrap_or_default();
            let mut clang = Command::new(&self.clang.path);
            ours.extend(told(&said(
                clang.current_dir(sample.folder).args(optimise).args(asked),
            )?));
        }
        match told(&inside) == ours {
            true => Ok(()),
            false => Err("other passes of the optimiser".to_owned()),
        }
    }
}

/// What a program that succeeds prints; of one that does not, why.
fn said(command: &mut Command) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(output),
        false => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(text.lines().next().unwrap_or("fails without a word").to_owned())
        }
    }
}

/// The name that `--lto-obj-path` gives the object of a task.
fn numbered(prefix: &Path, task: usize) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(task.to_string());
    path.into()
}
