//! One file on disk: its first bytes, its mapping, and the stamp by which a later change is noticed.
//! Knows nothing of links; what the bytes mean is `classify`'s.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use rustix::fs::OFlags;

use super::classify::{FatObjects, FileKind, HEAD, classify, refine};
pub use crate::stamp::Stamp;
use crate::sys;

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
        self.file.metadata().map(|metadata| Stamp::from_metadata(&metadata))
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
