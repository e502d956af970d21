//! Paths spelled as LLVM spells them (`llvm/lib/Support/Path.cpp`, POSIX style): lld prints and names files by these exact bytes.
//! Knows nothing of which files there are.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const SLASH: u8 = b'/';

/// `sys::path::append` for each component in turn: one separator between two, none doubled where either brings its own.
pub fn join(components: &[&[u8]]) -> PathBuf {
    let mut path = Vec::with_capacity(components.iter().map(|component| component.len() + 1).sum());
    for component in components {
        if path.last() == Some(&SLASH) {
            let skipped = component.iter().take_while(|&&byte| byte == SLASH).count();
            path.extend(component.iter().skip(skipped));
            continue;
        }
        if component.first() != Some(&SLASH) && !path.is_empty() {
            path.push(SLASH);
        }
        path.extend_from_slice(component);
    }
    PathBuf::from(OsString::from_vec(path))
}

/// `sys::path::parent_path`: empty for a bare name, `a/b` for `a/b/`, `/` for `/a`.
pub fn parent(path: &Path) -> &Path {
    let bytes = path.as_os_str().as_bytes();
    let mut end = filename_start(bytes);
    let ended_in_slash = bytes.get(end) == Some(&SLASH);
    let root = root_start(bytes);
    while end > 0 && root.is_none_or(|root| end > root) && bytes.get(end - 1) == Some(&SLASH) {
        end -= 1;
    }
    if Some(end) == root && !ended_in_slash {
        end += 1;
    }
    Path::new(OsStr::from_bytes(bytes.get(..end).unwrap_or_default()))
}

/// `sys::path::filename`: the last component, `.` where the path ends in a separator.
pub fn filename(path: &[u8]) -> &[u8] {
    match path {
        [.., _, SLASH] => b".",
        _ => path.get(filename_start(path)..).unwrap_or_default(),
    }
}

fn filename_start(path: &[u8]) -> usize {
    if path.last() == Some(&SLASH) {
        return path.len() - 1;
    }
    match path.iter().rposition(|&byte| byte == SLASH) {
        None => 0,
        Some(1) if path.first() == Some(&SLASH) => 0,
        Some(position) => position + 1,
    }
}

/// Where the root directory's separator stands: after the name in `//net/…`, else first of all, else nowhere.
fn root_start(path: &[u8]) -> Option<usize> {
    match path {
        [SLASH, SLASH, third, _, ..] if *third != SLASH => path
            .iter()
            .skip(2)
            .position(|&byte| byte == SLASH)
            .map(|position| position + 2),
        [SLASH, ..] => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_as_llvm_joins() {
        let table: &[(&[&str], &str)] = &[
            (&["a", "b"], "a/b"),
            (&["a/", "b"], "a/b"),
            (&["a//", "//b"], "a//b"),
            (&["a", "/b"], "a/b"),
            (&["", "b"], "b"),
            (&["", "/lib", "x"], "/lib/x"),
            (&["sr", "l", "x"], "sr/l/x"),
            (&["sr", "", "x"], "sr/x"),
            (&[".", "../x"], "./../x"),
        ];
        for (components, expected) in table {
            let components: Vec<&[u8]> = components.iter().map(|component| component.as_bytes()).collect();
            assert_eq!(join(&components), Path::new(expected), "{components:?}");
        }
    }

    #[test]
    fn parents_as_llvm_finds_them() {
        for (path, expected) in [
            ("a", ""),
            ("", ""),
            ("/", ""),
            ("/a", "/"),
            ("a/b", "a"),
            ("a//b", "a"),
            ("a/b/", "a/b"),
            ("/a/b", "/a"),
            ("./a", "."),
        ] {
            assert_eq!(parent(Path::new(path)).as_os_str(), OsStr::new(expected), "{path}");
        }
    }

    #[test]
    fn file_names_as_llvm_finds_them() {
        for (path, expected) in [
            ("a", "a"),
            ("a/b.o", "b.o"),
            ("/b.o", "b.o"),
            ("a/", "."),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(filename(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }
}
