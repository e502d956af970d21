//! The table of ld.lld's options, LLVM 16 to 22: spelling, arity, and what each means to a distributed link.
//! Knows nothing of values or order; `invocation` reads command lines with it.

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
}
