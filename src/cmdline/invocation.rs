//! One ld.lld command line as data: its items in order, and what they add up to (output, inputs with their positional
//! state, LTO settings). Knows nothing of the file system.

use std::ffi::OsString;
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
/// `-plugin-opt=O2`, `--lto-O2` and `-lto-O2` are all `{name: "lto-O", value: Some("2")}`.
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
    /// LTO settings in lld's parse order.
    pub lto: Vec<LtoSetting>,
    /// Nothing is linked: `--version`, `--help`, or `-v`/`-V` with no inputs.
    pub informational: bool,
    /// Why this command line must be left to in-process lld, if it must: the option as spelled
    /// (`--reproduce`, `--lto-emit-asm`, a `-plugin-opt=` or option the table does not know …).
    pub in_process: Option<String>,
    /// The command line belongs to another driver (`-m i386pep`, `-flavor` other than gnu): exec, no questions.
    pub foreign: bool,
}
