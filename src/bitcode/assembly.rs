//! The assembly text in a bitcode file, module-level and inline: what may pull in files behind the compiler's back (`.incbin`).
//! Knows nothing of the assembler's language.

use super::bitstream::{Block, Entry, Record, bytes_of};
use super::{BitcodeError, ids, unwrap};

/// Where the text of an inline-asm constant starts: [function type,] flags, size, text, size, constraints
/// (llvm BitcodeReader.cpp `parseConstants`; the type came with code 30).
const INLINE: [(u64, usize); 4] = [
    (ids::CST_INLINEASM_OLD, 1),
    (ids::CST_INLINEASM_OLD2, 1),
    (ids::CST_INLINEASM_OLD3, 1),
    (ids::CST_INLINEASM, 2),
];

/// Every assembly text of every module in the file, in the file's order; bytes that are no UTF-8 are replaced.
/// Instructions are not read: a function's constants stand before them.
pub fn assembly(bytes: &[u8]) -> Result<Vec<String>, BitcodeError> {
    let mut stream = Block::stream(unwrap(bytes)?);
    let mut record = Record::default();
    let mut texts = Vec::new();
    while let Some(entry) = stream.next(&mut record)? {
        if let Entry::Block(block) = entry
            && block.id() == Some(ids::MODULE_BLOCK)
        {
            module(block, &mut texts)?;
        }
    }
    Ok(texts)
}

fn module(mut block: Block<'_>, texts: &mut Vec<String>) -> Result<(), BitcodeError> {
    let mut record = Record::default();
    while let Some(entry) = block.next(&mut record)? {
        match entry {
            Entry::Record if record.code == ids::MODULE_ASM => texts.push(text(&record.operands)),
            Entry::Record => {}
            Entry::Block(child) => match child.id() {
                Some(ids::CONSTANTS_BLOCK) => constants(child, texts)?,
                Some(ids::FUNCTION_BLOCK) => function(child, texts)?,
                _ => {}
            },
        }
    }
    Ok(())
}

/// Reads up to the first instruction; the rest of the block is never looked at.
fn function(mut block: Block<'_>, texts: &mut Vec<String>) -> Result<(), BitcodeError> {
    let mut record = Record::default();
    while let Some(entry) = block.next(&mut record)? {
        match entry {
            Entry::Record if record.code == ids::FUNC_DECLAREBLOCKS => {}
            Entry::Record => break,
            Entry::Block(child) if child.id() == Some(ids::CONSTANTS_BLOCK) => constants(child, texts)?,
            Entry::Block(_) => {}
        }
    }
    Ok(())
}

fn constants(mut block: Block<'_>, texts: &mut Vec<String>) -> Result<(), BitcodeError> {
    let mut record = Record::default();
    while let Some(entry) = block.next(&mut record)? {
        let Entry::Record = entry else { continue };
        if let Some(&(_, size_at)) = INLINE.iter().find(|(code, _)| *code == record.code) {
            let size = usize::try_from(record.operand(size_at)?).map_err(|_| BitcodeError::Truncated)?;
            let operands = record
                .operands
                .get(size_at + 1..)
                .and_then(|rest| rest.get(..size))
                .ok_or(BitcodeError::Malformed("an inline assembly text is too short"))?;
            texts.push(text(operands));
        }
    }
    Ok(())
}

fn text(operands: &[u64]) -> String {
    String::from_utf8_lossy(&bytes_of(operands)).into_owned()
}

#[cfg(test)]
mod tests;
