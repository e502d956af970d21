//! Puts what was compiled here into a shared action cache, while the link goes on.
//! Knows nothing of whether an object may be kept; a cache that fails is left alone for the rest of the link.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::action::OBJECT;
use crate::remote::{Blob, Client, Digest, RemoteError, api};

/// So many objects may wait in memory.
const WAITING: usize = 64;

/// An object for the cache.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) action: Digest,
    pub(super) object: Vec<u8>,
    /// What clang said.
    pub(super) said: String,
}

/// Who puts them there.
#[derive(Debug)]
pub(super) struct Filler {
    offers: Option<SyncSender<Offer>>,
    error: Arc<Mutex<Option<RemoteError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    /// One that fills this server's.
    pub(super) fn new(client: Arc<Client>) -> Filler {
        let (offers, taken) = sync_channel(WAITING);
        let error = Arc::new(Mutex::default());
        let told = Arc::clone(&error);
        let thread = thread::spawn(move || {
            if let Err(error) = fill(&client, &taken) {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        });
        Filler {
            offers: Some(offers),
            error,
            thread: Some(thread),
        }
    }

    /// Takes one over; not any more once the cache has failed.
    pub(super) fn offer(&self, offer: Offer) {
        if let Some(offers) = &self.offers {
            // Whoever took them has gone, and said why.
            let _ = offers.send(offer);
        }
    }

    /// Waits until all are there; why not, where they are not.
    pub(super) fn finish(mut self) -> Option<RemoteError> {
        drop(self.offers.take());
        if let Some(thread) = self.thread.take() {
            // It would have panicked for everybody to see.
            let _ = thread.join();
        }
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn fill(client: &Client, offers: &Receiver<Offer>) -> Result<(), RemoteError> {
    while let Ok(first) = offers.recv() {
        let batch: Vec<Offer> = std::iter::once(first).chain(offers.try_iter()).collect();
        let mut blobs = Vec::new();
        let mut results = Vec::new();
        for Offer { action, object, said } in batch {
            let object = Blob::of_bytes(object);
            results.push((action, result(object.digest, said)));
            blobs.push(object);
        }
        client.upload(&blobs)?;
        for (action, result) in results {
            client.remember(action, result)?;
        }
    }
    Ok(())
}

fn result(object: Digest, said: String) -> api::ActionResult {
    api::ActionResult {
        output_files: vec![api::OutputFile {
            path: OBJECT.to_owned(),
            digest: Some(object.to_message()),
            ..api::OutputFile::default()
        }],
        stderr_raw: said.into_bytes(),
        ..api::ActionResult::default()
    }
}
