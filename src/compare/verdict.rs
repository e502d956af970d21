//! What a comparison found, as data: the verdict, the objects, the output, the costs. Written as JSON, read by the reports.
//! Knows nothing of how any of it was found out.

use serde::{Deserialize, Serialize};

use crate::observe::timeline::Span;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Both links make the same code, and outputs that mean the same.
    Equivalent,
    /// They do not.
    Different,
    /// There was nothing to compare, or no telling.
    Unknown,
}

impl Verdict {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Verdict::Equivalent => "equivalent",
            Verdict::Different => "different",
            Verdict::Unknown => "cannot tell",
        }
    }
}

/// One link, compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// Of this format.
    pub version: u32,
    /// The answer.
    pub verdict: Verdict,
    /// It in words.
    pub why: String,
    /// `distributed`, or what became of the link instead: `in-process`, `passthrough`, `failed`.
    pub mode: String,
    /// The output the user's command line names.
    pub output_file: String,
    /// Where the link is made.
    pub cwd: String,
    /// The real linker.
    pub linker: String,
    /// The backend compiler.
    pub clang: Option<String>,
    /// Their LLVM.
    pub llvm: Option<String>,
    /// Backends' objects.
    pub objects: Objects,
    /// The outputs; none where there were not two.
    pub output: Option<Outputs>,
    /// What in-process LTO cost.
    pub in_process: Option<Cost>,
    /// What the distributed link cost.
    pub distributed: Option<Cost>,
    /// What is worth saying besides.
    pub notes: Vec<String>,
}

/// The backends' objects of both links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objects {
    /// How many there are.
    pub total: usize,
    /// How many of them are byte for byte the same.
    pub identical: usize,
    /// The others.
    pub differing: Vec<ObjectDifference>,
}

/// Of what sort a difference between two objects is; the worst there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Only sections that debuggers read differ.
    DebugInfo,
    /// The same symbols and sections in another order.
    SymbolOrder,
    /// Sections without a symbol, or what surrounds code and data.
    Other,
    /// Symbols are named, bound or sized otherwise.
    Symbols,
    /// Data.
    Data,
    /// Code.
    Code,
    /// One of the links has no such object.
    Missing,
}

impl Kind {
    /// Whether programs may behave otherwise for it.
    pub fn matters(self) -> bool {
        self > Kind::SymbolOrder
    }

    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Kind::DebugInfo => "only debug info",
            Kind::SymbolOrder => "only symbol order",
            Kind::Other => "sections without symbols",
            Kind::Symbols => "symbols",
            Kind::Data => "data",
            Kind::Code => "code",
            Kind::Missing => "missing",
        }
    }
}

/// Two objects of one module that are not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectDifference {
    /// The module, as the user knows it.
    pub module: String,
    /// Its LTO task.
    pub task: usize,
    /// The worst of it.
    pub kind: Kind,
    /// Sections that differ.
    pub sections: Vec<String>,
    /// Functions and data that differ, the first of them with their code.
    pub symbols: Vec<SymbolDifference>,
}

/// A function or a piece of data that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolDifference {
    /// Its name.
    pub name: String,
    /// `differs`, `only in-process`, `only distributed`.
    pub what: String,
    /// Code.
    pub is_code: bool,
    /// Both, line by line: `-` in-process, `+` distributed. Empty where it was not asked for.
    pub listing: Vec<String>,
}

/// How the outputs compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likeness {
    /// Every byte, but for the build ID.
    Identical,
    /// Every section's bytes; symbols stand in another order.
    SymbolOrder,
    /// The same contents in another order, shown by a link in in-process lld's order that has every section's bytes.
    Order,
    /// The same contents symbol by symbol, elsewhere.
    Contents,
    /// Not the same.
    Different,
}

/// The two outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// How they compare.
    pub likeness: Likeness,
    /// What differs, and should not.
    pub differences: Vec<Difference>,
    /// What differs and may.
    pub allowed: Vec<String>,
    /// Sections and their sizes.
    pub sections: Vec<SectionSize>,
    /// Bytes of the files.
    pub sizes: (u64, u64),
}

/// One thing that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What kind of thing: `symbol`, `section`, `dynamic symbol`, `relocation`, `needed library`, `note`, `contents` …
    pub aspect: String,
    /// Which.
    pub name: String,
    /// How in-process has it; empty where it does not.
    pub in_process: String,
    /// How distributed has it; empty where it does not.
    pub distributed: String,
}

/// A section's size in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionSize {
    /// Its name.
    pub name: String,
    /// Loaded into memory when the output runs.
    pub loaded: bool,
    /// Bytes in-process.
    pub in_process: u64,
    /// Bytes distributed.
    pub distributed: u64,
}

/// What a link cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Milliseconds.
    pub wall_ms: f64,
    /// Milliseconds of CPU, user and system, of all its processes.
    pub cpu_ms: f64,
    /// The most memory all its processes held together, in bytes, pages they share counted once; looked at now and then.
    pub peak_bytes: u64,
    /// Milliseconds by phase, in order.
    pub phases: Vec<Phase>,
    /// Backends.
    pub backends: Vec<Span>,
    /// Backends that were compiled, and those that came from the cache.
    pub compiled: usize,
    /// See there.
    pub cached: usize,
}

/// A phase of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// `scan`, `thin link`, `backends`, `final link`.
    pub name: String,
    /// From the link's beginning.
    pub start_ms: f64,
    /// How long.
    pub ms: f64,
}
