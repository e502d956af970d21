//! One link made both ways in a scratch folder, and compared: what `thinlto compare` does.
//! Knows nothing of how its answer is shown.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde::Deserialize;

use super::command::LinkCommand;
use super::judge;
use super::listing::Lister;
use super::measure::{self, Words};
use super::objects;
use super::sides::{self, Side};
use super::trace;
use super::verdict::{Comparison, Cost, Objects, Phase, Verdict};
use crate::children::Children;
use crate::cmdline::Invocation;
use crate::observe::timeline::Span;
use crate::settings::{self, Order};

/// Why nothing could be compared, in words; and whether it was a signal.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A file, or a program.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
}

/// What says what a file error was about.
pub fn at(what: impl ToString) -> impl FnOnce(io::Error) -> CompareError {
    move |error| match error.kind() {
        io::ErrorKind::Interrupted => CompareError::Interrupted,
        _ => CompareError::Io(what.to_string(), error),
    }
}

/// What became of a link that was not made.
pub const FAILED: &str = "failed";

/// What a link said of itself, as far as it is wanted here.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    /// `distributed`, `in-process`, `passthrough`.
    pub mode: String,
    /// Why not distributed.
    pub reason: Option<String>,
    /// The real linker.
    pub linker: String,
    /// The compiler.
    pub clang: Option<String>,
    /// Their LLVM.
    pub llvm: Option<String>,
    /// Modules linked.
    pub modules: usize,
    /// What became of the backends.
    pub backends: ToldBackends,
    /// Every backend.
    #[serde(default)]
    pub timeline: Vec<Span>,
    /// Milliseconds.
    pub ms: ToldPhases,
}

/// Backends by what became of them.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ToldBackends {
    /// Compiled.
    pub run: usize,
    /// From the cache.
    pub cached: usize,
}

/// Milliseconds by phase.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ToldPhases {
    scan: f64,
    thin_link: f64,
    backends: f64,
    final_link: Option<f64>,
}

impl Told {
    /// The last line of a stats file.
    pub fn read(file: &Path) -> Option<Told> {
        let text = fs::read_to_string(file).ok()?;
        serde_json::from_str(text.lines().last()?).ok()
    }

    /// The real linker, by the last line of a stats file.
    pub fn linker(file: &Path) -> Option<PathBuf> {
        Told::read(file).map(|told| PathBuf::from(told.linker))
    }

    /// The module of an LTO task.
    pub fn module(&self, task: usize) -> Option<String> {
        self.timeline
            .iter()
            .find(|span| span.task == task)
            .map(|span| span.name.clone())
    }

    /// What the link's own clock says.
    pub fn add_to(&self, cost: &mut Cost) {
        let phases = [
            ("scan", Some(self.ms.scan)),
            ("thin link", Some(self.ms.thin_link)),
            ("backends", Some(self.ms.backends)),
            ("final link", self.ms.final_link),
        ];
        let mut start = 0.0;
        for (name, ms) in phases {
            let Some(ms) = ms else { continue };
            cost.phases.push(Phase {
                name: name.to_owned(),
                start_ms: start,
                ms,
            });
            start += ms;
        }
        cost.backends.clone_from(&self.timeline);
        (cost.compiled, cost.cached) = (self.backends.run, self.backends.cached);
    }
}

/// One of the links, made.
#[derive(Debug)]
pub struct Made {
    /// Its files.
    pub side: Side,
    /// How it ended.
    pub status: ExitStatus,
    /// What it cost.
    pub cost: Cost,
}

/// Where distributed links have their objects from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backends {
    /// Their own backends: what a link costs is to be seen, and nothing is to be left behind.
    Run,
    /// The cache, if the user has one: a build's own link has just put them there.
    Kept,
}

/// A link in the making.
#[derive(Debug)]
pub struct Links<'a> {
    /// The user's.
    pub command: &'a LinkCommand,
    /// Its words, read.
    pub invocation: &'a Invocation,
    /// Where everything is put.
    pub scratch: &'a Path,
    /// Our children.
    pub children: &'a Children,
    /// Whether backends are run for distributed links.
    pub backends: Backends,
}

impl Links<'_> {
    /// A folder for one of the links.
    pub(super) fn side(&self, name: &str) -> Result<Side, CompareError> {
        let folder = self.scratch.join(name);
        fs::create_dir_all(&folder).map_err(at(folder.display()))?;
        Ok(Side::new(folder))
    }

    /// Both links have split debug info in one folder, for its name is in their objects.
    fn dwo(&self) -> PathBuf {
        self.scratch.join("dwo")
    }

    fn run(&self, side: Side, words: Vec<std::ffi::OsString>) -> Result<Made, CompareError> {
        let mut program = Command::new(&self.command.thinlto_ld);
        program
            .arg0(&self.command.argv0)
            .args(crate::response::shorten(words, &side.response()).map_err(at("response file"))?)
            .envs(self.command.env.iter().cloned());
        for name in ["mode", "stats", "compare", "timeline"] {
            program.env_remove(settings::variable(name));
        }
        let (status, cost) = measure::run(&mut program, &Words::File(&side.said()), self.children)
            .map_err(at(self.command.thinlto_ld.display()))?;
        Ok(Made { side, status, cost })
    }

    /// The link in-process.
    ///
    /// # Errors
    /// See [`CompareError`]; that the link fails is none.
    pub fn in_process(&self) -> Result<Made, CompareError> {
        let side = self.side("in-process")?;
        let words = sides::in_process(self.invocation, &side, &self.dwo());
        let mut made = self.run(side, words)?;
        (made.cost.phases, made.cost.backends) = trace::read(&made.side.trace());
        made.cost.compiled = made.cost.backends.len();
        Ok(made)
    }

    /// The link in-process once more, without what is added for comparing objects.
    ///
    /// # Errors
    /// As [`Links::in_process`].
    pub fn in_process_plainly(&self) -> Result<Made, CompareError> {
        let side = self.side("in-process-plainly")?;
        let words = sides::in_process_plainly(self.invocation, &side, &self.dwo());
        self.run(side, words)
    }

    /// The link distributed once more, without what is added for comparing objects.
    ///
    /// # Errors
    /// As [`Links::in_process`].
    pub fn distributed_plainly(&self) -> Result<Made, CompareError> {
        let side = self.side("distributed-plainly")?;
        let mut words = sides::distributed(self.invocation, &side, &self.dwo(), None, self.backends);
        words.push(sides::NO_OBJECTS.into());
        self.run(side, words)
    }

    /// What a link makes; where it fails, what it makes if it is not asked for objects: the empty one that lld then links
    /// may not go with the others (another floating-point ABI). None where it fails all the same.
    ///
    /// # Errors
    /// As [`Links::in_process`].
    pub fn succeeding(
        &self,
        made: &Made,
        plainly: impl Fn(&Self) -> Result<Made, CompareError>,
    ) -> Result<Option<PathBuf>, CompareError> {
        if made.status.success() {
            return Ok(Some(made.side.output()));
        }
        let plain = plainly(self)?;
        Ok(plain.status.success().then(|| plain.side.output()))
    }

    /// The link distributed, and what it told.
    ///
    /// # Errors
    /// As [`Links::in_process`].
    pub fn distributed(&self, order: Option<Order>) -> Result<(Made, Option<Told>), CompareError> {
        let side = self.side(if order.is_some() { "in-order" } else { "distributed" })?;
        let words = sides::distributed(self.invocation, &side, &self.dwo(), order, self.backends);
        let mut made = self.run(side, words)?;
        let told = Told::read(&made.side.stats());
        if let Some(told) = &told {
            told.add_to(&mut made.cost);
        }
        Ok((made, told))
    }
}

/// Makes the link both ways and compares.
///
/// # Errors
/// See [`CompareError`]; that there is no telling is an answer.
pub fn compare(links: &Links<'_>) -> Result<Comparison, CompareError> {
    let mut comparison = begin(links);
    let (distributed, told) = links.distributed(None)?;
    if let Some(told) = &told {
        comparison.describe(told);
    }
    let is_ours = told.as_ref().is_some_and(|told| told.mode == "distributed");
    if let (false, Some(told)) = (is_ours, &told) {
        let reason = told.reason.clone().unwrap_or_default();
        return Ok(comparison.unknown(&told.mode, &format!("the link is not distributed: {reason}")));
    }
    let in_process = links.in_process()?;
    comparison.in_process = Some(in_process.cost.clone());
    comparison.distributed = Some(distributed.cost.clone());
    let Some(told) = told else {
        return Ok(comparison.unknown(
            FAILED,
            &format!("thinlto-ld did not say what it did: {}", distributed.words()),
        ));
    };
    let ours = links.succeeding(&distributed, Links::distributed_plainly)?;
    let theirs = links.succeeding(&in_process, Links::in_process_plainly)?;
    let (ours, theirs) = match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours, theirs),
        (None, None) => return Ok(comparison.failed_both_ways(&in_process)),
        (None, Some(_)) => return Ok(comparison.failed_one_way("distributed", &distributed)),
        (Some(_), None) => return Ok(comparison.failed_one_way("in-process", &in_process)),
    };
    comparison.objects = same_objects(&in_process, &distributed, &told)?;
    judge::outputs(&mut comparison, links, theirs, &ours)?;
    Ok(comparison)
}

/// A comparison of which nothing is known yet.
pub fn begin(links: &Links<'_>) -> Comparison {
    begin_of(links.invocation)
}

/// The same, of a command line.
pub fn begin_of(invocation: &Invocation) -> Comparison {
    Comparison {
        version: 1,
        verdict: Verdict::Unknown,
        why: String::new(),
        mode: "distributed".into(),
        output_file: invocation.output.display().to_string(),
        cwd: std::env::current_dir()
            .map(|cwd| cwd.display().to_string())
            .unwrap_or_default(),
        linker: String::new(),
        clang: None,
        llvm: None,
        objects: Objects::default(),
        output: None,
        in_process: None,
        distributed: None,
        notes: Vec::new(),
    }
}

/// Compares the objects both links left.
///
/// # Errors
/// A file cannot be read.
pub fn same_objects(in_process: &Made, distributed: &Made, told: &Told) -> Result<Objects, CompareError> {
    let tools = [told.clang.as_deref(), Some(told.linker.as_str())];
    let tools: Vec<&Path> = tools.into_iter().flatten().map(Path::new).collect();
    let major = told.llvm.as_deref().and_then(|version| version.split('.').next());
    let lister = Lister::beside(&tools, major);
    let (a, b) = (in_process.side.objects(), distributed.side.objects());
    objects::compare(&a, &b, |task| told.module(task), &lister).map_err(at("backends' objects"))
}

impl Made {
    /// The first of what it printed that is an error.
    pub fn words(&self) -> String {
        let text = fs::read(self.side.said()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let line = text
            .lines()
            .find(|line| line.contains("error:"))
            .or_else(|| text.lines().next());
        line.map_or_else(|| self.status.to_string(), str::to_owned)
    }
}

impl Comparison {
    /// Which tools the link has, by its own word.
    pub fn describe(&mut self, told: &Told) {
        self.linker.clone_from(&told.linker);
        self.clang.clone_from(&told.clang);
        self.llvm.clone_from(&told.llvm);
    }

    /// It is no link, by both: what configure scripts try.
    pub fn failed_both_ways(self, in_process: &Made) -> Comparison {
        let why = format!("the link fails both ways: {}", in_process.words());
        self.unknown(FAILED, &why)
    }

    /// Only one of the links fails.
    pub fn failed_one_way(mut self, which: &str, made: &Made) -> Comparison {
        self.verdict = Verdict::Different;
        self.why = format!("only the {which} link fails: {}", made.words());
        self
    }

    /// There is no telling, and why.
    pub fn unknown(mut self, mode: &str, why: &str) -> Comparison {
        self.verdict = Verdict::Unknown;
        mode.clone_into(&mut self.mode);
        why.clone_into(&mut self.why);
        self
    }
}
