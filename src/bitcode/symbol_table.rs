//! A bitcode file's symbol table, by which linkers resolve names (llvm/Object/IRSymtab.h): what its modules' IR names, and
//! what their module assembly defines and refers to, which the IR does not tell.

use super::bitstream::{Block, Entry, Record};
use super::symbols::{Linkage, Presence, Visibility};
use super::{BitcodeError, blob, ids, string_table, symbols, unwrap};

/// What makes a symbol of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Its IR.
    Code,
    /// Its module assembly. Of the visibility there the table says nothing.
    Assembly,
}

/// How much a symbol yields to others of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Not at all.
    Global,
    /// To any other.
    Weak,
    /// To one that is no common symbol; of two the larger stays.
    Common,
}

/// A symbol as a linker is told of it. A file may have several of one name: a reference of its code and one of its assembly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSymbol<'a> {
    /// As a linker calls it.
    pub name: &'a [u8],
    /// Code or assembly.
    pub origin: Origin,
    /// Whether the file defines it. What is `available_externally` it does not.
    pub presence: Presence,
    /// Of the definition or the reference.
    pub binding: Binding,
    /// Of the definition or the reference.
    pub visibility: Visibility,
}

impl TableSymbol<'_> {
    /// Whether this defines the name.
    pub fn is_definition(&self) -> bool {
        self.presence == Presence::Definition
    }

    /// Whether this defines the name, and no other definition may take its place.
    pub fn is_strong_definition(&self) -> bool {
        self.is_definition() && self.binding == Binding::Global
    }

    /// Whether this is a reference of such a binding.
    pub fn is_reference(&self, binding: Binding) -> bool {
        self.presence == Presence::Declaration && self.binding == binding
    }
}

/// Versions of the table whose symbols are laid out like this: LLVM 16 to 24 (`storage::Header::kCurrentVersion`).
const VERSIONS: [usize; 2] = [3, 4];
/// Of `storage::Header`: the words at which a version, and the place and number of modules and of symbols stand.
const VERSION: usize = 0;
const MODULES: usize = 3;
const SYMBOLS: usize = 7;
/// Of `storage::Symbol`: name and name in the IR, each its place and size in the STRTAB; COMDAT; flags.
const SYMBOL_WORDS: usize = 6;
const NAME: usize = 0;
const IR_NAME_SIZE: usize = 3;
const FLAGS: usize = 5;
/// Of the flags (`storage::Symbol::FlagBits`); the two lowest are the visibility.
const UNDEFINED: usize = 1 << 3;
const WEAK: usize = 1 << 4;
const COMMON: usize = 1 << 5;
const GLOBAL: usize = 1 << 10;
const FORMAT_SPECIFIC: usize = 1 << 11;

/// The symbols of a file's table that are not local, in its order. Where there is no table that covers the file (LLVM writes
/// none where it cannot parse the assembly; files may be put together) it is made of what the IR names, as a linker does.
///
/// # Errors
/// The file is malformed.
pub fn symbol_table(bytes: &[u8]) -> Result<Vec<TableSymbol<'_>>, BitcodeError> {
    let mut stream = Block::stream(unwrap(bytes)?);
    let mut record = Record::default();
    let mut modules = 0;
    let (mut tables, mut names) = (Vec::new(), Vec::new());
    while let Some(entry) = stream.next(&mut record)? {
        let Entry::Block(block) = entry else { continue };
        match block.id() {
            Some(ids::MODULE_BLOCK) => modules += 1,
            Some(ids::SYMTAB_BLOCK) => tables.push(blob(block, ids::SYMTAB_BLOB)?),
            Some(ids::STRTAB_BLOCK) => names.push(string_table(block)?),
            _ => {}
        }
    }
    match (tables.as_slice(), names.as_slice()) {
        ([table], [names]) if is_readable(table, modules) => read(table, names),
        _ => of_code(bytes),
    }
}

fn word(table: &[u8], at: usize) -> Option<usize> {
    let word = table.get(at * 4..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*word)).ok()
}

fn is_readable(table: &[u8], modules: usize) -> bool {
    word(table, VERSION).is_some_and(|version| VERSIONS.contains(&version)) && word(table, MODULES + 1) == Some(modules)
}

fn read<'a>(table: &'a [u8], names: &'a [u8]) -> Result<Vec<TableSymbol<'a>>, BitcodeError> {
    let range = word(table, SYMBOLS).zip(word(table, SYMBOLS + 1));
    let symbols = range.and_then(|(from, count)| {
        let size = count.checked_mul(SYMBOL_WORDS * 4)?;
        table.get(from..)?.get(..size)
    });
    let symbols = symbols.ok_or(BitcodeError::Malformed("symbols lie outside of the symbol table"))?;
    let mut found = Vec::with_capacity(symbols.len() / (SYMBOL_WORDS * 4));
    for symbol in symbols.chunks_exact(SYMBOL_WORDS * 4) {
        let word = |at| word(symbol, at).unwrap_or_default();
        let flags = word(FLAGS);
        if flags & GLOBAL == 0 || flags & FORMAT_SPECIFIC != 0 {
            continue;
        }
        let name = names.get(word(NAME)..).and_then(|rest| rest.get(..word(NAME + 1)));
        found.push(TableSymbol {
            name: name.ok_or(BitcodeError::Malformed("a name lies outside of the string table"))?,
            origin: match word(IR_NAME_SIZE) {
                0 => Origin::Assembly,
                _ => Origin::Code,
            },
            presence: match flags & UNDEFINED {
                0 => Presence::Definition,
                _ => Presence::Declaration,
            },
            binding: match flags & (WEAK | COMMON) {
                0 => Binding::Global,
                COMMON => Binding::Common,
                _ => Binding::Weak,
            },
            visibility: Visibility::from_module(flags as u64 & 3),
        });
    }
    Ok(found)
}

/// llvm `ModuleSymbolTable::getSymbolFlags`, of values.
fn of_code(bytes: &[u8]) -> Result<Vec<TableSymbol<'_>>, BitcodeError> {
    let symbols = symbols(bytes)?.into_iter().filter(|symbol| {
        let is_llvms = symbol.plain().starts_with(b"llvm.");
        !symbol.linkage.is_local() && symbol.linkage != Linkage::Appending && !is_llvms
    });
    let symbols = symbols.map(|symbol| TableSymbol {
        name: symbol.plain(),
        origin: Origin::Code,
        presence: match symbol.linkage {
            Linkage::AvailableExternally => Presence::Declaration,
            _ => symbol.presence,
        },
        binding: match symbol.linkage {
            Linkage::External | Linkage::AvailableExternally => Binding::Global,
            Linkage::Common => Binding::Common,
            _ => Binding::Weak,
        },
        visibility: symbol.visibility,
    });
    Ok(symbols.collect())
}

#[cfg(test)]
mod tests;
