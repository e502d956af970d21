//! Bytes with a digest, in memory or in a file, ready to be sent.
//! Knows nothing of servers, nor of which blobs belong together.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;

use super::digest::Digest;

/// What can be sent.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Of what the source has.
    pub digest: Digest,
    /// Where the bytes are.
    pub source: Source,
}

/// Where a blob's bytes are.
#[derive(Clone, Debug)]
pub enum Source {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file, which is read when it is sent, in pieces.
    File(PathBuf),
}

impl Blob {
    /// A blob of these bytes.
    pub fn of_bytes(bytes: impl Into<Arc<[u8]>>) -> Blob {
        let bytes = bytes.into();
        Blob {
            digest: Digest::of(&bytes),
            source: Source::Bytes(bytes),
        }
    }

    /// A blob of one message of the API, as it is encoded.
    pub fn of_message(message: &impl Message) -> Blob {
        Blob::of_bytes(message.encode_to_vec())
    }

    /// A blob of what this file has now. If it is written to before it is sent, sending fails, for the server compares digests.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: impl Into<PathBuf>) -> io::Result<Blob> {
        let path = path.into();
        Ok(Blob {
            digest: Digest::of_reader(File::open(&path)?)?,
            source: Source::File(path),
        })
    }

    /// The blob's file, if it is in one.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::Bytes(_) => None,
            Source::File(path) => Some(path),
        }
    }

    /// Opens the source; of a file no more than the digest's size is read, whatever has become of it.
    pub(super) fn open(&self) -> io::Result<Reader> {
        let from = match &self.source {
            Source::Bytes(bytes) => From::Bytes(Arc::clone(bytes)),
            Source::File(path) => From::File(File::open(path)?),
        };
        Ok(Reader {
            from,
            at: 0,
            size: self.digest.size,
        })
    }
}

enum From {
    Bytes(Arc<[u8]>),
    File(File),
}

/// Reads a blob piece by piece.
pub(super) struct Reader {
    from: From,
    at: u64,
    size: u64,
}

impl Reader {
    /// The next piece, of at most `most` bytes; empty at the end.
    ///
    /// # Errors
    /// The file's, or it has become shorter than it was.
    pub(super) fn piece(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let length = left.min(most);
        let piece = match &self.from {
            From::Bytes(bytes) => {
                let at = usize::try_from(self.at).map_err(io::Error::other)?;
                let piece = bytes.get(at..at + length);
                piece.ok_or(io::ErrorKind::UnexpectedEof)?.to_vec()
            }
            From::File(file) => {
                let mut piece = vec![0; length];
                file.read_exact_at(&mut piece, self.at)?;
                piece
            }
        };
        self.at += length as u64;
        Ok(piece)
    }

    /// All there is, at once: for blobs that are small.
    pub(super) fn whole(mut self) -> io::Result<Vec<u8>> {
        self.piece(usize::MAX)
    }
}
