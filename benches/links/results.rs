//! What was measured up to now, row by row, kept in a file beside the Markdown: a row measured again replaces the former, and
//! one measured on another machine goes. Knows nothing of how figures are taken nor of what they look like.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};

use crate::contenders::{Case, Contender};
use crate::error::{At, Error, Result};
use crate::measure::Cost;
use crate::tools::Tools;

/// One contender against another, over one program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Where it stands among all rows: the program's place, its size, the duel's place.
    pub rank: (usize, usize, usize),
    /// What is linked.
    pub program: String,
    /// Modules, where they were made here.
    pub modules: Option<usize>,
    /// What had happened before.
    pub case: Case,
    /// Who is measured.
    pub who: Contender,
    /// Against whom.
    pub against: Contender,
    /// When, and of which sources.
    pub moment: Moment,
    /// Or the words of the one that failed.
    pub figures: std::result::Result<Figures, String>,
}

/// What was measured; first the one, then whom it is measured against.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Pair by pair.
    pub costs: Vec<(Cost, Cost)>,
    /// Peaks in bytes.
    pub memory: Option<(u64, u64)>,
    /// Milliseconds of CPU of thinlto-ld's own process, link by link.
    pub own_cpu: Vec<f64>,
    /// What the last link of thinlto-ld compiled.
    pub work: Option<Work>,
}

/// What thinlto-ld did for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// It put the output back as it was.
    Restored,
    /// It ran `run` backends for `of` modules.
    Backends { run: u64, of: u64 },
}

/// When a row was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The last commit that changed thinlto-ld itself; with a `+`, and changes since.
    pub commit: String,
    /// UTC.
    pub date: String,
    /// The machine's load in the minute before.
    pub load: String,
}

impl Moment {
    /// Now.
    pub fn now() -> Moment {
        const PRODUCT: [&str; 4] = ["src", "build.rs", "Cargo.toml", "Cargo.lock"];
        let git = |words: &[&str]| said("git", &[words, &["--"], &PRODUCT].concat());
        let commit = git(&["log", "-1", "--format=%h"]).unwrap_or_else(|| "unknown".into());
        let changed = git(&["status", "--porcelain"]).map_or("", |_| "+");
        let load = read("/proc/loadavg");
        Moment {
            commit: format!("{commit}{changed}"),
            date: said("date", &["-u", "+%F"]).unwrap_or_else(|| "unknown".into()),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// Where it was measured, and which LLVM: names and values in the order they are shown.
pub type Machine = Vec<(String, String)>;

/// All rows of this machine.
#[derive(Debug)]
pub struct Results {
    /// This machine.
    pub machine: Machine,
    file: Option<PathBuf>,
    rows: BTreeMap<(String, Case, Contender, Contender), Row>,
}

impl Results {
    /// What `file` has, if it is of this machine and this LLVM. Without a file nothing is kept.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is not one of ours.
    pub fn open(file: Option<PathBuf>, tools: &Tools) -> Result<Results> {
        let mut results = Results {
            machine: machine(tools),
            file,
            rows: BTreeMap::new(),
        };
        let Some(file) = results.file.clone().filter(|file| file.exists()) else {
            return Ok(results);
        };
        let text = fs::read_to_string(&file).at(&file)?;
        let unfit = |error: serde_json::Error| Error::Unfit(format!("{}: {error}", file.display()));
        let mut lines = text.lines();
        let machine: Machine = serde_json::from_str(lines.next().unwrap_or_default()).map_err(unfit)?;
        if machine != results.machine {
            eprintln!("{}: measured on another machine, measured anew", file.display());
            return Ok(results);
        }
        for line in lines {
            results.put(serde_json::from_str(line).map_err(unfit)?);
        }
        Ok(results)
    }

    fn put(&mut self, row: Row) {
        let key = (row.program.clone(), row.case, row.who, row.against);
        self.rows.insert(key, row);
    }

    /// Takes a row in and writes all of them down.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, row: Row) -> Result<()> {
        self.put(row);
        let Some(file) = &self.file else { return Ok(()) };
        let unfit = |error: serde_json::Error| Error::Unfit(format!("{}: {error}", file.display()));
        let mut text = serde_json::to_string(&self.machine).map_err(unfit)? + "\n";
        for row in self.rows() {
            text += &(serde_json::to_string(row).map_err(unfit)? + "\n");
        }
        let fresh = file.with_extension("new");
        fs::write(&fresh, text).at(&fresh)?;
        fs::rename(&fresh, file).at(file)
    }

    /// In the order of the report.
    pub fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.values().collect();
        rows.sort_by_key(|row| row.rank);
        rows
    }
}

fn machine(tools: &Tools) -> Machine {
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model);
    let cpus = available_parallelism().map_or(0, usize::from);
    let meminfo = read("/proc/meminfo");
    let kilobytes = meminfo
        .split_whitespace()
        .nth(1)
        .and_then(|text| text.parse::<u64>().ok());
    let rows = [
        ("CPU", format!("{model}, {cpus} CPUs")),
        ("memory", format!("{} GB", kilobytes.unwrap_or_default() >> 20)),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("LLVM", tools.version.clone()),
    ];
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What a program prints, if anything.
fn said(program: &str, words: &[&str]) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(program).args(words).current_dir(folder).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
