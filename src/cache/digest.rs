//! Content digests of input files, remembered from link to link by what `stat` says of a file, so that an unchanged
//! input is hashed once in its life. Knows nothing of keys or objects, and never trusts a file touched a moment ago.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::memo::Memo;
pub use crate::stamp::Stamp;

/// The hash of some content: blake3, unless [`Digests`] were opened with another.
pub type Digest = [u8; 32];

/// What makes a digest of all that can be read of a file.
pub type Hash = fn(&File) -> io::Result<Digest>;

/// Hashes an open file from where it stands to its end; returns its length too. Plain reads, so that a file cut short
/// meanwhile is an odd digest and not a SIGBUS.
pub fn of_file(file: &File) -> io::Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok((*hasher.finalize().as_bytes(), hasher.count()))
}

fn blake3_of(file: &File) -> io::Result<Digest> {
    Ok(of_file(file)?.0)
}

/// Digests of files, from the memo where it has them. Shared freely among threads.
#[derive(Debug)]
pub struct Digests {
    memo: Memo<Stamp, Digest>,
    hash: Hash,
}

impl Digests {
    /// Digests that are remembered in no file.
    #[must_use]
    pub fn in_memory() -> Digests {
        Digests {
            memo: Memo::in_memory(),
            hash: blake3_of,
        }
    }

    /// Digests remembered in `memo`. A memo that can't be read is an empty one.
    #[must_use]
    pub fn open(memo: &Path) -> Digests {
        Digests {
            memo: Memo::open(memo),
            hash: blake3_of,
        }
    }

    /// Digests of another kind, remembered in `memo`, which must be theirs alone; where there is none, in no file.
    #[must_use]
    pub fn of_kind(hash: Hash, memo: Option<&Path>) -> Digests {
        Digests {
            memo: memo.map_or_else(Memo::in_memory, Memo::open),
            hash,
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
        if let Some(digest) = self.memo.get(&stamp) {
            return Ok((digest, stamp));
        }
        let file = File::open(path)?;
        let stamp = Stamp::from_metadata(&file.metadata()?);
        let digest = (self.hash)(&file)?;
        if Stamp::from_metadata(&file.metadata()?) == stamp && !stamp.is_racy(now) {
            self.memo.learn(stamp, digest);
        }
        Ok((digest, stamp))
    }

    /// Appends what was learnt to the memo; nothing to do where nothing was.
    ///
    /// # Errors
    /// Of the file system. The digests stay usable, so callers may ignore them.
    pub fn save(&self) -> io::Result<()> {
        self.memo.save()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::RACY;
    use std::collections::HashMap;
    use std::time::Duration;

    type Records = Memo<Stamp, Digest>;

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
        std::fs::read(memo).map_or(0, |b| b.len() / Records::RECORD_LEN)
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
        std::fs::write(&memo, Records::encode(&HashMap::from([(stamp, [7; 32])]), &[stamp])).unwrap();
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
        let mut bytes = Records::encode(&HashMap::from([(stamp, [7; 32])]), &[stamp]);
        bytes[60] ^= 1;
        bytes.extend_from_slice(b"torn");
        std::fs::write(&memo, bytes).unwrap();
        let digests = Digests::open(&memo);
        assert_eq!(digests.of(&file).unwrap(), *blake3::hash(b"one").as_bytes());
        digests.save().unwrap();
        assert_eq!(std::fs::metadata(&memo).unwrap().len(), Records::RECORD_LEN as u64);
        assert_eq!(Digests::open(&memo).memo.counts(), (1, 0));
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
        assert_eq!(digests.memo.counts(), (64, 0));
        for (i, file) in files.iter().enumerate() {
            let known = digests.memo.get(&Stamp::of(file).unwrap()).unwrap();
            assert_eq!(known, *blake3::hash(i.to_string().as_bytes()).as_bytes());
        }
    }
}
