//! Every comparison that `THINLTO_LD_COMPARE` has put into a folder, summed up.
//! Knows nothing of how they were made.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::link::FAILED;
use super::table;
use super::verdict::{Comparison, Cost, Likeness, Verdict};

/// The sum.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Of this format.
    pub version: u32,
    /// Links there are.
    pub links: usize,
    /// By what became of them: `distributed`, `in-process`, `passthrough`, `failed`.
    pub modes: BTreeMap<String, usize>,
    /// Those not distributed, by reason.
    pub reasons: BTreeMap<String, usize>,
    /// Links that failed, and would have in-process wherever that was tried: configure scripts try such.
    pub failed: usize,
    /// Distributed links by verdict.
    pub verdicts: BTreeMap<String, usize>,
    /// Outputs by how they compare.
    pub outputs: BTreeMap<String, usize>,
    /// Backends' objects.
    pub objects: usize,
    /// Those byte for byte in-process lld's.
    pub identical: usize,
    /// The others, by sort.
    pub differing: BTreeMap<String, usize>,
    /// All in-process links that were compared: times added up, memory the most of any.
    pub in_process: Cost,
    /// All distributed ones.
    pub distributed: Cost,
    /// Links that differ, and those of which it cannot be told though they were distributed.
    pub doubtful: Vec<Doubtful>,
    /// Files that hold no comparison.
    pub unreadable: Vec<String>,
}

/// A link that is not shown to be equivalent.
#[derive(Debug, Serialize)]
pub struct Doubtful {
    /// Its output.
    pub output_file: String,
    /// Where it was made.
    pub cwd: String,
    /// The verdict.
    pub verdict: Verdict,
    /// And why.
    pub why: String,
}

/// Reads the comparisons in a folder, the oldest first, and the files that are none.
///
/// # Errors
/// The folder cannot be read.
pub fn read(folder: &Path) -> io::Result<(Vec<Comparison>, Vec<String>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push((path.metadata()?.modified()?, path));
        }
    }
    files.sort();
    let (mut comparisons, mut unreadable) = (Vec::new(), Vec::new());
    for (_, path) in files {
        match fs::read(&path).map(|text| serde_json::from_slice(&text)) {
            Ok(Ok(comparison)) => comparisons.push(comparison),
            Ok(Err(_)) | Err(_) => unreadable.push(path.display().to_string()),
        }
    }
    Ok((comparisons, unreadable))
}

fn name<T: Serialize>(value: T) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

impl Report {
    /// Sums up.
    pub fn of(comparisons: &[Comparison], unreadable: Vec<String>) -> Report {
        let mut report = Report {
            version: 1,
            links: comparisons.len(),
            modes: BTreeMap::new(),
            reasons: BTreeMap::new(),
            failed: 0,
            verdicts: BTreeMap::new(),
            outputs: BTreeMap::new(),
            objects: 0,
            identical: 0,
            differing: BTreeMap::new(),
            in_process: Cost::default(),
            distributed: Cost::default(),
            doubtful: Vec::new(),
            unreadable,
        };
        for comparison in comparisons {
            report.add(comparison);
        }
        report
    }

    fn add(&mut self, comparison: &Comparison) {
        *self.modes.entry(comparison.mode.clone()).or_default() += 1;
        if comparison.mode == FAILED {
            self.failed += 1;
            return;
        }
        if comparison.mode != "distributed" {
            *self.reasons.entry(comparison.why.clone()).or_default() += 1;
            return;
        }
        *self.verdicts.entry(name(comparison.verdict)).or_default() += 1;
        self.objects += comparison.objects.total;
        self.identical += comparison.objects.identical;
        for object in &comparison.objects.differing {
            *self.differing.entry(object.kind.describe().to_owned()).or_default() += 1;
        }
        if let Some(output) = &comparison.output {
            *self.outputs.entry(name::<Likeness>(output.likeness)).or_default() += 1;
        }
        if let (Some(in_process), Some(distributed)) = (&comparison.in_process, &comparison.distributed) {
            add_cost(&mut self.in_process, in_process);
            add_cost(&mut self.distributed, distributed);
        }
        if comparison.verdict != Verdict::Equivalent {
            self.doubtful.push(Doubtful {
                output_file: comparison.output_file.clone(),
                cwd: comparison.cwd.clone(),
                verdict: comparison.verdict,
                why: comparison.why.clone(),
            });
        }
    }

    /// The verdict on all of them: one that differs is enough; where none was compared there is no telling.
    pub fn verdict(&self) -> Verdict {
        let count = |verdict| self.verdicts.get(&name(verdict)).copied().unwrap_or_default();
        match (count(Verdict::Different), count(Verdict::Equivalent)) {
            (1.., _) => Verdict::Different,
            (0, 0) => Verdict::Unknown,
            (0, _) => Verdict::Equivalent,
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, said: String| {
            let _ = writeln!(text, "{name:12} {said}");
        };
        row("links", format!("{}: {}", self.links, counts(&self.modes)));
        for (reason, count) in &self.reasons {
            row("", format!("{count} {reason}"));
        }
        if self.failed > 0 {
            row("", format!("{} failed: there was nothing to compare", self.failed));
        }
        row("verdicts", counts(&self.verdicts));
        row("outputs", counts(&self.outputs));
        row("objects", format!("{} of {} identical", self.identical, self.objects));
        for (kind, count) in &self.differing {
            row("", format!("{count} differ ({kind})"));
        }
        for link in &self.doubtful {
            row(
                &name(link.verdict),
                format!("{} in {}: {}", link.output_file, link.cwd, link.why),
            );
        }
        for file in &self.unreadable {
            row("unreadable", file.clone());
        }
        if self.objects > 0 {
            text.push_str(&table::costs(&self.in_process, &self.distributed));
        }
        text
    }
}

fn counts(of: &BTreeMap<String, usize>) -> String {
    let said: Vec<String> = of.iter().map(|(name, count)| format!("{count} {name}")).collect();
    said.join(", ")
}

fn add_cost(sum: &mut Cost, cost: &Cost) {
    sum.wall_ms += cost.wall_ms;
    sum.cpu_ms += cost.cpu_ms;
    sum.peak_bytes = sum.peak_bytes.max(cost.peak_bytes);
    sum.compiled += cost.compiled;
    sum.cached += cost.cached;
    for phase in &cost.phases {
        match sum.phases.iter_mut().find(|one| one.name == phase.name) {
            Some(one) => one.ms += phase.ms,
            None => sum.phases.push(phase.clone()),
        }
    }
}
