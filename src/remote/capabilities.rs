//! What a server says it can do, asked once when it is connected to.
//! Knows nothing of what is then asked of it.

/// The parts of the API's `ServerCapabilities` that decide something here.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Most bytes in one batch of blobs, of the server's and of gRPC's limit the lower.
    pub batch_bytes: usize,
    /// Whether a batch may be compressed with zstd.
    pub batch_zstd: bool,
    /// Whether a stream may be compressed with zstd.
    pub stream_zstd: bool,
    /// Whether results may be put into its action cache.
    pub can_remember: bool,
    /// Whether it executes.
    pub executes: bool,
    /// The priorities it takes, from the one served first (the API: a lower number) to the one served last; (0, 0) if none but its default.
    pub priorities: (i32, i32),
}
