//! Commands that build systems have written down, cut into words as a shell would. Knows the quotes and the file of
//! Kbuild's (`savedcmd_vmlinux.o := …`), and nothing of variables, substitutions and what the words mean.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The words of the first command in a saved text; none where it ends within quotes.
pub fn saved(text: &[u8]) -> Option<Vec<OsString>> {
    match kbuild(text) {
        Some(line) => first_command(&line),
        None => first_command(text),
    }
}

/// The value of `savedcmd_TARGET := …` (`cmd_` before Linux 6.3), as make would have unquoted it.
fn kbuild(text: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(text);
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once(" := ")?;
        let is_command = name.starts_with("savedcmd_") || name.starts_with("cmd_");
        is_command.then_some(value)
    })?;
    Some(value.replace("$(pound)", "#").replace("$$", "$").into_bytes())
}

/// Words up to the first `;`, `&&`, `|` or line's end that is not quoted; empty lines and comments before are passed over.
fn first_command(text: &[u8]) -> Option<Vec<OsString>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            b'\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next()? {
                        b'\'' => break,
                        byte => word.push(byte),
                    }
                }
            }
            b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'\\' => match bytes.next()? {
                            b'\n' => {}
                            escaped @ (b'"' | b'\\' | b'$' | b'`') => word.push(escaped),
                            other => word.extend([b'\\', other]),
                        },
                        byte => word.push(byte),
                    }
                }
            }
            b'#' if word.is_none() => while bytes.next_if(|byte| *byte != b'\n').is_some() {},
            b';' | b'|' | b'&' | b'\n' => {
                words.extend(word.take());
                if !words.is_empty() {
                    break;
                }
            }
            byte if byte.is_ascii_whitespace() => words.extend(word.take()),
            byte => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    Some(words.into_iter().map(OsString::from_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        saved(text.as_bytes()).unwrap()
    }

    #[test]
    fn kbuilds_file_up_to_the_first_semicolon() {
        let text = "savedcmd_vmlinux.o := ld.lld -m elf_x86_64 -r -o vmlinux.o  --whole-archive vmlinux.a ; ./objtool x\n\
                    source_vmlinux.o := x\n";
        let expected = [
            "ld.lld",
            "-m",
            "elf_x86_64",
            "-r",
            "-o",
            "vmlinux.o",
            "--whole-archive",
            "vmlinux.a",
        ];
        assert_eq!(words(text), expected);
    }

    #[test]
    fn quotes_as_a_shell_reads_them() {
        let text = "# a comment\n\nLC_ALL=\"C\" clang 'a b' \"c\\\"d\\e\" f\\ g h\\\n i '' && next";
        assert_eq!(
            words(text),
            ["LC_ALL=C", "clang", "a b", "c\"d\\e", "f g", "h", "i", ""]
        );
        assert_eq!(saved(b"a 'b"), None);
    }
}
