//! Many questions to one server at once, without a thread for each that waits: they wait in the client's own runtime.
//! Knows nothing of how each is asked.

use std::sync::Arc;
use std::sync::mpsc;

use tokio::sync::Semaphore;

use super::api;
use super::cancel::Cancel;
use super::client::Client;
use super::digest::Digest;
use super::error::RemoteError;
use super::execute::{self, Executed, Execution};
use super::results;
use super::shared::Shared;

/// Looks into the action cache at once.
const LOOKS: usize = 64;

/// What is heard of an execution.
#[derive(Debug)]
pub enum Heard {
    /// A worker is at it.
    Begun,
    /// Its end.
    Ended(Box<Result<Executed, RemoteError>>),
}

impl Client {
    /// Begins an execution and returns; what is heard of it goes to `hear`, last its end.
    pub fn start(&self, execution: impl Into<Execution>, cancel: Cancel, hear: impl Fn(Heard) + Send + Sync + 'static) {
        let (shared, execution) = (self.shared(), execution.into());
        let closed = shared.closed.clone();
        self.spawn(async move {
            let execute = async {
                let begun = || hear(Heard::Begun);
                execute::execute(&shared, execution, &cancel, &begun).await
            };
            tokio::select! {
                biased;
                // Nobody listens any more.
                () = closed.made() => {}
                ended = execute => hear(Heard::Ended(Box::new(ended))),
            }
        });
    }

    /// Looks these actions up in the server's action cache; `found` is told of each as its answer comes, by its place in
    /// the list. Of some nothing is told if the client is closed meanwhile.
    pub fn cached_all(
        &self,
        actions: &[Digest],
        mut found: impl FnMut(usize, Result<Option<api::ActionResult>, RemoteError>),
    ) {
        let (sender, answers) = mpsc::channel();
        let turns = Arc::new(Semaphore::new(LOOKS));
        for (number, action) in actions.iter().enumerate() {
            let look = look(self.shared(), *action, Arc::clone(&turns));
            let sender = sender.clone();
            self.spawn(async move {
                if let Some(answer) = look.await {
                    // Nobody hears it who has panicked.
                    let _ = sender.send((number, answer));
                }
            });
        }
        drop(sender);
        for (number, answer) in answers {
            found(number, answer);
        }
    }
}

async fn look(
    shared: Arc<Shared>,
    action: Digest,
    turns: Arc<Semaphore>,
) -> Option<Result<Option<api::ActionResult>, RemoteError>> {
    let _turn = turns.acquire().await.ok()?;
    tokio::select! {
        biased;
        () = shared.closed.made() => None,
        answer = results::cached(&shared, action) => Some(answer),
    }
}
