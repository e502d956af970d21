//! Which files a link writes for its user, by its command line. Knows nothing of what is in them; a link that writes
//! something this table does not know is made every time.

use std::path::{Path, PathBuf};

use crate::cmdline::table::Role;
use crate::cmdline::{Invocation, Item};

/// What a report is to one who puts it back.
enum Report {
    /// A file of the value's name.
    File,
    /// Text on stdout or stderr, which is said again.
    Printed,
}

/// lld/ELF/Options.td, those of [`Role::Report`]. Not `--time-trace`: it tells of the very run it is asked of.
const REPORTS: &[(&str, Report)] = &[
    ("Map", Report::File),
    ("dependency-file", Report::File),
    ("why-extract", Report::File),
    ("print-archive-stats", Report::File),
    ("print-symbol-order", Report::File),
    ("cref", Report::Printed),
    ("print-map", Report::Printed),
    ("no-print-gc-sections", Report::Printed),
    ("no-print-icf-sections", Report::Printed),
    ("print-icf-sections", Report::Printed),
    ("print-memory-usage", Report::Printed),
    ("trace", Report::Printed),
    ("trace-symbol", Report::Printed),
    ("why-live", Report::Printed),
    ("v", Report::Printed),
    ("verbose", Report::Printed),
];

/// Options of other roles that write files, or are to make another output each time.
const NEVER: [&str; 5] = [
    "out-implib",
    "lto-obj-path",
    "save-temps",
    "thinlto-emit-index-files",
    "reproduce",
];

/// The output first, then what is written beside it; none where that cannot be told.
pub(super) fn of(invocation: &Invocation) -> Option<Vec<PathBuf>> {
    let unfit = |name: &&str| invocation.has(name) || invocation.lto_value(name).is_some();
    if NEVER.iter().any(unfit) || invocation.last("build-id").is_some_and(|kind| kind == "uuid") {
        return None;
    }
    let mut outputs = vec![invocation.output.clone()];
    for item in &invocation.items {
        let Item::Option { def, value, .. } = item else {
            continue;
        };
        if def.role != Role::Report {
            continue;
        }
        let (_, report) = REPORTS.iter().find(|(name, _)| *name == def.canonical)?;
        // The last of an option given twice is the one that is written.
        if let (Report::File, Some(last)) = (report, invocation.last(def.canonical))
            && value.as_deref() == Some(last)
            && last != "-"
        {
            outputs.push(PathBuf::from(last));
        }
    }
    // That of the regular partition, be it empty (llvm/lib/LTO/LTO.cpp `runRegularLTO`); modules' are a backend's.
    outputs.extend(invocation.lto_value("opt-remarks-filename").map(PathBuf::from));
    let mut seen: Vec<&Path> = Vec::new();
    let all_different = outputs.iter().all(|path| {
        !seen.contains(&path.as_path()) && {
            seen.push(path);
            true
        }
    });
    all_different.then_some(outputs)
}
