//! Fetches blobs, small ones in batches and large ones alone, and looks at what comes.
//! Knows nothing of what they are.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinSet;
use tonic::codegen::Bytes;

use super::batch;
use super::digest::Digest;
use super::error::{Kind, RemoteError};
use super::retry::{Patience, patiently};
use super::shared::{Shared, task_failed};
use super::stream;

const FETCHING: &str = "fetching blobs";

type Fetched = Result<Bytes, RemoteError>;

/// The bytes of these, in their order, each of its digest.
pub(super) async fn fetch(shared: &Arc<Shared>, digests: &[Digest]) -> Vec<Fetched> {
    let mut wanted = digests.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    // The API: the empty blob is always there.
    wanted.retain(|digest| digest.size > 0);
    let split = batch::split(wanted, |digest| digest.size, shared.capabilities.batch_bytes);
    let mut tasks: JoinSet<Vec<(Digest, Fetched)>> = JoinSet::new();
    for digest in split.large {
        let shared = Arc::clone(shared);
        tasks.spawn(async move {
            let _turn = shared.transfers.acquire().await;
            let fetched = patiently!(Patience::default(), stream::read(&shared, digest));
            vec![(digest, verified(&shared, digest, fetched))]
        });
    }
    for batch in split.small {
        let shared = Arc::clone(shared);
        tasks.spawn(async move {
            let _turn = shared.transfers.acquire().await;
            fetch_batch(&shared, batch).await
        });
    }
    let mut fetched = HashMap::new();
    let mut failed = None;
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(done) => fetched.extend(done),
            Err(error) => failed = Some(task_failed(shared, FETCHING, &error)),
        }
    }
    let of = |digest: &Digest| match (fetched.get(digest), &failed) {
        (Some(fetched), _) => fetched.clone(),
        (None, None) => Ok(Bytes::new()),
        (None, Some(error)) => Err(error.clone()),
    };
    digests.iter().map(of).collect()
}

/// Those that may come later are asked for again.
async fn fetch_batch(shared: &Shared, mut left: Vec<Digest>) -> Vec<(Digest, Fetched)> {
    let mut done = Vec::new();
    let mut patience = Patience::default();
    loop {
        let batch = batch::fetch(shared, &left).await;
        let error = match batch {
            Err(error) => error,
            Ok(fetched) => {
                let mut again = Vec::new();
                let mut error = None;
                for (digest, fetched) in left.iter().copied().zip(fetched) {
                    match fetched {
                        Err(later) if later.is_retryable() => {
                            again.push(digest);
                            error = Some(later);
                        }
                        fetched => done.push((digest, verified(shared, digest, fetched))),
                    }
                }
                left = again;
                match error {
                    Some(error) => error,
                    None => return done,
                }
            }
        };
        if let Err(error) = patience.after(error).await {
            done.extend(left.into_iter().map(|digest| (digest, Err(error.clone()))));
            return done;
        }
    }
}

/// Whatever a server sends is what was asked for, or an error; what it lacks is named, and no longer held to be there.
fn verified(shared: &Shared, digest: Digest, fetched: Fetched) -> Fetched {
    match fetched {
        Ok(bytes) if Digest::of(&bytes) == digest => Ok(bytes),
        Ok(_) => Err(stream::corrupt(shared, digest)),
        Err(mut error) => {
            if matches!(error.kind, Kind::Missing(_)) {
                error.kind = Kind::Missing(vec![digest]);
                shared.held.forget(&[digest]);
            }
            Err(error)
        }
    }
}
