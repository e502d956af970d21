//! `thinlto`: the companion for people. Compares links, explains them, checks the toolchain, shows and prunes the cache,
//! lists the settings; and runs backends for lld's own distribution.
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod arguments;
mod installing;
mod manual;
mod stats;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use arguments::{Arguments, Compare, Explain, Task};
use clap::Parser;
use serde::Serialize;
use thinlto_ld::cache::policy::{self, Policy, Pruned, Why};
use thinlto_ld::cache::store::Store;
use thinlto_ld::cache::tally::Summary;
use thinlto_ld::cache::{Plan, Tally, home};
use thinlto_ld::check::Check;
use thinlto_ld::children::Children;
use thinlto_ld::cmdline::Invocation;
use thinlto_ld::compare::command::LinkCommand;
use thinlto_ld::compare::link::{self, Backends, Links};
use thinlto_ld::compare::page::{self, file::PageFile};
use thinlto_ld::compare::report::{self, Report};
use thinlto_ld::compare::table::{self, Style};
use thinlto_ld::compare::verdict::Verdict;
use thinlto_ld::distribute;
use thinlto_ld::explain;
use thinlto_ld::fault::caught;
use thinlto_ld::link::Ending;
use thinlto_ld::llvm;
use thinlto_ld::say;
use thinlto_ld::settings::{self, Setting, Settings};
use thinlto_ld::threads;
use thinlto_ld::toolchain::{Clang, Linker, NoCompiler, ToolchainError, VersionMemo};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = caught(|| match threads::pool() {
        Ok(()) => perform(arguments.task),
        Err(error) => Err(error.to_string()),
    });
    match done.unwrap_or_else(|fault| Err(fault.to_string())) {
        Ok(status) => status,
        Err(message) => {
            say::aside(format_args!("thinlto: error: {message}\n"));
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<ExitCode, String> {
    let done = match task {
        Task::Compare(arguments) => return Ok(compare(&arguments)),
        Task::Explain(arguments) => explain(arguments),
        Task::Check { name } => check(&name),
        Task::Cache { dir, prune, dry_run } => cache(dir, prune.as_deref(), dry_run),
        Task::Distribute { words } => match distribute::run(&words) {
            Ok(Ending::Exit(0)) => Ok(()),
            Ok(ending) => ending.meet(),
            Err(error) => Err(error),
        },
        Task::Stats(arguments) => stats::stats(arguments).and_then(answer),
        Task::Settings => list_settings(),
        Task::Install(arguments) => installing::install(arguments).and_then(answer),
        Task::Uninstall { prefix, user } => installing::uninstall(prefix, user).and_then(answer),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// The exit status of what cannot be told.
const UNKNOWN: u8 = 2;

fn compare(arguments: &Compare) -> ExitCode {
    match compared(arguments) {
        Ok(Verdict::Equivalent) => ExitCode::SUCCESS,
        Ok(Verdict::Different) => ExitCode::FAILURE,
        Ok(Verdict::Unknown) => ExitCode::from(UNKNOWN),
        Err(message) => {
            say::aside(format_args!("thinlto: error: {message}\n"));
            ExitCode::from(UNKNOWN)
        }
    }
}

fn compared(arguments: &Compare) -> Result<Verdict, String> {
    enter(arguments.directory.as_deref())?;
    // Known before a link is made that may take minutes.
    let page = arguments.html.as_deref().map(PageFile::prepare).transpose();
    let page = page.map_err(|error| error.to_string())?;
    if let Some(folder) = &arguments.report {
        return reported(arguments, folder, page);
    }
    let scratch = tempfile::Builder::new()
        .prefix("thinlto-compare-")
        .tempdir()
        .map_err(|error| format!("no scratch folder: {error}"))?;
    let folder = match &arguments.keep {
        Some(keep) => keep.as_path(),
        None => scratch.path(),
    };
    let command = LinkCommand::read(arguments.command.clone(), folder).map_err(|error| error.to_string())?;
    let invocation = Invocation::read(command.words.clone()).map_err(|error| error.to_string())?;
    let children = Children::watch().map_err(|error| format!("cannot watch for signals: {error}"))?;
    let links = Links {
        command: &command,
        invocation: &invocation,
        scratch: folder,
        children: &children,
        backends: Backends::Run,
    };
    let comparison = link::compare(&links).map_err(|error| error.to_string())?;
    if let Some(page) = page {
        let text = page::of_link(&comparison).map_err(|error| error.to_string())?;
        page.write(&text).map_err(|error| error.to_string())?;
    }
    answer(match arguments.json {
        true => json(&comparison)?,
        false => table::of(&comparison, style()),
    })?;
    Ok(comparison.verdict)
}

fn reported(arguments: &Compare, folder: &Path, page: Option<PageFile>) -> Result<Verdict, String> {
    let (comparisons, unreadable) = report::read(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let report = Report::of(&comparisons, unreadable);
    if let Some(page) = page {
        page.write(&page::of_build(&report, &comparisons, folder))
            .map_err(|error| error.to_string())?;
    }
    answer(match arguments.json {
        true => json(&report)?,
        false => report.table(),
    })?;
    Ok(report.verdict())
}

fn explain(arguments: Explain) -> Result<(), String> {
    enter(arguments.directory.as_deref())?;
    let command = LinkCommand::look_at(arguments.command).map_err(|error| error.to_string())?;
    let invocation = Invocation::read(command.words.clone()).map_err(|error| error.to_string())?;
    let settings = command.settings(&invocation.own)?;
    let linker = command.linker(&settings)?;
    let explanation = explain::explain(&invocation, &settings, &linker, |name| command.variable(name));
    answer(match arguments.json {
        true => json(&explanation)?,
        false => explain::text::of(&explanation),
    })
}

fn style() -> Style {
    match io::stdout().is_terminal() {
        true => Style::Terminal,
        false => Style::Plain,
    }
}

fn enter(directory: Option<&Path>) -> Result<(), String> {
    let Some(directory) = directory else { return Ok(()) };
    std::env::set_current_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))
}

fn check(name: &str) -> Result<(), String> {
    let settings = Settings::read(|name| std::env::var_os(name), &[]).map_err(|error| error.to_string())?;
    let thinlto_ld = std::env::current_exe()
        .map_err(|error| error.to_string())?
        .with_file_name("thinlto-ld");
    let linker = Linker::find_but(name.as_ref(), &settings, &thinlto_ld).map_err(|error| error.to_string())?;
    let memo = VersionMemo::new(None);
    if linker.is_thinlto_ld() {
        let wanted = linker.name.clone().unwrap_or_else(|| "ld.lld".to_owned());
        return Err(ToolchainError::no_linker(wanted, Some(linker.path)).to_string());
    }
    answer(format!("linker  {}\n", linker.path.display()))?;
    let clang = Clang::find(&linker, &settings, &memo).map_err(|error| match error {
        NoCompiler::Missing(_) => error.to_string(),
        NoCompiler::Unfit(reason) => format!(
            "{reason}: links go in-process; install the clang of the linker's version, or name it with THINLTO_LD_CLANG"
        ),
    })?;
    let check = Check {
        linker: &linker,
        clang: &clang,
        thinlto_ld: &thinlto_ld,
    };
    let cache = match settings.cache_dir.clone().or_else(home) {
        Some(dir) => dir.display().to_string(),
        None => "none: no home folder".to_owned(),
    };
    let newer = match clang.version.major > llvm::NEWEST {
        true => format!(
            "        newer than {}, the last one known, and taken to be like it\n",
            llvm::NEWEST
        ),
        false => String::new(),
    };
    let behind = settings.cache_behind.iter().map(|dir| match dir.is_dir() {
        true => format!("behind  {}\n", dir.display()),
        false => format!("behind  {}: no such folder\n", dir.display()),
    });
    let behind: String = behind.collect();
    answer(format!(
        "clang   {}\nLLVM    {}\n{newer}cache   {cache}\n{behind}",
        clang.path.display(),
        clang.version
    ))?;
    let compared = check.run()?;
    let lines: String = compared.iter().map(|one| format!("sample  {one}\n")).collect();
    answer(lines)?;
    match compared.iter().all(|one| one.difference.is_none()) {
        true => Ok(()),
        false => Err("this LLVM's backends do not make what its in-process LTO makes".to_owned()),
    }
}

fn cache(dir: Option<PathBuf>, prune: Option<&str>, dry_run: bool) -> Result<(), String> {
    let settings = Settings::read(|name| std::env::var_os(name), &[]).map_err(|error| error.to_string())?;
    let dir = cache_folder(dir)?;
    let store = Store::open(&dir).map_err(|off| off.to_string())?;
    let failed = |error| format!("{}: {error}", dir.display());
    let (origin, text) = match (prune, &settings.cache_policy) {
        (Some(text), _) => ("--prune", text),
        (None, Some(text)) => ("THINLTO_LD_CACHE_POLICY", text.as_str()),
        (None, None) => ("", ""),
    };
    let mut policy = Policy::parse(text).map_err(|error| format!("{origin}={text}: {error}"))?;
    if prune.is_some() && !dry_run {
        // Asked for by a person: not put off because a link has just pruned.
        policy.interval = Duration::ZERO;
        answer(match policy::prune(&store, &policy).map_err(failed)? {
            Pruned::Done(plan) => format!("{} files removed\n", plan.remove.len()),
            Pruned::NotNow => "another link is pruning\n".to_owned(),
        })?;
    }
    let plan = policy::dry_run(&store, &policy).map_err(failed)?;
    let size = plan.before.bytes as f64 / 1e6;
    answer(format!(
        "{}: {} files, {size:.1} MB\nentries   {}\nhit rate  {}\npruning   {}\n",
        dir.display(),
        plan.before.files,
        plan.before.entries,
        hit_rate(&Tally::of(store.root()).summary(SystemTime::now())),
        would_go(&plan)
    ))
}

/// The folder that is named, else that of the settings, else the user's.
fn cache_folder(named: Option<PathBuf>) -> Result<PathBuf, String> {
    let settings = Settings::read(|name| std::env::var_os(name), &[]).map_err(|error| error.to_string())?;
    // One that is named is there, or is another than was meant.
    if let Some(missing) = named.as_ref().filter(|dir| !dir.is_dir()) {
        return Err(format!("{}: no such folder", missing.display()));
    }
    named
        .or(settings.cache_dir)
        .or_else(home)
        .ok_or_else(|| "no cache folder: there is no home folder; name one with --dir".to_owned())
}

/// `97.3 % (762 of 783 objects, last 3 days)`
fn hit_rate(summary: &Summary) -> String {
    let counts = summary.counts;
    let all = counts.hits + counts.misses;
    let period = match summary.since.as_secs().div_ceil(24 * 60 * 60) {
        0 | 1 => "last day".to_owned(),
        days => format!("last {days} days"),
    };
    let rate = match all {
        0 => "none yet".to_owned(),
        _ => {
            let percent = counts.hits as f64 * 100.0 / all as f64;
            format!("{percent:.1} % ({} of {all} objects, {period})", counts.hits)
        }
    };
    match counts.uncacheable {
        0 => rate,
        more => format!("{rate}; {more} more could not be cached"),
    }
}

/// `would remove 12 files, 3.4 MB (8 long unused, 4 beyond the size)`
fn would_go(plan: &Plan) -> String {
    if plan.remove.is_empty() {
        return "would remove nothing".to_owned();
    }
    let causes = [
        (Why::Expired, "long unused"),
        (Why::Files, "beyond the number"),
        (Why::Size, "beyond the size"),
        (Why::Leftover, "half-written"),
    ];
    let counted = causes.map(|(why, name)| (plan.remove.iter().filter(|doomed| doomed.why == why).count(), name));
    let shown: Vec<String> = counted
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let bytes: u64 = plan.remove.iter().map(|doomed| doomed.bytes).sum();
    format!(
        "would remove {} files, {:.1} MB ({})",
        plan.remove.len(),
        bytes as f64 / 1e6,
        shown.join(", ")
    )
}

fn list_settings() -> Result<(), String> {
    let row = |setting: &Setting| {
        format!(
            "{:28} --thinlto-ld-{}=\n    {}\n",
            settings::variable(setting.name),
            setting.name,
            setting.help
        )
    };
    answer(settings::TABLE.iter().map(row).collect::<String>())
}

fn json(answer: &impl Serialize) -> Result<String, String> {
    let text = serde_json::to_string(answer).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

/// Prints what was asked for. A reader that has gone (`thinlto settings | head`) has what it wanted.
fn answer(text: impl AsRef<[u8]>) -> Result<(), String> {
    match say::answer(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("cannot write to stdout: {error}")),
        _ => Ok(()),
    }
}
