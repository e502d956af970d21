//! An action's input tree: relative names and blobs become the API's Directory messages, the same for the same names and
//! contents in whatever order they come. Knows nothing of what is in the files.

use std::collections::BTreeMap;

use super::api;
use super::blob::Blob;
use super::digest::Digest;

/// A folder in the making.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// In the order of their names, as the API wants them (canonical form of `Directory`).
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    File {
        digest: Digest,
        executable: bool,
    },
    Folder(Tree),
    /// One that is packed already, whose blobs are somebody else's to send.
    Packed(Digest),
}

/// Whether a file may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is only read.
    Read,
    /// It is run too, or loaded by what is.
    Execute,
}

/// Why a name cannot be in a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Absolute, empty, or with `.`, `..` or nothing between two slashes.
    #[error("{0}: no plain relative name")]
    Name(String),
    /// Two contents of one name, or a file where a folder is.
    #[error("{0}: there is something else of that name")]
    Taken(String),
}

/// A tree's Directory messages.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The top folder.
    pub root: Digest,
    /// The messages of all folders, each once or more.
    pub folders: Vec<Blob>,
}

impl Tree {
    /// Puts a file at `name`, folders between them made. The same file twice is no error.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn add(&mut self, name: &str, digest: Digest, access: Access) -> Result<(), TreeError> {
        let executable = access == Access::Execute;
        self.place(name, Entry::File { digest, executable })
    }

    /// Puts a packed folder at `name`.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn graft(&mut self, name: &str, root: Digest) -> Result<(), TreeError> {
        self.place(name, Entry::Packed(root))
    }

    fn place(&mut self, name: &str, entry: Entry) -> Result<(), TreeError> {
        let mut parts = name.split('/').peekable();
        let mut folder = self;
        while let Some(part) = parts.next() {
            if matches!(part, "" | "." | "..") {
                return Err(TreeError::Name(name.to_owned()));
            }
            if parts.peek().is_none() {
                return match folder.entries.get(part) {
                    Some(there) if !there.is(&entry) => Err(TreeError::Taken(name.to_owned())),
                    _ => {
                        folder.entries.insert(part.to_owned(), entry);
                        Ok(())
                    }
                };
            }
            let next = folder.entries.entry(part.to_owned());
            match next.or_insert_with(|| Entry::Folder(Tree::default())) {
                Entry::Folder(next) => folder = next,
                _ => return Err(TreeError::Taken(name.to_owned())),
            }
        }
        Err(TreeError::Name(name.to_owned()))
    }

    /// The messages of this folder and all below it.
    pub fn pack(&self) -> Packed {
        let mut folders = Vec::new();
        let root = self.pack_into(&mut folders);
        Packed { root, folders }
    }

    fn pack_into(&self, folders: &mut Vec<Blob>) -> Digest {
        let mut message = api::Directory::default();
        for (name, entry) in &self.entries {
            match entry {
                Entry::File { digest, executable } => message.files.push(api::FileNode {
                    name: name.clone(),
                    digest: Some(digest.to_message()),
                    is_executable: *executable,
                    node_properties: None,
                }),
                Entry::Folder(folder) => {
                    let digest = folder.pack_into(folders);
                    message.directories.push(folder_node(name, digest));
                }
                Entry::Packed(digest) => message.directories.push(folder_node(name, *digest)),
            }
        }
        let blob = Blob::of_message(&message);
        let digest = blob.digest;
        folders.push(blob);
        digest
    }
}

impl Entry {
    fn is(&self, other: &Entry) -> bool {
        match (self, other) {
            (Entry::Packed(one), Entry::Packed(other)) => one == other,
            (
                Entry::File {
                    digest: one,
                    executable: is,
                },
                Entry::File {
                    digest: other,
                    executable: may,
                },
            ) => one == other && is == may,
            _ => false,
        }
    }
}

fn folder_node(name: &str, digest: Digest) -> api::DirectoryNode {
    api::DirectoryNode {
        name: name.to_owned(),
        digest: Some(digest.to_message()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (name, content) in files {
            tree.add(name, Digest::of(content.as_bytes()), Access::Read).unwrap();
        }
        tree
    }

    #[test]
    fn the_order_in_which_files_come_does_not_count() {
        let one = tree(&[("m/1", "x"), ("a", "y"), ("m/0", "z")]).pack();
        let other = tree(&[("m/0", "z"), ("m/1", "x"), ("a", "y")]).pack();
        assert_eq!(one.root, other.root);
        assert_ne!(one.root, tree(&[("m/0", "x"), ("m/1", "z"), ("a", "y")]).pack().root);
        assert_eq!(one.folders.len(), 2);
    }

    #[test]
    fn what_is_grafted_is_the_same_as_what_is_added() {
        let whole = tree(&[("c/bin/clang", "x"), ("i", "y")]).pack();
        let mut grafted = tree(&[("i", "y")]);
        grafted.graft("c", tree(&[("bin/clang", "x")]).pack().root).unwrap();
        assert_eq!(grafted.pack().root, whole.root);
        assert_eq!(grafted.pack().folders.len(), 1);
    }

    #[test]
    fn a_folder_is_as_the_api_writes_it() {
        let packed = tree(&[("b", "x"), ("a", "y"), ("d/c", "z")]).pack();
        let super::super::Source::Bytes(bytes) = &packed.folders.last().unwrap().source else {
            panic!("a message in a file")
        };
        let folder = api::Directory::decode(&bytes[..]).unwrap();
        let names: Vec<_> = folder.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(folder.directories[0].name, "d");
        assert_eq!(folder.files[0].digest, Some(Digest::of(b"y").to_message()));
    }

    #[test]
    fn names_that_lead_out_or_stand_for_two_are_refused() {
        for name in ["/a", "", "a//b", "../a", "a/./b", "a/"] {
            let error = Tree::default().add(name, Digest::of(b""), Access::Read).unwrap_err();
            assert_eq!(error, TreeError::Name(name.to_owned()));
        }
        let mut tree = tree(&[("a", "x"), ("d/e", "y")]);
        assert_eq!(tree.add("a", Digest::of(b"x"), Access::Read), Ok(()));
        for name in ["a", "a/b", "d"] {
            let error = tree.add(name, Digest::of(b"other"), Access::Read).unwrap_err();
            assert_eq!(error, TreeError::Taken(name.to_owned()));
        }
    }
}
