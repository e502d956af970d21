//! Text that somebody has asked for, and stdout does not take: the link fails of it, as under lld.
//! Knows nothing of what the text is.

use std::fs;
use std::io;

use signal_hook::consts::SIGPIPE;

use super::Ending;
use crate::cmdline::Invocation;
use crate::say;

/// What lld prints by a stream of its own, of whose failing it dies: the option, and its value where it has one. All else
/// on stdout (`--trace`) it lets go.
const DIES_OF: [(&str, Option<&str>); 6] = [
    ("Map", Some("-")),
    ("print-map", None),
    ("cref", None),
    ("print-gc-sections", None),
    ("print-archive-stats", Some("-")),
    ("why-extract", Some("-")),
];

/// How a link ends whose text came to stdout so; none where it is as it should be.
pub(super) fn ending(invocation: &Invocation, passed_on: &io::Result<()>) -> Option<Ending> {
    let error = passed_on.as_ref().err()?;
    let is_asked_for = |(option, value): (&str, Option<&str>)| match value {
        Some(value) => invocation.last(option).is_some_and(|given| given == value),
        None => invocation.has(option),
    };
    if !DIES_OF.into_iter().any(is_asked_for) {
        return None;
    }
    // lld keeps the old one, which make knows to be old. That is gone, and the new one would pass for a link that succeeded.
    if invocation.output.is_file()
        && let Err(error) = fs::remove_file(&invocation.output)
    {
        tracing::debug!(%error, "{}", invocation.output.display());
    }
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Some(Ending::Signal(SIGPIPE));
    }
    let text = error.to_string();
    let why = text.split(" (os error").next().unwrap_or(&text);
    say::aside(format_args!("LLVM ERROR: IO failure on output stream: {why}\n"));
    Some(Ending::Exit(1))
}
