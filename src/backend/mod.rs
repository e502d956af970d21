//! Making native objects out of the modules of a plan: prepared, looked up in the cache, compiled in parallel, checked.
//! Knows nothing of the command lines of either link.

pub mod asm_files;
mod asm_symbols;
pub mod away;
pub mod diagnostics;
pub mod engine;
pub mod flags;
pub mod forkserver;
pub mod jobs;
pub mod kept;
pub mod launcher;
pub mod modules;
mod of_link;
mod own;
pub mod post;
mod prepare;
pub mod process;
pub mod results;
pub mod run;
pub mod seen;
pub mod served;
pub mod user_command;

use std::path::{Path, PathBuf};

use away::Ahead;

use crate::cache::{self, Cache, Destination};
use crate::children::Children;
use crate::cmdline::Invocation;
use crate::color::Color;
use crate::compiled::{Commands, Look};
use crate::final_link::NativeObject;
use crate::inputs::Inputs;
use crate::names::Names;
use crate::narrowed::{Asked, Defines};
use crate::observe::progress::Progress;
use crate::observe::stats;
use crate::observe::timeline::Timeline;
use crate::observe::work::Work;
use crate::settings::EngineKind;
use crate::slots::Slots;
use crate::staging::Staging;
use crate::symbols::{LinkSymbols, SymbolTables};
use crate::thin_link::Plan;
use crate::toolchain::Clang;
use diagnostics::{Message, Severity, Warnings};
use flags::{Flags, SavedStage};
use forkserver::{ForkServer, Load, NoServer};
use launcher::Launcher;
use modules::{Keys, ReadAhead};
use of_link::LinkJobs;
use post::PostBackend;
use prepare::Prepared;
use process::Failure;
use results::{Done, Made, Results};
use run::{Counts, Runs};

/// What is told of each backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// What it read and wrote.
    Work,
    /// Nothing.
    Nothing,
}

/// The backends of one link.
#[derive(Debug)]
pub struct Backends<'a> {
    /// The compiler.
    pub clang: &'a Clang,
    /// What every backend has in common.
    pub flags: &'a Flags,
    /// How objects were compiled, where their own options count.
    pub commands: Option<&'a Commands>,
    /// The user's command line, for what it says of warnings.
    pub invocation: &'a Invocation,
    /// The modules.
    pub plan: &'a Plan,
    /// Where their bytes are.
    pub inputs: &'a Inputs,
    /// Their names.
    pub symbols: &'a LinkSymbols<'a>,
    /// The symbol tables of all bitcode that is linked.
    pub tables: &'a SymbolTables<'a>,
    /// What those ask for.
    pub asked: &'a Asked<'a>,
    /// Where everything is put.
    pub staging: &'a Staging,
    /// Where objects are kept, if they are.
    pub cache: Option<&'a Cache>,
    /// What else is done to objects.
    pub post: Option<&'a PostBackend>,
    /// What runs them.
    pub engine: EngineKind,
    /// What they are started through.
    pub launcher: Option<&'a Launcher>,
    /// What was started before it was known how many there would be.
    pub server: Option<Result<ForkServer, NoServer>>,
    /// Servers that execute backends, or have their objects.
    pub remote: Option<Ahead>,
    /// How many at once.
    pub slots: Slots,
    /// Who is told when each of them runs.
    pub timeline: &'a Timeline,
    /// Who shows how far they are, where somebody looks on.
    pub progress: Option<&'a Progress>,
    /// Whether somebody asks what each had to do.
    pub told: Told,
    /// Our children.
    pub children: &'a Children,
    /// How lld begins its messages.
    pub linker_name: String,
}

/// What backends made.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The objects, in the plan's order.
    pub objects: Vec<NativeObject>,
    /// What each of them may define.
    pub defines: Vec<Defines>,
    /// What they said, in the plan's order, as lld would have said it.
    pub said: String,
    /// The same of remarks, which go to stdout.
    pub remarks: String,
    /// Files for the user that they wrote beside their objects.
    pub sides: Vec<PathBuf>,
    /// Their time traces, where they were wanted.
    pub traces: Vec<PathBuf>,
    /// The files, found or not, that their options and their assembly name; none where that cannot be told.
    pub files: Option<Vec<PathBuf>>,
    /// The files, found or not, that told how objects were compiled.
    pub looks: Vec<Look>,
    /// What each backend had to do, where somebody asks for their times.
    pub work: Option<Vec<Work>>,
}

/// Why there are no objects.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The code is at fault: what to say, as lld would; the link has failed.
    #[error("{0}")]
    Rejected(String),
    /// An input is not what it was when the link began.
    #[error("{} changed while it was being linked", .0.display())]
    Changed(PathBuf),
    /// clang is at fault, or the machine; in-process LTO may do better.
    #[error("{0}")]
    Unfit(String),
    /// A signal came first.
    #[error("interrupted")]
    Interrupted,
}

impl Backends<'_> {
    /// Makes every object. What has been read of modules already is not read again.
    ///
    /// # Errors
    /// See [`BackendError`]; nothing runs any more when it is returned.
    pub fn run(
        mut self,
        ahead: ReadAhead,
        counts: &mut stats::Backends,
        bytes: &mut Option<stats::Bytes>,
    ) -> Result<Compiled, BackendError> {
        let (prepared, looks) = prepare::all(&self, ahead, counts)?;
        counts.uncacheable = prepared
            .iter()
            .filter(|module| self.cache.is_some() && module.key.is_none())
            .count();
        let mut results = Results::of(self.take_cached(&prepared));
        let waiting = results.waiting();
        counts.cached = prepared.len() - waiting.len();
        (counts.cached_ms, counts.cached_behind) = (results.saved(), results.behind());
        if let Some(progress) = self.progress {
            progress.compiles(
                self.plan.modules.iter().map(|module| module.shown()).collect(),
                counts.cached,
            );
        }
        let (server, remote) = (self.server.take(), self.remote.take());
        let jobs = LinkJobs::new(&self, &prepared);
        let runs = Runs {
            jobs: &jobs,
            clang: &self.clang.path,
            engine: self.engine,
            launcher: jobs.launcher(&waiting, counts),
            server,
            staging: self.staging,
            slots: &self.slots,
            timeline: self.timeline,
            children: self.children,
        };
        let of = Counts {
            backends: counts,
            bytes,
        };
        let ran = runs.run(remote, &mut results, of);
        counts.run_ms = self.timeline.spent();
        ran.map_err(BackendError::Unfit)?;
        let Results { done: results, failure } = results;
        self.keep_stages(&prepared)?;
        if let Some((module, failure)) = failure {
            // Whatever clang says of a module that is not what the thin link read, it is no verdict.
            if let (false, Some(name)) = (matches!(failure, Failure::Interrupted), self.inputs.changed()) {
                return Err(BackendError::Changed(name));
            }
            let shown = self.plan.modules[module].shown();
            let object = prepared[module].object.path();
            let render = |message: &Message| message.render(&self.linker_name, Color::of(self.invocation));
            return Err(explain(failure, &shown, object, self.staging, render));
        }
        let (warnings, color) = (warnings_of(self.invocation), Color::of(self.invocation));
        let is_mismatch_silent = self
            .invocation
            .flag("lto-pgo-warn-mismatch", "no-lto-pgo-warn-mismatch")
            == Some(false);
        let mut compiled = Compiled {
            files: prepared
                .iter()
                .map(|module| module.key.as_ref())
                .collect::<Option<Vec<_>>>()
                .map(|keys| keys.into_iter().flat_map(|key| key.files().cloned()).collect())
                // Nor is an output kept that is of another clang than its name.
                .filter(|_| counts.remote_unkept == 0),
            looks,
            work: (self.told == Told::Work).then(|| self.work(&prepared)),
            ..Compiled::default()
        };
        let (mut fatal, mut names) = (false, None);
        for ((module, prepared), result) in self.plan.modules.iter().zip(prepared).zip(results) {
            // No failure and no result: a signal stopped the schedule.
            let Some(done) = result else {
                return Err(BackendError::Interrupted);
            };
            let shown = module.shown();
            tracing::debug!(module = shown, cached = matches!(done.made, Made::Cached(_)), "backend");
            let stderr = match done.stderr.is_empty() {
                true => done.stderr,
                // Only a command of the user's has reason to name its object.
                false => names
                    .get_or_insert_with(|| module_names(self.plan, self.staging))
                    .translate(&done.stderr)
                    .replace(&*prepared.object.path().to_string_lossy(), &shown),
            };
            let mut messages = diagnostics::messages(&stderr, &shown);
            if is_mismatch_silent {
                messages.retain(|message| !message.is_of_a_profile_that_mismatches());
            }
            diagnostics::weigh(&mut messages, warnings);
            fatal |= messages.iter().any(|message| message.severity == Severity::Error);
            for message in &messages {
                match message.severity {
                    Severity::Remark => compiled.remarks.extend([&message.text, "\n"]),
                    _ => compiled.said.push_str(&message.render(&self.linker_name, color)),
                }
            }
            compiled.sides.extend(prepared.sides);
            compiled.traces.extend(prepared.traces);
            compiled.objects.push(prepared.object);
            compiled.defines.push(prepared.defines);
        }
        if fatal {
            return Err(BackendError::Rejected(compiled.said));
        }
        if let Some(cache) = self.cache {
            cache.count(cache::Counts {
                hits: counts.cached as u64,
                misses: (counts.run + counts.remote + counts.remote_cached).saturating_sub(counts.uncacheable) as u64,
                uncacheable: counts.uncacheable as u64,
            });
        }
        Ok(compiled)
    }

    /// Also of what failed: it may have been asked for to see why.
    fn keep_stages(&self, prepared: &[Prepared]) -> Result<(), BackendError> {
        for (module, prepared) in self.plan.modules.iter().zip(prepared) {
            let saved = prepared.stages.iter().filter(|stage| stage.written.exists());
            let saved: Vec<SavedStage> = saved.cloned().collect();
            kept::keep_stages(&module.name, &saved).map_err(|(path, error)| {
                BackendError::Rejected(format!(
                    "{}: error: cannot write {}: {error}\n",
                    self.linker_name,
                    path.display()
                ))
            })?;
        }
        Ok(())
    }

    /// What each backend had to do, its object being there.
    fn work(&self, prepared: &[Prepared]) -> Vec<Work> {
        let modules = self.plan.modules.iter().zip(prepared);
        let work = modules.map(|(module, prepared)| Work {
            module: self.inputs.bitcode(module.source).map_or(0, |bytes| bytes.len() as u64),
            index: module.index.bytes().len() as u64,
            object: std::fs::metadata(prepared.object.path()).map_or(0, |object| object.len()),
            imports: prepared.reads.get(1..).unwrap_or_default().to_vec(),
        });
        work.collect()
    }

    /// Takes what the cache has.
    fn take_cached(&self, prepared: &[Prepared]) -> Vec<Option<Done>> {
        use rayon::prelude::*;
        let kept = |module: &Prepared| {
            let object = module.object.path();
            let place = Destination::Staging(object);
            let kept = self.cache?.get(module.key.as_ref()?, place, &module.sides)?;
            Some(Done {
                stderr: kept.said.replace(OBJECT, &object.to_string_lossy()),
                made: Made::Cached(kept.held),
            })
        };
        prepared.par_iter().map(kept).collect()
    }
}

/// What the user calls the modules that backends read.
pub fn module_names(plan: &Plan, staging: &Staging) -> Names {
    let dir = staging.indexes();
    let mut names = Names::new(format!("{}/", dir.display()));
    for module in &plan.modules {
        let index = staging.index(module.rank);
        for path in [staging.module(module.rank), prepare::intermediate(&index)] {
            if let Ok(name) = path.strip_prefix(dir) {
                names.insert(name.to_string_lossy().into_owned(), module.shown());
            }
        }
    }
    names
}

/// Starts a server while the thin link runs, for a link of `modules` modules: an edit leaves few backends to be run, and
/// a start costs as much as two of them. None where it would not be used.
pub fn start_ahead(
    engine: EngineKind,
    modules: usize,
    keys: Keys,
    clang: &Clang,
    staging: &Staging,
    children: &Children,
) -> Option<Result<ForkServer, NoServer>> {
    if engine == EngineKind::Process || modules < forkserver::WORTH_IT {
        return None;
    }
    // Of those whose objects are kept nobody knows yet which must be made.
    let load = match keys {
        Keys::Wanted => Load::Short,
        Keys::None => Load::of(modules),
    };
    Some(ForkServer::start(&clang.path, staging, load, children))
}

/// What stands for the object's path in what is kept of a backend's words.
const OBJECT: &str = "\0object\0";

/// How clang begins what LLVM's `report_fatal_error` says (clang/tools/driver/cc1_main.cpp `LLVMErrorHandler`).
const FATAL: &str = "error in backend: ";

/// Says a failure as lld would, or says that it is none of the code's.
fn explain(
    failure: Failure,
    shown: &str,
    object: &Path,
    staging: &Staging,
    render: impl Fn(&Message) -> String,
) -> BackendError {
    match failure {
        Failure::Interrupted => BackendError::Interrupted,
        Failure::Diagnosed(stderr) => {
            let messages = diagnostics::messages(&stderr, shown);
            let verdict = messages.iter().find(|message| message.severity == Severity::Error);
            let staged = [staging.dir(), staging.indexes()].map(|dir| dir.to_string_lossy());
            let names_staged = |text: &str| staged.iter().any(|dir| text.contains(&**dir));
            match verdict {
                None => unfit(shown, "clang failed without a word", &stderr),
                // Of a file that only exists here lld would not speak, and what ends the whole compiler it can say itself.
                Some(error) if names_staged(&error.text) || error.text.starts_with(FATAL) => {
                    let what = error.text.replace(&*object.to_string_lossy(), shown);
                    let what = staged.iter().fold(what, |what, dir| what.replace(&**dir, "(staging)"));
                    unfit(shown, what.lines().next().unwrap_or_default(), &stderr)
                }
                Some(_) => {
                    let mut text: String = messages.iter().map(&render).collect();
                    if !text.contains(shown) {
                        text.push_str(&render(&Message {
                            severity: Severity::Error,
                            text: format!("backend compilation of {shown} failed"),
                        }));
                    }
                    BackendError::Rejected(text)
                }
            }
        }
        Failure::Post { command, what, said } => {
            let said = said.replace(&*object.to_string_lossy(), shown);
            let text = format!(
                "{shown}: post-backend command {what}\n>>> {command}\n{}",
                said.trim_end()
            );
            BackendError::Rejected(render(&Message {
                severity: Severity::Error,
                text: text.trim_end().to_owned(),
            }))
        }
        Failure::Crashed { end, stderr } => unfit(shown, &format!("clang {end}"), &stderr),
        Failure::NoObject { found, stderr } => unfit(shown, &format!("clang exited 0 but left {found}"), &stderr),
        other => unfit(shown, &other.to_string(), ""),
    }
}

/// One line for the stats and the user; what clang printed (a stack dump, perhaps) is for whoever reads the log.
fn unfit(module: &str, what: &str, stderr: &str) -> BackendError {
    tracing::info!(module, "{what}: {stderr}");
    BackendError::Unfit(format!("the backend of {module}: {what}"))
}

/// lld/ELF/Driver.cpp: `--fatal-warnings`, `-w`; the last of each pair counts.
fn warnings_of(invocation: &Invocation) -> Warnings {
    if invocation.flag("no-warnings", "warnings").unwrap_or(false) || invocation.has("w") {
        Warnings::Suppressed
    } else if invocation.flag("fatal-warnings", "no-fatal-warnings").unwrap_or(false) {
        Warnings::Fatal
    } else {
        Warnings::Shown
    }
}
