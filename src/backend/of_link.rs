//! The jobs of a link: the modules of its plan, prepared, by their place in it.
//! Knows nothing of where they run.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::asm_files::AsmFiles;
use super::away::Stays;
use super::flags::JobFiles;
use super::jobs::{Called, Jobs, ModuleFile, UserFiles};
use super::launcher::Launcher;
use super::post::PostBackend;
use super::prepare::{self, Prepared};
use super::process::Backend;
use super::{Backends, OBJECT};
use crate::children::Children;
use crate::observe::stats;
use crate::staging::Staging;

/// Those jobs.
pub(super) struct LinkJobs<'a> {
    link: &'a Backends<'a>,
    prepared: &'a [Prepared],
    /// Every module's rank, by its name in indexes; only what runs here asks.
    ranks: OnceLock<HashMap<&'a [u8], usize>>,
}

impl<'a> LinkJobs<'a> {
    pub(super) fn new(link: &'a Backends<'a>, prepared: &'a [Prepared]) -> LinkJobs<'a> {
        LinkJobs {
            link,
            prepared,
            ranks: OnceLock::new(),
        }
    }

    /// What those that wait are started through, where clang's driver makes of every target among them what it should.
    pub(super) fn launcher(&self, waiting: &[usize], counts: &mut stats::Backends) -> Option<Launcher> {
        let launcher = self.link.launcher.filter(|_| !waiting.is_empty())?;
        let mut asked = HashSet::new();
        for module in waiting.iter().map(|at| &self.prepared[*at]) {
            // One question a command: modules differ by target, and by their own options.
            if !asked.insert(module.kind()) {
                continue;
            }
            if let Err(why) = launcher.suits(self.link.clang, &module.backend) {
                tracing::warn!("{why}: backends are not started through {}", launcher.text());
                counts.launcher_off = Some(why);
                return None;
            }
        }
        Some(launcher.clone())
    }

    fn ranks(&self) -> &HashMap<&'a [u8], usize> {
        self.ranks.get_or_init(|| prepare::ranks(self.link))
    }

    fn rank(&self, module: usize) -> usize {
        self.link.plan.modules[module].rank
    }
}

impl Jobs for LinkJobs<'_> {
    fn count(&self) -> usize {
        self.prepared.len()
    }

    fn shown(&self, at: usize) -> String {
        self.link.plan.modules[at].shown()
    }

    fn weight(&self, at: usize) -> u64 {
        self.prepared[at].weight
    }

    fn backend(&self, at: usize) -> Cow<'_, Backend> {
        Cow::Borrowed(&self.prepared[at].backend)
    }

    fn object(&self, at: usize) -> &Path {
        self.prepared[at].object.path()
    }

    fn leaves_one(&self, at: usize) -> bool {
        let module = &self.prepared[at];
        module.stages.is_empty() && module.sides.is_empty()
    }

    fn stage_modules(&self, running: &[usize]) -> Result<(), String> {
        prepare::stage_modules(self.link, self.prepared, running).map_err(|error| error.to_string())
    }

    fn stage_indexes(&self, running: &[usize]) -> Result<(), String> {
        prepare::stage_indexes(self.link, self.prepared, running, self.ranks()).map_err(|error| error.to_string())
    }

    fn stage_index(&self, at: usize) -> Result<(), String> {
        prepare::stage_index(self.link, self.prepared, at, self.ranks()).map_err(|error| error.to_string())
    }

    fn post(&self) -> Option<(&PostBackend, &Children)> {
        self.link.post.map(|post| (post, self.link.children))
    }

    fn keep(&self, at: usize, said: &str) {
        let module = &self.prepared[at];
        if let (Some(cache), Some(keyed)) = (self.link.cache, &module.key)
            && self.is_unchanged(at)
        {
            let object = module.object.path();
            match lasting(self.link.staging, said, object, OBJECT) {
                Some(said) => cache.put(keyed, object, &module.sides, &said, self.link.timeline.took(at)),
                None => tracing::debug!("not kept: it said where it is compiled: {said}"),
            }
        }
    }

    /// It is in a folder of ours, and nobody looks for it there.
    fn discard(&self, _: usize) {}

    fn are_kept(&self) -> bool {
        self.link.cache.is_some()
    }

    fn is_unchanged(&self, at: usize) -> bool {
        let reads = self.prepared[at].reads.iter();
        let mut sources = reads.map(|read| self.link.plan.modules[*read].source);
        sources.all(|source| self.link.inputs.change(source).is_none())
    }

    fn lasting(&self, at: usize, said: &str, called: Called<'_>) -> Option<String> {
        lasting(
            self.link.staging,
            said,
            self.object(at),
            &called.object.to_string_lossy(),
        )
    }

    fn user_files(&self, at: usize) -> Result<UserFiles<'_>, Stays> {
        let module = &self.prepared[at];
        let assembly: &[PathBuf] = match &module.assembly {
            AsmFiles::Undecidable(why) => return Err(Stays::Assembly(why.name())),
            AsmFiles::Files(files) => files,
            AsmFiles::None => &[],
        };
        match module {
            Prepared { stages, .. } if !stages.is_empty() => Err(Stays::SaveTemps),
            Prepared { sides, .. } if !sides.is_empty() => Err(Stays::SideOutputs),
            _ => Ok(UserFiles {
                assembly: assembly.into(),
                options: module.flags.input_files().into(),
            }),
        }
    }

    fn reads(&self, at: usize) -> Vec<usize> {
        let mut reads = self.prepared[at].reads.clone();
        reads.sort_by_key(|read| self.rank(*read));
        reads
    }

    fn own(&self, at: usize) -> usize {
        at
    }

    fn module_file(&self, module: usize) -> io::Result<ModuleFile<'_>> {
        let module = &self.link.plan.modules[module];
        let path = prepare::module_file(module, self.link)?;
        // What is put into our own folder is another file every time.
        let passing = match path.starts_with(self.link.staging.dir()) {
            true => Some(self.link.inputs.bitcode(module.source)?),
            false => None,
        };
        Ok(ModuleFile {
            path: path.into(),
            passing,
        })
    }

    fn module_name(&self, module: usize) -> &[u8] {
        self.link.plan.modules[module].name.as_bytes()
    }

    fn module_here(&self, module: usize) -> Cow<'_, Path> {
        self.link.staging.module(self.rank(module)).into()
    }

    fn index_here(&self, at: usize) -> Cow<'_, Path> {
        self.link.staging.index(self.rank(at)).into()
    }

    fn index(&self, at: usize, call: &dyn Fn(&[u8]) -> Option<Vec<u8>>) -> Result<Vec<u8>, Stays> {
        prepare::index(self.link, at, &self.prepared[at], call).map_err(|_| Stays::Unreadable)
    }

    fn steps(&self, at: usize, called: Called<'_>) -> Vec<Vec<OsString>> {
        let module = &self.prepared[at];
        let files = JobFiles {
            module: called.module,
            index: called.index,
            object: called.object,
            intermediate: &prepare::intermediate(called.index),
            // Only files beside the object are called by it.
            task: 0,
        };
        // When it was away is told by the clock here.
        module.flags.untraced().steps(&module.target, &files)
    }
}

/// What a backend said, as it is true of a later link too: `called` for its object. None where it names another file that
/// only exists in this one.
fn lasting(staging: &Staging, stderr: &str, object: &Path, called: &str) -> Option<String> {
    let said = stderr.replace(&*object.to_string_lossy(), called);
    let here = [staging.dir(), staging.indexes()];
    let is_lasting = here.iter().all(|dir| !said.contains(&*dir.to_string_lossy()));
    is_lasting.then_some(said)
}
