//! What would become of a link, without making it: the route, every input, every LTO option, the tools, and why.
//! Knows nothing of how it is shown; nothing is run but the tools' `--version`.

pub mod inputs;
pub mod text;

use std::ffi::{OsStr, OsString};
use std::thread;

use serde::Serialize;

use crate::backend::flags::meaning::{self, Meaning};
use crate::backend::flags::{Flags, Trace};
use crate::cache::Cache;
use crate::cmdline::{Invocation, OutputKind};
use crate::inputs::Inputs;
use crate::relocatable::{self, Renamed};
use crate::route::{self, Route};
use crate::settings::{EngineKind, FlagsFrom, Settings};
use crate::slots::Slots;
use crate::toolchain::{Clang, Linker, NoCompiler, VersionMemo};
use inputs::ExplainedInput;

/// What would become of it.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Of this format.
    pub version: u32,
    /// `distributed`, `in-process` or `passthrough`.
    pub route: &'static str,
    /// Why, where it is not distributed.
    pub reason: Option<String>,
    /// The output.
    pub output: String,
    /// `executable`, `position-independent executable`, `shared library`, `relocatable file`.
    pub kind: &'static str,
    /// The real linker.
    pub linker: String,
    /// The backend compiler.
    pub clang: Option<String>,
    /// Why there is none.
    pub no_clang: Option<String>,
    /// The LLVM of both.
    pub llvm: Option<String>,
    /// Where objects are kept.
    pub cache: Option<String>,
    /// Why they are not, where that was wanted: as in the stats.
    pub cache_off: Option<&'static str>,
    /// What runs backends.
    pub engine: &'static str,
    /// What they are started through.
    pub launcher: Option<String>,
    /// Where backends have options from besides the link's.
    pub flags: Option<String>,
    /// Of a `-r` link: whether sections are renamed for it, in words.
    pub relocatable: Option<String>,
    /// How many backends at once, in words.
    pub slots: String,
    /// Files, in link order.
    pub inputs: Vec<ExplainedInput>,
    /// LTO options.
    pub options: Vec<ExplainedOption>,
    /// The commands of every backend, but for its files and its module's target.
    pub backend: Vec<Vec<String>>,
}

/// An option of LTO's.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedOption {
    /// As the user spelled it.
    pub option: String,
    /// What becomes of it: `words`, `nothing`, `overridden`, `in-process`.
    pub meaning: &'static str,
    /// The words of a backend.
    pub words: Vec<String>,
    /// Why it leaves the link to lld.
    pub why: Option<String>,
}

/// Explains a link.
pub fn explain(
    invocation: &Invocation,
    settings: &Settings,
    linker: &Linker,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Explanation {
    // Before anything is opened whose descriptor could be taken for make's.
    let slots = slots(invocation, settings);
    let memo = VersionMemo::new(crate::cache::home().map(|home| home.join("versions")));
    let clang = Clang::find(linker, settings, &memo);
    let version = clang
        .as_ref()
        .ok()
        .map(|clang| clang.version)
        .or_else(|| linker.version(&memo));
    let opened = Inputs::open(invocation);
    let (files, flags) = (
        opened.as_ref().ok(),
        version.map(|version| derived(invocation, version)),
    );
    let route = route::by_command_line(invocation, settings, None, variable)
        .or_else(|| match &opened {
            Ok(inputs) => route::by_inputs(invocation, inputs),
            Err(error) => Some(Route::Doomed(error.to_string())),
        })
        .or_else(|| clang.as_ref().err().map(no_compiler))
        .or_else(|| flags.as_ref().and_then(|flags| flags.as_ref().err().cloned()))
        .or_else(|| module_refused(invocation, files, flags.as_ref().and_then(|flags| flags.as_ref().ok())));
    let relocatable = relocatable(invocation, settings, route.as_ref());
    let meanings = version.map(|version| meaning::of(&invocation.lto, invocation.kind, version));
    let cache = settings.cache.then(|| Cache::of_objects(settings, invocation));
    Explanation {
        version: 1,
        route: route.as_ref().map_or("distributed", Route::mode),
        reason: route.map(|route| route.reason().to_owned()),
        output: invocation.output.display().to_string(),
        kind: kind(invocation.kind),
        linker: linker.path.display().to_string(),
        clang: clang.as_ref().ok().map(|clang| clang.path.display().to_string()),
        no_clang: clang.as_ref().err().map(ToString::to_string),
        llvm: version.map(|version| version.to_string()),
        cache: cache
            .as_ref()
            .and_then(|dir| Some(dir.as_ref().ok()?.display().to_string())),
        cache_off: cache.and_then(Result::err),
        engine: match settings.engine {
            _ if !settings.launcher.is_empty() => "process",
            EngineKind::ForkServer => "forkserver",
            EngineKind::Process => "process",
            EngineKind::Remote => "remote",
        },
        launcher: (!settings.launcher.is_empty())
            .then(|| settings.launcher.join(OsStr::new(" ")).to_string_lossy().into_owned()),
        flags: match &settings.flags {
            FlagsFrom::Link => None,
            FlagsFrom::Kbuild => Some("also of the .cmd file beside each object".to_owned()),
            FlagsFrom::CompileCommands(path) => Some(format!("also of each object's entry in {}", path.display())),
        },
        relocatable,
        slots,
        inputs: files.map(|files| inputs::all(invocation, files)).unwrap_or_default(),
        options: meanings.into_iter().flatten().map(option).collect(),
        backend: flags
            .and_then(Result::ok)
            .map(|flags| meaning::shown(&flags))
            .unwrap_or_default(),
    }
}

/// Of native objects that are there already it can be told; of those that backends will make, only what cannot be.
fn relocatable(invocation: &Invocation, settings: &Settings, route: Option<&Route>) -> Option<String> {
    let kept = match route {
        _ if invocation.kind != OutputKind::Relocatable => return None,
        Some(Route::InProcess(_) | Route::Doomed(_)) => return None,
        Some(Route::Passthrough(_)) => match Renamed::of(invocation, settings.relocatable) {
            Ok(renamed) => return Some(format!("{} sections are renamed until lld is done", renamed.count())),
            Err(kept) => kept,
        },
        None => match relocatable::kept(invocation, settings.relocatable) {
            None => return Some("sections are renamed until lld is done, where thousands have one name".to_owned()),
            Some(kept) => kept,
        },
    };
    Some(format!("no sections are renamed: {kept}"))
}

fn derived(invocation: &Invocation, version: crate::toolchain::LlvmVersion) -> Result<Flags, Route> {
    let flags = Flags::derive(&invocation.lto, invocation.kind, version, Trace::AsLinked);
    flags.map_err(|error| Route::InProcess(error.reason))
}

/// The first module that the options cannot be translated for.
fn module_refused(invocation: &Invocation, files: Option<&Inputs>, flags: Option<&Flags>) -> Option<Route> {
    let (files, flags) = (files?, flags?);
    inputs::targets(invocation, files)
        .iter()
        .find_map(|target| flags.accepts(target).err())
        .map(|error| Route::InProcess(error.reason))
}

fn kind(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Executable => "executable",
        OutputKind::Pie => "position-independent executable",
        OutputKind::Shared => "shared library",
        OutputKind::Relocatable => "relocatable file",
    }
}

fn no_compiler(error: &NoCompiler) -> Route {
    match error {
        NoCompiler::Missing(_) => Route::Doomed(error.to_string()),
        NoCompiler::Unfit(reason) => Route::InProcess(reason.clone()),
    }
}

fn slots(invocation: &Invocation, settings: &Settings) -> String {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    match Slots::from_environment(route::jobs(invocation, settings)) {
        Slots::Fixed(limit) => format!("{limit}"),
        Slots::Jobserver { limit, .. } => format!("make's jobserver, at most {limit}"),
        Slots::Machine { limit, .. } => format!("at most {limit}, shared with other links; {cpus} CPUs"),
    }
}

fn option((setting, meaning): (crate::cmdline::LtoSetting, Meaning)) -> ExplainedOption {
    let (name, words, why) = match meaning {
        Meaning::Words(words) => ("words", words, None),
        Meaning::Nothing => ("nothing", Vec::new(), None),
        Meaning::Overridden => ("overridden", Vec::new(), None),
        Meaning::InProcess(why) => ("in-process", Vec::new(), Some(why.to_owned())),
    };
    ExplainedOption {
        option: setting.spelled,
        meaning: name,
        words,
        why,
    }
}
