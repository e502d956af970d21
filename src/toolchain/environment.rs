//! What the environment can tell a linker or a compiler. Knows nothing of what they make of it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// How the names begin.
const HEARD: [&str; 6] = ["LLD_", "LLVM_", "CLANG", "CCC_", "LD_", "SOURCE_DATE_EPOCH"];

/// Every variable heeded, in order of their names.
pub fn heard() -> Vec<(OsString, OsString)> {
    let mut heard: Vec<(OsString, OsString)> = std::env::vars_os().filter(|(name, _)| is_heard(name)).collect();
    heard.sort();
    heard
}

fn is_heard(name: &OsStr) -> bool {
    HEARD
        .iter()
        .any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}
