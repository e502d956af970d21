//! The text of a response file cut into words, in the two quoting styles of LLVM
//! (llvm/lib/Support/CommandLine.cpp). Knows nothing of files, nor of what the words mean.

use std::mem;

/// How a response file quotes its words: `--rsp-quoting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quoting {
    /// `posix`: backslash escapes, `'…'` and `"…"` quote. lld's default everywhere but on Windows.
    #[default]
    Posix,
    /// `windows`: backslashes are literal but before a `"`.
    Windows,
}

impl Quoting {
    /// The words of `text`. Words end at a NUL byte, as they do in the C strings LLVM keeps them in.
    pub fn words(self, text: &[u8]) -> Vec<Vec<u8>> {
        let words = match self {
            Self::Posix => posix(text),
            Self::Windows => windows(text),
        };
        words.into_iter().map(until_nul).collect()
    }
}

fn until_nul(mut word: Vec<u8>) -> Vec<u8> {
    if let Some(end) = word.iter().position(|&byte| byte == 0) {
        word.truncate(end);
    }
    word
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// LLVM's `TokenizeGNUCommandLine`. An empty quoted word (`''`) is no word at all there, and a backslash keeps the
/// newline it stands before.
fn posix(text: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word = Vec::new();
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => word.push(bytes.next().unwrap_or(b'\\')),
            quote @ (b'"' | b'\'') => {
                while let Some(byte) = bytes.next_if(|&byte| byte != quote) {
                    word.push(if byte == b'\\' {
                        bytes.next().unwrap_or(byte)
                    } else {
                        byte
                    });
                }
                bytes.next();
            }
            byte if is_space(byte) => {
                if !word.is_empty() {
                    words.push(mem::take(&mut word));
                }
            }
            byte => word.push(byte),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Where `windows` stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between words.
    Between,
    /// In a word, outside of quotes.
    Bare,
    /// Inside `"…"`.
    Quoted,
}

/// LLVM's `TokenizeWindowsCommandLine`; here `""` is an empty word, and NUL is white space.
fn windows(text: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word = Vec::new();
    let mut state = State::Between;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (state, byte) {
            (State::Between, byte) if is_space(byte) || byte == 0 => {}
            (State::Bare, byte) if is_space(byte) || byte == 0 => {
                words.push(mem::take(&mut word));
                state = State::Between;
            }
            (State::Quoted, b'"') => {
                if bytes.next_if_eq(&b'"').is_some() {
                    word.push(b'"');
                } else {
                    state = State::Bare;
                }
            }
            (_, b'"') => state = State::Quoted,
            (_, byte) => {
                if state == State::Between {
                    state = State::Bare;
                }
                if byte != b'\\' {
                    word.push(byte);
                    continue;
                }
                let mut backslashes = 1;
                while bytes.next_if_eq(&b'\\').is_some() {
                    backslashes += 1;
                }
                let escaped = bytes.peek() == Some(&b'"');
                word.extend(std::iter::repeat_n(
                    b'\\',
                    if escaped { backslashes / 2 } else { backslashes },
                ));
                if escaped && backslashes % 2 == 1 {
                    bytes.next();
                    word.push(b'"');
                }
            }
        }
    }
    if state != State::Between {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(quoting: Quoting, text: &str) -> Vec<String> {
        quoting
            .words(text.as_bytes())
            .into_iter()
            .map(|word| String::from_utf8(word).unwrap())
            .collect()
    }

    #[test]
    fn posix_quotes_and_escapes() {
        assert_eq!(
            words(Quoting::Posix, r#"a\ b 'c d' "e \" f" g'h 'i \\"#),
            ["a b", "c d", "e \" f", "gh i", "\\"]
        );
        assert_eq!(words(Quoting::Posix, "a\tb\r\nc\n\nd"), ["a", "b", "c", "d"]);
        assert_eq!(words(Quoting::Posix, r"C:\foo\bar"), ["C:foobar"]);
        assert_eq!(words(Quoting::Posix, "'open"), ["open"]);
        assert_eq!(words(Quoting::Posix, "x\\"), ["x\\"]);
        assert_eq!(words(Quoting::Posix, "x\\\ny"), ["x\ny"]);
    }

    #[test]
    fn posix_empty_quotes_are_no_word() {
        assert_eq!(words(Quoting::Posix, "-soname '' \"\" x"), ["-soname", "x"]);
    }

    #[test]
    fn windows_backslashes() {
        assert_eq!(
            words(Quoting::Windows, r#"C:\foo\bar "C:\Program Files\\""#),
            [r"C:\foo\bar", r"C:\Program Files\"]
        );
        assert_eq!(words(Quoting::Windows, r#"\"a\\\"b\\\\"c d""#), [r#""a\"b\\c d"#]);
        assert_eq!(words(Quoting::Windows, "'a b'"), ["'a", "b'"]);
    }

    #[test]
    fn windows_quotes() {
        assert_eq!(words(Quoting::Windows, r#"-soname "" x"#), ["-soname", "", "x"]);
        assert_eq!(words(Quoting::Windows, r#""a""b" c"#), [r#"a"b"#, "c"]);
        assert_eq!(words(Quoting::Windows, r#"a"b c"d"#), ["ab cd"]);
        assert_eq!(words(Quoting::Windows, "a\0b"), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_into_words_without_nul(text: Vec<u8>) {
            for quoting in [Quoting::Posix, Quoting::Windows] {
                for word in quoting.words(&text) {
                    prop_assert!(!word.contains(&0));
                }
            }
        }

        #[test]
        fn posix_undoes_backslashes(input in proptest::collection::vec("[^\0]{1,8}", 0..6)) {
            let text: String = input.iter().flat_map(|word| word.chars().flat_map(|c| ['\\', c]).chain([' '])).collect();
            prop_assert_eq!(words(Quoting::Posix, &text), input);
        }
    }
}
