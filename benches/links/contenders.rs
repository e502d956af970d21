//! Who links, what has happened before, and which of them are compared: three tables.
//! Knows nothing of programs nor of measuring.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::distributor;
use crate::edit::Reach;
use crate::program::{Kind, Program};
use crate::tools::Tools;

/// What has happened before the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub enum Case {
    /// nothing is cached
    Cold,
    /// one line of a function's body was edited, with another number of instructions
    Edit,
    /// a constant in a function's body was edited, nothing else differs in the module's summary
    Constant,
    /// nothing has changed since the last link
    Unchanged,
    /// native objects only
    Passthrough,
    /// -v, no link at all
    Version,
}

/// Who links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
pub enum Contender {
    /// in-process lld without a cache
    Lld,
    /// in-process lld with --thinlto-cache-dir
    LldCached,
    /// thinlto-ld as it comes
    Forkserver,
    /// thinlto-ld, a process for each backend
    Process,
    /// LLVM's DTLTO
    Dtlto,
    /// LLVM's DTLTO with --thinlto-cache-dir
    DtltoCached,
    /// LLVM's DTLTO with thinlto distribute as its distributor
    Distribute,
}

use Case::{Cold, Constant, Edit, Passthrough, Unchanged, Version};
use Contender::{Distribute, Dtlto, DtltoCached, Forkserver, Lld, LldCached, Process};

/// The comparisons: of whom, against whom, and over which programs where the user does not choose.
const DUELS: &[(Case, Contender, Contender, Over)] = &[
    (Cold, Forkserver, Lld, Over::All),
    (Cold, Process, Lld, Over::Kernel),
    (Cold, Dtlto, Lld, Over::Moderate),
    (Edit, Forkserver, LldCached, Over::All),
    (Edit, Forkserver, Lld, Over::Moderate),
    (Edit, DtltoCached, LldCached, Over::Moderate),
    (Constant, Forkserver, LldCached, Over::All),
    (Unchanged, Forkserver, LldCached, Over::All),
    (Unchanged, DtltoCached, LldCached, Over::Moderate),
    (Passthrough, Forkserver, Lld, Over::Native),
    (Version, Forkserver, Lld, Over::Native),
    // Behind those that figures are kept of.
    (Cold, Distribute, Dtlto, Over::Moderate),
    (Edit, Distribute, DtltoCached, Over::Moderate),
    (Unchanged, Distribute, Dtlto, Over::Moderate),
    (Unchanged, Distribute, DtltoCached, Over::Moderate),
];

/// Programs by what can be asked of them in reasonable time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// All that have bitcode.
    All,
    /// Not thousands of modules: a clang each takes minutes.
    Moderate,
    Kernel,
    Native,
}

/// More modules than this are not moderate.
const MODERATE: usize = 2000;

/// What the user chooses; of what is left open, all that takes reasonable time.
#[derive(Debug)]
pub struct Choice<'a> {
    /// None is all.
    pub cases: &'a [Case],
    /// None is all.
    pub contenders: &'a [Contender],
}

impl Choice<'_> {
    /// The comparisons over a program of kind `kind`, each with its place in the report.
    pub fn duels(&self, kind: Kind, size: usize) -> Vec<(usize, Case, Contender, Contender)> {
        let all = DUELS.iter().enumerate();
        all.filter(|(_, (case, who, _, over))| {
            let fits = (*over == Over::Native) == (kind == Kind::Native);
            let asked = match self.contenders {
                [] => match over {
                    Over::All | Over::Native => true,
                    Over::Moderate => size <= MODERATE,
                    Over::Kernel => kind == Kind::Kernel,
                },
                contenders => contenders.contains(who),
            };
            fits && asked && (self.cases.is_empty() || self.cases.contains(case))
        })
        .map(|(place, (case, who, against, _))| (place, *case, *who, *against))
        .collect()
    }
}

impl Case {
    /// As in the report.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map(|v| v.get_name().to_owned())
            .unwrap_or_default()
    }

    /// The edit between two links.
    pub fn reach(self) -> Option<Reach> {
        match self {
            Edit => Some(Reach::Summary),
            Constant => Some(Reach::Constant),
            Cold | Unchanged | Passthrough | Version => None,
        }
    }

    /// Whether an earlier link has to have filled the caches.
    pub fn is_warm(self) -> bool {
        matches!(self, Edit | Constant | Unchanged)
    }

    /// Whether there is bitcode in it.
    pub fn is_lto(self) -> bool {
        !matches!(self, Passthrough | Version)
    }

    /// Runs for one pair the user asked for: links of some milliseconds need more of them.
    pub fn repeats(self) -> u32 {
        if self.is_lto() { 1 } else { 20 }
    }
}

impl Contender {
    /// As in the report.
    pub fn name(self) -> &'static str {
        match self {
            Lld => "ld.lld",
            LldCached => "ld.lld, cache",
            Forkserver => "thinlto-ld",
            Process => "thinlto-ld, engine process",
            Dtlto => "DTLTO",
            DtltoCached => "DTLTO, cache",
            Distribute => "DTLTO, thinlto distribute",
        }
    }

    /// Whether it is a program of ours that runs backends, and writes stats.
    pub fn is_ours(self) -> bool {
        matches!(self, Forkserver | Process | Distribute)
    }

    fn linker(self, tools: &Tools) -> &Path {
        match self {
            Forkserver | Process => &tools.shim,
            Lld | LldCached | Dtlto | DtltoCached | Distribute => &tools.lld,
        }
    }

    /// Whether it keeps anything from one link to the next.
    pub fn has_cache(self) -> bool {
        matches!(self, LldCached | Forkserver | Process | DtltoCached | Distribute)
    }

    /// Pairs without which there is no figure, however long they take, and the share of the budget for others.
    pub fn least_pairs(self) -> (u32, u32) {
        if self == Forkserver { (3, 1) } else { (1, 2) }
    }

    /// The command that makes `program`'s link in `case`. All it writes is below `folder`.
    pub fn command(self, program: &Program, case: Case, folder: &Path, tools: &Tools) -> Command {
        let mut command = Command::new(self.linker(tools));
        for (name, _) in std::env::vars_os() {
            if name == "MAKEFLAGS" || name.to_string_lossy().starts_with("THINLTO_LD_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(&program.cwd)
            .env("TMPDIR", folder.join("tmp"))
            .env("XDG_CACHE_HOME", folder.join("home"));
        if case == Version {
            command.arg("-v");
        } else {
            command.args(&program.words).arg("-o").arg(folder.join("output"));
        }
        let cache = folder.join("cache");
        match self {
            Lld => {}
            LldCached => {
                command.arg(option("--thinlto-cache-dir=", &cache));
            }
            Forkserver | Process => {
                let engine = if self == Process { "process" } else { "forkserver" };
                command
                    .env("THINLTO_LD_LINKER", &tools.lld)
                    .env("THINLTO_LD_CLANG", &tools.clang)
                    .env("THINLTO_LD_ENGINE", engine)
                    .env("THINLTO_LD_CACHE", if case == Cold { "off" } else { "on" })
                    .env("THINLTO_LD_CACHE_DIR", &cache)
                    .env("THINLTO_LD_STATS", folder.join("stats"));
                if case.is_lto() {
                    command.env("THINLTO_LD_MODE", "distributed");
                }
            }
            Dtlto | DtltoCached => {
                let own = std::env::current_exe().unwrap_or_default();
                command
                    .arg(option("--thinlto-distributor=", &own))
                    .arg(format!("--thinlto-distributor-arg={}", distributor::WORD))
                    .arg(option("--thinlto-remote-compiler=", &tools.clang));
                if self == DtltoCached {
                    command.arg(option("--thinlto-cache-dir=", &cache));
                }
            }
            Distribute => {
                command
                    .arg(option(
                        "--thinlto-distributor=",
                        Path::new(env!("CARGO_BIN_EXE_thinlto")),
                    ))
                    .arg("--thinlto-distributor-arg=distribute")
                    .arg(option("--thinlto-remote-compiler=", &tools.clang))
                    .env("THINLTO_LD_CACHE", if case == Cold { "off" } else { "on" })
                    .env("THINLTO_LD_CACHE_DIR", &cache)
                    .env("THINLTO_LD_STATS", folder.join("stats"));
            }
        }
        command
    }
}

fn option(name: &str, value: &Path) -> OsString {
    let mut word = OsString::from(name);
    word.push(value);
    word
}
