//! What a module's bitcode says by itself: its target, its content, what importers see, the assembly in it.
//! Knows nothing of the thin link, so that it can be read while that runs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::asm_files::Text;
use super::flags::ModuleTarget;
use crate::bitcode::facts::{Facts, ModuleFacts, SummaryKind};
use crate::bitcode::resolve::{self, Declaration};
use crate::bitcode::{BitcodeError, ImportView, Symbol, assembly};
use crate::cmdline::OutputKind;
use crate::inputs::{BitcodeSource, Inputs};
use crate::symbols::{self, FileSymbols, LinkSymbols, NamesError};

/// What was read of a module.
#[derive(Debug)]
pub struct ReadModule {
    pub(super) target: ModuleTarget,
    pub(super) digest: [u8; 32],
    pub(super) size: u64,
    /// Whether it has a part for regular LTO beside it.
    pub(super) is_split: bool,
    /// The names in it of which an index may say whether the link defines them, where its code depends on that.
    pub(super) open: Option<Vec<Declaration>>,
    /// What only keys of objects ask for.
    pub(super) keyed: Option<ForKeys>,
}

/// What the keys of a module's and of its importers' objects are made of, besides its digest.
#[derive(Debug)]
pub struct ForKeys {
    /// As importers see it.
    pub view: ImportView,
    /// Its assembly, for the files that names.
    pub assembly: Vec<Text>,
}

impl ForKeys {
    /// Of a module's bytes.
    ///
    /// # Errors
    /// What cannot be read, and why.
    pub fn read(bytes: &[u8]) -> Result<ForKeys, String> {
        Ok(ForKeys {
            view: ImportView::read(bytes).map_err(|error| format!("cannot be read: {error}"))?,
            assembly: texts(bytes).map_err(|error| format!("its assembly cannot be read: {error}"))?,
        })
    }
}

/// What is to be known of a module.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// What its object's key needs, or not.
    pub keys: Keys,
    /// What it is linked into.
    pub output: OutputKind,
}

/// Whether objects are kept, and so need keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// They are.
    Wanted,
    /// They are not.
    None,
}

impl ReadModule {
    /// # Errors
    /// What cannot be read, and why.
    pub(super) fn read(
        inputs: &Inputs,
        source: BitcodeSource,
        symbols: Result<&[Symbol<'_>], NamesError>,
        wanted: Wanted,
    ) -> Result<ReadModule, String> {
        let bytes = (inputs.bitcode(source)).map_err(|error| format!("cannot be read: {error}"))?;
        let facts = Facts::read(bytes).map_err(|error| format!("is no bitcode we can read: {error}"))?;
        let is_split = facts.modules.iter().any(|own| own.summary == SummaryKind::Regular);
        let is_thin = |own: &ModuleFacts| own.summary == SummaryKind::Thin;
        let own = facts.modules.into_iter().find(is_thin).unwrap_or_default();
        let symbols = symbols.map_err(|error| error.to_string())?;
        let open = reads_dso_local(&own, wanted.output).then(|| resolve::left_open(symbols));
        let keyed = match wanted.keys {
            Keys::None => None,
            Keys::Wanted => Some(ForKeys::read(bytes)?),
        };
        Ok(ReadModule {
            target: ModuleTarget {
                triple: own.triple,
                pic_level: own.pic_level,
            },
            digest: *blake3::hash(bytes).as_bytes(),
            size: bytes.len() as u64,
            is_split,
            open,
            keyed,
        })
    }
}

/// Whether a backend reads `dso_local` of a declaration in its index: not where LLVM clears it whatever that says (`-fPIC` into
/// position-independent output: `ClearDSOLocalOnDeclarations` in llvm/lib/LTO/LTOBackend.cpp).
fn reads_dso_local(module: &ModuleFacts, kind: OutputKind) -> bool {
    let position_independent = match kind {
        OutputKind::Pie | OutputKind::Shared => true,
        OutputKind::Executable => false,
        OutputKind::Relocatable => module.pic_level > 0,
    };
    !position_independent || module.pie_level > 0
}

/// The assembly in a module; a header's is in every function that uses it, and is looked through once.
fn texts(bitcode: &[u8]) -> Result<Vec<Text>, BitcodeError> {
    let mut seen = HashSet::new();
    let mut texts = assembly::assembly(bitcode)?;
    texts.retain(|text| seen.insert(text.clone()));
    Ok(texts.into_iter().map(Text::new).collect())
}

/// The reading of the bitcode that is linked whoever refers to it; of the rest, most archives' members are not. It is done
/// by whoever has time: while the thin link runs, which is one thread nearly all the time, one CPU is its own.
#[derive(Debug)]
pub struct Reading<'a> {
    inputs: &'a Inputs,
    sources: Vec<BitcodeSource>,
    wanted: Wanted,
    taken: AtomicUsize,
}

/// What one thread has read. What could not be read is left for [`ReadAhead::take`] to say.
pub type ReadPart<'a> = Vec<(BitcodeSource, Option<ReadModule>, FileSymbols<'a>)>;

impl<'a> Reading<'a> {
    /// Begins with nothing.
    pub fn of(inputs: &'a Inputs, wanted: Wanted) -> Reading<'a> {
        Reading {
            inputs,
            sources: inputs.eager_bitcode(),
            wanted,
            taken: AtomicUsize::new(0),
        }
    }

    /// How many modules there are to read.
    pub fn modules(&self) -> usize {
        self.sources.len()
    }

    /// How many threads are worth their start beside the thin link's own.
    pub fn helpers(&self) -> usize {
        let others = rayon::current_num_threads().saturating_sub(1).max(1);
        others.min(self.sources.len())
    }

    /// Reads what no other thread has begun, until there is no more.
    pub fn help(&self) -> ReadPart<'a> {
        let next = || self.sources.get(self.taken.fetch_add(1, Ordering::Relaxed)).copied();
        let read = std::iter::from_fn(next).map(|source| {
            let symbols = symbols::of_file(self.inputs, source);
            let names = symbols.as_deref().map_err(NamesError::clone);
            let module = ReadModule::read(self.inputs, source, names, self.wanted);
            (source, module.ok(), symbols)
        });
        read.collect()
    }

    /// What has not been begun need not be read.
    pub fn stop(&self) {
        self.taken.store(self.sources.len(), Ordering::Relaxed);
    }

    /// What all have read.
    pub fn end(self, parts: impl IntoIterator<Item = ReadPart<'a>>) -> (ReadAhead, LinkSymbols<'a>) {
        let (mut read, mut symbols) = (HashMap::new(), HashMap::new());
        for (source, module, names) in parts.into_iter().flatten() {
            read.extend(module.map(|module| (source, module)));
            symbols.insert(source, names);
        }
        let wanted = self.wanted;
        (ReadAhead { read, wanted }, symbols.into())
    }
}

/// Modules read before it was known which are linked.
#[derive(Debug)]
pub struct ReadAhead {
    read: HashMap<BitcodeSource, ReadModule>,
    /// Of those that are read later, too.
    wanted: Wanted,
}

impl ReadAhead {
    /// These modules in their order; those not read yet are read now.
    pub(super) fn take(
        &mut self,
        inputs: &Inputs,
        symbols: &LinkSymbols<'_>,
        sources: &[BitcodeSource],
    ) -> Vec<Result<ReadModule, String>> {
        let read: Vec<Option<ReadModule>> = sources.iter().map(|source| self.read.remove(source)).collect();
        let wanted = self.wanted;
        let sources = read.into_par_iter().zip(sources);
        sources
            .map(|(read, source)| {
                read.map_or_else(|| ReadModule::read(inputs, *source, symbols.of(*source), wanted), Ok)
            })
            .collect()
    }
}
