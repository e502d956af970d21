//! The list of what was installed under a prefix, so that exactly that can be taken away: a line a place, folders that were made
//! for it with a slash at their end. Knows nothing of what the files are.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::tree::HERE;
use super::{InstallError, at};
use crate::fresh::Fresh;

const FIRST: &str = "# What `thinlto install` put under this prefix, for `thinlto uninstall`.";

/// The prefix itself among the folders.
const PREFIX: &str = "/";

/// Where it is under a prefix.
pub(super) fn path(prefix: &Path) -> PathBuf {
    prefix.join(HERE).join("manifest")
}

/// The list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Files and links, under the prefix.
    pub places: Vec<PathBuf>,
    /// Folders that were not there before.
    pub folders: Vec<PathBuf>,
}

impl Manifest {
    /// That of a prefix; none where nothing is installed.
    pub(super) fn read(prefix: &Path) -> Result<Option<Manifest>, InstallError> {
        let path = path(prefix);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        let manifest = Manifest::parse(&text);
        manifest.map(Some).map_err(|line| InstallError::Damaged { path, line })
    }

    /// Else the line that is wrong. Only places under the prefix are believed: what it names is removed.
    fn parse(text: &str) -> Result<Manifest, usize> {
        let mut lines = text.lines();
        if lines.next() != Some(FIRST) {
            return Err(1);
        }
        let mut manifest = Manifest::default();
        for (line, number) in lines.zip(2..) {
            if line == PREFIX {
                manifest.folders.push(PathBuf::new());
                continue;
            }
            let place = PathBuf::from(line);
            let is_below = place.components().all(|part| matches!(part, Component::Normal(_)));
            if line.is_empty() || !is_below {
                return Err(number);
            }
            match line.ends_with('/') {
                true => manifest.folders.push(place),
                false => manifest.places.push(place),
            }
        }
        Ok(manifest)
    }

    pub(super) fn write(&self, prefix: &Path) -> Result<(), InstallError> {
        let path = path(prefix);
        let write = || {
            let fresh = Fresh::beside(&path)?;
            fs::write(fresh.path(), self.text())?;
            fresh.move_to(&path)
        };
        write().map_err(at(&path))
    }

    fn text(&self) -> String {
        let places = self.places.iter().map(|place| format!("{}\n", place.display()));
        let folders = self.folders.iter().map(|folder| format!("{}/\n", folder.display()));
        format!("{FIRST}\n") + &places.chain(folders).collect::<String>()
    }

    pub(super) fn has(&self, place: &Path) -> bool {
        self.places.iter().any(|known| known == place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let manifest = Manifest {
            places: vec!["bin/thinlto".into(), "lib/thinlto-ld/kmake".into()],
            folders: vec![PathBuf::new(), "lib".into(), "lib/thinlto-ld".into()],
        };
        assert_eq!(Manifest::parse(&manifest.text()), Ok(manifest));
    }

    #[test]
    fn what_leads_out_of_the_prefix_is_not_believed() {
        for line in ["/etc/passwd", "../x", "lib/../../x", "", "./x"] {
            assert_eq!(Manifest::parse(&format!("{FIRST}\nbin/a\n{line}\n")), Err(3), "{line}");
        }
        assert_eq!(Manifest::parse("bin/a\n"), Err(1));
    }
}
