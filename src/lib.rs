//! thinlto-ld: distributed ThinLTO for any link that lld can make.

pub mod backend;
pub mod cache;
pub mod cmdline;
