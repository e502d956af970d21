//! One server, asked from any thread: the runtime, the connections and what is known of the server.
//! Knows nothing of how blobs are sent or actions executed; those are its neighbours' parts.

use tonic::codegen::Bytes;

use super::blob::Blob;
use super::cancel::Cancel;
use super::capabilities::Capabilities;
use super::digest::Digest;
use super::endpoint::Endpoint;
use super::error::RemoteError;
use super::execute::{Executed, Execution};
use super::{api, upload::Sent};

/// A connection to a server.
#[derive(Debug)]
pub struct Client {}

/// Blob bytes that went over the wire, compressed where they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// To the server.
    pub up: u64,
    /// From it.
    pub down: u64,
}

impl Client {
    /// Connects, and asks the server what it can do.
    ///
    /// # Errors
    /// It cannot be reached, does not let us in, or lacks SHA256.
    pub fn connect(endpoint: &Endpoint) -> Result<Client, RemoteError> {
        let _ = endpoint;
        todo!()
    }

    /// What the server said of itself.
    pub fn capabilities(&self) -> &Capabilities {
        todo!()
    }

    /// Sends those of these that the server does not have. What is being sent by another thread is waited for, not sent again.
    ///
    /// # Errors
    /// The server's, or a file that cannot be read. What was sent before stays sent.
    pub fn upload(&self, blobs: &[Blob]) -> Result<Sent, RemoteError> {
        let _ = blobs;
        todo!()
    }

    /// What the server's action cache has for this action.
    ///
    /// # Errors
    /// The server's; that it has nothing is none.
    pub fn cached(&self, action: Digest) -> Result<Option<api::ActionResult>, RemoteError> {
        let _ = action;
        todo!()
    }

    /// Puts a result into the server's action cache; its blobs must have been uploaded.
    ///
    /// # Errors
    /// The server's.
    pub fn remember(&self, action: Digest, result: api::ActionResult) -> Result<(), RemoteError> {
        let _ = (action, result);
        todo!()
    }

    /// Has an action executed and waits for it, until `cancel`.
    ///
    /// # Errors
    /// The server's, after retries; `Missing` blobs can be uploaded again, they are no longer held to be there.
    pub fn execute(&self, execution: impl Into<Execution>, cancel: &Cancel) -> Result<Executed, RemoteError> {
        let _ = (execution.into(), cancel);
        todo!()
    }

    /// The bytes of these, in their order, each verified.
    pub fn fetch(&self, blobs: &[Digest]) -> Vec<Result<Bytes, RemoteError>> {
        let _ = blobs;
        todo!()
    }

    /// What went over the wire until now.
    pub fn traffic(&self) -> Traffic {
        todo!()
    }

    /// Ends everything that is under way, in every thread, as cancelled; nothing can be asked afterwards.
    pub fn close(&self) {
        todo!()
    }
}
