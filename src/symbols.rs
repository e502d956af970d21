//! The global names of a link's bitcode, each file's read once for all who ask: those of its IR, which backends need, and its
//! symbol table, by which a linker resolves.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::bitcode::{BitcodeError, Symbol, TableSymbol, symbol_table, symbols};
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
    Ok(symbols(bytes(inputs, source)?)?)
}

/// Reads one file's symbol table.
///
/// # Errors
/// See [`NamesError`].
pub fn table_of_file(inputs: &Inputs, source: BitcodeSource) -> Result<Vec<TableSymbol<'_>>, NamesError> {
    Ok(symbol_table(bytes(inputs, source)?)?)
}

fn bytes(inputs: &Inputs, source: BitcodeSource) -> Result<&[u8], NamesError> {
    let bytes = inputs.bitcode(source);
    bytes.map_err(|error| NamesError::Unreadable(error.to_string()))
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

/// The symbol tables of all bitcode that is linked.
#[derive(Debug)]
pub struct SymbolTables<'a>(HashMap<BitcodeSource, Vec<TableSymbol<'a>>>);

impl<'a> SymbolTables<'a> {
    /// # Errors
    /// The module, as the user knows it, whose table cannot be read, and why.
    pub fn read(inputs: &'a Inputs, bitcode: &[BitcodeSource]) -> Result<SymbolTables<'a>, (String, NamesError)> {
        let tables = bitcode.par_iter().map(|source| {
            let table = table_of_file(inputs, *source);
            let table = table.map_err(|error| (inputs.entries[source.entry].shown(source.member), error))?;
            Ok((*source, table))
        });
        Ok(SymbolTables(tables.collect::<Result<_, _>>()?))
    }

    /// A file's symbols, in its order; none where it is not linked.
    pub fn of(&self, source: BitcodeSource) -> &[TableSymbol<'a>] {
        self.0.get(&source).map_or(&[], Vec::as_slice)
    }

    /// Every file's symbols.
    pub fn files(&self) -> impl ParallelIterator<Item = &[TableSymbol<'a>]> {
        self.0.par_iter().map(|(_, table)| table.as_slice())
    }

    /// All symbols.
    pub fn symbols(&self) -> impl Iterator<Item = &TableSymbol<'a>> {
        self.0.values().flatten()
    }
}
