//! The global names of a bitcode file and LLVM's 64-bit ids of them.
//! Knows nothing of summaries, nor of how a linker resolves the names.

use std::collections::HashMap;

use md5::{Digest, Md5};

use super::bitstream::{Block, Entry, Record};
use super::{BitcodeError, ids, string_table, unwrap};

/// How a name is bound: llvm `GlobalValue::LinkageTypes`, with its numbers in summaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Linkage {
    External = 0,
    AvailableExternally = 1,
    LinkOnceAny = 2,
    LinkOnceOdr = 3,
    WeakAny = 4,
    WeakOdr = 5,
    Appending = 6,
    Internal = 7,
    Private = 8,
    ExternalWeak = 9,
    Common = 10,
}

impl Linkage {
    /// In the order of their numbers.
    const ALL: [Self; 11] = [
        Self::External,
        Self::AvailableExternally,
        Self::LinkOnceAny,
        Self::LinkOnceOdr,
        Self::WeakAny,
        Self::WeakOdr,
        Self::Appending,
        Self::Internal,
        Self::Private,
        Self::ExternalWeak,
        Self::Common,
    ];

    /// From the four lowest bits of a summary's flags; numbers not in use read as external.
    pub fn from_summary(flags: u64) -> Self {
        Self::ALL.get((flags & 15) as usize).copied().unwrap_or(Self::External)
    }

    /// From a module's record (llvm BitcodeReader.cpp `getDecodedLinkage`, old numbers included).
    fn from_module(number: u64) -> Self {
        match number {
            2 => Self::Appending,
            3 => Self::Internal,
            7 => Self::ExternalWeak,
            8 => Self::Common,
            9 | 13 | 14 => Self::Private,
            12 => Self::AvailableExternally,
            1 | 16 => Self::WeakAny,
            10 | 17 => Self::WeakOdr,
            4 | 18 => Self::LinkOnceAny,
            11 | 19 => Self::LinkOnceOdr,
            _ => Self::External,
        }
    }

    /// Whether the name is the module's own, and no other file can mean it.
    pub fn is_local(self) -> bool {
        matches!(self, Self::Internal | Self::Private)
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SymbolKind {
    /// A function.
    Function,
    /// A variable.
    Variable,
    /// Another name of something in the same module.
    Alias,
    /// A function chosen when the program is loaded.
    Ifunc,
}

/// Whether the thing is here or elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// The module has its body or initial value.
    Definition,
    /// The module only names it.
    Declaration,
}

/// To whom a name is visible, the narrowest last.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Visibility {
    /// To all that is loaded, and another may take its place.
    #[default]
    Default,
    /// To all that is loaded; within its file nothing takes its place.
    Protected,
    /// Within its file alone.
    Hidden,
}

impl Visibility {
    /// From a module's record or symbol table (llvm BitcodeReader.cpp `getDecodedVisibility`).
    pub(super) fn from_module(number: u64) -> Visibility {
        match number {
            1 => Visibility::Hidden,
            2 => Visibility::Protected,
            _ => Visibility::Default,
        }
    }

    /// From an ELF symbol's `st_other`; what is internal there is hidden as well.
    pub fn from_elf(st_other: u8) -> Visibility {
        match st_other & 3 {
            object::elf::STV_PROTECTED => Visibility::Protected,
            object::elf::STV_DEFAULT => Visibility::Default,
            _ => Visibility::Hidden,
        }
    }

    /// As `st_other` says it.
    pub fn to_elf(self) -> u8 {
        match self {
            Visibility::Default => object::elf::STV_DEFAULT,
            Visibility::Protected => object::elf::STV_PROTECTED,
            Visibility::Hidden => object::elf::STV_HIDDEN,
        }
    }
}

/// One global name in a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// As in the IR: an asm label's leading `\x01` is kept.
    pub name: &'a [u8],
    /// What it stands for.
    pub kind: SymbolKind,
    /// Whether it is defined here.
    pub presence: Presence,
    /// How it is bound.
    pub linkage: Linkage,
    /// To whom it is visible.
    pub visibility: Visibility,
    /// Whether the compiler took it to be resolved within what is linked, as for all that is hidden or local.
    pub dso_local: bool,
    /// Which of the file's modules it is in, as `Facts::modules` counts them.
    pub module: usize,
    /// Whether it is an ifunc, or another name of one: LLVM writes no summary for these
    /// (llvm/lib/Analysis/ModuleSummaryAnalysis.cpp `computeAliasSummary`).
    pub is_indirect: bool,
}

impl<'a> Symbol<'a> {
    /// As a linker calls it.
    pub fn plain(&self) -> &'a [u8] {
        self.name.strip_prefix(b"\x01").unwrap_or(self.name)
    }
}

/// LLVM's id of an external name: the first eight bytes of its MD5, little-endian
/// (`GlobalValue::getGUIDAssumingExternalLinkage`, which hashes the name without the `\x01` that forbids mangling).
pub fn guid(name: &[u8]) -> u64 {
    let plain = name.strip_prefix(b"\x01").unwrap_or(name);
    let digest = Md5::digest(plain);
    digest.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first))
}

/// How one kind of record is read: [strtab offset, size, …], and where the rest stands.
struct Layout {
    code: u64,
    kind: SymbolKind,
    /// The operand, and its value, that tell a declaration.
    declared: Option<(usize, u64)>,
    linkage: usize,
    visibility: usize,
    dso_local: usize,
    /// Operands that number constants, and what is added to the number: 1 where 0 is none.
    constants: &'static [(usize, u64)],
}

/// Every value a module's records number (llvm `BitcodeReader::parseGlobalVarRecord` and its neighbours).
static LAYOUTS: [Layout; 4] = [
    // type, isconst, initid, linkage, alignment, section, visibility, threadlocal, unnamed_addr, externally_initialized,
    // dllstorageclass, comdat, attributes, dso_local
    Layout {
        code: ids::MODULE_GLOBALVAR,
        kind: SymbolKind::Variable,
        declared: Some((4, 0)),
        linkage: 5,
        visibility: 8,
        dso_local: 15,
        constants: &[(4, 1)],
    },
    // type, cc, isproto, linkage, paramattr, alignment, section, visibility, gc, unnamed_addr, prologuedata,
    // dllstorageclass, comdat, prefixdata, personalityfn, dso_local
    Layout {
        code: ids::MODULE_FUNCTION,
        kind: SymbolKind::Function,
        declared: Some((4, 1)),
        linkage: 5,
        visibility: 9,
        dso_local: 17,
        constants: &[(12, 1), (15, 1), (16, 1)],
    },
    // type, addrspace, aliasee, linkage, visibility, dllstorageclass, threadlocal, unnamed_addr, dso_local
    Layout {
        code: ids::MODULE_ALIAS,
        kind: SymbolKind::Alias,
        declared: None,
        linkage: 5,
        visibility: 6,
        dso_local: 10,
        constants: &[(4, 0)],
    },
    // type, addrspace, resolver, linkage, visibility, dso_local
    Layout {
        code: ids::MODULE_IFUNC,
        kind: SymbolKind::Ifunc,
        declared: None,
        linkage: 5,
        visibility: 6,
        dso_local: 7,
        constants: &[(4, 0)],
    },
];

/// A record that numbers a value; what it is called is in a string table further on.
pub(super) struct ValueRecord {
    operands: Vec<u64>,
    layout: &'static Layout,
}

/// A record that waits for its names' string table.
struct Waiting {
    module: usize,
    value: ValueRecord,
    is_indirect: bool,
}

/// Every global name of every module in the file, in the file's order. Unnamed values are left out.
pub fn symbols(bytes: &[u8]) -> Result<Vec<Symbol<'_>>, BitcodeError> {
    let mut stream = Block::stream(unwrap(bytes)?);
    let mut record = Record::default();
    let mut found = Vec::new();
    // A string table serves every module before it that has none yet (llvm getBitcodeFileContents).
    let mut waiting = Vec::new();
    let mut modules = 0;
    while let Some(entry) = stream.next(&mut record)? {
        let Entry::Block(block) = entry else { continue };
        match block.id() {
            Some(ids::MODULE_BLOCK) => {
                collect(block, modules, &mut waiting)?;
                modules += 1;
            }
            Some(ids::STRTAB_BLOCK) => {
                let table = string_table(block)?;
                for waiting in waiting.drain(..) {
                    found.extend(waiting.resolve(table)?);
                }
            }
            _ => {}
        }
    }
    if waiting.is_empty() {
        Ok(found)
    } else {
        Err(BitcodeError::Malformed("a module's names have no string table"))
    }
}

fn collect(mut block: Block<'_>, module: usize, waiting: &mut Vec<Waiting>) -> Result<(), BitcodeError> {
    let mut record = Record::default();
    let first = waiting.len();
    while let Some(entry) = block.next(&mut record)? {
        let Entry::Record = entry else { continue };
        if record.code == ids::MODULE_VERSION && record.operand(0)? < 2 {
            return Err(BitcodeError::ModuleVersion(record.operand(0)?));
        }
        waiting.extend(ValueRecord::of(&record).map(|value| Waiting {
            module,
            value,
            is_indirect: false,
        }));
    }
    mark_indirect(waiting.get_mut(first..).unwrap_or_default());
    Ok(())
}

/// Marks which of a module's values are ifuncs, or other names of one.
fn mark_indirect(values: &mut [Waiting]) {
    let of_kind = |kind: SymbolKind| {
        (0..)
            .zip(&*values)
            .filter(move |(_, waiting)| waiting.value.layout.kind == kind)
    };
    let mut found: Vec<u64> = of_kind(SymbolKind::Ifunc).map(|(number, _)| number).collect();
    if found.is_empty() {
        return;
    }
    let mut aliases: HashMap<u64, Vec<u64>> = HashMap::new();
    for (number, alias) in of_kind(SymbolKind::Alias) {
        if let Some(aliasee) = alias.value.constants().next() {
            aliases.entry(aliasee).or_default().push(number);
        }
    }
    while let Some(number) = found.pop() {
        // Taken out, since in a damaged file aliases may name each other.
        found.extend(aliases.remove(&number).unwrap_or_default());
        if let Some(waiting) = usize::try_from(number).ok().and_then(|number| values.get_mut(number)) {
            waiting.is_indirect = true;
        }
    }
}

impl ValueRecord {
    /// A module's record, if it is one of these.
    pub(super) fn of(record: &Record<'_>) -> Option<ValueRecord> {
        let layout = LAYOUTS.iter().find(|layout| layout.code == record.code)?;
        let operands = record.operands.iter().copied().take(layout.dso_local + 1).collect();
        Some(ValueRecord { operands, layout })
    }

    /// Operands the writer left out at a record's end are zeros.
    fn at(&self, index: usize) -> u64 {
        self.operands.get(index).copied().unwrap_or_default()
    }

    fn linkage(&self) -> Linkage {
        Linkage::from_module(self.at(self.layout.linkage))
    }

    fn presence(&self) -> Presence {
        let declared = self.layout.declared;
        match declared.is_some_and(|(index, value)| self.at(index) == value) {
            true => Presence::Declaration,
            false => Presence::Definition,
        }
    }

    /// Whether no other file can mean it.
    pub(super) fn is_local(&self) -> bool {
        self.linkage().is_local()
    }

    /// Whether it is an ifunc that no other file can mean. LLVM up to 17 leaves it out of the summaries of those that call
    /// it, and takes its resolver along with them (`computeFunctionSummary` in llvm/lib/Analysis/ModuleSummaryAnalysis.cpp).
    pub(super) fn is_local_ifunc(&self) -> bool {
        self.layout.kind == SymbolKind::Ifunc && self.is_local()
    }

    /// Whether a function block belongs to it.
    pub(super) fn has_body(&self) -> bool {
        self.layout.kind == SymbolKind::Function && self.presence() == Presence::Definition
    }

    /// Whether another module can import it under its own name, alone.
    pub(super) fn is_importable(&self) -> bool {
        let is_alone = matches!(self.layout.kind, SymbolKind::Function | SymbolKind::Variable);
        is_alone && self.presence() == Presence::Definition && !self.is_local() && self.at(1) > 0
    }

    /// Values that are part of it: what it begins as, what it stands for, what is before it and behind.
    pub(super) fn constants(&self) -> impl Iterator<Item = u64> {
        let constants = self.layout.constants.iter();
        constants.filter_map(|(index, more)| self.at(*index).checked_sub(*more))
    }

    /// The number of a global's type: a function's, a variable's.
    pub(super) fn type_number(&self) -> u64 {
        self.at(2)
    }

    /// What it is called; empty if it has no name.
    pub(super) fn name<'t>(&self, table: &'t [u8]) -> Result<&'t [u8], BitcodeError> {
        let bounds = |value: u64| usize::try_from(value).map_err(|_| BitcodeError::Truncated);
        let (offset, size) = (bounds(self.at(0))?, bounds(self.at(1))?);
        table
            .get(offset..)
            .and_then(|rest| rest.get(..size))
            .ok_or(BitcodeError::Malformed("a name lies outside of the string table"))
    }
}

impl Waiting {
    fn resolve<'t>(&self, table: &'t [u8]) -> Result<Option<Symbol<'t>>, BitcodeError> {
        let (value, linkage) = (&self.value, self.value.linkage());
        if value.at(1) == 0 {
            return Ok(None);
        }
        // llvm BitcodeReader.cpp `inferDSOLocal`.
        let hidden = value.at(value.layout.visibility) != 0 && linkage != Linkage::ExternalWeak;
        Ok(Some(Symbol {
            name: value.name(table)?,
            kind: value.layout.kind,
            presence: value.presence(),
            linkage,
            visibility: Visibility::from_module(value.at(value.layout.visibility)),
            dso_local: value.at(value.layout.dso_local) == 1 || hidden || linkage.is_local(),
            module: self.module,
            is_indirect: self.is_indirect,
        }))
    }
}

#[cfg(test)]
mod tests;
