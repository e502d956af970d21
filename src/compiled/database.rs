//! A JSON compilation database (<https://clang.llvm.org/docs/JSONCompilationDatabase.html>), by the objects it is about.
//! Knows nothing of who wrote it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Compiled, Look, Unknown, options};
use crate::final_link::dependencies::without_dots;
use crate::inputs::{ObjectFile, Placed};
use crate::shell;
use crate::stamp::Stamp;

/// Why a database is none.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be read.
    #[error("{}: cannot read the compilation database: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// It is not what the format wants.
    #[error("{}: no compilation database: {}", .0.display(), .1)]
    Format(PathBuf, serde_json::Error),
    /// An entry has no command.
    #[error("{}: no compilation database: the entry for {} has neither arguments nor a command", .0.display(), .1)]
    NoCommand(PathBuf, String),
}

#[derive(Deserialize)]
struct Written {
    directory: PathBuf,
    file: PathBuf,
    arguments: Option<Vec<String>>,
    command: Option<String>,
    output: Option<PathBuf>,
}

/// A database that was read.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// By the object's path, absolute and without dots. Several for one object where they differ.
    by_object: HashMap<PathBuf, Vec<Result<Compiled, Unknown>>>,
}

impl Database {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It is no compilation database.
    pub(super) fn read(path: &Path) -> Result<Database, DatabaseError> {
        let stamp = Stamp::of(path).ok();
        let bytes = std::fs::read(path).map_err(|error| DatabaseError::File(path.to_owned(), error))?;
        let written: Vec<Written> =
            serde_json::from_slice(&bytes).map_err(|error| DatabaseError::Format(path.to_owned(), error))?;
        let mut folders: HashMap<PathBuf, PathBuf> = HashMap::new();
        let mut by_object: HashMap<PathBuf, Vec<Result<Compiled, Unknown>>> = HashMap::new();
        for entry in written {
            // Linked folders have two names, and a linker's working folder is known by the one it really has.
            let real = |dir: &PathBuf| std::fs::canonicalize(dir).unwrap_or_else(|_| dir.clone());
            let dir = folders.entry(entry.directory.clone()).or_insert_with_key(real).clone();
            let words = words(&entry, path)?;
            let object = entry
                .output
                .clone()
                .or_else(|| options::output(&words).map(Path::to_owned));
            let object = object.unwrap_or_else(|| by_file_name(&entry.file));
            let compiled = match options::behind_compiler(&words) {
                None => Err(Unknown::NotCompiled(path.to_owned())),
                Some(rest) => options::of(rest).map(|options| Compiled {
                    options,
                    dir: dir.clone(),
                }),
            };
            let entries = by_object.entry(without_dots(&dir.join(object))).or_default();
            if !entries.contains(&compiled) {
                entries.push(compiled);
            }
        }
        Ok(Database {
            path: path.to_owned(),
            stamp,
            by_object,
        })
    }

    /// The file, as it was when it was read.
    pub(super) fn look(&self) -> Look {
        (self.path.clone(), self.stamp)
    }

    pub(super) fn of_object(&self, object: &ObjectFile) -> Result<Compiled, Unknown> {
        if object.place == Placed::InArchive {
            return self.by_name(object.path.file_name());
        }
        let absolute = std::env::current_dir().map(|cwd| without_dots(&cwd.join(&object.path)));
        let absolute = absolute.unwrap_or_else(|_| object.path.clone());
        let found = self.by_object.get(&absolute);
        let found = found.or_else(|| self.by_object.get(&std::fs::canonicalize(&absolute).ok()?));
        match found.map(Vec::as_slice) {
            Some([only]) => only.clone(),
            Some(_) => Err(Unknown::Ambiguous(self.path.clone())),
            None => Err(Unknown::NotCompiled(self.path.clone())),
        }
    }

    /// The only object of this file name.
    fn by_name(&self, name: Option<&OsStr>) -> Result<Compiled, Unknown> {
        let mut named = self.by_object.iter().filter(|(object, _)| object.file_name() == name);
        match (named.next().map(|(_, entries)| entries.as_slice()), named.next()) {
            (Some([only]), None) => only.clone(),
            _ => Err(Unknown::Member(self.path.clone())),
        }
    }
}

/// An entry's words, compiler and all.
fn words(entry: &Written, path: &Path) -> Result<Vec<OsString>, DatabaseError> {
    let no_command = || DatabaseError::NoCommand(path.to_owned(), entry.file.display().to_string());
    match (&entry.arguments, &entry.command) {
        (Some(arguments), _) => Ok(arguments.iter().map(OsString::from).collect()),
        (None, Some(command)) => shell::commands(command.as_bytes())
            .and_then(|commands| commands.into_iter().next())
            .ok_or_else(no_command),
        (None, None) => Err(no_command()),
    }
}

/// What clang calls the object of a file where nobody says: the file's name, in the working folder.
fn by_file_name(file: &Path) -> PathBuf {
    Path::new(file.file_name().unwrap_or_default()).with_extension("o")
}
