//! The private folders of one link: staged modules, indexes, native objects; gone when the link is.
//! Knows nothing of what is put there, only how to name it, how to clean up, and how to sweep what killed links left.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock, statfs, statvfs};

use crate::private;

const PREFIX: &str = "thinlto-ld.";
const LOCK: &str = "lock";

/// What a link stages: one folder where there is room for much, one for its many small files.
#[derive(Debug)]
pub struct Staging {
    /// Beside the cache, so that objects are linked or cloned and not copied.
    objects: Folder,
    /// In memory where that can be had: a disk's file system takes longer to make and remove a thousand indexes than lld
    /// takes to decide what is in them.
    indexes: Option<Folder>,
    places: Mutex<Places>,
}

/// What has been given a place.
#[derive(Debug, Default)]
struct Places {
    /// How many files of each name.
    taken: HashMap<String, usize>,
    /// How many folders there are for them: of most names there is one file, and the first folder does for all of those.
    folders: usize,
}

/// A folder of ours. Its lock is held while this lives: one whose lock is free belongs to a killed link.
#[derive(Debug)]
struct Folder {
    dir: PathBuf,
    _lock: File,
}

/// A file that a person may read the name of.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it is.
    pub path: PathBuf,
    /// The same, from `o/` on.
    pub name: String,
}

/// Where a person's words come from in the staging folder: `o/0/fork.o` stands for `kernel/fork.o`.
pub const OBJECTS: &str = "o";

impl Staging {
    /// The folder that ours are in, where it has no room left.
    pub fn full(&self) -> Option<&Path> {
        let full = [self.dir(), self.indexes()].into_iter().find(|dir| is_full(dir));
        full.and_then(Path::parent)
    }

    /// A new folder under `parent` (created if need be), after sweeping what killed links left there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(parent: &Path) -> io::Result<Staging> {
        Ok(Staging {
            objects: Folder::new(parent)?,
            indexes: None,
            places: Mutex::default(),
        })
    }

    /// A new folder beside the cache in `cache`, so that objects go from one to the other without being copied; where there is
    /// none or it cannot be, among the temporary files.
    ///
    /// # Errors
    /// There is no such place; which was the first to be tried.
    pub fn beside(cache: Option<&Path>) -> Result<Staging, (PathBuf, io::Error)> {
        let parent = cache.map_or_else(private::scratch, |dir| dir.join("staging"));
        Staging::new(&parent)
            .or_else(|_| Staging::new(&private::scratch()))
            .or_else(|_| Staging::new(&tempfile::Builder::new().prefix("thinlto-ld-").tempdir()?.keep()))
            .map_err(|error| (parent, error))
    }

    /// The same with indexes in memory, where that can be had: they take less of it than `bitcode` bytes, the size of the
    /// modules they are for.
    #[must_use]
    pub fn with_indexes_in_memory(mut self, bitcode: u64) -> Staging {
        let dir = Path::new(MEMORY);
        if has_room(dir, bitcode) {
            self.indexes = Folder::new(&private::within(dir)).ok();
        }
        self
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.objects.dir
    }

    /// A file or folder directly in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.objects.dir.join(name)
    }

    /// The folder that small files are in.
    pub fn indexes(&self) -> &Path {
        &self.indexes.as_ref().unwrap_or(&self.objects).dir
    }

    /// The folder of [`Staging::module`].
    pub fn modules(&self) -> PathBuf {
        self.indexes().join("m")
    }

    /// Where module number `rank` of the link is found by the backends that read it. Ranks follow the order of the names
    /// in-process lld would use, since a backend imports from modules in the order of their names.
    pub fn module(&self, rank: usize) -> PathBuf {
        self.modules().join(format!("{rank:08}"))
    }

    /// Where the bytes of module `rank` are put, if no file has them alone; [`Staging::module`] is a link to them.
    pub fn bytes(&self, rank: usize) -> PathBuf {
        self.objects.dir.join("b").join(format!("{rank:08}"))
    }

    /// The index of module `rank`.
    pub fn index(&self, rank: usize) -> PathBuf {
        self.indexes().join("i").join(format!("{rank:08}.thinlto.bc"))
    }

    /// The index of job `at` as it is sent elsewhere.
    pub fn index_away(&self, at: usize) -> PathBuf {
        self.indexes().join("i").join(format!("{at:08}.away"))
    }

    /// The object of job `at` before it is known to be the one that counts; `side` has made it.
    pub fn half_made(&self, at: usize, side: &str) -> PathBuf {
        self.objects.dir.join("b").join(format!("{at:08}.{side}.o"))
    }

    /// Makes the folders that [`Staging::module`], [`Staging::bytes`], [`Staging::index`] and what is like them name files in.
    ///
    /// # Errors
    /// As the file system says.
    pub fn make_module_folders(&self) -> io::Result<()> {
        fs::create_dir_all(self.objects.dir.join("b"))?;
        fs::create_dir_all(self.modules())?;
        fs::create_dir_all(self.indexes().join("i"))
    }

    /// A place for a file a person may read the name of, which linkers go by too: `o/0/fork.o`, or `o/1/fork.o` where that
    /// is taken. Its folder is made.
    ///
    /// # Errors
    /// As the file system says.
    pub fn named(&self, base: &str) -> io::Result<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = places.taken.entry(base.to_owned()).or_default();
        let number = *taken;
        *taken += 1;
        let dir = self.objects.dir.join(OBJECTS).join(number.to_string());
        if number >= places.folders {
            fs::create_dir_all(&dir)?;
            places.folders = number + 1;
        }
        Ok(Place {
            path: dir.join(base),
            name: format!("{number}/{base}"),
        })
    }
}

impl Folder {
    fn new(parent: &Path) -> io::Result<Folder> {
        private::make(parent)?;
        sweep(parent);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?.keep();
        let lock = File::create(dir.join(LOCK))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Folder { dir, _lock: lock })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

/// Where Linux has files in memory for all (shm_overview(7)).
const MEMORY: &str = "/dev/shm";

/// The least that is room: where there is less, what cannot be written cannot for that.
const ROOM: u64 = 64 << 10;

fn is_full(dir: &Path) -> bool {
    statvfs(dir).is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) < ROOM)
}

/// Whether files there are in memory, and far from filling it: in a container there may be as little as 64 MB.
fn has_room(dir: &Path, bytes: u64) -> bool {
    let in_memory = statfs(dir).is_ok_and(|fs| i128::from(fs.f_type) == TMPFS);
    let free = statvfs(dir).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    in_memory && free / 2 > bytes
}

/// TMPFS_MAGIC of linux/magic.h.
const TMPFS: i128 = 0x0102_1994;

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
        fs::write(staging.named("x.o").unwrap().path, "x").unwrap();
        drop(staging);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_of_one_name_have_folders_of_their_own() {
        let parent = tempfile::tempdir().unwrap();
        let staging = Staging::new(parent.path()).unwrap();
        let names = ["x.o", "y.o", "x.o", "x.o"].map(|base| staging.named(base).unwrap());
        assert_eq!(
            names.each_ref().map(|place| place.name.as_str()),
            ["0/x.o", "0/y.o", "1/x.o", "2/x.o"]
        );
        for place in names {
            assert!(place.path.ends_with(Path::new(OBJECTS).join(place.name)));
            fs::write(place.path, "x").unwrap();
        }
    }

    #[test]
    fn indexes_are_in_memory_where_there_is_room() {
        let parent = tempfile::tempdir().unwrap();
        let full = Staging::new(parent.path()).unwrap().with_indexes_in_memory(u64::MAX);
        assert!(full.index(1).starts_with(parent.path()));
        let roomy = Staging::new(parent.path()).unwrap().with_indexes_in_memory(1);
        assert_eq!(roomy.index(1).starts_with(MEMORY), has_room(Path::new(MEMORY), 1));
        assert!(roomy.bytes(1).starts_with(parent.path()));
        let indexes = roomy.indexes().to_owned();
        roomy.make_module_folders().unwrap();
        fs::write(roomy.index(1), "x").unwrap();
        drop(roomy);
        assert!(!indexes.exists());
    }
}
