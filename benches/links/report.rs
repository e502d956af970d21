//! The Markdown: the machine, a table a program, and what thinlto-ld itself costs a module.
//! Knows nothing of how the figures were taken, only what they mean.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::contenders::Contender;
use crate::results::{Figures, Results, Row, Work};

/// Median, least and greatest.
#[derive(Clone, Copy, Debug)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Of some figures; of none all three are NaN.
    fn of(values: &[f64]) -> Spread {
        Spread {
            median: median(values),
            least: values.iter().copied().fold(f64::NAN, f64::min),
            most: values.iter().copied().fold(f64::NAN, f64::max),
        }
    }

    fn cell(self) -> String {
        // A hundredth of the time shows as more than nothing.
        let digits = if self.median < 0.2 { 3 } else { 2 };
        format!(
            "**{:.digits$}** ({:.digits$}–{:.digits$})",
            self.median, self.least, self.most
        )
    }
}

/// The middle one, or the mean of the two in the middle; NaN of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
    let lower = sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN);
    f64::midpoint(lower, upper)
}

const COLUMNS: [&str; 15] = [
    "case",
    "who",
    "against",
    "wall",
    "against's",
    "difference",
    "wall ratio",
    "CPU",
    "against's",
    "CPU ratio",
    "memory",
    "against's",
    "compiled",
    "own CPU",
    "pairs",
];

const HOW: &str = "\
Each pair is one link by each, one after the other, the order swapped each time; ratios are taken within pairs: **median**
(least–greatest). Times are medians of the same links. CPU is user and system time of all processes. Memory is the peak, looked at
every 2 to 20 ms in a run of its own, of what all processes hold together, shared pages counted once (PSS). *compiled*: backends
that ran, of how many modules. *own CPU*: thinlto-ld's process alone, without linker and backends. DTLTO has a local
distributor that runs one clang a CPU, or `thinlto distribute`. Cold: no cache, inputs in the page cache. An edit changes one line of one function, each
time another; all before it is in the caches. `constant` leaves the module's summary as it was, `edit` does not.
ld.lld is started bare; those that thinlto-ld starts get memory on huge pages (design.md), which is worth some 10 % of the passthrough.
";

/// All there is.
pub fn markdown(results: &Results) -> String {
    let rows = results.rows();
    let mut text = head(results, &rows);
    let mut program = "";
    for row in &rows {
        if row.program != program {
            program = &row.program;
            let rule = "|---".repeat(COLUMNS.len());
            let _ = write!(text, "\n## {program}\n\n| {} |\n{rule}|\n", COLUMNS.join(" | "));
        }
        let _ = writeln!(text, "{}", line(row));
    }
    text + &own_cpu(&rows)
}

fn head(results: &Results, rows: &[&Row]) -> String {
    let distinct = |f: &dyn Fn(&Row) -> &str| {
        let values: BTreeSet<&str> = rows.iter().map(|row| f(row)).collect();
        values.into_iter().collect::<Vec<_>>().join(", ")
    };
    let loads: Vec<f64> = rows.iter().filter_map(|row| row.moment.load.parse().ok()).collect();
    let load = Spread::of(&loads);
    let mut lines = results.machine.clone();
    lines.push(("thinlto-ld".into(), distinct(&|row| &row.moment.commit)));
    lines.push(("measured".into(), distinct(&|row| &row.moment.date)));
    lines.push((
        "load before each row".into(),
        format!(
            "{:.2} ({:.2}–{:.2}), our own links among it",
            load.median, load.least, load.most
        ),
    ));
    let mut text =
        String::from("# Benchmarks\n\nWritten by `cargo bench`; the README tells how to run it.\n\n| | |\n|---|---|\n");
    for (name, value) in lines {
        let _ = writeln!(text, "| {name} | {} |", one_cell(&value));
    }
    text + "\n" + HOW
}

/// A row of a program's table.
pub fn line(row: &Row) -> String {
    let start = format!("| {} | {} | {} |", row.case.name(), row.who.name(), row.against.name());
    match &row.figures {
        Ok(figures) => format!("{start} {} |", cells(figures).join(" | ")),
        Err(words) => format!("{start} fails: {} |{}", one_cell(words), " |".repeat(COLUMNS.len() - 4)),
    }
}

fn cells(figures: &Figures) -> Vec<String> {
    let megabytes = |bytes: u64| format!("{} MB", bytes >> 20);
    let none = || "–".to_owned();
    let each = |f: &dyn Fn(f64, f64) -> f64| {
        let walls: Vec<f64> = figures.costs.iter().map(|(a, b)| f(a.wall, b.wall)).collect();
        let cpus: Vec<f64> = figures.costs.iter().map(|(a, b)| f(a.cpu, b.cpu)).collect();
        (walls, cpus)
    };
    let (ours, theirs) = (each(&|a, _| a), each(&|_, b| b));
    let (differences, ratios) = (each(&|a, b| a - b), each(&|a, b| a / b));
    let difference = median(&differences.0);
    let sign = if difference < 0.0 { "−" } else { "+" };
    vec![
        time(median(&ours.0)),
        time(median(&theirs.0)),
        format!("{sign}{}", time(difference.abs())),
        Spread::of(&ratios.0).cell(),
        time(median(&ours.1)),
        time(median(&theirs.1)),
        Spread::of(&ratios.1).cell(),
        figures
            .memory
            .map_or_else(none, |(a, b)| format!("{} ({:.2})", megabytes(a), a as f64 / b as f64)),
        figures.memory.map_or_else(none, |(_, b)| megabytes(b)),
        figures.work.map_or_else(none, |work| match work {
            Work::Restored => "put back".to_owned(),
            Work::Backends { run, of } => format!("{run} of {of}"),
        }),
        match figures.own_cpu.as_slice() {
            [] => none(),
            own => time(median(own) / 1000.0),
        },
        figures.costs.len().to_string(),
    ]
}

/// thinlto-ld's own CPU by the number of modules.
fn own_cpu(rows: &[&Row]) -> String {
    let mut own: Vec<(_, usize, f64)> = rows
        .iter()
        .filter(|row| row.who == Contender::Forkserver)
        .filter_map(|row| {
            let figures = row.figures.as_ref().ok()?;
            let modules = row.modules.filter(|_| !figures.own_cpu.is_empty())?;
            Some((row.case, modules, median(&figures.own_cpu)))
        })
        .collect();
    own.sort_by_key(|(case, modules, _)| (*case, *modules));
    // Against one contender or against another, it is the same link.
    own.dedup_by_key(|(case, modules, _)| (*case, *modules));
    let mut text = String::new();
    if own.is_empty() {
        return text;
    }
    text.push_str(
        "\n## thinlto-ld's own CPU time\n\nLinker, fork server and backends are not in it.\n\n\
         | case | modules | own CPU | a module | growth a module, from the fewest |\n|---|---|---|---|---|\n",
    );
    for (case, modules, milliseconds) in &own {
        let each = |modules: usize, milliseconds: f64| milliseconds * 1000.0 / modules as f64;
        let fewest = own
            .iter()
            .find(|(c, ..)| c == case)
            .map_or(f64::NAN, |(_, m, o)| each(*m, *o));
        let now = each(*modules, *milliseconds);
        let _ = writeln!(
            text,
            "| {} | {modules} | {milliseconds:.0} ms | {now:.0} µs | {:.2} |",
            case.name(),
            now / fewest
        );
    }
    text
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 10.0 => format!("{s:.1} s"),
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.1 => format!("{:.0} ms", s * 1000.0),
        s => format!("{:.2} ms", s * 1000.0),
    }
}

/// Text that cannot end a table's cell.
fn one_cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
