//! What the thin link sees of each piece of bitcode, remembered as [`super::digest`] remembers contents: an unchanged file
//! is looked through once in its life. Knows nothing of what is seen.

use std::path::Path;
use std::time::SystemTime;

use super::memo::{Fixed, Memo};
use crate::bitcode::ThinView;
use crate::stamp::Stamp;

/// A file in one state, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file.
    pub stamp: Stamp,
    /// Where an archive's member has its header; 0 for a file that is one piece.
    pub offset: u64,
}

impl Fixed for Place {
    const LEN: usize = Stamp::LEN + 8;

    fn write(&self, to: &mut Vec<u8>) {
        self.stamp.write(to);
        to.extend_from_slice(&self.offset.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Place> {
        let (stamp, offset) = bytes.split_at_checked(Stamp::LEN)?;
        Some(Place {
            stamp: Stamp::read(stamp)?,
            offset: u64::from_le_bytes(offset.try_into().ok()?),
        })
    }
}

/// Digest, whether there is a hash, the hash.
impl Fixed for ThinView {
    const LEN: usize = 32 + 4 + 5 * 4;

    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.digest);
        let hash = self.hash.unwrap_or_default();
        for word in [u32::from(self.hash.is_some())].iter().chain(&hash) {
            to.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn read(bytes: &[u8]) -> Option<ThinView> {
        let (digest, words) = bytes.split_first_chunk::<32>()?;
        let mut words = words.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
        let has_hash = words.next()? != 0;
        let mut hash = [0; 5];
        for (to, word) in hash.iter_mut().zip(words) {
            *to = word;
        }
        Some(ThinView {
            digest: *digest,
            hash: has_hash.then_some(hash),
        })
    }
}

/// Views, from the memo where it has them. Shared freely among threads.
#[derive(Debug)]
pub struct Views(Memo<Place, ThinView>);

impl Views {
    /// Views remembered in `memo`. A memo that can't be read is an empty one.
    #[must_use]
    pub fn open(memo: &Path) -> Views {
        Views(Memo::open(memo))
    }

    /// The view of what is at `place`, where somebody has looked.
    pub fn known(&self, place: Place) -> Option<ThinView> {
        self.0.get(&place)
    }

    /// Remembers the view of what is at `place`, which was opened at `opened` under the stamp in it.
    pub fn learn(&self, place: Place, opened: SystemTime, view: ThinView) {
        // What may have changed under this stamp since may change under it again.
        if !place.stamp.is_racy(opened) {
            self.0.learn(place, view);
        }
    }

    /// Appends what was learnt to the memo.
    ///
    /// # Errors
    /// Of the file system, and not worth stopping for.
    pub fn save(&self) -> std::io::Result<()> {
        self.0.save()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::RACY;
    use std::time::Duration;

    #[test]
    fn a_settled_file_is_looked_through_once() {
        let dir = tempfile::tempdir().unwrap();
        let (file, memo) = (dir.path().join("f"), dir.path().join("views"));
        std::fs::write(&file, "one").unwrap();
        let stamp = Stamp::of(&file).unwrap();
        let view = |n| ThinView {
            digest: [n; 32],
            hash: (n > 1).then_some([n.into(); 5]),
        };
        let (whole, member) = (Place { stamp, offset: 0 }, Place { stamp, offset: 68 });
        let now = SystemTime::now();
        let views = Views::open(&memo);
        // Too young.
        views.learn(whole, now, view(1));
        assert_eq!(views.known(whole), None);
        views.save().unwrap();
        assert!(!memo.exists());
        let later = now + RACY + Duration::from_millis(100);
        views.learn(whole, later, view(1));
        views.learn(member, later, view(3));
        views.save().unwrap();
        let views = Views::open(&memo);
        assert_eq!(
            (views.known(whole), views.known(member)),
            (Some(view(1)), Some(view(3)))
        );
    }
}
