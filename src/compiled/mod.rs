//! How each object was compiled: the command that made it, as the build system wrote it down, and the options in it.
//! Knows nothing of what a backend does with options, nor of links.

mod database;
mod kbuild;
mod options;
mod recipe;

use std::path::PathBuf;

use crate::inputs::{ObjectFile, Placed};
use crate::settings::FlagsFrom;
use crate::stamp::Stamp;
use database::Database;
pub use database::DatabaseError;
pub use recipe::Recipe;

/// What is known of the commands that made a link's objects.
#[derive(Debug)]
pub enum Commands {
    /// Kbuild's, each in a file beside its object; with the recipe that runs now, whose object has no such file yet.
    Kbuild(Recipe),
    /// Those of a compilation database.
    Database(Database),
}

/// How one object was compiled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compiled {
    /// The compiler's options, but for those that name inputs and outputs or are only for preprocessor and diagnostics.
    pub options: Vec<String>,
    /// The folder that names in them are relative to.
    pub dir: PathBuf,
}

/// Why it is not known how an object was compiled. People read it after the object's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No such file.
    #[error("there is no {}", .0.display())]
    NoFile(PathBuf),
    /// It is there and cannot be read.
    #[error("{}: {}", .0.display(), .1)]
    Unreadable(PathBuf, String),
    /// The object was compiled again since it was written.
    #[error("{} is older than the object", .0.display())]
    Older(PathBuf),
    /// What was found compiles nothing: the object was linked, or comes from elsewhere.
    #[error("{} has no command that compiles it", .0.display())]
    NotCompiled(PathBuf),
    /// A quote is not closed.
    #[error("{} has a command that ends within quotes", .0.display())]
    Quotes(PathBuf),
    /// Two entries say different things.
    #[error("{} has entries for it with different options", .0.display())]
    Ambiguous(PathBuf),
    /// An archive has it, and no file tells where it was.
    #[error("an archive holds it, and {} has no object of that name, or several", .0.display())]
    Member(PathBuf),
    /// An archive has it, and nothing is beside it.
    #[error("an archive holds it, so that no .cmd file is beside it")]
    InArchive,
    /// Options in a file of their own.
    #[error("its command reads options from {0}")]
    ResponseFile(String),
    /// An option is no text.
    #[error("its command is not UTF-8")]
    NotText,
}

/// A file that was looked at, and what it was then; none where it was not there.
pub type Look = (PathBuf, Option<Stamp>);

impl Commands {
    /// Those that the setting names; none where the link's own options are all there is.
    ///
    /// # Errors
    /// The compilation database cannot be read.
    pub fn of(from: &FlagsFrom) -> Result<Option<Commands>, DatabaseError> {
        match from {
            FlagsFrom::Link => Ok(None),
            FlagsFrom::Kbuild => Ok(Some(Commands::Kbuild(Recipe::running()))),
            FlagsFrom::CompileCommands(path) => Ok(Some(Commands::Database(Database::read(path)?))),
        }
    }

    /// How the object at `path` was compiled, with the files that were looked at to tell.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn of_object(&self, object: &ObjectFile) -> (Result<Compiled, Unknown>, Vec<Look>) {
        match self {
            // The archives of Kbuild are thin: their members are files.
            Commands::Kbuild(_) if object.place == Placed::InArchive => (Err(Unknown::InArchive), Vec::new()),
            Commands::Kbuild(recipe) => match recipe.compiles(&object.path) {
                Some(words) => (kbuild::of(words), Vec::new()),
                None => kbuild::saved(&object.path),
            },
            Commands::Database(database) => (database.of_object(object), vec![database.look()]),
        }
    }
}
