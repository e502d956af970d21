//! What a link's files were when they were last looked at in vain: one that has not changed since needs no second look.
//! Knows nothing of what was looked for; a record that is lost or damaged costs the looks and nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::key::Key;
use super::memo::Fixed;
use super::store::Store;
use crate::fresh::Fresh;
use crate::stamp::Stamp;

/// Raised whenever a record means something else than before.
const FORMAT: u32 = 1;

/// The record of one link: a stamp for each of its files, in their order. As a stamp says which file it is of, a record of
/// another link, or of this one before its files moved on the command line, is never wrong, only of no use.
#[derive(Debug)]
pub struct Looked {
    dir: PathBuf,
    key: Key,
    before: Vec<u8>,
    began: SystemTime,
}

impl Looked {
    /// What the cache in `dir` has of the link with this name, which says as well what was looked for. Nothing is made.
    pub fn open<'a>(dir: &Path, name: impl IntoIterator<Item = &'a [u8]>) -> Looked {
        let mut hash = blake3::Hasher::new();
        hash.update(b"looked").update(&FORMAT.to_le_bytes());
        for part in name {
            hash.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let key = Key::from(*hash.finalize().as_bytes());
        Looked {
            dir: dir.to_owned(),
            key,
            before: fs::read(Store::entry(dir, &key)).unwrap_or_default(),
            began: SystemTime::now(),
        }
    }

    /// Whether the link's `n`th file is the one that was looked at, as it was then.
    pub fn is_unchanged(&self, n: usize, path: &Path) -> bool {
        let record = self.before.chunks_exact(Stamp::LEN).nth(n);
        let before = record.and_then(Stamp::read);
        before.is_some_and(|before| Stamp::of(path).is_ok_and(|now| now == before))
    }

    /// Notes the files that were looked at now, each with the stamp it was opened under.
    ///
    /// # Errors
    /// Of the file system, or that there can be no cache.
    pub fn note(mut self, files: &[(usize, Stamp)]) -> io::Result<()> {
        // One that could change unseen is looked at again.
        let mut files = files
            .iter()
            .filter(|(_, stamp)| !stamp.may_hide_a_change(self.began))
            .peekable();
        if files.peek().is_none() {
            return Ok(());
        }
        let mut record = Vec::new();
        for (n, stamp) in files {
            record.clear();
            stamp.write(&mut record);
            let from = n * Stamp::LEN;
            if self.before.len() < from + Stamp::LEN {
                self.before.resize(from + Stamp::LEN, 0);
            }
            self.before.splice(from..from + Stamp::LEN, record.iter().copied());
        }
        Store::open(&self.dir).map_err(io::Error::other)?;
        let place = Store::entry(&self.dir, &self.key);
        fs::create_dir_all(place.parent().unwrap_or(&self.dir))?;
        let fresh = Fresh::beside(&place)?;
        fs::write(fresh.path(), &self.before)?;
        fresh.move_to(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn old_file(path: &Path) -> Stamp {
        fs::write(path, "x").unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        Stamp::of(path).unwrap()
    }

    /// The change time cannot be set back, so what was just written is waited for.
    fn settled() {
        std::thread::sleep(Duration::from_millis(60));
    }

    fn open(dir: &Path) -> Looked {
        Looked::open(dir, [b"a link".as_slice()])
    }

    #[test]
    fn a_file_is_unchanged_until_anything_of_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, file, other) = (
            folder.path().join("cache"),
            folder.path().join("f"),
            folder.path().join("g"),
        );
        let stamps = [(1, old_file(&file)), (3, old_file(&other))];
        settled();
        assert!(!open(&dir).is_unchanged(1, &file));
        open(&dir).note(&stamps).unwrap();
        let looked = open(&dir);
        assert!(looked.is_unchanged(1, &file) && looked.is_unchanged(3, &other));
        assert!(!looked.is_unchanged(0, &file), "another place");
        assert!(
            !looked.is_unchanged(2, &file) && !looked.is_unchanged(4, &file),
            "no record"
        );
        assert!(!looked.is_unchanged(1, &other), "another file");
        assert!(!Looked::open(&dir, [b"another".as_slice()]).is_unchanged(1, &file));
        let times = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "y").unwrap();
        fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(times)
            .unwrap();
        assert!(!open(&dir).is_unchanged(1, &file), "same size, same modification time");
        assert!(open(&dir).is_unchanged(3, &other));
        fs::remove_file(&other).unwrap();
        assert!(!open(&dir).is_unchanged(3, &other));
    }

    #[test]
    fn what_could_change_unseen_is_not_noted() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, file) = (folder.path().join("cache"), folder.path().join("f"));
        let looked = open(&dir);
        fs::write(&file, "x").unwrap();
        looked.note(&[(0, Stamp::of(&file).unwrap())]).unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn a_damaged_record_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, file) = (folder.path().join("cache"), folder.path().join("f"));
        let stamp = old_file(&file);
        settled();
        open(&dir).note(&[(0, stamp)]).unwrap();
        let place = Store::entry(&dir, &open(&dir).key);
        fs::write(&place, &fs::read(&place).unwrap()[..20]).unwrap();
        assert!(!open(&dir).is_unchanged(0, &file));
    }
}
