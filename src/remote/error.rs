//! What can go wrong with a server, sorted by what can be done about it.
//! Knows nothing of retries or of what was asked.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};

use super::details::Details;
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
    /// Blobs that it does not have; of an execution the action alone, where the server does not say which.
    Missing(Vec<Digest>),
    /// What came is not what was asked for: its digest is another.
    Corrupt(Digest),
    /// It cannot do something that is needed; what, in its API's words.
    Unsupported(&'static str),
    /// A file of ours (a certificate, or one that was to be sent) cannot be read, or is no longer what it was.
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
    pub endpoint: Box<str>,
    /// What was being done: `executing`.
    pub doing: &'static str,
    /// The server's own words, or the transport's.
    pub words: Box<str>,
    /// How long the server wants to be left alone, where it says so.
    pub retry_after: Option<Duration>,
}

/// What a kind adds to the words, for people.
struct Explained<'a>(&'a Kind);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Denied => f.write_str(" (credentials are THINLTO_LD_REMOTE_HEADERS and THINLTO_LD_REMOTE_TLS_CERT)"),
            Kind::Missing(blobs) => write!(f, " (missing: {} blobs)", blobs.len()),
            Kind::Failed { code } => write!(f, " ({:?})", Code::from_i32(*code)),
            _ => Ok(()),
        }
    }
}

impl RemoteError {
    /// Whether the same may succeed a little later. The client has retried already when a caller sees it.
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            Kind::Unreachable | Kind::Full => true,
            Kind::Failed { code } => code == Code::Aborted as i32,
            _ => false,
        }
    }

    /// From what tonic made of a call's end.
    pub(super) fn of_status(endpoint: &str, doing: &'static str, status: &Status) -> RemoteError {
        let (kind, words, retry_after) = if is_of_transport(status) {
            let words = with_causes(status);
            (kind_of_transport(&words), words, None)
        } else {
            let details = Details::of_bytes(status.details());
            let kind = kind_of(status.code(), &details);
            (kind, status.message().to_owned(), details.retry_after)
        };
        RemoteError {
            kind,
            endpoint: endpoint.into(),
            doing,
            words: words.into(),
            retry_after,
        }
    }

    /// From a status that is part of an answer, as an execution's is.
    pub(super) fn of_answer(
        endpoint: &str,
        doing: &'static str,
        status: &bazel_remote_apis::google::rpc::Status,
    ) -> RemoteError {
        let details = Details::of(&status.details);
        RemoteError {
            kind: kind_of(Code::from_i32(status.code), &details),
            endpoint: endpoint.into(),
            doing,
            words: status.message.as_str().into(),
            retry_after: details.retry_after,
        }
    }
}

fn kind_of(code: Code, details: &Details) -> Kind {
    match code {
        Code::Unavailable => Kind::Unreachable,
        Code::Unauthenticated | Code::PermissionDenied => Kind::Denied,
        Code::ResourceExhausted => Kind::Full,
        Code::FailedPrecondition if !details.missing.is_empty() => Kind::Missing(details.missing.clone()),
        Code::NotFound => Kind::Missing(details.missing.clone()),
        code => Kind::Failed { code: code as i32 },
    }
}

/// Whether no server said this: tonic makes such statuses of what happened to the connection.
fn is_of_transport(status: &Status) -> bool {
    status.source().is_some()
        || status.message().starts_with("protocol error:")
        || status.message().starts_with("h2 protocol error:")
        || status.message() == "Unexpected EOF decoding stream."
}

/// What stands between us and the server may have answered, in HTTP and with a page; tonic keeps of it the status, in its words.
fn kind_of_transport(words: &str) -> Kind {
    let http = words
        .split_once("response with status: ")
        .map(|(_, status)| status.get(..3));
    match http.flatten() {
        Some("401" | "403" | "407") => Kind::Denied,
        Some("429") => Kind::Full,
        Some(status) if status.starts_with('4') => Kind::Failed {
            code: Code::Internal as i32,
        },
        // The other end has ended the handshake because of what we showed it, or did not show.
        None if words.contains("received fatal alert") => Kind::Denied,
        _ => Kind::Unreachable,
    }
}

/// An error's words with those of its causes, each said once.
pub(super) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut words = match error.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => error.to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}
