//! The stats line: one JSON object a link, appended to the file the user named.
//! Knows nothing of how the figures came about.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::timeline::Span;
use super::work::Work;
use crate::relocatable::Kept;

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkMode {
    /// Thin link, backends and final link were ours.
    Distributed,
    /// There was ThinLTO bitcode and it was left to lld; `reason` says why.
    InProcess,
    /// No ThinLTO bitcode, no link at all, or the thin link alone.
    Passthrough,
    /// The link was lld's own, by DTLTO; the backends it described were ours.
    Distributor,
}

/// Whether a thin link ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThinLink {
    /// It ran.
    Run,
    /// Its result was taken from an earlier one.
    Reused,
}

/// Where the output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputState {
    /// It was linked now.
    Linked,
    /// Nothing has changed since it was: it was put back as it was made.
    Restored,
}

/// Backends by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Backends {
    /// Compiled now.
    pub run: usize,
    /// Taken from the cache.
    pub cached: usize,
    /// Milliseconds that those ran here took, one after the other.
    pub run_ms: f64,
    /// Milliseconds that those from the cache took when they were compiled, as far as that is known.
    pub cached_ms: f64,
    /// Those of the cached that were only in a cache behind ours.
    #[serde(skip_serializing_if = "is_none")]
    pub cached_behind: usize,
    /// Modules that needed none.
    pub skipped: usize,
    /// Failed.
    pub failed: usize,
    /// Compiled remotely.
    pub remote: usize,
    /// Taken from a shared cache.
    pub remote_cached: usize,
    /// Under way here and remotely at once; the first to end counts as what it is.
    pub raced: usize,
    /// Compiled here, since the server that was to execute them did not.
    pub remote_fell_back: usize,
    /// The reason of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_fallback: Option<String>,
    /// Compiled here, since they depend on what cannot be sent: how many by each reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub remote_stay: BTreeMap<String, usize>,
    /// Compiled by a process of their own, since a worker of the fork server died of them, or with it.
    #[serde(skip_serializing_if = "is_none")]
    pub retried: usize,
    /// Compiled by workers' own clang, and so not kept in our cache, which is of the clang here.
    #[serde(skip_serializing_if = "is_none")]
    pub remote_unkept: usize,
    /// Why a shared cache was left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_cache_off: Option<String>,
    /// Compiled, but not to be cached: which files their assembly reads cannot be decided.
    pub uncacheable: usize,
    /// Where the options of objects are asked for: how many are compiled with their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags_own: Option<usize>,
    /// And how many with the link's alone, since their own are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags_missing: Option<usize>,
    /// The first of those, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags_missing_why: Vec<String>,
    /// What ran them; null where none ran.
    pub engine: Option<&'static str>,
    /// Why plain processes had to do for a fork server.
    pub engine_fallback: Option<String>,
    /// The command they were started through, where one was asked for; it takes a process each, whatever the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launcher: Option<String>,
    /// Why they were not started through it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launcher_off: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's way")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// Bytes over the wire to and from remote servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Sent.
    pub up: u64,
    /// Fetched.
    pub down: u64,
}

/// Native objects left for the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Natives {
    /// Written now.
    pub written: usize,
    /// There already, and not touched.
    pub unchanged: usize,
}

/// Sections renamed for the time of a `-r` link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Relocatable {
    /// Those in the output that have had their names put back, relocations' too; none where it was linked as it is.
    pub renamed: usize,
    /// Why it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl From<Result<usize, Kept>> for Relocatable {
    fn from(renamed: Result<usize, Kept>) -> Relocatable {
        Relocatable {
            why: renamed.as_ref().err().map(Kept::to_string),
            renamed: renamed.unwrap_or_default(),
        }
    }
}

/// Milliseconds by phase.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Phases {
    /// Reading the command line, opening and classifying inputs.
    pub scan: f64,
    /// The thin link and reading its result.
    pub thin_link: f64,
    /// Backends.
    pub backends: f64,
    /// The final link; null where the process was given up to it.
    pub final_link: Option<f64>,
    /// All of it.
    pub total: f64,
}

/// One link.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Of this format.
    pub version: u32,
    /// The output file.
    pub output: String,
    /// What became of the link.
    pub mode: LinkMode,
    /// Why, where it was not distributed.
    pub reason: Option<String>,
    /// The real linker.
    pub linker: String,
    /// The backend compiler, where one was looked for and found.
    pub clang: Option<String>,
    /// The LLVM both are of.
    pub llvm: Option<String>,
    /// Input files, archives counted as one.
    pub inputs: usize,
    /// ThinLTO modules linked.
    pub modules: usize,
    /// Backends by what became of them.
    pub backends: Backends,
    /// What went over the wire; absent where no remote server was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
    /// Null where there was none.
    pub thin_link: Option<ThinLink>,
    /// Native objects left for the user, where that is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native: Option<Natives>,
    /// Of a `-r` link: whether it was one of renamed sections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relocatable: Option<Relocatable>,
    /// Where the output comes from; null where the process was given up to the linker, or failed.
    pub output_state: Option<OutputState>,
    /// Why nothing was cached, where the cache was wanted but is off.
    pub cache_off: Option<String>,
    /// Why nothing was kept, where the cache could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_unwritten: Option<&'static str>,
    /// Every backend, where the `timeline` setting asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Vec<Span>>,
    /// What each of them had to do, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<Vec<Work>>,
    /// Milliseconds by phase.
    pub ms: Phases,
    /// Milliseconds of CPU this process took until the line was written; its children's are not in it.
    pub cpu_ms: f64,
    /// Exit status; null where the process was given up to the linker.
    pub exit: Option<i32>,
    /// Working folder.
    pub cwd: String,
    /// Process id.
    pub pid: u32,
    /// Seconds since 1970 at the start.
    pub start: f64,
    #[serde(skip)]
    began: Instant,
}

impl Stats {
    /// A line to be filled in.
    pub fn new(linker: String) -> Stats {
        Stats {
            version: 1,
            output: String::new(),
            mode: LinkMode::Passthrough,
            reason: None,
            linker,
            clang: None,
            llvm: None,
            inputs: 0,
            modules: 0,
            backends: Backends::default(),
            bytes: None,
            thin_link: None,
            native: None,
            relocatable: None,
            output_state: None,
            cache_off: None,
            cache_unwritten: None,
            timeline: None,
            work: None,
            ms: Phases::default(),
            cpu_ms: 0.0,
            exit: None,
            cwd: std::env::current_dir()
                .map(|d| d.display().to_string())
                .unwrap_or_default(),
            pid: std::process::id(),
            start: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |d| d.as_secs_f64()),
            began: Instant::now(),
        }
    }

    /// The link is made, or left to the linker: how long that took.
    pub fn end(&mut self) {
        self.ms.total = milliseconds(self.began.elapsed());
        self.cpu_ms = own_cpu();
    }

    /// Appends the line in one write, so that links at the same time do not mix theirs.
    ///
    /// # Errors
    /// As the file system says.
    pub fn append(&self, file: &Path) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)?
            .write_all(&line)
    }
}

/// CPU of all of this process's threads, those that ended too.
fn own_cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
    milliseconds(seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default()))
}

/// As the stats line gives times.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
