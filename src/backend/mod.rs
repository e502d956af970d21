//! Making native objects out of bitcode modules and their index files.
//! Knows nothing of command lines or linking: it is handed settings and a plan.

pub mod flags;
