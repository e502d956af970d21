//! The command lines of the two links: the user's own, with every file it would write put into the scratch folder.
//! Knows nothing of running them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::link::Backends;
use crate::cmdline::{Invocation, Item, Replacement, Role};
use crate::settings::Order;

/// Where one of the links puts its files.
#[derive(Clone, Debug)]
pub struct Side {
    folder: PathBuf,
}

/// Options besides those of [`Role::Report`] that write files for the user, or read and write a cache: by canonical name.
/// Without them the same code is made.
const DROPPED: [&str; 14] = [
    "o",
    "lto-obj-path",
    "thinlto-cache-dir",
    "thinlto-cache-policy",
    "thinlto-emit-index-files",
    "thinlto-emit-imports-files",
    "opt-remarks-filename",
    "opt-remarks-format",
    "opt-remarks-hotness-threshold",
    "opt-remarks-passes",
    "opt-remarks-with-hotness",
    "out-implib",
    "save-temps",
    "stats-file",
];

/// The folder of debug info that stays outside: its name is part of every object, so both links have it.
const DWO: &str = "dwo_dir";

impl Side {
    /// In a folder that is there.
    pub fn new(folder: PathBuf) -> Side {
        Side { folder }
    }

    /// The output.
    pub fn output(&self) -> PathBuf {
        self.folder.join("out")
    }

    /// `--lto-obj-path`: the regular partition, and with a number behind it each backend's object.
    pub fn objects(&self) -> PathBuf {
        self.folder.join("object.")
    }

    /// in-process lld's time trace.
    pub fn trace(&self) -> PathBuf {
        self.folder.join("trace.json")
    }

    /// The stats line.
    pub fn stats(&self) -> PathBuf {
        self.folder.join("stats.json")
    }

    /// Its command line, where that is long.
    pub fn response(&self) -> PathBuf {
        self.folder.join("link.rsp")
    }

    /// What it printed.
    pub fn said(&self) -> PathBuf {
        self.folder.join("said")
    }
}

/// The user's words without those that name files of theirs to write. `dwo` is where both links put split debug info.
fn without_outputs(invocation: &Invocation, dwo: &Path) -> Vec<OsString> {
    invocation.words_where(|_, item| match item {
        Item::Option { def, .. } if def.role == Role::Report || DROPPED.contains(&def.canonical) => Replacement::Drop,
        Item::Option { def, .. } if def.canonical == DWO => {
            Replacement::Words(vec![joined("-plugin-opt=dwo_dir=", dwo.as_os_str())])
        }
        _ => Replacement::Keep,
    })
}

fn joined(option: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(option);
    word.push(value);
    word
}

/// What backends are asked for by settings that in-process LTO knows nothing of: links that are compared have none of it,
/// and leave nothing behind.
const AS_IN_PROCESS: [(&str, &str); 3] = [("flags", "link"), ("native", "off"), ("post-backend", "")];

/// thinlto-ld's own settings of the user's line, and those of ours, which win.
fn settings(invocation: &Invocation, ours: &[(&str, OsString)]) -> Vec<OsString> {
    let same = AS_IN_PROCESS.map(|(name, value)| (name, OsString::from(value)));
    let users = invocation
        .own
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()));
    users
        .chain(same)
        .chain(ours.iter().cloned())
        .map(|(name, value)| joined(&format!("--thinlto-ld-{name}="), &value))
        .collect()
}

/// Trace events shorter than this many microseconds are not written: each costs in-process LTO time, and what is to be
/// seen of it takes longer.
pub(super) const GRANULARITY: u32 = 1000;

/// The words of the in-process link.
pub fn in_process(invocation: &Invocation, side: &Side, dwo: &Path) -> Vec<OsString> {
    let mut words = in_process_to(invocation, side, dwo);
    words.push(joined("--lto-obj-path=", side.objects().as_os_str()));
    words.push(joined("--time-trace=", side.trace().as_os_str()));
    words.push(format!("--time-trace-granularity={GRANULARITY}").into());
    words
}

/// Takes back that objects are asked for: no name for them is as good as no option.
pub const NO_OBJECTS: &str = "--lto-obj-path=";

/// The words of the in-process link where it is not asked for its objects.
pub fn in_process_plainly(invocation: &Invocation, side: &Side, dwo: &Path) -> Vec<OsString> {
    let mut words = in_process_to(invocation, side, dwo);
    words.push(NO_OBJECTS.into());
    words
}

/// The words of an in-process link to a side's output, with nothing asked for beside that.
fn in_process_to(invocation: &Invocation, side: &Side, dwo: &Path) -> Vec<OsString> {
    let mut words = without_outputs(invocation, dwo);
    words.extend(settings(
        invocation,
        &[
            ("mode", "in-process".into()),
            // Nor is it one of the user's links, to be counted among them.
            ("cache", "off".into()),
            ("stats", side.stats().into()),
            ("compare", OsString::new()),
        ],
    ));
    words.extend(["-o".into(), side.output().into()]);
    words
}

/// The words of a distributed link; with `order` that order, else the user's.
pub fn distributed(
    invocation: &Invocation,
    side: &Side,
    dwo: &Path,
    order: Option<Order>,
    backends: Backends,
) -> Vec<OsString> {
    let mut words = without_outputs(invocation, dwo);
    words.extend(settings(
        invocation,
        &[
            ("mode", "distributed".into()),
            match backends {
                Backends::Run => ("cache", "off".into()),
                Backends::Kept => ("unchanged", "relink".into()),
            },
            ("stats", side.stats().into()),
            ("timeline", "on".into()),
            ("compare", OsString::new()),
        ],
    ));
    words.extend(order.map(|order| {
        OsString::from(match order {
            Order::CommandLine => "--thinlto-ld-order=command-line",
            Order::InProcess => "--thinlto-ld-order=in-process",
        })
    }));
    words.extend(["-o".into(), side.output().into()]);
    words.push(joined("--lto-obj-path=", side.objects().as_os_str()));
    words
}
