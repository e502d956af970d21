//! thinlto-ld: distributed ThinLTO for any link that lld can make.

pub mod bitcode;
pub mod cmdline;
