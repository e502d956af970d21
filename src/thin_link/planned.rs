//! A module's index as a plan holds it: its outline at hand, the rest as lld wrote it, read only for a backend that runs.
//! Knows nothing of links; which hashes modules have now is told by whoever took the index from an earlier one.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

use crate::bitcode::{BitcodeError, Index, Outline};

/// The hashes of modules, by the names the indexes have for them.
pub type Hashes = HashMap<Vec<u8>, [u32; 5]>;

/// One index of a plan.
#[derive(Debug)]
pub struct PlannedIndex {
    outline: Outline,
    written: Written,
}

/// An index file's bytes.
#[derive(Debug)]
enum Written {
    /// By this link's thin link.
    Now(Vec<u8>),
    /// By that of an earlier link, some modules of which have other hashes now.
    Before {
        kept: Arc<Mmap>,
        range: Range<usize>,
        hashes: Arc<Hashes>,
    },
}

impl PlannedIndex {
    /// The index of the module called `own`, just written, and what it says.
    pub(super) fn now(bytes: Vec<u8>, index: &Index, own: &[u8]) -> PlannedIndex {
        PlannedIndex {
            outline: Outline::of(index, own),
            written: Written::Now(bytes),
        }
    }

    /// An index written for an earlier link, at `range` of what was kept of that.
    pub(super) fn before(outline: Outline, kept: Arc<Mmap>, range: Range<usize>, hashes: Arc<Hashes>) -> PlannedIndex {
        PlannedIndex {
            outline,
            written: Written::Before { kept, range, hashes },
        }
    }

    /// What it says, as far as every link asks.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// All it says, for the modules as they are.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self) -> Result<Index, BitcodeError> {
        let mut index = Index::parse(self.bytes())?;
        if let Written::Before { hashes, .. } = &self.written {
            index.set_hashes(|path| hashes.get(path).copied());
        }
        Ok(index)
    }

    /// The file as lld wrote it.
    pub fn bytes(&self) -> &[u8] {
        match &self.written {
            Written::Now(bytes) => bytes,
            Written::Before { kept, range, .. } => kept.get(range.clone()).unwrap_or_default(),
        }
    }
}
