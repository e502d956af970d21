//! The benchmark: the same links by lld, by thinlto-ld and by LLVM's DTLTO, in pairs, as a Markdown table.
//! Knows what was asked for; how a program is made, a link run and a figure taken is the other files' business.
//!
//! `cargo bench` runs it; `cargo bench -- --help` tells what can be chosen. Nothing is written outside the work folder but
//! the file given by `--out`.

mod contenders;
mod distributor;
mod duel;
mod edit;
mod error;
mod kernel;
mod measure;
mod ninja;
mod program;
mod report;
mod synthetic;
mod tools;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use contenders::{Case, Contender};
use duel::Arena;
use error::{At, Error, Result};
use program::Program;
use report::Report;
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
    /// Who is measured
    #[arg(long, value_enum, value_delimiter = ',')]
    contender: Vec<Contender>,
    /// Pairs of links for each ratio
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
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
    /// The Markdown goes to this file too
    #[arg(long)]
    out: Option<PathBuf>,
    /// Leave out the runs that measure memory
    #[arg(long)]
    no_memory: bool,
    /// Given by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// vmlinux.o of a kernel
    Kernel,
    /// ninja, a C++ program from Debian's sources
    Ninja,
    /// modules of a few functions each
    Synthetic,
    /// native objects and no bitcode
    Native,
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
    let tools = Tools::find(&arguments.llvm, &work)?;
    let mut report = Report::new(&tools, arguments.pairs);
    let arena = Arena {
        tools: &tools,
        work: &work,
        pairs: arguments.pairs,
        memory: !arguments.no_memory,
    };
    for (kind, size) in chosen(arguments) {
        let name = match kind {
            Kind::Synthetic => format!("{kind:?} {size}"),
            _ => format!("{kind:?}"),
        };
        eprintln!("{name}: preparing");
        match prepare(kind, size, arguments, &work, &tools) {
            Ok(program) => {
                report.begin(&program);
                for (case, contender, against) in contenders::duels(kind == Kind::Native) {
                    if !arguments.wants(case, contender) {
                        continue;
                    }
                    let row = arena.fight(&program, case, contender, against)?;
                    eprintln!("{}", report.add(row));
                }
            }
            Err(error) => {
                eprintln!("{name}: not measured: {error}");
                report.leave_out(&name, &error);
            }
        }
        if let Some(out) = &arguments.out {
            fs::write(out, report.markdown()).at(out)?;
        }
    }
    print!("{}", report.markdown());
    Ok(())
}

impl Arguments {
    fn wants(&self, case: Case, contender: Contender) -> bool {
        (self.case.is_empty() || self.case.contains(&case))
            && (self.contender.is_empty() || self.contender.contains(&contender))
    }
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
