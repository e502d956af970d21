//! What a link tells about itself when asked.
//! Knows nothing of how links are made.

pub mod ledger;
pub mod progress;
pub mod stats;
pub mod summary;
pub mod timeline;
pub mod trace;
pub mod work;
