//! The file a page goes into: whether it can be written is known before anything is made, and it is there whole or not at all.
//! Knows nothing of pages.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that will be written.
#[derive(Debug)]
pub struct PageFile {
    /// As the user calls it.
    path: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Written beside the file that it takes the place of.
    Beside(NamedTempFile, PathBuf),
    /// What is no regular file (a pipe, `/dev/stdout`) is written as it is.
    AsItIs(File),
}

/// The page cannot be written there.
#[derive(Debug, thiserror::Error)]
#[error("{}: the page cannot be written: {error}", path.display())]
pub struct Unwritable {
    path: PathBuf,
    error: io::Error,
}

impl PageFile {
    /// Makes sure of it; what is there stays as it is until [`PageFile::write`].
    ///
    /// # Errors
    /// It cannot be written.
    pub fn prepare(path: &Path) -> Result<PageFile, Unwritable> {
        let path = path.to_owned();
        match place(&path) {
            Ok(place) => Ok(PageFile { path, place }),
            Err(error) => Err(Unwritable { path, error }),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// There is no room, or the folder is gone; then what was there before still is.
    pub fn write(self, text: &str) -> Result<(), Unwritable> {
        let written = match self.place {
            Place::AsItIs(mut file) => file.write_all(text.as_bytes()),
            Place::Beside(mut file, target) => file
                .write_all(text.as_bytes())
                .and_then(|()| file.persist(target).map(drop).map_err(io::Error::from)),
        };
        written.map_err(|error| Unwritable { path: self.path, error })
    }
}

fn place(path: &Path) -> io::Result<Place> {
    let (target, mode) = match fs::metadata(path) {
        Ok(there) if there.is_file() => {
            // Its folder may allow what the file itself forbids.
            OpenOptions::new().append(true).open(path)?;
            // A link goes on leading where it leads.
            (fs::canonicalize(path)?, Some(there.permissions()))
        }
        Ok(_) => return OpenOptions::new().write(true).open(path).map(Place::AsItIs),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), None),
        Err(error) => return Err(error),
    };
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new()
        .prefix(".thinlto-page-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    if let Some(mode) = mode {
        fs::set_permissions(file.path(), mode)?;
    }
    Ok(Place::Beside(file, target))
}
