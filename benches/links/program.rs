//! A link that can be made by anyone: where, of what, and the function that is edited.
//! Knows nothing of linkers, nor how the objects came about.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum;

use crate::edit::Edit;
use crate::error::{Error, Result, succeed};

/// What is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// vmlinux.o of a kernel
    Kernel,
    /// ninja, a C++ program from Debian's sources
    Ninja,
    /// modules of a few functions each
    Synthetic,
    /// native objects and no bitcode
    Native,
}

/// A link.
#[derive(Debug)]
pub struct Program {
    /// For people.
    pub name: String,
    /// Bitcode modules, where they were made here.
    pub modules: Option<usize>,
    /// Where the link is made.
    pub cwd: PathBuf,
    /// The linker's words, without `-o` and the output.
    pub words: Vec<OsString>,
    /// What is edited.
    pub edit: Option<Edit>,
}

/// A shell's words, for command lines that build systems have written down.
///
/// # Errors
/// The shell does not understand them.
pub fn shell_words(line: &str) -> Result<Vec<OsString>> {
    let script = format!("set -f; printf '%s\\0' {line}");
    let text = succeed(Command::new("sh").arg("-c").arg(script))?;
    let words = text.split_inclusive(|byte| *byte == 0);
    let words = words.map(|word| OsString::from_vec(word.strip_suffix(&[0]).unwrap_or(word).to_vec()));
    Ok(words.collect())
}

/// Takes `-o FILE` out of a command line.
pub fn without_output(words: &[OsString]) -> Vec<OsString> {
    let mut rest = Vec::with_capacity(words.len());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word == "-o" {
            true => drop(words.next()),
            false => rest.push(word.clone()),
        }
    }
    rest
}

/// A compiler's command line made to read another source and to write another object, and nothing else.
///
/// # Errors
/// None of its words ends in `source`.
pub fn redirected(
    words: &[OsString],
    source: &str,
    to_source: &std::path::Path,
    to_object: &std::path::Path,
) -> Result<Vec<OsString>> {
    let mut found = false;
    let mut redirected: Vec<OsString> = Vec::with_capacity(words.len());
    for word in without_output(words) {
        let bytes = word.as_bytes();
        if bytes.starts_with(b"-Wp,-M") {
            continue;
        }
        let is_source = !bytes.starts_with(b"-") && bytes.ends_with(source.as_bytes());
        found |= is_source;
        redirected.push(if is_source { to_source.into() } else { word });
    }
    if !found {
        return Err(Error::Unfit(format!(
            "the command that compiles {source} does not name it"
        )));
    }
    redirected.extend(["-o".into(), to_object.into()]);
    Ok(redirected)
}
