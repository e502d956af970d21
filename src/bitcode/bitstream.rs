//! The bitstream container: blocks, records and the abbreviations that pack them.
//! Knows nothing of what a block or record means, and trusts no length or count it reads.
//!
//! This is our own reader because the input may be hostile or cut short: every read is bounds-checked, nothing recurses on
//! input, and memory stays proportional to the file. Modules of one file also bring their own BLOCKINFO, each replacing the one
//! before it (llvm `BitstreamCursor::setBlockInfo`), which a reader that accumulates them would misread in split LTO units.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::BitcodeError;
use super::bits::Cursor;

/// The widest record abbreviation accepted, in operands. LLVM's own stay under 50; without a limit a small hostile file could
/// define one of thousands of literals and repeat it at no cost.
const MAX_ABBREVIATION: u64 = 256;

const BLOCKINFO: u64 = 0;
const BLOCKINFO_SETBID: u64 = 1;

const END_BLOCK: u64 = 0;
const ENTER_SUBBLOCK: u64 = 1;
const DEFINE_ABBREV: u64 = 2;
const UNABBREV_RECORD: u64 = 3;

type Result<T> = std::result::Result<T, BitcodeError>;

#[derive(Debug, Clone, Copy)]
enum Scalar {
    Literal(u64),
    Fixed(u32),
    Vbr(u32),
    Char6,
}

#[derive(Debug, Clone, Copy)]
enum Tail {
    None,
    Array(Scalar),
    Blob,
}

#[derive(Debug)]
struct Abbreviation {
    scalars: Vec<Scalar>,
    tail: Tail,
}

type Abbreviations = Vec<Rc<Abbreviation>>;

/// Abbreviations for blocks by id.
type BlockInfo = HashMap<u64, Abbreviations>;

/// One record, in a buffer that is used again for the next.
#[derive(Debug, Default)]
pub struct Record<'a> {
    /// The record's code, which means something only together with its block's id.
    pub code: u64,
    /// Its operands.
    pub operands: Vec<u64>,
    /// The bytes after them, in the few records that have any.
    pub blob: Option<&'a [u8]>,
}

impl Record<'_> {
    /// Operand `index`, or an error saying the record is short.
    pub fn operand(&self, index: usize) -> Result<u64> {
        self.operands
            .get(index)
            .copied()
            .ok_or(BitcodeError::Malformed("a record is too short"))
    }

    /// The operands from `start` on as bytes.
    pub fn text(&self, start: usize) -> Vec<u8> {
        bytes_of(self.operands.get(start..).unwrap_or_default())
    }
}

/// Operands as the bytes they stand for: the lowest eight bits of each, since LLVM's writers sign-extend some characters.
pub fn bytes_of(operands: &[u64]) -> Vec<u8> {
    operands.iter().map(|&operand| operand as u8).collect()
}

/// How many operands may be kept of a run of bytes: one for each bit. Abbreviations full of literals could otherwise make
/// much of a small file.
#[derive(Debug)]
pub struct Budget(usize);

impl Budget {
    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.len().saturating_mul(8))
    }

    /// Takes account of a record that is kept.
    pub fn spend(&mut self, record: &Record<'_>) -> Result<()> {
        let left = self.0.checked_sub(record.operands.len());
        self.0 = left.ok_or(BitcodeError::Malformed("more operands than there are bits"))?;
        Ok(())
    }
}

/// What comes next in a block.
#[derive(Debug)]
pub enum Entry<'a> {
    /// A block inside it: read it, or drop it unread, the outer block is past it already.
    Block(Block<'a>),
    /// A record, now in the buffer that was passed.
    Record,
}

/// A block being read, or the file itself, which is a block without an end mark.
#[derive(Debug)]
pub struct Block<'a> {
    id: Option<u64>,
    cursor: Cursor<'a>,
    width: u32,
    abbreviations: Abbreviations,
    /// What the enclosing BLOCKINFO says of every block id; children start from it.
    info: Rc<BlockInfo>,
    info_bytes: &'a [u8],
}

impl<'a> Block<'a> {
    /// The whole stream, without its magic.
    pub fn stream(bytes: &'a [u8]) -> Self {
        Self {
            id: None,
            cursor: Cursor::new(bytes),
            width: 2,
            abbreviations: Vec::new(),
            info: Rc::default(),
            info_bytes: &[],
        }
    }

    /// The block's id; none is the file itself.
    pub fn id(&self) -> Option<u64> {
        self.id
    }

    /// Its content as it is packed, whatever has been read of it.
    pub fn bytes(&self) -> &'a [u8] {
        self.cursor.bytes()
    }

    /// How many bits say which abbreviation comes next.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The BLOCKINFO read in this block so far: how the blocks in it are packed.
    pub fn block_info_bytes(&self) -> &'a [u8] {
        self.info_bytes
    }

    /// How many bits of this block have been read.
    pub fn position(&self) -> u64 {
        self.cursor.position() as u64
    }

    /// Goes to the bit `position` gave once, or to a later one: METADATA's index is followed so.
    pub fn seek(&mut self, position: u64) -> Result<()> {
        self.cursor.seek(position)
    }

    /// The next block or record, none at the end. Errors are for good: the place after one means nothing.
    pub fn next(&mut self, record: &mut Record<'a>) -> Result<Option<Entry<'a>>> {
        loop {
            // lld's reader too stops where no further block can begin (llvm getBitcodeFileContents): archivers pad members.
            if self.id.is_none() && self.cursor.left() < 64 {
                return Ok(None);
            }
            match self.cursor.read(self.width)? {
                END_BLOCK if self.id.is_none() => {
                    return Err(BitcodeError::Malformed("a block ends outside of any"));
                }
                END_BLOCK => return Ok(None),
                ENTER_SUBBLOCK => {
                    let child = self.enter()?;
                    if child.id == Some(BLOCKINFO) {
                        self.info_bytes = child.bytes();
                        self.info = last_block_info(child)?;
                    } else {
                        return Ok(Some(Entry::Block(child)));
                    }
                }
                DEFINE_ABBREV => {
                    let abbreviation = define(&mut self.cursor)?;
                    self.abbreviations.push(Rc::new(abbreviation));
                }
                UNABBREV_RECORD => {
                    self.unabbreviated(record)?;
                    return Ok(Some(Entry::Record));
                }
                id => {
                    self.abbreviated(id, record)?;
                    return Ok(Some(Entry::Record));
                }
            }
        }
    }

    fn enter(&mut self) -> Result<Block<'a>> {
        let id = self.cursor.vbr(8)?;
        let width = self.cursor.vbr(4)?;
        self.cursor.align32()?;
        let words = self.cursor.read(32)?;
        let bytes = self.cursor.take(words * 4)?;
        let width = u32::try_from(width)
            .ok()
            .filter(|width| (2..=32).contains(width))
            .ok_or(BitcodeError::Malformed("a block's abbreviation width is out of range"))?;
        // A top-level block has a BLOCKINFO of its own, if any.
        let info = if self.id.is_some() {
            Rc::clone(&self.info)
        } else {
            Rc::default()
        };
        let abbreviations = info.get(&id).cloned().unwrap_or_default();
        Ok(Block {
            id: Some(id),
            cursor: Cursor::new(bytes),
            width,
            abbreviations,
            info,
            info_bytes: &[],
        })
    }

    /// Reads this block, a BLOCKINFO, to its end: abbreviations for blocks by id.
    fn block_info(mut self) -> Result<BlockInfo> {
        let mut info = BlockInfo::new();
        let mut current = None;
        let mut record = Record::default();
        loop {
            match self.cursor.read(self.width)? {
                END_BLOCK => return Ok(info),
                ENTER_SUBBLOCK => {
                    return Err(BitcodeError::Malformed("BLOCKINFO has a block in it"));
                }
                DEFINE_ABBREV => {
                    let abbreviation = define(&mut self.cursor)?;
                    let id = current.ok_or(BitcodeError::Malformed("BLOCKINFO does not say for which block"))?;
                    info.entry(id).or_default().push(Rc::new(abbreviation));
                }
                UNABBREV_RECORD => {
                    self.unabbreviated(&mut record)?;
                    if record.code == BLOCKINFO_SETBID {
                        current = Some(record.operand(0)?);
                    }
                }
                _ => {
                    return Err(BitcodeError::Malformed("BLOCKINFO has an abbreviated record"));
                }
            }
        }
    }

    fn unabbreviated(&mut self, record: &mut Record<'a>) -> Result<()> {
        record.operands.clear();
        record.blob = None;
        record.code = self.cursor.vbr(6)?;
        let count = self.cursor.vbr(6)?;
        self.fits(count, 6)?;
        for _ in 0..count {
            record.operands.push(self.cursor.vbr(6)?);
        }
        Ok(())
    }

    fn abbreviated(&mut self, id: u64, record: &mut Record<'a>) -> Result<()> {
        record.operands.clear();
        record.blob = None;
        let abbreviation = usize::try_from(id - 4)
            .ok()
            .and_then(|index| self.abbreviations.get(index))
            .map(Rc::clone)
            .ok_or(BitcodeError::Malformed(
                "a record has an abbreviation that was never defined",
            ))?;
        let (code, scalars) = abbreviation
            .scalars
            .split_first()
            .ok_or(BitcodeError::Malformed("an abbreviation has no code"))?;
        record.code = self.scalar(*code)?;
        for &scalar in scalars {
            let operand = self.scalar(scalar)?;
            record.operands.push(operand);
        }
        match abbreviation.tail {
            Tail::None => {}
            Tail::Array(element) => {
                let count = self.cursor.vbr(6)?;
                self.fits(count, 1)?;
                for _ in 0..count {
                    let operand = self.scalar(element)?;
                    record.operands.push(operand);
                }
            }
            Tail::Blob => {
                let length = self.cursor.vbr(6)?;
                self.cursor.align32()?;
                record.blob = Some(self.cursor.take(length)?);
                self.cursor.align32()?;
            }
        }
        Ok(())
    }

    fn fits(&self, count: u64, bits_each: u64) -> Result<()> {
        match count.checked_mul(bits_each) {
            Some(bits) if bits <= self.cursor.left() as u64 => Ok(()),
            _ => Err(BitcodeError::Truncated),
        }
    }

    fn scalar(&mut self, scalar: Scalar) -> Result<u64> {
        const CHAR6: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";
        match scalar {
            Scalar::Literal(value) => Ok(value),
            Scalar::Fixed(width) => self.cursor.read(width),
            Scalar::Vbr(width) => self.cursor.vbr(width),
            Scalar::Char6 => {
                let index = self.cursor.read(6)?;
                Ok(CHAR6.get(index as usize).copied().unwrap_or_default().into())
            }
        }
    }
}

thread_local! {
    /// The BLOCKINFO read last, and what was in it.
    static LAST_BLOCK_INFO: RefCell<(Vec<u8>, u32, Rc<BlockInfo>)> = RefCell::default();
}

/// What is in a BLOCKINFO. A module is read more than once, and those of one compiler often begin with the same one.
fn last_block_info(block: Block<'_>) -> Result<Rc<BlockInfo>> {
    let (bytes, width) = (block.bytes(), block.width);
    LAST_BLOCK_INFO.with_borrow_mut(|last| {
        if (&*last.0, last.1) != (bytes, width) {
            *last = (bytes.to_vec(), width, Rc::new(block.block_info()?));
        }
        Ok(Rc::clone(&last.2))
    })
}

/// What the abbreviation's operands can be: llvm `BitCodeAbbrevOp`.
enum Operand {
    Scalar(Scalar),
    Array,
    Blob,
}

fn define(cursor: &mut Cursor<'_>) -> Result<Abbreviation> {
    let count = cursor.vbr(5)?;
    if count > MAX_ABBREVIATION {
        return Err(BitcodeError::Malformed("an abbreviation has too many operands"));
    }
    let mut abbreviation = Abbreviation {
        scalars: Vec::new(),
        tail: Tail::None,
    };
    let mut left = count;
    while left > 0 {
        left -= 1;
        match (define_operand(cursor)?, left) {
            (Operand::Scalar(scalar), _) => abbreviation.scalars.push(scalar),
            (Operand::Blob, 0) => abbreviation.tail = Tail::Blob,
            (Operand::Array, 1) => {
                left = 0;
                abbreviation.tail = match define_operand(cursor)? {
                    Operand::Scalar(Scalar::Literal(_)) | Operand::Array | Operand::Blob => {
                        return Err(BitcodeError::Malformed(
                            "an abbreviation's array has elements that are no scalars",
                        ));
                    }
                    Operand::Scalar(element) => Tail::Array(element),
                };
            }
            _ => {
                return Err(BitcodeError::Malformed(
                    "an abbreviation goes on after its array or blob",
                ));
            }
        }
    }
    Ok(abbreviation)
}

fn define_operand(cursor: &mut Cursor<'_>) -> Result<Operand> {
    if cursor.read(1)? == 1 {
        return Ok(Operand::Scalar(Scalar::Literal(cursor.vbr(8)?)));
    }
    let encoding = cursor.read(3)?;
    let limit = match encoding {
        1 => 64,
        2 => 32,
        3 => return Ok(Operand::Array),
        4 => return Ok(Operand::Scalar(Scalar::Char6)),
        5 => return Ok(Operand::Blob),
        _ => {
            return Err(BitcodeError::Malformed("an abbreviation has an unknown encoding"));
        }
    };
    let width = cursor.vbr(5)?;
    // LLVM writes a width of 0 for operands that are always 0, and reads it as that literal.
    if width == 0 {
        return Ok(Operand::Scalar(Scalar::Literal(0)));
    }
    let width = u32::try_from(width)
        .ok()
        .filter(|&width| width <= limit)
        .ok_or(BitcodeError::Malformed("an abbreviation's operand is too wide"))?;
    Ok(Operand::Scalar(match (encoding, width) {
        (1, width) => Scalar::Fixed(width),
        // One bit a chunk leaves no room for a value: only the continuation bit, and an endless zero.
        (_, 1) => {
            return Err(BitcodeError::Malformed("an abbreviation's operand is too narrow"));
        }
        (_, width) => Scalar::Vbr(width),
    }))
}
