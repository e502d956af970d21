//! Where `-l` and linker scripts look for a file, as lld's `DriverUtils.cpp` does, with the found path spelled as lld composes it.
//! Knows nothing of what a file contains, nor of where in the command line a name stood.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Access, access};

use super::paths;
use crate::cmdline::{Invocation, OutputKind, Position};

/// The search path of a link: every `-L` in order, then what `SEARCH_DIR` of linker scripts adds as they are read.
#[derive(Clone, Debug)]
pub struct Search {
    directories: Vec<PathBuf>,
    sysroot: PathBuf,
    /// `-r` implies `-Bstatic`, and `-Bdynamic` does not undo it (lld `createFiles`).
    always_static: bool,
    /// `-nostdlib` makes `SEARCH_DIR` say nothing (lld `ScriptParser::readSearchDir`).
    script_directories: ScriptDirectories,
    /// Where there was nothing: a file that appears there would be found before the one that was.
    misses: Arc<Mutex<Vec<PathBuf>>>,
}

/// Whether `SEARCH_DIR` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScriptDirectories {
    Used,
    Ignored,
}

impl Search {
    /// The search path before any linker script was read.
    pub fn new(inv: &Invocation) -> Self {
        let nostdlib = inv.has("nostdlib");
        Self {
            directories: inv.search_paths.clone(),
            sysroot: inv.sysroot.clone().unwrap_or_default(),
            always_static: inv.kind == OutputKind::Relocatable,
            script_directories: if nostdlib {
                ScriptDirectories::Ignored
            } else {
                ScriptDirectories::Used
            },
            misses: Arc::default(),
        }
    }

    /// Every place looked at in vain, so far.
    pub fn misses(&self) -> Vec<PathBuf> {
        self.misses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `sys::fs::exists`.
    pub(super) fn exists(&self, path: &Path) -> bool {
        let found = access(path, Access::EXISTS).is_ok();
        if !found {
            let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
            misses.push(path.to_owned());
        }
        found
    }

    /// `--sysroot`, empty where none was given.
    pub fn sysroot(&self) -> &Path {
        &self.sysroot
    }

    /// A script's `SEARCH_DIR(directory)`.
    pub fn add_directory(&mut self, directory: &OsStr) {
        if self.script_directories == ScriptDirectories::Used {
            self.directories.push(directory.into());
        }
    }

    /// `-lNAME` or `-l:FILE`, without the `-l` (lld `searchLibrary`, `searchLibraryBaseName`): in each directory
    /// `libNAME.so` (unless only archives are wanted) goes before `libNAME.a`.
    pub fn library(&self, name: &OsStr, position: Position) -> Option<PathBuf> {
        if let Some(file) = name.as_bytes().strip_prefix(b":") {
            return self.in_directories(file);
        }
        let suffixes: &[&[u8]] = if position.prefer_static || self.always_static {
            &[b".a"]
        } else {
            &[b".so", b".a"]
        };
        let files: Vec<Vec<u8>> = suffixes
            .iter()
            .map(|suffix| [b"lib", name.as_bytes(), suffix].concat())
            .collect();
        self.directories
            .iter()
            .find_map(|directory| files.iter().find_map(|file| self.in_directory(directory, file)))
    }

    /// A linker script named by `-T` or `INCLUDE` (lld `searchScript`): as it is, else along the search path.
    pub fn script(&self, name: &OsStr) -> Option<PathBuf> {
        if self.exists(Path::new(name)) {
            Some(name.into())
        } else {
            self.in_directories(name.as_bytes())
        }
    }

    /// A file along the search path (lld `findFromSearchPaths`).
    pub fn file(&self, name: &OsStr) -> Option<PathBuf> {
        self.in_directories(name.as_bytes())
    }

    fn in_directories(&self, file: &[u8]) -> Option<PathBuf> {
        self.directories
            .iter()
            .find_map(|directory| self.in_directory(directory, file))
    }

    /// lld `findFile`: a leading `=` of the directory stands for the sysroot. (GNU ld's `$SYSROOT` means nothing to lld.)
    fn in_directory(&self, directory: &Path, file: &[u8]) -> Option<PathBuf> {
        let directory = directory.as_os_str().as_bytes();
        let path = match directory.strip_prefix(b"=") {
            Some(rest) => paths::join(&[self.sysroot.as_os_str().as_bytes(), rest, file]),
            None => paths::join(&[directory, file]),
        };
        self.exists(&path).then_some(path)
    }
}

/// `prefix` and `rest` as one name.
pub(super) fn concat(prefix: &OsStr, rest: &[u8]) -> OsString {
    let mut name = prefix.to_os_string();
    name.push(OsStr::from_bytes(rest));
    name
}
