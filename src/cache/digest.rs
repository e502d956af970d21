//! Content digests of input files, remembered from link to link by what `stat` says of a file, so that an unchanged
//! input is hashed once in its life. Knows nothing of keys or objects, and never trusts a file touched a moment ago.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

pub use crate::stamp::Stamp;

/// The blake3 hash of some content.
pub type Digest = [u8; 32];

/// One record of the memo: a stamp in seven words, the digest, and eight bytes that check the two.
const STAMP_LEN: usize = 7 * 8;
const BODY_LEN: usize = STAMP_LEN + 32;
const RECORD_LEN: usize = BODY_LEN + 8;

/// The memo is rewritten when more records than this are in it; the newest half stays.
const MAX_RECORDS: usize = 200_000;

/// Hashes an open file from where it stands to its end; returns its length too. Plain reads, so that a file cut short
/// meanwhile is an odd digest and not a SIGBUS.
pub fn of_file(file: &File) -> io::Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok((*hasher.finalize().as_bytes(), hasher.count()))
}

/// Digests of files, from the memo where it has them. Shared freely among threads.
///
/// The memo is one file of checked records, read whole at [`Digests::open`] and appended to once by [`Digests::save`] with a
/// single `O_APPEND` write, so that links at the same time need no lock. A record whose check fails is ignored; a memo with
/// such records, too many said twice, or too long, is written anew and renamed into place. What a link next to us appends meanwhile is then lost,
/// which costs it one more hashing.
#[derive(Debug)]
pub struct Digests {
    memo: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<Stamp, Digest>,
    /// In the order of the file, oldest first; what a rewrite keeps.
    order: Vec<Stamp>,
    /// Learnt by this process and safe to remember.
    fresh: Vec<Stamp>,
    /// Records in the file that are said twice: links at the same time learnt the same.
    twice: usize,
    /// Records that fail their check, and a last one cut short, after which appending would go out of step.
    damaged: usize,
}

impl Digests {
    /// Digests that are remembered in no file.
    #[must_use]
    pub fn in_memory() -> Digests {
        Digests {
            memo: None,
            state: Mutex::default(),
        }
    }

    /// Digests remembered in `memo`. A memo that can't be read is an empty one.
    #[must_use]
    pub fn open(memo: &Path) -> Digests {
        let mut state = State::default();
        if let Ok(bytes) = std::fs::read(memo) {
            let (records, rest) = bytes.as_chunks::<RECORD_LEN>();
            state.damaged += usize::from(!rest.is_empty());
            for record in records {
                match decode(record) {
                    Some((stamp, digest)) if state.known.insert(stamp, digest).is_none() => {
                        state.order.push(stamp);
                    }
                    Some(_) => state.twice += 1,
                    None => state.damaged += 1,
                }
            }
        }
        Digests {
            memo: Some(memo.to_owned()),
            state: Mutex::new(state),
        }
    }

    /// The digest of the content of `path`.
    ///
    /// # Errors
    /// Whatever opening or reading the file gives. What is no regular file is an error: a pipe or a device has no content
    /// to speak of, and reading it may never end.
    pub fn of(&self, path: &Path) -> io::Result<Digest> {
        Ok(self.with_stamp(path)?.0)
    }

    /// The digest of `path` and the stamp it was read under. A caller that compiles the file later compares the stamp with
    /// [`Stamp::of`] afterwards, lest it file the result under a content that was not the one compiled.
    ///
    /// # Errors
    /// As [`Digests::of`].
    pub fn with_stamp(&self, path: &Path) -> io::Result<(Digest, Stamp)> {
        // The time before the stamp, and the stamp before the content: whatever changes from here on shows.
        let now = SystemTime::now();
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let stamp = Stamp::from_metadata(&metadata);
        if let Some(digest) = self.state().known.get(&stamp) {
            return Ok((*digest, stamp));
        }
        let file = File::open(path)?;
        let stamp = Stamp::from_metadata(&file.metadata()?);
        let (digest, _) = of_file(&file)?;
        if Stamp::from_metadata(&file.metadata()?) == stamp && !stamp.is_racy(now) {
            let mut state = self.state();
            if state.known.insert(stamp, digest).is_none() {
                state.fresh.push(stamp);
            }
        }
        Ok((digest, stamp))
    }

    /// Appends what was learnt to the memo; nothing to do where nothing was.
    ///
    /// # Errors
    /// Of the file system. The digests stay usable, so callers may ignore them.
    pub fn save(&self) -> io::Result<()> {
        let Some(memo) = &self.memo else {
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
            return rewrite(memo, &encode_all(&state.known, &state.order));
        }
        let bytes = encode_all(&state.known, &fresh);
        drop(state);
        let mut file = OpenOptions::new().append(true).create(true).mode(0o644).open(memo)?;
        file.write_all(&bytes)
    }

    /// A panic in another thread can't leave the map half-changed in a way that matters: each insert stands alone.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rewrite(memo: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = memo.parent().unwrap_or(Path::new("."));
    let mut temp = tempfile::Builder::new()
        .prefix(super::store::TEMP_PREFIX)
        .tempfile_in(dir)?;
    temp.write_all(bytes)?;
    temp.persist(memo)?;
    Ok(())
}

fn encode_all(known: &HashMap<Stamp, Digest>, stamps: &[Stamp]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(stamps.len().saturating_mul(RECORD_LEN));
    for stamp in stamps {
        let Some(digest) = known.get(stamp) else {
            continue;
        };
        let start = bytes.len();
        for word in stamp.words() {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(digest);
        let check = check(bytes.get(start..).unwrap_or_default());
        bytes.extend_from_slice(&check);
    }
    bytes
}

fn decode(record: &[u8; RECORD_LEN]) -> Option<(Stamp, Digest)> {
    let (body, stored) = record.split_first_chunk::<BODY_LEN>()?;
    if check(body) != stored {
        return None;
    }
    let (stamp, digest) = body.split_first_chunk::<STAMP_LEN>()?;
    let mut words = [0; 7];
    for (word, bytes) in words.iter_mut().zip(stamp.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Some((Stamp::from_words(words), digest.try_into().ok()?))
}

fn check(body: &[u8]) -> [u8; 8] {
    let mut out = [0; 8];
    blake3::Hasher::new().update(body).finalize_xof().fill(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::RACY;
    use std::time::Duration;

    fn age(path: &Path, seconds: u64) {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(then)
            .unwrap();
    }

    fn records(memo: &Path) -> usize {
        std::fs::read(memo).map_or(0, |b| b.len() / RECORD_LEN)
    }

    #[test]
    fn a_fresh_file_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let (file, memo) = (dir.path().join("f"), dir.path().join("memo"));
        std::fs::write(&file, "one").unwrap();
        // An old modification time does not help: the change time is what counts.
        age(&file, 3600);
        let digests = Digests::open(&memo);
        assert_eq!(digests.of(&file).unwrap(), *blake3::hash(b"one").as_bytes());
        std::fs::write(&file, "two").unwrap();
        age(&file, 3600);
        assert_eq!(digests.of(&file).unwrap(), *blake3::hash(b"two").as_bytes());
        digests.save().unwrap();
        assert_eq!(records(&memo), 0);
    }

    #[test]
    fn a_settled_file_is_remembered_and_a_change_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, memo) = (dir.path().join("f"), dir.path().join("memo"));
        std::fs::write(&file, "one").unwrap();
        std::thread::sleep(RACY + Duration::from_millis(100));
        let digests = Digests::open(&memo);
        let one = digests.of(&file).unwrap();
        digests.save().unwrap();
        assert_eq!(records(&memo), 1);
        // Proof that the memo is what answers: a record with another digest under the file's stamp is believed.
        let stamp = Stamp::of(&file).unwrap();
        std::fs::write(&memo, encode_all(&HashMap::from([(stamp, [7; 32])]), &[stamp])).unwrap();
        assert_eq!(Digests::open(&memo).of(&file).unwrap(), [7; 32]);
        // Same size, same modification time: the change time tells.
        let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
        std::fs::write(&file, "two").unwrap();
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(modified)
            .unwrap();
        assert_eq!(
            Digests::open(&memo).of(&file).unwrap(),
            *blake3::hash(b"two").as_bytes()
        );
        assert_ne!(one, *blake3::hash(b"two").as_bytes());
    }

    #[test]
    fn a_damaged_record_is_forgotten_and_the_memo_healed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, memo) = (dir.path().join("f"), dir.path().join("memo"));
        std::fs::write(&file, "one").unwrap();
        std::thread::sleep(RACY + Duration::from_millis(100));
        let stamp = Stamp::of(&file).unwrap();
        let mut bytes = encode_all(&HashMap::from([(stamp, [7; 32])]), &[stamp]);
        bytes[STAMP_LEN] ^= 1;
        bytes.extend_from_slice(b"torn");
        std::fs::write(&memo, bytes).unwrap();
        let digests = Digests::open(&memo);
        assert_eq!(digests.of(&file).unwrap(), *blake3::hash(b"one").as_bytes());
        digests.save().unwrap();
        assert_eq!(std::fs::metadata(&memo).unwrap().len(), RECORD_LEN as u64);
        assert_eq!(Digests::open(&memo).state().damaged, 0);
    }

    #[test]
    fn a_device_is_not_read() {
        for path in ["/dev/zero", "/"] {
            let error = Digests::in_memory().of(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn many_links_append_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let memo = dir.path().join("memo");
        let files: Vec<_> = (0..64).map(|i| dir.path().join(format!("f{i}"))).collect();
        for (i, file) in files.iter().enumerate() {
            std::fs::write(file, i.to_string()).unwrap();
        }
        std::thread::sleep(RACY + Duration::from_millis(100));
        std::thread::scope(|s| {
            for file in &files {
                s.spawn(|| {
                    let digests = Digests::open(&memo);
                    digests.of(file).unwrap();
                    digests.save().unwrap();
                });
            }
        });
        let digests = Digests::open(&memo);
        let state = digests.state();
        assert_eq!((state.order.len(), state.damaged), (64, 0));
        for (i, file) in files.iter().enumerate() {
            assert_eq!(
                state.known[&Stamp::of(file).unwrap()],
                *blake3::hash(i.to_string().as_bytes()).as_bytes()
            );
        }
    }
}
