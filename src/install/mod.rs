//! thinlto-ld put under a prefix, where build systems and shells find all that belongs to it, and taken away again.
//! Knows nothing of links: it copies two programs, writes files that name them, and keeps a list of what it made.

mod llvms;
mod manifest;
mod tree;

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::fresh::Fresh;
pub use llvms::{Llvm, NoLlvm, found, named};
use manifest::Manifest;
use tree::{HERE, Item, What};

/// A document for the companion's users: where it belongs under a prefix, and what it says.
#[derive(Clone, Debug)]
pub struct Document {
    /// `share/man/man1/thinlto.1`
    pub place: String,
    /// Its bytes.
    pub text: Vec<u8>,
}

/// What is to be installed, and where.
#[derive(Clone, Debug)]
pub struct Install {
    /// The folder that has `bin` and `lib`.
    pub prefix: PathBuf,
    /// Where that is for now, if it is to be moved there by somebody else (a package).
    pub staged: Option<PathBuf>,
    /// The two programs, as they are now.
    pub programs: Programs,
    /// The versions of LLVM that get a name of their own; the first is the one that files of build systems name.
    pub llvms: Vec<Llvm>,
    /// Manual pages and completions.
    pub documents: Vec<Document>,
}

/// Where the programs are that are copied.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The companion.
    pub thinlto: PathBuf,
    /// The linker's stand-in.
    pub thinlto_ld: PathBuf,
}

/// Why nothing, or not all, was installed or taken away.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A program is not where it is copied from.
    #[error("{}: no such program: `cargo install thinlto-ld` puts both beside each other", .0.display())]
    NoProgram(PathBuf),
    /// Something that we did not install has a name of ours.
    #[error("{}: there already, and not by `thinlto install`: remove it, or choose another --prefix", .0.display())]
    Foreign(PathBuf),
    /// There is no manifest.
    #[error("{}: nothing is installed under this prefix; name another with --prefix or --user", .0.display())]
    NotInstalled(PathBuf),
    /// A manifest that we did not write.
    #[error("{}: no manifest of ours in line {line}; remove the files by hand", .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// The prefix leads elsewhere for whoever is in another folder.
    #[error("{}: a prefix is an absolute path", .0.display())]
    Relative(PathBuf),
    /// A path that cannot be written into the files of build systems.
    #[error("{}: build systems cannot be told of a prefix with spaces or quotes in its name", .0.display())]
    Unwritable(PathBuf),
    /// The file system failed.
    #[error("{}: {error}{}", .path.display(), hint(.error))]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; --user installs for you alone, --prefix elsewhere"
        }
        _ => "",
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |error| InstallError::Io { path, error }
}

/// What was installed.
#[derive(Debug)]
pub struct Installed {
    /// Everything, by its place under the prefix.
    pub places: Vec<PathBuf>,
    /// The folder of programs and of files for build systems.
    pub here: PathBuf,
}

impl Install {
    /// Puts it all in place. What an earlier one has put there goes, where it is not put there again.
    ///
    /// # Errors
    /// See [`InstallError`]; a name that somebody else has is found before anything is written.
    pub fn run(&self) -> Result<Installed, InstallError> {
        let root = &self.root();
        let prefix = self.prefix.to_str().filter(|prefix| prefix.bytes().all(is_plain));
        let prefix = prefix.ok_or_else(|| InstallError::Unwritable(self.prefix.clone()))?;
        if !self.prefix.is_absolute() {
            return Err(InstallError::Relative(self.prefix.clone()));
        }
        for program in [&self.programs.thinlto, &self.programs.thinlto_ld] {
            if !program.is_file() {
                return Err(InstallError::NoProgram(program.clone()));
            }
        }
        let earlier = Manifest::read(root)?;
        let items = tree::items(self, prefix);
        for item in &items {
            let known = earlier.as_ref().is_some_and(|earlier| earlier.has(&item.place));
            if !known && is_foreign(root, &item.place) {
                return Err(InstallError::Foreign(root.join(&item.place)));
            }
        }
        let mut manifest = Manifest::default();
        // First, so that what is interrupted can be taken away.
        if let Some(earlier) = &earlier {
            manifest.folders.clone_from(&earlier.folders);
        }
        for item in &items {
            make_folders(root, &item.place, &mut manifest)?;
            manifest.places.push(item.place.clone());
        }
        let all = Manifest {
            places: earlier
                .iter()
                .flat_map(|earlier| &earlier.places)
                .chain(&manifest.places)
                .cloned()
                .collect(),
            ..manifest.clone()
        };
        all.write(root)?;
        for item in &items {
            item.put(root)?;
        }
        for gone in earlier
            .iter()
            .flat_map(|earlier| &earlier.places)
            .filter(|place| !manifest.has(place))
        {
            remove(&root.join(gone))?;
        }
        if self.staged.is_some() {
            // Whether the others are there where it is all moved to is not known.
            manifest.folders.retain(|folder| folder.starts_with(HERE));
        }
        manifest.write(root)?;
        Ok(Installed {
            places: manifest.places,
            here: self.prefix.join(HERE),
        })
    }

    /// The prefix as it is on this machine now.
    fn root(&self) -> PathBuf {
        match &self.staged {
            Some(staged) => staged.join(self.prefix.strip_prefix("/").unwrap_or(&self.prefix)),
            None => self.prefix.clone(),
        }
    }
}

/// Whether a place is taken by something that is none of ours: what is in our own folder is, and what leads there.
fn is_foreign(root: &Path, place: &Path) -> bool {
    let path = root.join(place);
    let Ok(found) = path.symlink_metadata() else {
        return false;
    };
    let homes = [&path, &root.join(HERE)].map(|path| fs::canonicalize(path).ok());
    let leads_home = matches!(&homes, [Some(path), Some(here)] if path.starts_with(here));
    !(place.starts_with(HERE) || found.is_symlink() && leads_home)
}

fn make_folders(root: &Path, place: &Path, manifest: &mut Manifest) -> Result<(), InstallError> {
    if !root.is_dir() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(FOR_ALL).create(root).map_err(at(root))?;
        manifest.folders.push(PathBuf::new());
    }
    let above = place
        .ancestors()
        .skip(1)
        .take_while(|folder| !folder.as_os_str().is_empty());
    let missing: Vec<&Path> = above.filter(|folder| !root.join(folder).is_dir()).collect();
    for folder in missing.into_iter().rev() {
        let path = root.join(folder);
        fs::create_dir(&path).map_err(at(&path))?;
        // Whatever the umask of whoever installs: others are to run it.
        fs::set_permissions(&path, Permissions::from_mode(FOR_ALL)).map_err(at(&path))?;
        manifest.folders.push(folder.to_owned());
    }
    Ok(())
}

impl Item {
    /// Under another name first: a link that runs keeps the program it was started with.
    fn put(&self, root: &Path) -> Result<(), InstallError> {
        let path = root.join(&self.place);
        let fresh = Fresh::beside(&path).map_err(at(&path))?;
        let made = match &self.what {
            What::Program(from) => fs::copy(from, fresh.path()).map(|_| Some(FOR_ALL)),
            What::Script(text) => fs::write(fresh.path(), text).map(|()| Some(FOR_ALL)),
            What::Text(text) => fs::write(fresh.path(), text).map(|()| Some(TO_READ)),
            What::Link(to) => fs::remove_file(fresh.path())
                .and_then(|()| symlink(to, fresh.path()))
                .map(|()| None),
        };
        made.and_then(|mode| match mode {
            Some(mode) => fs::set_permissions(fresh.path(), Permissions::from_mode(mode)),
            None => Ok(()),
        })
        .and_then(|()| fresh.move_to(&path))
        .map_err(at(&path))
    }
}

const FOR_ALL: u32 = 0o755;
const TO_READ: u32 = 0o644;

/// Whether a path may have it and still be a word of a makefile, a string of TOML and an argument of CMake.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+@~,".contains(&byte) || !byte.is_ascii()
}

/// Takes away what was installed under a prefix, with the folders that were made for it and are empty now. How many files.
///
/// # Errors
/// Nothing was, or something cannot be removed.
pub fn uninstall(prefix: &Path) -> Result<usize, InstallError> {
    let manifest = Manifest::read(prefix)?.ok_or_else(|| InstallError::NotInstalled(prefix.to_owned()))?;
    for place in &manifest.places {
        remove(&prefix.join(place))?;
    }
    // Last, so that what is left by a failure can be tried again.
    remove(&manifest::path(prefix))?;
    let mut folders = manifest.folders;
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
    for folder in folders {
        // One that somebody else has put something into stays.
        let _ = fs::remove_dir(prefix.join(folder));
    }
    Ok(manifest.places.len())
}

fn remove(path: &Path) -> Result<(), InstallError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

/// The prefix that a program was installed under by us, if it was.
pub fn prefix_of(program: &Path) -> Option<PathBuf> {
    let prefix = program.ancestors().nth(1 + Path::new(HERE).components().count())?;
    manifest::path(prefix).is_file().then(|| prefix.to_owned())
}

#[cfg(test)]
mod tests;
