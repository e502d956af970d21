//! The page of a whole build whose links were compared: all of them summed up, and each that is not shown to be equivalent.
//! Knows nothing of how they were collected.

use std::path::Path;

use maud::{Markup, html};

use super::{Part, class, columns, document, findings, footer, heading, numbers, parts};
use crate::compare::report::Report;
use crate::compare::table::{self, seconds};
use crate::compare::verdict::{Comparison, Verdict};

/// The page of what was found in `folder`.
pub fn of_build(report: &Report, comparisons: &[Comparison], folder: &Path) -> String {
    let (distributed, left): (Vec<_>, Vec<_>) = comparisons.iter().partition(|one| one.mode == "distributed");
    let mut all = Vec::new();
    let doubtful: Vec<&Comparison> = distributed
        .iter()
        .copied()
        .filter(|one| one.verdict != Verdict::Equivalent)
        .collect();
    if !doubtful.is_empty() {
        all.push(Part {
            id: "doubtful",
            title: "Not shown to be equivalent",
            body: html! { @for one in doubtful { (doubt(one)) } },
        });
    }
    if !distributed.is_empty() {
        all.push(Part {
            id: "costs",
            title: "Costs",
            body: numbers::costs(
                &report.in_process,
                &report.distributed,
                "What the compared links cost: times added up, memory the most of any; the ratio is distributed to in-process",
            ),
        });
        all.push(Part {
            id: "links",
            title: "Distributed links",
            body: links(&distributed),
        });
    }
    if !left.is_empty() || !report.unreadable.is_empty() {
        all.push(Part {
            id: "left",
            title: "Not compared",
            body: not_compared(report, &left),
        });
    }
    let why = why(report);
    let name = folder.display().to_string();
    let body = html! {
        (heading("Every link of a build, in-process and distributed", &name, report.verdict(), &why))
        (facts(report, distributed.len()))
        (parts(&all))
        (footer())
    };
    document(&format!("{name} compared: {why}"), &body, None)
}

fn why(report: &Report) -> String {
    let compared: usize = report.verdicts.values().sum();
    let equivalent = compared - report.doubtful.len();
    format!("{equivalent} of {compared} distributed links are equivalent to in-process LTO's")
}

fn facts(report: &Report, distributed: usize) -> Markup {
    let mut facts = vec![("Links", report.links.to_string(), format!("{distributed} distributed"))];
    if report.objects > 0 {
        facts.push((
            "Identical objects",
            format!("{} of {}", report.identical, report.objects),
            String::new(),
        ));
        facts.extend(numbers::cost_facts(&report.in_process, &report.distributed));
    }
    numbers::facts(&facts)
}

fn links(distributed: &[&Comparison]) -> Markup {
    html! {
        div.wide {
            table.figures.named {
                caption { "Links made both ways, in the order of their ends" }
                (columns(&["Output", "Verdict", "Identical objects", "In-process", "Distributed", "Ratio"]))
                tbody { @for one in distributed {
                    @let costs = one.in_process.as_ref().zip(one.distributed.as_ref());
                    tr {
                        th scope="row" { (one.output_file) }
                        td.(class(one.verdict)) title=(one.why) { (one.verdict.describe()) }
                        td { (one.objects.identical) " of " (one.objects.total) }
                        @match costs {
                            Some((a, b)) => {
                                td { (seconds(a.wall_ms)) } td { (seconds(b.wall_ms)) } td { (table::ratio(a.wall_ms, b.wall_ms)) }
                            }
                            None => { td {} td {} td {} }
                        }
                    }
                } }
            }
        }
    }
}

fn doubt(one: &Comparison) -> Markup {
    html! {
        h3 { code { (one.output_file) } ": " (one.verdict.describe()) }
        p { (findings::sentence(&one.why)) " Made in " code { (one.cwd) } "." }
        @if one.objects.identical < one.objects.total { (findings::objects(&one.objects)) }
        @if let Some(output) = &one.output { (findings::outputs(output)) }
    }
}

fn not_compared(report: &Report, left: &[&Comparison]) -> Markup {
    html! {
        @if report.failed > 0 { p { (report.failed) " failed: there was nothing to compare." } }
        ul { @for (reason, count) in &report.reasons { li { (count) " " (if *count == 1 { "link" } else { "links" }) ": " (reason) } } }
        @if !left.is_empty() {
            details {
                summary { "Which" }
                div.wide {
                    table.named {
                        (columns(&["Output", "What became of it", "Why"]))
                        tbody { @for one in left { tr { th scope="row" { (one.output_file) } td { (one.mode) } td { (one.why) } } } }
                    }
                }
            }
        }
        @if !report.unreadable.is_empty() {
            p { "Files that hold no comparison:" }
            ul.names { @for file in &report.unreadable { li { code { (file) } } } }
        }
    }
}
