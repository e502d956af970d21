//! Long command lines: what would not fit an exec goes into a response file.
//! Knows nothing of what the words mean; reading response files is `cmdline::response`'s.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of arguments that surely fit: a quarter of the smallest limit Linux has had (an eighth of an 8 MB stack).
const FITS: usize = 256 * 1024;

/// The words themselves where they fit an exec, else a response file at `file` that holds them.
///
/// # Errors
/// The file cannot be written.
pub fn shorten(words: Vec<OsString>, file: &Path) -> io::Result<Vec<OsString>> {
    let length: usize = words.iter().map(|word| word.len() + 1 + size_of::<usize>()).sum();
    if length < FITS {
        return Ok(words);
    }
    let mut text = Vec::with_capacity(length + words.len());
    for word in &words {
        quote(word, &mut text);
        text.push(b'\n');
    }
    fs::write(file, text)?;
    let mut at = OsString::from("@");
    at.push(file);
    Ok(vec!["--rsp-quoting=posix".into(), at])
}

/// As LLVM's `TokenizeGNUCommandLine` reads it back: everything between double quotes, `"` and `\` escaped.
fn quote(word: &OsStr, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in word.as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_stay_as_they_are() {
        let words = vec![OsString::from("-o"), OsString::from("x")];
        assert_eq!(shorten(words.clone(), Path::new("/nowhere/x")).unwrap(), words);
    }

    #[test]
    fn a_long_line_reads_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let mut words: Vec<OsString> = (0..30_000).map(|n| OsString::from(format!("dir/file{n}.o"))).collect();
        words.extend(["a b", "q\"uo\\te", "'", "tab\there"].map(OsString::from));
        let short = shorten(words.clone(), &dir.path().join("r")).unwrap();
        assert_eq!(short.len(), 2);
        let read = crate::cmdline::response::expand(short, crate::cmdline::tokenize::Quoting::Posix).unwrap();
        assert!(read[1..] == words);
    }
}
