//! Native objects left for the user, one for each module, called as Kbuild calls them: `foo.thinlto-native.o` for `foo.o`.
//! Knows nothing of how they were made.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::cache::Digest;
use crate::final_link::NativeObject;
use crate::final_link::dependencies::without_dots;
use crate::fresh::Fresh;
use crate::inputs::Inputs;
use crate::observe::stats::Natives;
use crate::settings::Native;
use crate::sys;
use crate::thin_link::Plan;

/// How the name of a native object ends, which begins as its module's (the kernel's scripts/Makefile.thinlto).
const ENDING: &str = ".thinlto-native.o";

/// A native object for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub digest: Digest,
    /// Whether it was so already.
    pub state: State,
}

/// What was done for it to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was written.
    Written,
    /// It was there, with this content, and was not touched.
    Unchanged,
}

/// Why one could not be left; the link fails, as it does for any other file it was asked to write.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the native object {}: {}", .path.display(), .error)]
pub struct NativeError {
    path: PathBuf,
    error: io::Error,
}

/// Leaves the objects of a plan's modules, which are in its order.
///
/// # Errors
/// The first place that cannot be written.
pub fn leave(
    native: &Native,
    inputs: &Inputs,
    plan: &Plan,
    objects: &[NativeObject],
) -> Result<Vec<Left>, NativeError> {
    if *native == Native::Off {
        return Ok(Vec::new());
    }
    let at = |path: &Path, error| NativeError {
        path: path.to_owned(),
        error,
    };
    let cwd = std::env::current_dir().map_err(|error| at(Path::new("."), error))?;
    let modules: Vec<PathBuf> = plan
        .modules
        .iter()
        .map(|module| {
            inputs
                .object_file(module.source)
                .map_or_else(|| PathBuf::from(&module.name), |file| file.path)
        })
        .collect();
    let places = places(native, &modules, &cwd);
    let absolute = |path: &Path| without_dots(&cwd.join(path));
    let read: HashSet<PathBuf> = inputs.files().iter().map(|(path, _)| absolute(path)).collect();
    if let Some(place) = places.iter().find(|place| read.contains(&absolute(place))) {
        return Err(at(place, io::Error::other("it is an input of this link")));
    }
    let mut dirs: Vec<&Path> = places.iter().filter_map(|place| place.parent()).collect();
    dirs.dedup();
    for dir in dirs.iter().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir).map_err(|error| at(dir, error))?;
    }
    let pairs = objects.par_iter().zip(places);
    pairs
        .map(|(object, place)| leave_one(object.path(), place.clone()).map_err(|error| at(&place, error)))
        .collect()
}

/// How many there are, for the stats, where they are wanted.
pub fn counts(native: &Native, left: &[Left]) -> Option<Natives> {
    let written = left.iter().filter(|left| left.state == State::Written).count();
    (*native != Native::Off).then(|| Natives {
        written,
        unchanged: left.len() - written,
    })
}

/// The bytes are copied, not the file: the cache's own must not be reached through it.
fn leave_one(object: &Path, path: PathBuf) -> io::Result<Left> {
    let bytes = sys::map(&File::open(object)?)?;
    let state = match is(&path, &bytes) {
        true => State::Unchanged,
        false => {
            let fresh = Fresh::beside(&path)?;
            fs::write(fresh.path(), &*bytes)?;
            fresh.move_to(&path)?;
            State::Written
        }
    };
    Ok(Left {
        path,
        digest: *blake3::hash(&bytes).as_bytes(),
        state,
    })
}

/// Whether a plain file is there with these bytes.
fn is(path: &Path, bytes: &[u8]) -> bool {
    let same_size = fs::symlink_metadata(path).is_ok_and(|there| there.is_file() && there.len() == bytes.len() as u64);
    same_size && fs::read(path).is_ok_and(|there| there == bytes)
}

/// Where each of the modules' objects goes. Of several for one place (an archive may have two members of a name) the later
/// have in their names the first number that makes a place of their own.
fn places(native: &Native, modules: &[PathBuf], cwd: &Path) -> Vec<PathBuf> {
    let mut taken: HashSet<PathBuf> = HashSet::new();
    modules
        .iter()
        .map(|module| {
            let module = match native {
                Native::Under(folder) => folder.join(relative(module, cwd)),
                Native::Off | Native::Beside => module.clone(),
            };
            let mut number = 1;
            let mut place = called(&module, number);
            while !taken.insert(without_dots(&cwd.join(&place))) {
                number += 1;
                place = called(&module, number);
            }
            place
        })
        .collect()
}

/// A module's path from the working folder, or from the root for what is elsewhere.
fn relative(module: &Path, cwd: &Path) -> PathBuf {
    let absolute = without_dots(&cwd.join(module));
    let from_here = absolute.strip_prefix(cwd).or_else(|_| absolute.strip_prefix("/"));
    from_here.map(Path::to_owned).unwrap_or(absolute.clone())
}

fn called(module: &Path, number: usize) -> PathBuf {
    let mut name: OsString = match module.extension() {
        Some(extension) if extension == "o" => module.file_stem().unwrap_or_default().to_owned(),
        _ => module.file_name().unwrap_or_default().to_owned(),
    };
    if number > 1 {
        name.push(format!(".{number}"));
    }
    name.push(ENDING);
    module.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(native: &Native, modules: &[&str]) -> Vec<PathBuf> {
        let modules: Vec<PathBuf> = modules.iter().map(PathBuf::from).collect();
        places(native, &modules, Path::new("/build"))
    }

    #[test]
    fn beside_their_modules_and_under_a_folder() {
        let modules = ["a/b.o", "./c.bc", "a/b.o", "/build/d.o", "../e.o", "/abs/f.o"];
        let beside = [
            "a/b.thinlto-native.o",
            "./c.bc.thinlto-native.o",
            "a/b.2.thinlto-native.o",
            "/build/d.thinlto-native.o",
            "../e.thinlto-native.o",
            "/abs/f.thinlto-native.o",
        ];
        assert_eq!(named(&Native::Beside, &modules), beside.map(PathBuf::from));
        let under = [
            "out/a/b.thinlto-native.o",
            "out/c.bc.thinlto-native.o",
            "out/a/b.2.thinlto-native.o",
            "out/d.thinlto-native.o",
            "out/e.thinlto-native.o",
            "out/abs/f.thinlto-native.o",
        ];
        assert_eq!(named(&Native::Under("out".into()), &modules), under.map(PathBuf::from));
    }

    #[test]
    fn no_two_in_one_place() {
        let modules = ["m.o", "./m.o", "m.2.o", "/build/m", "d/../m.o", "q/g1", "q/g1.o"];
        let places = [
            "m.thinlto-native.o",
            "./m.2.thinlto-native.o",
            "m.2.2.thinlto-native.o",
            "/build/m.3.thinlto-native.o",
            "d/../m.4.thinlto-native.o",
            "q/g1.thinlto-native.o",
            "q/g1.2.thinlto-native.o",
        ];
        assert_eq!(named(&Native::Beside, &modules), places.map(PathBuf::from));
    }
}
