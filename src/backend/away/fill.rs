//! Puts what was compiled here into a shared action cache, while the link goes on.
//! Knows nothing of whether an object may be kept; a cache that fails is left alone for the rest of the link.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::action::OBJECT;
use super::watch::{GivenUp, Watch};
use crate::remote::{Blob, Client, Digest, RemoteError, api};

/// So many objects may wait in memory.
const WAITING: usize = 128;

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
    client: Arc<Client>,
    /// How many it could not take.
    left: AtomicUsize,
    /// How often it has answered.
    answers: Arc<AtomicUsize>,
    offers: Option<SyncSender<Offer>>,
    error: Arc<Mutex<Option<RemoteError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    /// One that fills this server's.
    pub(super) fn new(client: Arc<Client>) -> Filler {
        let (filled, answers) = (Arc::clone(&client), Arc::new(AtomicUsize::new(0)));
        let heard = Arc::clone(&answers);
        let (offers, taken) = sync_channel(WAITING);
        let error = Arc::new(Mutex::default());
        let told = Arc::clone(&error);
        let thread = thread::Builder::new().spawn(move || {
            if let Err(error) = fill(&filled, &taken, &heard) {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        });
        Filler {
            client,
            left: AtomicUsize::new(0),
            answers,
            offers: Some(offers),
            error,
            thread: thread.ok(),
        }
    }

    /// Takes one over; not any more once the cache has failed, nor where it is slower than what compiles: that does not wait.
    pub(super) fn offer(&self, offer: Offer) {
        // Where whoever takes them has gone, he has said why.
        if let Some(Err(TrySendError::Full(_))) = self.offers.as_ref().map(|offers| offers.try_send(offer)) {
            self.left.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all are there, or all `is_over`; why not, where they are not.
    pub(super) fn finish(mut self, is_over: &(dyn Fn() -> bool + Sync)) -> Option<String> {
        drop(self.offers.take());
        let thread = self.thread.take();
        let ((), given_up) = Watch::of(&self.client, is_over).counted(&self.answers).over(|_| {
            // It would have panicked for everybody to see.
            let _ = thread.map(JoinHandle::join);
        });
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        let left = self.left.load(Ordering::Relaxed);
        match (given_up, error) {
            (Some(GivenUp::Over), _) => None,
            (Some(GivenUp::Failed(why)), _) => Some(why),
            (None, Some(error)) => Some(error.to_string()),
            (None, None) => (left > 0).then(|| {
                let name = self.client.name();
                format!("{name}: {left} objects were not sent, faster compiled than it takes them")
            }),
        }
    }
}

fn fill(client: &Client, offers: &Receiver<Offer>, heard: &AtomicUsize) -> Result<(), RemoteError> {
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
            heard.fetch_add(1, Ordering::Relaxed);
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
