//! The link the user means, whichever way they give it: a linker's command line, a compiler's, or one that was saved.
//! Knows nothing of what is done with it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::driver;
use super::standing::{self, Standing};
use crate::settings::{self, Settings};
use crate::shell;
use crate::toolchain::Linker;

/// One link, ready to be made with other outputs.
#[derive(Clone, Debug)]
pub struct LinkCommand {
    /// The linker as the command line calls it: its suffix tells the LLVM version.
    pub argv0: OsString,
    /// The linker's words.
    pub words: Vec<OsString>,
    /// Variables to set for it, those that say which linker is meant among them.
    pub env: Vec<(OsString, OsString)>,
    /// The distributing linker's program.
    pub thinlto_ld: PathBuf,
}

/// Why a command line is no link we can make again.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No words.
    #[error("no link command given")]
    Empty,
    /// A file with a saved command cannot be read.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    File(PathBuf, std::io::Error),
    /// A file without a command in it.
    #[error("{}: no command in it", .0.display())]
    NoCommand(PathBuf),
    /// A quote is never closed.
    #[error("the saved command ends within quotes")]
    Quotes,
    /// The program is neither a linker of ours nor a compiler driver.
    #[error("{0} is neither ld.lld nor clang")]
    Program(String),
    /// The driver did not say what it would run.
    #[error("{0}")]
    Driver(String),
    /// `thinlto-ld` is not where it should be.
    #[error("{}: thinlto-ld is not beside thinlto: {error}", path.display())]
    NoThinltoLd {
        /// Where it should be.
        path: PathBuf,
        /// What is the matter.
        error: std::io::Error,
    },
}

/// What a program on a command line is.
enum Program {
    /// thinlto-ld itself, by whatever name.
    Ours,
    /// An ld.lld, or a script that stands for one.
    Linker,
    /// A compiler that calls a linker.
    Driver,
    Other,
}

impl LinkCommand {
    /// Reads what stands after `--`. Files that compile steps of a driver's line make are put into `scratch`.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn read(words: Vec<OsString>, scratch: &Path) -> Result<LinkCommand, CommandError> {
        LinkCommand::of(words, Some(scratch))
    }

    /// The same, with nothing run but the driver's `-###`.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn look_at(words: Vec<OsString>) -> Result<LinkCommand, CommandError> {
        LinkCommand::of(words, None)
    }

    fn of(words: Vec<OsString>, scratch: Option<&Path>) -> Result<LinkCommand, CommandError> {
        let thinlto_ld = sibling()?;
        let mut env = Vec::new();
        let mut words = unsaved(words)?.into_iter().peekable();
        while let Some(word) = words.next_if(|word| word == "env" || assignment(word).is_some()) {
            env.extend(assignment(&word));
        }
        let program = words.next().ok_or(CommandError::Empty)?;
        let rest: Vec<OsString> = words.collect();
        let command = LinkCommand {
            argv0: program,
            words: rest,
            env,
            thinlto_ld,
        };
        match program_of(&command) {
            Program::Driver => {
                let line = driver::linker_line(&command, scratch)?;
                let driver = command.argv0.clone();
                let link = LinkCommand {
                    argv0: line.program,
                    words: line.words,
                    ..command
                };
                link.settled(Some(&driver))
            }
            Program::Ours | Program::Linker => command.settled(None),
            Program::Other => Err(CommandError::Program(command.argv0.to_string_lossy().into_owned())),
        }
    }

    /// Says which linker is meant where the command line does: by its path; the one it stands before, where what a compiler
    /// driver is told to link by (`--ld-path`) leads to thinlto-ld.
    fn settled(mut self, driver: Option<&OsStr>) -> Result<LinkCommand, CommandError> {
        let found = match (program_of(&self), which::which(&self.argv0)) {
            // By its name or its caller, which is a driver where there is one.
            (Program::Ours, _) if driver.is_none() => return Ok(self),
            // Named as a linker is: which one is said by that name.
            (Program::Linker, Err(_)) => return Ok(self),
            (_, found) => found.unwrap_or_else(|_| PathBuf::from(&self.argv0)),
        };
        let meant = match (standing::of(&found, driver, &self.env), program_of(&self)) {
            (Standing::Ours(linker), _) => linker,
            (Standing::Linker, _) | (Standing::Other, Program::Linker) => found,
            (Standing::Other, _) => {
                let program = self.argv0.to_string_lossy();
                let what = format!("the linker of this command line, {program},");
                return Err(CommandError::Program(what));
            }
        };
        let wanted = OsString::from(settings::variable("linker"));
        if self.variable(settings::variable("linker").as_ref()).is_none() {
            self.env.push((wanted, meant.into()));
        }
        Ok(self)
    }

    /// A variable, as the linker would find it.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let own = self.env.iter().rev().find(|(own, _)| own == name);
        own.map(|(_, value)| value.clone()).or_else(|| std::env::var_os(name))
    }

    /// The settings this link has, with those of its line.
    ///
    /// # Errors
    /// A setting has a wrong value.
    pub fn settings(&self, own: &[(String, OsString)]) -> Result<Settings, String> {
        Settings::read(|name| self.variable(name), own).map_err(|error| error.to_string())
    }

    /// The real linker of this link.
    ///
    /// # Errors
    /// There is none.
    pub fn linker(&self, settings: &Settings) -> Result<Linker, String> {
        Linker::find_but(&self.argv0, settings, &self.thinlto_ld).map_err(|error| error.to_string())
    }
}

/// `NAME=VALUE` before a command.
fn assignment(word: &OsStr) -> Option<(OsString, OsString)> {
    let at = word.as_bytes().iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&word.as_bytes()[..at], &word.as_bytes()[at + 1..]);
    let is_name = !name.is_empty()
        && !name[0].is_ascii_digit()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_name.then(|| (OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
}

/// `thinlto-ld` is installed beside `thinlto`, and called by its own name.
fn sibling() -> Result<PathBuf, CommandError> {
    let beside = |error| CommandError::NoThinltoLd {
        path: "thinlto-ld".into(),
        error,
    };
    let path = std::env::current_exe().map_err(beside)?.with_file_name("thinlto-ld");
    match fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(CommandError::NoThinltoLd { path, error }),
    }
}

/// The command itself, where the words only say in which file it stands: `@FILE`, or a `.cmd` file of Kbuild's.
fn unsaved(words: Vec<OsString>) -> Result<Vec<OsString>, CommandError> {
    let [only] = words.as_slice() else { return Ok(words) };
    let bytes = only.as_bytes();
    let path = match bytes.strip_prefix(b"@") {
        Some(path) => PathBuf::from(OsStr::from_bytes(path)),
        None if bytes.ends_with(b".cmd") => PathBuf::from(only),
        None => return Ok(words),
    };
    let text = fs::read(&path).map_err(|error| CommandError::File(path.clone(), error))?;
    let words = shell::saved(&text).ok_or(CommandError::Quotes)?;
    match words.is_empty() {
        true => Err(CommandError::NoCommand(path)),
        false => Ok(words),
    }
}

const DRIVERS: [&str; 3] = ["clang", "clang++", "clang-cpp"];
const COMPILERS: [&str; 6] = ["cc", "c++", "gcc", "g++", "cc1", "collect2"];

fn program_of(command: &LinkCommand) -> Program {
    let name = Path::new(&command.argv0)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    // `x86_64-linux-gnu-clang++-22` is `clang++`.
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let last = plain.rsplit('-').next().unwrap_or(plain);
    if plain == "thinlto-ld" || is_same_program(&command.argv0, &command.thinlto_ld) {
        Program::Ours
    } else if plain == "ld.lld" || last == "ld.lld" || plain == "lld" || plain == "ld" {
        Program::Linker
    } else if DRIVERS.contains(&last) || COMPILERS.contains(&last) {
        Program::Driver
    } else {
        Program::Other
    }
}

fn is_same_program(name: &OsStr, program: &Path) -> bool {
    let found = which::which(name).ok().and_then(|path| fs::canonicalize(path).ok());
    found.is_some() && found == fs::canonicalize(program).ok()
}
