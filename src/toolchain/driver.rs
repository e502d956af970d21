//! What clang's driver makes of a command line: the commands it would run (`-###`), asked and not guessed.
//! Knows nothing of what the words mean.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::shell;

/// The commands that `clang WORDS` would run in `dir` (none: here), programs first.
///
/// # Errors
/// clang cannot be run or does not take the words, in its own words.
pub fn commands(clang: &Path, words: &[OsString], dir: Option<&Path>) -> Result<Vec<Vec<OsString>>, String> {
    let mut command = Command::new(clang);
    command.arg("-###").args(words).stdin(Stdio::null());
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    let answer = command.output();
    let answer = answer.map_err(|error| format!("{} cannot be run: {error}", clang.display()))?;
    let said = String::from_utf8_lossy(&answer.stderr);
    let complaint = || {
        let line = said.lines().find(|line| line.contains("error: "));
        line.unwrap_or("clang does not say what it would run").to_owned()
    };
    if !answer.status.success() {
        return Err(complaint());
    }
    // `Compilation::ExecuteCommand` in clang/lib/Driver/Compilation.cpp: a blank, then each word in quotes.
    let lines = said.lines().filter(|line| line.starts_with(" \""));
    let commands: Option<Vec<Vec<Vec<OsString>>>> = lines.map(|line| shell::commands(line.as_bytes())).collect();
    let commands = commands.ok_or_else(complaint)?.concat();
    match commands.is_empty() {
        true => Err(complaint()),
        false => Ok(commands),
    }
}

/// The `-cc1` line among those of [`commands`], from `-cc1` on, where that is all that would be run.
///
/// # Errors
/// As [`commands`], or that there is more to be run.
pub fn cc1(clang: &Path, words: &[OsString], dir: Option<&Path>) -> Result<Vec<OsString>, String> {
    let mut commands = commands(clang, words, dir)?.into_iter();
    match (commands.next(), commands.len()) {
        (Some(mut command), 0) if command.get(1).is_some_and(|word| word == "-cc1") => Ok(command.split_off(1)),
        (_, more) => Err(format!("clang's driver would run {} commands, not one -cc1", more + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_driver_s_line_and_its_complaints() {
        let clang = which::which("clang-22").unwrap();
        let ask = |line: &str| cc1(&clang, &words(line), None);
        let line = ask("-c -x ir /dev/null -o x.o -falign-loops=8").unwrap();
        assert_eq!(line[0], "-cc1");
        assert!(line.contains(&"-falign-loops=8".into()) && line.ends_with(&words("-o x.o -x ir /dev/null")));
        assert!(
            ask("-c -x ir /dev/null --no-such-option")
                .unwrap_err()
                .contains("error: ")
        );
        let more = ask("-c -x ir /dev/null -o x.o -save-temps").unwrap_err();
        assert!(more.contains("commands, not one"), "{more}");
    }
}
