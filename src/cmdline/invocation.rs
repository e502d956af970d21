//! One ld.lld command line as data: its items in order, and what they add up to (output, inputs with their positional
//! state, LTO settings). Knows nothing of the file system, nor of how words become items.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::table::OptionDef;

/// One element of the command line, response files expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A positional argument: a file.
    Input(OsString),
    /// An option with its value.
    Option {
        /// Its row in the table.
        def: &'static OptionDef,
        /// The words as typed: `["-o", "x"]`, `["-ox"]`, `["--lto-O2"]`.
        words: Vec<OsString>,
        /// The value without the option's name, if it takes one.
        value: Option<OsString>,
    },
}

/// What kind of file the link makes; decides the relocation model of every backend (lld `createConfig`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// A position-dependent executable.
    Executable,
    /// `-pie` (and `-static-pie` as clang spells it: `-static -pie --no-dynamic-linker`).
    Pie,
    /// `-shared`.
    Shared,
    /// `-r`.
    Relocatable,
}

/// How an input was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputName {
    /// A path.
    File(OsString),
    /// `-lNAME`, `-l:FILE`: the part after `-l`.
    Library(OsString),
}

/// The positional state in force where an input stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Inside `--whole-archive`.
    pub whole_archive: bool,
    /// After `-Bstatic`: `-l` finds archives only.
    pub prefer_static: bool,
    /// Inside `--as-needed`.
    pub as_needed: bool,
    /// Inside `--start-lib` … `--end-lib`.
    pub in_lib: bool,
    /// After `--format=binary`: the file is data, whatever it contains.
    pub binary: bool,
    /// After `--just-symbols`/`-R`: only its symbols are used.
    pub just_symbols: bool,
}

/// An input, with the state in force where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// How it was named.
    pub name: InputName,
    /// The state in force.
    pub position: Position,
    /// Index of its `Item` in [`Invocation::items`].
    pub item: usize,
}

/// One LTO setting, in its canonical spelling, whatever alias it came by.
///
/// `-plugin-opt=O2` and `--lto-O2` are both `{name: "lto-O", value: Some("2")}` (`-lto-O2` is `-l to-O2`, in lld too).
/// `-mllvm X` and `-plugin-opt=-X` are `{name: "mllvm", value: Some("-X")}`.
/// Flags have no value. Names are lld's long option without dashes (`lto-obj-path=`'s is `lto-obj-path`);
/// those that exist as `-plugin-opt=` only keep that name (`mcpu`, `dwo_dir`, `stats-file`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LtoSetting {
    /// Canonical name.
    pub name: &'static str,
    /// Its value, if it takes one.
    pub value: Option<String>,
    /// As the user spelled it, for messages.
    pub spelled: String,
}

/// A whole link, read from the command line.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Every item in order, response files expanded, our own `--thinlto-ld-*` options taken out.
    pub items: Vec<Item>,
    /// `--thinlto-ld-NAME=VALUE` options taken out: (`NAME` in lower case with hyphens, `VALUE`).
    pub own: Vec<(String, OsString)>,
    /// The output file; `a.out` where none was named.
    pub output: PathBuf,
    /// What is made.
    pub kind: OutputKind,
    /// Inputs in order, with their positional state.
    pub inputs: Vec<Input>,
    /// `-L` paths in order, as typed (`=` and `$SYSROOT` prefixes not replaced).
    pub search_paths: Vec<PathBuf>,
    /// `--sysroot`.
    pub sysroot: Option<PathBuf>,
    /// LTO settings in lld's parse order: the last `mcpu`, every `-plugin-opt=-X`, every `-mllvm`, then all others as
    /// they stand (of those lld heeds the last one, or the last of a pair like `X` and `no-X`).
    pub lto: Vec<LtoSetting>,
    /// Nothing is linked: `--version`, `--help`, or `-v`/`-V` with no inputs.
    pub informational: bool,
    /// Why this command line must be left to in-process lld, if it must: the first option that is the reason, as
    /// spelled but without its value (`--reproduce`), or the whole word where the table does not know it.
    pub in_process: Option<String>,
    /// The command line belongs to another driver (`-m i386pep`, `-flavor` other than gnu): exec, no questions.
    pub foreign: bool,
}

/// `--color-diagnostics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorDiagnostics {
    /// Where stderr is a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorDiagnostics {
    /// The values lld knows (`handleColorDiagnostics`).
    pub(super) const VALUES: &[(&str, Self)] =
        &[("auto", Self::Auto), ("always", Self::Always), ("never", Self::Never)];
}

/// The prefixes of LLVM's `getAutoSenseRadix`, in its order.
const RADIX_PREFIXES: &[(&str, u32)] = &[("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0", 8)];

/// A number as `llvm::to_integer(…, 0)` reads it.
fn number(text: &str) -> Option<usize> {
    let prefixed = RADIX_PREFIXES.iter().find_map(|(prefix, radix)| {
        let digits = text.strip_prefix(prefix)?;
        digits
            .starts_with(|c: char| c.is_ascii_alphanumeric())
            .then_some((digits, *radix))
    });
    let (digits, radix) = prefixed.unwrap_or((text, 10));
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    usize::from_str_radix(digits, radix).ok()
}

impl Item {
    /// The option as one would name it in a message: with the dashes it was typed with, without its value; or the whole
    /// word where the table does not know it. For an input, its name.
    pub fn spelled(&self) -> String {
        let first = self
            .words()
            .first()
            .map(|word| word.to_string_lossy())
            .unwrap_or_default();
        match self {
            Self::Option { def, .. } if !def.name.is_empty() => {
                let dashes = if first.starts_with("--") { "--" } else { "-" };
                format!("{dashes}{}", def.spoken())
            }
            _ => first.into_owned(),
        }
    }
}

impl Invocation {
    /// Options of this canonical name in order, with their item's index and their value.
    pub fn options<'a>(&'a self, canonical: &'a str) -> impl DoubleEndedIterator<Item = (usize, Option<&'a OsStr>)> {
        self.items
            .iter()
            .enumerate()
            .filter_map(move |(index, item)| match item {
                Item::Option { def, value, .. } if def.canonical == canonical => Some((index, value.as_deref())),
                _ => None,
            })
    }

    /// Whether an option is given, by whichever of its spellings.
    pub fn has(&self, canonical: &str) -> bool {
        self.options(canonical).next().is_some()
    }

    /// The values of an option, in order.
    pub fn all<'a>(&'a self, canonical: &'a str) -> impl DoubleEndedIterator<Item = &'a OsStr> {
        self.options(canonical).filter_map(|(_, value)| value)
    }

    /// The last value of an option: the one that counts, for most.
    pub fn last<'a>(&'a self, canonical: &'a str) -> Option<&'a OsStr> {
        self.all(canonical).next_back()
    }

    /// Whether `yes` is given after any `no`; `None` where neither is (LLVM `ArgList::hasFlag` without its default).
    pub fn flag(&self, yes: &str, no: &str) -> Option<bool> {
        let last = |name| self.options(name).next_back().map(|(index, _)| index);
        match (last(yes), last(no)) {
            (None, None) => None,
            (yes, no) => Some(yes > no),
        }
    }

    /// Whether `-z KEYWORD` is given.
    pub fn has_z(&self, keyword: &str) -> bool {
        self.all("z").any(|value| value == keyword)
    }

    /// Whether fat LTO objects are read for their bitcode.
    pub fn fat_lto_objects(&self) -> bool {
        self.flag("fat-lto-objects", "no-fat-lto-objects").unwrap_or(false)
    }

    /// `--threads`, where it is a positive number (lld refuses others).
    pub fn threads(&self) -> Option<usize> {
        self.last("threads")
            .and_then(OsStr::to_str)
            .and_then(number)
            .filter(|&threads| threads > 0)
    }

    /// Whether diagnostics are coloured.
    pub fn color_diagnostics(&self) -> ColorDiagnostics {
        let value = self.last("color-diagnostics").unwrap_or_default();
        let known = ColorDiagnostics::VALUES.iter().find(|(name, _)| value == *name);
        known.map(|(_, color)| *color).unwrap_or_default()
    }

    /// The value of an LTO setting that counts: the last.
    pub fn lto_value(&self, name: &str) -> Option<&str> {
        self.lto
            .iter()
            .rev()
            .find(|setting| setting.name == name)?
            .value
            .as_deref()
    }
}
