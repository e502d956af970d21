//! A CONSTANTS block: the values it numbers, one by one, and which of them can be made of others.
//! Knows nothing of where the constants are used.

use super::bitstream::{Block, Budget, Entry, Record};
use super::{BitcodeError, ids};

/// Constants whose operands are their content. Any other's are taken for values, for most of them are.
const LEAVES: [u64; 14] = [
    ids::CST_NULL,
    ids::CST_UNDEF,
    ids::CST_POISON,
    ids::CST_INTEGER,
    ids::CST_WIDE_INTEGER,
    ids::CST_FLOAT,
    ids::CST_STRING,
    ids::CST_CSTRING,
    ids::CST_DATA,
    ids::CST_BLOCKADDRESS,
    ids::CST_INLINEASM_OLD,
    ids::CST_INLINEASM_OLD2,
    ids::CST_INLINEASM_OLD3,
    ids::CST_INLINEASM,
];

/// What a record of the block is.
pub(super) enum Constant {
    /// The type, by number, of those behind it.
    Type(u64),
    /// A value of this number.
    Value(u64),
}

/// Calls `each` for every record; the number after the last one's, if the first one's is `number` (llvm BitcodeReader.cpp
/// `parseConstants`).
pub(super) fn walk(
    mut block: Block<'_>,
    mut number: u64,
    mut each: impl FnMut(Constant, &mut Record<'_>),
) -> Result<u64, BitcodeError> {
    let mut record = Record::default();
    let mut budget = Budget::of(block.bytes());
    while let Some(entry) = block.next(&mut record)? {
        let Entry::Record = entry else { continue };
        budget.spend(&record)?;
        if record.code == ids::CST_SETTYPE {
            each(Constant::Type(record.operand(0)?), &mut record);
        } else {
            each(Constant::Value(number), &mut record);
            number += 1;
        }
    }
    Ok(number)
}

/// The values that a constant may be made of.
pub(super) fn operands<'r>(record: &'r Record<'_>) -> &'r [u64] {
    match LEAVES.contains(&record.code) {
        true => &[],
        false => &record.operands,
    }
}
