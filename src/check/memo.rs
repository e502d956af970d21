//! What a check has found, kept by the linker and the compiler it was of: nobody else's link pays for it.
//! Knows nothing of what was compared.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::stamp::Stamp;
use crate::toolchain::{Clang, Linker, identity};

/// What stands in a memo of an LLVM that is as in-process.
const ALIKE: &str = "alike";

/// Where it is kept; none where there is no such place.
pub(super) fn of(linker: &Linker, clang: &Clang) -> Option<PathBuf> {
    let mut hasher = blake3::Hasher::new();
    let mut files = vec![linker.path.clone(), clang.path.clone(), std::env::current_exe().ok()?];
    // A script in the compiler's place is taken at its own word, as its version is.
    files.extend(identity::files(&clang.path).unwrap_or_default());
    files.extend(identity::files(&linker.path).unwrap_or_default());
    for file in files {
        let real = fs::canonicalize(file).ok()?;
        hasher.update(format!("{real:?} {:?}\n", Stamp::of(&real).ok()?).as_bytes());
    }
    let folder = crate::cache::home()?.join("versions");
    Some(folder.join(format!("check-{}", hasher.finalize().to_hex())))
}

/// What it says: nothing known, alike, or the difference.
pub(super) fn read(path: &Path) -> Option<Option<String>> {
    let text = fs::read_to_string(path).ok()?;
    match text.as_str() {
        "" => None,
        ALIKE => Some(None),
        difference => Some(Some(difference.to_owned())),
    }
}

/// One that cannot be kept costs a check more, so its errors are nobody's concern.
pub(super) fn write(path: &Path, difference: Option<&str>) {
    let write = || -> io::Result<()> {
        let folder = path.parent().ok_or(io::ErrorKind::NotFound)?;
        fs::create_dir_all(folder)?;
        let file = tempfile::NamedTempFile::new_in(folder)?;
        fs::write(file.path(), difference.unwrap_or(ALIKE))?;
        file.persist(path)?;
        Ok(())
    };
    if let Err(error) = write() {
        tracing::debug!(%error, "check not kept");
    }
}
