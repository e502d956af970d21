//! One file on disk: its first bytes, its mapping, and the stamp by which a later change is noticed.
//! Knows nothing of links; what the bytes mean is `classify`'s.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use rustix::fs::OFlags;

use super::classify::{FatObjects, FileKind, HEAD, classify, refine};
use crate::sys;

/// Identity of a file's contents as far as the file system tells: equal stamps, same bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last modification, nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Last change of the inode, nanoseconds since 1970: moves even where `mtime` was set back by hand.
    pub ctime_ns: i128,
}

impl Stamp {
    /// The stamp of whatever `path` leads to now. Errors are the system's.
    pub fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::from(&metadata))
    }
}

impl From<&std::fs::Metadata> for Stamp {
    fn from(metadata: &std::fs::Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The leading bytes of an open file.
pub(super) struct Peeked {
    file: File,
    /// What they say it is. [`FileKind::FatObject`] only after [`Peeked::map`].
    pub kind: FileKind,
}

/// Opens a file and reads its first bytes: two system calls. Non-blocking, so that a named pipe does not hold us up.
pub(super) fn peek(path: &Path) -> io::Result<Peeked> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let mut head = [0; HEAD];
    let kind = match file.read_at(&mut head, 0) {
        Ok(length) => classify(head.get(..length).unwrap_or_default()),
        Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::SPIPE) => FileKind::Stream,
        Err(error) => return Err(error),
    };
    Ok(Peeked { file, kind })
}

impl Peeked {
    /// The stamp of the open file itself, whatever its path leads to by now.
    pub fn stamp(&self) -> io::Result<Stamp> {
        self.file.metadata().map(|metadata| Stamp::from(&metadata))
    }

    /// Reads the whole file, for linker scripts.
    pub fn read(self) -> io::Result<(Vec<u8>, Stamp)> {
        let stamp = self.stamp()?;
        let mut bytes = Vec::new();
        let mut file = self.file;
        file.read_to_end(&mut bytes)?;
        Ok((bytes, stamp))
    }

    /// Maps the file if its bytes are of any use to a link with bitcode, and settles its kind.
    pub fn map(&self, fat: FatObjects) -> io::Result<(FileKind, Option<Arc<Mmap>>)> {
        match self.kind {
            FileKind::Bitcode | FileKind::Archive | FileKind::ThinArchive => {
                Ok((self.kind, Some(Arc::new(sys::map(&self.file)?))))
            }
            FileKind::NativeObject if fat == FatObjects::Looked => {
                let map = Arc::new(sys::map(&self.file)?);
                let kind = refine(&map, fat);
                Ok((kind, (kind == FileKind::FatObject).then_some(map)))
            }
            kind => Ok((kind, None)),
        }
    }
}
