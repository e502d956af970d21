//! A link that is distributed: thin link, backends, final link, in this order.
//! Knows nothing of how each is done, nor of what is done where they stop.

use std::sync::Arc;
use std::thread;
use std::time::{Instant, SystemTime};

use super::again::named_reads;
use super::said::said;
use super::stop::Stop;
use super::{Ending, Link, lost, traces, version_memo};
use crate::backend::away::NoWay;
use crate::backend::flags::{self, Flags};
use crate::backend::kept::Objects;
use crate::backend::launcher::Launcher;
use crate::backend::modules::{Keys, Reading, Wanted};
use crate::backend::post::PostBackend;
use crate::backend::{self, BackendError, Told, away};
use crate::cache::Cache;
use crate::check;
use crate::children::Children;
use crate::compiled::Commands;
use crate::final_link::{self, FinalLink, Finished};
use crate::inputs::Inputs;
use crate::narrowed::Asked;
use crate::native;
use crate::observe::progress::Progress;
use crate::observe::stats::{OutputState, ThinLink, milliseconds};
use crate::observe::timeline::Timeline;
use crate::observe::trace::Trace;
use crate::route::{self, Route};
use crate::say;
use crate::settings::EngineKind;
use crate::settings::remote::Local;
use crate::slots::Slots;
use crate::staging::Staging;
use crate::symbols::SymbolTables;
use crate::thin_link::{self, Reuse, ThinLinkError};
use crate::threads::{beside, joined};
use crate::toolchain::{Clang, NoCompiler};
use crate::unchanged::Identity;

impl Link {
    /// The way of the data, in order.
    pub(super) fn try_distributed(
        &mut self,
        began: Instant,
        identity: Option<&Identity>,
        slots: &mut Option<Slots>,
        children: &Children,
    ) -> Result<Ending, Stop> {
        let opened = SystemTime::now();
        let inputs = Inputs::open_with(&self.invocation, &self.dependent)
            .map_err(|error| Stop::Left(Route::Doomed(error.to_string())))?;
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
        self.stats.cache_unwritten = cache.as_ref().and_then(Cache::unwritten);
        let clang = Clang::find(&self.linker, &self.settings, &version_memo()).map_err(|error| match error {
            NoCompiler::Missing(_) => Stop::failed(&self.linker_name(), error),
            NoCompiler::Unfit(reason) => Stop::left(reason),
        })?;
        if let Some(other) = &self.settings.final_linker
            && which::which(other).is_err()
        {
            let what = format!("{}: no such program (THINLTO_LD_FINAL_LINKER)", other.display());
            return Err(Stop::failed(&self.linker_name(), what));
        }
        self.stats.clang = Some(clang.path.display().to_string());
        self.stats.llvm = Some(clang.version.to_string());
        if let Some(reason) = check::refusal(&self.linker, &clang) {
            return Err(Stop::left(reason));
        }
        let flags = Flags::derive(
            &self.invocation.lto,
            self.invocation.kind,
            clang.version,
            flags::Trace::AsLinked,
        )
        .map_err(|error| Stop::left(error.reason))?;
        let timeline = Arc::new(Timeline::new(began));
        let progress = Progress::of(&self.stats.output, began, &timeline);
        let staging = self
            .stage(cache.as_ref())?
            .with_indexes_in_memory(inputs.bitcode_size());
        let remote = match launcher {
            Some(_) => {
                away::no_way_through(&self.settings, &NoWay::Launcher, &mut self.stats.backends);
                None
            }
            None => away::Wanted::by(&self.settings, &clang, cache.as_ref(), &staging).and_then(|wanted| {
                let begun = wanted.begin();
                begun
                    .inspect_err(|why| away::no_way_through(&self.settings, why, &mut self.stats.backends))
                    .ok()
            }),
        };
        self.stats.ms.scan = milliseconds(began.elapsed());

        let mut phase = Instant::now();
        let wanted = Wanted {
            keys: match cache.is_some() || remote.is_some() {
                true => Keys::Wanted,
                false => Keys::None,
            },
            output: self.invocation.kind,
        };
        let reading = Reading::of(&inputs, wanted);
        // A launcher starts a process for each, and needs no server.
        let engine = match launcher {
            Some(_) => EngineKind::Process,
            None => self.settings.engine,
        };
        let is_elsewhere = engine == EngineKind::Remote && self.settings.remote.local == Local::Off;
        // Where another machine does it all, nothing may have to run here.
        let ours = if is_elsewhere { 0 } else { reading.modules() };
        let start_server = || backend::start_ahead(engine, ours, wanted.keys, &clang, &staging, children);
        let (plan, reuse, read, server) = thread::scope(|scope| {
            let helper = |_| thread::Builder::new().spawn_scoped(scope, || reading.help()).ok();
            let helpers: Vec<_> = (0..reading.helpers()).map_while(helper).collect();
            let server = beside(scope, &start_server);
            let reuse = cache
                .as_ref()
                .and_then(|cache| Reuse::of(cache, &self.linker, clang.version, &self.invocation, &inputs, opened));
            let (plan, from) = match reuse.as_ref().and_then(|reuse| reuse.find(&staging)) {
                Some(plan) => (plan, ThinLink::Reused),
                None => {
                    let run = thin_link::run(
                        &self.linker,
                        &self.invocation,
                        &inputs,
                        &staging,
                        children,
                        clang.version,
                    );
                    (run.inspect_err(|_| reading.stop())?, ThinLink::Run)
                }
            };
            // That of the first try has run, whatever is used of it.
            self.stats.thin_link = Some(if self.dependent.is_empty() { from } else { ThinLink::Run });
            self.stats.ms.thin_link = milliseconds(phase.elapsed());
            phase = Instant::now();
            let mut read = vec![reading.help()];
            read.extend(helpers.into_iter().map(joined));
            Ok::<_, ThinLinkError>((plan, reuse, read, server.joined()))
        })
        .map_err(|error| match error {
            ThinLinkError::Refused { .. } | ThinLinkError::Io(..) if staging.full().is_some() => {
                Stop::left(for_want_of_room(&staging, error.to_string()))
            }
            other => other.into(),
        })?;
        let (ahead, mut symbols) = reading.end(read);
        self.stats.modules = plan.modules.len();
        if plan.modules.is_empty() && plan.regular.is_none() {
            return Err(Stop::Left(Route::Passthrough("no bitcode is loaded")));
        }
        let bitcode = plan.bitcode(&inputs, route::lto_mode(&self.invocation));
        symbols.complete(&inputs, bitcode.iter().copied());
        let tables = SymbolTables::read(&inputs, &bitcode)
            .map_err(|(module, error)| Stop::left(format!("{module}: {error}")))?;
        let asked = Asked::by(&tables);

        let is_traced = self.invocation.has("time-trace");
        let is_told = self.settings.timeline || is_traced;
        let backends = backend::Backends {
            clang: &clang,
            flags: &flags,
            commands: commands.as_ref(),
            invocation: &self.invocation,
            plan: &plan,
            inputs: &inputs,
            symbols: &symbols,
            tables: &tables,
            asked: &asked,
            staging: &staging,
            cache: cache.as_ref(),
            post: post.as_ref(),
            engine: self.settings.engine,
            launcher: launcher.as_ref(),
            server,
            remote,
            slots: slots.take().unwrap_or_else(|| Slots::from_environment(Some(1))),
            timeline: &timeline,
            progress: progress.as_ref(),
            told: if is_told { Told::Work } else { Told::Nothing },
            children,
            linker_name: self.linker_name(),
        };
        let compiled = backends.run(ahead, &mut self.stats.backends, &mut self.stats.bytes);
        self.stats.ms.backends = milliseconds(phase.elapsed());
        let spans = is_told.then(|| {
            timeline.spans(plan.modules.len(), |module| {
                (plan.modules[module].shown(), flags.first_task() + module)
            })
        });
        let remote = Trace::of_workers(self.stats.start, spans.iter().flatten());
        self.stats.timeline = spans.filter(|_| self.settings.timeline);
        let mut compiled = compiled.map_err(|error| match error {
            BackendError::Rejected(text) => Stop::Failed(format!("{}{text}", plan.warnings)),
            BackendError::Unfit(reason) => BackendError::Unfit(for_want_of_room(&staging, reason)).into(),
            other => Stop::from(other),
        })?;
        self.stats.work = compiled.work.take().filter(|_| self.settings.timeline);
        if let Some(name) = inputs.changed() {
            return Err(BackendError::Changed(name).into());
        }
        if let Some(cache) = &cache {
            say::aside(cache.prune_users(flags.first_task() + plan.modules.len()));
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
        let progress = progress.inspect(Progress::links);
        let finished = final_link::run(&FinalLink {
            other: self.settings.final_linker.as_deref(),
            linker: &self.linker,
            invocation: &self.invocation,
            inputs: &inputs,
            bitcode: &bitcode,
            tables: &tables,
            asked: &asked,
            plan: &plan,
            objects: &compiled.objects,
            defines: &compiled.defines,
            remarks: &compiled.remarks,
            first_task: flags.first_task(),
            llvm: clang.version,
            order: self.settings.order,
            relocatable: self.settings.relocatable,
            staging: &staging,
            children,
        })?;
        self.stats.ms.final_link = Some(milliseconds(phase.elapsed()));
        self.stats.relocatable.clone_from(&finished.relocatable);
        let finished = Finished {
            stderr: said(&plan, &compiled.said, &finished.stderr),
            read: named_reads(&self.invocation, &inputs, finished.read),
            ..finished
        };
        drop(progress);
        say::aside(&finished.stderr);
        if finished.status.success()
            && let Some(ending) = lost::ending(&self.invocation, &finished.passed_on)
        {
            return Ok(ending);
        }
        self.stats.output_state = Some(OutputState::Linked);
        traces::join(&self.invocation, &plan, &staging, &compiled.traces, remote)
            .map_err(|error| Stop::failed(&self.linker_name(), error))?;
        let (status, read) = (finished.status, finished.read.clone());
        let decided = reuse.filter(|_| status.success() && self.stats.thin_link == Some(ThinLink::Run));
        let plan_to_keep = &plan;
        thread::scope(|scope| {
            let keep = move || {
                match (decided, read) {
                    (Some(reuse), Some(_)) => reuse.keep(plan_to_keep, &staging),
                    (Some(_), None) => tracing::debug!("thin link not kept: what it read cannot be told"),
                    (None, _) => {}
                }
                drop(staging);
            };
            // Where there is no thread to do it beside what follows, the folder goes and the plan with it.
            if let Err(error) = thread::Builder::new().spawn_scoped(scope, keep) {
                tracing::debug!(%error, "thin link not kept");
            }
            // Where libraries that objects name were searched for, only lld knows.
            let is_known = status.success() && self.dependent.is_empty();
            if let (Some(identity), Some(cache), true) = (identity, &cache, is_known) {
                self.remember(identity, cache, (&inputs, opened), &clang, (compiled, left), finished);
            }
            if let Some(cache) = &cache {
                cache.tidy();
            }
        });
        // The process ends now, which frees it all at once.
        std::mem::forget((asked, tables, symbols));
        std::mem::forget((plan, inputs));
        match children.interrupted() {
            Some(signal) => Ok(Ending::Signal(signal)),
            None => Ok(Ending::from(status)),
        }
    }

    fn stage(&self, cache: Option<&Cache>) -> Result<Staging, Stop> {
        Staging::beside(cache.map(Cache::dir))
            .map_err(|(parent, error)| Stop::left(format!("no staging folder in {}: {error}", parent.display())))
    }
}

/// A reason, and the folder that is full where one is: whoever fails of it names the file alone.
fn for_want_of_room(staging: &Staging, reason: String) -> String {
    match staging.full() {
        Some(folder) => format!("no space left in {}: {reason}", folder.display()),
        None => reason,
    }
}
