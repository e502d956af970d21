//! `--time-trace` of a link: the thin link's, the backends' (of those on other machines, when they were there) and the final
//! link's as one file, where lld would have written it.
//! Knows nothing of what is in a trace.

use std::path::PathBuf;

use crate::backend;
use crate::cmdline::Invocation;
use crate::final_link;
use crate::observe::trace::Trace;
use crate::staging::Staging;
use crate::thin_link::{self, Plan};

/// Joins the traces of a link's parts, if they are wanted (`LinkerDriver::linkerMain`, lld/ELF/Driver.cpp).
///
/// # Errors
/// A text for people: the file that cannot be written, and why.
pub(super) fn join(
    invocation: &Invocation,
    plan: &Plan,
    staging: &Staging,
    backends: &[PathBuf],
    remote: Trace,
) -> Result<(), String> {
    if !invocation.has("time-trace") {
        return Ok(());
    }
    let names = backend::module_names(plan, staging);
    let linkers = [thin_link::time_trace(staging), final_link::time_trace(staging)];
    let traces = linkers.iter().filter_map(|path| Trace::read(path, str::to_owned));
    let backends = backends
        .iter()
        .filter_map(|path| Trace::read(path, |text| names.translate(text)));
    let asked = invocation.last("time-trace").filter(|file| !file.is_empty());
    let to = asked.map_or_else(
        || {
            let mut name = invocation.output.clone().into_os_string();
            name.push(".time-trace");
            name.into()
        },
        PathBuf::from,
    );
    let written = Trace::joined(traces.chain(backends).chain([remote]).collect()).write(&to);
    written.map_err(|error| format!("cannot write {}: {error}", to.display()))
}
