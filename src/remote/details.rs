//! What a status says beyond its code: which blobs are missing, how long to wait.
//! Knows nothing of codes; details of other kinds are passed over.

use std::time::Duration;

use bazel_remote_apis::google::{protobuf, rpc};
use prost::Message;

use super::digest::Digest;

/// `google.rpc.PreconditionFailure` and `google.rpc.RetryInfo`, the parts that are used.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// The blobs of all violations of type MISSING.
    pub missing: Vec<Digest>,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
}

#[derive(Message)]
struct PreconditionFailure {
    #[prost(message, repeated, tag = "1")]
    violations: Vec<Violation>,
}

#[derive(Message)]
struct Violation {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    subject: String,
}

#[derive(Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<protobuf::Duration>,
}

impl Details {
    /// Of a call's status, where they are a `google.rpc.Status` of their own.
    pub(super) fn of_bytes(bytes: &[u8]) -> Details {
        rpc::Status::decode(bytes).map_or_else(|_| Details::default(), |status| Details::of(&status.details))
    }

    pub(super) fn of(details: &[protobuf::Any]) -> Details {
        let mut found = Details::default();
        for any in details {
            // `type.googleapis.com/google.rpc.RetryInfo`
            match any.type_url.rsplit('/').next() {
                Some("google.rpc.PreconditionFailure") => {
                    let failure = PreconditionFailure::decode(&any.value[..]).unwrap_or_default();
                    let missing = failure
                        .violations
                        .iter()
                        .filter(|violation| violation.kind == "MISSING");
                    found
                        .missing
                        .extend(missing.filter_map(|violation| blob(&violation.subject)));
                }
                Some("google.rpc.RetryInfo") => {
                    let delay = RetryInfo::decode(&any.value[..]).unwrap_or_default().delay;
                    found.retry_after = delay.and_then(|delay| {
                        let seconds = u64::try_from(delay.seconds).ok()?;
                        Some(Duration::new(seconds, delay.nanos.try_into().ok()?))
                    });
                }
                _ => {}
            }
        }
        found
    }
}

/// `blobs/HASH/SIZE`, as the API has it; some servers put their instance before it.
fn blob(subject: &str) -> Option<Digest> {
    let mut parts = subject.rsplitn(3, '/');
    let (size, hash) = (parts.next()?, parts.next()?);
    format!("{hash}/{size}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_blobs_and_delays_are_found_among_others() {
        let digest = Digest::of(b"x");
        let violation = |kind: &str, subject: String| Violation {
            kind: kind.into(),
            subject,
        };
        let failure = PreconditionFailure {
            violations: vec![
                violation("MISSING", format!("blobs/{digest}")),
                violation("MISSING", format!("main/blobs/{digest}")),
                violation("OTHER", format!("blobs/{digest}")),
                violation("MISSING", "blobs/what".into()),
            ],
        };
        let delay = protobuf::Duration {
            seconds: 1,
            nanos: 500_000_000,
        };
        let any = |name: &str, value| protobuf::Any {
            type_url: format!("type.googleapis.com/google.rpc.{name}"),
            value,
        };
        let details = Details::of(&[
            any("DebugInfo", vec![0xff]),
            any("PreconditionFailure", failure.encode_to_vec()),
            any("RetryInfo", RetryInfo { delay: Some(delay) }.encode_to_vec()),
        ]);
        assert_eq!(details.missing, [digest, digest]);
        assert_eq!(details.retry_after, Some(Duration::from_millis(1500)));
    }
}
