//! A distributed ThinLTO index, the `*.thinlto.bc` lld writes for each module: read whole, looked at, rewritten.
//! Knows nothing of the module the index is for beyond its path, and keeps what it does not understand as it is.

use std::collections::{HashMap, HashSet};

use super::bitstream::{Block, Budget, Entry, Record, bytes_of};
use super::symbols::Linkage;
use super::writer::Writer;
use super::{BitcodeError, RAW_MAGIC, ids, unwrap};

/// Blocks in an index nest two deep; deeper ones are refused, since the tree is walked recursively.
const MAX_DEPTH: u32 = 8;

/// One index file. Zero bytes are an index too, of a module without a summary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    pub(super) items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Block { id: u64, items: Vec<Item> },
    Record(OwnedRecord),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnedRecord {
    pub(super) code: u64,
    pub(super) operands: Vec<u64>,
    pub(super) blob: Option<Vec<u8>>,
}

/// A module the index names: its own, or one it imports from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexModule {
    /// The number records call it by.
    pub id: u64,
    /// Its path as lld knew it: what the backend opens.
    pub path: Vec<u8>,
    /// Its hash, all zeros if the module had none.
    pub hash: [u32; 5],
}

/// What a summary is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SummaryOf {
    /// A function.
    Function,
    /// A variable.
    Variable,
    /// An alias of either.
    Alias,
}

/// The flags of one summary (llvm BitcodeReader.cpp `getDecodedGVSummaryFlags`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SummaryFlags(pub u64);

impl SummaryFlags {
    pub(super) const LIVE: u64 = 1 << 5;
    pub(super) const DSO_LOCAL: u64 = 1 << 6;

    /// How the symbol is bound.
    pub fn linkage(self) -> Linkage {
        Linkage::from_summary(self.0)
    }

    /// Whether dead stripping kept it.
    pub fn is_live(self) -> bool {
        self.0 & Self::LIVE != 0
    }

    /// Whether it is certain to be resolved within what is linked.
    pub fn is_dso_local(self) -> bool {
        self.0 & Self::DSO_LOCAL != 0
    }
}

/// One summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Whose it is.
    pub guid: u64,
    /// What that is.
    pub of: SummaryOf,
    /// The module it is in, by the index's number.
    pub module: u64,
    /// Its flags.
    pub flags: SummaryFlags,
}

/// Which records are summaries; all begin with [valueid, modid, flags].
const SUMMARIES: [(u64, SummaryOf); 4] = [
    (ids::FS_COMBINED, SummaryOf::Function),
    (ids::FS_COMBINED_PROFILE, SummaryOf::Function),
    (ids::FS_COMBINED_GLOBALVAR_INIT_REFS, SummaryOf::Variable),
    (ids::FS_COMBINED_ALIAS, SummaryOf::Alias),
];

/// llvm `ModuleSummaryIndex::getFlags`: the module was not linked, its backend has nothing to do.
const SKIP_MODULE: u64 = 0x2;

impl Index {
    /// Reads an index. A module's own bitcode reads as one too, but has nothing in it that is looked at here.
    pub fn parse(bytes: &[u8]) -> Result<Self, BitcodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut budget = Budget::of(bytes);
        let items = items_of(Block::stream(unwrap(bytes)?), 0, &mut budget)?;
        Ok(Self { items })
    }

    /// The index as a file again: same blocks, same records, same order. Only the packing differs.
    pub fn write(&self) -> Vec<u8> {
        if self.items.is_empty() {
            return Vec::new();
        }
        let mut writer = Writer::new(RAW_MAGIC);
        write_items(&self.items, &mut writer);
        writer.finish()
    }

    /// Whether no module is named: lld writes such an index, or no bytes at all, for what has no summary in the link.
    pub fn is_empty(&self) -> bool {
        self.module_records().next().is_none()
    }

    /// Whether the module was not linked (an archive member nobody asked for).
    pub fn is_skipped(&self) -> bool {
        self.summary_records().any(|record| {
            record.code == ids::FS_FLAGS && record.operands.first().is_some_and(|flags| flags & SKIP_MODULE != 0)
        })
    }

    /// The modules the index names, sorted by path as lld leaves them.
    pub fn modules(&self) -> Vec<IndexModule> {
        let mut modules: Vec<IndexModule> = Vec::new();
        for record in self.module_records() {
            match (record.code, record.operands.as_slice()) {
                (ids::MST_ENTRY, [id, path @ ..]) => {
                    modules.push(IndexModule {
                        id: *id,
                        path: bytes_of(path),
                        hash: [0; 5],
                    });
                }
                (ids::MST_HASH, words) => {
                    if let Some(module) = modules.last_mut() {
                        for (to, &from) in module.hash.iter_mut().zip(words) {
                            *to = from as u32;
                        }
                    }
                }
                _ => {}
            }
        }
        modules
    }

    /// Every summary in the index, in its order: the own module's definitions and everything imported.
    pub fn summaries(&self) -> Vec<Summary> {
        let guids = self.guids();
        self.summary_records()
            .filter_map(|record| {
                let &(_, of) = SUMMARIES.iter().find(|(code, _)| *code == record.code)?;
                let [value, module, flags, ..] = record.operands.as_slice() else {
                    return None;
                };
                Some(Summary {
                    guid: *guids.get(value)?,
                    of,
                    module: *module,
                    flags: SummaryFlags(*flags),
                })
            })
            .collect()
    }

    /// The summaries claimed to be in one module. For the index's own module these are all of its definitions.
    pub fn definitions_of(&self, path: &[u8]) -> Vec<Summary> {
        let module = self.modules().into_iter().find(|module| module.path == path);
        let mut summaries = self.summaries();
        summaries.retain(|summary| module.as_ref().is_some_and(|module| module.id == summary.module));
        summaries
    }

    /// What has a summary in each module, by the index's number of it: of another module than its own, what is imported.
    pub fn by_module(&self) -> HashMap<u64, Vec<u64>> {
        let mut by_module: HashMap<u64, Vec<u64>> = HashMap::new();
        for summary in self.summaries() {
            by_module.entry(summary.module).or_default().push(summary.guid);
        }
        by_module
    }

    /// Every GUID that has a summary, in whichever module.
    pub fn summarized(&self) -> HashSet<u64> {
        self.summaries().into_iter().map(|summary| summary.guid).collect()
    }

    /// Gives each module the path that `rename` makes of its old one.
    ///
    /// The backend imports in the order of the paths, so new paths must sort as the old ones did for the same code to come out.
    pub fn rename_modules(&mut self, mut rename: impl FnMut(&[u8]) -> Vec<u8>) {
        visit_records(&mut self.items, None, &mut |block, record| {
            if block == Some(ids::MODULE_STRTAB_BLOCK)
                && record.code == ids::MST_ENTRY
                && let [_, path @ ..] = record.operands.as_slice()
            {
                let path = rename(&bytes_of(path));
                record.operands.truncate(1);
                record.operands.extend(path.into_iter().map(u64::from));
            }
        });
    }

    /// Gives each module whose new hash `hash` knows that one. A module without a hash keeps having none.
    pub fn set_hashes(&mut self, mut hash: impl FnMut(&[u8]) -> Option<[u32; 5]>) {
        let mut known = None;
        visit_records(
            &mut self.items,
            None,
            &mut |block, record| match (block, record.code, record.operands.as_slice()) {
                (Some(ids::MODULE_STRTAB_BLOCK), ids::MST_ENTRY, [_, path @ ..]) => known = hash(&bytes_of(path)),
                (Some(ids::MODULE_STRTAB_BLOCK), ids::MST_HASH, _) => {
                    if let Some(hash) = known.take() {
                        record.operands = hash.into_iter().map(u64::from).collect();
                    }
                }
                _ => {}
            },
        );
    }

    /// From value ids to GUIDs. Summary version 12 splits a GUID into two halves, the upper first.
    pub(super) fn guids(&self) -> HashMap<u64, u64> {
        self.summary_records()
            .filter(|record| record.code == ids::FS_VALUE_GUID)
            .filter_map(|record| match *record.operands.as_slice() {
                [value, guid] => Some((value, guid)),
                [value, upper, lower] => Some((value, (upper << 32) | (lower & 0xffff_ffff))),
                _ => None,
            })
            .collect()
    }

    pub(super) fn summary_records(&self) -> impl Iterator<Item = &OwnedRecord> {
        self.records_of(ids::GLOBALVAL_SUMMARY_BLOCK)
    }

    fn module_records(&self) -> impl Iterator<Item = &OwnedRecord> {
        self.records_of(ids::MODULE_STRTAB_BLOCK)
    }

    /// The records of the blocks `wanted` within the module blocks.
    fn records_of(&self, wanted: u64) -> impl Iterator<Item = &OwnedRecord> {
        self.items
            .iter()
            .filter_map(|item| item.block(ids::MODULE_BLOCK))
            .flatten()
            .filter_map(move |item| item.block(wanted))
            .flatten()
            .filter_map(|item| match item {
                Item::Record(record) => Some(record),
                Item::Block { .. } => None,
            })
    }
}

impl Item {
    /// The items of this block, if it is one of that id.
    fn block(&self, wanted: u64) -> Option<&Vec<Item>> {
        match self {
            Self::Block { id, items } if *id == wanted => Some(items),
            _ => None,
        }
    }
}

fn items_of(mut block: Block<'_>, depth: u32, budget: &mut Budget) -> Result<Vec<Item>, BitcodeError> {
    if depth > MAX_DEPTH {
        return Err(BitcodeError::Malformed("blocks are nested too deep for an index"));
    }
    let mut items = Vec::new();
    let mut record = Record::default();
    let mut has_blob = false;
    while let Some(entry) = block.next(&mut record)? {
        if let Entry::Record = entry {
            // LLVM writes neither, and neither could be written again here.
            if depth == 0 {
                return Err(BitcodeError::Malformed("a record stands outside of any block"));
            }
            if record.blob.is_some() && std::mem::replace(&mut has_blob, true) {
                return Err(BitcodeError::Malformed("a block has two blobs"));
            }
        }
        budget.spend(&record)?;
        items.push(match entry {
            Entry::Record => Item::Record(OwnedRecord {
                code: record.code,
                operands: std::mem::take(&mut record.operands),
                blob: record.blob.map(<[u8]>::to_vec),
            }),
            Entry::Block(child) => {
                let Some(id) = child.id() else { continue };
                Item::Block {
                    id,
                    items: items_of(child, depth + 1, budget)?,
                }
            }
        });
    }
    Ok(items)
}

fn write_items(items: &[Item], writer: &mut Writer) {
    for item in items {
        match item {
            Item::Block { id, items } => {
                writer.enter(*id);
                write_items(items, writer);
                writer.leave();
            }
            Item::Record(OwnedRecord {
                code,
                operands,
                blob: None,
            }) => writer.record(*code, operands),
            Item::Record(OwnedRecord {
                code,
                operands,
                blob: Some(blob),
            }) => writer.blob(*code, operands, blob),
        }
    }
}

fn visit_records(items: &mut [Item], block: Option<u64>, visit: &mut impl FnMut(Option<u64>, &mut OwnedRecord)) {
    for item in items {
        match item {
            Item::Block { id, items } => visit_records(items, Some(*id), visit),
            Item::Record(record) => visit(block, record),
        }
    }
}

#[cfg(test)]
mod tests;
