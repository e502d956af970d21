//! Backends as whoever runs them sees them: jobs by number, each with a command for this machine and with what an action for
//! another is made of. Knows nothing of who asks for them, a link or the list of a distributor.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::away::{Stays, Whose};
use super::post::PostBackend;
use super::process::{Backend, Failure};
use crate::children::Children;

/// What a job's own files are called.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a> {
    /// The module.
    pub module: &'a Path,
    /// Its index.
    pub index: &'a Path,
    /// The object.
    pub object: &'a Path,
}

/// Where a module's bytes are.
#[derive(Debug)]
pub struct ModuleFile<'a> {
    /// A file that has them and nothing else.
    pub path: Cow<'a, Path>,
    /// Themselves, where that file is another one every time, of which nothing is to be remembered.
    pub passing: Option<&'a [u8]>,
}

/// The user's files that a backend reads besides modules, as it spells them.
#[derive(Debug, Default)]
pub struct UserFiles<'a> {
    /// Those that its assembly may pull in.
    pub assembly: Cow<'a, [PathBuf]>,
    /// Those that its options name.
    pub options: Cow<'a, [PathBuf]>,
}

/// The backends of one link, by number; the modules they read have numbers of their own.
pub trait Jobs: Sync {
    /// How many there are.
    fn count(&self) -> usize;
    /// Its module, as the user calls it.
    fn shown(&self, at: usize) -> String;
    /// How long it will take, by the bytes it reads.
    fn weight(&self, at: usize) -> u64;
    /// What is run here.
    fn backend(&self, at: usize) -> Cow<'_, Backend>;
    /// Where its object goes.
    fn object(&self, at: usize) -> &Path;
    /// Whether that is all it leaves, by a path that can be another.
    fn leaves_one(&self, at: usize) -> bool;

    /// Puts the modules that these read where their commands expect them.
    ///
    /// # Errors
    /// A text for people: what cannot be put where.
    fn stage_modules(&self, running: &[usize]) -> Result<(), String>;
    /// The same of their indexes.
    ///
    /// # Errors
    /// As [`Jobs::stage_modules`].
    fn stage_indexes(&self, running: &[usize]) -> Result<(), String>;
    /// The same of the index of one, while others run.
    ///
    /// # Errors
    /// As [`Jobs::stage_modules`].
    fn stage_index(&self, at: usize) -> Result<(), String>;

    /// What is run on each object, and whose child it is.
    fn post(&self) -> Option<(&PostBackend, &Children)>;
    /// Keeps its object, of which `said` is to be said again, if that is still of what its key is of.
    fn keep(&self, at: usize, said: &str);
    /// Its object is in its place: does to it what is to be done, and keeps it if it is of the clang here. What there is to
    /// be said.
    ///
    /// # Errors
    /// What is done to it fails.
    fn done(&self, at: usize, mut said: String, whose: Whose) -> Result<String, Failure> {
        if let Some((post, children)) = self.post() {
            let done = post.run(self.object(at), children);
            said.push_str(&done.inspect_err(|_| self.discard(at))?);
        }
        if whose == Whose::Ours {
            self.keep(at, &said);
        }
        Ok(said)
    }
    /// It has failed: what may be in its object's place is none.
    fn discard(&self, at: usize);
    /// Whether objects are kept on this machine.
    fn are_kept(&self) -> bool;
    /// Whether the modules it reads are still what they were when they were read first.
    fn is_unchanged(&self, at: usize) -> bool;
    /// What it said here, as it is true of any link: with these names for its own files. None where it names what only exists in
    /// this one.
    fn lasting(&self, at: usize, said: &str, called: Called<'_>) -> Option<String>;

    /// The user's files that it reads.
    ///
    /// # Errors
    /// It stays here: why.
    fn user_files(&self, at: usize) -> Result<UserFiles<'_>, Stays>;
    /// The modules it reads, in the order of the names that its linker has for them: clang imports in that order.
    fn reads(&self, at: usize) -> Vec<usize>;
    /// Its own among them.
    fn own(&self, at: usize) -> usize;
    /// Where a module's bytes are.
    ///
    /// # Errors
    /// As the file system says.
    fn module_file(&self, module: usize) -> io::Result<ModuleFile<'_>>;
    /// What indexes call a module.
    fn module_name(&self, module: usize) -> &[u8];
    /// What a backend here calls it.
    fn module_here(&self, module: usize) -> Cow<'_, Path>;
    /// What a backend here calls its index.
    fn index_here(&self, at: usize) -> Cow<'_, Path>;
    /// The bytes of its index, in which `call` calls modules what they are called now.
    ///
    /// # Errors
    /// It stays here: why.
    fn index(&self, at: usize, call: &dyn Fn(&[u8]) -> Option<Vec<u8>>) -> Result<Vec<u8>, Stays>;
    /// Its steps where its own files are called so, from `-cc1` on and without what only serves this machine.
    fn steps(&self, at: usize, called: Called<'_>) -> Vec<Vec<OsString>>;
}
