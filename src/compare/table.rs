//! A comparison as people read it in a terminal.
//! Knows nothing of how it was made.

use std::fmt::Write as _;

use super::judge;
use super::verdict::{Comparison, Cost, Kind, ObjectDifference, Outputs, Verdict};

/// The most of a sort of difference that is listed; `--json` has more.
const LISTED: usize = 12;

/// Whether text may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// It may not.
    Plain,
    /// It may: a terminal reads it.
    Terminal,
}

impl Style {
    fn paint(self, color: &str, text: &str) -> String {
        match self {
            Style::Plain => text.to_owned(),
            Style::Terminal => format!("\x1b[{color}m{text}\x1b[0m"),
        }
    }

    fn verdict(self, verdict: Verdict) -> String {
        let color = match verdict {
            Verdict::Equivalent => "1;32",
            Verdict::Different => "1;31",
            Verdict::Unknown => "1;33",
        };
        self.paint(color, verdict.describe())
    }
}

/// The whole answer.
pub fn of(comparison: &Comparison, style: Style) -> String {
    let mut text = format!("{}: {}\n\n", style.verdict(comparison.verdict), comparison.why);
    let llvm = comparison
        .llvm
        .as_deref()
        .map(|llvm| format!(", LLVM {llvm}"))
        .unwrap_or_default();
    row(
        &mut text,
        "link",
        &format!("{} ({}{llvm})", comparison.output_file, comparison.linker),
    );
    if comparison.objects.total > 0 {
        objects(&mut text, comparison, style);
    }
    if let Some(output) = &comparison.output {
        outputs(&mut text, output, style);
    }
    for note in &comparison.notes {
        row(&mut text, "note", note);
    }
    if let (Some(in_process), Some(distributed)) = (&comparison.in_process, &comparison.distributed) {
        text.push_str(&costs(in_process, distributed));
    }
    text
}

fn row(text: &mut String, name: &str, said: &str) {
    let _ = writeln!(text, "{name:9} {said}");
}

fn objects(text: &mut String, comparison: &Comparison, style: Style) {
    let objects = &comparison.objects;
    row(
        text,
        "objects",
        &format!("{} of {} identical", objects.identical, objects.total),
    );
    for (kind, group) in by_kind(&objects.differing) {
        let names: Vec<&str> = group.iter().take(LISTED).map(|object| object.module.as_str()).collect();
        let more = match group.len().saturating_sub(LISTED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let said = format!(
            "{} differ ({}): {}{more}",
            group.len(),
            kind.describe(),
            names.join(", ")
        );
        row(text, "", &style.paint(if kind.matters() { "31" } else { "33" }, &said));
    }
    for object in objects
        .differing
        .iter()
        .filter(|object| object.kind.matters())
        .take(LISTED)
    {
        let _ = writeln!(
            text,
            "\n  {} (task {}): {}",
            object.module,
            object.task,
            object.kind.describe()
        );
        let _ = writeln!(text, "    sections: {}", shortened(&object.sections));
        for symbol in object.symbols.iter().take(LISTED) {
            let _ = writeln!(text, "    {} {}", symbol.name, symbol.what);
            for line in &symbol.listing {
                let color = match line.as_bytes().first() {
                    Some(b'-') => "31",
                    Some(b'+') => "32",
                    _ => "0",
                };
                let _ = writeln!(text, "      {}", style.paint(color, line));
            }
        }
        if object.symbols.len() > LISTED {
            let _ = writeln!(text, "    and {} more", object.symbols.len() - LISTED);
        }
    }
    if objects.differing.iter().any(|object| object.kind.matters()) {
        text.push('\n');
    }
}

/// Differing objects by the sort of their difference, in their order.
pub(super) fn by_kind(differing: &[ObjectDifference]) -> Vec<(Kind, Vec<&ObjectDifference>)> {
    let mut groups: Vec<(Kind, Vec<&ObjectDifference>)> = Vec::new();
    for object in differing {
        match groups.iter_mut().find(|(kind, _)| *kind == object.kind) {
            Some((_, group)) => group.push(object),
            None => groups.push((object.kind, vec![object])),
        }
    }
    groups
}

/// Names in a line of text: as many as are listed, and how many more there are.
pub(super) fn shortened(names: &[String]) -> String {
    match names.len() {
        0..=LISTED => names.join(" "),
        more => format!("{} and {} more", names[..LISTED].join(" "), more - LISTED),
    }
}

fn outputs(text: &mut String, output: &Outputs, style: Style) {
    row(text, "output", judge::describe(output.likeness));
    for allowed in &output.allowed {
        row(text, "", allowed);
    }
    for difference in output.differences.iter().take(LISTED) {
        let side = |said: &str| {
            if said.is_empty() {
                "none".to_owned()
            } else {
                said.to_owned()
            }
        };
        let said = format!(
            "{} {}: in-process {}, distributed {}",
            difference.aspect,
            difference.name,
            side(&difference.in_process),
            side(&difference.distributed)
        );
        row(text, "", &style.paint("31", &said));
    }
    if output.differences.len() > LISTED {
        row(
            text,
            "",
            &format!("and {} more differences", output.differences.len() - LISTED),
        );
    }
}

/// A time for people.
pub(super) fn seconds(ms: f64) -> String {
    match ms {
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.2} s", ms / 1e3),
    }
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

/// What of `a` `b` is; nothing where there is none.
pub(super) fn ratio(a: f64, b: f64) -> String {
    if a > 0.0 {
        format!("{:.2}", b / a)
    } else {
        String::new()
    }
}

/// Rows of costs: name, in-process, distributed, and their ratio.
pub(super) fn cost_rows(in_process: &Cost, distributed: &Cost) -> Vec<[String; 4]> {
    let line = |name: &str, a: f64, b: f64, show: fn(f64) -> String| [name.to_owned(), show(a), show(b), ratio(a, b)];
    let peak = |cost: &Cost| cost.peak_bytes as f64;
    let mut rows = vec![
        line("wall", in_process.wall_ms, distributed.wall_ms, seconds),
        line("CPU", in_process.cpu_ms, distributed.cpu_ms, seconds),
        line("peak memory", peak(in_process), peak(distributed), megabytes),
    ];
    for phase in &distributed.phases {
        let other = in_process.phases.iter().find(|other| other.name == phase.name);
        rows.push(match other {
            Some(other) => line(&phase.name, other.ms, phase.ms, seconds),
            None => [phase.name.clone(), String::new(), seconds(phase.ms), String::new()],
        });
    }
    rows
}

/// The table of costs.
pub fn costs(in_process: &Cost, distributed: &Cost) -> String {
    let mut text = format!(
        "\n{:14}{:>14}{:>14}{:>8}\n",
        "cost", "in-process", "distributed", "ratio"
    );
    for [name, a, b, ratio] in cost_rows(in_process, distributed) {
        let _ = writeln!(text, "{name:14}{a:>14}{b:>14}{ratio:>8}");
    }
    text
}
