//! Response files: `@file` on a command line replaced by the words of the file, as LLVM does it for lld
//! (`cl::ExpandResponseFiles`). Knows nothing of options; this is the one place where `cmdline` opens a file.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io, vec};

use super::error::CommandLineError;
use super::tokenize::Quoting;

/// A file, by device and inode: what LLVM compares to find a response file inside itself.
type FileId = (u64, u64);

/// Words of one response file, or of the command line, that are still to be looked at.
struct Source {
    /// The file they come from.
    file: Option<FileId>,
    /// What is left of them.
    words: vec::IntoIter<OsString>,
}

/// `args` with every `@file` replaced by the words in that file, and so on inside it.
///
/// Names are relative to the current directory wherever they stand, and `@file` stays as it is where there is no such
/// file. Everything but "no such file" is an error, as is a file inside itself.
pub fn expand(args: Vec<OsString>, quoting: Quoting) -> Result<Vec<OsString>, CommandLineError> {
    let mut expanded = Vec::with_capacity(args.len());
    let mut sources = vec![Source {
        file: None,
        words: args.into_iter(),
    }];
    while let Some(source) = sources.last_mut() {
        let Some(word) = source.words.next() else {
            sources.pop();
            continue;
        };
        let Some((path, file)) = response_file(&word)? else {
            expanded.push(word);
            continue;
        };
        if sources.iter().any(|source| source.file == Some(file)) {
            return Err(CommandLineError::RecursiveResponseFile(path));
        }
        let words = read(&path, quoting)?;
        sources.push(Source {
            file: Some(file),
            words: words.into_iter(),
        });
    }
    Ok(expanded)
}

/// Whether a word is one to be replaced, if there is such a file.
pub fn may_name_file(word: &OsStr) -> bool {
    word.as_bytes().starts_with(b"@")
}

/// The existing file a word names with `@`, if it does.
fn response_file(word: &OsStr) -> Result<Option<(PathBuf, FileId)>, CommandLineError> {
    let [b'@', name @ ..] = word.as_bytes() else {
        return Ok(None);
    };
    // Joined to ".", for `@` alone names the current directory, which lld then fails to read.
    let path = Path::new(".").join(OsStr::from_bytes(name));
    match fs::metadata(&path) {
        Ok(metadata) => Ok(Some((path, (metadata.dev(), metadata.ino())))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CommandLineError::ResponseFile { path, source }),
    }
}

fn read(path: &Path, quoting: Quoting) -> Result<Vec<OsString>, CommandLineError> {
    let bytes = fs::read(path).map_err(|source| CommandLineError::ResponseFile {
        path: path.to_owned(),
        source,
    })?;
    let text = decode(bytes).ok_or_else(|| CommandLineError::ResponseFileEncoding(path.to_owned()))?;
    Ok(quoting.words(&text).into_iter().map(OsString::from_vec).collect())
}

/// The text of a response file as UTF-8 (or whatever it is) without its byte order mark.
fn decode(bytes: Vec<u8>) -> Option<Vec<u8>> {
    match bytes.as_slice() {
        [0xff, 0xfe, text @ ..] => utf16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf16(text, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] => Some(text.to_vec()),
        _ => Some(bytes),
    }
}

fn utf16(text: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Vec<u8>> {
    let pairs = text
        .chunks(2)
        .map(|pair| Some(unit(pair.try_into().ok()?)))
        .collect::<Option<Vec<_>>>()?;
    Some(String::from_utf16(&pairs).ok()?.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, each named by an `@` and its full path.
    fn files(contents: &[(&str, &[u8])]) -> (tempfile::TempDir, Vec<OsString>) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("@{}", folder.path().join(name).display());
        for (name, content) in contents {
            let content = String::from_utf8_lossy(content).replace("@/", &at(""));
            fs::write(folder.path().join(name), content).unwrap();
        }
        let words = contents.iter().map(|(name, _)| at(name).into()).collect();
        (folder, words)
    }

    #[test]
    fn nested_in_order() {
        let (_folder, words) = files(&[("a", b"1 @/b 4"), ("b", b"2\n3")]);
        let args = vec!["0".into(), words[0].clone(), words[1].clone(), "5".into()];
        assert_eq!(
            expand(args.clone(), Quoting::Posix).unwrap(),
            ["0", "1", "2", "3", "4", "2", "3", "5"]
        );
    }

    #[test]
    fn no_such_file_stays() {
        let args = vec![OsString::from("@no such file"), "x@y".into()];
        assert_eq!(expand(args.clone(), Quoting::Posix).unwrap(), args);
    }

    #[test]
    fn a_file_inside_itself_is_an_error() {
        let (_folder, words) = files(&[("a", b"@/b"), ("b", b"x @/a")]);
        assert!(matches!(
            expand(words, Quoting::Posix),
            Err(CommandLineError::RecursiveResponseFile(_))
        ));
    }

    #[test]
    fn a_folder_is_an_error() {
        for word in ["@/", "@"] {
            let error = expand(vec![word.into()], Quoting::Posix);
            assert!(matches!(error, Err(CommandLineError::ResponseFile { .. })), "{word}");
        }
    }

    #[test]
    fn byte_order_marks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rsp");
        let args = vec![OsString::from(format!("@{}", path.display()))];
        let le: Vec<u8> = "\u{feff}-o ä😀".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = "\u{feff}-o ä😀".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [le.as_slice(), &be, "\u{feff}-o ä😀".as_bytes(), "-o ä😀".as_bytes()] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(expand(args.clone(), Quoting::Posix).unwrap(), ["-o", "ä😀"]);
        }
        for bytes in [b"\xff\xfea".as_slice(), b"\xff\xfe\x00\xd8"] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(
                expand(args.clone(), Quoting::Posix),
                Err(CommandLineError::ResponseFileEncoding(_))
            ));
        }
    }
}
