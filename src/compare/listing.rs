//! How a function reads in two objects, line by line: disassembled by that LLVM's llvm-objdump, in hexadecimal without it.
//! Knows nothing of what the difference means.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::image;

/// The most lines of a function that are compared: the table for it grows with their square.
const LONGEST: usize = 1500;
/// Lines shown around a difference.
const CONTEXT: usize = 2;
/// The most lines of a listing.
const SHOWN: usize = 120;

/// Shows code.
#[derive(Clone, Debug)]
pub struct Lister {
    objdump: Option<PathBuf>,
}

impl Lister {
    /// With the llvm-objdump that belongs to a linker or a compiler of LLVM `major`, if there is one.
    pub fn beside(tools: &[&Path], major: Option<&str>) -> Lister {
        let numbered = major.map(|major| format!("llvm-objdump-{major}"));
        let names = || numbered.as_deref().into_iter().chain(["llvm-objdump"]);
        let folders = tools
            .iter()
            .flat_map(|tool| [Some(tool.to_path_buf()), fs::canonicalize(tool).ok()]);
        let beside = folders
            .flatten()
            .flat_map(|tool| names().map(move |name| tool.with_file_name(name)).collect::<Vec<_>>())
            .find(|path| path.is_file());
        let on_path = || names().find_map(|name| which::which(name).ok());
        Lister {
            objdump: beside.or_else(on_path),
        }
    }

    /// What differs between two versions of a symbol: `-` in-process, `+` distributed, a space for both.
    pub fn difference(&self, symbol: &str, is_code: bool, in_process: &Path, distributed: &Path) -> Vec<String> {
        let lines = |object: &Path| {
            let code = self.objdump.as_deref().filter(|_| is_code);
            code.and_then(|objdump| disassemble(objdump, symbol, object))
                .or_else(|| hexadecimal(symbol, object))
                .unwrap_or_default()
        };
        unified(&lines(in_process), &lines(distributed))
    }
}

fn disassemble(objdump: &Path, symbol: &str, object: &Path) -> Option<Vec<String>> {
    let output = Command::new(objdump)
        .arg(format!("--disassemble-symbols={symbol}"))
        .args(["-d", "-r", "--no-show-raw-insn", "--no-leading-addr"])
        .arg(object)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let begin = format!("<{symbol}>:");
    let body = text.lines().skip_while(|line| !line.ends_with(&begin)).skip(1);
    let lines: Vec<String> = body.filter(|line| !line.trim().is_empty()).map(tidy).collect();
    (!lines.is_empty()).then_some(lines)
}

/// Runs of blanks are one; where a branch leads is told by its label, not by its address.
fn tidy(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn hexadecimal(symbol: &str, object: &Path) -> Option<Vec<String>> {
    let bytes = fs::read(object).ok()?;
    let image = image::read(&bytes).ok()?;
    let found = image
        .symbols
        .iter()
        .find(|one| one.name == symbol && one.has_contents())?;
    let section = image.sections.get(found.section?)?;
    let start = usize::try_from(found.address).ok()?;
    let body = section
        .data
        .get(start..start.checked_add(usize::try_from(found.size).ok()?)?)?;
    let line = |chunk: &[u8]| {
        chunk
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    Some(body.chunks(16).map(line).collect())
}

/// One step from the one text to the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Both,
    Minus,
    Plus,
}

/// The longest common subsequence, written as differences with some context.
fn unified(a: &[String], b: &[String]) -> Vec<String> {
    let (a, b) = (&a[..a.len().min(LONGEST)], &b[..b.len().min(LONGEST)]);
    let width = b.len() + 1;
    let mut longest = vec![0_u16; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i * width + j] = match a[i] == b[j] {
                true => longest[(i + 1) * width + j + 1] + 1,
                false => longest[(i + 1) * width + j].max(longest[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut steps: Vec<(Step, &String)> = Vec::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            steps.push((Step::Both, &a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1]) {
            steps.push((Step::Minus, &a[i]));
            i += 1;
        } else {
            steps.push((Step::Plus, &b[j]));
            j += 1;
        }
    }
    shorten(&steps)
}

fn shorten(steps: &[(Step, &String)]) -> Vec<String> {
    let is_near = |at: usize| {
        let near = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(steps.len());
        steps[near].iter().any(|(step, _)| *step != Step::Both)
    };
    let mut lines = Vec::new();
    let mut skipped = false;
    for (at, (step, line)) in steps.iter().enumerate() {
        if lines.len() >= SHOWN {
            lines.push("…".to_owned());
            break;
        }
        if !is_near(at) {
            skipped = true;
            continue;
        }
        if std::mem::take(&mut skipped) {
            lines.push("…".to_owned());
        }
        let mark = match step {
            Step::Both => ' ',
            Step::Minus => '-',
            Step::Plus => '+',
        };
        lines.push(format!("{mark} {line}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_the_same_is_only_shown_nearby() {
        let shown = unified(&lines("a b c d e f g h"), &lines("a b c d X f g h"));
        assert_eq!(shown, ["…", "  c", "  d", "- e", "+ X", "  f", "  g"]);
        assert_eq!(unified(&lines("a b"), &lines("a b")), [""; 0]);
        assert_eq!(unified(&lines(""), &lines("a")), ["+ a"]);
    }
}
