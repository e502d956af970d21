//! What differs, as the pages have it: objects with their functions' code, and what the outputs do not have in common.
//! Knows nothing of what it means for the verdict.

use maud::{Markup, html};

use super::columns;
use crate::compare::judge;
use crate::compare::table;
use crate::compare::verdict::{ObjectDifference, Objects, Outputs, SymbolDifference};

/// How many objects are the same, and what is the matter with the others.
pub fn objects(objects: &Objects) -> Markup {
    html! {
        p { strong { (objects.identical) " of " (objects.total) } " backends' objects are identical, byte for byte." }
        @for (kind, group) in table::by_kind(&objects.differing) {
            h3 { (group.len()) " differ: " (kind.describe()) }
            @if kind.matters() {
                p { "Lines of code with − are in-process LTO's, those with + the distributed link's." }
                @for (at, object) in group.iter().enumerate() { (differing(object, at < OPEN)) }
            } @else {
                details {
                    summary { "Which" }
                    ul.names { @for object in &group { li { code { (object.module) } } } }
                }
            }
        }
    }
}

/// So many objects of a sort show at once what differs in them.
const OPEN: usize = 3;

fn differing(object: &ObjectDifference, is_open: bool) -> Markup {
    html! {
        details.object open[is_open] {
            summary { code { (object.module) } " " span.more { "LTO task " (object.task) } }
            p { "Sections: " @for (at, name) in object.sections.iter().enumerate() { @if at > 0 { ", " } code { (name) } } }
            @for one in &object.symbols { (symbol(one)) }
        }
    }
}

fn symbol(symbol: &SymbolDifference) -> Markup {
    html! {
        h4 { code { (symbol.name) } " " (symbol.what) }
        @if !symbol.listing.is_empty() {
            pre {
                code {
                    @for line in &symbol.listing {
                        @match line.as_bytes().first() {
                            Some(b'-') => del { (line) "\n" },
                            Some(b'+') => ins { (line) "\n" },
                            _ => { (line) "\n" },
                        }
                    }
                }
            }
        }
    }
}

/// How the outputs compare.
pub fn outputs(output: &Outputs) -> Markup {
    html! {
        p { (sentence(judge::describe(output.likeness))) }
        @if !output.allowed.is_empty() {
            h3 { "What differs, and may" }
            ul { @for one in &output.allowed { li { (one) } } }
        }
        @if !output.differences.is_empty() {
            h3 { "What differs, and should not" }
            div.wide {
                table {
                    caption { "Differences between the outputs" }
                    (columns(&["What", "Which", "In-process", "Distributed"]))
                    tbody {
                        @for one in &output.differences {
                            tr {
                                th scope="row" { (one.aspect) }
                                td { code { (one.name) } }
                                td { (side(&one.in_process)) }
                                td { (side(&one.distributed)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn side(said: &str) -> &str {
    if said.is_empty() { "none" } else { said }
}

/// Words that are a sentence of their own here.
pub fn sentence(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(char::to_uppercase);
    format!("{}{}.", first.into_iter().flatten().collect::<String>(), chars.as_str())
}
