//! Which section names a link's linker scripts could tell apart. Knows nothing of what scripts do with them: any word of a
//! script that could be about a name counts, so that one that is not may be believed to be.

use std::collections::HashSet;
use std::fs;

use super::Kept;
use crate::inputs::lexer::{Lexer, Mode, Root, Source, unquote};
use crate::inputs::{Inputs, Script};

/// The words of all scripts of a link.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    names: HashSet<Vec<u8>>,
    globs: Vec<Vec<u8>>,
}

/// What is more than itself in a pattern (llvm/lib/Support/GlobPattern.cpp).
const WILD: &[u8] = b"*?[{\\";

impl Patterns {
    /// # Errors
    /// A script cannot be read again, or goes by files, which are not called as the user calls them.
    pub(super) fn of(inputs: &Inputs) -> Result<Patterns, Kept> {
        let mut patterns = Patterns::default();
        for script in &inputs.scripts {
            patterns.read(script)?;
        }
        Ok(patterns)
    }

    fn read(&mut self, script: &Script) -> Result<(), Kept> {
        let unread = |what: String| Kept::Script(format!("{}: {what}", script.path.display()));
        let source = Source {
            path: script.path.clone(),
            text: fs::read(&script.path).map_err(|error| unread(error.to_string()))?,
            root: Root::Host,
        };
        let mut lexer = Lexer::new(source);
        let cut = |error: crate::inputs::ScriptError| unread(error.to_string());
        while let Some(token) = lexer.next(Mode::Script).map_err(cut)? {
            // What is about sections in a parenthesis is a pattern for files, or a command.
            let is_called = lexer.peek(Mode::Script).map_err(cut)?.is_some_and(|next| next == b"(");
            let word = unquote(&token);
            if word == b"EXCLUDE_FILE" || (is_called && word != b"*" && word.iter().any(is_of_files)) {
                return Err(unread(String::from_utf8_lossy(word).into_owned()));
            }
            match word.iter().any(|byte| WILD.contains(byte)) {
                _ if is_called || token == b"{" => {}
                true => self.globs.push(word.to_vec()),
                false => {
                    self.names.insert(word.to_vec());
                }
            }
        }
        Ok(())
    }

    /// Whether a script may be about a section of this name.
    pub(super) fn may_match(&self, name: &[u8]) -> bool {
        self.names.contains(name) || self.globs.iter().any(|glob| may_match(glob, name))
    }
}

fn is_of_files(byte: &u8) -> bool {
    WILD.contains(byte) || b"./:".contains(byte)
}

/// Whether a glob matches, or may: of what is more than `*` and `?` any end will do.
pub(crate) fn may_match(glob: &[u8], name: &[u8]) -> bool {
    match (glob.split_first(), name.split_first()) {
        (None, _) => name.is_empty(),
        (Some((b'[' | b'{' | b'\\', _)), _) => true,
        (Some((b'*', rest)), _) => rest.is_empty() || (0..=name.len()).any(|from| may_match(rest, &name[from..])),
        (Some((_, _)), None) => false,
        (Some((byte, rest)), Some((first, others))) => (*byte == b'?' || byte == first) && may_match(rest, others),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_what_it_may() {
        for (glob, name, matches) in [
            (".text.*", ".text.f", true),
            (".text.*", ".text", false),
            ("*", "", true),
            ("*_entries", "__patchable_function_entries", true),
            ("*entries?", "__patchable_function_entries", false),
            (".kcfi[_a]x", ".kcfi_traps", true),
            (".data{", ".text", false),
        ] {
            assert_eq!(may_match(glob.as_bytes(), name.as_bytes()), matches, "{glob} {name}");
        }
    }
}
