//! What stands in the linker's place: a linker, or something that leads to thinlto-ld (the wrapper of `--ld-path`), and then
//! which linker that stands before. The program itself is asked, by its `--version`. Knows nothing of the link.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::link::Told;
use crate::settings;

/// What a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A linker of LLVM's.
    Linker,
    /// It leads to thinlto-ld, which would call this linker.
    Ours(PathBuf),
    /// Neither.
    Other,
}

/// How lld calls itself in its version.
const LLD: &[u8] = b"LLD ";
/// A clang is asked to run its linker with nothing but this.
const ASKED: &str = "-Wl,--version";

/// Asks `program`; through the compiler driver that runs it for the link, since a wrapper may look at who calls it.
pub fn of(program: &Path, driver: Option<&OsStr>, env: &[(OsString, OsString)]) -> Standing {
    let through = driver.and_then(|driver| ask(&by_driver(driver, program), env));
    through
        .or_else(|| ask(&[program.as_os_str().to_owned(), "--version".into()], env))
        .unwrap_or(Standing::Other)
}

fn by_driver(driver: &OsStr, program: &Path) -> [OsString; 4] {
    let mut path = OsString::from("--ld-path=");
    path.push(program);
    [driver.to_owned(), path, "-nostdlib".into(), ASKED.into()]
}

/// None where the command fails or does not say what it is. thinlto-ld has the linker say its version, and says in its
/// stats which linker that was.
fn ask(words: &[OsString], env: &[(OsString, OsString)]) -> Option<Standing> {
    let stats = tempfile::NamedTempFile::new().ok()?;
    let [program, words @ ..] = words else { return None };
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).envs(env.iter().cloned());
    command.env_remove(settings::variable("compare"));
    command.env(settings::variable("stats"), stats.path());
    let output = command.output().ok()?;
    if !output.status.success() {
        return None;
    }
    match Told::linker(stats.path()) {
        Some(linker) => Some(Standing::Ours(linker)),
        None => memchr::memmem::find(&output.stdout, LLD).map(|_| Standing::Linker),
    }
}
