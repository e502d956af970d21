//! A plan as one file, so that a later link maps it and reads of each index no more than it needs.
//! Knows nothing of when a plan may be used again; that the file is whole is checked by whoever keeps it.
//!
//! Numbers are eight bytes, lowest first; texts and lists are preceded by their length. The indexes stand behind all else.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use memmap2::Mmap;

use super::planned::{Hashes, PlannedIndex};
use super::{PlannedModule, ranks};
use crate::bitcode::outline::{Outline, OutlinedModule};
use crate::inputs::BitcodeSource;

/// What of a plan does not depend on the modules' code.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// See [`super::Plan::loaded`].
    pub(super) loaded: Vec<String>,
    /// See [`super::Plan::warnings`].
    pub(super) warnings: String,
    /// The object of the regular-LTO partition that holds nothing.
    pub(super) regular: Vec<u8>,
}

/// The plan as bytes; none where an index names a module that is not in the plan.
pub(super) fn pack(words: &Words, modules: &[PlannedModule]) -> Option<Vec<u8>> {
    let numbers: HashMap<&[u8], usize> = modules
        .iter()
        .enumerate()
        .map(|(number, module)| (module.name.as_bytes(), number))
        .collect();
    let mut to = Writer::default();
    to.number(words.loaded.len());
    words.loaded.iter().for_each(|name| to.text(name.as_bytes()));
    to.text(words.warnings.as_bytes());
    to.text(&words.regular);
    to.number(modules.len());
    modules.iter().for_each(|module| to.text(module.name.as_bytes()));
    for module in modules {
        let outline = module.index.outline();
        to.number(outline.modules.len());
        for named in &outline.modules {
            to.number(*numbers.get(named.path.as_slice())?);
            to.number(named.imports.len());
            named.imports.iter().for_each(|guid| to.word(*guid));
        }
        to.number(outline.definitions.len());
        for (guid, dso_local) in &outline.definitions {
            to.word(*guid);
            to.0.push(u8::from(*dso_local));
        }
        to.0.extend_from_slice(&outline.digest);
        to.number(module.index.bytes().len());
    }
    modules
        .iter()
        .for_each(|module| to.0.extend_from_slice(module.index.bytes()));
    Some(to.0)
}

/// The plan again, its modules where `sources` has them now; none where something does not fit.
pub(super) fn unpack(
    kept: &Arc<Mmap>,
    sources: &HashMap<OsString, BitcodeSource>,
    hashes: &Arc<Hashes>,
) -> Option<(Words, Vec<PlannedModule>)> {
    let mut from = Reader(kept);
    let count = from.number()?;
    let loaded = (0..count).map(|_| from.string()).collect::<Option<_>>()?;
    let words = Words {
        loaded,
        warnings: from.string()?,
        regular: from.text()?.to_vec(),
    };
    let count = from.number()?;
    let names: Vec<&[u8]> = (0..count).map(|_| from.text()).collect::<Option<_>>()?;
    let outlines: Vec<(Outline, usize)> = names.iter().map(|_| from.outline(&names)).collect::<Option<_>>()?;
    let mut at = kept.len().checked_sub(from.0.len())?;
    let owned: Vec<OsString> = names.iter().map(|name| OsString::from_vec(name.to_vec())).collect();
    let ranks = ranks(&owned);
    let mut modules = Vec::with_capacity(owned.len());
    for ((name, rank), (outline, length)) in owned.into_iter().zip(ranks).zip(outlines) {
        let end = at.checked_add(length)?;
        let range: Range<usize> = at..end;
        kept.get(range.clone())?;
        at = end;
        modules.push(PlannedModule {
            source: *sources.get(OsStr::new(&name))?,
            name,
            rank,
            index: PlannedIndex::before(outline, Arc::clone(kept), range, Arc::clone(hashes)),
        });
    }
    (at == kept.len()).then_some((words, modules))
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn word(&mut self, word: u64) {
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    fn number(&mut self, number: usize) {
        self.word(number as u64);
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len());
        self.0.extend_from_slice(text);
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn word(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn number(&mut self) -> Option<usize> {
        usize::try_from(self.word()?).ok()
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.to_vec()).ok()
    }

    fn module(&mut self, names: &[&[u8]]) -> Option<OutlinedModule> {
        let path = names.get(self.number()?)?.to_vec();
        let count = self.number()?;
        let imports = self.take(count.checked_mul(8)?)?;
        let imports = imports.as_chunks::<8>().0.iter().map(|guid| u64::from_le_bytes(*guid));
        Some(OutlinedModule {
            path,
            imports: imports.collect(),
        })
    }

    /// An outline, and the length of its index.
    fn outline(&mut self, names: &[&[u8]]) -> Option<(Outline, usize)> {
        let count = self.number()?;
        let modules = (0..count).map(|_| self.module(names)).collect::<Option<_>>()?;
        let count = self.number()?;
        let definitions = (0..count)
            .map(|_| Some((self.word()?, *self.take(1)?.first()? != 0)))
            .collect::<Option<_>>()?;
        let outline = Outline {
            modules,
            definitions,
            digest: self.take(32)?.try_into().ok()?,
        };
        Some((outline, self.number()?))
    }
}
