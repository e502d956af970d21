//! One server, asked from any thread: every question waits for its answer.
//! Knows nothing of how it is asked; those are its neighbours' parts.

use std::fmt;
use std::sync::Arc;

use tokio::runtime::{self, Runtime};
use tonic::codegen::Bytes;

use super::blob::Blob;
use super::cancel::Cancel;
use super::capabilities::Capabilities;
use super::digest::Digest;
use super::endpoint::Endpoint;
use super::error::{Kind, RemoteError};
use super::execute::{self, Executed, Execution};
use super::shared::Shared;
use super::upload::{self, Sent};
use super::{api, fetch, results};

/// Threads of ours that move bytes; hashing and compressing have others, as many as there are transfers.
const THREADS: usize = 2;

/// A connection to a server. Not to be asked from within an asynchronous runtime.
pub struct Client {
    shared: Arc<Shared>,
    /// Taken when the client ends.
    runtime: Option<Runtime>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.shared.endpoint).finish()
    }
}

/// Blob bytes that went over the wire, compressed where they were, and again where they were sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// To the server.
    pub up: u64,
    /// From it.
    pub down: u64,
}

impl Client {
    /// Connects, and asks the server what it can do. Until then no thread is started.
    ///
    /// # Errors
    /// It cannot be reached within some seconds, does not let us in, or lacks SHA256; or a PEM file cannot be read.
    pub fn connect(endpoint: &Endpoint) -> Result<Client, RemoteError> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("remote")
            .enable_all()
            .build()
            .map_err(|error| endpoint.error(Kind::Local, "connecting", error.to_string()))?;
        match runtime.block_on(Shared::connect(endpoint)) {
            Ok(shared) => Ok(Client {
                shared: Arc::new(shared),
                runtime: Some(runtime),
            }),
            Err(error) => {
                // Not dropped, which would wait for a name server that is still asked.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// The server, as the user names it.
    pub fn name(&self) -> &str {
        self.shared.endpoint.name()
    }

    /// What the server said of itself.
    pub fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    /// Sends those of these that the server does not have. What is being sent by another thread is waited for, not sent again.
    ///
    /// # Errors
    /// The server's, or a file that cannot be read. What was sent before stays sent.
    pub fn upload(&self, blobs: &[Blob]) -> Result<Sent, RemoteError> {
        self.wait("sending blobs", upload::upload(&self.shared, blobs))
    }

    /// What the server's action cache has for this action.
    ///
    /// # Errors
    /// The server's; that it has nothing is none.
    pub fn cached(&self, action: Digest) -> Result<Option<api::ActionResult>, RemoteError> {
        self.wait("looking into the action cache", results::cached(&self.shared, action))
    }

    /// Puts a result into the server's action cache; its blobs must have been uploaded.
    ///
    /// # Errors
    /// The server's.
    pub fn remember(&self, action: Digest, result: api::ActionResult) -> Result<(), RemoteError> {
        self.wait(
            "filling the action cache",
            results::remember(&self.shared, action, result),
        )
    }

    /// Has an action executed and waits for it, until `cancel`.
    ///
    /// # Errors
    /// The server's, after retries. After `Missing` all blobs of the action are to be uploaded again, which sends those that the
    /// server lacks; it may name the action alone and mean any of them.
    pub fn execute(&self, execution: impl Into<Execution>, cancel: &Cancel) -> Result<Executed, RemoteError> {
        self.wait(
            "executing",
            execute::execute(&self.shared, execution.into(), cancel, &|| {}),
        )
    }

    /// The bytes of these, in their order, each verified.
    pub fn fetch(&self, blobs: &[Digest]) -> Vec<Result<Bytes, RemoteError>> {
        let fetched = self.wait("fetching blobs", async { Ok(fetch::fetch(&self.shared, blobs).await) });
        fetched.unwrap_or_else(|error| vec![Err(error); blobs.len()])
    }

    /// What went over the wire until now.
    pub fn traffic(&self) -> Traffic {
        let (up, down) = self.shared.counted();
        Traffic { up, down }
    }

    /// Ends everything that is under way, in every thread, as cancelled; whatever is asked afterwards is cancelled as well.
    pub fn close(&self) {
        self.shared.closed.cancel();
    }

    /// What its calls share.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Has something go on in the client's runtime, until the client ends.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }

    fn wait<T>(
        &self,
        doing: &'static str,
        done: impl Future<Output = Result<T, RemoteError>>,
    ) -> Result<T, RemoteError> {
        let cancelled = || self.shared.error(Kind::Cancelled, doing, "the client was closed");
        let Some(runtime) = &self.runtime else {
            return Err(cancelled());
        };
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.shared.closed.made() => Err(cancelled()),
                done = done => done,
            }
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(self.shared.farewells.said());
            runtime.shutdown_background();
        }
    }
}
