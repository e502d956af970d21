//! Tells a module's index which of the names it only declares are defined within the link: the `dso_local` in-process lld knows
//! from the whole combined index, and a distributed backend otherwise does not. Knows nothing of files: the caller hands in
//! the indexes and modules of one link.
//!
//! In-process, llvm's FunctionImportUtils.cpp `processGlobalForThinLTO` asks the combined index about every declaration too; a
//! per-module index only has the module's own definitions and its imports, so position-independent code then reaches
//! everything else through the GOT. The cure is a summary for each such name that claims to be in the module itself: the
//! backend imports nothing for it (LTOBackend.cpp `initImportList`), finds no definition to change by it
//! (`thinLTOFinalizeInModule` leaves declarations alone), and reads its `dso_local`.

use std::collections::HashMap;

use super::facts::{Facts, SummaryKind};
use super::index::{Index, Item, OwnedRecord, SummaryFlags, SummaryOf};
use super::outline::Outline;
use super::symbols::{Linkage, Presence, Symbol, SymbolKind, guid, symbols};
use super::{BitcodeError, ids};
use crate::llvm;

/// A name declared in a module and resolved within the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Declaration {
    /// Its GUID.
    pub guid: u64,
    /// What it is declared as; an alias elsewhere is declared as a function or variable here.
    pub of: SummaryOf,
    /// How it is declared: external or extern_weak.
    pub linkage: Linkage,
}

impl Declaration {
    /// What a module that names `symbol` makes of it once it is defined elsewhere: one it declares itself, or one that another
    /// module defines or declares and whose users are imported. None for names that stay within their module.
    pub fn of(symbol: &Symbol<'_>) -> Option<Self> {
        let linkage = match (symbol.presence, symbol.linkage) {
            (_, linkage) if linkage.is_local() => return None,
            (Presence::Declaration, linkage) => linkage,
            (Presence::Definition, _) => Linkage::External,
        };
        let of = match symbol.kind {
            SymbolKind::Variable => SummaryOf::Variable,
            // Of an alias the record does not say what it names; the backend asks a declaration's summary only for its flags.
            SymbolKind::Function | SymbolKind::Ifunc | SymbolKind::Alias => SummaryOf::Function,
        };
        Some(Self {
            guid: guid(symbol.name),
            of,
            linkage,
        })
    }
}

/// Those of a bitcode file's names that another could define, and of which the compiler has left open whether that is within
/// what is linked: code reaches the others directly whatever an index says. In code that is never position-independent these
/// are few: thread-locals, functions that need no stub (`-fno-plt`), data behind a table (`-fno-direct-access-external-data`),
/// and all names for targets that reach even such through a table.
pub fn left_open(symbols: &[Symbol<'_>]) -> Vec<Declaration> {
    let left_open = symbols
        .iter()
        .filter(|symbol| !symbol.dso_local && !symbol.name.starts_with(INTRINSIC));
    left_open.filter_map(Declaration::of).collect()
}

/// What the names of LLVM's own functions begin with; nobody defines them.
const INTRINSIC: &[u8] = b"llvm.";

/// What the link's modules together say of some names: the part of in-process lld's combined index that is needed here.
#[derive(Debug, Clone, Default)]
pub struct Resolutions(HashMap<u64, Option<bool>>);

impl Resolutions {
    /// Of these names, with nothing said of them yet.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a Declaration>) -> Resolutions {
        let names = names.into_iter();
        Resolutions(names.map(|name| (name.guid, None)).collect())
    }

    /// Whether there is no name to say anything of.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a thin module's own definitions, as its index has them.
    pub fn add_outline(&mut self, outline: &Outline) {
        for &(guid, dso_local) in &outline.definitions {
            self.add(guid, dso_local);
        }
    }

    /// Adds the definitions in a file for regular LTO, or in the regular part of a split unit: no index has them, but the
    /// combined index does (llvm `LTO::addModule` reads their summaries into it). Files without such a part add nothing.
    pub fn add_regular_part(&mut self, file: &[u8]) -> Result<(), BitcodeError> {
        let modules = Facts::read(file)?.modules;
        let regular = |module: usize| {
            modules
                .get(module)
                .is_some_and(|facts| facts.summary == SummaryKind::Regular)
        };
        if modules.iter().all(|facts| facts.summary != SummaryKind::Regular) {
            return Ok(());
        }
        for symbol in symbols(file)? {
            let is_summarized = symbol.presence == Presence::Definition && !symbol.is_indirect;
            if is_summarized && regular(symbol.module) {
                self.add(guid(symbol.name), symbol.dso_local);
            }
        }
        Ok(())
    }

    /// Whether every definition in the link is dso_local (llvm `ValueInfo::isDSOLocal`).
    pub fn is_dso_local(&self, guid: u64) -> bool {
        self.0.get(&guid).copied().flatten().unwrap_or(false)
    }

    /// What to add to a module's index, given what is open in the module and in those it imports from ([`left_open`]).
    pub fn declarations(&self, open: &[Declaration]) -> Vec<Declaration> {
        let resolved = open.iter().filter(|declaration| self.is_dso_local(declaration.guid));
        resolved.copied().collect()
    }

    fn add(&mut self, guid: u64, dso_local: bool) {
        if let Some(said) = self.0.get_mut(&guid) {
            *said = Some(said.unwrap_or(true) && dso_local);
        }
    }
}

/// From this one on a VALUE_GUID is [valueid, upper half, lower half].
const SPLIT_GUIDS: u64 = 12;

impl Index {
    /// Adds a live, dso_local summary in module `own` for each declaration that has no summary yet; gives their number.
    ///
    /// Errors: `own` is not in the index, or the index is of a version whose records are not known.
    pub fn add_dso_local(&mut self, own: &[u8], declarations: &[Declaration]) -> Result<usize, BitcodeError> {
        let module = self
            .modules()
            .into_iter()
            .find(|module| module.path == own)
            .ok_or(BitcodeError::NoSuchModule)?
            .id;
        let version = self
            .summary_records()
            .find(|record| record.code == ids::FS_VERSION)
            .and_then(|record| record.operands.first().copied())
            .ok_or(BitcodeError::Malformed("the index has no summary version"))?;
        if !llvm::SUMMARY_VERSIONS.contains(&version) {
            return Err(BitcodeError::SummaryVersion(version));
        }
        let mut summarized = self.summarized();
        let mut values: HashMap<u64, u64> = self.guids().into_iter().map(|(value, guid)| (guid, value)).collect();
        let mut fresh = values.values().max().map_or(Some(1), |last| last.checked_add(1));
        let (mut names, mut summaries) = (Vec::new(), Vec::new());
        for declaration in declarations {
            if !summarized.insert(declaration.guid) {
                continue;
            }
            let value = match values.get(&declaration.guid) {
                Some(&value) => value,
                None => {
                    // The reader keeps value ids in 32 bits.
                    let value = fresh
                        .filter(|&value| value <= u32::MAX.into())
                        .ok_or(BitcodeError::Malformed("the index's value ids are used up"))?;
                    fresh = value.checked_add(1);
                    values.insert(declaration.guid, value);
                    names.push(value_guid(version, value, declaration.guid));
                    value
                }
            };
            summaries.push(summary(module, value, declaration));
        }
        let added = summaries.len();
        let items = self
            .summary_items()
            .ok_or(BitcodeError::Malformed("the index has no summary"))?;
        // Names before any use of them; summaries last, where no record that describes the next function can be meant for them.
        let is_name = |item: &Item| matches!(item, Item::Record(record) if is_header(record.code));
        let after_names = items.iter().rposition(is_name).map_or(0, |last| last + 1);
        items.extend(summaries.into_iter().map(Item::Record));
        items.splice(after_names..after_names, names.into_iter().map(Item::Record));
        Ok(added)
    }

    fn summary_items(&mut self) -> Option<&mut Vec<Item>> {
        let module = self
            .items
            .iter_mut()
            .find_map(|item| block_mut(item, ids::MODULE_BLOCK))?;
        module
            .iter_mut()
            .find_map(|item| block_mut(item, ids::GLOBALVAL_SUMMARY_BLOCK))
    }
}

fn is_header(code: u64) -> bool {
    matches!(code, ids::FS_VERSION | ids::FS_FLAGS | ids::FS_VALUE_GUID)
}

fn block_mut(item: &mut Item, wanted: u64) -> Option<&mut Vec<Item>> {
    match item {
        Item::Block { id, items } if *id == wanted => Some(items),
        _ => None,
    }
}

fn value_guid(version: u64, value: u64, guid: u64) -> OwnedRecord {
    let operands = if version >= SPLIT_GUIDS {
        vec![value, guid >> 32, guid & 0xffff_ffff]
    } else {
        vec![value, guid]
    };
    OwnedRecord {
        code: ids::FS_VALUE_GUID,
        operands,
        blob: None,
    }
}

fn summary(module: u64, value: u64, declaration: &Declaration) -> OwnedRecord {
    let flags = declaration.linkage as u64 | SummaryFlags::LIVE | SummaryFlags::DSO_LOCAL;
    let (code, rest): (u64, &[u64]) = match declaration.of {
        // [valueid, modid, flags, varflags]: neither read-only nor write-only, no references.
        SummaryOf::Variable => (ids::FS_COMBINED_GLOBALVAR_INIT_REFS, &[0]),
        // [valueid, modid, flags, instcount, fflags, entrycount, numrefs, rorefcnt, worefcnt]: no references, no calls.
        SummaryOf::Function | SummaryOf::Alias => (ids::FS_COMBINED_PROFILE, &[0; 6]),
    };
    let operands = [value, module, flags].iter().chain(rest).copied().collect();
    OwnedRecord {
        code,
        operands,
        blob: None,
    }
}

#[cfg(test)]
mod tests;
