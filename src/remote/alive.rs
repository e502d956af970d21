//! Whether the server is still there, asked once for all who want to know.
//! Knows nothing of what they are waiting for.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::{Kind, RemoteError};
use super::shared::Shared;

/// An answer is good for so long.
const FRESH: Duration = Duration::from_secs(5);

/// The last answer.
#[derive(Debug, Default)]
pub(super) struct Alive(Mutex<Option<(Instant, Result<(), RemoteError>)>>);

impl Shared {
    /// Asks the server, unless somebody just has.
    pub(super) async fn is_there(&self) -> Result<(), RemoteError> {
        let mut last = self.alive.0.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = match self.ask("asking whether the server is still there").await {
            // One that has no time is there.
            Err(error) if error.kind != Kind::Full => Err(error),
            _ => Ok(()),
        };
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}
