//! Sends what the server does not have, each blob once.
//! Knows nothing of what the blobs are.

/// What one upload sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many blobs the server did not have.
    pub blobs: u64,
    /// Their bytes, before any compression.
    pub bytes: u64,
}
