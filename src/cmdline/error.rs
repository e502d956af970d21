//! What can be wrong with a command line before any of it is acted on. Knows nothing of how lld words it: whoever gets
//! one of these hands the whole command line to the real linker, which reports the mistake itself.

use std::io;
use std::path::PathBuf;

/// A command line that lld itself rejects, or whose response files cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CommandLineError {
    /// An option at the end of the command line lacks its value (lld `ELFOptTable::parse`).
    #[error("{0}: missing argument")]
    MissingArgument(String),
    /// A response file exists but cannot be read.
    #[error("cannot read response file '{}'", path.display())]
    ResponseFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A response file names itself, directly or through others.
    #[error("recursive expansion of response file '{}'", .0.display())]
    RecursiveResponseFile(PathBuf),
    /// A response file begins with a UTF-16 byte order mark, but is not UTF-16.
    #[error("response file '{}' is not valid UTF-16", .0.display())]
    ResponseFileEncoding(PathBuf),
    /// `-flavor` with nothing after it, or with a name lld does not know (lld `DriverDispatcher.cpp`).
    #[error("unknown or missing -flavor '{0}'")]
    Flavor(String),
    /// An option has a value lld does not take.
    #[error("{option}: unknown value '{value}'")]
    Value {
        /// Canonical name.
        option: &'static str,
        /// The value.
        value: String,
    },
    /// `--start-lib`, `--start-group`, `--push-state` or their ends do not pair up (lld `LinkerDriver::createFiles`).
    #[error("unbalanced {0}")]
    Unbalanced(&'static str),
}
