//! An explanation as people read it in a terminal.
//! Knows nothing of how it came about.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{ExplainedOption, Explanation};

/// The most inputs of one sort that are listed; `--json` has them all.
const LISTED: usize = 40;

fn row(text: &mut String, name: &str, said: &str) {
    let _ = writeln!(text, "{name:9} {said}");
}

/// The whole of it.
pub fn of(explanation: &Explanation) -> String {
    let mut text = String::new();
    let route = match &explanation.reason {
        Some(reason) => format!("{}: {reason}", explanation.route),
        None => explanation.route.to_owned(),
    };
    row(&mut text, "route", &route);
    row(
        &mut text,
        "output",
        &format!("{}, {}", explanation.output, explanation.kind),
    );
    let llvm = explanation.llvm.as_deref().unwrap_or("unknown");
    row(&mut text, "linker", &format!("{}, LLVM {llvm}", explanation.linker));
    let clang = explanation.clang.as_ref().or(explanation.no_clang.as_ref());
    row(&mut text, "clang", clang.map_or("none", String::as_str));
    let off = explanation.cache_off.map_or("off".into(), |why| format!("off: {why}"));
    row(&mut text, "cache", explanation.cache.as_ref().unwrap_or(&off));
    row(&mut text, "engine", explanation.engine);
    if let Some(launcher) = &explanation.launcher {
        row(&mut text, "launcher", launcher);
    }
    row(&mut text, "backends", &explanation.slots);
    if let Some(flags) = &explanation.flags {
        row(&mut text, "flags", flags);
    }
    if let Some(relocatable) = &explanation.relocatable {
        row(&mut text, "-r", relocatable);
    }
    inputs(&mut text, explanation);
    options(&mut text, &explanation.options);
    if !explanation.backend.is_empty() && explanation.route == "distributed" {
        text.push_str("\nevery backend\n");
        for step in &explanation.backend {
            let _ = writeln!(text, "  clang {}", step.join(" "));
        }
    }
    text
}

/// Inputs that are treated alike stand together.
fn inputs(text: &mut String, explanation: &Explanation) {
    let mut groups: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for input in &explanation.inputs {
        groups
            .entry((input.kind, &input.treatment))
            .or_default()
            .push(&input.path);
    }
    let _ = writeln!(text, "\ninputs    {}", explanation.inputs.len());
    for ((kind, treatment), paths) in groups {
        let _ = writeln!(text, "  {} {kind}: {treatment}", paths.len());
        for path in paths.iter().take(LISTED) {
            let _ = writeln!(text, "    {path}");
        }
        if paths.len() > LISTED {
            let _ = writeln!(text, "    and {} more", paths.len() - LISTED);
        }
    }
}

fn options(text: &mut String, options: &[ExplainedOption]) {
    if options.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nLTO options");
    for option in options {
        let becomes = match (option.meaning, &option.why) {
            (_, Some(why)) => format!("leaves the link to in-process lld: {why}"),
            ("overridden", _) => "overridden by a later option".to_owned(),
            ("words", _) => option.words.join(" "),
            _ => "the thin link's, or how the link is run: nothing for backends".to_owned(),
        };
        let _ = writeln!(text, "  {}: {becomes}", option.option);
    }
}
