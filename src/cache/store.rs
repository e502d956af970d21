//! Where cached objects live: entries named by key, contents named by their own hash, all plain files that any number of
//! links read and write at once without a lock. Knows nothing of what a key is made of, nor of when an entry must go.
//!
//! ```text
//! DIR/v1/aa/aabbcc…      entry: check ‖ one line of JSON (contents by digest and length) ‖ the backend's warnings
//! DIR/v1/dd/ddeeff….bin  content: an object or a side output, as it is, named by its blake3
//! DIR/v1/aa/tmp-…        being written; renamed when whole
//! ```
//! Two kinds of files, rather than one with a header or a trailer: lld would read an ELF file with bytes after its end, but
//! the object is also handed to users and to other linkers, and must be the compiler's to the byte; being a file of its own
//! it can be cloned or linked into place without a copy. The content's name being its hash, an object and an entry of two
//! different writers never make a wrong pair, reading verifies for free, and the same object under two keys is kept once.
//! Nothing is synced to disk: what a power cut leaves half-written fails its check and is a miss.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{self, AtFlags, CWD};
use serde::{Deserialize, Serialize};

use super::digest::{self, Digest};
use super::key::Key;

/// How files that are still being written are called.
pub(super) const TEMP_PREFIX: &str = "tmp-";
/// The suffix of contents, which tells them from entries.
pub(super) const CONTENT_SUFFIX: &str = ".bin";

/// A use is noted in the file's modification time only if the last one noted is older than this: an unchanged link would
/// otherwise write to every inode of the cache it reads. Far below any sensible `prune_after`.
const TOUCH_AFTER: Duration = Duration::from_secs(10 * 60);

/// Entries are a line of JSON and some warnings; a longer one is not ours.
const MAX_ENTRY: u64 = 64 << 20;

/// Why a link goes without a cache. Never an error of the link; the stats have [`CacheOff::name`].
#[derive(Debug, thiserror::Error)]
pub enum CacheOff {
    /// Neither `$XDG_CACHE_HOME` nor `$HOME` says where.
    #[error("no cache folder: neither XDG_CACHE_HOME nor HOME is an absolute path")]
    NoHome,
    /// The folder can't be made.
    #[error("{}: cannot make the cache folder: {source}", .path.display())]
    CannotCreate {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is there, but not for us to write.
    #[error("{}: the cache folder cannot be written: {source}", .path.display())]
    NotWritable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl CacheOff {
    /// One word for the stats.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            CacheOff::NoHome => "cache-no-home",
            CacheOff::CannotCreate { .. } => "cache-cannot-create",
            CacheOff::NotWritable { .. } => "cache-not-writable",
        }
    }
}

/// The folder used where nobody names one: `$XDG_CACHE_HOME/thinlto-ld`, else `$HOME/.cache/thinlto-ld`. Relative paths
/// don't count, as the XDG base directory specification wants it.
///
/// # Errors
/// [`CacheOff::NoHome`].
pub fn default_dir(xdg_cache_home: Option<&OsStr>, home: Option<&OsStr>) -> Result<PathBuf, CacheOff> {
    let absolute = |p: Option<&OsStr>| p.map(PathBuf::from).filter(|p| p.is_absolute());
    absolute(xdg_cache_home)
        .or_else(|| absolute(home).map(|h| h.join(".cache")))
        .map(|p| p.join("thinlto-ld"))
        .ok_or(CacheOff::NoHome)
}

/// Where an output is to be (or, for [`Store::put`], is).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    /// A path only this link sees, and only reads: it may share the cache's own file by a hard link.
    Staging(&'a Path),
    /// A path that others see and may write to: it gets blocks of its own (a clone, else a copy).
    Public(&'a Path),
}

impl<'a> Destination<'a> {
    pub(super) fn path(self) -> &'a Path {
        match self {
            Destination::Staging(p) | Destination::Public(p) => p,
        }
    }
}

/// The files of one backend.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// The native object.
    pub object: Destination<'a>,
    /// What else it wrote (`.dwo`, remarks): a name that says which one it is, and where it is.
    pub sides: &'a [(&'a str, Destination<'a>)],
}

/// An entry that was found: its outputs are in place and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The hash of the object.
    pub object: Digest,
    /// What the backend wrote to stderr, to be said again.
    pub warnings: Vec<u8>,
    /// How long it ran, where that is known.
    pub took: Option<Duration>,
}

/// Why nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// There is no such entry, or its contents have been pruned.
    Absent,
    /// Something of it was truncated or altered; it is removed.
    Damaged,
    /// It has other side outputs than asked for.
    OtherOutputs,
    /// It is there and can't be read or put in place.
    Unreadable(io::ErrorKind),
}

/// Why an object was not kept. The link goes on without.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// clang can exit 0 and leave an empty object behind; such a thing is never kept.
    #[error("{}: empty object, not cached", .0.display())]
    EmptyObject(PathBuf),
    /// The file system failed.
    #[error("{}: not cached: {source}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The entry can't be written down.
    #[error("not cached: {0}")]
    Encode(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: [u8; 32],
    object: Content,
    sides: Vec<(String, Content)>,
    /// Microseconds its backend ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    took: Option<u64>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
struct Content {
    digest: Digest,
    bytes: u64,
}

/// What may be done in a cache folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Entries are read, kept and removed.
    Full,
    /// They are read, and it stays as it is: it is on a mount or in a layer that cannot be written, or somebody else's.
    Read,
}

/// A cache folder, open. Shared freely among threads and processes.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    root: PathBuf,
    access: Access,
    /// Whether the file system may be able to clone; a first refusal is remembered.
    may_clone: AtomicBool,
}

impl Store {
    /// Opens the cache in `dir`, made with its parents where it is not there (mode 0700, as XDG has it; what is there keeps
    /// its mode). One that is there and cannot be written is read.
    ///
    /// # Errors
    /// The reason the link must do without; not one to trouble the user with unless asked.
    pub fn open(dir: &Path) -> Result<Store, CacheOff> {
        let root = Store::root_in(dir);
        let made = !root.is_dir();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .map_err(|source| CacheOff::CannotCreate {
                path: dir.to_owned(),
                source,
            })?;
        let access = match may(&root, fs::Access::WRITE_OK) {
            Ok(()) => Access::Full,
            Err(source) => {
                let unreadable = |_| CacheOff::NotWritable {
                    path: dir.to_owned(),
                    source,
                };
                may(&root, fs::Access::empty()).map_err(unreadable)?;
                Access::Read
            }
        };
        if made {
            // Backups and searches leave a tagged folder out. A courtesy, so its failing is no reason to stop.
            let tag = b"Signature: 8a477f597d28d172789f06886806bc55\n# Compiled objects, made again when missing: thinlto-ld.\n";
            let _ = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(dir.join("CACHEDIR.TAG"))
                .and_then(|mut f| f.write_all(tag));
        }
        Ok(Store::at(dir, access))
    }

    /// The cache in `dir`, to be read alone; what is not there is not made.
    #[must_use]
    pub fn to_read(dir: &Path) -> Store {
        Store::at(dir, Access::Read)
    }

    fn at(dir: &Path, access: Access) -> Store {
        Store {
            dir: dir.to_owned(),
            root: Store::root_in(dir),
            access,
            may_clone: AtomicBool::new(true),
        }
    }

    /// What may be done in it.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Where the files of this format are in a folder, if it is a cache.
    #[must_use]
    pub fn root_in(dir: &Path) -> PathBuf {
        dir.join("v1")
    }

    /// The folder as it was named.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where files of this format are.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the memo of [`super::Digests`] is kept.
    #[must_use]
    pub fn digest_memo(&self) -> PathBuf {
        self.root.join("digests")
    }

    /// Where the memo of the digests of remote execution is kept.
    #[must_use]
    pub fn remote_memo(&self) -> PathBuf {
        self.root.join("digests-sha256")
    }

    /// Where the memo of [`super::Views`] is kept for linkers of one LLVM: what one sees of a file another may not.
    #[must_use]
    pub fn view_memo(&self, llvm: &str) -> PathBuf {
        self.root.join(format!("views-{llvm}"))
    }

    /// Looks `key` up and puts its outputs where they are wanted. What is verified is the file in its place, so that
    /// pruning and other links can no longer reach it. On a miss nothing of the cache is left at those places.
    ///
    /// # Errors
    /// The kind of miss.
    pub fn get(&self, key: &Key, outputs: &Outputs<'_>) -> Result<Hit, Miss> {
        let path = self.path(key.as_bytes(), "");
        let (entry, warnings) = match self.read_entry(&path, key) {
            Err(Miss::Damaged) => {
                self.discard(&path);
                return Err(Miss::Damaged);
            }
            other => other?,
        };
        let wanted: Vec<&str> = outputs.sides.iter().map(|(name, _)| *name).collect();
        if !entry.sides.iter().map(|(name, _)| name.as_str()).eq(wanted) {
            return Err(Miss::OtherOutputs);
        }
        let contents = std::iter::once(&entry.object).chain(entry.sides.iter().map(|(_, c)| c));
        let places: Vec<Destination<'_>> = std::iter::once(outputs.object)
            .chain(outputs.sides.iter().map(|(_, d)| *d))
            .collect();
        for (n, (content, to)) in contents.zip(&places).enumerate() {
            if let Err(miss) = self.place(content, *to) {
                for done in places.iter().take(n.saturating_add(1)) {
                    let _ = std::fs::remove_file(done.path());
                }
                return Err(miss);
            }
        }
        Ok(Hit {
            object: entry.object.digest,
            warnings,
            took: entry.took.map(Duration::from_micros),
        })
    }

    /// Keeps the outputs of a backend under `key`, with what it wrote to stderr. The files are read, not moved.
    ///
    /// # Errors
    /// Anything that kept it from being kept; nothing half-written is ever found.
    pub fn put(&self, key: &Key, outputs: &Outputs<'_>, warnings: &[u8]) -> Result<(), PutError> {
        self.put_timed(key, outputs, warnings, None)
    }

    /// As [`Store::put`], of a backend that ran so long.
    ///
    /// # Errors
    /// As there.
    pub fn put_timed(
        &self,
        key: &Key,
        outputs: &Outputs<'_>,
        warnings: &[u8],
        took: Option<Duration>,
    ) -> Result<(), PutError> {
        let object = self.keep(outputs.object.path())?;
        if object.bytes == 0 {
            return Err(PutError::EmptyObject(outputs.object.path().to_owned()));
        }
        let sides = outputs
            .sides
            .iter()
            .map(|(name, at)| Ok(((*name).to_owned(), self.keep(at.path())?)))
            .collect::<Result<_, PutError>>()?;
        let entry = serde_json::to_string(&Entry {
            key: *key.as_bytes(),
            object,
            sides,
            took: took.and_then(|took| took.as_micros().try_into().ok()),
        })?;
        let payload = [entry.as_bytes(), b"\n", warnings].concat();
        let path = self.path(key.as_bytes(), "");
        // Last, for it is what makes the contents reachable.
        let written = self.make_parent(&path).and_then(|dir| {
            let mut temp = Self::temp_in(dir)?;
            temp.write_all(blake3::hash(&payload).as_bytes())?;
            temp.write_all(&payload)?;
            temp.persist(&path)?;
            Ok(())
        });
        written.map_err(|source| PutError::Io { path, source })
    }

    /// What was kept beside an entry's outputs.
    ///
    /// # Errors
    /// The kind of miss.
    pub fn said(&self, key: &Key) -> Result<Vec<u8>, Miss> {
        let path = self.path(key.as_bytes(), "");
        self.read_entry(&path, key).map(|(_, said)| said)
    }

    /// Whether a store in `dir` has an entry of this key, damaged or not; nothing is made or read.
    #[must_use]
    pub fn has(dir: &Path, key: &Key) -> bool {
        Store::entry(dir, key).exists()
    }

    /// Where the entry of a key is in a store in `dir`, if it is; nothing is made.
    #[must_use]
    pub fn entry(dir: &Path, key: &Key) -> PathBuf {
        path_in(&Store::root_in(dir), key.as_bytes(), "")
    }

    /// When an entry was last used, to within ten minutes; none where there is none.
    pub fn last_use(&self, key: &Key) -> Option<SystemTime> {
        std::fs::metadata(self.path(key.as_bytes(), "")).ok()?.modified().ok()
    }

    fn read_entry(&self, path: &Path, key: &Key) -> Result<(Entry, Vec<u8>), Miss> {
        let file = File::open(path).map_err(|e| unreadable(&e))?;
        let metadata = file.metadata().map_err(|e| unreadable(&e))?;
        // With room for one byte more its end is met in one read.
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_ENTRY)).unwrap_or_default() + 1);
        (&file)
            .take(MAX_ENTRY)
            .read_to_end(&mut bytes)
            .map_err(|e| unreadable(&e))?;
        let (check, payload) = bytes.split_first_chunk::<32>().ok_or(Miss::Damaged)?;
        if blake3::hash(payload) != *check {
            return Err(Miss::Damaged);
        }
        let end = payload.iter().position(|&b| b == b'\n').ok_or(Miss::Damaged)?;
        let (line, warnings) = payload.split_at_checked(end).ok_or(Miss::Damaged)?;
        let entry: Entry = serde_json::from_slice(line).map_err(|_| Miss::Damaged)?;
        if entry.key != *key.as_bytes() {
            return Err(Miss::Damaged);
        }
        self.touch(&file, metadata.modified());
        Ok((entry, warnings.get(1..).unwrap_or_default().to_vec()))
    }

    /// Puts one content in its place and verifies it there.
    fn place(&self, content: &Content, to: Destination<'_>) -> Result<(), Miss> {
        let from = self.path(&content.digest, CONTENT_SUFFIX);
        let (placed, source) = match self.link_in_place(&from, to) {
            Some(linked) => (linked, None),
            None => {
                let source = File::open(&from).map_err(|e| unreadable(&e))?;
                let placed = self.put_in_place(&source, &from, to).map_err(|e| unreadable(&e))?;
                (placed, Some(source))
            }
        };
        let (digest, bytes) = digest::of_file(&placed).map_err(|e| unreadable(&e))?;
        if digest != content.digest || bytes != content.bytes {
            self.discard(&from);
            return Err(Miss::Damaged);
        }
        // What is linked is the cache's own file.
        let kept = source.unwrap_or(placed);
        let modified = kept.metadata().and_then(|m| m.modified());
        self.touch(&kept, modified);
        Ok(())
    }

    /// Links to the cache's file and opens that, where the file system is known not to clone and nobody else sees the place.
    fn link_in_place(&self, from: &Path, to: Destination<'_>) -> Option<File> {
        let Destination::Staging(path) = to else { return None };
        if self.may_clone.load(Ordering::Relaxed) {
            return None;
        }
        match std::fs::hard_link(from, path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(path).ok()?;
                std::fs::hard_link(from, path).ok()?;
            }
            other => other.ok()?,
        }
        File::open(path).ok()
    }

    /// Clones, links or copies, in this order as far as allowed, and opens what is there then.
    fn put_in_place(&self, source: &File, from: &Path, to: Destination<'_>) -> io::Result<File> {
        // Never write through what is there: it may be a hard link to the cache, or a file someone has open.
        match std::fs::remove_file(to.path()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut new = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(to.path())?;
        if self.clone_into(&new, source) {
            return Ok(new);
        }
        if let Destination::Staging(path) = to {
            // The first file of a store that can't clone.
            std::fs::remove_file(path)?;
            if std::fs::hard_link(from, path).is_ok() {
                return File::open(path);
            }
            new = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        }
        io::copy(&mut &*source, &mut new)?;
        File::open(to.path())
    }

    /// Copies a file into the store under its hash.
    fn keep(&self, from: &Path) -> Result<Content, PutError> {
        let error = |source| PutError::Io {
            path: from.to_owned(),
            source,
        };
        let source = File::open(from).map_err(error)?;
        // In the root, since the hash, and with it the folder, is not known yet.
        let mut temp = Self::temp_in(&self.root).map_err(error)?;
        if !self.clone_into(temp.as_file(), &source) {
            io::copy(&mut &source, temp.as_file_mut()).map_err(error)?;
        }
        // What was written is what is hashed, whatever happens to the source meanwhile.
        let written = File::open(temp.path()).map_err(error)?;
        let (digest, bytes) = digest::of_file(&written).map_err(error)?;
        let to = self.path(&digest, CONTENT_SUFFIX);
        self.make_parent(&to).map_err(error)?;
        // Over one that is there, since that one may be damaged.
        temp.persist(&to).map_err(|e| error(e.error))?;
        Ok(Content { digest, bytes })
    }

    fn clone_into(&self, to: &File, from: &File) -> bool {
        if !self.may_clone.load(Ordering::Relaxed) {
            return false;
        }
        let cloned = fs::ioctl_ficlone(to, from).is_ok();
        if !cloned {
            self.may_clone.store(false, Ordering::Relaxed);
        }
        cloned
    }

    /// A new file in `dir`. Read-only to all, so that nobody writes through a hard link, and readable as far as the
    /// umask lets it.
    fn temp_in(dir: &Path) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new()
            .prefix(TEMP_PREFIX)
            .permissions(Permissions::from_mode(0o444))
            .tempfile_in(dir)
    }

    /// Notes a use. Another user's file can't be touched; it then ages as if unused, which is harmless.
    fn touch(&self, file: &File, modified: io::Result<SystemTime>) {
        let Ok(modified) = modified else { return };
        let now = SystemTime::now();
        if self.access == Access::Full && now.duration_since(modified).is_ok_and(|age| age > TOUCH_AFTER) {
            let _ = file.set_modified(now);
        }
    }

    /// Removes what is damaged.
    fn discard(&self, path: &Path) {
        if self.access == Access::Full {
            let _ = std::fs::remove_file(path);
        }
    }

    fn make_parent<'a>(&'a self, path: &'a Path) -> io::Result<&'a Path> {
        let dir = path.parent().unwrap_or(&self.root);
        DirBuilder::new().recursive(true).create(dir).map(|()| dir)
    }

    fn path(&self, name: &[u8; 32], suffix: &str) -> PathBuf {
        path_in(&self.root, name, suffix)
    }
}

fn path_in(root: &Path, name: &[u8; 32], suffix: &str) -> PathBuf {
    let hex = Key::from(*name).to_string();
    root.join(hex.get(..2).unwrap_or_default())
        .join(format!("{hex}{suffix}"))
}

fn unreadable(e: &io::Error) -> Miss {
    match e.kind() {
        io::ErrorKind::NotFound => Miss::Absent,
        kind => Miss::Unreadable(kind),
    }
}

/// Whether we may read and search a folder, and this besides.
fn may(folder: &Path, besides: fs::Access) -> io::Result<()> {
    let access = fs::Access::READ_OK | fs::Access::EXEC_OK | besides;
    fs::accessat(CWD, folder, access, AtFlags::EACCESS).map_err(io::Error::from)
}

#[cfg(test)]
mod tests;
