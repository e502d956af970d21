//! Files that come into being whole: written under a name nobody has, beside their place, and then moved there.
//! Knows nothing of what is in them.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A file of a name nobody has, beside the one it will be; gone again if it never is. Its permissions are the umask's.
#[derive(Debug)]
pub struct Fresh(PathBuf);

impl Fresh {
    /// A new empty file.
    ///
    /// # Errors
    /// As the file system says.
    pub fn beside(place: &Path) -> io::Result<Fresh> {
        let dir = place.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        let named = tempfile::Builder::new()
            .prefix(".thinlto-ld-")
            .make_in(dir, |path| OpenOptions::new().write(true).create_new(true).open(path))?;
        let (_, path) = named.keep()?;
        Ok(Fresh(path))
    }

    /// Where it is for now.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Moves it to its place, over what is there.
    ///
    /// # Errors
    /// As the file system says.
    pub fn move_to(&self, place: &Path) -> io::Result<()> {
        fs::rename(&self.0, place)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Once moved it is not there any more.
        let _ = fs::remove_file(&self.0);
    }
}
