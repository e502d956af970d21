//! What a bitcode file says of itself before any of its code is read: its producer, and what shapes each module's object.
//! Knows nothing of the link the file is part of.

use super::bitstream::{Block, Entry, Record};
use super::{BitcodeError, ids, unwrap};

mod flags;

use flags::{Constants, Metadata};

/// The summary a module brings (llvm `BitcodeModule::getLTOInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SummaryKind {
    /// For ThinLTO.
    Thin,
    /// For regular LTO, with a summary of its own kind (`-flto=full` on ELF).
    Regular,
    /// None: regular LTO, and not part of any index.
    #[default]
    None,
}

/// What `--lto=` asks of modules made with `-funified-lto` (lld `config->ltoKind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LtoMode {
    /// No `--lto=`: unified modules are thin.
    #[default]
    Default,
    /// `--lto=thin`.
    Thin,
    /// `--lto=full`: unified modules are regular.
    Full,
}

/// Which kind of LTO a file takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LtoKind {
    /// ThinLTO, every module.
    Thin,
    /// A thin module and a regular one beside it (`-fsplit-lto-unit` with CFI or virtual functions).
    Split,
    /// Regular LTO.
    Regular,
    /// Regular LTO without a summary.
    NoSummary,
}

/// One module of a bitcode file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleFacts {
    /// The target triple, as written.
    pub triple: String,
    /// The source file as the compiler was given it; local names' GUIDs are made with it.
    pub source_file_name: String,
    /// The summary it brings.
    pub summary: SummaryKind,
    /// SHA-1 of the module's bitcode, where the writer added it (clang does for ThinLTO).
    pub hash: Option<[u32; 5]>,
    /// Module flag "PIC Level": 0 (static), 1 (`-fpic`) or 2 (`-fPIC`).
    pub pic_level: u32,
    /// Module flag "PIE Level": 0, 1 (`-fpie`) or 2 (`-fPIE`).
    pub pie_level: u32,
    /// Module flag "Code Model": llvm `CodeModel::Model` (tiny 0, small 1, kernel 2, medium 3, large 4).
    pub code_model: Option<u32>,
    /// Module flag "ThinLTO"; 0 asks for regular LTO.
    pub thin_lto_flag: Option<u32>,
    /// Whether the module was made to be split: the summary's word, which is lld's, or else the module flag's.
    pub enable_split_lto_unit: bool,
    /// Whether the module was made with `-funified-lto`: from the summary or else the module flag.
    pub unified_lto: bool,
}

/// A bitcode file's facts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Who wrote it, e.g. `LLVM22.1.8`; empty if it does not say. Of several, the first.
    pub producer: String,
    /// Its modules, in the file's order.
    pub modules: Vec<ModuleFacts>,
}

impl Facts {
    /// Reads the facts of a whole file, wrapped or raw. Function bodies and all else not needed are skipped, unread.
    pub fn read(bytes: &[u8]) -> Result<Self, BitcodeError> {
        let mut stream = Block::stream(unwrap(bytes)?);
        let mut record = Record::default();
        let mut facts = Self::default();
        while let Some(entry) = stream.next(&mut record)? {
            let Entry::Block(block) = entry else { continue };
            match block.id() {
                Some(ids::IDENTIFICATION_BLOCK) if facts.producer.is_empty() => facts.producer = identification(block)?,
                Some(ids::MODULE_BLOCK) => facts.modules.push(module(block)?),
                _ => {}
            }
        }
        Ok(facts)
    }

    /// Which kind of LTO lld makes of the file (llvm `LTO::addModule`).
    pub fn kind(&self, mode: LtoMode) -> LtoKind {
        let thin = |module: &&ModuleFacts| module.summary == SummaryKind::Thin && mode != LtoMode::Full;
        let thin = self.modules.iter().filter(thin).count();
        match thin {
            0 if self.modules.iter().all(|module| module.summary == SummaryKind::None) => LtoKind::NoSummary,
            0 => LtoKind::Regular,
            thin if thin == self.modules.len() => LtoKind::Thin,
            _ => LtoKind::Split,
        }
    }
}

/// Whether a file has more modules than one, and so one for regular LTO beside a thin one: ThinLTO has at most one of a file
/// (llvm `LTO::addThinLTO`). Nothing within them is read; a file that cannot be read has none.
pub fn has_several_modules(bytes: &[u8]) -> bool {
    let Ok(raw) = unwrap(bytes) else { return false };
    let (mut stream, mut record) = (Block::stream(raw), Record::default());
    let mut modules = 0;
    while let Ok(Some(entry)) = stream.next(&mut record) {
        modules += usize::from(matches!(entry, Entry::Block(block) if block.id() == Some(ids::MODULE_BLOCK)));
    }
    modules > 1
}

fn identification(mut block: Block<'_>) -> Result<String, BitcodeError> {
    let mut record = Record::default();
    while let Some(entry) = block.next(&mut record)? {
        if let (Entry::Record, ids::IDENTIFICATION_STRING) = (entry, record.code) {
            return Ok(string(&record));
        }
    }
    Ok(String::new())
}

fn string(record: &Record<'_>) -> String {
    String::from_utf8_lossy(&record.text(0)).into_owned()
}

fn module(mut block: Block<'_>) -> Result<ModuleFacts, BitcodeError> {
    let mut record = Record::default();
    let mut facts = ModuleFacts::default();
    let mut constants = Constants::default();
    let mut metadata = None;
    let mut summary_flags = None;
    while let Some(entry) = block.next(&mut record)? {
        match entry {
            Entry::Record => match record.code {
                ids::MODULE_TRIPLE => facts.triple = string(&record),
                ids::MODULE_SOURCE_FILENAME => facts.source_file_name = string(&record),
                ids::MODULE_HASH => facts.hash = hash(&record.operands),
                ids::MODULE_GLOBALVAR
                | ids::MODULE_FUNCTION
                | ids::MODULE_ALIAS_OLD
                | ids::MODULE_ALIAS
                | ids::MODULE_IFUNC => constants.skip_global(),
                _ => {}
            },
            Entry::Block(child) => match child.id() {
                Some(ids::CONSTANTS_BLOCK) => constants.read(child)?,
                Some(ids::METADATA_BLOCK) => metadata = Some(Metadata::read(child)?),
                // Of two summaries the first counts, as in getLTOInfo.
                Some(ids::GLOBALVAL_SUMMARY_BLOCK) if facts.summary == SummaryKind::None => {
                    facts.summary = SummaryKind::Thin;
                    summary_flags = flags_of_summary(child)?;
                }
                Some(ids::FULL_LTO_GLOBALVAL_SUMMARY_BLOCK) if facts.summary == SummaryKind::None => {
                    facts.summary = SummaryKind::Regular;
                    summary_flags = flags_of_summary(child)?;
                }
                _ => {}
            },
        }
    }
    let flags = match metadata {
        Some(mut metadata) => metadata.module_flags(&constants)?,
        None => Vec::new(),
    };
    let flag = |name: &str| {
        flags
            .iter()
            .find(|(key, _)| key == name.as_bytes())
            .map(|(_, value)| *value)
    };
    facts.pic_level = flag("PIC Level").unwrap_or(0);
    facts.pie_level = flag("PIE Level").unwrap_or(0);
    facts.code_model = flag("Code Model");
    facts.thin_lto_flag = flag("ThinLTO");
    let from_summary = |bit: u64| summary_flags.map(|flags| flags & bit != 0);
    let from_module = |name: &str| flag(name).is_some_and(|value| value != 0);
    facts.enable_split_lto_unit = from_summary(0x8).unwrap_or_else(|| from_module("EnableSplitLTOUnit"));
    facts.unified_lto = from_summary(0x200).unwrap_or_else(|| from_module("UnifiedLTO"));
    Ok(facts)
}

fn hash(operands: &[u64]) -> Option<[u32; 5]> {
    let mut words = [0; 5];
    if operands.len() != words.len() {
        return None;
    }
    for (word, &operand) in words.iter_mut().zip(operands) {
        *word = u32::try_from(operand).ok()?;
    }
    Some(words)
}

/// A summary's FLAGS, which stand near its beginning (llvm `getEnableSplitLTOUnitAndUnifiedFlag`).
fn flags_of_summary(mut block: Block<'_>) -> Result<Option<u64>, BitcodeError> {
    let mut record = Record::default();
    while let Some(entry) = block.next(&mut record)? {
        if let (Entry::Record, ids::FS_FLAGS) = (entry, record.code) {
            return record.operand(0).map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
