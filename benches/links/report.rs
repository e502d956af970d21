//! The Markdown: the machine, a table a program, and what thinlto-ld itself costs a module.
//! Knows nothing of how the figures were taken, only what they mean.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use crate::contenders::{Case, Contender};
use crate::error::Error;
use crate::program::Program;
use crate::tools::Tools;

/// Median, least and greatest.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Of some figures; of none all three are NaN.
    pub fn of(values: &[f64]) -> Spread {
        Spread {
            median: median(values),
            least: values.iter().copied().fold(f64::NAN, f64::min),
            most: values.iter().copied().fold(f64::NAN, f64::max),
        }
    }

    fn cell(self) -> String {
        format!("**{:.2}** ({:.2}–{:.2})", self.median, self.least, self.most)
    }
}

/// The middle one, or the mean of the two in the middle; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
    let lower = sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN);
    f64::midpoint(lower, upper)
}

/// What a duel showed. Seconds, bytes and, for `own_cpu`, milliseconds; first the one, then whom it is measured against.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Medians.
    pub wall: (f64, f64),
    /// The median of the differences within pairs.
    pub difference: f64,
    /// Within pairs.
    pub wall_ratio: Spread,
    /// Medians.
    pub cpu: (f64, f64),
    /// Within pairs.
    pub cpu_ratio: Spread,
    /// Peaks.
    pub memory: Option<(u64, u64)>,
    /// Of thinlto-ld's own process.
    pub own_cpu: Option<f64>,
    /// Backends that ran and modules there were, in the last link.
    pub compiled: Option<(u64, u64)>,
}

/// A row of a program's table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What had happened before.
    pub case: Case,
    /// Who is measured.
    pub who: Contender,
    /// Against whom.
    pub against: Contender,
    /// Where they were made here.
    pub modules: Option<usize>,
    /// Or the words of the one that failed.
    pub figures: Result<Figures, String>,
}

/// All of it.
#[derive(Debug)]
pub struct Report {
    head: String,
    body: String,
    own: Vec<(Case, usize, f64)>,
}

const COLUMNS: &str = "| case | who | against | wall | against's | difference | wall ratio | CPU | against's | CPU ratio | \
                       memory | against's | compiled | own CPU |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";

const HOW: &str = "\
Each pair is one link by each, one after the other, the order swapped each time; ratios are taken within pairs: **median**
(least–greatest). Times are medians of the same links. CPU is user and system time of all processes. Memory is the peak, looked at
every 20 ms in a run of its own, of what all processes hold together, shared pages counted once (PSS). *compiled*: backends
that ran, of how many modules. *own CPU*: thinlto-ld's process alone, without linker and backends. DTLTO has a local
distributor that runs one clang a CPU. Cold: no cache, inputs in the page cache. An edit changes one line of one function, each
time another; all before it is in the caches. `constant` leaves the module's summary as it was, `edit` does not.
";

impl Report {
    /// With the machine in its head.
    pub fn new(tools: &Tools, pairs: u32) -> Report {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown CPU", |(_, model)| model);
        let memory = read("/proc/meminfo");
        let memory: u64 = memory
            .split_whitespace()
            .nth(1)
            .and_then(|kilobytes| kilobytes.parse().ok())
            .unwrap_or_default();
        let rows = [
            (
                "CPU",
                format!("{model}, {} CPUs", available_parallelism().map_or(0, usize::from)),
            ),
            ("memory", format!("{} GB", memory >> 20)),
            ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
            ("LLVM", tools.version.clone()),
            ("thinlto-ld", said("git", &["describe", "--always", "--dirty"])),
            ("date", said("date", &["-u", "+%F"])),
            (
                "load at the start",
                read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
            ),
            (
                "pairs",
                format!("{pairs}; 20 times as many for passthrough and version"),
            ),
        ];
        let mut head = String::from(
            "# Benchmarks\n\nWritten by `cargo bench`; the README tells how to run it.\n\n| | |\n|---|---|\n",
        );
        for (name, value) in rows {
            let _ = writeln!(head, "| {name} | {} |", one_cell(&value));
        }
        let _ = write!(head, "\n{HOW}");
        Report {
            head,
            body: String::new(),
            own: Vec::new(),
        }
    }

    /// Begins a program's table.
    pub fn begin(&mut self, program: &Program) {
        let _ = write!(self.body, "\n## {}\n\n{COLUMNS}", program.name);
    }

    /// A program that could not be made.
    pub fn leave_out(&mut self, name: &str, why: &Error) {
        let why = why.to_string();
        let _ = write!(
            self.body,
            "\n## {name}\n\nNot measured: {}\n",
            why.lines().next().unwrap_or_default()
        );
    }

    /// Adds a row, and returns it.
    pub fn add(&mut self, row: Row) -> String {
        if let (Ok(Figures { own_cpu: Some(own), .. }), Some(modules), Contender::Forkserver) =
            (&row.figures, row.modules, row.who)
        {
            self.own.push((row.case, modules, *own));
        }
        let start = format!("| {} | {} | {} |", row.case.name(), row.who.name(), row.against.name());
        let line = match &row.figures {
            Ok(figures) => format!("{start} {} |", figures.cells().join(" | ")),
            Err(words) => format!("{start} fails: {} |{}", one_cell(words), " |".repeat(10)),
        };
        let _ = writeln!(self.body, "{line}");
        line
    }

    /// As it is up to now.
    pub fn markdown(&self) -> String {
        format!("{}{}{}", self.head, self.body, self.own_cpu())
    }

    /// thinlto-ld's own CPU by the number of modules.
    fn own_cpu(&self) -> String {
        let mut text = String::new();
        let mut rows = self.own.clone();
        rows.sort_by_key(|(case, modules, _)| (*case, *modules));
        if rows.is_empty() {
            return text;
        }
        text.push_str(
            "\n## thinlto-ld's own CPU time\n\nLinker, fork server and backends are not in it.\n\n\
             | case | modules | own CPU | a module | growth a module, from the fewest |\n|---|---|---|---|---|\n",
        );
        for (case, modules, own) in &rows {
            let each = |modules: usize, own: f64| own * 1000.0 / modules as f64;
            let fewest = rows
                .iter()
                .find(|(c, ..)| c == case)
                .map_or(f64::NAN, |(_, m, o)| each(*m, *o));
            let now = each(*modules, *own);
            let name = case.name();
            let _ = writeln!(
                text,
                "| {name} | {modules} | {own:.0} ms | {now:.0} µs | {:.2} |",
                now / fewest
            );
        }
        text
    }
}

impl Figures {
    fn cells(&self) -> Vec<String> {
        let megabytes = |bytes: u64| format!("{} MB", bytes >> 20);
        let none = || "–".to_owned();
        vec![
            time(self.wall.0),
            time(self.wall.1),
            format!(
                "{}{}",
                if self.difference < 0.0 { "−" } else { "+" },
                time(self.difference.abs())
            ),
            self.wall_ratio.cell(),
            time(self.cpu.0),
            time(self.cpu.1),
            self.cpu_ratio.cell(),
            self.memory
                .map_or_else(none, |(a, b)| format!("{} ({:.2})", megabytes(a), a as f64 / b as f64)),
            self.memory.map_or_else(none, |(_, b)| megabytes(b)),
            self.compiled
                .filter(|(_, modules)| *modules > 0)
                .map_or_else(none, |(run, modules)| format!("{run} of {modules}")),
            self.own_cpu
                .map_or_else(none, |milliseconds| time(milliseconds / 1000.0)),
        ]
    }
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

fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program)
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".into())
}
