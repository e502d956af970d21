//! What an execution's parts took, out of the timestamps that server and worker leave.
//! Knows nothing of the execution.

use std::time::Duration;

use bazel_remote_apis::google::protobuf::Timestamp;

use super::api::ExecutedActionMetadata;

/// The parts of an execution, by the clocks of server and worker; zero where they do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From being queued until a worker took it.
    pub queue: Duration,
    /// The worker's fetching of inputs.
    pub fetch: Duration,
    /// The command itself.
    pub run: Duration,
    /// The worker's sending of outputs.
    pub upload: Duration,
}

impl Times {
    pub(super) fn of(metadata: &ExecutedActionMetadata) -> Times {
        let m = metadata;
        Times {
            queue: between(&m.queued_timestamp, &m.worker_start_timestamp),
            fetch: between(&m.input_fetch_start_timestamp, &m.input_fetch_completed_timestamp),
            run: between(&m.execution_start_timestamp, &m.execution_completed_timestamp),
            upload: between(&m.output_upload_start_timestamp, &m.output_upload_completed_timestamp),
        }
    }
}

/// Two clocks may disagree on which was first: then it took no time.
fn between(start: &Option<Timestamp>, end: &Option<Timestamp>) -> Duration {
    let since = |at: &Timestamp| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    let nanos = match (start, end) {
        (Some(start), Some(end)) => since(end) - since(start),
        _ => 0,
    };
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
