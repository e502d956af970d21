//! Which versions of LLVM a machine has, by the names of their linkers and compilers on PATH.
//! Knows nothing of whether a linker and its clang are of one version to the last digit: `thinlto check` does.

use std::collections::BTreeSet;

use crate::llvm::{NEWEST, OLDEST};
use crate::toolchain;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Llvm {
    /// `-22` where its programs are `ld.lld-22` and `clang-22`, nothing where they have no suffix.
    pub suffix: String,
}

/// One that is wanted is not there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("--llvm: no {missing} on PATH; install that LLVM first, or leave it out")]
pub struct NoLlvm {
    /// The program.
    pub missing: String,
}

/// Those on PATH that are known, the newest first, and else one whose programs have no suffix.
pub fn found() -> Vec<Llvm> {
    let known = toolchain::numbered()
        .into_iter()
        .filter(|version| (OLDEST..=NEWEST).contains(version));
    let suffixes = known.map(|version| format!("-{version}"));
    let numbered: Vec<Llvm> = suffixes
        .filter(|suffix| missing(suffix).is_none())
        .map(|suffix| Llvm { suffix })
        .collect();
    let plain = || missing("").is_none().then(|| Llvm { suffix: String::new() });
    match numbered.is_empty() {
        true => plain().into_iter().collect(),
        false => numbered,
    }
}

/// Those that somebody names, in their order, whether they are here or not.
pub fn named(versions: &[u32]) -> Vec<Llvm> {
    let mut seen = BTreeSet::new();
    let once = versions.iter().filter(|version| seen.insert(**version));
    once.map(|version| Llvm {
        suffix: format!("-{version}"),
    })
    .collect()
}

impl Llvm {
    /// Makes sure that it is on this machine.
    ///
    /// # Errors
    /// It is not.
    pub fn require(&self) -> Result<(), NoLlvm> {
        match missing(&self.suffix) {
            Some(missing) => Err(NoLlvm { missing }),
            None => Ok(()),
        }
    }
}

/// The first program of an LLVM of this suffix that is not on PATH.
fn missing(suffix: &str) -> Option<String> {
    let programs = ["ld.lld", "clang"].map(|name| format!("{name}{suffix}"));
    programs.into_iter().find(|program| which::which(program).is_err())
}
