//! The metadata of a module or of one function as a graph: strings, constants, and the tuples made of them.
//! Knows nothing of what a node is for; where a block has anything else in it, it says that it was not understood.

use std::collections::HashSet;

use super::bitstream::{Block, Budget, Entry, Record};
use super::{BitcodeError, ids};

/// One piece of metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    String,
    /// A value, by its number.
    Value(u64),
    /// Operands by number, none for a null. What it is, is what it holds.
    Tuple(Vec<Option<u64>>),
    /// The same, but with an identity of its own.
    Distinct(Vec<Option<u64>>),
}

/// Metadata by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    /// Those that are referred to by name, or by a global.
    pub(super) roots: Vec<u64>,
    /// There was something in it that is none of the above, which numbers what comes after it.
    pub(super) not_understood: bool,
    /// There is debug information, and what follows it was not read.
    pub(super) debug_info: bool,
}

impl Nodes {
    /// Adds what is in a METADATA block (llvm MetadataLoader.cpp `parseMetadata`, `parseOneMetadata`).
    pub(super) fn read(&mut self, mut block: Block<'_>) -> Result<(), BitcodeError> {
        let mut record = Record::default();
        let mut budget = Budget::of(block.bytes());
        while let Some(entry) = block.next(&mut record)? {
            let Entry::Record = entry else {
                self.not_understood = true;
                continue;
            };
            budget.spend(&record)?;
            // Operands are numbered from 1.
            let operands = || record.operands.iter().map(|number| number.checked_sub(1)).collect();
            match record.code {
                // count, where the characters begin
                ids::METADATA_STRINGS => {
                    let count = record.operand(0)?;
                    let bytes = record.blob.unwrap_or_default().len() as u64;
                    // Each has a length of six bits or more.
                    if count > bytes.saturating_mul(8) / 6 {
                        return Err(BitcodeError::Truncated);
                    }
                    self.nodes.extend((0..count).map(|_| Node::String));
                }
                // type, value
                ids::METADATA_VALUE => self.nodes.push(Node::Value(record.operand(1)?)),
                ids::METADATA_NODE => self.nodes.push(Node::Tuple(operands())),
                ids::METADATA_DISTINCT_NODE => self.nodes.push(Node::Distinct(operands())),
                ids::METADATA_NAMED_NODE => self.roots.extend_from_slice(&record.operands),
                // the global, then kinds and nodes
                ids::METADATA_GLOBAL_DECL_ATTACHMENT => {
                    self.roots.extend(record.operands.iter().skip(2).step_by(2));
                }
                ids::METADATA_NAME | ids::METADATA_KIND | ids::METADATA_INDEX_OFFSET | ids::METADATA_INDEX => {}
                // It names lines, so that hardly an edit leaves it as it is.
                ids::METADATA_COMPILE_UNIT => {
                    (self.not_understood, self.debug_info) = (true, true);
                    return Ok(());
                }
                _ => self.not_understood = true,
            }
        }
        Ok(())
    }

    /// Every value among them.
    pub(super) fn values(&self) -> impl Iterator<Item = u64> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Value(value) => Some(*value),
            _ => None,
        })
    }
}

/// A function's metadata, which is numbered on from its module's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'n> {
    pub(super) module: &'n Nodes,
    pub(super) local: &'n Nodes,
}

impl<'n> Scope<'n> {
    fn get(self, number: u64) -> Option<&'n Node> {
        let number = usize::try_from(number).ok()?;
        let all = &self.module.nodes;
        match number.checked_sub(all.len()) {
            None => all.get(number),
            Some(local) => self.local.nodes.get(local),
        }
    }

    /// The values that a tuple of nothing but values and nulls is made of; none where it is anything else.
    pub(super) fn values_of_tuple(self, number: u64) -> Option<Vec<u64>> {
        let Node::Tuple(operands) = self.get(number)? else {
            return None;
        };
        let values = operands.iter().flatten().map(|operand| match self.get(*operand)? {
            Node::Value(value) => Some(*value),
            _ => None,
        });
        values.collect()
    }

    /// Every value reached from these; none where one of them is not there.
    pub(super) fn values_reached(self, roots: impl IntoIterator<Item = u64>) -> Option<Vec<u64>> {
        let mut waiting: Vec<u64> = roots.into_iter().collect();
        let (mut seen, mut values) = (HashSet::new(), Vec::new());
        while let Some(number) = waiting.pop() {
            if !seen.insert(number) {
                continue;
            }
            match self.get(number)? {
                Node::String => {}
                Node::Value(value) => values.push(*value),
                Node::Tuple(operands) | Node::Distinct(operands) => waiting.extend(operands.iter().flatten()),
            }
        }
        Some(values)
    }
}
