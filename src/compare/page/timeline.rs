//! When each backend ran, in words and tables; the script draws it from the same data.
//! Knows nothing of how either side knows.

use std::collections::{BTreeMap, HashMap, VecDeque};

use maud::{Markup, html};

use super::columns;
use crate::compare::sides;
use crate::compare::table::seconds;
use crate::compare::verdict::Cost;
use crate::observe::timeline::Span;

/// Both sides' backends: the place of the drawing, what each slot did, and every backend.
pub fn section(in_process: &Cost, distributed: &Cost) -> Markup {
    let all = pairs(&in_process.backends, &distributed.backends);
    html! {
        p {
            "Both links on one scale, in seconds from their start. A bar is a backend, on the slot it ran on; above them are the phases."
            @for gap in gaps(in_process, distributed) { " " (gap) }
        }
        div #chart hidden {}
        noscript { p { "With scripts on, both are drawn here; the tables below say the same." } }
        div.wide {
            table.figures {
                caption { "What each slot did" }
                (columns(&["Link", "Slot", "Backends", "Busy", "Longest backend"]))
                tbody {
                    @for (name, cost) in [("in-process", in_process), ("distributed", distributed)] {
                        @for (slot, work) in slots(&cost.backends) {
                            tr {
                                th scope="row" { (name) }
                                td { (slot + 1) }
                                td { (work.backends) }
                                td { (seconds(work.busy)) }
                                td.name { (seconds(work.longest.end - work.longest.start)) " " code { (work.longest.name) } }
                            }
                        }
                    }
                }
            }
        }
        @if !all.is_empty() {
            details {
                summary { "Every backend (" (all.len()) "), the longest first" }
                div.wide {
                    table.figures.named.backends {
                        caption { "How long each backend took" }
                        (columns(&["Module", "In-process", "Distributed"]))
                        tbody {
                            @for (module, a, b) in &all {
                                tr { th scope="row" { (module) } td { (took(*a)) } td { (took(*b)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What the drawing does not have, and why.
fn gaps(in_process: &Cost, distributed: &Cost) -> Vec<String> {
    let mut gaps = Vec::new();
    let (theirs, ours) = (in_process.backends.len(), distributed.backends.len());
    if theirs == 0 {
        gaps.push("Of in-process LTO's backends this linker's --time-trace tells nothing.".to_owned());
    } else if theirs < ours {
        gaps.push(format!(
            "In-process times are lld's --time-trace, which has {theirs} of {ours} backends: those of under {} ms it leaves out.",
            f64::from(sides::GRANULARITY) / 1e3
        ));
    } else {
        gaps.push("In-process times are lld's own --time-trace.".to_owned());
    }
    let (theirs, ours) = (slots(&in_process.backends).len(), slots(&distributed.backends).len());
    if theirs != ours && theirs > 0 && ours > 0 {
        gaps.push(format!(
            "In-process they ran on {theirs} slots and distributed on {ours}: what is slower may be so for that alone."
        ));
    }
    let without = distributed.backends.iter().filter(|span| span.slot.is_none());
    let (away, cached): (Vec<&Span>, Vec<&Span>) = without.partition(|span| span.worker.is_some());
    if !cached.is_empty() {
        gaps.push(format!(
            "{} of the distributed link's objects came from the cache, and have no bar.",
            cached.len()
        ));
    }
    if !away.is_empty() {
        gaps.push(format!(
            "{} of the distributed link's backends were executed by remote workers, and have no bar.",
            away.len()
        ));
    }
    gaps
}

struct Work<'s> {
    backends: usize,
    busy: f64,
    longest: &'s Span,
}

fn slots(spans: &[Span]) -> BTreeMap<usize, Work<'_>> {
    let mut slots = BTreeMap::new();
    for span in spans {
        let Some(slot) = span.slot else { continue };
        let work = slots.entry(slot).or_insert(Work {
            backends: 0,
            busy: 0.0,
            longest: span,
        });
        work.backends += 1;
        work.busy += span.end - span.start;
        if span.end - span.start > work.longest.end - work.longest.start {
            work.longest = span;
        }
    }
    slots
}

type Pair<'s> = (&'s str, Option<&'s Span>, Option<&'s Span>);

/// Backends of one module side by side, the longest first; of those of one name, in their order.
fn pairs<'s>(in_process: &'s [Span], distributed: &'s [Span]) -> Vec<Pair<'s>> {
    let mut theirs: HashMap<&str, VecDeque<&Span>> = HashMap::new();
    for span in in_process {
        theirs.entry(&span.name).or_default().push_back(span);
    }
    let mut pairs: Vec<Pair<'s>> = Vec::new();
    for span in distributed {
        let other = theirs.get_mut(span.name.as_str()).and_then(VecDeque::pop_front);
        pairs.push((&span.name, other, Some(span)));
    }
    let left = theirs
        .into_values()
        .flatten()
        .map(|span| (span.name.as_str(), Some(span), None));
    pairs.extend(left);
    let length = |span: Option<&Span>| span.map_or(0.0, |span| span.end - span.start);
    pairs.sort_by(|a, b| {
        let longest = |pair: &Pair<'_>| length(pair.1).max(length(pair.2));
        longest(b).total_cmp(&longest(a)).then(a.0.cmp(b.0))
    });
    pairs
}

fn took(span: Option<&Span>) -> String {
    match span {
        None => "not told".to_owned(),
        Some(span) if span.slot.is_none() && span.worker.is_none() => "from the cache".to_owned(),
        Some(span) if span.slot.is_none() => format!("{:.1} ms, remotely", span.end - span.start),
        Some(span) => format!("{:.1} ms", span.end - span.start),
    }
}
