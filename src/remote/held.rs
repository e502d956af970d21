//! What a server is known to have, so that every blob is sent once by all threads together.
//! Knows nothing of how they are sent.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::blob::Blob;
use super::digest::Digest;

/// What the server has, as far as we know, and what is on its way there.
#[derive(Debug, Default)]
pub(super) struct Held {
    blobs: Mutex<HashMap<Digest, State>>,
    /// Told when some upload is over.
    pub changed: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Some upload is about it.
    Sending,
    /// It is there.
    There,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, State>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has said that it lacks these.
    pub(super) fn forget(&self, blobs: &[Digest]) {
        let mut held = self.lock();
        for blob in blobs {
            held.remove(blob);
        }
    }

    /// It lacks something, and does not say what.
    pub(super) fn forget_all(&self) {
        self.lock().retain(|_, state| *state == State::Sending);
    }

    /// Of these, the ones that the caller is to send, and whether others are sending some.
    pub(super) fn claim<'a>(&'a self, blobs: &'a [Blob]) -> (Claim<'a>, bool) {
        let mut held = self.lock();
        let mut mine = HashMap::new();
        let mut are_others_sending = false;
        // The API: the empty blob is always there.
        for blob in blobs.iter().filter(|blob| blob.digest.size > 0) {
            match held.get(&blob.digest) {
                Some(State::There) => {}
                Some(State::Sending) if mine.contains_key(&blob.digest) => {}
                Some(State::Sending) => are_others_sending = true,
                None => {
                    held.insert(blob.digest, State::Sending);
                    mine.insert(blob.digest, blob);
                }
            }
        }
        (Claim { held: self, mine }, are_others_sending)
    }
}

/// Blobs that are one upload's to send; when it is over, those that are not there are anybody's again.
pub(super) struct Claim<'a> {
    held: &'a Held,
    pub mine: HashMap<Digest, &'a Blob>,
}

impl Claim<'_> {
    /// The server has these.
    pub(super) fn is_there<'b>(&mut self, blobs: impl IntoIterator<Item = &'b Digest>) {
        let mut held = self.held.lock();
        for blob in blobs {
            self.mine.remove(blob);
            held.insert(*blob, State::There);
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        for blob in self.mine.keys() {
            held.remove(blob);
        }
        self.held.changed.notify_waiters();
    }
}
