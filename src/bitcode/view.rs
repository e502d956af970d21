//! What a module that imports from another can see of it: everything but the bodies of functions it does not import.
//! Knows nothing of indexes and of caches; whoever asks says which definitions are imported.
//!
//! A backend opens the modules it imports from lazily and reads only the bodies it was told to import (llvm/lib/Transforms/IPO/
//! FunctionImport.cpp `importFunctions`), so that an edit of another body changes nothing for it. The one thing of the whole
//! module that it uses besides is the module's hash, in the names it gives the module's local symbols (`x.llvm.HASH`): so
//! where an import can name a local symbol, it sees all of the module. Whatever is not understood here counts as seen.

use std::collections::{HashMap, HashSet};

use super::bitstream::{Block, Entry, Record};
use super::symbols::{ValueRecord, guid};
use super::{BitcodeError, ids, string_table, unwrap};

/// A digest of some part of a module.
pub type Digest = [u8; 32];

/// One module as those see it that import from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportView {
    /// Of all that every importer reads.
    frame: Digest,
    /// By GUID, the definitions that can be imported without any local symbol coming along: a function's body, or nothing
    /// more than the frame for a variable.
    free: HashMap<u64, Option<Digest>>,
}

impl ImportView {
    /// Reads a file of one module; none where an importer must be taken to see all of it.
    ///
    /// # Errors
    /// The file is no bitcode that can be read.
    pub fn read(bytes: &[u8]) -> Result<Option<ImportView>, BitcodeError> {
        let mut stream = Block::stream(unwrap(bytes)?);
        let mut record = Record::default();
        let mut frame = Frame::default();
        let mut module: Option<Module> = None;
        let mut names: &[u8] = &[];
        while let Some(entry) = stream.next(&mut record)? {
            let Entry::Block(block) = entry else { continue };
            match block.id() {
                // Of a split unit's two modules it is the file's whole content that tells which is read.
                Some(ids::MODULE_BLOCK) if module.is_some() => return Ok(None),
                Some(ids::MODULE_BLOCK) => module = Some(Module::read(block, &mut frame)?),
                Some(ids::STRTAB_BLOCK) => {
                    frame.block(&block);
                    names = string_table(block)?;
                }
                _ => frame.block(&block),
            }
        }
        let Some(module) = module.filter(|module| !module.opaque && module.has_known_summary()) else {
            return Ok(None);
        };
        Ok(Some(ImportView {
            frame: frame.digest(),
            free: module.free(names)?,
        }))
    }

    /// A digest of what is seen by one who imports these definitions; none if that is all of the module.
    pub fn of(&self, imported: impl IntoIterator<Item = u64>) -> Option<Digest> {
        let mut imported: Vec<u64> = imported.into_iter().collect();
        imported.sort_unstable();
        let mut hash = blake3::Hasher::new();
        hash.update(&self.frame);
        for guid in imported {
            let body = self.free.get(&guid)?;
            hash.update(&guid.to_le_bytes());
            hash.update(body.as_ref().unwrap_or(&[0; 32]));
        }
        Some(*hash.finalize().as_bytes())
    }
}

/// What every importer reads, as it is walked over.
#[derive(Default)]
struct Frame(blake3::Hasher);

impl Frame {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    /// Records are packed bit by bit, so that one which grows moves all others: what they say is taken, not how.
    fn record(&mut self, record: &Record<'_>) {
        self.number(record.code);
        self.number(record.operands.len() as u64);
        for operand in &record.operands {
            self.number(*operand);
        }
        self.bytes(record.blob.unwrap_or_default());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// A block stands at a whole word wherever it is: its bytes are the same for the same content.
    fn block(&mut self, block: &Block<'_>) {
        self.number(block.id().unwrap_or_default());
        self.number(block.width().into());
        self.bytes(block.bytes());
    }

    fn digest(&self) -> Digest {
        *self.0.finalize().as_bytes()
    }
}

/// Where a summary's references begin. Calls stand behind them with numbers of other kinds between: taking those for
/// references too can only find more local symbols than there are (llvm BitcodeWriter.cpp
/// `writePerModuleFunctionSummaryRecord`, `writeModuleLevelReferences`).
const REFERENCES: [(u64, usize); 4] = [
    // valueid, flags, instcount, fflags, numrefs, rorefcnt, worefcnt
    (ids::FS_PERMODULE, 7),
    (ids::FS_PERMODULE_PROFILE, 7),
    (ids::FS_PERMODULE_RELBF, 7),
    // valueid, flags, varflags
    (ids::FS_PERMODULE_GLOBALVAR_INIT_REFS, 3),
];

/// What is known of a module while it is read.
#[derive(Default)]
struct Module {
    /// In the order of their numbers.
    values: Vec<ValueRecord>,
    /// Function bodies, in their order.
    bodies: Vec<Body>,
    summary_version: Option<u64>,
    /// By value number, what a definition refers to.
    references: HashMap<u64, Vec<u64>>,
    /// Values that metadata refers to whoever is imported.
    in_metadata: Vec<u64>,
    /// It has what ties its parts together in ways not followed here.
    opaque: bool,
}

struct Body {
    digest: Digest,
    /// Values that its metadata refers to, which no summary lists.
    in_metadata: Vec<u64>,
    opaque: bool,
}

impl Module {
    fn read(mut block: Block<'_>, frame: &mut Frame) -> Result<Module, BitcodeError> {
        let mut module = Module::default();
        let mut record = Record::default();
        frame.number(block.width().into());
        while let Some(entry) = block.next(&mut record)? {
            match entry {
                // Where functions stand, and the hash, which only tells in names.
                Entry::Record if matches!(record.code, ids::MODULE_VSTOFFSET | ids::MODULE_HASH) => {}
                Entry::Record => {
                    frame.record(&record);
                    module.opaque |= record.code == ids::MODULE_ALIAS_OLD;
                    module.values.extend(ValueRecord::of(&record));
                }
                Entry::Block(child) => module.child(child, frame)?,
            }
        }
        frame.bytes(block.block_info_bytes());
        Ok(module)
    }

    fn child(&mut self, child: Block<'_>, frame: &mut Frame) -> Result<(), BitcodeError> {
        match child.id() {
            Some(ids::FUNCTION_BLOCK) => self.bodies.push(Body::read(child)?),
            // For the thin link: a backend asks its index instead.
            Some(ids::GLOBALVAL_SUMMARY_BLOCK) => self.summary(child)?,
            Some(ids::VALUE_SYMTAB_BLOCK) => value_symbols(child, frame)?,
            Some(ids::CONSTANTS_BLOCK) => {
                frame.block(&child);
                self.opaque |= has_block_address(child)?;
            }
            Some(ids::METADATA_BLOCK) => {
                frame.block(&child);
                self.opaque |= metadata(child, &mut self.in_metadata)? == DebugInfo::Present;
            }
            _ => frame.block(&child),
        }
        Ok(())
    }

    fn summary(&mut self, mut block: Block<'_>) -> Result<(), BitcodeError> {
        let mut record = Record::default();
        while let Some(entry) = block.next(&mut record)? {
            let Entry::Record = entry else { continue };
            if record.code == ids::FS_VERSION {
                self.summary_version = record.operands.first().copied();
            }
            let layout = REFERENCES.iter().find(|(code, _)| *code == record.code);
            if let (Some(&(_, start)), Some(value)) = (layout, record.operands.first()) {
                let references = record.operands.get(start..).unwrap_or_default();
                self.references.insert(*value, references.to_vec());
            }
        }
        Ok(())
    }

    fn has_known_summary(&self) -> bool {
        self.summary_version
            .is_some_and(|version| ids::KNOWN_SUMMARY_VERSIONS.contains(&version))
    }

    /// The definitions that bring no local symbol along.
    fn free(&self, names: &[u8]) -> Result<HashMap<u64, Option<Digest>>, BitcodeError> {
        let local: HashSet<u64> = (0..)
            .zip(&self.values)
            .filter(|(_, value)| value.is_local())
            .map(|(number, _)| number)
            .collect();
        let mut free = HashMap::new();
        if self.in_metadata.iter().any(|value| local.contains(value)) {
            return Ok(free);
        }
        let mut bodies = self.bodies.iter();
        for (number, value) in (0..).zip(&self.values) {
            let body = match value.has_body() {
                true => Some(bodies.next().ok_or(BitcodeError::Malformed("a function has no body"))?),
                false => None,
            };
            let in_metadata = body.map_or(&[][..], |body| &body.in_metadata);
            let names_no_local = |values: &[u64]| !values.iter().any(|value| local.contains(value));
            let is_free = value.is_importable()
                && !body.is_some_and(|body| body.opaque)
                && names_no_local(in_metadata)
                && self
                    .references
                    .get(&number)
                    .is_some_and(|values| names_no_local(values));
            if is_free {
                free.insert(guid(value.name(names)?), body.map(|body| body.digest));
            }
        }
        Ok(free)
    }
}

impl Body {
    /// Constants and metadata stand before the instructions, which are not read.
    fn read(mut block: Block<'_>) -> Result<Body, BitcodeError> {
        let mut hash = Frame::default();
        hash.block(&block);
        let mut body = Body {
            digest: hash.digest(),
            in_metadata: Vec::new(),
            opaque: false,
        };
        let mut record = Record::default();
        while let Some(entry) = block.next(&mut record)? {
            match entry {
                Entry::Record if record.code == ids::FUNC_DECLAREBLOCKS => {}
                Entry::Record => break,
                Entry::Block(child) if child.id() == Some(ids::CONSTANTS_BLOCK) => {
                    body.opaque |= has_block_address(child)?;
                }
                Entry::Block(child) if child.id() == Some(ids::METADATA_BLOCK) => {
                    metadata(child, &mut body.in_metadata)?;
                }
                Entry::Block(_) => {}
            }
        }
        Ok(body)
    }
}

/// Where each function's body stands is not what it says; a module that keeps names here says more.
fn value_symbols(mut block: Block<'_>, frame: &mut Frame) -> Result<(), BitcodeError> {
    let mut record = Record::default();
    while let Some(entry) = block.next(&mut record)? {
        let is_place = record.code == ids::VST_FNENTRY && record.operands.len() == 2;
        if let (Entry::Record, false) = (entry, is_place) {
            frame.record(&record);
        }
    }
    Ok(())
}

/// The address of a block makes its reader read that block's function too.
fn has_block_address(mut block: Block<'_>) -> Result<bool, BitcodeError> {
    let mut record = Record::default();
    while let Some(entry) = block.next(&mut record)? {
        if let (Entry::Record, ids::CST_BLOCKADDRESS) = (entry, record.code) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[derive(PartialEq, Eq)]
enum DebugInfo {
    Present,
    Absent,
}

/// Adds the values that metadata refers to. Debug information is not followed: it names lines, so that hardly an edit
/// leaves it as it is.
fn metadata(mut block: Block<'_>, values: &mut Vec<u64>) -> Result<DebugInfo, BitcodeError> {
    let mut record = Record::default();
    while let Some(entry) = block.next(&mut record)? {
        match (entry, record.code) {
            (Entry::Record, ids::METADATA_COMPILE_UNIT) => return Ok(DebugInfo::Present),
            // type, value
            (Entry::Record, ids::METADATA_VALUE) => values.push(record.operand(1)?),
            _ => {}
        }
    }
    Ok(DebugInfo::Absent)
}

#[cfg(test)]
mod tests;
