//! What a link tells about itself when asked.
//! Knows nothing of how links are made.

pub mod stats;
pub mod timeline;
pub mod trace;
pub mod work;
