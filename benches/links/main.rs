//! The benchmark: the same links by lld, by thinlto-ld and by LLVM's DTLTO, in pairs, as a Markdown table.
//! Knows what was asked for; how a program is made, a link run and a figure taken is the other files' business.
//!
//! `cargo bench` runs it; `cargo bench -- --help` tells what can be chosen. Nothing is written outside the work folder but
//! the file given by `--out` and the figures beside it, to which the next run adds its own.

mod contenders;
mod distributor;
mod duel;
mod edit;
mod error;
mod kernel;
mod measure;
mod ninja;
mod processes;
mod program;
mod report;
mod results;
mod synthetic;
mod tools;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use contenders::{Case, Choice, Contender};
use duel::{Ring, Rules};
use error::{At, Error, Result};
use program::{Kind, Program};
use results::{Moment, Results, Row};
use tools::Tools;

/// Links measured in pairs: thinlto-ld against in-process lld and LLVM's DTLTO.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --")]
struct Arguments {
    /// Programs to link; the kernel needs --kernel
    #[arg(long, value_enum, value_delimiter = ',')]
    program: Vec<Kind>,
    /// What is done to them
    #[arg(long, value_enum, value_delimiter = ',')]
    case: Vec<Case>,
    /// Who is measured; by default all that take reasonable time
    #[arg(long, value_enum, value_delimiter = ',')]
    contender: Vec<Contender>,
    /// Most pairs of links for each ratio; of links of milliseconds there are 20 times as many
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Seconds after which no more pairs are begun once there are three; half of them and one pair, where it is not thinlto-ld
    /// as it comes
    #[arg(long, default_value_t = 60)]
    budget: u64,
    /// Seconds a link may take; then it is ended, and its row says so
    #[arg(long, default_value_t = 600)]
    limit: u64,
    /// A kernel's build folder (make O=), built with CONFIG_LTO_CLANG_THIN; it is only read
    #[arg(long)]
    kernel: Option<PathBuf>,
    /// Sizes of the synthetic program
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 10_000])]
    modules: Vec<usize>,
    /// Native objects of the passthrough link
    #[arg(long, default_value_t = 2000)]
    natives: usize,
    /// The LLVM whose clang-N and ld.lld-N are used
    #[arg(long, default_value = "22")]
    llvm: String,
    /// Where everything is made and kept for the next time; default: bench in cargo's target folder
    #[arg(long)]
    work: Option<PathBuf>,
    /// The Markdown goes to this file. The figures are kept beside it as .jsonl: another run on the same machine adds its rows
    /// or replaces them
    #[arg(long)]
    out: Option<PathBuf>,
    /// Leave out the runs that measure memory
    #[arg(long)]
    no_memory: bool,
    /// Given by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == distributor::WORD) {
        return distributor::run(&words);
    }
    let arguments = Arguments::parse_from(words);
    if !arguments.bench {
        // `cargo test --all-targets` starts benchmarks too, as if they were tests.
        eprintln!("not started by cargo bench: nothing is measured");
        return ExitCode::SUCCESS;
    }
    match measure_all(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all(arguments: &Arguments) -> Result<()> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let work = arguments
        .work
        .clone()
        .unwrap_or_else(|| target.parent().unwrap_or(target).join("bench"));
    fs::create_dir_all(&work).at(&work)?;
    let work = work.canonicalize().at(&work)?;
    if work.to_string_lossy().contains(char::is_whitespace) {
        // A preloaded library's path ends at a space, so that no fork server could be had.
        return Err(Error::Unfit(format!(
            "{}: choose a --work without spaces",
            work.display()
        )));
    }
    let tools = Tools::find(&arguments.llvm, &work)?;
    let kept = arguments.out.as_ref().map(|out| out.with_extension("jsonl"));
    let mut results = Results::open(kept, &tools)?;
    let rules = Rules {
        tools: &tools,
        pairs: arguments.pairs,
        budget: Duration::from_secs(arguments.budget),
        limit: Duration::from_secs(arguments.limit),
        memory: !arguments.no_memory,
    };
    let mut left_out = Vec::new();
    for (kind, size) in chosen(arguments) {
        let name = match size {
            0 => format!("{kind:?}"),
            _ => format!("{kind:?} {size}"),
        };
        eprintln!("{name}: preparing");
        match prepare(kind, size, arguments, &work, &tools) {
            Ok(program) => measure(&program, (kind, size), arguments, &rules, &work, &mut results)?,
            Err(error) => {
                eprintln!("{name}: not measured: {error}");
                left_out.push(name);
            }
        }
    }
    print!("{}", report::markdown(&results));
    match left_out.is_empty() {
        true => Ok(()),
        false => Err(Error::Unfit(format!("not measured: {}", left_out.join(", ")))),
    }
}

/// All duels over one program; the report is written after each.
fn measure(
    program: &Program,
    (kind, size): (Kind, usize),
    arguments: &Arguments,
    rules: &Rules<'_>,
    work: &Path,
    results: &mut Results,
) -> Result<()> {
    let mut ring = Ring::new(rules, program, &work.join("ring"));
    let choice = Choice {
        cases: &arguments.case,
        contenders: &arguments.contender,
    };
    for (place, case, who, against) in choice.duels(kind, size) {
        let moment = Moment::now();
        let row = Row {
            rank: (kind as usize, size, place),
            program: program.name.clone(),
            modules: program.modules,
            case,
            who,
            against,
            moment,
            figures: ring.fight(case, who, against)?,
        };
        eprintln!("{}", report::line(&row));
        results.add(row)?;
        if let Some(out) = &arguments.out {
            fs::write(out, report::markdown(results)).at(out)?;
        }
    }
    Ok(())
}

/// Programs and their sizes, in the order of the report. Without a word from the user all that can be made.
fn chosen(arguments: &Arguments) -> Vec<(Kind, usize)> {
    let wanted = |kind: Kind| match arguments.program.is_empty() {
        true => kind != Kind::Kernel || arguments.kernel.is_some(),
        false => arguments.program.contains(&kind),
    };
    let sizes = |kind: Kind| match kind {
        Kind::Synthetic => arguments.modules.clone(),
        Kind::Native => vec![arguments.natives],
        Kind::Kernel | Kind::Ninja => vec![0],
    };
    let kinds = Kind::value_variants().iter().copied().filter(|kind| wanted(*kind));
    kinds
        .flat_map(|kind| sizes(kind).into_iter().map(move |size| (kind, size)))
        .collect()
}

fn prepare(kind: Kind, size: usize, arguments: &Arguments, work: &Path, tools: &Tools) -> Result<Program> {
    match kind {
        Kind::Kernel => {
            let build = arguments
                .kernel
                .as_deref()
                .ok_or_else(|| Error::Unfit("say with --kernel=FOLDER where a kernel was built".into()))?;
            kernel::prepare(build, &work.join("kernel"), tools)
        }
        Kind::Ninja => ninja::prepare(&work.join("ninja"), tools),
        Kind::Synthetic => synthetic::bitcode(size, work, tools),
        Kind::Native => synthetic::native(size, work, tools),
    }
}
