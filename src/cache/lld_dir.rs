//! The user's `--thinlto-cache-dir`, kept as lld keeps it: one `llvmcache-KEY` file an object, `llvmcache.timestamp`, and
//! nothing else. Knows nothing of what a key is made of; whatever else we remember is in a folder of our own.
//!
//! ```text
//! DIR/llvmcache-aabbcc…    object ‖ side outputs ‖ the backend's warnings ‖ one line of JSON ‖ its length ‖ check
//! DIR/llvmcache.timestamp  when it was last pruned
//! DIR/Thin-….tmp.o         being written; renamed when whole
//! ```

use std::collections::BTreeMap;
use std::fs::{File, FileTimes, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::key::Key;
use super::policy::{self, Cached, Kind, Policy};
use super::store::Outputs;

/// llvm/lib/Support/CachePruning.cpp.
const ENTRY: &str = "llvmcache-";
const TIMESTAMP: &str = "llvmcache.timestamp";
/// llvm/lib/Support/Caching.cpp `localCache`, with lld's prefix.
const TEMPORARY: &str = "Thin-";

/// Hexadecimal digits of a key in a file's name: as many as LLVM's, which are SHA-1's.
const DIGITS: usize = 40;
const CHECK: usize = 32;
const LENGTH: usize = 8;

/// The folder, and what this link had of it.
#[derive(Debug)]
pub struct LldDir {
    dir: PathBuf,
    policy: Policy,
    /// The entries that this link's objects are in, and their sizes.
    entries: Mutex<BTreeMap<PathBuf, u64>>,
}

#[derive(Serialize, Deserialize)]
struct Trailer {
    key: [u8; 32],
    object: usize,
    sides: Vec<(String, usize)>,
    warnings: usize,
}

impl LldDir {
    /// Opens the folder, made with its parents where it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(dir: &Path, policy: Policy) -> io::Result<LldDir> {
        std::fs::create_dir_all(dir)?;
        Ok(LldDir {
            dir: dir.to_owned(),
            policy,
            entries: Mutex::default(),
        })
    }

    /// The entries that this link's objects are in.
    pub fn entries(&self) -> Vec<PathBuf> {
        self.used().keys().cloned().collect()
    }

    fn used(&self) -> MutexGuard<'_, BTreeMap<PathBuf, u64>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: &Key) -> PathBuf {
        let hex = key.to_string();
        self.dir.join(format!("{ENTRY}{}", hex.get(..DIGITS).unwrap_or(&hex)))
    }

    /// Puts an entry's outputs where they are wanted; what the backend said. None where there is no such entry, whole and
    /// with these outputs.
    pub fn get(&self, key: &Key, outputs: &Outputs<'_>) -> Option<Vec<u8>> {
        let path = self.path(key);
        let bytes = std::fs::read(&path).ok()?;
        let Some((trailer, mut contents)) = whole(&bytes).filter(|(trailer, _)| trailer.key == *key.as_bytes()) else {
            // lld's own, or damaged.
            return None;
        };
        let wanted = outputs.sides.iter().map(|(name, _)| *name);
        if !trailer.sides.iter().map(|(name, _)| name.as_str()).eq(wanted) {
            return None;
        }
        let places = std::iter::once(outputs.object).chain(outputs.sides.iter().map(|(_, place)| *place));
        let lengths = std::iter::once(trailer.object).chain(trailer.sides.iter().map(|(_, length)| *length));
        for (place, length) in places.zip(lengths) {
            let (content, rest) = contents.split_at_checked(length)?;
            contents = rest;
            // Never through what is there: it may be a link to somebody's file.
            let _ = std::fs::remove_file(place.path());
            std::fs::write(place.path(), content).ok()?;
        }
        touch(&path);
        self.used().insert(path, bytes.len() as u64);
        contents.get(..trailer.warnings).map(<[u8]>::to_vec)
    }

    /// Keeps a backend's outputs and what it said.
    ///
    /// # Errors
    /// Of the file system; nothing half-written is ever found.
    pub fn put(&self, key: &Key, outputs: &Outputs<'_>, warnings: &[u8]) -> io::Result<()> {
        let mut bytes = std::fs::read(outputs.object.path())?;
        let mut trailer = Trailer {
            key: *key.as_bytes(),
            object: bytes.len(),
            sides: Vec::new(),
            warnings: warnings.len(),
        };
        for (name, place) in outputs.sides {
            let content = std::fs::read(place.path())?;
            trailer.sides.push(((*name).to_owned(), content.len()));
            bytes.extend(content);
        }
        bytes.extend(warnings);
        let line = serde_json::to_vec(&trailer)?;
        bytes.extend(&line);
        bytes.extend((line.len() as u64).to_le_bytes());
        let check = blake3::hash(&bytes);
        bytes.extend(check.as_bytes());
        let mut temporary = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .suffix(".tmp.o")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&self.dir)?;
        temporary.write_all(&bytes)?;
        let path = self.path(key);
        temporary.persist(&path)?;
        self.used().insert(path, bytes.len() as u64);
        Ok(())
    }

    /// Prunes as lld would after a link of `tasks` LTO tasks, if it is time to (llvm's `pruneCache`); what it would say.
    ///
    /// # Errors
    /// The folder cannot be listed, or the time of pruning not noted.
    pub fn prune(&self, tasks: usize) -> io::Result<Vec<String>> {
        let policy = &self.policy;
        if policy.is_boundless() || !self.is_time()? {
            return Ok(Vec::new());
        }
        let free = || policy::free_space(&self.dir);
        let now = SystemTime::now();
        let listed = self.list()?;
        let total = listed.iter().map(|file| file.bytes).sum();
        let target = policy.largest(total, free)?;
        let plan = policy::plan(listed, policy, now, free)?;
        for doomed in &plan.remove {
            let _ = std::fs::remove_file(&doomed.path);
        }
        let advice = "consider adjusting --thinlto-cache-policy";
        let (tasks, bytes) = (tasks as u64, self.used().values().sum::<u64>());
        let mut said = Vec::new();
        if policy.files > 0 && tasks > policy.files {
            said.push(format!(
                "ThinLTO cache pruning happens since the number of created files ({tasks}) exceeds the maximum number of \
                 files ({}); {advice}",
                policy.files
            ));
        }
        if bytes > target {
            said.push(format!(
                "ThinLTO cache pruning happens since the total size of the cache files consumed by the current link job \
                 ({bytes} bytes) exceeds maximum cache size ({target} bytes); {advice}"
            ));
        }
        Ok(said)
    }

    /// Whether the interval is over; the time is noted where it is. In a folder without a timestamp it begins now, and
    /// pruning goes on all the same, as lld's does.
    fn is_time(&self) -> io::Result<bool> {
        let path = self.dir.join(TIMESTAMP);
        let last = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok();
        let age = last.map(|last| SystemTime::now().duration_since(last).unwrap_or_default());
        if age.is_some_and(|age| !self.policy.interval.is_zero() && age <= self.policy.interval) {
            return Ok(false);
        }
        let stamp = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        stamp.set_modified(SystemTime::now())?;
        Ok(true)
    }

    /// Every file that lld takes for one of its cache's.
    fn list(&self) -> io::Result<Vec<Cached>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Ok(meta) = entry.metadata() else { continue };
            if !meta.is_file() || !(name.starts_with(ENTRY) || name.starts_with(TEMPORARY)) {
                continue;
            }
            files.push(Cached {
                used: Metadata::accessed(&meta)?,
                bytes: meta.len(),
                path: entry.path(),
                kind: Kind::Entry,
            });
        }
        Ok(files)
    }
}

/// Notes that an entry was used: pruning goes by that, and not every file system does so where a file is read.
pub(super) fn touch(entry: &Path) {
    let used = FileTimes::new().set_accessed(SystemTime::now());
    let _ = File::open(entry).and_then(|file| file.set_times(used));
}

/// An entry's trailer, and what stands before that; none where it is not one of ours, whole.
fn whole(bytes: &[u8]) -> Option<(Trailer, &[u8])> {
    let (checked, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK)?)?;
    if blake3::hash(checked).as_bytes() != check {
        return None;
    }
    let (rest, length) = checked.split_at_checked(checked.len().checked_sub(LENGTH)?)?;
    let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (contents, line) = rest.split_at_checked(rest.len().checked_sub(length)?)?;
    Some((serde_json::from_slice(line).ok()?, contents))
}
