//! Symbols that the user's words assign rather than files define: by `--defsym`, in linker scripts, and there by `PROVIDE`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::{FinalLink, FinalLinkError, at};
use crate::cmdline::Invocation;
use crate::inputs::ScriptContent;
use crate::inputs::lexer::{Lexer, Mode, Root, ScriptError, Source, unquote};

/// The commands that assign only what somebody refers to and nobody defines.
const PROVIDING: [&[u8]; 2] = [b"PROVIDE", b"PROVIDE_HIDDEN"];

/// The symbols that a link's options and scripts assign.
#[derive(Debug, Default)]
pub(super) struct Assignments {
    /// Whether or not a file defines them.
    pub assigned: BTreeSet<Vec<u8>>,
    /// By `PROVIDE`.
    pub provided: BTreeSet<Vec<u8>>,
}

impl Assignments {
    /// # Errors
    /// `Io` where a script cannot be read again, `Unfit` where it cannot be understood.
    pub(super) fn of(link: &FinalLink<'_>) -> Result<Assignments, FinalLinkError> {
        let mut assignments = Assignments::default();
        assignments
            .assigned
            .extend(defsyms(link.invocation).map(<[u8]>::to_vec));
        let scripts = link.inputs.scripts.iter();
        for script in scripts.filter(|script| script.content == ScriptContent::More) {
            let source = Source {
                path: script.path.clone(),
                text: fs::read(&script.path).map_err(at(&script.path))?,
                root: Root::Host,
            };
            assignments
                .read(source)
                .map_err(|error| FinalLinkError::Unfit(error.to_string()))?;
        }
        Ok(assignments)
    }

    /// An assignment is a name before an assigning operator, which lld may have in one word with what follows
    /// (lld/ELF/ScriptParser.cpp `readAssignment`), and before LLVM 20 with the name too.
    fn read(&mut self, source: Source) -> Result<(), ScriptError> {
        let mut lexer = Lexer::new(source);
        let mut before: [Vec<u8>; 2] = Default::default();
        while let Some(token) = lexer.next(Mode::Script)? {
            let next = lexer.peek(Mode::Script)?.unwrap_or_default();
            let name = match token.iter().position(|byte| *byte == b'=') {
                Some(end) => before_operator(&token[..end]).filter(|_| assigns(&token[end..])),
                None => Some(token.as_slice()).filter(|_| assigns(&next)),
            };
            if let Some(name) = name.map(unquote).filter(|name| is_symbol(name)) {
                let is_provided = PROVIDING.contains(&before[0].as_slice()) && before[1] == b"(";
                match is_provided {
                    true => self.provided.insert(name.to_vec()),
                    false => self.assigned.insert(name.to_vec()),
                };
            }
            before = [std::mem::take(&mut before[1]), token];
        }
        Ok(())
    }
}

/// Symbols that `--defsym` defines.
pub(super) fn defsyms(invocation: &Invocation) -> impl Iterator<Item = &[u8]> {
    let assignments = invocation.all("defsym");
    assignments.filter_map(|text| text.as_bytes().split(|byte| *byte == b'=').next())
}

fn assigns(operator: &[u8]) -> bool {
    match operator {
        [b'=', b'=', ..] | [b'!', b'=', ..] => false,
        [b'=', ..] => true,
        _ => operator.len() > 1 && operator.ends_with(b"="),
    }
}

/// What stands before `=` in one word, or before an operator that ends in it; a comparison assigns nothing.
fn before_operator(word: &[u8]) -> Option<&[u8]> {
    let end = word.iter().rposition(|byte| !b"+-*/<>&|^!".contains(byte))? + 1;
    let (name, operator) = word.split_at(end);
    (operator != b"!").then_some(name)
}

fn is_symbol(name: &[u8]) -> bool {
    let is_part = |byte: &u8| !byte.is_ascii_whitespace() && !b"(){};,<>=*?[]\"".contains(byte);
    !name.is_empty() && name != b"." && name.iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_before_assigning_operators() {
        let text = "/* no = 1; */ a = b == c; \"d e\" = 1; f=2; g =3; . = ALIGN(8);\n\
                    PROVIDE(h = i); PROVIDE_HIDDEN( j = 1 ); HIDDEN(k = 1);\n\
                    SECTIONS { .text : { l = .; *(.text .text.*) m += 4; n <<= 1; } o = p != q; ASSERT(r >= s, \"t\") }\n";
        let mut assignments = Assignments::default();
        let source = Source {
            path: "script".into(),
            text: text.as_bytes().to_vec(),
            root: Root::Host,
        };
        assignments.read(source).unwrap();
        let names = |names: &BTreeSet<Vec<u8>>| -> Vec<String> {
            let names = names.iter().map(|name| String::from_utf8_lossy(name).into_owned());
            names.collect()
        };
        let assigned = ["a", "f", "g", "k", "l", "m", "n", "o"];
        assert_eq!(names(&assignments.assigned), assigned);
        assert_eq!(names(&assignments.provided), ["h", "j"]);
    }
}
