//! The shell that make runs a recipe in, and is waiting for us: Kbuild links a module of one object in the recipe that
//! compiled it, before it writes anything down. Knows nothing of Kbuild's files.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::process::{Pid, getppid};

use super::{kbuild, options};
use crate::final_link::dependencies::without_dots;
use crate::shell::{self, Words};

/// So many programs may stand between the shell and us: a wrapper that does not become us, the comparing thinlto-ld.
const ANCESTORS: usize = 4;

/// What the shells above us compile.
#[derive(Debug, Default)]
pub struct Recipe {
    commands: Vec<Words>,
}

impl Recipe {
    /// That of whoever runs us. None can be told where there is no `/proc`, or who runs us is no shell with `-c`.
    pub fn running() -> Recipe {
        let scripts = scripts();
        let commands = scripts.iter().filter_map(|script| shell::commands(script)).flatten();
        Recipe {
            commands: commands
                .filter(|words| options::behind_compiler(words).is_some())
                .collect(),
        }
    }

    /// All of it, as one text that changes if any of it does.
    pub fn text(&self) -> Vec<u8> {
        let commands = self
            .commands
            .iter()
            .map(|words| words.join(OsStr::new("\0")).into_vec());
        commands.collect::<Vec<_>>().join(&b'\n')
    }

    /// The words behind the compiler's name, of the command that compiles this object.
    pub(super) fn compiles(&self, object: &Path) -> Option<&[OsString]> {
        let object = without_dots(object);
        let is_object = |output: &Path| without_dots(output) == object;
        self.commands
            .iter()
            .find_map(|words| kbuild::compiles(words, is_object))
    }
}

/// What the nearest shells above us were given with `-c`.
fn scripts() -> Vec<Vec<u8>> {
    let mut scripts = Vec::new();
    let mut pid = getppid();
    for _ in 0..ANCESTORS {
        let Some(of) = pid else { break };
        scripts.extend(script(of));
        pid = parent_of(of);
    }
    scripts
}

/// The `-c` text of a process that is a shell: `sh -c TEXT`, `bash -ec TEXT`.
fn script(pid: Pid) -> Option<Vec<u8>> {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
    let mut words = line.split(|byte| *byte == 0);
    let name = Path::new(OsStr::from_bytes(words.next()?)).file_name()?;
    if !name.as_bytes().ends_with(b"sh") {
        return None;
    }
    let is_command = |word: &&[u8]| word.starts_with(b"-") && !word.starts_with(b"--") && word.ends_with(b"c");
    words.find(is_command)?;
    words.next().map(<[u8]>::to_vec)
}

/// `/proc/PID/stat`: the fourth field, behind the name in parentheses, which may hold anything.
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    Pid::from_raw(behind.split_whitespace().nth(1)?.parse().ok()?)
}
