//! One link from its command line to its exit status: read, routed, put back as it was, distributed or left to lld.
//! Knows nothing of how each is done; this is the order they are done in and what is said of it.

mod again;
mod compared;
mod distributed;
mod ending;
mod left;
mod lost;
mod renamed;
mod said;
mod stop;
mod traces;

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cache::{self, Cache, Store};
use crate::children::Children;
use crate::cmdline::Invocation;
use crate::descriptors;
use crate::fault::{Fault, caught};
use crate::observe::ledger::{Ledger, Sums};
use crate::observe::stats::{LinkMode, Stats, milliseconds};
use crate::observe::summary;
use crate::route::{self, Route};
use crate::say::{self, Aside};
use crate::settings::{self, Mode, Settings, Summary};
use crate::slots::Slots;
use crate::threads;
use crate::toolchain::{self, Linker, OUR_VERSION, VersionMemo};
use crate::unchanged::Identity;
pub use ending::Ending;
use left::exec;
use said::first_error;
use stop::Stop;

/// What came of trying to distribute a link.
enum Attempt {
    Ended(Ending),
    /// The linker has refused the thin link: its exit status and its words.
    Refused(i32, String),
    /// It is left to lld after all.
    Left(Route),
}

/// A link under way.
struct Link {
    /// What we are called.
    argv0: OsString,
    arguments: Vec<OsString>,
    invocation: Invocation,
    settings: Settings,
    linker: Linker,
    stats: Stats,
    /// Libraries that objects among the inputs name, as the thin link has told of them.
    dependent: Vec<PathBuf>,
}

/// Makes the link that `argv` asks for. Returns only where there was something left to do after the linker. A fault of ours
/// leaves it to lld.
///
/// # Errors
/// A text for people: the linker cannot be found or run, or a setting is wrong.
pub fn run(argv: &[OsString]) -> Result<Ending, String> {
    caught(|| make(argv)).unwrap_or_else(|fault| {
        // The log may not have been started yet.
        say::aside(format_args!("thinlto-ld: warning: {fault}; left to in-process LTO\n"));
        caught(|| after_fault(argv, &fault)).unwrap_or_else(|_| at_last(argv, &fault))
    })
}

/// The link, however it is made best.
fn make(argv: &[OsString]) -> Result<Ending, String> {
    let began = Instant::now();
    if argv.iter().any(|word| word == OUR_VERSION) {
        let said = say::answer(concat!("thinlto-ld ", env!("CARGO_PKG_VERSION"), "\n"));
        return Ok(Ending::Exit(i32::from(said.is_err())));
    }
    match read(argv)? {
        Begun::Link(link) => link.route(began),
        Begun::Ended(ending) => Ok(ending),
    }
}

/// The link as lld makes it, and the stats say why.
fn after_fault(argv: &[OsString], fault: &Fault) -> Result<Ending, String> {
    match read(argv)? {
        Begun::Link(link) => link.give_up(Route::InProcess(fault.to_string())),
        Begun::Ended(ending) => Ok(ending),
    }
}

/// The same where reading the command line is what fails.
fn at_last(argv: &[OsString], fault: &Fault) -> Result<Ending, String> {
    let mut argv = argv.iter();
    let argv0 = argv.next().map_or(OsStr::new("ld.lld"), OsString::as_os_str);
    let linker = caught(|| {
        let settings = Settings::read(|name| std::env::var_os(name), &[]).map_err(|error| error.to_string())?;
        Linker::find(argv0, &settings).map_err(|error| error.to_string())
    });
    let mut command = linker.map_err(|_| fault.to_string())??.command();
    command.args(argv.filter(|word| !left::is_own(word)));
    exec(command)
}

/// A link whose command line has been read.
enum Begun {
    Link(Box<Link>),
    /// It was not for us to make.
    Ended(Ending),
}

fn read(argv: &[OsString]) -> Result<Begun, String> {
    let mut argv = argv.iter().cloned();
    let argv0 = argv.next().unwrap_or_else(|| "ld.lld".into());
    let arguments: Vec<OsString> = argv.collect();
    let read = Invocation::read(arguments.clone());
    let own = read
        .as_ref()
        .map(|invocation| invocation.own.as_slice())
        .unwrap_or_default();
    let settings = Settings::read(|name| std::env::var_os(name), own).map_err(|error| error.to_string())?;
    start_log(&settings.log);
    let linker = Linker::find(&argv0, &settings).map_err(|error| error.to_string())?;
    if toolchain::is_nested() {
        return as_it_came(&linker, &arguments).map(Begun::Ended);
    }
    let mut stats = Stats::new(linker.path.display().to_string());
    let invocation = match read {
        Ok(invocation) => invocation,
        Err(error) => {
            // lld refuses it too, and says so in its own words.
            stats.mode = LinkMode::InProcess;
            stats.reason = Some(error.to_string());
            write_stats(&mut stats, &settings);
            return as_it_came(&linker, &arguments).map(Begun::Ended);
        }
    };
    let mut link = Link {
        argv0,
        arguments,
        invocation,
        settings,
        linker,
        stats,
        dependent: Vec::new(),
    };
    link.stats.output = link.invocation.output.display().to_string();
    link.stats.inputs = link.invocation.inputs.len();
    if !link.invocation.foreign && !link.invocation.informational {
        descriptors::keep_pipes(&link.invocation);
    }
    Ok(Begun::Link(Box::new(link)))
}

impl Link {
    fn route(mut self, began: Instant) -> Result<Ending, String> {
        let cache = Cache::folders(&self.settings, &self.invocation).into_iter().next();
        let cache = cache.as_deref().filter(|_| self.settings.cache);
        let route = route::by_command_line(&self.invocation, &self.settings, cache, |name| std::env::var_os(name))
            .or_else(|| Some(Route::InProcess(threads::pool().err()?.to_string())))
            .or_else(|| self.not_to_compare());
        if !matches!(route, Some(Route::Passthrough(_))) {
            settings::warn_of_unknown();
            self.settings.warn_of_absent();
        }
        if let Some(route) = route {
            self.stats.ms.scan = milliseconds(began.elapsed());
            self.tell_compare(&route);
            return self.give_up(route);
        }
        // Who compares links has this one made by a thinlto-ld of its own, without this setting.
        let identity = self.settings.compare.is_none().then(|| self.identity()).flatten();
        if let Some(replay) = identity.as_ref().and_then(|identity| self.restore(identity)) {
            return self.replay(&replay, began);
        }
        if let Some((folder, supervisor)) = self.supervisor() {
            let told = self.told_of_linker();
            return supervisor
                .run(
                    (self.argv0, told),
                    &self.arguments,
                    &self.invocation,
                    &self.settings,
                    &folder,
                )
                .map_err(|error| error.to_string());
        }
        self.distribute(began, identity.as_ref())
    }

    fn distribute(mut self, began: Instant, identity: Option<&Identity>) -> Result<Ending, String> {
        // Before anything is opened whose descriptor could be taken for make's.
        let slots = Slots::from_environment(route::jobs(&self.invocation, &self.settings));
        let children = match Children::watch() {
            Ok(children) => children,
            Err(error) => return self.give_up(Route::InProcess(format!("cannot watch for signals: {error}"))),
        };
        match self.attempt(began, identity, slots, &children) {
            Attempt::Ended(ending) => {
                self.stats.mode = LinkMode::Distributed;
                self.stats.exit = ending.status();
                write_stats(&mut self.stats, &self.settings);
                Ok(ending)
            }
            Attempt::Refused(status, words)
                if self.settings.mode == Mode::Distributed && first_error(&words).is_some() =>
            {
                say::aside(words);
                self.stats.mode = LinkMode::Distributed;
                self.stats.exit = Some(status);
                write_stats(&mut self.stats, &self.settings);
                Ok(Ending::Exit(status))
            }
            Attempt::Refused(_, words) => {
                let reason = match first_error(&words) {
                    Some(line) => format!("the thin link failed: {line}"),
                    // Only writing indexes can be to blame: whether the link is one that lld makes is not known.
                    None => "the thin link failed and names no error: a crash".to_owned(),
                };
                if self.settings.mode == Mode::Distributed {
                    say::aside(words);
                }
                self.give_up(Route::InProcess(reason))
            }
            Attempt::Left(route) => self.give_up(route),
        }
    }

    fn attempt(&mut self, began: Instant, identity: Option<&Identity>, slots: Slots, children: &Children) -> Attempt {
        let mut slots = Some(slots);
        let result = loop {
            match self.try_distributed(began, identity, &mut slots, children) {
                Err(Stop::MoreInputs(paths)) if paths.iter().all(|path| !self.dependent.contains(path)) => {
                    self.dependent.extend(paths);
                }
                result => break result,
            }
        };
        // Whatever else went wrong meanwhile: who is told to stop does not leave the link to another.
        if let Some(signal) = children.interrupted() {
            return Attempt::Ended(Ending::Signal(signal));
        }
        match result {
            Ok(ending) => Attempt::Ended(ending),
            Err(Stop::Left(route)) => Attempt::Left(route),
            Err(Stop::Refused { status, stderr }) => Attempt::Refused(status, stderr),
            Err(Stop::Failed(text)) => {
                say::aside(text);
                Attempt::Ended(Ending::Exit(1))
            }
            Err(Stop::MoreInputs(paths)) => {
                let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                let reason = format!("loaded and not among the inputs: {}", names.join(", "));
                Attempt::Left(Route::InProcess(reason))
            }
            Err(Stop::Interrupted) => Attempt::Ended(Ending::Signal(children.interrupted().unwrap_or(15))),
        }
    }

    /// As lld begins its messages.
    fn linker_name(&self) -> String {
        self.linker
            .path
            .file_name()
            .unwrap_or(OsStr::new("ld.lld"))
            .to_string_lossy()
            .into_owned()
    }
}

fn as_it_came(linker: &Linker, arguments: &[OsString]) -> Result<Ending, String> {
    let mut command = linker.command();
    command.args(arguments);
    exec(command)
}

pub(crate) fn version_memo() -> VersionMemo {
    VersionMemo::new(crate::cache::home().map(|home| home.join("versions")))
}

/// Says what became of a link: to whoever asked for its stats or a line, and to the ledger of all. That it cannot be written must
/// not fail the link.
pub(crate) fn write_stats(stats: &mut Stats, settings: &Settings) {
    stats.end();
    if let Some(file) = &settings.stats
        && let Err(error) = stats.append(file)
    {
        tracing::warn!("cannot append to {}: {error}", file.display());
    }
    if stats.reason.as_deref() == Some(route::NO_LINK) {
        return;
    }
    if settings.summary == Summary::On {
        say::aside(summary::of(stats));
    }
    let folder = settings.cache_dir.clone().or_else(cache::home);
    if let Some(folder) = folder.filter(|_| settings.cache)
        && let Err(error) = enter(&folder, &Sums::of(stats))
    {
        tracing::debug!("{}: not counted: {error}", folder.display());
    }
}

/// Writes a link down, in a cache that may have to be made for that.
fn enter(folder: &Path, sums: &Sums) -> io::Result<()> {
    let ledger = Ledger::of(&Store::root_in(folder));
    match ledger.add(sums) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Store::open(folder).map_err(io::Error::other)?;
            ledger.add(sums)
        }
        added => added,
    }
}

pub(crate) fn start_log(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| "warn".into());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Aside)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        // It would tell of them by `eprintln!`.
        .log_internal_errors(false)
        .try_init();
}
