//! The modules and indexes that jobs read, each file opened once however many jobs name it, and the key of each object.
//! Knows nothing of running anything.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::prelude::*;

use super::command::Command;
use super::description::{Description, Job};
use crate::backend::asm_files::{self, AsmFiles, Text};
use crate::backend::away::Stays;
use crate::backend::launcher::Launcher;
use crate::backend::modules::ForKeys;
use crate::backend::post::PostBackend;
use crate::backend::seen::{Names, Read};
use crate::bitcode::outline::OutlinedModule;
use crate::bitcode::{Index, Outline};
use crate::cache::{Cache, Keyed, ModuleParts};
use crate::stamp::Stamp;
use crate::sys;
use crate::toolchain::Clang;

/// A file that jobs read.
#[derive(Debug)]
struct Module<'a> {
    path: &'a Path,
    bytes: Mmap,
    stamp: Stamp,
    digest: [u8; 32],
    /// None where it is no bitcode that can be read: clang has the word.
    keyed: Option<ForKeys>,
}

/// Every module of the jobs, by number: in the order of the names that lld has for them, which are their paths.
#[derive(Debug)]
pub struct Modules<'a> {
    modules: Vec<Module<'a>>,
    numbers: HashMap<&'a OsStr, usize>,
}

/// What all keys have in common.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// Where objects are kept.
    pub cache: &'a Cache,
    /// The compiler.
    pub clang: &'a Clang,
    /// Files that every command reads.
    pub inputs: &'a [PathBuf],
    /// What backends are started through.
    pub launcher: Option<&'a Launcher>,
    /// What else is done to objects.
    pub post: Option<&'a PostBackend>,
}

impl<'a> Modules<'a> {
    /// Opens them all.
    ///
    /// # Errors
    /// A file that cannot be read, and why.
    pub fn open(description: &'a Description) -> Result<Modules<'a>, (PathBuf, io::Error)> {
        let paths: BTreeSet<&OsStr> = description.jobs.iter().flat_map(names).collect();
        let paths: Vec<&OsStr> = paths.into_iter().collect();
        let opened = paths.par_iter().map(|path| {
            let path = Path::new(*path);
            Module::open(path).map_err(|error| (path.to_owned(), error))
        });
        let modules = opened.collect::<Result<Vec<_>, _>>()?;
        let numbers = paths.iter().enumerate().map(|(number, path)| (*path, number)).collect();
        Ok(Modules { modules, numbers })
    }

    /// The numbers of those that a job reads, in their order.
    pub fn read_by(&self, job: &Job) -> Vec<usize> {
        let read: BTreeSet<usize> = names(job).filter_map(|name| self.number(name)).collect();
        read.into_iter().collect()
    }

    /// The number of the one that is called so.
    pub fn number(&self, name: &OsStr) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// Where one is.
    pub fn path(&self, number: usize) -> &'a Path {
        self.modules[number].path
    }

    /// What is in it.
    pub fn bytes(&self, number: usize) -> &[u8] {
        &self.modules[number].bytes
    }

    fn get(&self, name: &OsStr) -> Option<&Module<'a>> {
        self.modules.get(self.number(name)?)
    }

    /// How long a job will take, by the bytes it reads: what is imported is read and its functions may be inlined, most of
    /// it is not.
    pub fn weight(&self, job: &Job) -> u64 {
        let size = |path: &Path| self.get(path.as_os_str()).map_or(0, |module| module.bytes.len() as u64);
        size(job.module()) + job.others().iter().map(|path| size(path)).sum::<u64>() / 8
    }

    /// Whether what a job reads is what it was when it was opened.
    pub fn hold(&self, job: &Job) -> bool {
        let mut modules = names(job).filter_map(|name| self.get(name));
        modules.all(|module| Stamp::of(module.path).is_ok_and(|stamp| stamp == module.stamp))
    }

    /// The files that a job's assembly may pull in, and that of those it imports from, who bring theirs along.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn assembly_files(&self, job: &Job, command: &Command) -> Result<Vec<PathBuf>, Stays> {
        let modules = names(job).map(|name| self.get(name)?.keyed.as_ref());
        let keyed: Vec<&ForKeys> = modules.collect::<Option<_>>().ok_or(Stays::Unreadable)?;
        let texts: Vec<&Text> = keyed.iter().flat_map(|keyed| &keyed.assembly).collect();
        match asm_files::find(&texts, Path::new(".")) {
            AsmFiles::None => Ok(Vec::new()),
            AsmFiles::Files(_) if command.searches() => Err(Stays::Searched),
            AsmFiles::Files(files) => Ok(files),
            AsmFiles::Undecidable(why) => Err(Stays::Assembly(why.name())),
        }
    }

    /// The key of each job's object; none where that must not be kept.
    pub fn keys(&self, jobs: &[Job], commands: &[Command], common: &Common<'_>) -> Vec<Option<Keyed>> {
        let keys = jobs.par_iter().zip(commands).map(|(job, command)| {
            let key = self.key(job, command, common);
            key.inspect_err(|why| tracing::debug!(module = job.shown(), why, "not cached"))
                .ok()
        });
        keys.collect()
    }

    /// The key of a job's object.
    ///
    /// # Errors
    /// Why it must not be kept.
    fn key(&self, job: &Job, command: &Command, common: &Common<'_>) -> Result<Keyed, String> {
        if job.outputs.len() > 1 {
            return Err("it writes more than an object".to_owned());
        }
        if let Some(option) = command.odd_option() {
            return Err(format!("{option} may leave or load other files"));
        }
        let unread = || "a module cannot be read".to_owned();
        let own = self.get(job.module().as_os_str()).ok_or_else(unread)?;
        let own_keyed = own.keyed.as_ref().ok_or_else(unread)?;
        let index = fs::read(job.index()).map_err(|error| format!("its index cannot be read: {error}"))?;
        let index = Index::parse(&index).map_err(|error| format!("its index cannot be read: {error}"))?;
        let outline = Outline::of(&index, job.module().as_os_str().as_bytes());
        let names = Names::of_backend(&own_keyed.view.integers, &outline, |module| self.seen(module, job));
        let names = names.ok_or("its index names a module that is not among its inputs")?;
        let asm_files = self.assembly_files(job, command).map_err(|why| why.to_string())?;
        let mut named = command.named_files();
        named.extend_from_slice(common.inputs);
        // What the index does not speak of is read for some other reason.
        let others = job.others().iter().filter(|path| !is_named(&outline, path));
        named.extend(others.cloned());
        let parts = ModuleParts {
            clang: common.clang,
            words: &command.fingerprint(),
            named: &named,
            launcher: common.launcher,
            post: common.post,
            module: own.digest,
            asm_files: &asm_files,
        };
        let keyed = common.cache.key(&parts, &mut |sink| {
            sink(&outline.digest);
            sink(&names.key);
        });
        let keyed = keyed.ok_or("which compiler it is, or what a file holds, cannot be told")?;
        Ok(keyed.without(&names.places))
    }

    /// What the job reads of one that its index names; none where that cannot be told.
    fn seen(&self, module: &OutlinedModule, job: &Job) -> Option<Read<'_>> {
        let found = self.get(OsStr::from_bytes(&module.path))?;
        let view = &found.keyed.as_ref()?.view;
        Some(match found.path == job.module() {
            true => Read::Whole(found.digest.to_vec(), &view.integers),
            false => Read::of(module, view, &found.digest, &found.bytes),
        })
    }
}

/// What a job's modules are called, its own first.
fn names(job: &Job) -> impl Iterator<Item = &OsStr> {
    let others = job.others().iter().map(|path| path.as_os_str());
    std::iter::once(job.module().as_os_str()).chain(others)
}

fn is_named(outline: &Outline, path: &Path) -> bool {
    let path = path.as_os_str().as_bytes();
    outline.modules.iter().any(|module| module.path == path)
}

impl Module<'_> {
    fn open(path: &Path) -> io::Result<Module<'_>> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let bytes = sys::map(&file)?;
        let keyed = ForKeys::read(&bytes);
        if let Err(error) = &keyed {
            tracing::debug!(path = %path.display(), error, "not read");
        }
        Ok(Module {
            path,
            stamp: Stamp::from_metadata(&metadata),
            digest: *blake3::hash(&bytes).as_bytes(),
            keyed: keyed.ok(),
            bytes,
        })
    }
}
