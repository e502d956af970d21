//! thinlto-ld: distributed ThinLTO for any link that lld can make.

pub mod cmdline;
pub mod inputs;
mod sys;
