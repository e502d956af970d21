//! The table of LLVM options (`-mllvm X`, `-plugin-opt=-X`) that clang can't take as they are: codegen options lld
//! registers and clang doesn't, MC options clang accepts and ignores, and those only the thin link reads.
//! Knows nothing of the rest of a link: an option that isn't here is passed on, and clang itself is asked about it.

use super::draft::Draft;
use crate::llvm::{NEWEST, OLDEST};

/// What becomes of an LLVM option in a backend's command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// A boolean: the words for true, the words for false.
    Bool(&'static [&'static str], &'static [&'static str]),
    /// One word: this prefix, then the value.
    Joined(&'static str),
    /// Two words: this one, then the value.
    Separate(&'static str),
    /// The words for each value; any other value is not known.
    Choice(&'static [(&'static str, &'static [&'static str])]),
    /// Itself: clang's `-mllvm` takes it and means the same.
    Same,
    /// Nothing: lld overwrites the option, or no ELF backend reads it.
    Drop,
    /// Nothing: read while the combined index is analysed, not while a module is compiled.
    ThinLink,
    /// Something that takes more than words.
    Apply(fn(&mut Draft, &str) -> Result<(), &'static str>),
    /// Only in-process lld does it faithfully; why.
    InProcess(&'static str),
}

struct Row {
    name: &'static str,
    /// First and last LLVM this row holds for.
    since: u32,
    until: u32,
    rule: Rule,
}

const fn row(name: &'static str, rule: Rule) -> Row {
    between(name, OLDEST, NEWEST, rule)
}

const fn between(name: &'static str, since: u32, until: u32, rule: Rule) -> Row {
    Row {
        name,
        since,
        until,
        rule,
    }
}

const NO_WORD: &str = "no clang option says the same to a backend";
const PRINTS: &str = "prints or counts over the whole link";
const UNTRIED: &str = "not known to be the same in clang";

/// llvm/lib/CodeGen/CommandFlags.cpp: lld registers them, clang does not (`-mllvm` of one is an error there).
const CODEGEN: &[Row] = &[
    row("relocation-model", Rule::Apply(Draft::relocation_model)),
    row("code-model", Rule::Joined("-mcmodel=")),
    row("mcpu", Rule::Apply(Draft::cpu)),
    row("mattr", Rule::Apply(Draft::features)),
    row("emulated-tls", Rule::Bool(&["-femulated-tls"], &["-fno-emulated-tls"])),
    between("enable-tlsdesc", 19, NEWEST, Rule::Bool(&["-enable-tlsdesc"], &[])),
    row("tls-size", Rule::Joined("-mtls-size=")),
    row("unique-section-names", Rule::Bool(&[], &["-fno-unique-section-names"])),
    between(
        "separate-named-sections",
        19,
        NEWEST,
        Rule::Bool(&["-fseparate-named-sections"], &[]),
    ),
    row("stack-size-section", Rule::Bool(&["-fstack-size-section"], &[])),
    row("align-loops", Rule::Joined("-falign-loops=")),
    row("use-ctors", Rule::Bool(&["-fno-use-init-array"], &[])),
    row(
        "nozero-initialized-in-bss",
        Rule::Bool(&["-fno-zero-initialized-in-bss"], &[]),
    ),
    row("force-dwarf-frame-section", Rule::Bool(&["-fforce-dwarf-frame"], &[])),
    row(
        "split-machine-functions",
        Rule::Bool(&["-fsplit-machine-functions"], &[]),
    ),
    between(
        "partition-static-data-sections",
        22,
        NEWEST,
        Rule::Bool(&["-fpartition-static-data-sections"], &[]),
    ),
    between(
        "call-graph-section",
        22,
        NEWEST,
        Rule::Bool(&["-fexperimental-call-graph-section"], &[]),
    ),
    row("debugger-tune", Rule::Joined("-debugger-tuning=")),
    row("strict-dwarf", Rule::Bool(&["-gstrict-dwarf"], &[])),
    row("enable-jmc-instrument", Rule::Bool(&["-fjmc"], &[])),
    between(
        "xray-function-index",
        19,
        NEWEST,
        Rule::Bool(&[], &["-fno-xray-function-index"]),
    ),
    between("no-xray-index", 16, 16, Rule::Apply(Draft::no_xray_index)),
    // Not -gcall-site-info: it is for clang's own debug info, and the code generator never hears of it.
    row(
        "emit-call-site-info",
        Rule::Bool(&["-debug-info-kind=constructor", "-dwarf-version=5"], &[]),
    ),
    between(
        "vector-library",
        22,
        NEWEST,
        Rule::Choice(&[
            ("none", &[]),
            ("LIBMVEC", &["-fveclib=libmvec"]),
            ("LIBMVEC-X86", &["-fveclib=libmvec"]),
        ]),
    ),
    between("vector-library", 16, 19, Rule::Same),
    between("vector-library", 20, 21, Rule::InProcess(UNTRIED)),
    between("exception-model", 22, NEWEST, Rule::Joined("-exception-model=")),
    between(
        "exception-model",
        16,
        21,
        Rule::InProcess("clang sets the exception model itself"),
    ),
    row("float-abi", Rule::Separate("-mfloat-abi")),
    row(
        "basic-block-sections",
        Rule::Apply(Draft::basic_block_sections_fallback),
    ),
    row("function-sections", Rule::Drop),
    row("data-sections", Rule::Drop),
    row("addrsig", Rule::Drop),
    row("basic-block-address-map", Rule::Drop),
    row("unique-basic-block-section-names", Rule::Drop),
    row("frame-pointer", Rule::Drop),
    row("trap-func", Rule::Drop),
    row("disable-tail-calls", Rule::Drop),
    row("stackrealign", Rule::Drop),
    row("no-integrated-as", Rule::Drop),
    row("large-data-threshold", Rule::Drop),
    between("enable-no-infs-fp-math", 16, 22, Rule::Drop),
    between("enable-no-nans-fp-math", 16, 22, Rule::Drop),
    between("enable-no-signed-zeros-fp-math", 16, 22, Rule::Drop),
    row("enable-no-trapping-fp-math", Rule::Drop),
    row("denormal-fp-math", Rule::Drop),
    row("thread-model", Rule::Drop),
    row("debug-entry-values", Rule::Drop),
    row("fp-contract", Rule::InProcess(NO_WORD)),
    row("tailcallopt", Rule::InProcess(NO_WORD)),
    row("stack-symbol-ordering", Rule::InProcess(NO_WORD)),
];

/// llvm/lib/MC/MCTargetOptionsCommandFlags.cpp: clang registers them for its assembler until LLVM 22, so that `-mllvm` takes them and
/// a backend ignores them.
const MC: &[Row] = &[
    row("mc-relax-all", Rule::Bool(&["-mrelax-all"], &[])),
    row("dwarf64", Rule::Bool(&["-gdwarf64"], &[])),
    row("save-temp-labels", Rule::Bool(&["-msave-temp-labels"], &[])),
    between("crel", 19, NEWEST, Rule::Bool(&["--crel"], &[])),
    between("implicit-mapsyms", 22, NEWEST, Rule::Bool(&["-mmapsyms=implicit"], &[])),
    between(
        "x86-relax-relocations",
        19,
        NEWEST,
        Rule::Bool(&[], &["-mrelax-relocations=no"]),
    ),
    between(
        "relax-elf-relocations",
        16,
        16,
        Rule::Bool(&[], &["-mrelax-relocations=no"]),
    ),
    between("x86-sse2avx", 19, NEWEST, Rule::Bool(&["-msse2avx"], &[])),
    between("gsframe", 22, NEWEST, Rule::Bool(&["--gsframe"], &[])),
    between("large-eh-encoding", 23, NEWEST, Rule::InProcess(UNTRIED)),
    between("reloc-section-sym", 23, NEWEST, Rule::InProcess(UNTRIED)),
    row("target-abi", Rule::InProcess(UNTRIED)),
    row("dwarf-version", Rule::InProcess(NO_WORD)),
    row("incremental-linker-compatible", Rule::InProcess(UNTRIED)),
    row("fdpic", Rule::InProcess(UNTRIED)),
    row("emit-dwarf-unwind", Rule::Joined("-femit-dwarf-unwind=")),
    row("emit-compact-unwind-non-canonical", Rule::InProcess(UNTRIED)),
    row("asm-show-inst", Rule::InProcess(UNTRIED)),
    row("fatal-warnings", Rule::InProcess(UNTRIED)),
    row("no-warn", Rule::InProcess(UNTRIED)),
    row("W", Rule::InProcess(UNTRIED)),
    row("no-deprecated-warn", Rule::InProcess(UNTRIED)),
    row("no-type-check", Rule::InProcess(UNTRIED)),
    row("as-secure-log-file", Rule::InProcess(UNTRIED)),
];

/// Options of libLLVM, which both programs share, that a backend must not simply repeat.
const SHARED: &[Row] = &[
    // lld prints what LLVM's own option asks for, clang what its own does.
    row("pass-remarks", Rule::Joined("-Rpass=")),
    row("pass-remarks-missed", Rule::Joined("-Rpass-missed=")),
    row("pass-remarks-analysis", Rule::Joined("-Rpass-analysis=")),
    // Before, clang had no option to overwrite it with.
    between(
        "enable-loopinterchange",
        21,
        NEWEST,
        Rule::Apply(Draft::loop_interchange),
    ),
    between("enable-loopinterchange", 16, 20, Rule::Same),
    row("import-instr-limit", Rule::ThinLink),
    row("import-cutoff", Rule::ThinLink),
    row("import-instr-evolution-factor", Rule::ThinLink),
    row("import-hot-evolution-factor", Rule::ThinLink),
    row("import-hot-multiplier", Rule::ThinLink),
    row("import-critical-multiplier", Rule::ThinLink),
    row("import-cold-multiplier", Rule::ThinLink),
    between("import-declaration", 19, NEWEST, Rule::ThinLink),
    row("compute-dead", Rule::ThinLink),
    row("whole-program-visibility", Rule::ThinLink),
    row("lto-embed-bitcode", Rule::InProcess(NO_WORD)),
    row("load", Rule::InProcess("loads a plug-in")),
    row("opt-bisect-limit", Rule::InProcess(PRINTS)),
    row("opt-bisect", Rule::InProcess(PRINTS)),
    row("debug-counter", Rule::InProcess(PRINTS)),
    row("stats", Rule::InProcess(PRINTS)),
    row("stats-json", Rule::InProcess(PRINTS)),
    row("time-passes", Rule::InProcess(PRINTS)),
    row("time-passes-per-run", Rule::InProcess(PRINTS)),
    row("info-output-file", Rule::InProcess(PRINTS)),
    row("debug", Rule::InProcess(PRINTS)),
    row("debug-only", Rule::InProcess(PRINTS)),
    row("debug-pass-manager", Rule::InProcess(PRINTS)),
];

/// Families of [`SHARED`], by the beginning of the name.
const FAMILIES: &[(&str, Rule)] = &[
    ("print-", Rule::InProcess(PRINTS)),
    ("view-", Rule::InProcess(PRINTS)),
    ("dot-", Rule::InProcess(PRINTS)),
    (
        "codegen-data-",
        Rule::InProcess("compiles every module twice, with data of the whole link between"),
    ),
    ("help", Rule::InProcess("prints help")),
];

/// The words of clang's that stand for an option of the code generator or the assembler, as the tables have them: those
/// that one is said by, and whether its value is glued to it or follows.
pub(super) fn code_generators_words(major: u32) -> impl Iterator<Item = (&'static str, Value)> {
    let major = major.min(NEWEST);
    let rows = [CODEGEN, MC].into_iter().flatten();
    let rows = rows.filter(move |r| (r.since..=r.until).contains(&major));
    rows.flat_map(|row| {
        let flags = |words: &[&'static str]| words.iter().map(|word| (*word, Value::None)).collect::<Vec<_>>();
        match row.rule {
            Rule::Bool(yes, no) => [flags(yes), flags(no)].concat(),
            Rule::Joined(word) => vec![(word, Value::Joined)],
            Rule::Separate(word) => vec![(word, Value::Separate)],
            Rule::Choice(choices) => choices.iter().flat_map(|choice| flags(choice.1)).collect(),
            _ => Vec::new(),
        }
    })
}

/// Where the value of a word of clang's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// It has none.
    None,
    /// Glued to it.
    Joined,
    /// In the next word.
    Separate,
}

/// What the table says.
pub(super) enum Found {
    /// This becomes of it.
    Rule(Rule),
    /// Not in the table: clang takes it as it is, or says that it doesn't know it.
    Elsewhere,
    /// In the table, but for other versions of LLVM.
    OtherVersion,
}

/// Looks up an LLVM option by its name without dashes, for LLVM `major`.
pub(super) fn find(name: &str, major: u32) -> Found {
    let major = major.min(NEWEST);
    let mut rows = [CODEGEN, MC, SHARED]
        .into_iter()
        .flatten()
        .filter(|r| r.name == name)
        .peekable();
    let known = rows.peek().is_some();
    match rows.find(|r| (r.since..=r.until).contains(&major)) {
        Some(r) => Found::Rule(r.rule),
        None if known => Found::OtherVersion,
        None => FAMILIES
            .iter()
            .find(|f| name.starts_with(f.0))
            .map_or(Found::Elsewhere, |f| Found::Rule(f.1)),
    }
}

/// Reads a `cl::opt<bool>` value (llvm/lib/Support/CommandLine.cpp, `parser<bool>::parse`).
pub(super) fn boolean(value: Option<&str>) -> Option<bool> {
    match value {
        None | Some("" | "true" | "TRUE" | "True" | "1") => Some(true),
        Some("false" | "FALSE" | "False" | "0") => Some(false),
        Some(_) => None,
    }
}
