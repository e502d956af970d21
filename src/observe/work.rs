//! What each backend of a link had to do, told beside its times: what it read and wrote, and whom it imported from.
//! Knows nothing of when it ran; `benches/farm` reads it, to tell what the same link would take elsewhere.

use serde::{Deserialize, Serialize};

/// One backend's work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Bytes of its module.
    pub module: u64,
    /// Bytes of its index, as lld wrote it.
    pub index: u64,
    /// Bytes of its object.
    pub object: u64,
    /// The modules it imports from, by their places in this list.
    pub imports: Vec<usize>,
}
