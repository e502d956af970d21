//! A command of the user's that is run on each native object before it is kept and linked (objtool, say).
//! Knows nothing of backends; what it makes of an object must depend on nothing but the object, its words and its program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Command, Stdio};

use super::process::{self, Failure};
use super::user_command::UserCommand;
use crate::children::{Children, Running};
use crate::shell::Words;

/// What stands for the object's path among the words.
const OBJECT: &[u8] = b"{}";

/// The command.
#[derive(Clone, Debug)]
pub struct PostBackend(pub UserCommand);

/// The setting that names it.
pub const SETTING: &str = "THINLTO_LD_POST_BACKEND";

impl PostBackend {
    /// The command of these words; none where there are none.
    ///
    /// # Errors
    /// There is no such program: a text that names the setting.
    pub fn find(words: &Words) -> Result<Option<PostBackend>, String> {
        Ok(UserCommand::find(words, SETTING)?.map(PostBackend))
    }

    /// Runs it on the object at `object`, which it may change or replace; what it says on stderr.
    ///
    /// # Errors
    /// `Post` where it fails or leaves no object, `Interrupted` after a signal.
    pub fn run(&self, object: &Path, children: &Children) -> Result<String, Failure> {
        let mut command = Command::new(&self.0.program);
        command
            .args(self.arguments(object))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let failed = |what: String, said: String| Failure::Post {
            command: self.0.text(),
            what,
            said,
        };
        let output = children.spawn(&mut command).and_then(Running::output);
        if children.interrupted().is_some() {
            return Err(Failure::Interrupted);
        }
        let output = output.map_err(|error| failed(format!("cannot be run: {error}"), String::new()))?;
        let [said, printed] = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        if !output.status.success() {
            return Err(failed(format!("failed ({})", output.status), printed + &said));
        }
        match process::flaw(object) {
            None => Ok(said),
            Some(found) => Err(failed(format!("left {found}"), printed + &said)),
        }
    }

    /// The words behind the program's, the object's path in its place or last.
    fn arguments(&self, object: &Path) -> Vec<OsString> {
        let object = object.as_os_str().as_bytes();
        let mut placed = false;
        let mut words: Vec<OsString> = Vec::new();
        for word in self.0.words.iter().skip(1) {
            let mut rest = word.as_bytes();
            let mut filled = Vec::new();
            while let Some(at) = rest.windows(OBJECT.len()).position(|two| two == OBJECT) {
                placed = true;
                filled.extend_from_slice(rest.get(..at).unwrap_or_default());
                filled.extend_from_slice(object);
                rest = rest.get(at + OBJECT.len()..).unwrap_or_default();
            }
            filled.extend_from_slice(rest);
            words.push(OsString::from_vec(filled));
        }
        if !placed {
            words.push(OsStr::from_bytes(object).to_owned());
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_stands_last_or_where_it_is_wanted() {
        let arguments = |words: &[&str]| {
            let post = PostBackend(UserCommand {
                program: "x".into(),
                words: words.iter().map(OsString::from).collect(),
            });
            post.arguments(Path::new("a.o"))
        };
        assert_eq!(arguments(&["objtool", "--x"]), ["--x", "a.o"]);
        assert_eq!(arguments(&["sh", "{}:{}", "-"]), ["a.o:a.o", "-"]);
    }
}
