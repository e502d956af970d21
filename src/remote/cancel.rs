//! A wish, shared between threads, that something be given up.
//! Knows nothing of what it is that ends.

use std::sync::Arc;

use tokio::sync::watch;

/// Clones are one and the same wish.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Default for Cancel {
    fn default() -> Self {
        Cancel(Arc::new(watch::Sender::new(false)))
    }
}

impl Cancel {
    /// One that has not been made.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Makes the wish; who waits for it is woken. There is no way back.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was made.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it has been made.
    pub(super) async fn made(&self) {
        // The sender is in `self`, so that the channel cannot be closed.
        let _ = self.0.subscribe().wait_for(|made| *made).await;
    }
}
