//! The table of ld.lld's options, LLVM 16 to 23: spelling, arity, and what each means to a distributed link.
//! Knows nothing of values or order; `parse` reads command lines with it.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{lto_options, options};

/// How many dashes an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dashes {
    /// `-x` only.
    One,
    /// `--x` only.
    Two,
    /// Both.
    Either,
}

/// How an option takes its value (lld/ELF/Options.td).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// None.
    Flag,
    /// `-xVALUE`, `--x=VALUE` (the name includes the `=`).
    Joined,
    /// `-x VALUE`.
    Separate,
    /// Either of the two.
    JoinedOrSeparate,
}

/// What an option means to a distributed link; decides which of the two links sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Both links take it as it is.
    Plain,
    /// Changes the state of the inputs after it (`--whole-archive`, `-Bstatic`, `--start-lib` …) or names an input (`-l`).
    Positional,
    /// Shapes LTO: the thin link takes it, the final link does not.
    Lto,
    /// Names a file written beside the output, or prints to stdout (`-Map`, `--cref`, `--trace`): final link only.
    Report,
    /// Only in-process lld can do it; the reason is the option's name.
    InProcess,
    /// Ends the link before it begins (`--version`, `--help`).
    Informational,
}

/// Which of the LLVM releases this table was made from (16, 19, 22 and 23) know an option.
///
/// Command lines are read with all rows whatever the linker's version: an option the linker at hand does not know is
/// its own to complain about. Nothing is claimed of the releases in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// First major version.
    pub first: u32,
    /// Last major version.
    pub last: u32,
}

impl Versions {
    /// All of them.
    pub const ALL: Self = Self {
        first: 0,
        last: u32::MAX,
    };
    /// LLVM 16, gone in 19.
    pub const ONLY_16: Self = Self { first: 0, last: 16 };
    /// Not in LLVM 16.
    pub const SINCE_19: Self = Self {
        first: 19,
        last: u32::MAX,
    };
    /// Not in LLVM 19.
    pub const SINCE_22: Self = Self {
        first: 22,
        last: u32::MAX,
    };
    /// Gone in LLVM 23.
    pub const UNTIL_22: Self = Self { first: 0, last: 22 };
    /// Not in LLVM 22.
    pub const SINCE_23: Self = Self {
        first: 23,
        last: u32::MAX,
    };

    /// Whether release `major` (one of those) knows the option.
    pub const fn has(self, major: u32) -> bool {
        self.first <= major && major <= self.last
    }
}

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub struct OptionDef {
    /// Without dashes, with the `=` of a joined form.
    pub name: &'static str,
    /// Dashes it takes.
    pub dashes: Dashes,
    /// How it takes its value.
    pub arity: Arity,
    /// What it means to us.
    pub role: Role,
    /// The canonical option this row is a spelling of (its own name without `=` where it is itself canonical).
    pub canonical: &'static str,
    /// Releases that know it.
    pub versions: Versions,
    /// The value a flag stands for, where the canonical option takes one (`--no-color-diagnostics`: `never`).
    pub implied: Option<&'static str>,
}

/// A word that looks like an option but is in no row: lld would reject it, or is newer than this table.
pub static UNKNOWN: OptionDef = own("", Dashes::Either, Arity::Flag, Role::InProcess);

/// A row that is its own canonical spelling.
pub(super) const fn own(name: &'static str, dashes: Dashes, arity: Arity, role: Role) -> OptionDef {
    alias(name, dashes, arity, role, without_equals(name))
}

/// A row that is a spelling of another option.
pub(super) const fn alias(
    name: &'static str,
    dashes: Dashes,
    arity: Arity,
    role: Role,
    canonical: &'static str,
) -> OptionDef {
    OptionDef {
        name,
        dashes,
        arity,
        role,
        canonical,
        versions: Versions::ALL,
        implied: None,
    }
}

/// `name` without the `=` of a joined form.
const fn without_equals(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [front @ .., b'='] => name.split_at(front.len()).0,
        _ => name,
    }
}

impl OptionDef {
    /// The row, for some releases only.
    pub(super) const fn versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// The row, standing for a value.
    pub(super) const fn implies(mut self, value: &'static str) -> Self {
        self.implied = Some(value);
        self
    }

    /// The name without the `=` of a joined form, as one would say it in a message.
    pub const fn spoken(&self) -> &'static str {
        without_equals(self.name)
    }

    /// Whether the option may be written with this many dashes.
    pub fn takes(&self, dashes: usize) -> bool {
        match self.dashes {
            Dashes::One => dashes == 1,
            Dashes::Two => dashes == 2,
            Dashes::Either => dashes == 1 || dashes == 2,
        }
    }
}

/// Every row.
pub fn rows() -> impl Iterator<Item = &'static OptionDef> {
    options::ROWS.iter().chain(lto_options::ROWS)
}

static BY_NAME: LazyLock<HashMap<&'static [u8], &'static OptionDef>> =
    LazyLock::new(|| rows().map(|row| (row.name.as_bytes(), row)).collect());

static LONGEST_NAME: LazyLock<usize> = LazyLock::new(|| rows().map(|row| row.name.len()).max().unwrap_or(0));

/// The rows whose dashes and name begin `word`, the longest name first, each with the number of bytes it matches.
///
/// That is the order in which LLVM's `OptTable::ParseOneArg` offers a word to its options: `--lto-O2` is `lto-O`, and
/// `-lto-O2` is `-l` (names with two dashes only are no match for one).
pub fn matches(word: &[u8]) -> impl Iterator<Item = (&'static OptionDef, usize)> {
    let (dashes, body) = match word {
        [b'-', b'-', body @ ..] => (2, body),
        [b'-', body @ ..] => (1, body),
        body => (0, body),
    };
    (1..=body.len().min(*LONGEST_NAME)).rev().filter_map(move |length| {
        let row = *BY_NAME.get(body.get(..length)?)?;
        row.takes(dashes).then_some((row, dashes + length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        assert_eq!(rows().count(), BY_NAME.len());
    }

    #[test]
    fn a_value_is_implied_by_flags_only() {
        for row in rows().filter(|row| row.implied.is_some()) {
            assert_eq!(row.arity, Arity::Flag, "{}", row.name);
        }
    }

    #[test]
    fn all_spellings_of_an_option_mean_the_same_to_us() {
        let mut roles = HashMap::new();
        for row in rows() {
            let role = *roles.entry(row.canonical).or_insert(row.role);
            assert_eq!(role, row.role, "{} and {}", row.name, row.canonical);
        }
    }

    #[test]
    fn longest_name_first() {
        let names = |word: &str| matches(word.as_bytes()).map(|(row, _)| row.name).collect::<Vec<_>>();
        assert_eq!(names("--lto-O2"), ["lto-O"]);
        assert_eq!(names("-lto-O2"), ["l"]);
        assert_eq!(names("-omagic"), ["o"]);
        assert_eq!(names("--omagic"), ["omagic"]);
        assert_eq!(
            names("-plugin-opt=-pass-through=-lc")[..3],
            ["plugin-opt=-pass-through=", "plugin-opt=-", "plugin-opt="]
        );
        assert_eq!(names("omagic"), [""; 0]);
    }
}
