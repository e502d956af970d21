//! Command lines written again: the words of each item as they were typed, with some left out or put in their stead.
//! Knows nothing of which link needs what; the caller says so item by item.

use std::ffi::OsString;
use std::slice;

use super::invocation::{Invocation, Item};

/// What becomes of an item on a new command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// Its words, as typed.
    Keep,
    /// Nothing.
    Drop,
    /// These words.
    Words(Vec<OsString>),
}

impl Item {
    /// The words as typed.
    pub fn words(&self) -> &[OsString] {
        match self {
            Self::Input(name) => slice::from_ref(name),
            Self::Option { words, .. } => words,
        }
    }
}

impl Invocation {
    /// The command line's words, response files expanded, our own options and a leading `-flavor` taken out.
    pub fn words(&self) -> Vec<OsString> {
        self.words_where(|_, _| Replacement::Keep)
    }

    /// The command line's words with each item, told by its index in `items`, kept, dropped or replaced.
    pub fn words_where(&self, mut replacement: impl FnMut(usize, &Item) -> Replacement) -> Vec<OsString> {
        let mut words = Vec::with_capacity(self.items.len());
        for (index, item) in self.items.iter().enumerate() {
            match replacement(index, item) {
                Replacement::Keep => words.extend_from_slice(item.words()),
                Replacement::Drop => {}
                Replacement::Words(new) => words.extend(new),
            }
        }
        words
    }
}
