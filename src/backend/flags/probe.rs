//! Asking clang whether it takes a link's flags, before any backend starts.
//! Knows nothing of what the flags mean; only which of them need no asking.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Flags, ModuleTarget, NotFaithful, arch, finish, words};

/// The CPU that clang's driver names to the linker for an architecture when nobody chose one: no need to ask whether
/// clang knows it.
const DEFAULT_CPUS: &[(&str, &str)] = &[
    ("x86_64", "x86-64"),
    ("aarch64", "generic"),
    ("riscv64", "generic-rv64"),
    ("loongarch64", "loongarch64"),
];

impl Flags {
    /// The command that asks clang whether it takes these flags for this target, where that isn't known already.
    /// Its answer is the same as long as clang is.
    #[must_use]
    pub fn question(&self, module: &ModuleTarget) -> Option<Vec<OsString>> {
        let usual_cpu = self
            .cpu
            .as_deref()
            .is_none_or(|c| DEFAULT_CPUS.contains(&(arch(&module.triple), c)));
        if !self.unusual && usual_cpu {
            return None;
        }
        let mut line = self.begin(module, "-emit-obj");
        line.extend(words(self.levels()));
        // An empty file is an empty module.
        Some(finish(line, Path::new("/dev/null"), Path::new("/dev/null")))
    }

    /// Asks `clang` the [`question`](Self::question), if there is one.
    ///
    /// # Errors
    /// Clang does not take the flags, or can't be run: then no backend of this link would succeed.
    pub fn probe(&self, clang: &Path, module: &ModuleTarget) -> Result<(), NotFaithful> {
        let Some(question) = self.question(module) else {
            return Ok(());
        };
        let refuse = |reason: String, why| Err(NotFaithful { reason, why });
        let asked = Command::new(clang).args(&question).stdin(Stdio::null()).output();
        match asked {
            Ok(answer) if answer.status.success() => Ok(()),
            Ok(answer) => {
                let said = String::from_utf8_lossy(&answer.stderr);
                refuse(
                    said.lines().next().unwrap_or_default().to_owned(),
                    "clang does not take the link's LTO options",
                )
            }
            Err(error) => refuse(format!("{}: {error}", clang.display()), "clang can't be run"),
        }
    }
}
