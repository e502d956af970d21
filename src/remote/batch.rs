//! Many small blobs in one message, there and back, within what a message may have.
//! Knows nothing of which blobs are wanted, nor of large ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tonic::codegen::Bytes;

use super::api::{
    self, batch_update_blobs_request::Request, compressor::Value as Compressor,
    content_addressable_storage_client::ContentAddressableStorageClient, digest_function::Value::Sha256,
};
use super::blob::Blob;
use super::digest::Digest;
use super::error::{Kind, RemoteError};
use super::retry::{Patience, patiently};
use super::shared::{Line, Shared, limit, sized, task_failed};
use super::stream::{LEVEL, corrupt, unpack};

/// What a blob costs in a message besides its bytes, generously: its digest, its status, the tags and lengths of fields.
const OVERHEAD: u64 = 128;

/// Smaller blobs are not worth compressing.
const WORTH_PACKING: u64 = 512;

const SENDING: &str = "sending blobs";
const FETCHING: &str = "fetching blobs";

/// How blobs are to be transferred.
#[derive(Debug)]
pub(super) struct Split<T> {
    /// Together, each batch within the limit.
    pub small: Vec<Vec<T>>,
    /// Each by itself.
    pub large: Vec<T>,
}

/// Fills batches of at most `most` bytes, in the order of the blobs.
pub(super) fn split<T>(blobs: impl IntoIterator<Item = T>, size: impl Fn(&T) -> u64, most: usize) -> Split<T> {
    let most = most as u64;
    let mut split = Split {
        small: Vec::new(),
        large: Vec::new(),
    };
    let mut filled = u64::MAX;
    for blob in blobs {
        let size = size(&blob) + OVERHEAD;
        if size > most {
            split.large.push(blob);
            continue;
        }
        match split.small.last_mut() {
            Some(batch) if filled + size <= most => {
                batch.push(blob);
                filled += size;
            }
            _ => {
                split.small.push(vec![blob]);
                filled = size;
            }
        }
    }
    split
}

/// Sends a batch, and again those of it that may be taken later.
pub(super) async fn send(shared: &Arc<Shared>, blobs: Vec<Blob>) -> Result<(), RemoteError> {
    let bytes = blobs.iter().map(|blob| blob.digest.size).sum();
    let requests = {
        let shared = Arc::clone(shared);
        tokio::task::spawn_blocking(move || blobs.iter().map(|blob| request(&shared, blob)).collect())
    };
    let requests: Result<Vec<Request>, _> = requests.await.map_err(|error| task_failed(shared, SENDING, &error))?;
    let mut left = requests?;
    patiently!(Patience::default(), attempt(shared, &mut left, limit(bytes)))
}

/// Leaves those that were not taken.
async fn attempt(shared: &Shared, left: &mut Vec<Request>, limit: Duration) -> Result<(), RemoteError> {
    let line = shared.calls();
    let mut client = client(&line);
    let message = shared.request(api::BatchUpdateBlobsRequest {
        instance_name: shared.instance(),
        requests: left.clone(),
        digest_function: Sha256.into(),
    });
    shared.count_up(left.iter().map(|request| request.data.len()).sum());
    let call = client.batch_update_blobs(message);
    let answer = shared.limited(SENDING, &line, limit, call).await?;
    let mut statuses: HashMap<_, _> = answer
        .responses
        .into_iter()
        .filter_map(|response| Some((response.digest?, response.status.unwrap_or_default())))
        .collect();
    let mut errors = Vec::new();
    left.retain(|request| {
        let status = request.digest.as_ref().and_then(|digest| statuses.remove(digest));
        errors.push(match status {
            Some(status) if status.code == 0 => return false,
            Some(status) => RemoteError::of_answer(shared.endpoint.name(), SENDING, &status),
            None => shared.error(Kind::Unreachable, SENDING, "no word on one of the blobs"),
        });
        true
    });
    // One that is of no use to be tried again decides.
    match errors.iter().find(|error| !error.is_retryable()).or(errors.first()) {
        Some(error) => Err(error.clone()),
        None => Ok(()),
    }
}

fn request(shared: &Shared, blob: &Blob) -> Result<Request, RemoteError> {
    let plain = blob.open().and_then(|reader| reader.whole());
    let plain = plain.map_err(|error| blob.unreadable(shared, &error))?;
    let may_pack = shared.capabilities.batch_zstd && blob.digest.size >= WORTH_PACKING;
    let packed = may_pack.then(|| zstd::bulk::compress(&plain, LEVEL).ok()).flatten();
    let (data, compressor) = match packed {
        Some(packed) if packed.len() < plain.len() => (packed, Compressor::Zstd),
        _ => (plain, Compressor::Identity),
    };
    Ok(Request {
        digest: Some(blob.digest.to_message()),
        data,
        compressor: compressor.into(),
    })
}

/// Fetches a batch: what the server said of each, in their order. Digests are not looked at.
pub(super) async fn fetch(shared: &Shared, digests: &[Digest]) -> Result<Vec<Result<Bytes, RemoteError>>, RemoteError> {
    let line = shared.calls();
    let mut client = client(&line);
    let packed = shared.capabilities.batch_zstd.then_some(Compressor::Zstd.into());
    let message = shared.request(api::BatchReadBlobsRequest {
        instance_name: shared.instance(),
        digests: digests.iter().map(|digest| digest.to_message()).collect(),
        acceptable_compressors: packed.into_iter().collect(),
        digest_function: Sha256.into(),
    });
    let bytes = digests.iter().map(|digest| digest.size).sum();
    let call = client.batch_read_blobs(message);
    let answer = shared.limited(FETCHING, &line, limit(bytes), call).await?;
    let mut responses: HashMap<_, _> = answer
        .responses
        .into_iter()
        .map(|response| (response.digest.clone(), response))
        .collect();
    let read = digests.iter().map(|digest| {
        let Some(response) = responses.remove(&Some(digest.to_message())) else {
            return Err(shared.error(Kind::Unreachable, FETCHING, "no word on one of the blobs"));
        };
        shared.count_down(response.data.len());
        match response.status.unwrap_or_default() {
            status if status.code == tonic::Code::NotFound as i32 => {
                Err(shared.error(Kind::Missing(vec![*digest]), FETCHING, status.message))
            }
            status if status.code != 0 => Err(RemoteError::of_answer(shared.endpoint.name(), FETCHING, &status)),
            _ if response.compressor == Compressor::Zstd as i32 => unpack(&response.data, *digest)
                .map(Bytes::from)
                .ok_or_else(|| corrupt(shared, *digest)),
            _ => Ok(response.data.into()),
        }
    });
    Ok(read.collect())
}

fn client(line: &Line) -> ContentAddressableStorageClient<tonic::transport::Channel> {
    sized!(ContentAddressableStorageClient::new(line.channel.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_filled_and_never_beyond_the_limit() {
        let most = 1000;
        let split = split([10, 600, 900, 872, 873, 0, 5000], |size| *size, most);
        assert_eq!(split.large, [900, 873, 5000]);
        assert_eq!(split.small, [vec![10, 600], vec![872], vec![0]]);
    }
}
