//! The files of a link: found, opened and classified as lld would, in link order.
//! Knows nothing of what bitcode says, nor of what is done about it.

pub mod archive;
pub mod bitcode;
pub mod classify;
pub mod file;
pub mod lexer;
mod paths;
mod scan;
pub mod script;
pub mod search;
mod walk;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use thiserror::Error;

pub use archive::{ArchiveError, ArchiveMember, MemberData};
pub use bitcode::{BitcodeSource, ObjectFile, Placed};
pub use classify::FileKind;
pub use file::Stamp;
pub use lexer::ScriptError;
pub use scan::{Scan, quick_scan};

use crate::cmdline::{Invocation, Position};

/// How a file came into the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Its path stands on the command line.
    CommandLine,
    /// The command line's `-lNAME` found it; the name without `-l`.
    Library(OsString),
    /// A linker script named it: the script's path (the innermost one's, where scripts include others).
    Script(PathBuf),
}

/// One file of the link.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Index in [`Invocation::items`] of the item that brought it in.
    pub item: usize,
    /// Its path, spelled as lld spells it.
    pub path: PathBuf,
    /// How it came in.
    pub origin: Origin,
    /// The state in force, `as_needed` set inside a script's `AS_NEEDED`.
    pub position: Position,
    /// What it is.
    pub kind: FileKind,
    /// An archive's members.
    pub members: Vec<ArchiveMember>,
    /// Its bytes: of bitcode, fat objects and archives; nothing else is mapped.
    pub map: Option<Arc<Mmap>>,
    /// To notice that it changed.
    pub stamp: Stamp,
}

impl Entry {
    /// Some of its code is bitcode: its own or a member's.
    pub fn has_bitcode(&self) -> bool {
        self.kind.is_bitcode() || self.members.iter().any(|member| member.kind.is_bitcode())
    }

    /// A member's bytes; `None` for a thin archive's members without bitcode, which are not mapped.
    pub fn member_bytes<'a>(&'a self, member: &'a ArchiveMember) -> Option<&'a [u8]> {
        match &member.data {
            MemberData::Inside(range) => self.map.as_ref()?.get(range.clone()),
            MemberData::File { map, .. } => map.as_deref().map(|map| &**map),
        }
    }
}

/// A linker script that was read, named by the command line, by `-T` or by another script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its path, spelled as lld spells it.
    pub path: PathBuf,
    /// To notice that it changed.
    pub stamp: Stamp,
    /// What it says.
    pub content: ScriptContent,
}

/// What a linker script says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptContent {
    /// Which files to link, and nothing else: naming those files in its place is the same.
    InputsOnly,
    /// More: sections, symbols, an entry.
    More,
}

/// Something the link names that is not there, or cannot be looked at. A link that misses anything is the real linker's:
/// it will refuse it in its own words, or read what only can be read once.
#[derive(Debug)]
pub struct Missing {
    /// Index in [`Invocation::items`] of the item that wanted it.
    pub item: usize,
    /// What was wanted, as spelled: a path or `-lNAME`.
    pub name: OsString,
    /// Why it is not there.
    pub problem: Problem,
}

/// Why an input is missing.
#[derive(Debug, Error)]
pub enum Problem {
    /// The file cannot be opened or read.
    #[error("cannot open: {0}")]
    Open(#[from] io::Error),
    /// No directory of the search path has it.
    #[error("not found on the search path")]
    NotFound,
    /// A linker script (or what lld takes for one) makes no sense.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// It is a pipe or a device: reading it would take its contents from the real linker.
    #[error("not a regular file")]
    Stream,
    /// Linker scripts name each other without end.
    #[error("linker scripts nested too deeply")]
    Nesting,
}

/// An input that cannot be used at all; the real linker should be left to say so.
#[derive(Debug, Error)]
pub enum InputError {
    /// A damaged archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Every file of a link.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Those that could be opened, in link order. A linker script comes before the files it names.
    pub entries: Vec<Entry>,
    /// Those that could not.
    pub missing: Vec<Missing>,
    /// Every linker script read, in the order of reading; those that are inputs themselves are among `entries` too.
    pub scripts: Vec<Script>,
    /// Places looked at in vain for any of these.
    pub absent: Vec<PathBuf>,
}

impl Inputs {
    /// Opens and classifies every input, as lld's `createFiles` and `addFile` (lld/ELF/Driver.cpp) would.
    ///
    /// Errors: an archive that is damaged, or a thin one whose members cannot be read. A file that is not there is no error
    /// but recorded as [`Missing`].
    pub fn open(inv: &Invocation) -> Result<Self, InputError> {
        Self::open_with(inv, &[])
    }

    /// Opens every input, and behind them libraries that objects among them name (`.deplibs`), as lld loads those.
    ///
    /// # Errors
    /// As [`Inputs::open`].
    pub fn open_with(inv: &Invocation, dependent: &[PathBuf]) -> Result<Self, InputError> {
        walk::everything(inv, dependent)
    }

    /// The files, by their paths, that are among these names of loaded files (`--trace`) and not among the inputs.
    pub fn files_not_among(&self, loaded: &[String]) -> Vec<PathBuf> {
        let files = self
            .entries
            .iter()
            .filter(|entry| !entry.kind.is_archive())
            .map(|entry| entry.shown(None));
        let members = self.entries.iter().flat_map(|entry| {
            let members = entry.members.iter();
            members.map(|member| member.display_name(&entry.path).to_string_lossy().into_owned())
        });
        let known: HashSet<String> = files.chain(members).collect();
        let mut unknown: Vec<PathBuf> = Vec::new();
        for name in loaded.iter().filter(|name| !known.contains(*name)) {
            let archive = name.strip_suffix(')').and_then(|name| name.rsplit_once('('));
            let path = archive.map_or(name.as_str(), |(archive, _)| archive);
            if !unknown.iter().any(|known| known == Path::new(path)) {
                unknown.push(path.into());
            }
        }
        unknown
    }

    /// Whether LTO has anything to do.
    pub fn has_bitcode(&self) -> bool {
        self.entries.iter().any(Entry::has_bitcode)
    }
}

#[cfg(test)]
mod tests;
