//! Sends what the server does not have, each blob once: what is missing is asked, small blobs go in batches, large ones alone.
//! Knows nothing of what the blobs are.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::api::{
    self, content_addressable_storage_client::ContentAddressableStorageClient, digest_function::Value::Sha256,
};
use super::batch;
use super::blob::Blob;
use super::digest::Digest;
use super::error::{Kind, RemoteError};
use super::held::Claim;
use super::retry::{Patience, patiently};
use super::shared::{Shared, limit, sized, task_failed};
use super::stream;

/// Digests in one question, far below a message's limit with less than 100 bytes each.
const QUESTION: usize = 16 << 10;

const ASKING: &str = "asking which blobs are missing";
const SENDING: &str = "sending blobs";

/// What one upload sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many blobs the server did not have.
    pub blobs: u64,
    /// Their bytes, before any compression.
    pub bytes: u64,
}

/// Sends those that the server does not have; waits for those that others are sending.
pub(super) async fn upload(shared: &Arc<Shared>, blobs: &[Blob]) -> Result<Sent, RemoteError> {
    let mut sent = Sent::default();
    loop {
        let changed = shared.held.changed.notified();
        tokio::pin!(changed);
        // Before it is looked, so that no change between is missed.
        changed.as_mut().enable();
        let (claim, are_others_sending) = shared.held.claim(blobs);
        if !claim.mine.is_empty() {
            send(shared, claim, &mut sent).await?;
        }
        if !are_others_sending {
            return Ok(sent);
        }
        changed.await;
    }
}

async fn send(shared: &Arc<Shared>, mut claim: Claim<'_>, sent: &mut Sent) -> Result<(), RemoteError> {
    let missing = missing(shared, claim.mine.keys().copied().collect()).await?;
    let there: Vec<_> = claim
        .mine
        .keys()
        .filter(|digest| !missing.contains(digest))
        .copied()
        .collect();
    claim.is_there(&there);
    let blobs: Vec<Blob> = claim.mine.values().map(|blob| (*blob).clone()).collect();
    let most = shared.capabilities.blob_bytes;
    if let Some(blob) = blobs.iter().find(|blob| most > 0 && blob.digest.size > most) {
        let words = format!("a blob of {} bytes, and the server takes {most}", blob.digest.size);
        return Err(shared.error(Kind::Unsupported("blobs of this size"), SENDING, words));
    }
    let batches = batch::split(blobs, |blob| blob.digest.size, shared.capabilities.batch_bytes);
    let mut tasks = JoinSet::new();
    for blob in batches.large {
        let shared = Arc::clone(shared);
        tasks.spawn(async move {
            let _turn = shared.transfers.acquire().await;
            patiently!(Patience::default(), stream::write(&shared, &blob))?;
            Ok(vec![blob.digest])
        });
    }
    for batch in batches.small {
        let shared = Arc::clone(shared);
        tasks.spawn(async move {
            let _turn = shared.transfers.acquire().await;
            let digests = batch.iter().map(|blob| blob.digest).collect();
            batch::send(&shared, batch).await?;
            Ok(digests)
        });
    }
    // At the first error the rest is dropped with the set.
    while let Some(done) = tasks.join_next().await {
        let digests: Vec<Digest> = done.map_err(|error| task_failed(shared, SENDING, &error))??;
        sent.blobs += digests.len() as u64;
        sent.bytes += digests.iter().map(|digest| digest.size).sum::<u64>();
        claim.is_there(&digests);
    }
    Ok(())
}

/// Which of these the server does not have.
async fn missing(shared: &Arc<Shared>, digests: Vec<Digest>) -> Result<HashSet<Digest>, RemoteError> {
    let mut missing = HashSet::new();
    for part in digests.chunks(QUESTION) {
        let question = api::FindMissingBlobsRequest {
            instance_name: shared.instance(),
            blob_digests: part.iter().map(|digest| digest.to_message()).collect(),
            digest_function: Sha256.into(),
        };
        let answer = patiently!(Patience::default(), ask(shared, &question))?;
        missing.extend(answer.missing_blob_digests.iter().filter_map(Digest::from_message));
    }
    Ok(missing)
}

async fn ask(
    shared: &Shared,
    question: &api::FindMissingBlobsRequest,
) -> Result<api::FindMissingBlobsResponse, RemoteError> {
    let line = shared.calls();
    let mut client = sized!(ContentAddressableStorageClient::new(line.channel.clone()));
    let call = client.find_missing_blobs(shared.request(question.clone()));
    shared
        .limited(ASKING, &line, limit(100 * question.blob_digests.len() as u64), call)
        .await
}
