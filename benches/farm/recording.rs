//! A link that was really made, as its stats line tells it (`THINLTO_LD_TIMELINE=on`): how long each backend took, what it
//! read and wrote, whom it imported from. Knows nothing of farms.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use thinlto_ld::observe::timeline::Span;
use thinlto_ld::observe::work::Work;

/// One link.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What was linked.
    pub name: String,
    /// The LLVM it was linked by.
    pub llvm: String,
    /// Seconds before the first backend could begin: inputs read, thin link.
    pub before: f64,
    /// Seconds of all backends, from the first's preparation to the last's end.
    pub backends: f64,
    /// Seconds of the final link.
    pub after: f64,
    /// Seconds of thinlto-ld's own CPU for each backend.
    pub own_cpu: f64,
    /// The backends.
    pub tasks: Vec<Task>,
}

/// One backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Seconds on the machine the link was made on.
    pub seconds: f64,
    /// What it reads and writes.
    pub work: Work,
}

/// What of a stats line is read.
#[derive(Deserialize)]
struct Line {
    output: String,
    mode: String,
    llvm: Option<String>,
    timeline: Option<Vec<Span>>,
    work: Option<Vec<Work>>,
    #[serde(default)]
    backends: Backends,
    ms: Milliseconds,
    cpu_ms: f64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Backends {
    run: usize,
    cached: usize,
    remote: usize,
    remote_cached: usize,
}

#[derive(Deserialize)]
struct Milliseconds {
    scan: f64,
    thin_link: f64,
    backends: f64,
    final_link: Option<f64>,
}

/// A link to compare with: of a farm's workers no more is told than when all was done.
#[derive(Clone, Debug)]
pub struct Made {
    /// What was linked.
    pub name: String,
    /// Seconds of all backends.
    pub backends: f64,
    /// How many ran at once on the linking machine, at most; none where it left all to the farm, or did not tell.
    pub slots: usize,
}

impl Made {
    /// Reads the last line of a stats file.
    ///
    /// # Errors
    /// For people: it is no stats line, or of a link that had backends neither made here nor executed by a farm.
    pub fn read(file: &Path) -> Result<Made, String> {
        let told = |error| format!("{}: {error}", file.display());
        let line = last_line(file).and_then(|line| parsed(&line)).map_err(told)?;
        let (ran, kept) = (
            line.backends.run + line.backends.remote,
            line.backends.cached + line.backends.remote_cached,
        );
        if line.mode != "distributed" || ran == 0 || kept > 0 {
            let what = format!("a {} link, {ran} backends run and {kept} from a cache", line.mode);
            return Err(told(format!("{what}: nothing to compare with")));
        }
        Ok(Made {
            name: line.output,
            backends: line.ms.backends / 1e3,
            slots: slots(line.timeline.as_deref().unwrap_or_default()),
        })
    }
}

fn last_line(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    Ok(text.lines().last().unwrap_or_default().to_owned())
}

fn parsed(line: &str) -> Result<Line, String> {
    serde_json::from_str(line).map_err(|error| format!("no stats line: {error}"))
}

fn slots(timeline: &[Span]) -> usize {
    let slots = timeline.iter().filter_map(|span| span.slot);
    slots.max().map_or(0, |slot| slot + 1)
}

impl Recording {
    /// Reads the last line of a stats file.
    ///
    /// # Errors
    /// What is missing, for people: the link was not recorded, or not all of its backends ran.
    pub fn read(file: &Path) -> Result<Recording, String> {
        let told = |error| format!("{}: {error}", file.display());
        Recording::of(&last_line(file).map_err(told)?).map_err(told)
    }

    /// Reads a line of a stats file.
    ///
    /// # Errors
    /// As [`Recording::read`].
    pub fn of(line: &str) -> Result<Recording, String> {
        let line = parsed(line)?;
        let (Some(timeline), Some(work)) = (line.timeline, line.work) else {
            return Err("the link was made without THINLTO_LD_TIMELINE=on".to_owned());
        };
        if line.mode != "distributed" || timeline.is_empty() || timeline.len() != work.len() {
            return Err(format!(
                "a {} link with {} backends cannot be replayed",
                line.mode,
                timeline.len()
            ));
        }
        if let Some(kept) = timeline.iter().find(|span| span.slot.is_none()) {
            return Err(format!(
                "{} came from the cache: record with THINLTO_LD_CACHE=off",
                kept.name
            ));
        }
        let tasks = timeline.iter().zip(work).map(|(span, work)| Task {
            seconds: (span.end - span.start) / 1e3,
            work,
        });
        let count = timeline.len() as f64;
        Ok(Recording {
            name: line.output,
            llvm: line.llvm.unwrap_or_default(),
            before: (line.ms.scan + line.ms.thin_link) / 1e3,
            backends: line.ms.backends / 1e3,
            after: line.ms.final_link.unwrap_or_default() / 1e3,
            own_cpu: line.cpu_ms / 1e3 / count,
            tasks: tasks.collect(),
        })
    }

    /// How long the schedule takes a backend to be, by the bytes it reads: it knows no times (`prepare` in src/backend/prepare.rs).
    pub fn weight(&self, at: usize) -> u64 {
        let bytes = |at: usize| self.tasks.get(at).map_or(0, |task| task.work.module);
        let imports = self.tasks.get(at).map_or(&[][..], |task| &task.work.imports);
        bytes(at) + imports.iter().map(|import| bytes(*import)).sum::<u64>() / 8
    }

    /// The same program, so many modules large: its modules again and again, each copy importing from itself, and what is
    /// not backends in proportion.
    #[must_use]
    pub fn scaled(&self, modules: usize) -> Recording {
        let own = self.tasks.len().max(1);
        let tasks = (0..modules).filter_map(|at| {
            let (copy, of) = (at / own, at % own);
            let mut task = self.tasks.get(of)?.clone();
            let imports = task.work.imports.iter().map(|import| copy * own + import);
            // The last copy may be cut short.
            task.work.imports = imports.filter(|import| *import < modules).collect();
            Some(task)
        });
        let factor = modules as f64 / own as f64;
        Recording {
            before: self.before * factor,
            after: self.after * factor,
            backends: self.backends * factor,
            tasks: tasks.collect(),
            ..self.clone()
        }
    }
}
