//! Bits in a run of bytes: fixed-width and variable-width integers, lowest bit first.
//! Knows nothing of blocks and records.

use super::BitcodeError;

type Result<T> = std::result::Result<T, BitcodeError>;

/// A place in a run of bytes, in bits.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    bit: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, bit: 0 }
    }

    /// All of them, read or not.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bits from the beginning to here.
    pub(super) fn position(&self) -> usize {
        self.bit
    }

    /// Goes to that bit, unless it lies outside.
    pub(super) fn seek(&mut self, bit: u64) -> Result<()> {
        let inside = usize::try_from(bit).ok().filter(|&bit| bit <= self.bytes.len() * 8);
        self.bit = inside.ok_or(BitcodeError::Truncated)?;
        Ok(())
    }

    /// Bits from here to the end.
    pub(super) fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.bit)
    }

    /// Reads `width` bits, 0 to 64, lowest first.
    #[inline]
    pub(super) fn read(&mut self, width: u32) -> Result<u64> {
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
    #[inline]
    pub(super) fn vbr(&mut self, width: u32) -> Result<u64> {
        let more = 1u64 << (width - 1);
        // Most are small.
        let first = self.read(width)?;
        match first & more {
            0 => Ok(first),
            _ => self.vbr_after(first & (more - 1), width),
        }
    }

    /// The rest of one whose first chunk said that there is more.
    fn vbr_after(&mut self, first: u64, width: u32) -> Result<u64> {
        let more = 1u64 << (width - 1);
        let mut value = first;
        let mut shift = width - 1;
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

    /// Goes on to the next multiple of 32 bits.
    pub(super) fn align32(&mut self) -> Result<()> {
        let aligned = self.bit.next_multiple_of(32);
        if aligned > self.bytes.len() * 8 {
            return Err(BitcodeError::Truncated);
        }
        self.bit = aligned;
        Ok(())
    }

    /// Takes `length` bytes from an aligned place.
    pub(super) fn take(&mut self, length: u64) -> Result<&'a [u8]> {
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
        Self(Cursor::new(bytes))
    }

    /// The next integer; an error at the end.
    pub fn read(&mut self) -> Result<u64> {
        self.0.vbr(6)
    }
}
