//! What came of an action: its object and its words fetched, and refused unless they are what a backend leaves.
//! Knows nothing of what is done with them, nor whether they come from a worker or from an action cache.

use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use tonic::codegen::Bytes;

use super::action::OBJECT;
use crate::remote::{Client, Digest, RemoteError, api};

/// So many results are fetched with one question at most,
const BATCH: usize = 32;
/// and so many bytes.
const BATCH_BYTES: u64 = 4 << 20;
/// So many threads ask.
pub(super) const THREADS: usize = 4;

/// A result to be fetched: of which job and module, and whose it is.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) job: usize,
    pub(super) at: usize,
    pub(super) result: api::ActionResult,
    pub(super) from: From,
}

/// Who made a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Somebody, before.
    Cache,
    /// A worker, named where it is known.
    Worker(Option<String>),
}

/// An object, and what clang said when it made it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) object: Bytes,
    pub(super) said: String,
}

/// Why a result is none.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Flaw {
    /// The command failed. Whether the code is at fault is for a backend here to say.
    #[error("a remote backend failed ({code}): {}", .said.lines().next().unwrap_or("without a word"))]
    Failed {
        /// Its exit status.
        code: i32,
        /// What it printed.
        said: String,
    },
    /// The object is not one.
    #[error("a remote backend left {0}")]
    Object(&'static str),
    /// It cannot be fetched.
    #[error("{0}")]
    Server(#[from] RemoteError),
}

/// Fetches results as they come, until no more do; several threads may.
pub(super) fn attend(
    client: &Client,
    due: &Mutex<Receiver<Due>>,
    received: &(dyn Fn(Due, Result<Received, Flaw>) + Sync),
) {
    loop {
        let batch = {
            let due = due.lock().unwrap_or_else(PoisonError::into_inner);
            let Ok(first) = due.recv() else { return };
            let mut bytes = first.size();
            let mut batch = vec![first];
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Ok(next) = due.try_recv() else { break };
                bytes += next.size();
                batch.push(next);
            }
            batch
        };
        let results = receive(client, &batch);
        for (due, result) in batch.into_iter().zip(results) {
            received(due, result);
        }
    }
}

impl Due {
    fn size(&self) -> u64 {
        let sizes = self.result.output_files.iter().filter_map(|file| file.digest.as_ref());
        sizes.map(|digest| digest.size_bytes.unsigned_abs()).sum()
    }
}

/// Fetches these results, all that is small at once.
fn receive(client: &Client, due: &[Due]) -> Vec<Result<Received, Flaw>> {
    let wanted: Vec<Result<Wanted, Flaw>> = due.iter().map(|due| Wanted::of(&due.result)).collect();
    let digests: Vec<Digest> = wanted.iter().flatten().flat_map(Wanted::digests).collect();
    let mut fetched = client.fetch(&digests).into_iter();
    let received = |wanted: Result<Wanted, Flaw>| {
        let wanted = wanted?;
        let mut bytes = |of: Piece| match of {
            Piece::Here(bytes) => Ok(bytes),
            Piece::There(_) => fetched.next().unwrap_or_else(|| Ok(Bytes::new())),
        };
        // Both are taken before either is looked at, that the next result finds its own.
        let (object, said) = (bytes(wanted.object), bytes(wanted.said));
        Ok(Received {
            object: object?,
            said: String::from_utf8_lossy(&said?).into_owned(),
        })
    };
    wanted.into_iter().map(received).collect()
}

/// The parts of a result.
struct Wanted {
    object: Piece,
    said: Piece,
}

enum Piece {
    Here(Bytes),
    There(Digest),
}

impl Wanted {
    fn of(result: &api::ActionResult) -> Result<Wanted, Flaw> {
        let raw = Bytes::from(result.stderr_raw.clone());
        if result.exit_code != 0 {
            return Err(Flaw::Failed {
                code: result.exit_code,
                said: String::from_utf8_lossy(&raw).into_owned(),
            });
        }
        let object = result.output_files.iter().find(|file| file.path == OBJECT);
        let object = object.ok_or(Flaw::Object("no object"))?;
        let digest = object.digest.as_ref().and_then(Digest::from_message);
        let digest = digest.ok_or(Flaw::Object("an object without a digest"))?;
        if digest.size == 0 {
            return Err(Flaw::Object("an empty object"));
        }
        let is_inline = Digest::of(&object.contents) == digest;
        let words = result.stderr_digest.as_ref().and_then(Digest::from_message);
        Ok(Wanted {
            object: match is_inline {
                true => Piece::Here(object.contents.clone().into()),
                false => Piece::There(digest),
            },
            said: match words.filter(|words| raw.is_empty() && words.size > 0) {
                Some(words) => Piece::There(words),
                None => Piece::Here(raw),
            },
        })
    }

    fn digests(&self) -> impl Iterator<Item = Digest> {
        [&self.object, &self.said].into_iter().filter_map(|piece| match piece {
            Piece::Here(_) => None,
            Piece::There(digest) => Some(*digest),
        })
    }
}
