//! A command that a setting names: its program found, once, before anything else is done.
//! Knows nothing of what the command is for, nor of how it is run.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::shell::Words;

/// The command, its program found.
#[derive(Clone, Debug)]
pub struct UserCommand {
    /// What is run; its content is part of what an object depends on.
    pub program: PathBuf,
    /// The words as they were given, the program's name first.
    pub words: Words,
}

impl UserCommand {
    /// The command of these words; none where there are none.
    ///
    /// # Errors
    /// There is no such program: a text that names the setting (`THINLTO_LD_LAUNCHER`).
    pub fn find(words: &Words, setting: &str) -> Result<Option<UserCommand>, String> {
        let Some(name) = words.first() else { return Ok(None) };
        match which::which(name) {
            Ok(program) => Ok(Some(UserCommand {
                program,
                words: words.clone(),
            })),
            Err(error) => Err(format!("{setting}={}: {error}", text(words))),
        }
    }

    /// As given, for people.
    pub fn text(&self) -> String {
        text(&self.words)
    }
}

fn text(words: &Words) -> String {
    words.join(OsStr::new(" ")).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_told_by_the_setting() {
        let words = ["no-such-program", "-n", "1"].map(Into::into).to_vec();
        let error = UserCommand::find(&words, "THINLTO_LD_LAUNCHER").unwrap_err();
        assert!(
            error.starts_with("THINLTO_LD_LAUNCHER=no-such-program -n 1: "),
            "{error}"
        );
        assert!(
            UserCommand::find(&Words::new(), "THINLTO_LD_LAUNCHER")
                .unwrap()
                .is_none()
        );
    }
}
