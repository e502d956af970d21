//! Commands that build systems have written down, cut into words as a shell would. Knows the quotes and the files of
//! Kbuild's (`savedcmd_vmlinux.o := …`), and nothing of variables, substitutions and what the words mean.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The words of one command.
pub type Words = Vec<OsString>;

/// The words of the first command in a saved text; none where it ends within quotes.
pub fn saved(text: &[u8]) -> Option<Words> {
    let commands = match kbuild(text, &COMMAND) {
        Some(saved) => commands(&saved.value),
        None => commands(text),
    };
    commands.map(|commands| commands.into_iter().next().unwrap_or_default())
}

/// How Kbuild's names of a target's command begin; `cmd_` before Linux 6.3.
pub const COMMAND: [&str; 2] = ["savedcmd_", "cmd_"];

/// What a file of Kbuild's says of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// As make spells it.
    pub target: String,
    /// The text for the shell, as make would have unquoted it.
    pub value: Vec<u8>,
}

/// The first `NAME_TARGET := …` whose name begins in one of these ways, tried in their order.
pub fn kbuild(text: &[u8], beginnings: &[&str]) -> Option<Saved> {
    let text = String::from_utf8_lossy(text);
    beginnings.iter().find_map(|beginning| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(" := ")?;
            Some(Saved {
                target: name.strip_prefix(beginning)?.to_owned(),
                value: value.replace("$(pound)", "#").replace("$$", "$").into_bytes(),
            })
        })
    })
}

/// The commands of a text, parted by `;`, `&`, `|` or a line's end that is not quoted; comments are passed over. None where
/// it ends within quotes.
pub fn commands(text: &[u8]) -> Option<Vec<Words>> {
    let mut commands = Vec::new();
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
                commands.push(std::mem::take(&mut words));
            }
            byte if byte.is_ascii_whitespace() => words.extend(word.take()),
            byte => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    commands.push(words);
    commands.retain(|words: &Vec<Vec<u8>>| !words.is_empty());
    let owned = |words: Vec<Vec<u8>>| words.into_iter().map(OsString::from_vec).collect();
    Some(commands.into_iter().map(owned).collect())
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

    #[test]
    fn a_recipe_is_several_commands() {
        let text = "set -e; clang -c -o 'a;b.o' x.c && mv a b | tee \"c & d\"\n# end\n";
        let expected: [&[&str]; 4] = [
            &["set", "-e"],
            &["clang", "-c", "-o", "a;b.o", "x.c"],
            &["mv", "a", "b"],
            &["tee", "c & d"],
        ];
        assert_eq!(commands(text.as_bytes()).unwrap(), expected);
        assert_eq!(commands(b"").unwrap(), Vec::<Words>::new());
    }

    #[test]
    fn what_make_escaped_is_what_the_shell_reads() {
        let text = b"savedcmd_a/b.o := clang -DX='$(pound)1' '$$y'\nsource_a/b.o := b.c\nsaved_c_flags_a/b.o := -O2\n";
        let saved = kbuild(text, &COMMAND).unwrap();
        assert_eq!(saved.target, "a/b.o");
        assert_eq!(commands(&saved.value).unwrap(), [["clang", "-DX=#1", "$y"]]);
        assert_eq!(kbuild(text, &["saved_c_flags_"]).unwrap().value, b"-O2");
        assert_eq!(kbuild(text, &["other_"]), None);
    }
}
