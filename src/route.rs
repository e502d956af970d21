//! Whether a link is distributed, left to in-process lld, or none of LTO's business, as far as its command line and its
//! inputs tell. Knows nothing of what fails later, when links are made.

use std::ffi::OsString;
use std::path::Path;

use crate::bitcode::facts::LtoMode;
use crate::cmdline::Invocation;
use crate::inputs::{self, Inputs, Problem};
use crate::settings::{Mode, Settings};

/// Of a question (`--version`), which is no link.
pub const NO_LINK: &str = "nothing to link";

/// Why a link is not distributed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// No ThinLTO bitcode, no link at all, or one that has no backends.
    Passthrough(&'static str),
    /// There is, and lld does it; refused where the user insists on distribution.
    InProcess(String),
    /// The linker will refuse the link, and says why best.
    Doomed(String),
}

impl Route {
    /// As the stats line names it.
    pub fn mode(&self) -> &'static str {
        match self {
            Route::Passthrough(_) => "passthrough",
            Route::InProcess(_) | Route::Doomed(_) => "in-process",
        }
    }

    /// Why.
    pub fn reason(&self) -> &str {
        match self {
            Route::Passthrough(reason) => reason,
            Route::InProcess(reason) | Route::Doomed(reason) => reason,
        }
    }
}

/// What can be told before any input is opened, and whether there is bitcode at all: a cache may know, and is told.
pub fn by_command_line(
    invocation: &Invocation,
    settings: &Settings,
    cache: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<Route> {
    if invocation.foreign {
        return Some(Route::Passthrough("another driver's command line"));
    }
    if invocation.informational {
        return Some(Route::Passthrough(NO_LINK));
    }
    if !renames_inputs(invocation) && inputs::quick_scan(invocation, cache) == inputs::Scan::None {
        return Some(Route::Passthrough("no ThinLTO bitcode"));
    }
    if invocation.has("thinlto-index-only") {
        // Who asks for it distributes the link already, and runs the backends by rules of their own.
        return Some(Route::Passthrough("asks for the thin link alone"));
    }
    if settings.mode == Mode::InProcess {
        return Some(Route::InProcess("mode".into()));
    }
    if variable("LLD_REPRODUCE").is_some() {
        return Some(Route::InProcess("LLD_REPRODUCE".into()));
    }
    None
}

/// What the inputs tell, once they are open.
pub fn by_inputs(invocation: &Invocation, inputs: &Inputs) -> Option<Route> {
    let by_option = invocation.in_process.clone().map(Route::InProcess);
    if let Some(missing) = inputs.missing.first() {
        let name = missing.name.display();
        return Some(match (&missing.problem, by_option) {
            (Problem::Stream, _) => Route::InProcess(format!("{name} can only be read once")),
            // It may be one that lld has no need of.
            (_, Some(by_option)) => by_option,
            (problem, None) => Route::Doomed(format!("{name} {problem}")),
        });
    }
    if !renames_inputs(invocation) && !inputs.has_thin_lto(lto_mode(invocation)) {
        return Some(Route::Passthrough("no ThinLTO bitcode, only regular"));
    }
    by_option
}

/// Options with which lld opens other files than those that are named: what we find says nothing of the link.
const RENAMING: [&str; 3] = ["remap-inputs", "remap-inputs-file", "chroot"];

fn renames_inputs(invocation: &Invocation) -> bool {
    RENAMING.iter().any(|option| invocation.has(option))
}

/// What `--lto=` asks of unified modules.
pub fn lto_mode(invocation: &Invocation) -> LtoMode {
    match invocation.lto_value("lto") {
        Some("full") => LtoMode::Full,
        Some("thin") => LtoMode::Thin,
        _ => LtoMode::Default,
    }
}

/// How many backends the user wants at most, by setting or by option.
pub fn jobs(invocation: &Invocation, settings: &Settings) -> Option<usize> {
    let asked = invocation.lto_value("thinlto-jobs");
    let thinlto_jobs = asked.and_then(|text| text.parse().ok()).filter(|n| *n > 0);
    settings.jobs.or(thinlto_jobs).or_else(|| invocation.threads())
}
