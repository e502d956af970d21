//! What lld hands to a distributor: a JSON file that lists the backends of a link (llvm/docs/DTLTO.rst, LLVM 20 to 22).
//! Knows nothing of compilers beyond that the first word of a command is one.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::backend::jobs::Called;

/// The backends of one link. What later versions of LLVM add to it is passed over.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Description {
    /// What all have in common.
    pub common: Common,
    /// What each has besides.
    pub jobs: Vec<Job>,
}

/// What all backends have in common.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Common {
    /// What the link makes.
    #[serde(default)]
    pub linker_output: String,
    /// The compiler, and the words that come first in each command.
    pub args: Vec<String>,
    /// Files that each command reads.
    #[serde(default)]
    pub inputs: Vec<PathBuf>,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Job {
    /// The words of its command behind the common ones.
    pub args: Vec<String>,
    /// The module, its index, and what else is read: the modules that are imported from.
    pub inputs: Vec<PathBuf>,
    /// The object, and what else is written.
    pub outputs: Vec<PathBuf>,
}

/// A description that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum BadDescription {
    /// The file cannot be read.
    #[error("{}: cannot be read: {error}", .file.display())]
    Unread {
        /// The file.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is no description of jobs.
    #[error("{}: not a list of jobs as lld 20 to 22 write it: {error}", .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// Something that every description has is missing.
    #[error("{}: {what}", .file.display())]
    Lacking {
        /// The file.
        file: PathBuf,
        /// What is missing.
        what: String,
    },
}

impl Description {
    /// Reads `file`.
    ///
    /// # Errors
    /// See [`BadDescription`].
    pub fn read(file: &Path) -> Result<Description, BadDescription> {
        let text = fs::read(file).map_err(|error| BadDescription::Unread {
            file: file.to_owned(),
            error,
        })?;
        let description: Description = serde_json::from_slice(&text).map_err(|error| BadDescription::Malformed {
            file: file.to_owned(),
            error,
        })?;
        match description.lacks() {
            None => Ok(description),
            Some(what) => Err(BadDescription::Lacking {
                file: file.to_owned(),
                what,
            }),
        }
    }

    fn lacks(&self) -> Option<String> {
        if self.common.args.is_empty() {
            return Some("names no compiler (common.args is empty)".to_owned());
        }
        let incomplete = |job: &Job| job.inputs.len() < 2 || job.outputs.is_empty();
        let number = self.jobs.iter().position(incomplete)?;
        Some(format!("jobs[{number}] does not name a module, an index and an object"))
    }

    /// The compiler.
    pub fn compiler(&self) -> &Path {
        Path::new(self.common.args.first().map_or("", String::as_str))
    }

    /// Calls the compiler by another path.
    pub fn set_compiler(&mut self, path: &Path) {
        if let (Some(first), Some(path)) = (self.common.args.first_mut(), path.to_str()) {
            path.clone_into(first);
        }
    }

    /// The common words behind the compiler's name.
    pub fn words(&self) -> &[String] {
        self.common.args.get(1..).unwrap_or_default()
    }
}

impl Job {
    /// The module's file.
    pub fn module(&self) -> &Path {
        self.inputs.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// The index's file.
    pub fn index(&self) -> &Path {
        self.inputs.get(1).map_or(Path::new(""), PathBuf::as_path)
    }

    /// The modules that are imported from, and what else is read.
    pub fn others(&self) -> &[PathBuf] {
        self.inputs.get(2..).unwrap_or_default()
    }

    /// Where the object goes.
    pub fn object(&self) -> &Path {
        self.outputs.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// These three.
    pub fn called(&self) -> Called<'_> {
        Called {
            module: self.module(),
            index: self.index(),
            object: self.object(),
        }
    }

    /// The module as lld calls it: what it has taken out of an archive it has given a file `libx.a(m.o at 96).SEQUENCE.PID.o`
    /// (`DTLTO::addInput` in llvm/lib/DTLTO/DTLTO.cpp).
    pub fn shown(&self) -> String {
        let module = self.module();
        member(module).unwrap_or_else(|| module.to_string_lossy().into_owned())
    }
}

/// What lld calls a module that it has taken out of an archive, by the file it has given it for this link; none of any other.
pub fn member(module: &Path) -> Option<String> {
    let name = module.to_string_lossy();
    let (name, id) = name.strip_suffix(".o")?.rsplit_once('.')?;
    let (name, sequence) = name.rsplit_once('.')?;
    let is_number = |text: &str, radix| !text.is_empty() && text.chars().all(|digit| digit.is_digit(radix));
    (name.ends_with(')') && is_number(sequence, 10) && is_number(id, 16)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"common":{"linker_output":"out","args":["/bin/clang","-c","-O2"],"inputs":["p.prof"]},
        "jobs":[{"args":["a.o","-fthinlto-index=a.o.thinlto.bc","-o","a.1.7.native.o"],
        "inputs":["a.o","a.o.thinlto.bc","libcd.a(c.o at 96).3.4C47.o"],"outputs":["a.1.7.native.o"],"later":1}]}"#;

    fn read(text: &str) -> Result<Description, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jobs.json");
        fs::write(&file, text).unwrap();
        Description::read(&file).map_err(|error| error.to_string().replace(&*file.to_string_lossy(), "FILE"))
    }

    #[test]
    fn what_lld_writes_is_read_and_what_lacks_something_is_not() {
        let description = read(TEXT).unwrap();
        assert_eq!(description.compiler(), Path::new("/bin/clang"));
        assert_eq!(description.words(), ["-c", "-O2"]);
        let job = &description.jobs[0];
        assert_eq!((job.others().len(), job.object()), (1, Path::new("a.1.7.native.o")));
        for (from, to, error) in [
            (
                r#""/bin/clang","-c","-O2""#,
                "",
                "FILE: names no compiler (common.args is empty)",
            ),
            (
                r#""a.o","a.o.thinlto.bc","#,
                "",
                "FILE: jobs[0] does not name a module, an index and an object",
            ),
            (
                r#""jobs""#,
                r#""tasks""#,
                "FILE: not a list of jobs as lld 20 to 22 write it: missing field `jobs`",
            ),
            (
                r#"{"common""#,
                "",
                "FILE: not a list of jobs as lld 20 to 22 write it: ",
            ),
        ] {
            let found = read(&TEXT.replacen(from, to, 1)).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }

    #[test]
    fn members_have_their_own_names() {
        let shown = |module: &str| {
            Job {
                args: Vec::new(),
                inputs: vec![module.into()],
                outputs: Vec::new(),
            }
            .shown()
        };
        assert_eq!(shown("libcd.a(c.o at 96).3.4C47.o"), "libcd.a(c.o at 96)");
        for own in ["a.o", "a(b).3.4C47", "a.3.4C47.o", "a(b).x.4C47.o"] {
            assert_eq!(shown(own), own);
        }
    }
}
