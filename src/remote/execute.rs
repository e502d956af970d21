//! Has an action executed, and waits for it through lost connections.
//! Knows nothing of what the action does, nor whether what came of it is any good.

use std::sync::Arc;
use std::time::Duration;

use bazel_remote_apis::google::longrunning::{Operation, operation};
use prost::Message;
use tonic::{Code, Streaming};

use super::api::{self, digest_function::Value::Sha256, execution_client::ExecutionClient};
use super::cancel::Cancel;
use super::digest::Digest;
use super::error::{Kind, RemoteError};
use super::retry::Patience;
use super::shared::{Line, Shared, sized};
use super::times::Times;
use super::window::{Fullness, Place};

/// How often it is asked whether the server is still there, while it says nothing of an execution.
const SILENCE: Duration = Duration::from_secs(10);

/// How long a server that is full is left alone.
const FULL: Duration = Duration::from_millis(100);

/// How many streams of one execution may be lost after they had begun well. Some proxies end every stream after minutes.
const LOST_STREAMS: usize = 20;

const EXECUTING: &str = "executing";

/// An action to execute, and how.
#[derive(Clone, Copy, Debug)]
pub struct Execution {
    /// The digest of an `Action` whose blobs have been uploaded.
    pub action: Digest,
    /// Lower is earlier, 0 the server's default; brought into the range that the server takes.
    pub priority: i32,
    /// Whether an earlier result in the server's action cache will do.
    pub cache: CacheLookup,
}

/// Whether the action cache is looked into before executing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheLookup {
    /// An earlier result will do.
    Allowed,
    /// It is executed again, whatever is there: the earlier result was no good.
    Skipped,
}

impl From<Digest> for Execution {
    fn from(action: Digest) -> Self {
        Execution {
            action,
            priority: 0,
            cache: CacheLookup::Allowed,
        }
    }
}

/// What came of an execution. A command that failed is none of the server's faults: see `result.exit_code`.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Outputs, exit code, stdout and stderr (by digest or in place).
    pub result: api::ActionResult,
    /// Whether it is an earlier result.
    pub was_cached: bool,
    /// The worker's name, where the server tells.
    pub worker: Option<String>,
    /// What took how long, where the server tells.
    pub times: Times,
}

/// Has it executed and waits, until it is cancelled; to drop it is to cancel it. `begun` is called when a worker is at it, if
/// the server tells.
pub(super) async fn execute(
    shared: &Arc<Shared>,
    execution: Execution,
    cancel: &Cancel,
    begun: &(dyn Fn() + Send + Sync),
) -> Result<Executed, RemoteError> {
    if !shared.capabilities.executes {
        let words = "the server does not execute, it is a cache only";
        return Err(shared.error(Kind::Unsupported("execution"), EXECUTING, words));
    }
    let mut waiting = Waiting {
        shared,
        execution,
        operation: None,
        was_heard: false,
        begun,
    };
    let executed = tokio::select! {
        biased;
        () = cancel.made() => Err(shared.error(Kind::Cancelled, EXECUTING, "it was no longer wanted")),
        executed = waiting.finish() => executed,
    };
    executed.map_err(|error| lacking(shared, execution.action, error))
}

/// What the server says it lacks is no longer held to be there. If it does not say what that is, it is asked about everything again.
fn lacking(shared: &Shared, action: Digest, mut error: RemoteError) -> RemoteError {
    // The API: a missing input, among others. BuildGrid names none.
    if error.kind
        == (Kind::Failed {
            code: Code::FailedPrecondition as i32,
        })
    {
        error.kind = Kind::Missing(Vec::new());
    }
    match &mut error.kind {
        Kind::Missing(blobs) if blobs.is_empty() => {
            shared.held.forget_all();
            blobs.push(action);
        }
        Kind::Missing(blobs) => shared.held.forget(blobs),
        _ => {}
    }
    error
}

/// One execution; through several streams, if it must be.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    execution: Execution,
    /// The server's name for it, from when it has one until it is done.
    operation: Option<String>,
    /// Whether the server has said anything in the last stream.
    was_heard: bool,
    /// To be told when a worker is at it.
    begun: &'a (dyn Fn() + Send + Sync),
}

impl Waiting<'_> {
    async fn finish(&mut self) -> Result<Executed, RemoteError> {
        let mut patience = Patience::default();
        let (mut lost_streams, mut has_left) = (0, false);
        let shared = Arc::clone(self.shared);
        loop {
            let place = shared.window.enter().await;
            let ended = tokio::select! {
                biased;
                ended = self.attempt(&place) => ended,
                // The server goes on with it, and is asked about it later.
                () = place.is_wanted() => {
                    has_left = true;
                    continue;
                }
            };
            let mut error = match ended {
                Ok(executed) => {
                    place.ended_well();
                    return Ok(executed);
                }
                Err(error) => error,
            };
            let is_ours = error.kind == Kind::Full && place.refused() == Fullness::Ours;
            drop(place);
            if is_ours {
                // What is in the server's queue goes on.
                tokio::time::sleep(FULL).await;
                continue;
            }
            if self.was_heard && error.kind == Kind::Unreachable && lost_streams < LOST_STREAMS {
                // It was under way, and may be still.
                lost_streams += 1;
                patience.restore();
            } else if matches!(error.kind, Kind::Missing(_)) && self.operation.take().is_some() {
                // The server no longer knows it and it is executed anew: at once if nobody was waiting for it, else as after a
                // restart.
                if std::mem::take(&mut has_left) {
                    continue;
                }
                error.kind = Kind::Unreachable;
            }
            patience.after(error).await?;
        }
    }

    /// Executes, or waits for what is being executed, until the stream ends.
    async fn attempt(&mut self, place: &Place<'_>) -> Result<Executed, RemoteError> {
        self.was_heard = false;
        let line = self.shared.waits();
        let mut stream = self.stream(&line).await?;
        while let Some(operation) = self.heard(&line, stream.message()).await? {
            if operation.done {
                // What is tried again after this is another execution.
                self.operation = None;
                self.was_heard = false;
                return self.ended(operation);
            }
            self.was_heard = true;
            if is_executing(&operation) {
                place.begins();
                (self.begun)();
            }
            if !operation.name.is_empty() {
                place.named();
                self.operation = Some(operation.name);
            }
        }
        Err(self.error(Kind::Unreachable, "the server ended the wait before the execution"))
    }

    async fn stream(&self, line: &Line) -> Result<Streaming<Operation>, RemoteError> {
        let mut client = sized!(ExecutionClient::new(line.channel.clone()));
        match &self.operation {
            Some(name) => {
                let request = self.shared.request(api::WaitExecutionRequest { name: name.clone() });
                self.heard(line, client.wait_execution(request)).await
            }
            None => {
                let policy = api::ExecutionPolicy {
                    priority: self.shared.capabilities.priority(self.execution.priority),
                };
                let request = self.shared.request(api::ExecuteRequest {
                    instance_name: self.shared.instance(),
                    skip_cache_lookup: self.execution.cache == CacheLookup::Skipped,
                    action_digest: Some(self.execution.action.to_message()),
                    execution_policy: Some(policy),
                    digest_function: Sha256.into(),
                    inline_stdout: true,
                    inline_stderr: true,
                    ..Default::default()
                });
                self.heard(line, client.execute(request)).await
            }
        }
        .map(tonic::Response::into_inner)
    }

    /// Waits as long as the server is there: now and then it is asked, for an execution may say nothing for minutes
    /// and a connection that was cut says nothing either. HTTP/2's own pings are no way, gRPC servers take them for an attack.
    async fn heard<T>(
        &self,
        line: &Line,
        heard: impl Future<Output = Result<T, tonic::Status>>,
    ) -> Result<T, RemoteError> {
        tokio::pin!(heard);
        loop {
            let silence = tokio::time::timeout(SILENCE, &mut heard);
            if let Ok(heard) = silence.await {
                return heard.map_err(|status| self.shared.status(EXECUTING, &status));
            }
            if let Err(error) = self.shared.is_there().await {
                self.shared.give_up(line);
                return Err(error);
            }
        }
    }

    fn ended(&self, operation: Operation) -> Result<Executed, RemoteError> {
        let response = match operation.result {
            Some(operation::Result::Response(response)) => response,
            Some(operation::Result::Error(status)) => return Err(self.answer(&status)),
            None => {
                return Err(self.error(
                    Kind::Failed { code: 13 },
                    "the server ended the execution without a result",
                ));
            }
        };
        let response = api::ExecuteResponse::decode(&response.value[..])
            .map_err(|error| self.error(Kind::Failed { code: 13 }, format!("no ExecuteResponse: {error}")))?;
        if let Some(status) = response.status.filter(|status| status.code != 0) {
            return Err(self.answer(&status));
        }
        let result = response
            .result
            .ok_or_else(|| self.error(Kind::Failed { code: 13 }, "the server answered without a result"))?;
        let metadata = result.execution_metadata.clone().unwrap_or_default();
        Ok(Executed {
            was_cached: response.cached_result,
            times: Times::of(&metadata),
            worker: Some(metadata.worker).filter(|worker| !worker.is_empty()),
            result,
        })
    }

    fn answer(&self, status: &bazel_remote_apis::google::rpc::Status) -> RemoteError {
        RemoteError::of_answer(self.shared.endpoint.name(), EXECUTING, status)
    }

    fn error(&self, kind: Kind, words: impl Into<Box<str>>) -> RemoteError {
        self.shared.error(kind, EXECUTING, words)
    }
}

/// Whether a worker has it, by the operation's metadata.
fn is_executing(operation: &Operation) -> bool {
    let metadata = operation.metadata.as_ref();
    let metadata = metadata.and_then(|any| api::ExecuteOperationMetadata::decode(&any.value[..]).ok());
    metadata.is_some_and(|metadata| metadata.stage() == api::execution_stage::Value::Executing)
}

impl Drop for Waiting<'_> {
    /// What is not done is no longer wanted.
    fn drop(&mut self) {
        if let Some(name) = self.operation.take() {
            self.shared.farewells.cancel(self.shared, name);
        }
    }
}
