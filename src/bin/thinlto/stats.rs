//! `thinlto stats`: what became of this user's links so far, as a table or as JSON.
//! Knows nothing of how it was counted.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use thinlto_ld::cache::Store;
use thinlto_ld::observe::ledger::{Ledger, Sums};
use thinlto_ld::observe::stats::LinkMode;

use crate::arguments;
use crate::{cache_folder, json};

/// Shows them, or forgets them.
pub fn stats(arguments: arguments::Stats) -> Result<String, String> {
    let folder = cache_folder(arguments.dir)?;
    let ledger = Ledger::of(&Store::root_in(&folder));
    if arguments.zero {
        let cleared = ledger.clear();
        cleared.map_err(|error| format!("{}: cannot forget what was counted: {error}", folder.display()))?;
        return Ok("counting begins anew\n".to_owned());
    }
    let sums = ledger.sums();
    match arguments.json {
        true => json(&Told { folder, sums: &sums }),
        false => Ok(table(&sums)),
    }
}

#[derive(Serialize)]
struct Told<'a> {
    folder: PathBuf,
    #[serde(flatten)]
    sums: &'a Sums,
}

/// How each mode is called.
const MODES: [(LinkMode, &str); 4] = [
    (LinkMode::Distributed, "distributed"),
    (LinkMode::Distributor, "by DTLTO"),
    (LinkMode::InProcess, "in-process"),
    (LinkMode::Passthrough, "passthrough"),
];

fn table(sums: &Sums) -> String {
    if sums.all() == 0 {
        return "no links counted yet\n".to_owned();
    }
    let mut text = String::new();
    let mut line = |what: String| {
        // Nothing that is written to memory fails.
        let _ = writeln!(text, "{what}");
    };
    line(format!("links       {:>9}   {}", sums.all(), since(sums.since)));
    for (mode, name) in MODES {
        let count = sums.links.get(&mode).copied().unwrap_or_default();
        let restored = match (mode, sums.restored) {
            (LinkMode::Distributed, restored) if restored > 0 => format!("   {restored} put back as they were made"),
            _ => String::new(),
        };
        if count > 0 {
            line(format!("  {name:11} {count:>7}{restored}"));
        }
    }
    for mode in [LinkMode::InProcess, LinkMode::Passthrough] {
        let Some(reasons) = sums.reasons.get(&mode) else {
            continue;
        };
        let name = MODES
            .iter()
            .find(|(known, _)| *known == mode)
            .map_or("", |(_, name)| name);
        line(format!("{name}, because of"));
        let mut reasons: Vec<_> = reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (reason, count) in reasons {
            line(format!("  {count:>19}   {reason}"));
        }
    }
    let modules = &sums.modules;
    let all = modules.compiled + modules.remote + modules.cached;
    if all > 0 {
        let percent = modules.cached as f64 * 100.0 / all as f64;
        line(format!("modules     {all:>9}"));
        line(format!("  compiled    {:>7}", modules.compiled));
        if modules.remote > 0 {
            line(format!("  by servers  {:>7}", modules.remote));
        }
        line(format!("  from cache  {:>7}   {percent:.1} %", modules.cached));
        line("time".to_owned());
        for (name, ms) in [
            ("in links", sums.ms.links),
            ("compiling", sums.ms.compiling),
            ("saved", sums.ms.saved),
        ] {
            line(format!("  {name:11} {:>7}", duration(ms)));
        }
    }
    text
}

fn since(first: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    match now.saturating_sub(first) / (24 * 60 * 60) {
        0 => "in the last day".to_owned(),
        days => format!("in {} days", days + 1),
    }
}

/// `3 h 12 min`, `4 min 5 s`, `2.31 s`
fn duration(ms: f64) -> String {
    let seconds = ms / 1e3;
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{seconds:.2} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}
