//! What a link that was recorded here would take on a farm: a table of wall times by modules and workers. With `--check`, how
//! far the model is from links that were really made. Knows what was asked for; the model is in `model.rs`.
//!
//! `cargo bench --bench farm -- --help`

mod farm;
mod model;
mod recording;
mod report;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use farm::{Farm, Hands};
use recording::{Made, Recording};

/// The engines whose figures come with the project.
const ENGINES: [(&str, &str); 3] = [
    ("casd", include_str!("engines/casd.json")),
    ("buildgrid", include_str!("engines/buildgrid.json")),
    ("distant", include_str!("engines/distant.json")),
];

/// The link of vmlinux.o, Linux 6.12, 783 modules, as `--recording` has it.
const KERNEL: &str = include_str!("kernel.json");

/// The wall time of a recorded link on farms of many sizes
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench farm --")]
struct Arguments {
    /// Stats of a link made with THINLTO_LD_TIMELINE=on, THINLTO_LD_CACHE=off and THINLTO_LD_JOBS=1; its last line is read.
    /// By default that of a kernel, made where the project was
    #[arg(long)]
    recording: Option<PathBuf>,
    /// casd, buildgrid, distant, or files with figures of others (benches/farm/engines)
    #[arg(long, value_delimiter = ',', default_values_t = ENGINES.map(|(name, _)| name.to_owned()))]
    engine: Vec<String>,
    /// Modules that the program is taken to have
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 30_000])]
    modules: Vec<usize>,
    /// Workers
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000])]
    workers: Vec<usize>,
    /// Backends that the linking machine runs itself
    #[arg(long, default_value_t = 2)]
    local: usize,
    /// Stats of links made since of the same program: each is compared with what the recording says of it
    #[arg(long)]
    check: Vec<PathBuf>,
    /// Workers that those links had
    #[arg(long, default_value_t = 0)]
    check_workers: usize,
    /// Backends that the linking machine ran at once in those links; by default as many as their timelines tell
    #[arg(long, requires = "check")]
    check_local: Option<usize>,
    /// Given by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.bench {
        // `cargo test --all-targets` starts benchmarks too, as if they were tests.
        eprintln!("not started by cargo bench: nothing is simulated");
        return ExitCode::SUCCESS;
    }
    match simulate(&arguments) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn simulate(arguments: &Arguments) -> Result<String, String> {
    let link = match &arguments.recording {
        Some(file) => Recording::read(file)?,
        None => Recording::of(KERNEL)?,
    };
    let farms: Vec<Farm> = arguments
        .engine
        .iter()
        .map(|name| engine(name))
        .collect::<Result<_, _>>()?;
    if !arguments.check.is_empty() {
        let farm = farms.first().ok_or("--check needs an --engine")?;
        let made = arguments.check.iter().map(|file| Made::read(file));
        let made: Vec<Made> = made.collect::<Result<_, _>>()?;
        let hands = |real: &Made| Hands {
            workers: arguments.check_workers,
            local: arguments.check_local.unwrap_or(real.slots),
        };
        return Ok(report::checked(&link, &made, farm, hands));
    }
    let hands: Vec<Hands> = arguments
        .workers
        .iter()
        .map(|workers| Hands {
            workers: *workers,
            local: arguments.local,
        })
        .collect();
    Ok(report::tables(&link, &farms, &arguments.modules, &hands))
}

fn engine(name: &str) -> Result<Farm, String> {
    let known = ENGINES.iter().find(|(known, _)| *known == name);
    let text = match known {
        Some((_, text)) => (*text).to_owned(),
        None => fs::read_to_string(name).map_err(|error| {
            let names = ENGINES.map(|(name, _)| name).join(", ");
            format!("{name}: {error}; the engines that are known are {names}")
        })?,
    };
    serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))
}
