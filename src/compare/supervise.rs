//! `THINLTO_LD_COMPARE`: the build's own link is made as it would be, by a thinlto-ld of its own; then in-process LTO makes
//! it again in a scratch folder, and what they have in common is put into the folder named.
//! Knows nothing of how the build goes on: whatever becomes of the comparison, the link ends as it ended.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{SystemTime, UNIX_EPOCH};

use signal_hook::consts::SIGTERM;
use tempfile::TempDir;

use super::command::LinkCommand;
use super::judge;
use super::link::{self, Backends, CompareError, Links, Made, Told, at};
use super::measure::{self, Words};
use super::objects;
use super::verdict::Comparison;
use crate::children::Children;
use crate::cmdline::Invocation;
use crate::link::Ending;
use crate::settings::{self, Settings};

/// What a comparison needs besides the link.
#[derive(Debug)]
pub struct Supervisor {
    program: PathBuf,
    scratch: TempDir,
    children: Children,
}

impl Supervisor {
    /// Everything in place.
    ///
    /// # Errors
    /// It is not to be had; the link can be made without.
    pub fn new() -> io::Result<Supervisor> {
        Ok(Supervisor {
            program: std::env::current_exe()?,
            scratch: tempfile::Builder::new().prefix("thinlto-compare-").tempdir()?,
            children: Children::watch()?,
        })
    }

    /// Makes the link of this process's command line, compares it, and says how the link ended. Its variables are those that
    /// say which linker is meant where its name does not.
    ///
    /// # Errors
    /// The link itself cannot be started.
    pub fn run(
        self,
        (argv0, env): (OsString, Vec<(OsString, OsString)>),
        arguments: &[OsString],
        invocation: &Invocation,
        settings: &Settings,
        folder: &Path,
    ) -> Result<Ending, CompareError> {
        let command = LinkCommand {
            argv0,
            words: invocation.words(),
            env,
            thinlto_ld: self.program,
        };
        let links = Links {
            command: &command,
            invocation,
            scratch: self.scratch.path(),
            children: &self.children,
            backends: Backends::Kept,
        };
        let made = make(&links, arguments, settings).and_then(|ours| {
            let comparison = compare_made(&links, &ours, settings);
            let written = comparison.and_then(|comparison| write(&comparison, folder).map_err(at(folder.display())));
            match written {
                Err(CompareError::Interrupted) => return Err(CompareError::Interrupted),
                Err(error) => tracing::warn!("{} is not compared: {error}", invocation.output.display()),
                Ok(()) => {}
            }
            Ok(ours.status)
        });
        match made {
            Ok(status) => Ok(Ending::from(status)),
            Err(CompareError::Interrupted) => Ok(Ending::Signal(self.children.interrupted().unwrap_or(SIGTERM))),
            Err(error) => Err(error),
        }
    }
}

fn compare_made(links: &Links<'_>, ours: &Made, settings: &Settings) -> Result<Comparison, CompareError> {
    let told = Told::read(&ours.side.stats());
    pass_on(&ours.side.stats(), settings);
    match (&told, ours.status.success()) {
        (Some(told), succeeds) if told.mode == "distributed" => match incomparable(links.invocation, settings) {
            None if succeeds => compare(links, ours, told),
            // Whether it is a link at all (what configure scripts try often is none) in-process LTO tells.
            None => failed(links, ours, told),
            Some(_) if !succeeds => Ok(not_distributed(links, Some(told), ours.status)),
            Some(why) => {
                let mut comparison = link::begin(links);
                comparison.describe(told);
                Ok(comparison.unknown(&told.mode, &why))
            }
        },
        (told, _) => Ok(not_distributed(links, told.as_ref(), ours.status)),
    }
}

/// Reports of LTO's that hold more where objects are asked for: ours must not be in them.
const TOLD_OF_OBJECTS: [&str; 2] = ["save-temps", "time-trace"];

/// Why in-process LTO would make something else, or cannot be compared with the link unless that is changed.
fn incomparable(invocation: &Invocation, settings: &Settings) -> Option<String> {
    if settings.are_for_backends() {
        return Some("in-process LTO heeds no flags, native or post-backend setting".into());
    }
    let report = TOLD_OF_OBJECTS.iter().find(|option| invocation.has(option));
    report.filter(|_| user_prefix(invocation).is_none()).map(|option| {
        format!("--{option} would show the objects that are compared; with --lto-obj-path it shows yours")
    })
}

/// The user's link, all but what it tells of itself as they want it.
fn make(links: &Links<'_>, arguments: &[OsString], settings: &Settings) -> Result<Made, CompareError> {
    let side = links.side("distributed")?;
    let mut command = Command::new(&links.command.thinlto_ld);
    let word = |name: &str, value: OsString| {
        let mut word = OsString::from(format!("--thinlto-ld-{name}="));
        word.push(value);
        word
    };
    let mut words = vec![
        word("stats", side.stats().into()),
        word("timeline", "on".into()),
        word("compare", OsString::new()),
        // What is put back has no objects to be compared.
        word("unchanged", "relink".into()),
    ];
    if user_prefix(links.invocation).is_none() && incomparable(links.invocation, settings).is_none() {
        let mut objects = OsString::from("--lto-obj-path=");
        objects.push(side.objects());
        words.push(objects);
    }
    command
        .arg0(&links.command.argv0)
        .envs(links.command.env.iter().cloned())
        .args(arguments)
        .args(words)
        .env_remove(settings::variable("compare"));
    let (status, cost) = measure::run(&mut command, &Words::Inherited, links.children)
        .map_err(at(links.command.thinlto_ld.display()))?;
    Ok(Made { side, status, cost })
}

/// Where the user wants objects.
fn user_prefix(invocation: &Invocation) -> Option<&str> {
    invocation.lto_value("lto-obj-path").filter(|prefix| !prefix.is_empty())
}

/// The stats line is the user's, if they asked for one.
fn pass_on(stats: &Path, settings: &Settings) {
    let (Some(file), Ok(mut line)) = (&settings.stats, fs::read_to_string(stats)) else {
        return;
    };
    if !settings.timeline
        && let Ok(mut value) = serde_json::from_str::<serde_json::Value>(&line)
        && let Some(object) = value.as_object_mut()
        && ["timeline", "work"]
            .map(|name| object.remove(name))
            .iter()
            .any(Option::is_some)
    {
        line = format!("{value}\n");
    }
    let append = || -> io::Result<()> {
        use io::Write as _;
        fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)?
            .write_all(line.as_bytes())
    };
    if let Err(error) = append() {
        tracing::warn!("cannot append to {}: {error}", file.display());
    }
}

fn compare(links: &Links<'_>, ours: &Made, told: &Told) -> Result<Comparison, CompareError> {
    let mut comparison = link::begin(links);
    comparison.describe(told);
    if let Some(prefix) = user_prefix(links.invocation) {
        // Of their own copies: the numbers beyond are an earlier link's.
        for task in 0..=told.modules {
            let theirs = objects::numbered(Path::new(prefix), task);
            let _ = fs::copy(theirs, objects::numbered(&ours.side.objects(), task));
        }
    }
    let in_process = links.in_process()?;
    let mut cost = ours.cost.clone();
    told.add_to(&mut cost);
    comparison.distributed = Some(cost);
    comparison.in_process = Some(in_process.cost.clone());
    let Some(theirs) = links.succeeding(&in_process, Links::in_process_plainly)? else {
        return Ok(comparison.failed_one_way("in-process", &in_process));
    };
    comparison.objects = link::same_objects(&in_process, ours, told)?;
    judge::outputs(&mut comparison, links, theirs, &kept_output(links)?)?;
    Ok(comparison)
}

/// The build's output; what went into no file (`/dev/null`, a pipe) is made once more, into one.
fn kept_output(links: &Links<'_>) -> Result<PathBuf, CompareError> {
    let output = &links.invocation.output;
    if output.is_file() {
        return Ok(output.clone());
    }
    let (again, _) = links.distributed(None)?;
    Ok(again.side.output())
}

/// A link that failed distributed.
fn failed(links: &Links<'_>, ours: &Made, told: &Told) -> Result<Comparison, CompareError> {
    let mut comparison = link::begin(links);
    comparison.describe(told);
    let in_process = links.in_process()?;
    Ok(match links.succeeding(&in_process, Links::in_process_plainly)? {
        None => comparison.failed_both_ways(&in_process),
        // What it said was said to the user.
        Some(_) => comparison.failed_one_way("distributed", ours),
    })
}

fn not_distributed(links: &Links<'_>, told: Option<&Told>, status: ExitStatus) -> Comparison {
    let mut comparison = link::begin(links);
    if let Some(told) = told {
        comparison.describe(told);
    }
    match told {
        // lld refuses it without us, too.
        Some(told) if told.mode != "distributed" && status.success() => {
            let reason = told.reason.clone().unwrap_or_default();
            comparison.unknown(&told.mode, &format!("the link is not distributed: {reason}"))
        }
        _ => comparison.unknown(link::FAILED, &format!("the link failed: {status}")),
    }
}

/// Adds one comparison to a folder, under a name of its own, whole or not at all.
fn write(comparison: &Comparison, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let text = serde_json::to_vec(comparison)?;
    let file = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(file.path(), text)?;
    let stem = Path::new(&comparison.output_file)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos());
    let name: PathBuf = folder.join(format!("{stem}-{nanos}-{}.json", std::process::id()));
    file.persist(name)?;
    Ok(())
}

/// A link that was never tried: it has no bitcode, or is in-process lld's.
///
/// # Errors
/// The folder cannot be written.
pub fn left(invocation: &Invocation, linker: &Path, mode: &str, reason: &str, folder: &Path) -> io::Result<()> {
    let mut comparison = link::begin_of(invocation);
    comparison.linker = linker.display().to_string();
    write(
        &comparison.unknown(mode, &format!("the link is not distributed: {reason}")),
        folder,
    )
}
