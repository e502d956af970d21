//! The compiler as actions have it: clang with everything it is loaded from, sent along, or one that a worker has already;
//! and the words a command begins with to run it under guard. Knows nothing of what is compiled.

use std::io;
use std::path::{Path, PathBuf};

use super::blob::{Blob, Source};
use super::digest::Digest;
use super::tree::{Access, Packed, Tree, TreeError};
use crate::toolchain::loading::{Loading, NotLoaded};

/// The folder of an action's tree that the compiler is in, as seen from where its command runs.
pub const FOLDER: &str = ".thinlto-ld/c";

/// The arguments the guard knows (src/sys/guard.rs): what the object is called, and what parts the steps.
const LEAVES: &str = "--thinlto-ld-leaves";
const THEN: &str = "--thinlto-ld-then";

/// A compiler that actions can run.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// The folder [`FOLDER`].
    pub root: Digest,
    /// All that is in it, its folders too.
    pub blobs: Vec<Blob>,
    /// What differs where workers' own compilers do, for those that do not travel.
    pub salt: Vec<u8>,
    /// How a command begins.
    words: Vec<String>,
    /// What it finds in its environment.
    pub environment: Vec<(String, String)>,
}

/// Why it cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum CannotTravel {
    /// What it is loaded from cannot be told.
    #[error("clang cannot travel: {0}")]
    Loading(#[from] NotLoaded),
    /// A file of its cannot be read.
    #[error("clang cannot travel: {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Two of its files have one name.
    #[error("clang cannot travel: {0}")]
    Tree(#[from] TreeError),
}

impl Compiler {
    /// The clang at `clang`, with its libraries and loader. `guard` is the library that watches over it, `guard_at` a file
    /// of the same; `digest` tells a file's SHA256 and size.
    ///
    /// # Errors
    /// See [`CannotTravel`].
    pub fn travelling(
        clang: &Path,
        guard: &'static [u8],
        guard_at: &Path,
        digest: impl Fn(&Path) -> io::Result<Digest>,
    ) -> Result<Compiler, CannotTravel> {
        let loading = Loading::of(clang, guard_at)?;
        let mut making = Making::new(guard)?;
        let mut file = |name: &str, path: &Path| making.file(name, path, &digest);
        file("bin/clang", &loading.program)?;
        for (name, path) in &loading.libraries {
            file(&format!("lib/{name}"), path)?;
        }
        let loader = loading.loader.file_name().unwrap_or_default().to_string_lossy();
        let loader = format!("lib/{loader}");
        file(&loader, &loading.loader)?;
        let at = |name: &str| format!("{FOLDER}/{name}");
        let words = vec![
            at(&loader),
            // What is not here must not be found elsewhere.
            "--inhibit-cache".to_owned(),
            "--library-path".to_owned(),
            at("lib"),
            "--preload".to_owned(),
            at(GUARD),
            at("bin/clang"),
        ];
        Ok(making.finish(words, Vec::new(), Vec::new()))
    }

    /// The clang that workers have at `path`, of this version.
    ///
    /// # Errors
    /// None that can come to pass.
    pub fn on_worker(path: &str, version: &str, guard: &'static [u8]) -> Result<Compiler, CannotTravel> {
        let environment = vec![("LD_PRELOAD".to_owned(), format!("{FOLDER}/{GUARD}"))];
        let making = Making::new(guard)?;
        Ok(making.finish(vec![path.to_owned()], environment, version.as_bytes().to_vec()))
    }

    /// The command that runs these steps, the last of which leaves `object`, or fails.
    pub fn command(&self, object: &str, steps: &[Vec<String>]) -> Vec<String> {
        let mut words = self.words.clone();
        words.extend([LEAVES.to_owned(), object.to_owned()]);
        words.extend(steps.join(&THEN.to_owned()));
        words
    }
}

/// Where the guard is in the compiler's folder.
const GUARD: &str = "lib/guard.so";

struct Making {
    tree: Tree,
    blobs: Vec<Blob>,
}

impl Making {
    fn new(guard: &'static [u8]) -> Result<Making, CannotTravel> {
        let guard = Blob::of_bytes(guard);
        let mut tree = Tree::default();
        tree.add(GUARD, guard.digest, Access::Execute)?;
        Ok(Making {
            tree,
            blobs: vec![guard],
        })
    }

    fn file(
        &mut self,
        name: &str,
        path: &Path,
        digest: impl Fn(&Path) -> io::Result<Digest>,
    ) -> Result<(), CannotTravel> {
        let digest = digest(path).map_err(|error| CannotTravel::File {
            path: path.to_owned(),
            error,
        })?;
        self.tree.add(name, digest, Access::Execute)?;
        self.blobs.push(Blob {
            digest,
            source: Source::File(path.to_owned()),
        });
        Ok(())
    }

    fn finish(self, words: Vec<String>, environment: Vec<(String, String)>, salt: Vec<u8>) -> Compiler {
        let Packed { root, folders } = self.tree.pack();
        let mut blobs = self.blobs;
        blobs.extend(folders);
        Compiler {
            root,
            blobs,
            salt,
            words,
            environment,
        }
    }
}
