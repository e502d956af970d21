//! One large blob over a ByteStream, in pieces, compressed where the server takes it so.
//! Knows nothing of which blobs are large, nor of trying again.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::sync::Arc;

use bazel_remote_apis::google::bytestream::{ReadRequest, WriteRequest, byte_stream_client::ByteStreamClient};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Bytes;

use super::blob::{Blob, Reader};
use super::digest::Digest;
use super::error::{Kind, RemoteError};
use super::shared::{SHORT, Shared, limit, sized, task_failed};

/// Bytes in one message of a stream.
const PIECE: usize = 1 << 20;

/// zstd's: bitcode becomes a third at 400 MB/s; more effort gains little.
pub(super) const LEVEL: i32 = 1;

const SENDING: &str = "sending a blob";
const FETCHING: &str = "fetching a blob";

/// Sends one blob. That the server has had it in the meantime is no error.
pub(super) async fn write(shared: &Arc<Shared>, blob: &Blob) -> Result<(), RemoteError> {
    let is_packed = shared.capabilities.stream_zstd;
    let name = format!(
        "{}uploads/{}/{}/{}",
        prefix(shared),
        uuid(),
        form(is_packed),
        blob.digest
    );
    let (pieces, stream) = mpsc::channel(2);
    let producer = {
        let (shared, blob) = (Arc::clone(shared), blob.clone());
        tokio::task::spawn_blocking(move || produce(&shared, &blob, is_packed, name, &pieces))
    };
    let line = shared.calls();
    let mut client = ByteStreamClient::new(line.channel.clone());
    let request = shared.request(ReceiverStream::new(stream));
    let answer = shared
        .limited(SENDING, &line, limit(blob.digest.size), client.write(request))
        .await;
    // Its error comes first: the server only complains of what it did not get.
    let produced = producer.await.map_err(|error| task_failed(shared, SENDING, &error))?;
    let sent = produced.map_err(|error| blob.unreadable(shared, &error))?;
    let committed = answer?.committed_size;
    // -1: compressed, and it was there already. Less than all is an early answer for the same reason, of the blob's whole size.
    let expected = [sent.cast_signed(), blob.digest.size.cast_signed(), -1];
    if expected.contains(&committed) {
        Ok(())
    } else {
        let words = format!("the server took {committed} bytes of {sent}");
        Err(shared.error(Kind::Unreachable, SENDING, words))
    }
}

/// Puts the pieces into the channel until nobody takes them any more; how many bytes there were.
fn produce(
    shared: &Shared,
    blob: &Blob,
    is_packed: bool,
    name: String,
    to: &mpsc::Sender<WriteRequest>,
) -> io::Result<u64> {
    let plain = blob.open()?;
    let mut from: Box<dyn Read> = if is_packed {
        Box::new(zstd::stream::read::Encoder::new(plain, LEVEL)?)
    } else {
        Box::new(plain)
    };
    let mut name = Some(name);
    let mut sent = 0;
    loop {
        let mut data = Vec::with_capacity(PIECE);
        from.by_ref().take(PIECE as u64).read_to_end(&mut data)?;
        let length = data.len();
        let request = WriteRequest {
            resource_name: name.take().unwrap_or_default(),
            write_offset: i64::try_from(sent).map_err(io::Error::other)?,
            finish_write: length < PIECE,
            data,
        };
        let is_last = request.finish_write;
        if to.blocking_send(request).is_err() {
            return Ok(sent);
        }
        shared.count_up(length);
        sent += length as u64;
        if is_last {
            return Ok(sent);
        }
    }
}

/// Fetches one blob; its digest is not looked at.
pub(super) async fn read(shared: &Arc<Shared>, digest: Digest) -> Result<Bytes, RemoteError> {
    let is_packed = shared.capabilities.stream_zstd;
    let line = shared.calls();
    let mut client = sized!(ByteStreamClient::new(line.channel.clone()));
    let request = shared.request(ReadRequest {
        resource_name: format!("{}{}/{digest}", prefix(shared), form(is_packed)),
        read_offset: 0,
        read_limit: 0,
    });
    let mut stream = shared.limited(FETCHING, &line, SHORT, client.read(request)).await?;
    let mut all = Vec::new();
    loop {
        let message = tokio::time::timeout(SHORT, stream.message()).await;
        let message = message.map_err(|_| shared.silent(FETCHING, &line, SHORT))?;
        let Some(piece) = message.map_err(|status| shared.status(FETCHING, &status))? else {
            break;
        };
        shared.count_down(piece.data.len());
        all.extend(piece.data);
        // Compressed, it may be a little longer than it is.
        if all.len() as u64 > digest.size + digest.size / 64 + 1024 {
            return Err(corrupt(shared, digest));
        }
    }
    if !is_packed {
        return Ok(all.into());
    }
    unpack(&all, digest)
        .map(Bytes::from)
        .ok_or_else(|| corrupt(shared, digest))
}

/// What zstd made smaller, as long as it is no longer than it should be.
pub(super) fn unpack(packed: &[u8], digest: Digest) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(packed).ok()?;
    decoder.take(digest.size + 1).read_to_end(&mut plain).ok()?;
    Some(plain)
}

pub(super) fn corrupt(shared: &Shared, digest: Digest) -> RemoteError {
    let words = format!("what the server sent as {digest} is something else");
    shared.error(Kind::Corrupt(digest), FETCHING, words)
}

fn prefix(shared: &Shared) -> String {
    match &*shared.endpoint.address.instance {
        "" => String::new(),
        instance => format!("{instance}/"),
    }
}

fn form(is_packed: bool) -> &'static str {
    if is_packed { "compressed-blobs/zstd" } else { "blobs" }
}

/// A random one (version 4).
pub(super) fn uuid() -> String {
    let random = || u128::from(RandomState::new().hash_one(std::process::id()));
    let bits = (random() << 64 | random()) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

impl Read for Reader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let piece = self.piece(to.len())?;
        to[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

impl Blob {
    /// Its source is not what it was.
    pub(super) fn unreadable(&self, shared: &Shared, error: &io::Error) -> RemoteError {
        let what = self
            .path()
            .map_or_else(|| self.digest.to_string(), |path| path.display().to_string());
        shared.error(Kind::Local, SENDING, format!("{what}: {error}"))
    }
}
