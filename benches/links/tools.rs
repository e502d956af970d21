//! The LLVM that is measured: its programs, found once, and thinlto-ld beside them under the name that goes with it.
//! Knows nothing of what they are run for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{At, Error, Result, succeed};

/// Programs of one LLVM.
#[derive(Debug)]
pub struct Tools {
    /// `ld.lld-22`
    pub lld: PathBuf,
    /// `clang-22`
    pub clang: PathBuf,
    /// `clang++-22`
    pub clangxx: PathBuf,
    /// `llvm-ar-22`
    pub ar: PathBuf,
    /// `llvm-ranlib-22`
    pub ranlib: PathBuf,
    /// `thinlto-ld-22`: a link to the one cargo has built.
    pub shim: PathBuf,
    /// What ld.lld says of its version.
    pub version: String,
}

impl Tools {
    /// Finds `clang-SUFFIX` and so on on `PATH`; the link to thinlto-ld is put into `work`.
    ///
    /// # Errors
    /// One is missing, with its name, or the link cannot be made.
    pub fn find(suffix: &str, work: &Path) -> Result<Tools> {
        let find = |name: &str| {
            let name = format!("{name}-{suffix}");
            which::which(&name).map_err(|_| {
                Error::Program(format!(
                    "{name} is not on PATH: install LLVM {suffix}, or choose another with --llvm"
                ))
            })
        };
        let folder = work.join("tools");
        fs::create_dir_all(&folder).at(&folder)?;
        let shim = folder.join(format!("thinlto-ld-{suffix}"));
        let _ = fs::remove_file(&shim);
        symlink(env!("CARGO_BIN_EXE_thinlto-ld"), &shim).at(&shim)?;
        let lld = find("ld.lld")?;
        let version = succeed(Command::new(&lld).arg("--version"))?;
        Ok(Tools {
            clang: find("clang")?,
            clangxx: find("clang++")?,
            ar: find("llvm-ar")?,
            ranlib: find("llvm-ranlib")?,
            shim,
            version: String::from_utf8_lossy(&version).trim().to_owned(),
            lld,
        })
    }
}
