//! Comparisons as pages for browsers: one file each, with style, script and data in it, that asks nothing of any network.
//! Knows nothing of how they are found out. Without scripts everything is there but the drawing, in tables.

mod build;
pub mod file;
mod findings;
mod link;
mod numbers;
mod timeline;

pub use build::of_build;
pub use link::of_link;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

use super::verdict::Verdict;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("timeline.js");

/// The whole of a page: what stands in it, and for the script the data it draws.
fn document(title: &str, body: &Markup, data: Option<&str>) -> String {
    // No foreign text in the body can know this, since it is made of that text.
    let nonce = blake3::hash([title, &body.0, data.unwrap_or_default()].join("\n").as_bytes()).to_hex();
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'"
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style nonce=(nonce) { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                @if let Some(data) = data {
                    script #data type="application/json" { (PreEscaped(data)) }
                    script nonce=(nonce) { (PreEscaped(SCRIPT)) }
                }
            }
        }
    };
    page.into_string()
}

/// JSON that can stand within a `script` element: `<` is only found in strings, and there it can be written otherwise.
fn embedded(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string(value)?.replace('<', "\\u003c"))
}

/// What stands first: what was compared, and the answer.
fn heading(kind: &str, name: &str, verdict: Verdict, why: &str) -> Markup {
    let sign = match verdict {
        Verdict::Equivalent => "✓",
        Verdict::Different => "≠",
        Verdict::Unknown => "?",
    };
    html! {
        header {
            p.kind { (kind) }
            h1 { (name) }
            p.verdict.(class(verdict)) {
                span.sign aria-hidden="true" { (sign) }
                strong { (verdict.describe()) }
                span { (why) }
            }
        }
    }
}

/// What the style calls a verdict.
fn class(verdict: Verdict) -> String {
    verdict.describe().replace(' ', "-")
}

/// A part of a page, under its heading.
struct Part {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

/// The parts, with links to them before.
fn parts(parts: &[Part]) -> Markup {
    html! {
        nav aria-label="On this page" {
            ul { @for part in parts { li { a href=(format!("#{}", part.id)) { (part.title) } } } }
        }
        main {
            @for part in parts {
                section id=(part.id) aria-labelledby=(format!("{}-title", part.id)) {
                    h2 id=(format!("{}-title", part.id)) { (part.title) }
                    (part.body)
                }
            }
        }
    }
}

/// The head of a table; a column without a name has no figures.
fn columns(names: &[&str]) -> Markup {
    html! {
        thead { tr {
            @for name in names { @if name.is_empty() { td {} } @else { th scope="col" { (name) } } }
        } }
    }
}

fn footer() -> Markup {
    html! {
        footer { p { "Made by thinlto " (env!("CARGO_PKG_VERSION")) ". In-process: the linker's own ThinLTO. Distributed: thinlto-ld's." } }
    }
}
