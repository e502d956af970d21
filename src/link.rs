//! One link from its command line to its exit status: read, route, thin link, backends, final link.
//! Knows nothing of how each is done; this is the order they are done in and what is said of it.

mod said;
mod stop;
mod traces;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::{Instant, SystemTime};

use crate::backend::flags::{self, Flags};
use crate::backend::kept::Objects;
use crate::backend::launcher::Launcher;
use crate::backend::modules::{Keys, ReadAhead, Wanted};
use crate::backend::post::PostBackend;
use crate::backend::{self, BackendError, Compiled, away};
use crate::cache::{Cache, Counts};
use crate::children::Children;
use crate::cmdline::{Invocation, Item};
use crate::compare::supervise::{self, Supervisor};
use crate::compiled::Commands;
use crate::final_link::dependencies::without_dots;
use crate::final_link::{self, FinalLink, Finished};
use crate::inputs::Inputs;
use crate::narrowed::Asked;
use crate::native::{self, Left};
use crate::observe::stats::{LinkMode, OutputState, Stats, ThinLink, milliseconds};
use crate::observe::timeline::Timeline;
use crate::observe::trace::Trace;
use crate::route::{self, Route};
use crate::settings::remote::Local;
use crate::settings::{EngineKind, Mode, Settings, Unchanged};
use crate::slots::Slots;
use crate::staging::Staging;
use crate::thin_link::{self, Reuse, ThinLinkError};
use crate::toolchain::{self, Clang, Linker, VersionMemo};
use crate::unchanged::{Identity, Made, Replay};
use said::said;
use stop::Stop;

/// How a link ended, where we are still there to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this exit status.
    Exit(i32),
    /// A signal ended us, or the linker: it is to be raised again.
    Signal(i32),
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Ending {
        match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exit(code),
            (None, Some(signal)) => Ending::Signal(signal),
            (None, None) => Ending::Exit(1),
        }
    }
}

impl Ending {
    /// Ends this process so.
    pub fn meet(self) -> ! {
        match self {
            Ending::Exit(status) => std::process::exit(status),
            Ending::Signal(signal) => {
                // As the signal would have, so that make and the shell see what happened.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
                std::process::exit(128 + signal);
            }
        }
    }
}

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
    arguments: Vec<OsString>,
    invocation: Invocation,
    settings: Settings,
    linker: Linker,
    stats: Stats,
}

/// Makes the link that `argv` asks for. Returns only where there was something left to do after the linker.
///
/// # Errors
/// A text for people: the linker cannot be found or run, or a setting is wrong.
pub fn run(argv: Vec<OsString>) -> Result<Ending, String> {
    let began = Instant::now();
    let mut argv = argv.into_iter();
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
        return exec(&linker, &arguments);
    }
    let mut stats = Stats::new(linker.path.display().to_string());
    let invocation = match read {
        Ok(invocation) => invocation,
        Err(error) => {
            // lld refuses it too, and says so in its own words.
            stats.mode = LinkMode::InProcess;
            stats.reason = Some(error.to_string());
            write_stats(&mut stats, &settings);
            return exec(&linker, &arguments);
        }
    };
    let mut link = Link {
        arguments,
        invocation,
        settings,
        linker,
        stats,
    };
    link.stats.output = link.invocation.output.display().to_string();
    link.stats.inputs = link.invocation.inputs.len();
    let cache = Cache::folders(&link.settings, &link.invocation).into_iter().next();
    let cache = cache.as_deref().filter(|_| link.settings.cache);
    let route = route::by_command_line(&link.invocation, &link.settings, cache, |name| std::env::var_os(name));
    if let Some(route) = route.or_else(|| link.not_to_compare()) {
        link.stats.ms.scan = milliseconds(began.elapsed());
        link.tell_compare(&route);
        return link.give_up(route);
    }
    // Who compares links has this one made by a thinlto-ld of its own, without this setting.
    let identity = link.settings.compare.is_none().then(|| link.identity()).flatten();
    if let Some(replay) = identity.as_ref().and_then(|identity| link.restore(identity)) {
        return link.replay(&replay, began);
    }
    if let Some((folder, supervisor)) = link.supervisor() {
        return supervisor
            .run(argv0, &link.arguments, &link.invocation, &link.settings, &folder)
            .map_err(|error| error.to_string());
    }
    link.distribute(began, identity.as_ref())
}

impl Link {
    /// What names this link among those made before, where it may be put back instead of made again.
    fn identity(&self) -> Option<Identity> {
        let settings = &self.settings;
        if !settings.cache || settings.unchanged == Unchanged::Relink {
            return None;
        }
        Identity::of(&self.arguments, &self.invocation, settings, &self.linker)
    }

    /// Puts the link back as it was made, if it was and nothing has changed since.
    fn restore(&mut self, identity: &Identity) -> Option<Replay> {
        let folders = Cache::folders(&self.settings, &self.invocation);
        if !folders.iter().any(|folder| identity.may_be_in(folder)) {
            return None;
        }
        let cache = Cache::for_link(&self.settings, &self.invocation).0?;
        let clang = Clang::find(&self.linker, &self.settings, &version_memo()).ok()?;
        let replay = identity.restore(&cache, &clang)?;
        Cache::use_entries(&replay.kept);
        // As many backends as did not run.
        cache.count(Counts {
            hits: replay.modules as u64,
            ..Counts::default()
        });
        self.stats.clang = Some(clang.path.display().to_string());
        self.stats.llvm = Some(clang.version.to_string());
        eprint!("{}", cache.prune_users(0));
        cache.tidy();
        Some(replay)
    }

    /// Says what the link said when it was made.
    fn replay(mut self, replay: &Replay, began: Instant) -> Result<Ending, String> {
        final_link::pass_on(&replay.stdout);
        eprint!("{}", replay.stderr);
        self.stats.mode = LinkMode::Distributed;
        self.stats.output_state = Some(OutputState::Restored);
        (self.stats.inputs, self.stats.modules) = (replay.inputs, replay.modules);
        self.stats.ms.scan = milliseconds(began.elapsed());
        self.stats.exit = Some(0);
        write_stats(&mut self.stats, &self.settings);
        Ok(Ending::Exit(0))
    }

    /// Who makes the link and compares it with in-process LTO's, where that is wanted and can be had.
    fn supervisor(&self) -> Option<(PathBuf, Supervisor)> {
        let folder = self.settings.compare.clone()?;
        match Supervisor::new() {
            Ok(supervisor) => Some((folder, supervisor)),
            Err(error) => {
                tracing::warn!("links are not compared: {error}");
                None
            }
        }
    }

    /// Who compares links adds options to them, which must not be in what an option leaves to lld (`--reproduce`).
    fn not_to_compare(&self) -> Option<Route> {
        if self.settings.compare.is_none() || self.invocation.in_process.is_none() {
            return None;
        }
        match Inputs::open(&self.invocation) {
            Ok(inputs) => route::by_inputs(&self.invocation, &inputs),
            Err(error) => Some(Route::Doomed(error.to_string())),
        }
    }

    /// A link that is left to lld is not compared, but counts.
    fn tell_compare(&self, route: &Route) {
        let Some(folder) = &self.settings.compare else { return };
        let left = supervise::left(
            &self.invocation,
            &self.linker.path,
            route.mode(),
            route.reason(),
            folder,
        );
        if let Err(error) = left {
            tracing::warn!("{}: {error}", folder.display());
        }
    }

    fn distribute(mut self, began: Instant, identity: Option<&Identity>) -> Result<Ending, String> {
        // Before anything is opened whose descriptor could be taken for make's.
        let slots = Slots::from_environment(route::jobs(&self.invocation, &self.settings));
        let children = Children::watch().map_err(|error| format!("cannot watch for signals: {error}"))?;
        match self.attempt(began, identity, slots, &children) {
            Attempt::Ended(ending) => {
                self.stats.mode = LinkMode::Distributed;
                if let Ending::Exit(code) = ending {
                    self.stats.exit = Some(code);
                }
                write_stats(&mut self.stats, &self.settings);
                Ok(ending)
            }
            Attempt::Refused(status, words) if self.settings.mode == Mode::Distributed => {
                eprint!("{words}");
                self.stats.mode = LinkMode::Distributed;
                self.stats.exit = Some(status);
                write_stats(&mut self.stats, &self.settings);
                Ok(Ending::Exit(status))
            }
            Attempt::Refused(..) => self.give_up(Route::InProcess("the thin link failed".into())),
            Attempt::Left(route) => self.give_up(route),
        }
    }

    fn attempt(&mut self, began: Instant, identity: Option<&Identity>, slots: Slots, children: &Children) -> Attempt {
        let result = self.try_distributed(began, identity, slots, children);
        // Whatever else went wrong meanwhile: who is told to stop does not leave the link to another.
        if let Some(signal) = children.interrupted() {
            return Attempt::Ended(Ending::Signal(signal));
        }
        match result {
            Ok(ending) => Attempt::Ended(ending),
            Err(Stop::Left(route)) => Attempt::Left(route),
            Err(Stop::Refused { status, stderr }) => Attempt::Refused(status, stderr),
            Err(Stop::Failed(text)) => {
                eprint!("{text}");
                Attempt::Ended(Ending::Exit(1))
            }
            Err(Stop::Interrupted) => Attempt::Ended(Ending::Signal(children.interrupted().unwrap_or(15))),
        }
    }

    /// The way of the data, in order.
    fn try_distributed(
        &mut self,
        began: Instant,
        identity: Option<&Identity>,
        slots: Slots,
        children: &Children,
    ) -> Result<Ending, Stop> {
        let opened = SystemTime::now();
        let inputs = Inputs::open(&self.invocation).map_err(|error| Stop::Left(Route::Doomed(error.to_string())))?;
        self.stats.inputs = inputs.entries.len();
        if let Some(route) = route::by_inputs(&self.invocation, &inputs) {
            return Err(Stop::Left(route));
        }
        let commands = Commands::of(&self.settings.flags).map_err(|error| Stop::failed(&self.linker_name(), error))?;
        let post =
            PostBackend::find(&self.settings.post_backend).map_err(|error| Stop::failed(&self.linker_name(), error))?;
        let launcher =
            Launcher::find(&self.settings.launcher).map_err(|error| Stop::failed(&self.linker_name(), error))?;
        let (cache, cache_off) = Cache::for_link(&self.settings, &self.invocation);
        self.stats.cache_off = cache_off;
        let clang = Clang::find(&self.linker, &self.settings, &version_memo()).map_err(|error| Stop::left(error.0))?;
        self.stats.clang = Some(clang.path.display().to_string());
        self.stats.llvm = Some(clang.version.to_string());
        let flags = Flags::derive(
            &self.invocation.lto,
            self.invocation.kind,
            clang.version,
            flags::Trace::AsLinked,
        )
        .map_err(|error| Stop::left(error.reason))?;
        let staging = self
            .stage(cache.as_ref())?
            .with_indexes_in_memory(inputs.bitcode_size());
        let remote = away::Wanted::by(&self.settings, &clang, cache.as_ref(), &staging).map(away::Wanted::begin);
        self.stats.ms.scan = milliseconds(began.elapsed());

        let mut phase = Instant::now();
        let wanted = Wanted {
            keys: match cache.is_some() || remote.is_some() {
                true => Keys::Wanted,
                false => Keys::None,
            },
            output: self.invocation.kind,
        };
        let modules = inputs.eager_bitcode().len();
        // A launcher starts a process for each, and needs no server.
        let engine = match launcher {
            Some(_) => EngineKind::Process,
            None => self.settings.engine,
        };
        let is_elsewhere = engine == EngineKind::Remote && self.settings.remote.local == Local::Off;
        // Where another machine does it all, nothing may have to run here.
        let ours = if is_elsewhere { 0 } else { modules };
        let (plan, reuse, (ahead, mut symbols), server) = thread::scope(|scope| {
            let ahead = scope.spawn(|| ReadAhead::of(&inputs, wanted));
            let server = scope.spawn(|| backend::start_ahead(engine, ours, wanted.keys, &clang, &staging, children));
            let reuse = cache
                .as_ref()
                .and_then(|cache| Reuse::of(cache, &self.linker, clang.version, &self.invocation, &inputs, opened));
            let (plan, from) = match reuse.as_ref().and_then(|reuse| reuse.find(&staging)) {
                Some(plan) => (plan, ThinLink::Reused),
                None => {
                    let run = thin_link::run(&self.linker, &self.invocation, &inputs, &staging, children);
                    (run?, ThinLink::Run)
                }
            };
            self.stats.thin_link = Some(from);
            self.stats.ms.thin_link = milliseconds(phase.elapsed());
            phase = Instant::now();
            Ok::<_, ThinLinkError>((plan, reuse, joined(ahead), joined(server)))
        })?;
        self.stats.modules = plan.modules.len();
        symbols.complete(&inputs, plan.modules.iter().map(|module| module.source));
        let asked = Asked::by(&plan, &symbols).map_err(|(module, error)| Stop::left(format!("{module}: {error}")))?;

        let is_traced = self.invocation.has("time-trace");
        let timeline = (self.settings.timeline || is_traced).then(|| Timeline::new(began));
        let backends = backend::Backends {
            clang: &clang,
            flags: &flags,
            commands: commands.as_ref(),
            invocation: &self.invocation,
            plan: &plan,
            inputs: &inputs,
            symbols: &symbols,
            asked: &asked,
            staging: &staging,
            cache: cache.as_ref(),
            post: post.as_ref(),
            engine: self.settings.engine,
            launcher: launcher.as_ref(),
            server,
            remote,
            slots,
            timeline: timeline.as_ref(),
            children,
            linker_name: self.linker_name(),
        };
        let compiled = backends.run(ahead, &mut self.stats.backends, &mut self.stats.bytes);
        self.stats.ms.backends = milliseconds(phase.elapsed());
        let spans = timeline.map(|timeline| {
            timeline.spans(plan.modules.len(), |module| {
                (plan.modules[module].shown(), flags.first_task() + module)
            })
        });
        let remote = Trace::of_workers(self.stats.start, spans.iter().flatten());
        self.stats.timeline = spans.filter(|_| self.settings.timeline);
        let mut compiled = compiled.map_err(|error| match error {
            BackendError::Rejected(text) => Stop::Failed(format!("{}{text}", plan.warnings)),
            other => Stop::from(other),
        })?;
        self.stats.work = compiled.work.take().filter(|_| self.settings.timeline);
        if let Some(name) = inputs.changed() {
            return Err(BackendError::Changed(name).into());
        }
        if let Some(cache) = &cache {
            eprint!("{}", cache.prune_users(flags.first_task() + plan.modules.len()));
        }
        let made = Objects {
            invocation: &self.invocation,
            inputs: &inputs,
            plan: &plan,
            flags: &flags,
            llvm: clang.version,
            objects: &compiled.objects,
        };
        made.keep().map_err(|(path, error)| {
            let what = format!("cannot write {}: {error}", path.display());
            Stop::failed(&self.linker_name(), what)
        })?;

        let left = native::leave(&self.settings.native, &inputs, &plan, &compiled.objects)
            .map_err(|error| Stop::failed(&self.linker_name(), error))?;
        self.stats.native = native::counts(&self.settings.native, &left);

        let phase = Instant::now();
        let finished = final_link::run(&FinalLink {
            other: self.settings.final_linker.as_deref(),
            linker: &self.linker,
            invocation: &self.invocation,
            inputs: &inputs,
            symbols: &symbols,
            asked: &asked,
            plan: &plan,
            objects: &compiled.objects,
            defines: &compiled.defines,
            remarks: &compiled.remarks,
            first_task: flags.first_task(),
            llvm: clang.version,
            order: self.settings.order,
            staging: &staging,
            children,
        })?;
        self.stats.ms.final_link = Some(milliseconds(phase.elapsed()));
        let finished = Finished {
            stderr: said(&plan, &compiled.said, &finished.stderr),
            read: named_reads(&self.invocation, &inputs, finished.read),
            ..finished
        };
        eprint!("{}", finished.stderr);
        self.stats.output_state = Some(OutputState::Linked);
        traces::join(&self.invocation, &plan, &staging, &compiled.traces, remote)
            .map_err(|error| Stop::failed(&self.linker_name(), error))?;
        let (status, read) = (finished.status, finished.read.clone());
        let decided = reuse.filter(|_| status.success() && self.stats.thin_link == Some(ThinLink::Run));
        let plan_to_keep = &plan;
        thread::scope(|scope| {
            scope.spawn(move || {
                match (decided, read) {
                    (Some(reuse), Some(_)) => reuse.keep(plan_to_keep, &staging),
                    (Some(_), None) => tracing::debug!("thin link not kept: what it read cannot be told"),
                    (None, _) => {}
                }
                drop(staging);
            });
            if let (Some(identity), Some(cache), true) = (identity, &cache, status.success()) {
                self.remember(identity, cache, (&inputs, opened), &clang, (compiled, left), finished);
            }
            if let Some(cache) = &cache {
                cache.tidy();
            }
        });
        // The process ends now, which frees it all at once.
        std::mem::forget((asked, symbols));
        std::mem::forget((plan, inputs));
        match children.interrupted() {
            Some(signal) => Ok(Ending::Signal(signal)),
            None => Ok(Ending::from(status)),
        }
    }

    /// Writes down what was linked of what, to put it back where nothing has changed.
    fn remember(
        &self,
        identity: &Identity,
        cache: &Cache,
        (inputs, opened): (&Inputs, SystemTime),
        clang: &Clang,
        (compiled, left): (Compiled, Vec<Left>),
        finished: Finished,
    ) {
        let Some((mut others, named_by_assembly)) = finished.read.zip(compiled.files) else {
            tracing::debug!("not remembered: what it read cannot be told");
            return;
        };
        others.extend(named_by_assembly);
        let (mut read, mut absent) = (inputs.files(), inputs.absent.clone());
        for (path, stamp) in compiled.looks {
            match stamp {
                Some(stamp) => read.push((path, stamp)),
                None => absent.push(path),
            }
        }
        let made = Made {
            read,
            others,
            absent,
            sides: compiled.sides,
            left,
            tools: (&self.linker, clang),
            began: opened,
            replay: Replay {
                inputs: self.stats.inputs,
                modules: self.stats.modules,
                stdout: finished.stdout,
                stderr: finished.stderr,
                kept: cache.users_entries(),
            },
        };
        identity.remember(cache, &self.invocation, made);
    }

    fn stage(&self, cache: Option<&Cache>) -> Result<Staging, Stop> {
        Staging::beside(cache.map(Cache::dir))
            .map_err(|(parent, error)| Stop::left(format!("no staging folder in {}: {error}", parent.display())))
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

    /// Leaves the link to the real linker, the user's command line as it came.
    fn give_up(mut self, route: Route) -> Result<Ending, String> {
        let distribution_wanted = self.settings.mode == Mode::Distributed;
        let (mode, reason, refused) = match route {
            Route::Passthrough(reason) => (LinkMode::Passthrough, reason.to_owned(), false),
            Route::InProcess(reason) => (LinkMode::InProcess, reason, distribution_wanted),
            Route::Doomed(reason) => (LinkMode::InProcess, reason, false),
        };
        tracing::info!(?mode, reason, "left to the linker");
        if mode == LinkMode::InProcess && self.settings.are_for_backends() {
            tracing::warn!("{reason}: left to in-process LTO, which heeds no flags, native or post-backend setting");
        }
        self.stats.mode = mode;
        self.stats.reason = Some(reason.clone());
        if refused {
            self.stats.exit = Some(1);
        }
        write_stats(&mut self.stats, &self.settings);
        if refused {
            return Err(format!(
                "this link would go in-process: {reason}\n>>> THINLTO_LD_MODE=distributed asks for an error instead; \
                 unset it to let {} make the link",
                self.linker_name()
            ));
        }
        // Those of our options that came by a response file can only be taken out by expanding it.
        let on_the_line = self.arguments.iter().filter(|word| is_own(word)).count();
        match on_the_line == self.invocation.own.len() {
            true => exec(&self.linker, self.arguments.iter().filter(|word| !is_own(word))),
            false => exec(&self.linker, self.invocation.words()),
        }
    }
}

pub(crate) fn version_memo() -> VersionMemo {
    VersionMemo::new(crate::cache::home().map(|home| home.join("versions")))
}

/// The files besides the inputs that the linker has read: those its options name. None where it has read a file that
/// nothing names: then it was searched for, and where else it was looked for nobody knows.
fn named_reads(invocation: &Invocation, inputs: &Inputs, read: Option<Vec<PathBuf>>) -> Option<Vec<PathBuf>> {
    let known: HashSet<PathBuf> = inputs.files().iter().map(|(path, _)| without_dots(path)).collect();
    let mut read = read?;
    read.retain(|path| !known.contains(path));
    let named: HashSet<PathBuf> = invocation
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Option { value: Some(value), .. } => Some(without_dots(Path::new(value))),
            _ => None,
        })
        .collect();
    read.iter().all(|path| named.contains(path)).then_some(read)
}

/// Stats are for whoever asked; that they cannot be written must not fail the link.
pub(crate) fn write_stats(stats: &mut Stats, settings: &Settings) {
    let Some(file) = &settings.stats else { return };
    if let Err(error) = stats.append(file) {
        tracing::warn!("cannot append to {}: {error}", file.display());
    }
}

fn is_own(word: &OsStr) -> bool {
    let word = word.as_encoded_bytes();
    word.starts_with(b"--thinlto-ld-") || word.starts_with(b"-thinlto-ld-")
}

/// What a thread made; its panic is ours.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub(crate) fn start_log(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| "warn".into());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .try_init();
}

/// Becomes the linker.
fn exec(linker: &Linker, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Ending, String> {
    let error = linker.command().args(arguments).exec();
    Err(format!("cannot run {}: {error}", linker.path.display()))
}
