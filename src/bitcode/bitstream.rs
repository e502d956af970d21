//! The bitstream container: blocks, records and the abbreviations that pack them.
//! Knows nothing of what a block or record means, and trusts no length or count it reads.
//!
//! This is our own reader because the input may be hostile or cut short: every read is bounds-checked, nothing recurses on
//! input, and memory stays proportional to the file. Modules of one file also bring their own BLOCKINFO, each replacing the one
//! before it (llvm `BitstreamCursor::setBlockInfo`), which a reader that accumulates them would misread in split LTO units.

use std::collections::HashMap;
use std::rc::Rc;

use super::BitcodeError;

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

/// A place in a run of bytes, in bits.
#[derive(Debug, Clone)]
struct Cursor<'a> {
    bytes: &'a [u8],
    bit: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.bit)
    }

    /// Reads `width` bits, 0 to 64, lowest first.
    fn read(&mut self, width: u32) -> Result<u64> {
        if width == 0 {
            return Ok(0);
        }
        let shift = (self.bit & 7) as u32;
        let rest = self.bytes.get(self.bit >> 3..).unwrap_or_default();
        let value = match rest.first_chunk::<8>() {
            Some(chunk) if width + shift <= 64 => u64::from_le_bytes(*chunk) >> shift,
            _ => {
                if self.left() < width as usize {
                    return Err(BitcodeError::Truncated);
                }
                let mut wide = [0u8; 16];
                for (to, from) in wide.iter_mut().zip(rest) {
                    *to = *from;
                }
                (u128::from_le_bytes(wide) >> shift) as u64
            }
        };
        self.bit += width as usize;
        Ok(value & (u64::MAX >> (64 - width)))
    }

    /// Reads a variable-width integer in chunks of `width` bits.
    fn vbr(&mut self, width: u32) -> Result<u64> {
        let more = 1u64 << (width - 1);
        let mut value = 0u64;
        let mut shift = 0u32;
        loop {
            let chunk = self.read(width)?;
            let part = chunk & (more - 1);
            if shift >= 64 && part != 0 {
                return Err(BitcodeError::Malformed(
                    "a variable-width integer has more than 64 bits",
                ));
            }
            value |= part.checked_shl(shift).unwrap_or(0);
            if chunk & more == 0 {
                return Ok(value);
            }
            shift = shift.saturating_add(width - 1);
        }
    }

    fn align32(&mut self) -> Result<()> {
        let aligned = self.bit.next_multiple_of(32);
        if aligned > self.bytes.len() * 8 {
            return Err(BitcodeError::Truncated);
        }
        self.bit = aligned;
        Ok(())
    }

    /// Takes `length` bytes from an aligned place.
    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.bit >> 3..).unwrap_or_default();
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length))
            .ok_or(BitcodeError::Truncated)?;
        self.bit += taken.len() * 8;
        Ok(taken)
    }
}

/// A bare run of VBR6 integers: the lengths within METADATA_STRINGS' blob.
#[derive(Debug)]
pub struct Vbr6<'a>(Cursor<'a>);

impl<'a> Vbr6<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Cursor { bytes, bit: 0 })
    }

    /// The next integer; an error at the end.
    pub fn read(&mut self) -> Result<u64> {
        self.0.vbr(6)
    }
}

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
    info: Rc<HashMap<u64, Abbreviations>>,
}

impl<'a> Block<'a> {
    /// The whole stream, without its magic.
    pub fn stream(bytes: &'a [u8]) -> Self {
        Self {
            id: None,
            cursor: Cursor { bytes, bit: 0 },
            width: 2,
            abbreviations: Vec::new(),
            info: Rc::default(),
        }
    }

    /// The block's id; none is the file itself.
    pub fn id(&self) -> Option<u64> {
        self.id
    }

    /// Moves to `bit` counted from the current place, if it is still in the block: METADATA's INDEX_OFFSET is used so.
    pub fn skip_bits(&mut self, bits: u64) -> Result<()> {
        let bits = usize::try_from(bits).map_err(|_| BitcodeError::Truncated)?;
        if bits > self.cursor.left() {
            return Err(BitcodeError::Truncated);
        }
        self.cursor.bit += bits;
        Ok(())
    }

    /// The bits read of this block so far.
    pub fn position(&self) -> u64 {
        self.cursor.bit as u64
    }

    /// Goes to the bit that `position` once gave, or a sum of such.
    pub fn seek(&mut self, position: u64) -> Result<()> {
        self.cursor.bit = 0;
        self.skip_bits(position)
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
                        self.info = Rc::new(child.block_info()?);
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
            .ok_or(BitcodeError::Malformed(
                "a block's abbreviation width is out of range",
            ))?;
        // A top-level block has a BLOCKINFO of its own, if any.
        let info = if self.id.is_some() {
            Rc::clone(&self.info)
        } else {
            Rc::default()
        };
        let abbreviations = info.get(&id).cloned().unwrap_or_default();
        Ok(Block {
            id: Some(id),
            cursor: Cursor { bytes, bit: 0 },
            width,
            abbreviations,
            info,
        })
    }

    /// Reads this block, a BLOCKINFO, to its end: abbreviations for blocks by id.
    fn block_info(mut self) -> Result<HashMap<u64, Abbreviations>> {
        let mut info: HashMap<u64, Abbreviations> = HashMap::new();
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
                    let id = current.ok_or(BitcodeError::Malformed(
                        "BLOCKINFO does not say for which block",
                    ))?;
                    info.entry(id).or_default().push(Rc::new(abbreviation));
                }
                UNABBREV_RECORD => {
                    self.unabbreviated(&mut record)?;
                    if record.code == BLOCKINFO_SETBID {
                        current = Some(record.operand(0)?);
                    }
                }
                _ => {
                    return Err(BitcodeError::Malformed(
                        "BLOCKINFO has an abbreviated record",
                    ));
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
        const CHAR6: &[u8; 64] =
            b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";
        match scalar {
            Scalar::Literal(value) => Ok(value),
            Scalar::Fixed(width) => self.cursor.read(width),
            Scalar::Vbr(width) => self.cursor.vbr(width),
            Scalar::Char6 => {
                let index = self.cursor.read(6)?;
                Ok(CHAR6
                    .get(index as usize)
                    .copied()
                    .unwrap_or_default()
                    .into())
            }
        }
    }
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
        return Err(BitcodeError::Malformed(
            "an abbreviation has too many operands",
        ));
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
            return Err(BitcodeError::Malformed(
                "an abbreviation has an unknown encoding",
            ));
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
        .ok_or(BitcodeError::Malformed(
            "an abbreviation's operand is too wide",
        ))?;
    Ok(Operand::Scalar(match (encoding, width) {
        (1, width) => Scalar::Fixed(width),
        // One bit a chunk leaves no room for a value: only the continuation bit, and an endless zero.
        (_, 1) => {
            return Err(BitcodeError::Malformed(
                "an abbreviation's operand is too narrow",
            ));
        }
        (_, width) => Scalar::Vbr(width),
    }))
}
