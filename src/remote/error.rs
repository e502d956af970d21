//! What can go wrong with a server, sorted by what can be done about it.
//! Knows nothing of retries or of what was asked.

use std::fmt;

use super::digest::Digest;

/// What kind of trouble it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no talking to the server: absent, gone, cut off, or silent beyond a time limit.
    Unreachable,
    /// It does not take our credentials, or they are not enough.
    Denied,
    /// It has no room, or no more patience: quota, rate limit, queue.
    Full,
    /// Blobs that it does not have.
    Missing(Vec<Digest>),
    /// What came is not what was asked for: its digest is another.
    Corrupt(Digest),
    /// It cannot do something that is needed; what, in its API's words.
    Unsupported(&'static str),
    /// A file of ours that was to be sent cannot be read, or is no longer what it was.
    Local,
    /// We gave up, being asked to.
    Cancelled,
    /// Anything else the server answered.
    Failed {
        /// gRPC's number: 3 is INVALID_ARGUMENT, 13 INTERNAL …
        code: i32,
    },
}

/// An error of a server, or in talking to it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{endpoint}: {doing}: {words}{}", Explained(kind))]
pub struct RemoteError {
    /// What can be done about it.
    pub kind: Kind,
    /// The server, as the user named it.
    pub endpoint: String,
    /// What was being done: `executing`.
    pub doing: &'static str,
    /// The server's own words, or the transport's.
    pub words: String,
}

/// What a kind adds to the words, for people.
struct Explained<'a>(&'a Kind);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Denied => f.write_str(" (see THINLTO_LD_REMOTE_HEADERS, THINLTO_LD_REMOTE_TLS_CERT)"),
            Kind::Missing(blobs) => write!(f, " ({} blobs missing)", blobs.len()),
            Kind::Failed { code } => write!(f, " ({:?})", tonic::Code::from_i32(*code)),
            _ => Ok(()),
        }
    }
}

impl RemoteError {
    /// Whether the same may succeed a little later. The client has retried already when a caller sees it.
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            Kind::Unreachable | Kind::Full => true,
            Kind::Failed { code } => code == tonic::Code::Aborted as i32,
            _ => false,
        }
    }
}
