//! `--dependency-file`: the files that in-process lld would have read, instead of those the final link was given.
//! Knows nothing of words and staged names; whatever is in the staging folder is no dependency.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::inputs::Inputs;

/// What stands between two names in the rule.
const NEXT: &str = " \\\n ";

/// The file's new text (lld/ELF/Driver.cpp `writeDependencyFile`): the user's inputs and scripts in order, then what else
/// the final link read. None where `text` is not what lld writes.
pub(super) fn rewrite(text: &str, inputs: &Inputs, staging: &Path) -> Option<String> {
    let rule = text.split("\n\n").next()?.trim_end_matches('\n');
    let (output, read) = rule.split_once(NEXT)?;
    let staged = escape(staging);
    let ours = inputs.entries.iter().map(|entry| escape(&entry.path));
    let scripts = inputs.scripts.iter().map(|script| escape(&script.path));
    let others = read
        .split(NEXT)
        .map(str::to_owned)
        .filter(|name| !name.starts_with(&staged));
    let mut seen = HashSet::new();
    let names: Vec<String> = ours
        .chain(scripts)
        .chain(others)
        .filter(|name| seen.insert(name.clone()))
        .collect();
    let mut new = output.to_owned();
    for name in &names {
        new.push_str(NEXT);
        new.push_str(name);
    }
    new.push('\n');
    for name in &names {
        new.push_str(&format!("\n{name}:\n"));
    }
    Some(new)
}

/// The files listed, but those in the staging folder. None where `text` is not what lld writes, or names cannot be told.
pub(super) fn listed(text: &str, staging: &Path) -> Option<Vec<PathBuf>> {
    let rule = text.split("\n\n").next()?.trim_end_matches('\n');
    let (_, read) = rule.split_once(NEXT)?;
    let names = read.split(NEXT).map(|name| {
        let plain = name.replace("\\ ", " ").replace("\\#", "#").replace("$$", "$");
        let plain = PathBuf::from(plain);
        (escape(&plain) == name).then_some(plain)
    });
    let names: Option<Vec<PathBuf>> = names.collect();
    names.map(|names| names.into_iter().filter(|name| !name.starts_with(staging)).collect())
}

/// A name as make and ninja read it: without `.` and `..`, spaces, hashes and dollars marked.
fn escape(path: &Path) -> String {
    let mut escaped = String::new();
    for c in without_dots(path).to_string_lossy().chars() {
        match c {
            '#' => escaped.push('\\'),
            ' ' => {
                let backslashes = escaped.chars().rev().take_while(|c| *c == '\\').count();
                escaped.extend(std::iter::repeat_n('\\', backslashes + 1));
            }
            '$' => escaped.push('$'),
            _ => {}
        }
        escaped.push(c);
    }
    escaped
}

/// As LLVM's `sys::path::remove_dots`, by the letters of the path alone.
pub(crate) fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        let last_is_name = matches!(clean.components().next_back(), Some(Component::Normal(_)));
        match component {
            Component::CurDir => {}
            Component::ParentDir if last_is_name => {
                clean.pop();
            }
            Component::ParentDir if clean.has_root() => {}
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_lld_does() {
        assert_eq!(escape(Path::new("./a/../b c/$x#y.o")), "b\\ c/$$x\\#y.o");
        assert_eq!(escape(Path::new("../x.o")), "../x.o");
    }

    #[test]
    fn what_is_staged_is_no_dependency() {
        let text = "out: \\\n s.ver \\\n /t/o/1/a.o\n\ns.ver:\n\n/t/o/1/a.o:\n";
        let new = rewrite(text, &Inputs::default(), Path::new("/t"));
        assert_eq!(new.unwrap(), "out: \\\n s.ver\n\ns.ver:\n");
        assert_eq!(rewrite("nonsense", &Inputs::default(), Path::new("/t")), None);
    }
}
