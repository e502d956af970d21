//! What is tried: options, by LLVM version and kind of output.
//! Knows nothing of how a row is checked.

use thinlto_ld::cmdline::OutputKind;

use Effect::{Same, Visible};
use OutputKind::{Executable as Exe, Pie, Relocatable as Rel, Shared};

/// Whether an option must change some object (so that its row can fail).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Visible,
    Same,
}

#[derive(Clone, Copy)]
pub struct Row {
    pub llvm: u32,
    pub kind: OutputKind,
    pub options: &'static str,
    pub effect: Effect,
}

pub const fn row(llvm: u32, kind: OutputKind, options: &'static str, effect: Effect) -> Row {
    Row {
        llvm,
        kind,
        options,
        effect,
    }
}

/// Every row; those of LLVM 22 are tried with 23 as well, but for options that it no longer has or that mean what is usual there.
pub fn all() -> Vec<Row> {
    let stays = |row: &&Row| row.llvm == 22 && !NOT_IN_23.iter().any(|option| row.options.contains(option));
    let with_23 = ROWS.iter().filter(stays).map(|row| Row { llvm: 23, ..*row });
    with_23.chain(ROWS.iter().copied()).collect()
}

const NOT_IN_23: &[&str] = &["-enable-no-nans-fp-math", "-enable-loopinterchange"];

const ROWS: &[Row] = &[
    row(23, Exe, "-plugin-opt=-enable-loopinterchange=0", Visible),
    row(23, Exe, "-plugin-opt=-enable-loopinterchange --lto-O3", Visible),
    row(23, Rel, "-plugin-opt=-enable-loopinterchange=0 --lto-O1", Visible),
    row(
        23,
        Exe,
        "-plugin-opt=-function-sections=1 -plugin-opt=-data-sections=1",
        Same,
    ),
    row(23, Exe, "-plugin-opt=-always-rename-promoted-locals=0", Same),
    row(23, Pie, "-plugin-opt=-always-rename-promoted-locals=false", Same),
    row(22, Exe, "-plugin-opt=-enable-loopinterchange", Same),
    row(22, Exe, "-plugin-opt=-enable-loopinterchange=0", Same),
    row(22, Exe, "-plugin-opt=-enable-loopinterchange --lto-O1", Visible),
    row(22, Exe, "", Same),
    row(22, Pie, "", Same),
    row(22, Shared, "", Same),
    row(22, Rel, "", Same),
    // The first word may say what the modules are compiled with, if not with what fits the output.
    row(22, Pie, "-fpie", Visible),
    row(22, Exe, "-fPIC", Visible),
    row(22, Exe, "-fpie", Visible),
    row(22, Rel, "-fpie --lto-O1", Visible),
    row(19, Pie, "-fpie", Visible),
    row(19, Exe, "-fPIC", Visible),
    row(22, Exe, "--lto-O0", Visible),
    row(22, Exe, "--lto-O1", Visible),
    row(22, Rel, "--lto-O1 -plugin-opt=mcpu=znver3", Visible),
    row(22, Shared, "--lto-O3", Visible),
    row(22, Exe, "--lto-CGO0", Visible),
    row(22, Pie, "--lto-CGO1", Same),
    row(22, Exe, "--lto-CGO3", Visible),
    row(22, Exe, "--lto-O3 --lto-CGO2", Visible),
    row(22, Exe, "--lto-O1 --lto-CGO1", Visible),
    row(22, Exe, "--lto-O0 --lto-CGO0", Visible),
    row(22, Exe, "--lto-O3 --lto-O2", Same),
    row(22, Exe, "-plugin-opt=mcpu=x86-64", Visible),
    row(22, Shared, "-plugin-opt=mcpu=haswell", Visible),
    row(22, Exe, "-plugin-opt=-mcpu=haswell", Visible),
    row(22, Exe, "-plugin-opt=-mattr=+avx2", Visible),
    row(22, Exe, "-plugin-opt=-mattr=+sse4.2,+avx512f,-avx512cd", Visible),
    row(22, Exe, "-plugin-opt=-mattr=+avx,+popcnt --lto-O1", Visible),
    row(
        22,
        Exe,
        "-plugin-opt=mcpu=x86-64 -plugin-opt=-mattr=avx2,+xsaveopt,-fma",
        Visible,
    ),
    row(22, Exe, "-plugin-opt=-inline-threshold=0", Visible),
    row(22, Exe, "-plugin-opt=-disable-lsr --lto-O1", Visible),
    row(22, Exe, "-plugin-opt=-import-instr-limit=0", Visible),
    row(22, Exe, "-plugin-opt=-relocation-model=pic", Visible),
    row(22, Rel, "-plugin-opt=-relocation-model=pic", Visible),
    row(22, Shared, "-plugin-opt=-code-model=medium", Visible),
    row(22, Exe, "-plugin-opt=-code-model=large", Visible),
    row(22, Exe, "-plugin-opt=-emulated-tls", Visible),
    row(22, Shared, "-plugin-opt=-enable-tlsdesc", Visible),
    row(22, Exe, "-plugin-opt=-unique-section-names=0", Visible),
    row(22, Exe, "-plugin-opt=-separate-named-sections", Visible),
    row(22, Exe, "-plugin-opt=-stack-size-section", Visible),
    row(22, Exe, "-plugin-opt=-align-loops=64", Visible),
    row(22, Exe, "-plugin-opt=-use-ctors", Visible),
    row(22, Exe, "-plugin-opt=-nozero-initialized-in-bss", Visible),
    row(22, Exe, "-plugin-opt=-force-dwarf-frame-section", Visible),
    row(22, Exe, "-plugin-opt=-partition-static-data-sections", Same),
    row(22, Exe, "-plugin-opt=-split-machine-functions", Same),
    row(22, Exe, "-plugin-opt=-call-graph-section", Visible),
    row(22, Exe, "-plugin-opt=-debugger-tune=sce", Visible),
    row(22, Exe, "-plugin-opt=-strict-dwarf", Visible),
    row(22, Exe, "-plugin-opt=-enable-jmc-instrument", Visible),
    row(22, Exe, "-plugin-opt=-xray-function-index=false", Visible),
    row(22, Exe, "-plugin-opt=-emit-call-site-info", Visible),
    row(22, Exe, "-plugin-opt=-vector-library=LIBMVEC", Visible),
    row(22, Exe, "-plugin-opt=-exception-model=sjlj", Visible),
    row(22, Exe, "-plugin-opt=-crel", Visible),
    row(22, Shared, "-plugin-opt=-x86-relax-relocations=0", Visible),
    row(22, Exe, "-plugin-opt=-dwarf64", Visible),
    row(22, Exe, "-plugin-opt=-save-temp-labels", Visible),
    row(22, Exe, "-plugin-opt=-mc-relax-all", Visible),
    row(22, Exe, "-plugin-opt=-x86-sse2avx", Same),
    row(22, Exe, "-plugin-opt=-gsframe", Visible),
    row(22, Exe, "-plugin-opt=-emit-dwarf-unwind=no-compact-unwind", Same),
    row(
        22,
        Exe,
        "-plugin-opt=-frame-pointer=all -plugin-opt=-trap-func=oops",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=-disable-tail-calls -plugin-opt=-stackrealign -plugin-opt=-debug-entry-values",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=-function-sections -plugin-opt=-data-sections=0 -plugin-opt=-addrsig=0",
        Same,
    ),
    row(
        22,
        Shared,
        "-plugin-opt=-code-model=medium -plugin-opt=-large-data-threshold=9999999",
        Visible,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=-no-integrated-as -plugin-opt=-thread-model=single",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=-enable-no-nans-fp-math -plugin-opt=-denormal-fp-math=preserve-sign",
        Same,
    ),
    row(22, Exe, "--lto-basic-block-sections=all", Visible),
    row(
        22,
        Exe,
        "--lto-basic-block-sections=all --lto-unique-basic-block-section-names",
        Visible,
    ),
    row(22, Exe, "--lto-basic-block-sections=all --lto-O1", Visible),
    row(22, Exe, "--lto-basic-block-sections=@list", Visible),
    row(22, Exe, "--lto-basic-block-sections=labels", Same),
    row(22, Exe, "-plugin-opt=-basic-block-sections=all", Visible),
    row(
        22,
        Exe,
        "-plugin-opt=-basic-block-sections=all --lto-basic-block-sections=none",
        Same,
    ),
    row(22, Exe, "--lto-basic-block-address-map", Visible),
    row(22, Exe, "-plugin-opt=-basic-block-address-map", Same),
    row(22, Exe, "--lto-sample-profile=@sample", Visible),
    row(22, Exe, "--lto-sample-profile=@sample --lto-O1", Visible),
    row(22, Exe, "--lto-cs-profile-generate", Visible),
    row(
        22,
        Exe,
        "--lto-cs-profile-generate --lto-cs-profile-file=/nowhere/cs.profraw",
        Visible,
    ),
    row(22, Exe, "--lto-cs-profile-generate --lto-O1", Visible),
    row(
        22,
        Exe,
        "--lto-cs-profile-file=@csprofile --no-lto-pgo-warn-mismatch",
        Visible,
    ),
    row(22, Exe, "--lto-cs-profile-file=@irprofile", Same),
    row(22, Exe, "-plugin-opt=dwo_dir=@dwo", Visible),
    row(22, Exe, "-plugin-opt=dwo_dir=@dwo --lto-partitions=3 --lto-O1", Visible),
    row(
        22,
        Exe,
        "-plugin-opt=opt-remarks-filename=@remarks -plugin-opt=opt-remarks-format=yaml",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=opt-remarks-filename=@remarks -plugin-opt=opt-remarks-passes=inline",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=opt-remarks-filename=@remarks -plugin-opt=opt-remarks-with-hotness",
        Same,
    ),
    row(
        22,
        Exe,
        "-plugin-opt=opt-remarks-filename=@remarks -plugin-opt=opt-remarks-with-hotness --lto-sample-profile=@sample",
        Visible,
    ),
    row(
        22,
        Exe,
        "--lto-whole-program-visibility --lto-validate-all-vtables-have-type-infos",
        Same,
    ),
    row(
        22,
        Exe,
        "--disable-verify --lto-partitions=4 --thinlto-jobs=1 --lto=default",
        Same,
    ),
    row(22, Exe, "--time-trace=trace.json --lto-O1", Visible),
    row(22, Pie, "--time-trace=trace.json --time-trace-granularity=10", Same),
    row(19, Exe, "", Same),
    row(19, Rel, "--lto-O1", Visible),
    row(19, Exe, "--lto-basic-block-sections=labels", Visible),
    row(19, Exe, "--lto-basic-block-address-map", Visible),
    row(19, Exe, "-plugin-opt=-vector-library=LIBMVEC-X86", Visible),
    row(19, Exe, "-plugin-opt=-emit-call-site-info", Visible),
    row(19, Exe, "-plugin-opt=-xray-function-index=0 -plugin-opt=-crel", Visible),
    row(
        19,
        Shared,
        "-plugin-opt=-x86-relax-relocations=0 -plugin-opt=-save-temp-labels",
        Visible,
    ),
    row(19, Exe, "--lto-cs-profile-file=@csprofile", Visible),
    row(19, Exe, "-plugin-opt=-mattr=+avx2", Visible),
    row(16, Pie, "", Same),
    row(16, Pie, "--time-trace=trace.json", Same),
    row(16, Exe, "--lto-O0", Visible),
    row(16, Exe, "--lto-basic-block-sections=labels", Visible),
    row(16, Exe, "-plugin-opt=-vector-library=LIBMVEC-X86", Visible),
    row(16, Exe, "-plugin-opt=-emit-call-site-info", Visible),
    row(16, Exe, "-plugin-opt=-no-xray-index", Visible),
    row(16, Exe, "-plugin-opt=-no-xray-index=0", Same),
    row(16, Shared, "-plugin-opt=-relax-elf-relocations=0", Visible),
    row(16, Exe, "-plugin-opt=-mattr=+avx2", Visible),
];
