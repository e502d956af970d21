//! The table of lld's LTO options: what each becomes in a backend, and which of several spellings wins.
//! Knows nothing of `-mllvm` options' names (see `mllvm`) nor of what the finished command looks like.

use super::draft::Draft;

/// What becomes of a setting in a backend's command.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    /// Nothing: it concerns the thin link, or how the link is run.
    None,
    /// It takes the value given and says what is wrong with it, if anything is.
    Apply(fn(&mut Draft, &str) -> Result<(), &'static str>),
    /// Only in-process lld does it faithfully; why.
    InProcess(&'static str),
}

/// How several occurrences add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Several {
    /// lld's `getLastArg`: of all the settings of one group the last one counts.
    LastOf(&'static str),
    /// Each counts, in order.
    Each,
}

/// One row.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) several: Several,
    pub(super) effect: Effect,
}

const fn last(name: &'static str, effect: Effect) -> Row {
    Row {
        name,
        several: Several::LastOf(name),
        effect,
    }
}

const fn toggle(name: &'static str, group: &'static str, effect: Effect) -> Row {
    Row {
        name,
        several: Several::LastOf(group),
        effect,
    }
}

const fn each(name: &'static str, effect: Effect) -> Row {
    Row {
        name,
        several: Several::Each,
        effect,
    }
}

const SAME_LINK: &str = "its files come from in-process backends";

/// lld/ELF/Driver.cpp (`readConfigs`) and lld/ELF/LTO.cpp (`createConfig`).
const ROWS: &[Row] = &[
    last("lto-O", Effect::Apply(Draft::opt_level)),
    last("lto-CGO", Effect::Apply(Draft::codegen_level)),
    last("mcpu", Effect::Apply(Draft::cpu)),
    each("mllvm", Effect::Apply(Draft::mllvm)),
    last("lto-sample-profile", Effect::Apply(Draft::sample_profile)),
    last("lto-cs-profile-generate", Effect::Apply(Draft::cs_profile_generate)),
    last("lto-cs-profile-file", Effect::Apply(Draft::cs_profile_file)),
    toggle("lto-pgo-warn-mismatch", "lto-pgo-warn-mismatch", Effect::None),
    toggle("no-lto-pgo-warn-mismatch", "lto-pgo-warn-mismatch", Effect::None),
    last("lto-basic-block-sections", Effect::Apply(Draft::basic_block_sections)),
    toggle(
        "lto-basic-block-address-map",
        "bb-map",
        Effect::Apply(Draft::basic_block_address_map),
    ),
    toggle("no-lto-basic-block-address-map", "bb-map", Effect::None),
    toggle(
        "lto-unique-basic-block-section-names",
        "bb-names",
        Effect::Apply(Draft::unique_basic_block_names),
    ),
    toggle("no-lto-unique-basic-block-section-names", "bb-names", Effect::None),
    last("dwo_dir", Effect::Apply(Draft::dwo_dir)),
    last("opt-remarks-filename", Effect::Apply(Draft::remarks_file)),
    last("opt-remarks-format", Effect::Apply(Draft::remarks_format)),
    last("opt-remarks-passes", Effect::Apply(Draft::remarks_passes)),
    last("opt-remarks-with-hotness", Effect::Apply(Draft::remarks_with_hotness)),
    last("opt-remarks-hotness-threshold", Effect::Apply(Draft::remarks_threshold)),
    last("disable-verify", Effect::Apply(Draft::disable_verify)),
    last("time-trace", Effect::Apply(Draft::time_trace)),
    last("time-trace-granularity", Effect::Apply(Draft::time_trace_granularity)),
    last("lto-partitions", Effect::Apply(Draft::partitions)),
    toggle("lto-whole-program-visibility", "wpv", Effect::None),
    toggle("no-lto-whole-program-visibility", "wpv", Effect::None),
    toggle("lto-validate-all-vtables-have-type-infos", "vtables", Effect::None),
    toggle("no-lto-validate-all-vtables-have-type-infos", "vtables", Effect::None),
    each("lto-known-safe-vtables", Effect::None),
    last("lto", Effect::Apply(Draft::lto_kind)),
    last("lto-obj-path", Effect::None),
    last("thinlto-jobs", Effect::None),
    last("thinlto-cache-dir", Effect::None),
    last("thinlto-cache-policy", Effect::None),
    last("thinlto-emit-index-files", Effect::None),
    last("thinlto-emit-imports-files", Effect::None),
    toggle("fat-lto-objects", "fat-lto-objects", Effect::None),
    toggle("no-fat-lto-objects", "fat-lto-objects", Effect::None),
    last(
        "stats-file",
        Effect::InProcess("one file counts over all backends and the link"),
    ),
    last("lto-debug-pass-manager", Effect::Apply(Draft::debug_pass_manager)),
    last("lto-newpm-passes", Effect::InProcess("clang has no such option")),
    last("lto-aa-pipeline", Effect::InProcess("clang has no such option")),
    each(
        "load-pass-plugin",
        Effect::InProcess("clang does not run plug-ins in ThinLTO backends"),
    ),
    each("save-temps", Effect::Apply(Draft::save_temps)),
    last("lto-emit-asm", Effect::InProcess(SAME_LINK)),
    last("lto-emit-llvm", Effect::InProcess(SAME_LINK)),
    last(
        "thinlto-single-module",
        Effect::InProcess("compiles some of the modules"),
    ),
];

/// The row of a setting, by its canonical name.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|r| r.name == name)
}
