//! Every input of a link, and how it would be treated.
//! Knows nothing of the options.

use serde::Serialize;

use crate::backend::flags::ModuleTarget;
use crate::bitcode::facts::{Facts, LtoKind};
use crate::cmdline::Invocation;
use crate::inputs::{BitcodeSource, Entry, FileKind, Inputs, Origin, ScriptContent};
use crate::route::lto_mode;

/// One input.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedInput {
    /// Its path.
    pub path: String,
    /// How it came into the link: `command line`, `-lNAME`, or the script that names it.
    pub from: String,
    /// What it is: `thin`, `split`, `regular`, `fat`, `native`, `shared library`, `archive`, `thin archive`, `script` …
    pub kind: &'static str,
    /// What is done with it, and why.
    pub treatment: String,
    /// An archive's members.
    pub members: usize,
    /// Those with bitcode.
    pub bitcode_members: usize,
    /// Who wrote its bitcode.
    pub producer: Option<String>,
}

/// Every input, in link order; those that are missing behind them.
pub fn all(invocation: &Invocation, inputs: &Inputs) -> Vec<ExplainedInput> {
    let found = inputs
        .entries
        .iter()
        .enumerate()
        .map(|(number, entry)| one(invocation, inputs, number, entry));
    let missing = inputs.missing.iter().map(|missing| ExplainedInput {
        path: missing.name.to_string_lossy().into_owned(),
        from: "command line".to_owned(),
        kind: "missing",
        treatment: format!("{}: the linker says what is wrong", missing.problem),
        members: 0,
        bitcode_members: 0,
        producer: None,
    });
    found.chain(missing).collect()
}

/// What a piece of bitcode is, and what becomes of it.
fn bitcode(kind: LtoKind) -> (&'static str, &'static str) {
    match kind {
        LtoKind::Thin => (
            "thin",
            "ThinLTO bitcode: a backend of its own makes a native object, which stands in its place",
        ),
        LtoKind::Split => (
            "split",
            "bitcode with a thin and a regular module: a backend makes an object of the one, the thin link compiles the other",
        ),
        LtoKind::Regular => (
            "regular",
            "regular LTO bitcode: compiled by the thin link, all of it in one object",
        ),
        LtoKind::NoSummary => (
            "regular",
            "bitcode without a summary: regular LTO, compiled by the thin link, all of it in one object",
        ),
    }
}

fn facts(inputs: &Inputs, source: BitcodeSource) -> Option<Facts> {
    inputs.bitcode(source).ok().and_then(|bytes| Facts::read(bytes).ok())
}

fn one(invocation: &Invocation, inputs: &Inputs, number: usize, entry: &Entry) -> ExplainedInput {
    let whole = BitcodeSource {
        entry: number,
        member: None,
    };
    let mut explained = ExplainedInput {
        path: entry.path.display().to_string(),
        from: match &entry.origin {
            Origin::CommandLine => "command line".to_owned(),
            Origin::Library(name) => format!("-l{}", name.to_string_lossy()),
            Origin::Script(script) => script.display().to_string(),
        },
        kind: "unknown",
        treatment: String::new(),
        members: entry.members.len(),
        bitcode_members: entry.members.iter().filter(|member| member.kind.is_bitcode()).count(),
        producer: None,
    };
    let (kind, treatment) = match entry.kind {
        FileKind::Bitcode | FileKind::FatObject => match facts(inputs, whole) {
            Some(facts) => {
                let (kind, treatment) = bitcode(facts.kind(lto_mode(invocation)));
                explained.producer = Some(facts.producer).filter(|producer| !producer.is_empty());
                match entry.kind {
                    FileKind::FatObject => ("fat", format!("native object with {treatment}")),
                    _ => (kind, treatment.to_owned()),
                }
            }
            None => (
                "unknown",
                "bitcode that cannot be read: the linker says what is wrong".to_owned(),
            ),
        },
        FileKind::NativeObject => ("native", "native object: linked as it is".to_owned()),
        FileKind::SharedObject => ("shared library", "shared library: linked as it is".to_owned()),
        FileKind::Archive => ("archive", archive(invocation, inputs, number, entry)),
        FileKind::ThinArchive => ("thin archive", archive(invocation, inputs, number, entry)),
        FileKind::Text => ("script", script(inputs, entry)),
        FileKind::Data => ("data", "not linked as code: taken as it is".to_owned()),
        FileKind::Stream => ("stream", "can only be read once: the link is lld's".to_owned()),
        FileKind::Unknown => (
            "unknown",
            "no file that can be linked: the linker says what is wrong".to_owned(),
        ),
    };
    explained.kind = kind;
    explained.treatment = match (
        entry.position.in_lib,
        entry.kind.is_bitcode() || entry.kind == FileKind::NativeObject,
    ) {
        (true, true) => format!("{treatment}; only if something refers to it (--start-lib)"),
        _ => treatment,
    };
    explained
}

fn archive(invocation: &Invocation, inputs: &Inputs, number: usize, entry: &Entry) -> String {
    let (mut thin, mut regular) = (0, 0);
    for (position, _) in entry
        .members
        .iter()
        .enumerate()
        .filter(|(_, member)| member.kind.is_bitcode())
    {
        let source = BitcodeSource {
            entry: number,
            member: Some(position),
        };
        match facts(inputs, source).map(|facts| facts.kind(lto_mode(invocation))) {
            Some(LtoKind::Thin | LtoKind::Split) => thin += 1,
            _ => regular += 1,
        }
    }
    let when = match entry.position.whole_archive {
        true => "all of them are linked (--whole-archive)",
        false => "those that something refers to are linked",
    };
    let members = entry.members.len();
    match (thin, regular) {
        (0, 0) => format!("{members} members, no bitcode: linked as it is"),
        (thin, 0) => {
            format!("{members} members, {thin} ThinLTO bitcode; {when}: rebuilt with native members in their places")
        }
        (thin, regular) => format!(
            "{members} members, {thin} ThinLTO and {regular} regular LTO bitcode; {when}: rebuilt with native members in their places"
        ),
    }
}

fn script(inputs: &Inputs, entry: &Entry) -> String {
    let script = inputs.scripts.iter().find(|script| script.path == entry.path);
    match script.map(|script| script.content) {
        Some(ScriptContent::InputsOnly) => "linker script that only names files: they stand in its place".to_owned(),
        _ => "linker script: read by the linker".to_owned(),
    }
}

/// What every ThinLTO module is compiled for.
pub fn targets(invocation: &Invocation, inputs: &Inputs) -> Vec<ModuleTarget> {
    let mut targets: Vec<ModuleTarget> = Vec::new();
    for source in inputs.bitcode_by_name().into_values() {
        let Some(facts) = facts(inputs, source) else { continue };
        if !matches!(facts.kind(lto_mode(invocation)), LtoKind::Thin | LtoKind::Split) {
            continue;
        }
        for module in facts.modules {
            let target = ModuleTarget {
                triple: module.triple,
                pic_level: module.pic_level,
            };
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    targets
}
