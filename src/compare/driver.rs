//! A compiler driver's command line: the driver is asked which linker it would run, and how (`-###`).
//! Steps that compile first are run with their objects in the scratch folder. Knows nothing of the link itself.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::{CommandError, LinkCommand};
use crate::cmdline::tokenize::Quoting;

/// The line of a linker.
pub struct LinkerLine {
    /// As the driver calls it.
    pub program: OsString,
    /// Its words.
    pub words: Vec<OsString>,
}

/// Options by which a compile step writes something besides its object: it would be written where the user has theirs.
const SIDE_OUTPUTS: [&str; 4] = [
    "-dependency-file",
    "-split-dwarf-output",
    "-diagnostic-log-file",
    "-serialize-diagnostic-file",
];

/// What the driver would run to link; its compile steps are run, where there is a folder for what they make.
///
/// # Errors
/// The driver fails, would not link, or a step fails.
pub fn linker_line(command: &LinkCommand, scratch: Option<&Path>) -> Result<LinkerLine, CommandError> {
    let program = command.argv0.to_string_lossy();
    let failed = |text: String| CommandError::Driver(format!("{program}: {text}"));
    let output = Command::new(&command.argv0)
        .args(&command.words)
        .arg("-###")
        .envs(command.env.iter().cloned())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let mut steps = steps(&output.stderr);
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let line = text.lines().find(|line| line.contains("error:"));
        return Err(failed(line.unwrap_or("it would not run this command line").to_owned()));
    }
    let Some(mut link) = steps.pop().filter(|step| !is_compile(step)) else {
        return Err(failed("this command line does not link".into()));
    };
    let scratch = match scratch {
        Some(scratch) => scratch,
        None if steps.is_empty() => Path::new(""),
        None => {
            return Err(failed(
                "this command line also compiles: compile first, then ask about the link".into(),
            ));
        }
    };
    for (number, mut step) in steps.into_iter().enumerate() {
        if let Some(option) = SIDE_OUTPUTS
            .iter()
            .find(|option| step.iter().any(|word| word == **option))
        {
            return Err(failed(format!(
                "this command line also compiles, and writes more than objects ({option}): compile first, then compare the link"
            )));
        }
        let object = scratch.join(format!("compiled-{number}.o"));
        redirect(&mut step, &mut link, &object);
        run(&step, command).map_err(failed)?;
    }
    if link.is_empty() {
        return Err(failed("it named no linker".into()));
    }
    let program = link.remove(0);
    Ok(LinkerLine { program, words: link })
}

/// Each command stands on a line of its own, behind a space, every word quoted.
fn steps(stderr: &[u8]) -> Vec<Vec<OsString>> {
    let lines = stderr.split(|byte| *byte == b'\n');
    lines
        .filter(|line| line.starts_with(b" "))
        .map(|line| Quoting::Posix.words(line).into_iter().map(OsString::from_vec).collect())
        .filter(|step: &Vec<OsString>| !step.is_empty() && !step[0].as_bytes().starts_with(b"("))
        .collect()
}

fn is_compile(step: &[OsString]) -> bool {
    step.get(1).is_some_and(|word| word == "-cc1" || word == "-cc1as")
}

/// Gives a step's output another place, and tells the link.
fn redirect(step: &mut [OsString], link: &mut [OsString], object: &Path) {
    let Some(at) = step.iter().position(|word| word == "-o") else {
        return;
    };
    let Some(output) = step.get_mut(at + 1) else { return };
    let before = std::mem::replace(output, object.into());
    for word in link.iter_mut().filter(|word| **word == before) {
        *word = object.into();
    }
}

fn run(step: &[OsString], command: &LinkCommand) -> Result<(), String> {
    let [program, words @ ..] = step else { return Ok(()) };
    let output = Command::new(program)
        .args(words)
        .envs(command.env.iter().cloned())
        .output()
        .map_err(|error| format!("{}: {error}", PathBuf::from(program).display()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "a compile step failed\n{}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        )),
    }
}
