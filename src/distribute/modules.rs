//! The modules and indexes that jobs read, each file opened once however many jobs name it, and the key of each object.
//! Knows nothing of running anything.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::prelude::*;

use super::command::Command;
use super::description::{Description, Job};
use crate::backend::asm_files::{self, AsmFiles, Text};
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
struct Module {
    bytes: Mmap,
    stamp: Stamp,
    digest: [u8; 32],
    /// None where it is no bitcode that can be read: clang has the word.
    keyed: Option<ForKeys>,
}

/// Every module of the jobs, by its file.
#[derive(Debug)]
pub struct Modules<'a>(HashMap<&'a Path, Module>);

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
        let jobs = description.jobs.iter();
        let paths: BTreeSet<&Path> = jobs
            .flat_map(|job| std::iter::once(job.module()).chain(job.others().iter().map(PathBuf::as_path)))
            .collect();
        let opened = paths.into_par_iter().map(|path| {
            let module = Module::open(path).map_err(|error| (path.to_owned(), error))?;
            Ok((path, module))
        });
        Ok(Modules(opened.collect::<Result<_, _>>()?))
    }

    /// How long a job will take, by the bytes it reads: what is imported is read and its functions may be inlined, most of
    /// it is not.
    pub fn weight(&self, job: &Job) -> u64 {
        let size = |path: &Path| self.0.get(path).map_or(0, |module| module.bytes.len() as u64);
        size(job.module()) + job.others().iter().map(|path| size(path)).sum::<u64>() / 8
    }

    /// Whether what a job reads is what it was when it was opened.
    pub fn hold(&self, job: &Job) -> bool {
        let paths = std::iter::once(job.module()).chain(job.others().iter().map(PathBuf::as_path));
        let mut modules = paths.filter_map(|path| Some((path, self.0.get(path)?)));
        modules.all(|(path, module)| Stamp::of(path).is_ok_and(|stamp| stamp == module.stamp))
    }

    /// The key of a job's object.
    ///
    /// # Errors
    /// Why it must not be kept.
    pub fn key(&self, job: &Job, command: &Command, common: &Common<'_>) -> Result<Keyed, String> {
        if job.outputs.len() > 1 {
            return Err("it writes more than an object".to_owned());
        }
        let unread = || "a module cannot be read".to_owned();
        let own = self.0.get(job.module()).ok_or_else(unread)?;
        let own_keyed = own.keyed.as_ref().ok_or_else(unread)?;
        let index = fs::read(job.index()).map_err(|error| format!("its index cannot be read: {error}"))?;
        let index = Index::parse(&index).map_err(|error| format!("its index cannot be read: {error}"))?;
        let outline = Outline::of(&index, job.module().as_os_str().as_bytes());
        let names = Names::of_backend(&own_keyed.view.integers, &outline, |module| self.seen(module, job));
        let names = names.ok_or("its index names a module that is not among its inputs")?;
        let texts = self.assembly(job);
        let asm_files = match asm_files::find(&texts, Path::new(".")) {
            AsmFiles::None => Vec::new(),
            AsmFiles::Files(_) if command.searches() => return Err("its assembly's files are searched for".to_owned()),
            AsmFiles::Files(files) => files,
            AsmFiles::Undecidable(why) => return Err(why.to_string()),
        };
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

    /// The assembly of a job's module and of those it imports from, who bring theirs along.
    fn assembly(&self, job: &Job) -> Vec<&Text> {
        let paths = std::iter::once(job.module()).chain(job.others().iter().map(PathBuf::as_path));
        let keyed = paths.filter_map(|path| self.0.get(path)?.keyed.as_ref());
        keyed.flat_map(|keyed| &keyed.assembly).collect()
    }

    /// What the job reads of one that its index names; none where that cannot be told.
    fn seen(&self, module: &OutlinedModule, job: &Job) -> Option<Read<'_>> {
        let path = Path::new(std::ffi::OsStr::from_bytes(&module.path));
        let found = self.0.get(path)?;
        let view = &found.keyed.as_ref()?.view;
        Some(match path == job.module() {
            true => Read::Whole(found.digest.to_vec(), &view.integers),
            false => Read::of(module, view, &found.digest, &found.bytes),
        })
    }
}

fn is_named(outline: &Outline, path: &Path) -> bool {
    let path = path.as_os_str().as_bytes();
    outline.modules.iter().any(|module| module.path == path)
}

impl Module {
    fn open(path: &Path) -> io::Result<Module> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let bytes = sys::map(&file)?;
        let keyed = ForKeys::read(&bytes);
        if let Err(error) = &keyed {
            tracing::debug!(path = %path.display(), error, "not read");
        }
        Ok(Module {
            stamp: Stamp::from_metadata(&metadata),
            digest: *blake3::hash(&bytes).as_bytes(),
            keyed: keyed.ok(),
            bytes,
        })
    }
}
