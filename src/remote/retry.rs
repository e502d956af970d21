//! Tries again what may succeed a little later: how often, and after how long.
//! Knows nothing of what is tried.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::error::RemoteError;

/// How long is waited before the second, third … try; then it is given up. A server that is restarted is back within it.
const WAITS: [Duration; 7] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_millis(3200),
];

/// The longest that a server is given its way when it says how long to wait.
const LONGEST: Duration = Duration::from_secs(10);

/// So many of them, where a person waits.
const SHORT: usize = 2;

/// Counts the tries of one thing.
#[derive(Debug)]
pub(super) struct Patience {
    tried: usize,
    waits: &'static [Duration],
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            tried: 0,
            waits: &WAITS,
        }
    }
}

impl Patience {
    /// With the first waits alone: for what a person waits for.
    pub(super) fn short() -> Patience {
        Patience {
            tried: 0,
            waits: &WAITS[..SHORT],
        }
    }

    /// Something went well: it begins anew.
    pub(super) fn restore(&mut self) {
        self.tried = 0;
    }

    /// Waits for the next try; the error itself where there is none.
    pub(super) async fn after(&mut self, error: RemoteError) -> Result<(), RemoteError> {
        let Some(wait) = self.waits.get(self.tried).filter(|_| error.is_retryable()) else {
            return Err(error);
        };
        self.tried += 1;
        let wait = error.retry_after.map_or(*wait, |asked| asked.min(LONGEST).max(*wait));
        tracing::debug!("{error}; trying again");
        tokio::time::sleep(jittered(wait)).await;
        Ok(())
    }
}

/// Does what the future made by the expression does, until it is done or not worth trying any more.
/// (A closure would do if futures of closures that borrow could be sent to other threads.)
macro_rules! patiently {
    ($patience:expr, $attempt:expr) => {{
        let mut patience = $patience;
        loop {
            match $attempt.await {
                Ok(done) => break Ok(done),
                Err(error) => {
                    if let Err(error) = patience.after(error).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}
pub(super) use patiently;

/// Between three quarters of it and the whole, so that those who failed together do not come back together.
fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 256;
    wait.mul_f64(0.75 + random as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_waits_for_no_more_than_a_moment() {
        let all: Duration = Patience::short().waits.iter().sum();
        assert_eq!(all, Duration::from_millis(150));
        assert_eq!(Patience::default().waits.len(), WAITS.len());
    }
}
