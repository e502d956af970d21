//! What became of a user's links, summed up: a line a link in a file beside the cache, for `thinlto stats`.
//! Knows nothing of how a link was made; it adds what the stats say.
//!
//! Each line is a sum, of one link or of many, with a check before it: adding is one short append, and reading is adding up. Nobody
//! waits for another. A writer holds the file's lock together with all others for the moment of its append. When the file has grown
//! to [`LARGEST`], it gets another name, and whoever gave it that locks it for himself alone, appends the sum of its lines to the new
//! file and removes it; a writer who had opened it meanwhile sees that it is gone and opens the new one. Where it is still in use it
//! stays, under that name, to be read like the other and folded by the next.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::AddAssign;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::stats::{LinkMode, OutputState, Stats};

/// Some thousand links.
const LARGEST: u64 = 256 << 10;
/// A build can have as many reasons as it has files; those beyond are counted together.
const REASONS: usize = 200;
const OTHERS: &str = "other reasons";
const NAME: &str = "links";
/// No link waits for whoever has locked the file and keeps its name.
const TRIES: usize = 100;

/// Modules by where their objects came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Modules {
    /// Compiled here.
    pub compiled: u64,
    /// Compiled by servers' workers, or taken from a server's cache.
    pub remote: u64,
    /// Taken from the cache, those of links that were put back as they were made among them.
    pub cached: u64,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// That links took which were not given up to the linker.
    pub links: f64,
    /// That the backends took which ran here, one after the other.
    pub compiling: f64,
    /// That those would have taken whose objects were in the cache, as far as it is known of them.
    pub saved: f64,
}

/// What became of links.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// When the first of them began, in seconds since 1970.
    pub since: u64,
    /// How many, by mode.
    pub links: BTreeMap<LinkMode, u64>,
    /// Those put back as they were made, which are distributed ones too.
    #[serde(skip_serializing_if = "is_nothing")]
    pub restored: u64,
    /// Why links were not distributed, and how many of each reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<LinkMode, BTreeMap<String, u64>>,
    /// Modules of distributed links.
    #[serde(skip_serializing_if = "is_nothing")]
    pub modules: Modules,
    /// Times of those links.
    #[serde(skip_serializing_if = "is_nothing")]
    pub ms: Times,
}

fn is_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Sums {
    /// One link.
    pub fn of(stats: &Stats) -> Sums {
        let backends = &stats.backends;
        let is_restored = stats.output_state == Some(OutputState::Restored);
        let of_restored = if is_restored { stats.modules } else { 0 };
        let is_ours = matches!(stats.mode, LinkMode::Distributed | LinkMode::Distributor);
        let reason = stats.reason.clone().filter(|_| !is_ours);
        Sums {
            since: stats.start as u64,
            links: BTreeMap::from([(stats.mode, 1)]),
            restored: u64::from(is_restored),
            reasons: reason
                .map(|reason| (stats.mode, BTreeMap::from([(reason, 1)])))
                .into_iter()
                .collect(),
            modules: Modules {
                compiled: backends.run as u64,
                remote: (backends.remote + backends.remote_cached) as u64,
                cached: (backends.cached + of_restored) as u64,
            },
            ms: Times {
                links: if is_ours { stats.ms.total } else { 0.0 },
                compiling: backends.run_ms,
                saved: backends.cached_ms,
            },
        }
    }

    /// How many links, in all.
    pub fn all(&self) -> u64 {
        self.links.values().sum()
    }
}

impl AddAssign<&Sums> for Sums {
    fn add_assign(&mut self, other: &Sums) {
        self.since = match (self.since, other.since) {
            (0, since) | (since, 0) => since,
            (ours, theirs) => ours.min(theirs),
        };
        for (mode, count) in &other.links {
            add(self.links.entry(*mode).or_default(), *count);
        }
        add(&mut self.restored, other.restored);
        for (mode, reasons) in &other.reasons {
            let known = self.reasons.entry(*mode).or_default();
            for (reason, count) in reasons {
                let is_one_more = known.len() >= REASONS && !known.contains_key(reason);
                let name = if is_one_more { OTHERS } else { reason };
                add(known.entry(name.to_owned()).or_default(), *count);
            }
        }
        add(&mut self.modules.compiled, other.modules.compiled);
        add(&mut self.modules.remote, other.modules.remote);
        add(&mut self.modules.cached, other.modules.cached);
        self.ms.links += other.ms.links;
        self.ms.compiling += other.ms.compiling;
        self.ms.saved += other.ms.saved;
    }
}

fn add(to: &mut u64, count: u64) {
    *to = to.saturating_add(count);
}

/// The file of one cache folder.
#[derive(Clone, Debug)]
pub struct Ledger {
    folder: PathBuf,
    largest: u64,
}

impl Ledger {
    /// In the folder of a store.
    pub fn of(root: &Path) -> Ledger {
        Ledger {
            folder: root.to_owned(),
            largest: LARGEST,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// Adds a link.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&self, sums: &Sums) -> io::Result<()> {
        match self.append(sums)? < self.largest {
            true => Ok(()),
            false => self.fold(),
        }
    }

    /// How large the file was before.
    fn append(&self, sums: &Sums) -> io::Result<u64> {
        let line = line(sums)?;
        for _ in 0..TRIES {
            let file = OpenOptions::new().append(true).create(true).open(self.path())?;
            let locked = flock(&file, FlockOperation::NonBlockingLockShared);
            let found = file.metadata()?;
            // It has another name by now, or has been folded. Where a file system has no locks, that a line is lost when it is
            // folded is the worst of it.
            if locked == Err(Errno::WOULDBLOCK) || found.nlink() == 0 {
                continue;
            }
            // In one piece, lest another's come between.
            (&file).write_all(line.as_bytes())?;
            return Ok(found.len());
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Gives the file another name, and puts the sum of its lines into the next.
    fn fold(&self) -> io::Result<()> {
        let full = self.folder.join(format!("{NAME}.{}", unique()));
        match fs::rename(self.path(), &full) {
            // Another link was first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        for path in self.others()? {
            self.fold_one(&path)?;
        }
        Ok(())
    }

    fn fold_one(&self, path: &Path) -> io::Result<()> {
        let Some(file) = alone(path)? else { return Ok(()) };
        let sums = read(path);
        // First, since what is counted twice by a crash between the two is less than what would be lost.
        self.append(&sums)?;
        fs::remove_file(path)?;
        drop(file);
        Ok(())
    }

    /// Those that have another name now.
    fn others(&self) -> io::Result<Vec<PathBuf>> {
        let is_one = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.strip_prefix(NAME).is_some_and(|rest| rest.starts_with('.'))
        };
        let entries = fs::read_dir(&self.folder)?;
        Ok(entries.flatten().map(|entry| entry.path()).filter(is_one).collect())
    }

    /// All that was added.
    pub fn sums(&self) -> Sums {
        let mut sums = read(&self.path());
        for other in self.others().unwrap_or_default() {
            sums += &read(&other);
        }
        sums
    }

    /// Forgets all that was added.
    ///
    /// # Errors
    /// As the file system says.
    pub fn clear(&self) -> io::Result<()> {
        let paths = match self.others() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            others => others?,
        };
        for path in paths.into_iter().chain([self.path()]) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Opens a file that nobody writes any more; none where somebody does, or it has gone.
fn alone(path: &Path) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok((file.metadata()?.nlink() > 0).then_some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn unique() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), now.as_nanos())
}

/// The sum of a file's lines; one that is damaged is not counted.
fn read(path: &Path) -> Sums {
    let bytes = fs::read(path).unwrap_or_default();
    let mut sums = Sums::default();
    for line in String::from_utf8_lossy(&bytes).lines().filter_map(parse) {
        sums += &line;
    }
    sums
}

/// `CHECK JSON`
fn line(sums: &Sums) -> io::Result<String> {
    let text = serde_json::to_string(sums)?;
    Ok(format!("{} {text}\n", check(&text)))
}

fn check(text: &str) -> String {
    blake3::hash(text.as_bytes())
        .to_hex()
        .as_str()
        .chars()
        .take(8)
        .collect()
}

fn parse(line: &str) -> Option<Sums> {
    let (found, text) = line.split_once(' ')?;
    (found == check(text)).then(|| serde_json::from_str(text).ok())?
}

#[cfg(test)]
mod tests;
