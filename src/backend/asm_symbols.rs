//! Whether a module's assembly may make a global symbol of one of given names, told from its text without assembling it.
//! Knows nothing of who asks; it says "perhaps" too often rather than too seldom.

use std::collections::HashSet;

use memchr::memmem;

use super::asm_files::{Text, has};

/// What makes a symbol global is among these, written out or in a macro (llvm/lib/MC/MCParser/AsmParser.cpp and
/// ELFAsmParser.cpp; `.comm` is also in `.lcomm`, which does not).
const BINDING: [&[u8]; 5] = [b".glob", b".weak", b".comm", b".symver", b"gnu_unique"];

/// Of more names than these, to look for each takes longer than to look at the object.
const MOST_NAMES: usize = 64;

/// What one module's assembly says, by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Says {
    /// Something is made global.
    binds: bool,
    /// One of the names is in it, or is put together by a macro.
    names: bool,
}

impl Says {
    /// What `texts` say of `names`.
    pub fn of(texts: &[Text], names: &HashSet<&[u8]>) -> Says {
        if texts.is_empty() {
            return Says::default();
        }
        let is_named = |text: &Text| names.iter().any(|name| memmem::find(text.bytes(), name).is_some());
        let says = |text: &Text| {
            let binds = BINDING.iter().any(|word| has(text.bytes(), word));
            let perhaps = text.has_macros() || names.len() > MOST_NAMES;
            let names = perhaps || binds && is_named(text);
            Says { binds, names }
        };
        texts.iter().map(says).fold(Says::default(), Says::with)
    }

    /// What two say that are assembled together: a macro in one may be called in the other.
    pub fn with(self, other: Says) -> Says {
        Says {
            binds: self.binds || other.binds,
            names: self.names || other.names,
        }
    }

    /// Whether one of the names may be defined.
    pub fn may_define(self) -> bool {
        self.binds && self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_assembly_may_define_is_told() {
        let names = HashSet::from([b"wanted".as_slice()]);
        let says = |texts: &[&str]| {
            let texts: Vec<Text> = texts.iter().map(|text| Text::new(*text)).collect();
            Says::of(&texts, &names).may_define()
        };
        for texts in [
            &[".globl wanted\nwanted: ret"][..],
            &[".weak wanted", "wanted = 1"],
            &[".COMM wanted, 8"],
            &[".macro m n\n.global \\n\n\\n:\n.endm", "m want_ed"],
            &[".symver x, wanted@V1"],
            &[".type wanted, @gnu_unique_object"],
        ] {
            assert!(says(texts), "{texts:?}");
        }
        for texts in [&["call wanted"][..], &[".globl other\nother: ret"], &[]] {
            assert!(!says(texts), "{texts:?}");
        }
    }
}
