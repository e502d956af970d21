//! What the thin link sees of a bitcode file, as a digest: two files of one view give the same thin link, but for the hash
//! of the module, which is only copied. Knows nothing of links; where it is not sure, the view is of every byte.
//!
//! What is read, in lld 16 to 22: the symbol table (`irsymtab::readBitcode`: the SYMTAB blob and the STRTAB its names are
//! in), the summary (`ModuleSummaryIndexBitcodeReader`: GLOBALVAL_SUMMARY, and of the module's own records its version, source
//! file name, hash, and each global's name and linkage), and the summary's flags (`BitcodeModule::getLTOInfo`). With a STRTAB
//! the VALUE_SYMTAB is not opened. Only what is in [`INVISIBLE`] is left out, block by block and operand by operand; all
//! else, records of an LLVM to come among it, is in the digest, needed or not.
//!
//! Two things would be read besides: code that takes part in regular LTO, and whatever a symbol table is made from where
//! the file has none of the linker's own make (`irsymtab::upgrade`). Files with either are digested whole.

use super::bitstream::{Block, Entry, Record};
use super::{BitcodeError, blob, ids, string_table, unwrap};

/// What the thin link sees of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThinView {
    /// Of all it sees.
    pub digest: [u8; 32],
    /// What it copies into indexes: the hash of the one module in the file. None where the digest is of every byte, and
    /// where the module has none.
    pub hash: Option<[u32; 5]>,
}

/// Blocks of a module that the thin link skips.
const INVISIBLE: [u64; 11] = [
    ids::PARAMATTR_BLOCK,
    ids::PARAMATTR_GROUP_BLOCK,
    ids::CONSTANTS_BLOCK,
    ids::FUNCTION_BLOCK,
    ids::VALUE_SYMTAB_BLOCK,
    ids::METADATA_BLOCK,
    ids::TYPE_BLOCK,
    ids::USELIST_BLOCK,
    ids::OPERAND_BUNDLE_TAGS_BLOCK,
    ids::METADATA_KIND_BLOCK,
    ids::SYNC_SCOPE_NAMES_BLOCK,
];

/// The operand of a global's record that numbers its type, in all four kinds.
const TYPE: usize = 2;

/// Operands that number attributes and constants, and so move with what is in the blocks above. Zero means none in most of
/// them, and whether there is one stays in (llvm BitcodeWriter.cpp `writeModuleInfo`).
const NUMBERS: [(u64, &[usize]); 4] = [
    // initializer, attributes
    (ids::MODULE_GLOBALVAR, &[4, 14]),
    // attributes, prologue, prefix, personality
    (ids::MODULE_FUNCTION, &[6, 12, 15, 16]),
    // aliasee
    (ids::MODULE_ALIAS, &[4]),
    // resolver
    (ids::MODULE_IFUNC, &[4]),
];

/// Blocks nest two deep where the thin link looks.
const MAX_DEPTH: u32 = 8;

impl ThinView {
    /// The view of a file to a linker of LLVM `version`.
    pub fn of(bytes: &[u8], version: &str) -> ThinView {
        match visible(bytes, version) {
            Ok(Some(view)) => view,
            Ok(None) | Err(_) => ThinView::of_all(bytes),
        }
    }

    /// The view of what is read whole.
    pub fn of_all(bytes: &[u8]) -> ThinView {
        ThinView {
            digest: *blake3::hash(bytes).as_bytes(),
            hash: None,
        }
    }
}

/// None where more is to be seen than can be told apart here.
fn visible(bytes: &[u8], version: &str) -> Result<Option<ThinView>, BitcodeError> {
    let mut stream = Block::stream(unwrap(bytes)?);
    let mut record = Record::default();
    let mut seen = Seen::default();
    let mut modules = Vec::new();
    let (mut symbols, mut names) = (Vec::new(), Vec::new());
    while let Some(entry) = stream.next(&mut record)? {
        let Entry::Block(block) = entry else { continue };
        match block.id() {
            Some(ids::MODULE_BLOCK) => modules.push(seen.module(block)?),
            Some(ids::SYMTAB_BLOCK) => symbols.push(blob(block, ids::SYMTAB_BLOB)?),
            Some(ids::STRTAB_BLOCK) => names.push(string_table(block)?),
            _ => seen.block(block, 0)?,
        }
    }
    let ([module], [symbols], [names]) = (modules.as_slice(), symbols.as_slice(), names.as_slice()) else {
        return Ok(None);
    };
    if !module.is_thin || !module.names_are_apart || !is_made_by(symbols, names, version) {
        return Ok(None);
    }
    seen.bytes(symbols);
    seen.bytes(names);
    seen.number(u64::from(module.hash.is_some()));
    Ok(Some(ThinView {
        digest: *blake3::hash(&seen.0).as_bytes(),
        hash: module.hash,
    }))
}

/// Whether the linker takes the symbol table as it is. It begins with its version and the producer's offset and size in the
/// STRTAB (llvm `irsymtab::storage::Header`); the producer is `22.1.8`, with the revision behind it where that was known.
fn is_made_by(symbols: &[u8], names: &[u8], version: &str) -> bool {
    let word = |at: usize| -> Option<usize> {
        let word = symbols.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*word)).ok()
    };
    let producer = || names.get(word(4)?..)?.get(..word(8)?)?.strip_prefix(version.as_bytes());
    producer().is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
}

/// What is told of a module besides what is seen.
#[derive(Default)]
struct Module {
    is_thin: bool,
    /// In a STRTAB, not in the VALUE_SYMTAB.
    names_are_apart: bool,
    hash: Option<[u32; 5]>,
}

/// All that is seen, every list framed, so that no two different files give the same bytes.
#[derive(Default)]
struct Seen(Vec<u8>);

impl Seen {
    fn number(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn record(&mut self, record: &Record<'_>) {
        self.0.push(b'R');
        self.number(record.code);
        self.number(record.operands.len() as u64);
        for operand in &record.operands {
            self.0.extend_from_slice(&operand.to_le_bytes());
        }
        self.bytes(record.blob.unwrap_or_default());
    }

    fn enter(&mut self, block: &Block<'_>) {
        self.0.push(b'B');
        self.number(block.id().unwrap_or_default());
    }

    fn leave(&mut self) {
        self.0.push(b'E');
    }

    fn block(&mut self, mut block: Block<'_>, depth: u32) -> Result<(), BitcodeError> {
        if depth > MAX_DEPTH {
            return Err(BitcodeError::Malformed("blocks are nested too deep"));
        }
        let mut record = Record::default();
        self.enter(&block);
        while let Some(entry) = block.next(&mut record)? {
            match entry {
                Entry::Record => self.record(&record),
                Entry::Block(child) => self.block(child, depth + 1)?,
            }
        }
        self.leave();
        Ok(())
    }

    fn module(&mut self, mut block: Block<'_>) -> Result<Module, BitcodeError> {
        let mut record = Record::default();
        let mut module = Module::default();
        self.enter(&block);
        while let Some(entry) = block.next(&mut record)? {
            match entry {
                Entry::Block(child) if child.id().is_some_and(|id| INVISIBLE.contains(&id)) => {}
                Entry::Block(child) => {
                    module.is_thin |= child.id() == Some(ids::GLOBALVAL_SUMMARY_BLOCK);
                    self.block(child, 0)?;
                }
                Entry::Record => self.module_record(&mut record, &mut module)?,
            }
        }
        self.leave();
        Ok(module)
    }

    fn module_record(&mut self, record: &mut Record<'_>, module: &mut Module) -> Result<(), BitcodeError> {
        match record.code {
            ids::MODULE_HASH => {
                let words: Result<Vec<u32>, _> = record.operands.iter().map(|word| u32::try_from(*word)).collect();
                let hash = words.ok().and_then(|words| words.try_into().ok());
                module.hash = Some(hash.ok_or(BitcodeError::Malformed("a module's hash is not five words"))?);
                return Ok(());
            }
            ids::MODULE_VSTOFFSET => return Ok(()),
            ids::MODULE_VERSION => module.names_are_apart = record.operand(0)? >= 2,
            _ => {}
        }
        if let Some((_, numbers)) = NUMBERS.iter().find(|(code, _)| *code == record.code) {
            if let Some(operand) = record.operands.get_mut(TYPE) {
                *operand = 0;
            }
            for &number in *numbers {
                if let Some(operand) = record.operands.get_mut(number) {
                    *operand = u64::from(*operand != 0);
                }
            }
        }
        self.record(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
