//! What a module's bitcode says by itself: its target, its content, what importers see, the assembly in it.
//! Knows nothing of the thin link, so that it can be read while that runs.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::asm_files::Text;
use super::flags::ModuleTarget;
use crate::bitcode::facts::{Facts, ModuleFacts, SummaryKind};
use crate::bitcode::{BitcodeError, ImportView, assembly};
use crate::inputs::{BitcodeSource, Inputs};

/// What was read of a module.
#[derive(Debug)]
pub struct ReadModule {
    pub(super) target: ModuleTarget,
    pub(super) facts: ModuleFacts,
    pub(super) digest: [u8; 32],
    pub(super) size: u64,
    /// What only keys of objects ask for.
    pub(super) keyed: Option<ForKeys>,
}

/// What the keys of a module's and of its importers' objects are made of, besides its digest.
#[derive(Debug)]
pub(super) struct ForKeys {
    /// As importers see it.
    pub(super) view: ImportView,
    /// Its assembly, for the files that names.
    pub(super) assembly: Vec<Text>,
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
    pub(super) fn read(inputs: &Inputs, source: BitcodeSource, keys: Keys) -> Result<ReadModule, String> {
        let bytes = inputs
            .bitcode(source)
            .map_err(|error| format!("cannot be read: {error}"))?;
        let facts = Facts::read(bytes).map_err(|error| format!("is no bitcode we can read: {error}"))?;
        let is_thin = |own: &ModuleFacts| own.summary == SummaryKind::Thin;
        let own = facts.modules.into_iter().find(is_thin).unwrap_or_default();
        let keyed = match keys {
            Keys::None => None,
            Keys::Wanted => Some(ForKeys {
                view: ImportView::read(bytes).map_err(|error| format!("cannot be read: {error}"))?,
                assembly: texts(bytes).map_err(|error| format!("its assembly cannot be read: {error}"))?,
            }),
        };
        Ok(ReadModule {
            target: ModuleTarget {
                triple: own.triple.clone(),
                pic_level: own.pic_level,
            },
            facts: own,
            digest: *blake3::hash(bytes).as_bytes(),
            size: bytes.len() as u64,
            keyed,
        })
    }
}

/// The assembly in a module; a header's is in every function that uses it, and is looked through once.
fn texts(bitcode: &[u8]) -> Result<Vec<Text>, BitcodeError> {
    let mut seen = HashSet::new();
    let mut texts = assembly::assembly(bitcode)?;
    texts.retain(|text| seen.insert(text.clone()));
    Ok(texts.into_iter().map(Text::new).collect())
}

/// Modules read before it was known which are linked.
#[derive(Debug, Default)]
pub struct ReadAhead(HashMap<BitcodeSource, ReadModule>);

impl ReadAhead {
    /// Reads the bitcode that is linked whoever refers to it; of the rest, most archives' members are not. What cannot be
    /// read is left for [`ReadAhead::take`] to say.
    pub fn of(inputs: &Inputs, keys: Keys) -> ReadAhead {
        let sources = inputs.eager_bitcode();
        let read = sources
            .into_par_iter()
            .filter_map(|source| Some((source, ReadModule::read(inputs, source, keys).ok()?)));
        ReadAhead(read.collect())
    }

    /// These modules in their order; those not read yet are read now.
    pub(super) fn take(
        &mut self,
        inputs: &Inputs,
        sources: &[BitcodeSource],
        keys: Keys,
    ) -> Vec<Result<ReadModule, String>> {
        let read: Vec<Option<ReadModule>> = sources.iter().map(|source| self.0.remove(source)).collect();
        let sources = read.into_par_iter().zip(sources);
        sources
            .map(|(read, source)| read.map_or_else(|| ReadModule::read(inputs, *source, keys), Ok))
            .collect()
    }
}
