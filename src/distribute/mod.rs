//! A distributor for LLVM's DTLTO: lld resolves the symbols and links, and hands the backends to `thinlto distribute`, which
//! has engines, farm, caches, jobserver and slots for them. Knows nothing of the link but what its list of jobs says.

mod command;
mod description;
mod jobs;
mod modules;
mod run;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::backend::away::{self, NoWay};
use crate::backend::launcher::Launcher;
use crate::backend::post::PostBackend;
use crate::backend::process::Failure;
use crate::cache::Cache;
use crate::children::Children;
use crate::link::{self, Ending};
use crate::observe::stats::{LinkMode, Stats, milliseconds};
use crate::observe::timeline::Timeline;
use crate::say;
use crate::settings::{self, FlagsFrom, Native, Order, Settings};
use crate::slots::Slots;
use crate::staging::Staging;
use crate::toolchain::Clang;
use description::Description;
use jobs::ListedJobs;
use modules::{Common, Modules};
use run::{Distribution, Undone};

/// Does the jobs that the last of `words` lists; before it may stand settings (`--thinlto-ld-jobs=2`), as on a link line.
///
/// # Errors
/// A text for people: what is wrong with the list, a file or a setting. lld adds that its distributor has failed.
pub fn run(words: &[OsString]) -> Result<Ending, String> {
    let began = Instant::now();
    let (file, own) = read_words(words)?;
    let settings = Settings::read(|name| std::env::var_os(name), &own).map_err(|error| error.to_string())?;
    link::start_log(&settings.log);
    // Before anything is opened whose descriptor could be taken for make's.
    let slots = Slots::from_environment(settings.jobs);
    let children = Children::watch().map_err(|error| format!("cannot watch for signals: {error}"))?;
    let mut stats = Stats::new(linker());
    stats.mode = LinkMode::Distributor;
    stats.reason = unheeded(&settings);
    settings::warn_of_unknown();
    settings.warn_of_absent();
    let done = distribute(&file, &settings, slots, &children, began, &mut stats);
    let ending = match (children.interrupted(), done) {
        (Some(signal), _) => Ok(Ending::Signal(signal)),
        (None, Ok(())) => Ok(Ending::Exit(0)),
        (None, Err(error)) => Err(error),
    };
    stats.exit = match &ending {
        Ok(ending) => ending.status(),
        Err(_) => Some(1),
    };
    link::write_stats(&mut stats, &settings);
    ending
}

/// The way of the data, in order.
fn distribute(
    file: &Path,
    settings: &Settings,
    slots: Slots,
    children: &Children,
    began: Instant,
    stats: &mut Stats,
) -> Result<(), String> {
    let mut description = Description::read(file).map_err(|error| error.to_string())?;
    // As whoever runs a command would look for it; where there is none, running it says so.
    if let Ok(path) = which::which(description.compiler()) {
        description.set_compiler(&path);
    }
    let description = description;
    stats.output.clone_from(&description.common.linker_output);
    (stats.inputs, stats.modules) = (description.jobs.len(), description.jobs.len());
    let post = PostBackend::find(&settings.post_backend)?;
    let launcher = Launcher::find(&settings.launcher)?;
    let (cache, cache_off) = Cache::for_jobs(settings);
    stats.cache_unwritten = cache.as_ref().and_then(Cache::unwritten);
    let staging = Staging::beside(cache.as_ref().map(Cache::dir))
        .map_err(|(parent, error)| format!("no staging folder in {}: {error}", parent.display()))?
        .with_indexes_in_memory(0);
    stats.clang = Some(description.compiler().display().to_string());
    let clang = Clang::at(description.compiler(), &link::version_memo());
    let remote = match (&launcher, &clang) {
        (None, Some(clang)) => away::Wanted::by(settings, clang, cache.as_ref(), &staging),
        _ => None,
    };
    let remote = remote.and_then(|wanted| {
        let begun = wanted.begin();
        begun
            .inspect_err(|why| away::no_way_through(settings, why, &mut stats.backends))
            .ok()
    });
    let (modules, commands) = rayon::join(
        || Modules::open(&description),
        || command::of_jobs(&description, staging.dir()),
    );
    let modules = modules.map_err(|(path, error)| format!("{}: {error}", path.display()))?;
    stats.llvm = clang.as_ref().map(|clang| clang.version.to_string());
    let (commands, unknown) = match commands {
        Ok(commands) => (Some(commands), None),
        Err(why) => {
            tracing::info!("{why}: each job is run by the driver");
            (None, Some(why))
        }
    };
    stats.backends.engine_fallback.clone_from(&unknown);
    let no_way = match (&launcher, unknown, &clang) {
        (Some(_), ..) => Some(NoWay::Launcher),
        (None, Some(why), _) => Some(NoWay::Unknown(why)),
        (None, None, None) => Some(NoWay::Unknown("which clang compiles cannot be told".to_owned())),
        (None, None, Some(_)) => None,
    };
    stats.cache_off = cache_off.or_else(|| match &no_way {
        Some(NoWay::Unknown(why)) if cache.is_some() => Some(why.clone()),
        _ => None,
    });
    if let Some(why) = &no_way {
        away::no_way_through(settings, why, &mut stats.backends);
    }
    stats.ms.scan = milliseconds(began.elapsed());

    let phase = Instant::now();
    let jobs = &description.jobs;
    let keys = match (&cache, &clang, &commands) {
        (Some(cache), Some(clang), Some(commands)) => {
            let common = Common {
                cache,
                clang,
                inputs: &description.common.inputs,
                launcher: launcher.as_ref(),
                post: post.as_ref(),
            };
            modules.keys(jobs, commands, &common)
        }
        _ => jobs.iter().map(|_| None).collect(),
    };
    let timeline = Timeline::new(began);
    let distribution = Distribution {
        jobs: ListedJobs {
            description: &description,
            modules: &modules,
            commands: commands.as_deref(),
            keys,
            cache: cache.as_ref(),
            launcher: launcher.as_ref(),
            post: post.as_ref(),
            staging: &staging,
            timeline: &timeline,
            children,
        },
        engine: settings.engine,
        remote: remote.filter(|_| no_way.is_none()),
        slots,
    };
    let done = distribution.run(stats);
    stats.ms.backends = milliseconds(phase.elapsed());
    let spans = || timeline.spans(jobs.len(), |job| (jobs[job].shown(), job + 1));
    stats.timeline = settings.timeline.then(spans);
    if let Some(cache) = &cache {
        cache.tidy();
    }
    let said = done.map_err(|undone| match undone {
        Undone::Failed(job, failure) => told(job, failure, &description),
        Undone::Unprepared(what) => what,
    })?;
    for (said, job) in said.iter().zip(jobs) {
        say::aside(words::shown(said, job));
    }
    Ok(())
}

/// A failure for people: clang's own words, then whose they are.
fn told(number: usize, failure: Failure, description: &Description) -> String {
    let Some(job) = description.jobs.get(number) else {
        return failure.to_string();
    };
    let (what, said) = match failure {
        Failure::Diagnosed(said) => ("clang reported errors".to_owned(), said),
        Failure::Crashed { end, stderr } => (format!("clang {end}"), stderr),
        Failure::NoObject { found, stderr } => (format!("clang exited 0 but left {found}"), stderr),
        Failure::Post { command, what, said } => (format!("post-backend command {what} ({command})"), said),
        Failure::Spawn(path, error) => (
            format!(
                "cannot run {}, the compiler that --thinlto-remote-compiler names: {error}",
                path.display()
            ),
            String::new(),
        ),
        Failure::Unprepared(what) => (what, String::new()),
        Failure::Interrupted => ("interrupted".to_owned(), String::new()),
    };
    say::aside(words::shown(&said, job));
    format!("the backend of {}: {what}", job.shown())
}

/// The list of jobs, and settings.
fn read_words(words: &[OsString]) -> Result<(PathBuf, Vec<(String, OsString)>), String> {
    let usage = "expected [--thinlto-ld-SETTING=VALUE]… FILE, where FILE is the list of jobs that ld.lld writes \
                 (--thinlto-distributor=thinlto --thinlto-distributor-arg=distribute)";
    let Some((file, before)) = words.split_last() else {
        return Err(usage.to_owned());
    };
    let own = before.iter().map(|word| {
        let setting = word
            .to_str()
            .and_then(|word| word.strip_prefix("--thinlto-ld-")?.split_once('='));
        match setting {
            Some((name, value)) => Ok((name.to_owned(), OsString::from(value))),
            None => Err(format!("{}: {usage}", word.display())),
        }
    });
    Ok((PathBuf::from(file), own.collect::<Result<_, _>>()?))
}

/// Whoever started us.
fn linker() -> String {
    let parent = rustix::process::getppid().map(|pid| format!("/proc/{}/exe", pid.as_raw_nonzero()));
    let program = parent.and_then(|link| std::fs::read_link(link).ok());
    program
        .as_deref()
        .map_or_else(|| "ld.lld".to_owned(), |path| path.display().to_string())
}

/// The settings that ask for what only who makes the link can do.
fn unheeded(settings: &Settings) -> Option<String> {
    let asked = [
        ("flags", settings.flags != FlagsFrom::Link),
        ("native", settings.native != Native::Off),
        ("final-linker", settings.final_linker.is_some()),
        ("compare", settings.compare.is_some()),
        ("order", settings.order != Order::CommandLine),
    ];
    let names: Vec<&str> = asked
        .iter()
        .filter(|(_, is_asked)| *is_asked)
        .map(|(name, _)| *name)
        .collect();
    if names.is_empty() {
        return None;
    }
    let why = format!("a distributor heeds no {} setting", names.join(", "));
    tracing::warn!("{why}");
    Some(why)
}
