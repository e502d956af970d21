//! A file of what was learnt once: records of a key and a value, each checked, read whole and appended to. Knows nothing of
//! what keys and values mean; a memo that is lost costs the learning and nothing else.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::OpenOptions;
use std::hash::Hash;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::stamp::Stamp;

/// The memo is rewritten when more records than this are in it; the newest half stays.
const MAX_RECORDS: usize = 200_000;

/// The check behind a record's body.
const CHECK_LEN: usize = 8;

/// What has one length, written down.
pub(super) trait Fixed: Copy {
    /// That length in bytes.
    const LEN: usize;
    fn write(&self, to: &mut Vec<u8>);
    /// From [`Fixed::LEN`] bytes; none where they are no such thing.
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl Fixed for Stamp {
    const LEN: usize = 7 * 8;

    fn write(&self, to: &mut Vec<u8>) {
        for word in self.words() {
            to.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn read(bytes: &[u8]) -> Option<Stamp> {
        let mut words = [0; 7];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Some(Stamp::from_words(words))
    }
}

impl Fixed for [u8; 32] {
    const LEN: usize = 32;

    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self);
    }

    fn read(bytes: &[u8]) -> Option<[u8; 32]> {
        bytes.try_into().ok()
    }
}

/// One file of checked records, read whole at [`Memo::open`] and appended to once by [`Memo::save`] with a single `O_APPEND`
/// write, so that links at the same time need no lock. A record whose check fails is ignored; a memo with such records, too
/// many said twice, or too long, is written anew and renamed into place. What a link next to us appends meanwhile is then
/// lost, which costs it one more learning. Shared freely among threads.
#[derive(Debug)]
pub(super) struct Memo<K, V> {
    path: Option<PathBuf>,
    state: Mutex<State<K, V>>,
}

#[derive(Debug)]
struct State<K, V> {
    known: HashMap<K, V>,
    /// In the order of the file, oldest first; what a rewrite keeps.
    order: Vec<K>,
    /// Learnt by this process.
    fresh: Vec<K>,
    /// Records in the file that are said twice: links at the same time learnt the same.
    twice: usize,
    /// Records that fail their check, and a last one cut short, after which appending would go out of step.
    damaged: usize,
}

impl<K, V> Default for State<K, V> {
    fn default() -> Self {
        State {
            known: HashMap::new(),
            order: Vec::new(),
            fresh: Vec::new(),
            twice: 0,
            damaged: 0,
        }
    }
}

impl<K: Fixed + Eq + Hash + Debug, V: Fixed> Memo<K, V> {
    const BODY_LEN: usize = K::LEN + V::LEN;
    pub(super) const RECORD_LEN: usize = Self::BODY_LEN + CHECK_LEN;

    /// One that is kept in no file.
    pub(super) fn in_memory() -> Self {
        Memo {
            path: None,
            state: Mutex::default(),
        }
    }

    /// The memo in `path`. One that can't be read is an empty one.
    pub(super) fn open(path: &Path) -> Self {
        let mut state = State::default();
        if let Ok(bytes) = std::fs::read(path) {
            let records = bytes.chunks_exact(Self::RECORD_LEN);
            state.damaged += usize::from(!records.remainder().is_empty());
            for record in records {
                match Self::decode(record) {
                    Some((key, value)) if state.known.insert(key, value).is_none() => state.order.push(key),
                    Some(_) => state.twice += 1,
                    None => state.damaged += 1,
                }
            }
        }
        Memo {
            path: Some(path.to_owned()),
            state: Mutex::new(state),
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.state().known.get(key).copied()
    }

    pub(super) fn learn(&self, key: K, value: V) {
        let mut state = self.state();
        if state.known.insert(key, value).is_none() {
            state.fresh.push(key);
        }
    }

    /// Appends what was learnt to the file; nothing to do where nothing was.
    ///
    /// # Errors
    /// Of the file system. What was learnt stays usable, so callers may ignore them.
    pub(super) fn save(&self) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut state = self.state();
        let fresh = std::mem::take(&mut state.fresh);
        if fresh.is_empty() {
            return Ok(());
        }
        state.order.extend_from_slice(&fresh);
        let total = state.order.len().saturating_add(state.twice);
        if state.damaged > 0 || state.twice > state.order.len() / 4 || total > MAX_RECORDS {
            if total > MAX_RECORDS {
                let surplus = state.order.len().saturating_sub(MAX_RECORDS / 2);
                state.order.drain(..surplus);
            }
            (state.twice, state.damaged) = (0, 0);
            return rewrite(path, &Self::encode(&state.known, &state.order));
        }
        let bytes = Self::encode(&state.known, &fresh);
        drop(state);
        let mut file = OpenOptions::new().append(true).create(true).mode(0o644).open(path)?;
        file.write_all(&bytes)
    }

    /// The records of these keys.
    pub(super) fn encode(known: &HashMap<K, V>, keys: &[K]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(keys.len().saturating_mul(Self::RECORD_LEN));
        for key in keys {
            let Some(value) = known.get(key) else {
                continue;
            };
            let start = bytes.len();
            key.write(&mut bytes);
            value.write(&mut bytes);
            let check = check(bytes.get(start..).unwrap_or_default());
            bytes.extend_from_slice(&check);
        }
        bytes
    }

    fn decode(record: &[u8]) -> Option<(K, V)> {
        let (body, stored) = record.split_at_checked(Self::BODY_LEN)?;
        if check(body) != stored {
            return None;
        }
        let (key, value) = body.split_at_checked(K::LEN)?;
        Some((K::read(key)?, V::read(value)?))
    }

    /// A panic in another thread can't leave the map half-changed in a way that matters: each insert stands alone.
    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.order.len(), state.damaged)
    }
}

fn rewrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut temp = tempfile::Builder::new()
        .prefix(super::store::TEMP_PREFIX)
        .tempfile_in(dir)?;
    temp.write_all(bytes)?;
    temp.persist(path)?;
    Ok(())
}

fn check(body: &[u8]) -> [u8; CHECK_LEN] {
    let mut out = [0; CHECK_LEN];
    blake3::Hasher::new().update(body).finalize_xof().fill(&mut out);
    out
}
