//! Folders that nobody but this user can write: what is found in one was put there by them.
//! Knows nothing of what the folders are for.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Makes a folder and those above it where they are not there, and opens it as [`open`] does.
///
/// # Errors
/// It cannot be made, or others could write it.
pub fn make(path: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    open(path)
}

/// Opens a folder that is ours alone. In a shared temporary folder it may be somebody else's, made before us: whoever can
/// write it can exchange what is in it.
///
/// # Errors
/// It is not there, is no folder, or others could write it.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let meta = folder.metadata()?;
    if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others could write it"));
    }
    Ok(folder)
}

/// This user's folder among the temporary files, made by nobody yet.
pub fn scratch() -> PathBuf {
    within(&std::env::temp_dir())
}

/// This user's folder in one for all. It has the user in its name, since who did not make it may not tidy up in it.
pub fn within(shared: &Path) -> PathBuf {
    shared.join(format!("thinlto-ld-{}", rustix::process::getuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_folder_others_could_write_or_point_elsewhere_is_not_taken() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let made = make(&at("a/b")).unwrap();
        assert_eq!(made.metadata().unwrap().mode() & 0o777, 0o700);
        symlink(at("a/b"), at("link")).unwrap();
        fs::write(at("file"), "").unwrap();
        for name in ["link", "file", "file/below"] {
            assert!(make(&at(name)).is_err(), "{name}");
        }
        for mode in [0o720, 0o702, 0o777] {
            fs::set_permissions(at("a/b"), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(make(&at("a/b")).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
