//! The user's files that a backend reads besides modules, as an action has them: those its assembly pulls in and those its
//! options name, where a worker finds them. Knows nothing of the rest of the action.
//!
//! Assembly says how a file is called, and nothing can make it say otherwise: a relative name must lead to the file from
//! where the command runs, `..` included, so that this may be some folders below the tree's top. Options can be told
//! another name.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::action::Stays;
use crate::backend::jobs::UserFiles;
use crate::remote::{Blob, Digest, Source};
use crate::stamp::Stamp;

/// Those files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The folder in which the command runs, with a slash at its end; empty for the tree's top.
    pub(super) home: String,
    /// What stands in the tree, from its top.
    pub(super) tree: Vec<(String, Digest)>,
    pub(super) blobs: Vec<Blob>,
    /// Each with the stamp it was read under; none where there is no such file.
    pub(super) stamps: Vec<(PathBuf, Option<Stamp>)>,
    /// What options call a file instead, and what the user calls it.
    pub(super) aliases: Vec<(String, PathBuf)>,
}

/// The folder above which `..` leads, as many times as needed.
const ABOVE: &str = "w/";

type DigestOf<'a> = &'a (dyn Fn(&Path) -> io::Result<(Digest, Stamp)> + Sync);

/// The files of one backend.
pub(super) fn find(read: &UserFiles<'_>, digest: DigestOf<'_>) -> Result<Files, Stays> {
    let mut files = Files::default();
    let mut places = Vec::new();
    for path in read.assembly.iter() {
        let place = place(path)?;
        if let Some(digest) = files.read(path, digest)? {
            places.push((place, digest));
        }
    }
    for path in read.options.iter() {
        // Its being absent counts too; a folder could hold anything.
        if path.is_dir() {
            return Err(Stays::OddPath);
        }
        let Some(digest) = files.read(path, digest)? else {
            continue;
        };
        let place = match place(path) {
            Ok(place) => place,
            Err(Stays::AbsolutePath) => {
                let alias = format!(".thinlto-ld/f/{}", files.aliases.len());
                files.aliases.push((alias.clone(), path.clone()));
                Place { above: 0, name: alias }
            }
            Err(stays) => return Err(stays),
        };
        places.push((place, digest));
    }
    let depth = places.iter().map(|(place, _)| place.above).max().unwrap_or_default();
    files.home = ABOVE.repeat(depth);
    for (place, digest) in places {
        let above = ABOVE.repeat(depth - place.above);
        files.tree.push((format!("{above}{}", place.name), digest));
    }
    Ok(files)
}

impl Files {
    /// What a file has, which is noted; none where there is no file.
    fn read(&mut self, path: &Path, digest: DigestOf<'_>) -> Result<Option<Digest>, Stays> {
        let found = match digest(path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => return Err(Stays::Unreadable),
        };
        self.stamps.push((path.to_owned(), found.map(|(_, stamp)| stamp)));
        let Some((digest, _)) = found else { return Ok(None) };
        self.blobs.push(Blob {
            digest,
            source: Source::File(path.to_owned()),
        });
        Ok(Some(digest))
    }

    /// A word of a command, as the worker is to have it.
    pub(super) fn word(&self, word: OsString) -> Result<String, Stays> {
        let word = word.into_string().map_err(|_| Stays::NotUtf8)?;
        for (alias, path) in &self.aliases {
            let path = path.to_str().ok_or(Stays::NotUtf8)?;
            if let Some(option) = word
                .strip_suffix(path)
                .filter(|option| option.is_empty() || option.ends_with('='))
            {
                return Ok(format!("{option}{alias}"));
            }
        }
        match word.starts_with('/') || word.contains("=/") {
            true => Err(Stays::AbsolutePath),
            false => Ok(word),
        }
    }
}

/// Where a relative name leads: so many folders up, and then down.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    above: usize,
    name: String,
}

fn place(path: &Path) -> Result<Place, Stays> {
    let (mut above, mut parts) = (0, Vec::new());
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if parts.is_empty() => above += 1,
            Component::Normal(part) => parts.push(part.to_str().ok_or(Stays::NotUtf8)?),
            // What is above a folder that may be a link cannot be told by its name.
            Component::ParentDir => return Err(Stays::OddPath),
            Component::RootDir | Component::Prefix(_) => return Err(Stays::AbsolutePath),
        }
    }
    match parts.is_empty() {
        true => Err(Stays::OddPath),
        false => Ok(Place {
            above,
            name: parts.join("/"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_up_before_they_lead_down() {
        let at = |above, name: &str| Place {
            above,
            name: name.to_owned(),
        };
        for (path, expected) in [
            ("a.bin", at(0, "a.bin")),
            ("./d/a.bin", at(0, "d/a.bin")),
            ("../../d/a.bin", at(2, "d/a.bin")),
        ] {
            assert_eq!(place(Path::new(path)).unwrap(), expected);
        }
        assert!(matches!(place(Path::new("/d/a")), Err(Stays::AbsolutePath)));
        assert!(matches!(place(Path::new("d/../a")), Err(Stays::OddPath)));
        assert!(matches!(place(Path::new("..")), Err(Stays::OddPath)));
    }

    #[test]
    fn words_name_what_the_worker_has_and_nothing_of_this_machine() {
        let files = Files {
            aliases: vec![(".thinlto-ld/f/0".to_owned(), "/p/x.prof".into())],
            ..Files::default()
        };
        let word = |word: &str| files.word(word.into());
        assert_eq!(
            word("-fprofile-sample-use=/p/x.prof").unwrap(),
            "-fprofile-sample-use=.thinlto-ld/f/0"
        );
        assert_eq!(word("-O2").unwrap(), "-O2");
        assert!(matches!(word("-fpass-plugin=/p/y.so"), Err(Stays::AbsolutePath)));
        assert!(matches!(word("/p/y/p/x.prof"), Err(Stays::AbsolutePath)));
    }
}
