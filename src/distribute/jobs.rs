//! The jobs of a list that lld has written, by their place in it; lld finds their objects where it wants them.
//! Knows nothing of where they run.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::command::{self, Command};
use super::description::{self, Description, Job};
use super::modules::Modules;
use super::words;
use crate::backend::away::Stays;
use crate::backend::jobs::{Called, Jobs, ModuleFile, UserFiles};
use crate::backend::launcher::Launcher;
use crate::backend::post::PostBackend;
use crate::backend::process::Backend;
use crate::bitcode::Index;
use crate::cache::{Cache, Keyed};
use crate::children::Children;
use crate::observe::timeline::Timeline;
use crate::staging::Staging;

/// Those jobs.
pub struct ListedJobs<'a> {
    /// The list.
    pub description: &'a Description,
    /// What they read.
    pub modules: &'a Modules<'a>,
    /// What clang's driver makes of each, where that could be told of all; where not, none is sent away.
    pub commands: Option<&'a [Command]>,
    /// The keys of their objects; none of those that must not be kept.
    pub keys: Vec<Option<Keyed>>,
    /// Where objects are kept, if they are.
    pub cache: Option<&'a Cache>,
    /// What they are started through.
    pub launcher: Option<&'a Launcher>,
    /// What else is done to objects.
    pub post: Option<&'a PostBackend>,
    /// Where what is sent or half made is put.
    pub staging: &'a Staging,
    /// Who knows when each ran.
    pub timeline: &'a Timeline,
    /// Our children.
    pub children: &'a Children,
}

impl ListedJobs<'_> {
    fn job(&self, at: usize) -> &Job {
        &self.description.jobs[at]
    }

    fn command(&self, at: usize) -> Option<&Command> {
        self.commands?.get(at)
    }
}

impl Jobs for ListedJobs<'_> {
    fn count(&self) -> usize {
        self.description.jobs.len()
    }

    fn shown(&self, at: usize) -> String {
        self.job(at).shown()
    }

    fn weight(&self, at: usize) -> u64 {
        self.modules.weight(self.job(at))
    }

    fn backend(&self, at: usize) -> Cow<'_, Backend> {
        let job = self.job(at);
        // Whoever is started through a launcher is so by the driver's line, which lld has written already.
        let step = match self.command(at).filter(|_| self.launcher.is_none()) {
            Some(command) => command.of(job),
            None => command::line(self.description, job),
        };
        Cow::Owned(Backend {
            steps: vec![step],
            object: job.object().to_owned(),
        })
    }

    fn object(&self, at: usize) -> &Path {
        self.job(at).object()
    }

    fn leaves_one(&self, at: usize) -> bool {
        self.job(at).outputs.len() == 1
    }

    /// They are where lld has them; only what is sent or half made needs a place.
    fn stage_modules(&self, _: &[usize]) -> Result<(), String> {
        let made = self.staging.make_module_folders();
        made.map_err(|error| format!("{}: {error}", self.staging.dir().display()))
    }

    fn stage_indexes(&self, _: &[usize]) -> Result<(), String> {
        Ok(())
    }

    fn stage_index(&self, _: usize) -> Result<(), String> {
        Ok(())
    }

    fn post(&self) -> Option<(&PostBackend, &Children)> {
        self.post.map(|post| (post, self.children))
    }

    fn keep(&self, at: usize, said: &str) {
        let job = self.job(at);
        if let (Some(cache), Some(key), Some(lasting)) = (self.cache, &self.keys[at], words::lasting(said, job))
            && self.modules.hold(job)
        {
            cache.put(key, job.object(), &[], &lasting, self.timeline.took(at));
        }
    }

    /// What is no good object lld must not find.
    fn discard(&self, at: usize) {
        let object = self.object(at);
        let removed = fs::remove_file(object);
        tracing::debug!(object = %object.display(), ?removed, "discarded");
    }

    fn are_kept(&self) -> bool {
        self.cache.is_some()
    }

    fn is_unchanged(&self, at: usize) -> bool {
        self.modules.hold(self.job(at))
    }

    fn lasting(&self, at: usize, said: &str, called: Called<'_>) -> Option<String> {
        words::lasting(said, self.job(at)).map(|said| words::naming(&said, called))
    }

    fn user_files(&self, at: usize) -> Result<UserFiles<'_>, Stays> {
        let (job, Some(command)) = (self.job(at), self.command(at)) else {
            return Err(Stays::Unlisted);
        };
        if !self.leaves_one(at) {
            return Err(Stays::SideOutputs);
        }
        if command.odd_option().is_some() {
            return Err(Stays::OptionOfFiles);
        }
        let assembly = self.modules.assembly_files(job, command)?;
        // In the order of the words, which is the same in any checkout.
        let mut named = command.named_files();
        // Nobody can tell a file that no word names to be looked for elsewhere.
        let inputs = &self.description.common.inputs;
        if inputs.iter().any(|path| path.is_absolute() && !named.contains(path)) {
            return Err(Stays::Unlisted);
        }
        named.extend_from_slice(inputs);
        named.extend(command.named_folders());
        let mut seen = HashSet::new();
        named.retain(|path| seen.insert(path.clone()));
        Ok(UserFiles {
            assembly: assembly.into(),
            options: named.into(),
        })
    }

    fn reads(&self, at: usize) -> Vec<usize> {
        self.modules.read_by(self.job(at))
    }

    fn own(&self, at: usize) -> usize {
        let own = self.modules.number(self.job(at).module().as_os_str());
        own.unwrap_or_default()
    }

    fn module_file(&self, module: usize) -> io::Result<ModuleFile<'_>> {
        let path = self.modules.path(module);
        Ok(ModuleFile {
            path: path.into(),
            passing: description::member(path).map(|_| self.modules.bytes(module)),
        })
    }

    fn module_name(&self, module: usize) -> &[u8] {
        self.modules.path(module).as_os_str().as_bytes()
    }

    fn module_here(&self, module: usize) -> Cow<'_, Path> {
        self.modules.path(module).into()
    }

    fn index_here(&self, at: usize) -> Cow<'_, Path> {
        self.job(at).index().into()
    }

    fn index(&self, at: usize, call: &dyn Fn(&[u8]) -> Option<Vec<u8>>) -> Result<Vec<u8>, Stays> {
        let index = fs::read(self.job(at).index()).map_err(|_| Stays::Unreadable)?;
        let mut index = Index::parse(&index).map_err(|_| Stays::Unreadable)?;
        // What it does not speak of is read for some other reason, and by its own name.
        let mut unnamed: HashSet<usize> = self.reads(at).into_iter().collect();
        unnamed.remove(&self.own(at));
        let mut is_listed = true;
        index.rename_modules(|name| {
            if let Some(number) = self.modules.number(OsStr::from_bytes(name)) {
                unnamed.remove(&number);
            }
            call(name).unwrap_or_else(|| {
                is_listed = false;
                name.to_vec()
            })
        });
        match is_listed && unnamed.is_empty() {
            true => Ok(index.write()),
            false => Err(Stays::Unlisted),
        }
    }

    fn steps(&self, at: usize, called: Called<'_>) -> Vec<Vec<OsString>> {
        let command = self.command(at).map(|command| command.away(called));
        command.into_iter().collect()
    }
}
