//! Tells the server which executions are no longer wanted; nobody waits for that but the end of the client.
//! Knows nothing of why.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bazel_remote_apis::google::longrunning::{CancelOperationRequest, operations_client::OperationsClient};
use tokio::task::JoinSet;

use super::shared::{SHORT, Shared};

/// How long the end of a client may take.
const FAREWELL: Duration = Duration::from_millis(200);

/// Cancellations that are on their way.
#[derive(Debug, Default)]
pub(super) struct Farewells(Mutex<JoinSet<()>>);

impl Farewells {
    /// Tells the server, which need not listen: few do more than notice that nobody waits for a result any more.
    pub(super) fn cancel(&self, shared: &Arc<Shared>, operation: String) {
        let shared = Arc::clone(shared);
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let line = shared.calls();
            let mut client = OperationsClient::new(line.channel.clone());
            let request = shared.request(CancelOperationRequest { name: operation });
            if let Ok(Err(status)) = tokio::time::timeout(SHORT, client.cancel_operation(request)).await {
                tracing::debug!("{}", shared.status("cancelling an execution", &status));
            }
        });
    }

    /// Until all are told, or a moment has passed.
    pub(super) async fn said(&self) {
        let tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = tokio::time::timeout(FAREWELL, tasks.join_all()).await;
    }
}
