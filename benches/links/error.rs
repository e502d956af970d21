//! What can go wrong in the benchmark itself, in words for whoever runs it.
//! Knows nothing of links that fail: those are results and stand in the table.

use std::io;
use std::path::Path;
use std::process::Command;

/// Why there is nothing to measure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("{0}: {1}")]
    File(String, io::Error),
    /// A program that is needed to prepare something.
    #[error("{0}")]
    Program(String),
    /// What the user gave is not what it should be.
    #[error("{0}")]
    Unfit(String),
}

/// With this error.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds the file's name to what the system says.
pub trait At<T> {
    /// # Errors
    /// The same, with the name.
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|error| Error::File(path.display().to_string(), error))
    }
}

/// Runs a program that must succeed and returns what it printed.
///
/// # Errors
/// It cannot be started or it fails: its name and what it said.
pub fn succeed(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| Error::Program(format!("cannot run {name}: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let mut last: Vec<&str> = said.lines().rev().take(20).collect();
    last.reverse();
    Err(Error::Program(format!(
        "{name}: {}\n{}",
        output.status,
        last.join("\n")
    )))
}
