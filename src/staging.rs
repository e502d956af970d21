//! The private folder of one link: staged modules, indexes, native objects; gone when the link is.
//! Knows nothing of what is put there, only how to name it, how to clean up, and how to sweep what killed links left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::private;

const PREFIX: &str = "thinlto-ld.";
const LOCK: &str = "lock";

/// A staging folder. Its lock is held while this lives: a folder whose lock is free belongs to a killed link.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
    _lock: File,
}

/// Where a person's words come from in the staging folder: `o/7/fork.o` stands for `kernel/fork.o`.
pub const OBJECTS: &str = "o";

impl Staging {
    /// A new folder under `parent` (created if need be), after sweeping what killed links left there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(parent: &Path) -> io::Result<Staging> {
        private::make(parent)?;
        sweep(parent);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?.keep();
        let lock = File::create(dir.join(LOCK))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Staging { dir, _lock: lock })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file or folder directly in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where module number `rank` of the link is found by the backends that read it. Ranks follow the order of the names
    /// in-process lld would use, since a backend imports from modules in the order of their names.
    pub fn module(&self, rank: usize) -> PathBuf {
        self.dir.join("m").join(format!("{rank:08}"))
    }

    /// The index of module `rank`.
    pub fn index(&self, rank: usize) -> PathBuf {
        self.dir.join("i").join(format!("{rank:08}.thinlto.bc"))
    }

    /// Makes the folders that [`Staging::module`] and [`Staging::index`] name files in.
    ///
    /// # Errors
    /// As the file system says.
    pub fn make_module_folders(&self) -> io::Result<()> {
        fs::create_dir_all(self.dir.join("m"))?;
        fs::create_dir_all(self.dir.join("i"))
    }

    /// A place for a file a person may read the name of: a folder of its own under `o/`, the file's own name in it.
    /// The folder is made.
    ///
    /// # Errors
    /// As the file system says.
    pub fn named(&self, number: usize, base: &str) -> io::Result<PathBuf> {
        let dir = self.dir.join(OBJECTS).join(number.to_string());
        fs::create_dir_all(&dir)?;
        Ok(dir.join(base))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

/// Removes a staging folder; what cannot be removed now is swept by a later link.
pub fn remove(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir) {
        tracing::debug!(dir = %dir.display(), %error, "staging not removed");
    }
}

/// Removes the folders of links that are no more. A folder younger than its lock is being made by another link.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // One killed before it made its lock has only itself to be judged by.
        let path = entry.path();
        let Ok(lock) = File::open(path.join(LOCK)).or_else(|_| File::open(&path)) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() && is_abandoned(&lock) {
            remove(&path);
        }
    }
}

/// A lock file is made a moment before it is locked; only one older than that moment tells of a killed link.
fn is_abandoned(lock: &File) -> bool {
    let age = lock
        .metadata()
        .and_then(|m| m.modified())
        .ok()
        .and_then(|t| t.elapsed().ok());
    age.is_some_and(|age| age.as_secs() >= 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_killed_links_folder_is_swept_and_a_living_ones_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).unwrap();
        let lock = File::create(dead.join(LOCK)).unwrap();
        lock.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        drop(lock);
        let first = Staging::new(parent.path()).unwrap();
        assert!(!dead.exists());
        let lockless = parent.path().join(format!("{PREFIX}lockless"));
        fs::create_dir(&lockless).unwrap();
        let folder = File::open(&lockless).unwrap();
        folder
            .set_modified(SystemTime::now() - Duration::from_secs(60))
            .unwrap();
        let old = File::options().write(true).open(first.path(LOCK)).unwrap();
        old.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        let _second = Staging::new(parent.path()).unwrap();
        assert!(first.dir().exists());
        assert!(!lockless.exists());
    }

    #[test]
    fn nothing_is_left_when_a_link_ends() {
        let parent = tempfile::tempdir().unwrap();
        let staging = Staging::new(parent.path()).unwrap();
        fs::write(staging.named(3, "x.o").unwrap(), "x").unwrap();
        drop(staging);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
