//! The global names of a link's bitcode, each file's read once for all who ask.
//! Knows nothing of what is made of them.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::bitcode::{BitcodeError, Symbol, symbols};
use crate::inputs::{BitcodeSource, Inputs};

/// Why a file's names cannot be told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NamesError {
    /// Its bytes cannot be had.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Its bytes are not what they should be.
    #[error("its symbols cannot be read: {0}")]
    Malformed(#[from] BitcodeError),
}

/// One file's names, in its order.
pub type FileSymbols<'a> = Result<Vec<Symbol<'a>>, NamesError>;

/// Reads one file's names.
///
/// # Errors
/// See [`NamesError`].
pub fn of_file(inputs: &Inputs, source: BitcodeSource) -> FileSymbols<'_> {
    let bytes = inputs.bitcode(source);
    let bytes = bytes.map_err(|error| NamesError::Unreadable(error.to_string()))?;
    Ok(symbols(bytes)?)
}

/// The names in a link's bitcode, as far as they were read.
#[derive(Debug, Default)]
pub struct LinkSymbols<'a>(HashMap<BitcodeSource, FileSymbols<'a>>);

impl<'a> LinkSymbols<'a> {
    /// Reads those of these files that have not been read yet.
    pub fn complete(&mut self, inputs: &'a Inputs, sources: impl Iterator<Item = BitcodeSource>) {
        let missing: Vec<BitcodeSource> = sources.filter(|source| !self.0.contains_key(source)).collect();
        let missing = missing.into_par_iter();
        self.0
            .par_extend(missing.map(|source| (source, of_file(inputs, source))));
    }

    /// A file's names, in its order.
    ///
    /// # Errors
    /// They cannot be told, or nobody has read them.
    pub fn of(&self, source: BitcodeSource) -> Result<&[Symbol<'a>], NamesError> {
        let unread = || NamesError::Unreadable("it is no bitcode that was linked".to_owned());
        let file = self.0.get(&source).ok_or_else(unread)?;
        file.as_deref().map_err(NamesError::clone)
    }
}

impl<'a> From<HashMap<BitcodeSource, FileSymbols<'a>>> for LinkSymbols<'a> {
    fn from(read: HashMap<BitcodeSource, FileSymbols<'a>>) -> Self {
        LinkSymbols(read)
    }
}
