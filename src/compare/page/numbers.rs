//! Figures as the pages have them: costs side by side, sizes by section, and how numbers read.
//! Knows nothing of where they come from.

use maud::{Markup, html};

use super::columns;
use crate::compare::table;
use crate::compare::verdict::{Cost, SectionSize};

/// So many sections of the same size in both are listed; a kernel has tens of thousands.
const LISTED: usize = 500;

/// `1,234,567`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What the first figures of a page are: a name, a figure, and what belongs to it.
pub fn facts(facts: &[(&str, String, String)]) -> Markup {
    html! {
        dl.facts {
            @for (name, figure, more) in facts {
                div { dt { (name) } dd { span.figure { (figure) } " " span.more { (more) } } }
            }
        }
    }
}

/// Costs that the first figures tell: by name, the distributed link's, and in-process LTO's with the ratio.
pub fn cost_facts(in_process: &Cost, distributed: &Cost) -> Vec<(&'static str, String, String)> {
    let rows = table::cost_rows(in_process, distributed);
    let names = ["Wall time", "CPU time", "Peak memory"];
    let facts = names.into_iter().zip(rows).map(|(name, [_, a, b, ratio])| {
        let ratio = if ratio.is_empty() {
            ratio
        } else {
            format!(", ratio {ratio}")
        };
        (name, b, format!("in-process {a}{ratio}"))
    });
    facts.collect()
}

/// The table of costs.
pub fn costs(in_process: &Cost, distributed: &Cost, caption: &str) -> Markup {
    let rows = table::cost_rows(in_process, distributed);
    let backends = |cost: &Cost| match cost.cached {
        0 => format!("{} compiled", cost.compiled),
        cached => format!("{} compiled, {cached} cached", cost.compiled),
    };
    html! {
        div.wide {
            table.figures {
                caption { (caption) }
                (columns(&["Cost", "In-process", "Distributed", "Ratio"]))
                tbody {
                    @for [name, a, b, ratio] in rows {
                        tr { th scope="row" { (name) } td { (a) } td { (b) } td { (ratio) } }
                    }
                    tr { th scope="row" { "backends' objects" } td { (backends(in_process)) } td { (backends(distributed)) } td {} }
                }
            }
        }
    }
}

/// Sizes by section: those that differ and the largest, the others behind.
pub fn sizes(sections: &[SectionSize], files: (u64, u64)) -> Markup {
    let mut sorted: Vec<&SectionSize> = sections.iter().collect();
    let weight = |size: &SectionSize| size.in_process.max(size.distributed);
    sorted.sort_by_key(|size| (!size.loaded, std::cmp::Reverse(weight(size))));
    // Debug info would make bars of all else too short to be seen.
    let loaded = sorted.iter().filter(|size| size.loaded);
    let most = loaded.map(|size| weight(size)).max().unwrap_or_default().max(1);
    let differing = |size: &SectionSize| size.in_process != size.distributed;
    let (shown, others): (Vec<&SectionSize>, Vec<&SectionSize>) = sorted.into_iter().partition(|size| differing(size));
    let table = |sizes: &[&SectionSize], caption: &str, whole: Option<(u64, u64)>| {
        html! {
            div.wide {
                table.figures.sizes {
                    caption { (caption) }
                    (columns(&["Section", "In-process", "Distributed", "Difference", ""]))
                    tbody { @for size in sizes { (row(size, most)) } }
                    @if let Some((a, b)) = whole {
                        tfoot { tr { th scope="row" { "the whole file" } td { (grouped(a)) } td { (grouped(b)) } td { (change(a, b)) } td {} } }
                    }
                }
            }
        }
    };
    html! {
        (table(&shown, "Bytes of the sections that differ in size; of two bars the upper one is in-process", Some(files)))
        @if !others.is_empty() {
            details {
                summary { (others.len()) " sections of the same size in both" }
                (table(&others[..others.len().min(LISTED)], "Bytes of the other sections, the largest first", None))
                @if others.len() > LISTED { p { "And " (others.len() - LISTED) " smaller ones, which the page's data has." } }
            }
        }
    }
}

fn row(size: &SectionSize, most: u64) -> Markup {
    let share = |bytes: u64| format!("{:.2}", bytes as f64 * 100.0 / most as f64);
    html! {
        tr {
            th scope="row" { (size.name) @if !size.loaded { " " span.more { "not loaded" } } }
            td { (grouped(size.in_process)) }
            td { (grouped(size.distributed)) }
            td { (change(size.in_process, size.distributed)) }
            td.bars {
                @if size.loaded {
                    svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                        rect.in-process width=(share(size.in_process)) height="4.5" {}
                        rect.distributed y="5.5" width=(share(size.distributed)) height="4.5" {}
                    }
                }
            }
        }
    }
}

/// What is added or taken; nothing where nothing is.
fn change(in_process: u64, distributed: u64) -> String {
    match distributed.cmp(&in_process) {
        std::cmp::Ordering::Equal => String::new(),
        std::cmp::Ordering::Greater => format!("+{}", grouped(distributed - in_process)),
        std::cmp::Ordering::Less => format!("−{}", grouped(in_process - distributed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_in_groups_of_three() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            (change(5, 5), change(5, 1_005), change(9, 2)),
            (String::new(), "+1,000".into(), "−7".into())
        );
    }
}
