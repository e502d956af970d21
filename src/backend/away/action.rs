//! One backend as an action of remote execution: its module, its index, what it imports from and the files those pull in,
//! under names that are the same on any machine and in any checkout. Knows nothing of servers or of what runs actions, nor of
//! who asks for the backend.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{self, Files};
use crate::backend::jobs::{Called, Jobs};
use crate::names::Names;
use crate::remote::compiler::{self, Compiler};
use crate::remote::tree::{Access, Tree, TreeError};
use crate::remote::{Blob, Digest, Source, api};
use crate::staging::Staging;
use crate::stamp::Stamp;

/// The folder of an action's tree that everything of ours is in, as seen from where its command runs. The user's own files
/// are beside it.
const FOLDER: &str = ".thinlto-ld/";
const INDEX: &str = ".thinlto-ld/index.thinlto.bc";
/// The object, which is all that an action makes.
pub(in crate::backend) const OBJECT: &str = ".thinlto-ld/object.o";

/// What every action of a link is made with.
#[derive(Clone, Copy)]
pub(in crate::backend) struct Making<'a> {
    pub(in crate::backend) jobs: &'a dyn Jobs,
    /// Where indexes are kept until they are sent.
    pub(in crate::backend) staging: &'a Staging,
    pub(in crate::backend) compiler: &'a Compiler,
    /// What a worker must be, in the order of the names.
    pub(in crate::backend) platform: &'a [(String, String)],
    /// The SHA256 and size of a file's content, and the stamp it was read under.
    pub(in crate::backend) digest: &'a (dyn Fn(&Path) -> io::Result<(Digest, Stamp)> + Sync),
    /// Of every module that any of them reads.
    pub(in crate::backend) modules: &'a HashMap<usize, Digest>,
}

/// A backend that can be sent away.
#[derive(Clone, Debug)]
pub(in crate::backend) struct Action {
    pub(in crate::backend) digest: Digest,
    /// The files that are neither modules nor the compiler's, each with the stamp it was read under; none where there is none.
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// What it calls them, where that is not what the user does.
    aliases: Vec<(String, PathBuf)>,
}

/// Why a backend stays here: counted by name.
#[derive(Debug, thiserror::Error)]
pub enum Stays {
    /// Which files its assembly reads nobody can tell.
    #[error("{0}")]
    Assembly(&'static str),
    /// Its options name folders in which its assembly's files are looked for.
    #[error("asm-searched")]
    Searched,
    /// A file must be found at a place that only this machine has.
    #[error("absolute-path")]
    AbsolutePath,
    /// A file's name leads through a folder and out of it again, or names a folder.
    #[error("odd-path")]
    OddPath,
    /// A name is no UTF-8, which the API wants.
    #[error("name-not-utf8")]
    NotUtf8,
    /// It saves stages of its module.
    #[error("save-temps")]
    SaveTemps,
    /// It writes other files beside its object.
    #[error("side-outputs")]
    SideOutputs,
    /// An option may leave a file of its own, or load one that needs others.
    #[error("option-of-files")]
    OptionOfFiles,
    /// What it is said to read is not what its index and its command name.
    #[error("unlisted-input")]
    Unlisted,
    /// Something cannot be read; its run here will say so.
    #[error("unreadable")]
    Unreadable,
}

impl From<TreeError> for Stays {
    fn from(_: TreeError) -> Stays {
        Stays::OddPath
    }
}

impl Making<'_> {
    /// What of the user's these backends read: sent once, however many read it.
    pub(in crate::backend) fn modules(&self, ats: impl IntoIterator<Item = usize>) -> Vec<Blob> {
        let reads: BTreeSet<usize> = ats.into_iter().flat_map(|at| self.jobs.reads(at)).collect();
        let blob = |read: usize| {
            let file = self.jobs.module_file(read).ok()?;
            Some(Blob {
                digest: *self.modules.get(&read)?,
                source: Source::File(file.path.into_owned()),
            })
        };
        reads.into_iter().filter_map(blob).collect()
    }

    /// The action of module `at` and all its blobs but the compiler's and those of modules.
    pub(in crate::backend) fn action(&self, at: usize) -> Result<(Action, Vec<Blob>), Stays> {
        let mut files = files::find(&self.jobs.user_files(at)?, self.digest)?;
        let reads = self.jobs.reads(at);
        let at_home = |name: &str| format!("{}{name}", files.home);
        let (mut tree, mut blobs) = (Tree::default(), std::mem::take(&mut files.blobs));
        for (name, digest) in &files.tree {
            tree.add(name, *digest, Access::Read)?;
        }
        for (number, read) in reads.iter().enumerate() {
            let digest = *self.modules.get(read).ok_or(Stays::Unreadable)?;
            tree.add(&at_home(&module(number)), digest, Access::Read)?;
        }
        let index = self.index(at, &reads)?;
        tree.add(&at_home(INDEX), index.digest, Access::Read)?;
        blobs.push(index);
        tree.graft(&at_home(compiler::FOLDER), self.compiler.root)?;
        let packed = tree.pack();
        blobs.extend(packed.folders);
        let own = self.jobs.own(at);
        let own = reads.iter().position(|read| *read == own).unwrap_or_default();
        let command = self.command(&self.steps(at, own, &files)?, &files);
        let command = Blob::of_message(&command);
        let action = Blob::of_message(&api::Action {
            command_digest: Some(command.digest.to_message()),
            input_root_digest: Some(packed.root.to_message()),
            salt: self.compiler.salt.clone(),
            platform: platform(self.platform),
            ..api::Action::default()
        });
        let digest = action.digest;
        blobs.extend([command, action]);
        Ok((
            Action {
                digest,
                files: files.stamps,
                aliases: files.aliases,
            },
            blobs,
        ))
    }

    /// The module's index, kept in a file until it is sent: there may be ten thousand.
    fn index(&self, at: usize, reads: &[usize]) -> Result<Blob, Stays> {
        let numbers = reads.iter().enumerate();
        let numbers: HashMap<&[u8], usize> = numbers
            .map(|(number, read)| (self.jobs.module_name(*read), number))
            .collect();
        let index = self
            .jobs
            .index(at, &|name| numbers.get(name).map(|number| module(*number).into_bytes()))?;
        let path = self.staging.index_away(at);
        fs::write(&path, &index).map_err(|_| Stays::Unreadable)?;
        Ok(Blob {
            digest: Digest::of(&index),
            source: Source::File(path),
        })
    }

    fn steps(&self, at: usize, own: usize, files: &Files) -> Result<Vec<Vec<String>>, Stays> {
        let module = module(own);
        let steps = self.jobs.steps(at, called(&module));
        let words = |step: Vec<OsString>| step.into_iter().map(|word| files.word(word)).collect();
        steps.into_iter().map(words).collect()
    }

    #[allow(
        deprecated,
        reason = "servers of REAPI 2.0 look for output_files and for the platform here"
    )]
    fn command(&self, steps: &[Vec<String>], files: &Files) -> api::Command {
        let environment = self.compiler.environment.iter();
        api::Command {
            arguments: self.compiler.command(OBJECT, steps),
            environment_variables: environment
                .map(|(name, value)| api::command::EnvironmentVariable {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
            output_files: vec![OBJECT.to_owned()],
            output_paths: vec![OBJECT.to_owned()],
            platform: platform(self.platform),
            working_directory: files.home.trim_end_matches('/').to_owned(),
            ..api::Command::default()
        }
    }
}

/// What a worker must be; the setting has it in the order that the API wants.
pub(super) fn platform(properties: &[(String, String)]) -> Option<api::Platform> {
    let properties = properties.iter().map(|(name, value)| api::platform::Property {
        name: name.clone(),
        value: value.clone(),
    });
    let properties: Vec<_> = properties.collect();
    (!properties.is_empty()).then_some(api::Platform { properties })
}

impl Action {
    /// Whether the files are what they were when the action was made: an object compiled from others is not this one's.
    pub(in crate::backend) fn holds(&self) -> bool {
        self.files.iter().all(|(path, stamp)| Stamp::of(path).ok() == *stamp)
    }

    /// What it said, as job `at` run here would have.
    pub(in crate::backend) fn said_here(&self, said: &str, at: usize, jobs: &dyn Jobs) -> String {
        if !said.contains(FOLDER) {
            return said.to_owned();
        }
        let mut names = Names::new(FOLDER.to_owned());
        let mut called = |name: &str, path: Cow<'_, Path>| {
            let name = name.strip_prefix(FOLDER).unwrap_or(name);
            names.insert(name.to_owned(), path.to_string_lossy().into_owned());
        };
        for (number, read) in jobs.reads(at).into_iter().enumerate() {
            called(&module(number), jobs.module_here(read));
        }
        called(INDEX, jobs.index_here(at));
        called(OBJECT, jobs.object(at).into());
        for (name, path) in &self.aliases {
            called(name, path.into());
        }
        names.translate(said)
    }
}

/// What job `at` said here, as its action would have; none where it names what only exists here.
pub(super) fn said_away(jobs: &dyn Jobs, at: usize, said: &str) -> Option<String> {
    let own = jobs.own(at);
    let number = jobs.reads(at).iter().position(|read| *read == own);
    let module = module(number.unwrap_or_default());
    jobs.lasting(at, said, called(&module))
}

fn called(module: &str) -> Called<'_> {
    Called {
        module: Path::new(module),
        index: Path::new(INDEX),
        object: Path::new(OBJECT),
    }
}

/// What the `number`th of an action's modules is called, in the order in which in-process lld has them: clang imports in
/// the order of names. Counted within the action, so that a module elsewhere in the link changes none of them.
fn module(number: usize) -> String {
    format!("{FOLDER}m/{number:05}")
}
