//! A module read for its view: all that every importer reads goes into the frame, bodies are told apart, and what could bring
//! a local symbol along is found. Knows nothing of who imports what.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use super::cookies::Candidates;
use super::frame::Frame;
use super::{Body, Digest};
use crate::bitcode::bitstream::{Block, Entry, Record};
use crate::bitcode::nodes::Nodes;
use crate::bitcode::symbols::{ValueRecord, guid};
use crate::bitcode::types::Types;
use crate::bitcode::{BitcodeError, ids};
use crate::llvm;

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
pub(super) struct Module {
    /// In the order of their numbers.
    values: Vec<ValueRecord>,
    /// Function bodies, in their order.
    bodies: Vec<ReadBody>,
    summary_version: Option<u64>,
    /// By value number, what a definition refers to.
    references: HashMap<u64, Vec<u64>>,
    /// Integers that importers may not see.
    pub(super) candidates: Candidates,
    /// It has what ties its parts together in ways not followed here.
    opaque: bool,
}

struct ReadBody {
    digest: Digest,
    position: u64,
    /// Values that its metadata refers to, which no summary lists.
    in_metadata: Vec<u64>,
    opaque: bool,
}

impl Module {
    pub(super) fn read(mut block: Block<'_>, frame: &mut Frame) -> Result<Module, BitcodeError> {
        let mut module = Module::default();
        let mut record = Record::default();
        frame.number(block.width().into());
        let mut position = block.position();
        while let Some(entry) = block.next(&mut record)? {
            match entry {
                // Where functions stand, and the hash, which only tells in names.
                Entry::Record if matches!(record.code, ids::MODULE_VSTOFFSET | ids::MODULE_HASH) => {}
                Entry::Record => {
                    frame.record(&record);
                    module.opaque |= record.code == ids::MODULE_ALIAS_OLD;
                    if let Some(value) = ValueRecord::of(&record) {
                        module.opaque |= value.is_local_ifunc();
                        module.candidates.global(&value);
                        module.values.push(value);
                    }
                }
                Entry::Block(child) => module.child(child, position, frame)?,
            }
            position = block.position();
        }
        frame.bytes(block.block_info_bytes());
        Ok(module)
    }

    fn child(&mut self, child: Block<'_>, position: u64, frame: &mut Frame) -> Result<(), BitcodeError> {
        match child.id() {
            Some(ids::FUNCTION_BLOCK) => self.bodies.push(ReadBody::read(child, position)?),
            // For the thin link: a backend asks its index instead.
            Some(ids::GLOBALVAL_SUMMARY_BLOCK) => self.summary(child)?,
            Some(ids::VALUE_SYMTAB_BLOCK) => value_symbols(child, frame)?,
            Some(ids::CONSTANTS_BLOCK) => {
                frame.number(child.width().into());
                self.candidates.constants(child, |record| {
                    self.opaque |= record.code == ids::CST_BLOCKADDRESS;
                    frame.record(record);
                })?;
            }
            Some(ids::METADATA_BLOCK) => {
                frame.block(&child);
                self.candidates.nodes.read(child)?;
                self.opaque |= self.candidates.nodes.debug_info;
            }
            Some(ids::METADATA_KIND_BLOCK) => {
                frame.block(&child);
                self.candidates.kinds(child)?;
            }
            Some(ids::TYPE_BLOCK) => {
                frame.block(&child);
                self.candidates.types = Types::read(child)?;
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

    /// Every integer among its constants, as it is written.
    pub(super) fn integers(&self) -> &[u64] {
        self.candidates.all()
    }

    /// Whether its parts can be told from each other.
    pub(super) fn is_followed(&self) -> bool {
        let version = self.summary_version;
        !self.opaque && version.is_some_and(|version| llvm::SUMMARY_VERSIONS.contains(&version))
    }

    /// The definitions that bring no local symbol along.
    pub(super) fn free(&self, names: &[u8]) -> Result<HashMap<u64, Option<Body>>, BitcodeError> {
        let local: HashSet<u64> = (0..)
            .zip(&self.values)
            .filter(|(_, value)| value.is_local())
            .map(|(number, _)| number)
            .collect();
        let mut free = HashMap::new();
        if self.candidates.nodes.values().any(|value| local.contains(&value)) {
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
                let body = body.map(|body| Body {
                    digest: body.digest,
                    position: body.position,
                    function: value.type_number(),
                    shown: OnceLock::new(),
                });
                free.insert(guid(value.name(names)?), body);
            }
        }
        Ok(free)
    }
}

impl ReadBody {
    /// Constants and metadata stand before the instructions, which are not read.
    fn read(mut block: Block<'_>, position: u64) -> Result<ReadBody, BitcodeError> {
        let mut hash = Frame::default();
        hash.block(&block);
        let (mut nodes, mut opaque) = (Nodes::default(), false);
        let mut record = Record::default();
        while let Some(entry) = block.next(&mut record)? {
            match entry {
                Entry::Record if record.code == ids::FUNC_DECLAREBLOCKS => {}
                Entry::Record => break,
                Entry::Block(child) if child.id() == Some(ids::CONSTANTS_BLOCK) => {
                    opaque |= has_block_address(child)?;
                }
                Entry::Block(child) if child.id() == Some(ids::METADATA_BLOCK) => nodes.read(child)?,
                Entry::Block(_) => {}
            }
        }
        Ok(ReadBody {
            digest: hash.digest(),
            position,
            in_metadata: nodes.values().collect(),
            opaque,
        })
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
