//! What a link was made of, written down so that it can be compared: files by stamp and content, places where there was
//! nothing. Knows nothing of links; it compares files.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Made;
use crate::cache::{Cache, Digest};
use crate::stamp::Stamp;

/// What is to be said again, and told in the stats.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Replay {
    /// Input files.
    pub inputs: usize,
    /// Modules.
    pub modules: usize,
    /// Milliseconds that compiling those took, as far as is known.
    #[serde(default)]
    pub compiling_ms: f64,
    /// As the linker wrote it.
    pub stdout: Vec<u8>,
    /// As it was shown.
    pub stderr: String,
    /// Objects in the user's cache folder, where they would be had the link been made.
    pub kept: Vec<PathBuf>,
}

/// A file that was read.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    path: PathBuf,
    stamp: [u64; 7],
    /// Whether the stamp alone proves that it is the same still.
    settled: bool,
    #[serde(with = "hex")]
    digest: Digest,
}

/// One state of a link.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    clang: PathBuf,
    read: Vec<Seen>,
    absent: Vec<PathBuf>,
    /// What backends wrote for the user.
    pub(super) sides: Vec<PathBuf>,
    /// Native objects left for the user: where one is missing or another, the link is made again to leave it.
    left: Vec<Seen>,
    outputs: usize,
    pub(super) executable: bool,
    pub(super) replay: Replay,
}

impl Record {
    /// Of a link that was just made.
    ///
    /// # Errors
    /// Why it cannot be told what it was made of: a file has changed, or may have, since it was read.
    pub(super) fn of(
        cache: &Cache,
        made: Made<'_>,
        tools: Vec<PathBuf>,
        sides: Vec<PathBuf>,
        executable: bool,
        outputs: &[PathBuf],
    ) -> Result<Record, String> {
        let now = SystemTime::now();
        let mut absent = made.absent;
        let read = made
            .read
            .into_par_iter()
            .map(|(path, opened)| {
                let (digest, stamp) = cache.content(&path).ok().flatten().ok_or_else(|| gone(&path))?;
                match stamp == opened && !stamp.may_hide_a_change(made.began) {
                    true => Ok(seen(path, stamp, digest, now)),
                    false => Err(changed(&path)),
                }
            })
            .collect::<Result<Vec<_>, String>>()?;
        // Of these nobody knows the stamp they were read under: they must have been as they are since before the link.
        let others = tools.iter().chain(&made.others).filter(|path| path.exists());
        let mut others = others
            .map(|path| {
                let (digest, stamp) = cache.content(path).ok().flatten().ok_or_else(|| gone(path))?;
                match stamp.is_racy(made.began) {
                    false => Ok(seen(path.clone(), stamp, digest, now)),
                    true => Err(changed(path)),
                }
            })
            .collect::<Result<Vec<_>, String>>()?;
        absent.extend(made.others.into_iter().filter(|path| !path.exists()));
        let left = made.left.into_iter().map(|left| {
            let stamp = Stamp::of(&left.path).map_err(|_| gone(&left.path))?;
            Ok(seen(left.path, stamp, left.digest, now))
        });
        let left = left.collect::<Result<Vec<_>, String>>()?;
        let mut all = read;
        all.append(&mut others);
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all.dedup_by(|a, b| a.path == b.path);
        absent.sort();
        absent.dedup();
        if let Some(written) = outputs
            .iter()
            .chain(&sides)
            .find(|path| all.iter().any(|seen| seen.path == **path))
        {
            return Err(format!("{} is read and written", written.display()));
        }
        Ok(Record {
            clang: made.tools.1.path.clone(),
            read: all,
            absent,
            sides,
            left,
            outputs: outputs.len(),
            executable,
            replay: made.replay,
        })
    }

    /// What the outputs are called in the cache, the main one first.
    pub(super) fn names(&self) -> Vec<String> {
        (0..self.outputs + self.sides.len()).map(|n| n.to_string()).collect()
    }

    /// A thing that is not as it was. `suspect` is one that was not as another state has it, and then this one's: states
    /// of a link differ by the same few files, and to look at one of those first spares looking at all.
    pub(super) fn difference(&self, cache: &Cache, clang: &Path, suspect: &mut PathBuf) -> Option<String> {
        if self.clang != clang {
            return Some("another clang".into());
        }
        let differs = |seen: &&Seen| match Stamp::of(&seen.path) {
            Ok(stamp) if seen.settled && stamp == Stamp::from_words(seen.stamp) => false,
            Ok(stamp) if stamp.size != Stamp::from_words(seen.stamp).size => true,
            Ok(_) => cache
                .content(&seen.path)
                .ok()
                .flatten()
                .is_none_or(|(digest, _)| digest != seen.digest),
            Err(_) => true,
        };
        let suspected = self.read.binary_search_by(|seen| seen.path.cmp(suspect)).ok();
        let suspected = suspected.map(|at| &self.read[at]).filter(differs);
        if suspected.is_none() {
            let appeared = self.absent.par_iter().find_any(|path| path.symlink_metadata().is_ok());
            if let Some(path) = appeared {
                return Some(format!("{} is there", path.display()));
            }
        }
        let files = self.read.par_iter().with_min_len(32).chain(&self.left);
        let changed = suspected.or_else(|| files.find_any(differs))?;
        suspect.clone_from(&changed.path);
        Some(changed_text(&changed.path))
    }
}

/// Digests as text, which is read several times as fast as a list of numbers is.
mod hex {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    use crate::cache::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&blake3::Hash::from(*digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        blake3::Hash::from_hex(text).map(Digest::from).map_err(D::Error::custom)
    }
}

fn seen(path: PathBuf, stamp: Stamp, digest: Digest, now: SystemTime) -> Seen {
    Seen {
        path,
        stamp: stamp.words(),
        settled: !stamp.is_racy(now),
        digest,
    }
}

fn gone(path: &Path) -> String {
    format!("{} cannot be read", path.display())
}

fn changed(path: &Path) -> String {
    format!("{} may have changed during the link", path.display())
}

fn changed_text(path: &Path) -> String {
    format!("{} is another", path.display())
}
