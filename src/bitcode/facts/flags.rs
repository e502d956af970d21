//! A module's flags (`!llvm.module.flags`), dug out of its metadata and constants without reading the rest of either.
//! Knows nothing of what any flag means.

use std::collections::HashMap;

use crate::bitcode::bits::Vbr6;
use crate::bitcode::bitstream::{Block, Entry, Record};
use crate::bitcode::{BitcodeError, ids};

/// The integers among a module's constants, by value id.
#[derive(Debug, Default)]
pub struct Constants {
    next: u64,
    integers: HashMap<u64, u64>,
}

impl Constants {
    /// Counts one global: their records take the first value ids.
    pub fn skip_global(&mut self) {
        self.next += 1;
    }

    /// Reads a module-level CONSTANTS block: every record but SETTYPE is one value.
    pub fn read(&mut self, mut block: Block<'_>) -> Result<(), BitcodeError> {
        let mut record = Record::default();
        while let Some(entry) = block.next(&mut record)? {
            let Entry::Record = entry else { continue };
            match record.code {
                ids::CST_SETTYPE => continue,
                ids::CST_NULL => {
                    self.integers.insert(self.next, 0);
                }
                // The sign is in the lowest bit; no flag is negative.
                ids::CST_INTEGER => {
                    self.integers.insert(self.next, record.operand(0)? >> 1);
                }
                _ => {}
            }
            self.next += 1;
        }
        Ok(())
    }
}

/// A module's METADATA block, of which only the module flags are ever looked at.
#[derive(Debug)]
pub struct Metadata<'a> {
    block: Block<'a>,
    strings: Strings<'a>,
    nodes: Nodes,
    /// Ids of the operands of `!llvm.module.flags`.
    flags: Vec<u64>,
}

/// Where the metadata that is no string is found, by id less the number of strings.
#[derive(Debug)]
enum Nodes {
    /// Bit positions in the block: the writer left an index, as it does for more than a few nodes.
    Indexed(Vec<u64>),
    /// Code and operands, all kept.
    Kept(Vec<(u64, Vec<u64>)>),
}

const FLAGS_NAME: &[u8] = b"llvm.module.flags";

/// More flags than any module has: their keys are unique, and LLVM knows a few dozen. Bounds the work a hostile file can ask for.
const MOST_FLAGS: usize = 1024;

impl<'a> Metadata<'a> {
    /// Reads the block up to its end, jumping over the nodes where it has an index (llvm `lazyLoadModuleMetadataBlock`).
    pub fn read(mut block: Block<'a>) -> Result<Self, BitcodeError> {
        let mut record = Record::default();
        let mut strings = Strings::default();
        let mut nodes = Nodes::Kept(Vec::new());
        let mut flags = Vec::new();
        let mut name = Vec::new();
        while let Some(entry) = block.next(&mut record)? {
            let Entry::Record = entry else { continue };
            match record.code {
                ids::METADATA_STRINGS => strings = Strings::new(&record)?,
                ids::METADATA_INDEX_OFFSET => {
                    let begin = block.position();
                    let offset = record.operand(0)? | record.operand(1)?.checked_shl(32).unwrap_or(0);
                    block.seek(begin.saturating_add(offset))?;
                    let Some(Entry::Record) = block.next(&mut record)? else {
                        return Err(BitcodeError::Malformed(
                            "the metadata's index is not where it should be",
                        ));
                    };
                    if record.code != ids::METADATA_INDEX {
                        return Err(BitcodeError::Malformed(
                            "the metadata's index is not where it should be",
                        ));
                    }
                    let positions = record.operands.iter().scan(begin, |position, &step| {
                        *position = position.wrapping_add(step);
                        Some(*position)
                    });
                    nodes = Nodes::Indexed(positions.collect());
                }
                ids::METADATA_NAME => name = record.text(0),
                ids::METADATA_NAMED_NODE => {
                    if name == FLAGS_NAME {
                        flags.clone_from(&record.operands);
                    }
                    name.clear();
                }
                ids::METADATA_KIND | ids::METADATA_GLOBAL_DECL_ATTACHMENT | ids::METADATA_INDEX => {}
                code => {
                    if let Nodes::Kept(kept) = &mut nodes {
                        kept.push((code, record.operands.clone()));
                    }
                }
            }
        }
        Ok(Self {
            block,
            strings,
            nodes,
            flags,
        })
    }

    /// The module flags whose value is an integer: key and value. A flag is a node of behavior, key and value.
    pub fn module_flags(&mut self, constants: &Constants) -> Result<Vec<(Vec<u8>, u32)>, BitcodeError> {
        let mut found = Vec::new();
        if self.flags.len() > MOST_FLAGS {
            return Err(BitcodeError::Malformed("too many module flags"));
        }
        for id in std::mem::take(&mut self.flags) {
            let Some((ids::METADATA_NODE, operands)) = self.node(id)? else {
                continue;
            };
            // A node's operands are ids plus one; 0 is null.
            let [_, key, value] = operands.as_slice() else {
                continue;
            };
            let (Some(key), Some(value)) = (key.checked_sub(1), value.checked_sub(1)) else {
                continue;
            };
            let Some((ids::METADATA_VALUE, constant)) = self.node(value)? else {
                continue;
            };
            let integer = constant.get(1).and_then(|id| constants.integers.get(id));
            if let (Some(key), Some(integer)) = (self.strings.get(key)?, integer)
                && let Ok(integer) = u32::try_from(*integer)
            {
                found.push((key.to_vec(), integer));
            }
        }
        Ok(found)
    }

    fn node(&mut self, id: u64) -> Result<Option<(u64, Vec<u64>)>, BitcodeError> {
        let Some(index) = id
            .checked_sub(self.strings.count)
            .and_then(|index| usize::try_from(index).ok())
        else {
            return Ok(None);
        };
        match &self.nodes {
            Nodes::Kept(kept) => Ok(kept.get(index).cloned()),
            Nodes::Indexed(positions) => {
                let Some(&position) = positions.get(index) else {
                    return Ok(None);
                };
                self.block.seek(position)?;
                let mut record = Record::default();
                match self.block.next(&mut record)? {
                    Some(Entry::Record) => Ok(Some((record.code, record.operands))),
                    _ => Ok(None),
                }
            }
        }
    }
}

/// METADATA_STRINGS: [count, offset of the text], blob of lengths (VBR6) and text. Lengths are read only as far as asked for.
#[derive(Debug, Default)]
struct Strings<'a> {
    count: u64,
    lengths: Option<Vbr6<'a>>,
    /// Where the strings begin in the text, as far as the lengths have been read.
    starts: Vec<usize>,
    text: &'a [u8],
}

impl<'a> Strings<'a> {
    fn new(record: &Record<'a>) -> Result<Self, BitcodeError> {
        let offset = usize::try_from(record.operand(1)?).map_err(|_| BitcodeError::Truncated)?;
        let (lengths, text) = record
            .blob
            .and_then(|blob| blob.split_at_checked(offset))
            .ok_or(BitcodeError::Malformed("metadata strings have no text"))?;
        Ok(Self {
            count: record.operand(0)?,
            lengths: Some(Vbr6::new(lengths)),
            starts: vec![0],
            text,
        })
    }

    fn get(&mut self, id: u64) -> Result<Option<&'a [u8]>, BitcodeError> {
        let (Some(lengths), Ok(index)) = (&mut self.lengths, usize::try_from(id)) else {
            return Ok(None);
        };
        if id >= self.count {
            return Ok(None);
        }
        while self.starts.len() <= index.saturating_add(1) {
            let last = self.starts.last().copied().unwrap_or_default();
            let length = usize::try_from(lengths.read()?).map_err(|_| BitcodeError::Truncated)?;
            self.starts
                .push(last.checked_add(length).ok_or(BitcodeError::Truncated)?);
        }
        let bounds = self.starts.get(index).zip(self.starts.get(index + 1));
        let text = bounds
            .and_then(|(&start, &end)| self.text.get(start..end))
            .ok_or(BitcodeError::Truncated)?;
        Ok(Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_by_id_and_bounded() {
        // Lengths 1 and 2 in VBR6, then the text.
        let blob = [0b1000_0001, 0, 0, 0, b'a', b'b', b'c'];
        let record = Record {
            code: ids::METADATA_STRINGS,
            operands: vec![2, 4],
            blob: Some(&blob),
        };
        let mut strings = Strings::new(&record).unwrap();
        assert_eq!(strings.get(0).unwrap(), Some(b"a".as_slice()));
        assert_eq!(strings.get(1).unwrap(), Some(b"bc".as_slice()));
        assert_eq!(strings.get(2).unwrap(), None);
    }
}
