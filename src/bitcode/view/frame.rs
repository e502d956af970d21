//! A digest in the making: what a module has, list by list, each with its length.
//! Knows nothing of what is left out.

use super::Digest;
use crate::bitcode::bitstream::{Block, Record};

/// What every importer reads, as it is walked over.
#[derive(Default)]
pub(super) struct Frame {
    hash: blake3::Hasher,
    /// A record, to be hashed in one piece.
    scratch: Vec<u8>,
}

impl Frame {
    pub(super) fn number(&mut self, number: u64) {
        self.hash.update(&number.to_le_bytes());
    }

    /// Records are packed bit by bit, so that one which grows moves all others: what they say is taken, not how.
    pub(super) fn record(&mut self, record: &Record<'_>) {
        self.scratch.clear();
        let head = [record.code, record.operands.len() as u64];
        for number in head.iter().chain(&record.operands) {
            self.scratch.extend_from_slice(&number.to_le_bytes());
        }
        self.hash.update(&self.scratch);
        self.bytes(record.blob.unwrap_or_default());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.hash.update(bytes);
    }

    /// A block stands at a whole word wherever it is: its bytes are the same for the same content.
    pub(super) fn block(&mut self, block: &Block<'_>) {
        self.number(block.id().unwrap_or_default());
        self.number(block.width().into());
        self.bytes(block.bytes());
    }

    pub(super) fn digest(&self) -> Digest {
        *self.hash.finalize().as_bytes()
    }
}
