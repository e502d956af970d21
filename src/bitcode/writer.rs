//! Writes bitstreams: blocks with their lengths, unabbreviated records, and blobs.
//! Knows nothing of what a record means, and compresses nothing: what it writes is read once and thrown away.

const END_BLOCK: u64 = 0;
const ENTER_SUBBLOCK: u64 = 1;
const DEFINE_ABBREV: u64 = 2;
const UNABBREV_RECORD: u64 = 3;
/// The one abbreviation a block can define here: a record that is a blob.
const BLOB_ABBREV: u64 = 4;

/// Wide enough for the ids above.
const WIDTH: u32 = 3;
const TOP_WIDTH: u32 = 2;

/// A bitstream being written.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Bits not yet written out: fewer than eight after every call.
    pending: u128,
    bits: u32,
    /// Where each open block's length word stands.
    open: Vec<usize>,
}

impl Writer {
    /// Starts a stream with its magic.
    pub fn new(magic: &[u8]) -> Self {
        Self {
            bytes: magic.to_vec(),
            pending: 0,
            bits: 0,
            open: Vec::new(),
        }
    }

    /// The finished stream; blocks still open are closed.
    pub fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.leave();
        }
        self.bytes
    }

    /// Opens a block.
    pub fn enter(&mut self, id: u64) {
        self.emit(ENTER_SUBBLOCK, self.width());
        self.vbr(id, 8);
        self.vbr(WIDTH.into(), 4);
        self.align32();
        self.open.push(self.bytes.len());
        self.bytes.extend([0; 4]);
    }

    /// Closes the block opened last.
    pub fn leave(&mut self) {
        self.emit(END_BLOCK, WIDTH);
        self.align32();
        let Some(start) = self.open.pop() else { return };
        let words = (self.bytes.len() - start - 4) / 4;
        if let Some(place) = self.bytes.get_mut(start..start + 4) {
            // 16 GiB in a block is where the format itself ends.
            place.copy_from_slice(&u32::try_from(words).unwrap_or(u32::MAX).to_le_bytes());
        }
    }

    /// Writes one record without an abbreviation.
    pub fn record(&mut self, code: u64, operands: &[u64]) {
        self.emit(UNABBREV_RECORD, self.width());
        self.vbr(code, 6);
        self.vbr(operands.len() as u64, 6);
        for &operand in operands {
            self.vbr(operand, 6);
        }
    }

    /// Writes a record that ends in a blob, which only an abbreviation can express. One a block, as in STRTAB.
    pub fn blob(&mut self, code: u64, operands: &[u64], blob: &[u8]) {
        self.emit(DEFINE_ABBREV, self.width());
        self.vbr(operands.len() as u64 + 2, 5);
        for &literal in [code].iter().chain(operands) {
            self.emit(1, 1);
            self.vbr(literal, 8);
        }
        const BLOB: u64 = 5;
        self.emit(0, 1);
        self.emit(BLOB, 3);
        self.emit(BLOB_ABBREV, self.width());
        self.vbr(blob.len() as u64, 6);
        self.align32();
        self.bytes.extend_from_slice(blob);
        self.align32();
    }

    fn width(&self) -> u32 {
        if self.open.is_empty() { TOP_WIDTH } else { WIDTH }
    }

    fn emit(&mut self, value: u64, width: u32) {
        self.pending |= u128::from(value) << self.bits;
        self.bits += width;
        while self.bits >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.bits -= 8;
        }
    }

    fn vbr(&mut self, mut value: u64, width: u32) {
        let more = 1u64 << (width - 1);
        while value >= more {
            self.emit((value & (more - 1)) | more, width);
            value >>= width - 1;
        }
        self.emit(value, width);
    }

    fn align32(&mut self) {
        if self.bits > 0 {
            self.bytes.push(self.pending as u8);
            self.pending = 0;
            self.bits = 0;
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
