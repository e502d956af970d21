//! How often the cache had what a link asked of it: one line a link in a file beside the objects, summed up for people.
//! Knows nothing of what was asked for.
//!
//! Lines are appended, each in one write and with a check, so that links at the same time need no lock, a killed one leaves
//! nothing to repair, and a line torn by a full disk or a power cut is no more than not counted. When the file has grown to
//! [`LARGEST`] it becomes the older one of two and a new one is begun; what was in the older one before is forgotten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::AddAssign;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Some six thousand links.
const LARGEST: u64 = 256 << 10;

/// What is longer ago tells nothing of how the cache does.
const WINDOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Backends by what the cache had of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Their object was there.
    pub hits: u64,
    /// It was not.
    pub misses: u64,
    /// They have no key, and were not looked for.
    pub uncacheable: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.hits = self.hits.saturating_add(other.hits);
        self.misses = self.misses.saturating_add(other.misses);
        self.uncacheable = self.uncacheable.saturating_add(other.uncacheable);
    }
}

/// The counts of the links remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// All together.
    pub counts: Counts,
    /// How many links.
    pub links: u64,
    /// How long ago the first was.
    pub since: Duration,
}

/// The tally of one cache.
#[derive(Clone, Debug)]
pub struct Tally {
    path: PathBuf,
    older: PathBuf,
    largest: u64,
}

impl Tally {
    /// The tally in the folder of a store.
    pub fn of(root: &Path) -> Tally {
        Tally {
            path: root.join("tally"),
            older: root.join("tally.older"),
            largest: LARGEST,
        }
    }

    /// Adds a link's counts.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&self, counts: Counts, when: SystemTime) -> io::Result<()> {
        if counts == Counts::default() {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        file.write_all(line(counts, seconds(when)).as_bytes())?;
        if file.metadata()?.len() >= self.largest {
            self.begin_anew(&file)?;
        }
        Ok(())
    }

    /// Of the links that find a file full, the first makes it the older one. For one that comes later the name has come to
    /// mean another file, or none yet.
    fn begin_anew(&self, full: &File) -> io::Result<()> {
        match flock(full, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let own = full.metadata()?;
        match fs::metadata(&self.path) {
            Ok(named) if (own.dev(), own.ino()) == (named.dev(), named.ino()) => fs::rename(&self.path, &self.older),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Sums up the last thirty days, as far as they are remembered.
    pub fn summary(&self, now: SystemTime) -> Summary {
        let mut summary = Summary::default();
        for path in [&self.older, &self.path] {
            // One that is not there has nothing in it.
            let bytes = fs::read(path).unwrap_or_default();
            for (counts, when) in String::from_utf8_lossy(&bytes).lines().filter_map(parse) {
                // A clock that was set back does not make a link one of the future.
                let age = Duration::from_secs(seconds(now).saturating_sub(when));
                if age <= WINDOW {
                    summary.counts += counts;
                    summary.links += 1;
                    summary.since = summary.since.max(age);
                }
            }
        }
        summary
    }
}

fn seconds(when: SystemTime) -> u64 {
    when.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// `SECONDS HITS MISSES UNCACHEABLE CHECK`
fn line(counts: Counts, when: u64) -> String {
    let fields = format!("{when} {} {} {}", counts.hits, counts.misses, counts.uncacheable);
    format!("{fields} {}\n", check(&fields))
}

fn check(fields: &str) -> String {
    let hash = blake3::hash(fields.as_bytes()).to_hex();
    hash.as_str().chars().take(8).collect()
}

fn parse(line: &str) -> Option<(Counts, u64)> {
    let (fields, found) = line.rsplit_once(' ')?;
    if found != check(fields) {
        return None;
    }
    let mut numbers = fields.split(' ').map(|field| field.parse().ok());
    let mut next = || numbers.next().flatten();
    let when = next()?;
    let counts = Counts {
        hits: next()?,
        misses: next()?,
        uncacheable: next()?,
    };
    Some((counts, when))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn counts(hits: u64, misses: u64) -> Counts {
        Counts {
            hits,
            misses,
            uncacheable: 1,
        }
    }

    fn tally() -> (tempfile::TempDir, Tally) {
        let folder = tempfile::tempdir().unwrap();
        let tally = Tally::of(folder.path());
        (folder, tally)
    }

    #[test]
    fn links_of_the_last_thirty_days_are_summed_up() {
        let (_folder, tally) = tally();
        let now = SystemTime::now();
        assert_eq!(tally.summary(now), Summary::default());
        tally.add(counts(1000, 1000), now - 31 * DAY).unwrap();
        assert_eq!(tally.summary(now).links, 0);
        tally.add(counts(7, 2), now - 3 * DAY).unwrap();
        tally.add(Counts::default(), now - 20 * DAY).unwrap();
        tally.add(counts(1, 0), now + DAY).unwrap();
        let expected = Counts {
            hits: 8,
            misses: 2,
            uncacheable: 2,
        };
        let found = tally.summary(now);
        assert_eq!((found.counts, found.links, found.since), (expected, 2, 3 * DAY));
    }

    #[test]
    fn what_is_damaged_is_not_counted_and_harms_no_other() {
        let (_folder, tally) = tally();
        let now = SystemTime::now();
        for _ in 0..5 {
            tally.add(counts(10, 1), now).unwrap();
        }
        let whole = fs::read(&tally.path).unwrap();
        let length = whole.len() / 5;
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 2;
            fs::write(&tally.path, altered).unwrap();
            // Its own line, and the next where that is no longer one of its own.
            let left = tally.summary(now);
            assert!((3..5).contains(&left.links), "byte {at}");
            assert_eq!(left.counts.hits, 10 * left.links, "byte {at}");
            fs::write(&tally.path, &whole[..at]).unwrap();
            tally.add(counts(10, 1), now).unwrap();
            tally.add(counts(10, 1), now).unwrap();
            let left = tally.summary(now);
            assert!(left.links > (at / length) as u64, "cut at {at}");
            assert_eq!(left.counts.hits, 10 * left.links, "cut at {at}");
        }
    }

    #[test]
    fn links_at_once_are_all_counted() {
        let (_folder, tally) = tally();
        let now = SystemTime::now();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..500).for_each(|_| tally.add(counts(3, 1), now).unwrap()));
            }
        });
        assert_eq!(tally.summary(now).links, 4000);
    }

    #[test]
    fn a_full_one_is_begun_anew_once_and_the_last_are_remembered() {
        let (folder, mut tally) = tally();
        tally.largest = 4000;
        let now = SystemTime::now();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..500).for_each(|_| tally.add(counts(3, 1), now).unwrap()));
            }
        });
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        let largest = files.iter().map(|file| file.metadata().unwrap().len()).max().unwrap();
        assert!(files.len() <= 2 && largest < 5000, "{files:?}, {largest} bytes");
        let links = tally.summary(now).links;
        let full = 4000 / line(counts(3, 1), seconds(now)).len() as u64;
        assert!((full..4000).contains(&links), "{links} of which {full} fill one");
    }
}
