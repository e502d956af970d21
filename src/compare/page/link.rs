//! The page of one link that was made both ways.
//! Knows nothing of how its parts read; it puts them into an order: where something differs, that first.

use maud::{Markup, html};

use super::{Part, document, embedded, findings, footer, heading, numbers, parts, timeline};
use crate::compare::verdict::{Comparison, Verdict};

/// The page.
///
/// # Errors
/// The comparison cannot be written as JSON.
pub fn of_link(comparison: &Comparison) -> Result<String, serde_json::Error> {
    let costs = comparison.in_process.as_ref().zip(comparison.distributed.as_ref());
    let mut measured = Vec::new();
    if let Some((in_process, distributed)) = costs {
        measured.push(Part {
            id: "costs",
            title: "Costs",
            body: numbers::costs(
                in_process,
                distributed,
                "What each link cost; the ratio is distributed to in-process",
            ),
        });
        measured.push(Part {
            id: "timeline",
            title: "Timeline",
            body: timeline::section(in_process, distributed),
        });
    }
    let mut found = Vec::new();
    if comparison.objects.total > 0 {
        found.push(Part {
            id: "objects",
            title: "Objects",
            body: findings::objects(&comparison.objects),
        });
    }
    if let Some(output) = &comparison.output {
        found.push(Part {
            id: "output",
            title: "Output",
            body: findings::outputs(output),
        });
    }
    let (first, then) = match comparison.verdict {
        Verdict::Different => (found, measured),
        _ => (measured, found),
    };
    let mut all: Vec<Part> = first.into_iter().chain(then).collect();
    if let Some(output) = comparison.output.as_ref().filter(|output| !output.sections.is_empty()) {
        all.push(Part {
            id: "sizes",
            title: "Sizes",
            body: numbers::sizes(&output.sections, output.sizes),
        });
    }
    all.push(Part {
        id: "link",
        title: "The link",
        body: about(comparison),
    });
    let body = html! {
        (heading("One link, in-process and distributed", &comparison.output_file, comparison.verdict, &comparison.why))
        (facts(comparison))
        (parts(&all))
        (footer())
    };
    let data = costs.map(|_| embedded(comparison)).transpose()?;
    let title = format!("{} compared: {}", comparison.output_file, comparison.why);
    Ok(document(&title, &body, data.as_deref()))
}

fn facts(comparison: &Comparison) -> Markup {
    let objects = &comparison.objects;
    let mut facts = Vec::new();
    if objects.total > 0 {
        facts.push((
            "Identical objects",
            format!("{} of {}", objects.identical, objects.total),
            String::new(),
        ));
    }
    if let (Some(in_process), Some(distributed)) = (&comparison.in_process, &comparison.distributed) {
        facts.extend(numbers::cost_facts(in_process, distributed));
    }
    numbers::facts(&facts)
}

fn about(comparison: &Comparison) -> Markup {
    let tools = [
        ("Output", Some(&comparison.output_file)),
        ("Made in", Some(&comparison.cwd)),
        ("Linker", Some(&comparison.linker)),
        ("Backend compiler", comparison.clang.as_ref()),
        ("LLVM", comparison.llvm.as_ref()),
    ];
    html! {
        dl.about {
            @for (name, value) in tools {
                @if let Some(value) = value.filter(|value| !value.is_empty()) { div { dt { (name) } dd { code { (value) } } } }
            }
        }
        @if !comparison.notes.is_empty() {
            ul { @for note in &comparison.notes { li { (findings::sentence(note)) } } }
        }
    }
}
