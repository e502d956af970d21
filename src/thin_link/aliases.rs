//! Names for the thin link's eyes alone: LLVM widens a module name's bytes with their signs, which spoils what stands behind
//! them in the index (llvm `IndexBitcodeWriter::writeModStrings`), so that one in a folder called `José` gets an index that
//! nobody can read. lld is given links to such files under ASCII names, and all it says of those is put into the user's.
//! Knows nothing of indexes.
//!
//! What is decided does not depend on these names: imports are chosen in the order of definitions in the link, and the
//! order in which backends take them is that of the users' names.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::cmdline::{Invocation, Item};
use crate::inputs::{Entry, Inputs, Origin};
use crate::names::Names;
use crate::staging::Staging;

/// Options whose reports lld writes with its names in them, or beside the files it was given.
const SHOWING: [&str; 5] = [
    "print-archive-stats",
    "save-temps",
    "thinlto-emit-index-files",
    "time-trace",
    "why-extract",
];

/// The files that the thin link knows by other names than the user.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// By their item on the command line.
    items: HashMap<usize, OsString>,
    /// From those names to the users'.
    names: Names,
}

impl Aliases {
    /// Of the bitcode that lld could write no index for and that a word of its own names; none where the user would see them.
    ///
    /// # Errors
    /// The links cannot be made.
    pub(super) fn of(invocation: &Invocation, inputs: &Inputs, staging: &Staging) -> io::Result<Aliases> {
        let is_wanted = |entry: &&Entry| entry.has_bitcode() && !is_ascii(entry.path.as_os_str());
        let wanted: Vec<&Entry> = inputs.entries.iter().filter(is_wanted).collect();
        if wanted.is_empty() || SHOWING.iter().any(|option| invocation.has(option)) {
            return Ok(Aliases::default());
        }
        let folder = staging.path("ascii");
        fs::create_dir_all(&folder)?;
        let Some(prefix) = folder.to_str().filter(|prefix| prefix.is_ascii()) else {
            return Ok(Aliases::default());
        };
        let mut aliases = Aliases {
            items: HashMap::new(),
            names: Names::new(format!("{prefix}/")),
        };
        let mut links = Links {
            folder: &folder,
            made: HashMap::new(),
        };
        for entry in wanted.into_iter().filter(|entry| has_own_word(entry)) {
            let Some(alias) = links.alias(entry)? else { continue };
            aliases
                .items
                .insert(entry.item, folder.join(&alias.path).into_os_string());
            aliases.names.insert(alias.link, alias.user);
        }
        Ok(aliases)
    }

    /// The words of an item as the thin link is told them.
    pub(super) fn words(&self, number: usize, item: &Item) -> Vec<OsString> {
        match self.items.get(&number) {
            Some(alias) => vec![alias.clone()],
            None => item.words().to_vec(),
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A text with the users' names in it.
    pub(super) fn translate(&self, text: &str) -> String {
        self.names.translate(text)
    }

    /// What the user calls a module.
    pub(super) fn users(&self, name: &[u8]) -> Vec<u8> {
        self.names.translate_bytes(name).into_owned()
    }
}

/// A file under another name.
struct Alias {
    /// Below the folder of links.
    path: PathBuf,
    /// What of that, as text, stands for `user`.
    link: String,
    user: String,
}

/// Links in a folder.
struct Links<'a> {
    folder: &'a Path,
    /// By what they lead to.
    made: HashMap<PathBuf, String>,
}

impl Links<'_> {
    /// A name for a file: in a link to its folder where it has an ASCII name there, so that what is beside it still is (the
    /// members of a thin archive), else a link to itself. None for what cannot be named so.
    fn alias(&mut self, entry: &Entry) -> io::Result<Option<Alias>> {
        let (Some(user), Some(file)) = (entry.path.to_str(), entry.path.file_name()) else {
            return Ok(None);
        };
        if is_ascii(file) {
            let Some(folder) = user.strip_suffix(file.to_str().unwrap_or_default()) else {
                return Ok(None);
            };
            let link = self.link(Path::new(folder), "")?;
            return Ok(Some(Alias {
                path: Path::new(&link).join(file),
                link: format!("{link}/"),
                user: folder.to_owned(),
            }));
        }
        // The files of a thin archive are beside it, and `--exclude-libs` knows any archive by its file's name.
        if entry.kind.is_archive() {
            return Ok(None);
        }
        // lld goes by the last letters of some names.
        let end = Path::new(file)
            .extension()
            .and_then(OsStr::to_str)
            .filter(|end| end.is_ascii());
        let link = self.link(&entry.path, &end.map(|end| format!(".{end}")).unwrap_or_default())?;
        Ok(Some(Alias {
            path: PathBuf::from(&link),
            link,
            user: user.to_owned(),
        }))
    }

    fn link(&mut self, to: &Path, end: &str) -> io::Result<String> {
        if let Some(made) = self.made.get(to) {
            return Ok(made.clone());
        }
        // Of one length, so that none begins as another is called.
        let name = format!("{:08}{end}", self.made.len());
        let path = self.folder.join(&name);
        let _ = fs::remove_file(&path);
        symlink(std::path::absolute(to)?, path)?;
        self.made.insert(to.to_owned(), name.clone());
        Ok(name)
    }
}

/// Whether a word of the command line stands for this file and no other: it is not a script's.
fn has_own_word(entry: &Entry) -> bool {
    matches!(entry.origin, Origin::CommandLine | Origin::Library(_))
}

fn is_ascii(name: &OsStr) -> bool {
    name.as_encoded_bytes().is_ascii()
}
