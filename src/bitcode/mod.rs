//! LLVM bitcode, as far as a linker's stand-in needs it: what a module is, what it names, what its assembly reads, and the
//! ThinLTO index files, which are rewritten here. Knows nothing of archives, links or compilers, and opens no file.

pub mod assembly;
pub mod bits;
pub mod bitstream;
mod constants;
pub mod facts;
pub mod ids;
pub mod index;
mod nodes;
mod operands;
pub mod outline;
pub mod resolve;
pub mod symbol_table;
pub mod symbols;
pub mod thin_view;
mod types;
pub mod view;
pub mod writer;

pub use assembly::assembly;
pub use facts::{Facts, LtoKind, LtoMode, ModuleFacts, SummaryKind};
pub use index::Index;
pub use outline::Outline;
pub use resolve::{Declaration, Resolutions};
pub use symbol_table::{TableSymbol, symbol_table};
pub use symbols::{Symbol, guid, symbols};
pub use thin_view::ThinView;
pub use view::ImportView;

use bitstream::{Block, Entry, Record};

use crate::llvm::SUMMARY_VERSIONS;

/// Why bytes could not be read as bitcode. The caller knows the file's name and adds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BitcodeError {
    /// The magic is neither raw bitcode's nor its wrapper's.
    #[error("not LLVM bitcode")]
    NotBitcode,
    /// Something is longer than what is left.
    #[error("the bitcode is cut short")]
    Truncated,
    /// The bits contradict the format.
    #[error("malformed bitcode: {0}")]
    Malformed(&'static str),
    /// Written by an LLVM before 5, whose modules keep their names elsewhere.
    #[error("module version {0} is too old: names are read from a string table (LLVM 5 and later)")]
    ModuleVersion(u64),
    /// Summary records of this version are laid out in a way not known here; only adding to an index needs to know.
    #[error("summary version {0} is not one whose records can be written ({first} to {last} are)", first = SUMMARY_VERSIONS.start(), last = SUMMARY_VERSIONS.end())]
    SummaryVersion(u64),
    /// The index has no entry for the module that was named.
    #[error("the index does not name the module")]
    NoSuchModule,
}

const RAW_MAGIC: &[u8] = b"BC\xc0\xde";
const WRAPPER_MAGIC: &[u8] = &0x0B17_C0DE_u32.to_le_bytes();

/// Whether the bytes begin like bitcode, raw or wrapped (llvm `isBitcode`).
pub fn is_bitcode(bytes: &[u8]) -> bool {
    bytes.starts_with(RAW_MAGIC) || bytes.starts_with(WRAPPER_MAGIC)
}

/// The stream within the file: the wrapper taken off if there is one (llvm `SkipBitcodeWrapperHeader`), then the magic.
fn unwrap(bytes: &[u8]) -> Result<&[u8], BitcodeError> {
    let raw = if bytes.starts_with(WRAPPER_MAGIC) {
        let word = |at: usize| -> Result<usize, BitcodeError> {
            let chunk = bytes
                .get(at..)
                .and_then(|rest| rest.first_chunk::<4>())
                .ok_or(BitcodeError::Truncated)?;
            usize::try_from(u32::from_le_bytes(*chunk)).map_err(|_| BitcodeError::Truncated)
        };
        let (offset, size) = (word(8)?, word(12)?);
        bytes
            .get(offset..)
            .and_then(|rest| rest.get(..size))
            .ok_or(BitcodeError::Truncated)?
    } else {
        bytes
    };
    raw.strip_prefix(RAW_MAGIC).ok_or(BitcodeError::NotBitcode)
}

/// The bytes of a STRTAB block.
fn string_table(block: Block<'_>) -> Result<&[u8], BitcodeError> {
    blob(block, ids::STRTAB_BLOB)
}

/// The bytes of a block that is one blob; `code` is its record's.
fn blob<'a>(mut block: Block<'a>, code: u64) -> Result<&'a [u8], BitcodeError> {
    let mut record = Record::default();
    while let Some(entry) = block.next(&mut record)? {
        if let (Entry::Record, Some(blob)) = (entry, record.blob)
            && record.code == code
        {
            return Ok(blob);
        }
    }
    Ok(&[])
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod testing;
