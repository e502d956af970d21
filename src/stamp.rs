//! What `stat` tells of a file: enough to notice that it is another, or another's content, than when it was last looked at.
//! Knows nothing of what files hold, nor of who asks.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file changed more recently than this could change again without `stat` showing it: the kernel's time stamps move in
/// ticks of some milliseconds, and some file systems keep whole seconds (FAT two of them).
pub const RACY: Duration = Duration::from_secs(2);

/// Twice what the slowest clock of a file system with nanoseconds takes to move on.
const TICKS: Duration = Duration::from_millis(20);

/// Which file, in which state, as `stat` sees it. The change time is in it because it can't be set back: a file replaced
/// by another of the same size and modification time (`cp -p`, `touch -r`) still has a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    dev: u64,
    ino: u64,
    /// Size in bytes.
    pub size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Stamp {
    /// The stamp of the file at `path`, symbolic links followed.
    pub fn of(path: &Path) -> io::Result<Stamp> {
        Ok(Stamp::from_metadata(&std::fs::metadata(path)?))
    }

    /// The stamp in metadata at hand.
    #[must_use]
    pub fn from_metadata(m: &std::fs::Metadata) -> Stamp {
        Stamp {
            dev: m.dev(),
            ino: m.ino(),
            size: m.size(),
            mtime: (m.mtime(), m.mtime_nsec()),
            ctime: (m.ctime(), m.ctime_nsec()),
        }
    }

    /// Whether the file could still change without its stamp changing, at time `now`. A time stamp in the future
    /// (another machine's clock) proves nothing, so it counts as recent.
    #[must_use]
    pub fn is_racy(&self, now: SystemTime) -> bool {
        self.is_within(RACY, now)
    }

    fn is_within(&self, window: Duration, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        [self.mtime, self.ctime].iter().any(|&(seconds, nanos)| {
            match (u64::try_from(seconds), u32::try_from(nanos)) {
                (Ok(s), Ok(n)) => now.checked_sub(Duration::new(s, n)).is_none_or(|age| age < window),
                // Before 1970: old whatever its nanoseconds.
                _ => false,
            }
        })
    }

    /// Whether what was opened at `opened` under this stamp could have been changed since with no trace in it. A system
    /// that notes nanoseconds moves its clock at least every ten milliseconds.
    #[must_use]
    pub fn may_hide_a_change(&self, opened: SystemTime) -> bool {
        let is_coarse = self.mtime.1 == 0 && self.ctime.1 == 0;
        self.is_within(if is_coarse { RACY } else { TICKS }, opened)
    }

    /// As seven words, to be written down.
    pub fn words(&self) -> [u64; 7] {
        [
            self.dev,
            self.ino,
            self.size,
            self.mtime.0.cast_unsigned(),
            self.mtime.1.cast_unsigned(),
            self.ctime.0.cast_unsigned(),
            self.ctime.1.cast_unsigned(),
        ]
    }

    /// The stamp that was written down as these.
    pub fn from_words(w: [u64; 7]) -> Stamp {
        let [dev, ino, size, ms, mn, cs, cn] = w;
        Stamp {
            dev,
            ino,
            size,
            mtime: (ms.cast_signed(), mn.cast_signed()),
            ctime: (cs.cast_signed(), cn.cast_signed()),
        }
    }
}
