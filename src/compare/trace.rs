//! in-process lld's `--time-trace`, read for its phases and for when each backend ran on which thread.
//! Knows nothing of our own links.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::verdict::Phase;
use crate::observe::timeline::Span;

#[derive(Deserialize)]
struct Trace {
    #[serde(rename = "traceEvents")]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    name: String,
    #[serde(default)]
    ts: f64,
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    tid: u64,
    #[serde(default)]
    args: Arguments,
}

#[derive(Default, Deserialize)]
struct Arguments {
    #[serde(default)]
    detail: String,
}

/// What lld calls a backend (llvm/lib/LTO/LTO.cpp, from LLVM 20 on).
const BACKEND: [&str; 2] = ["Run ThinLTO backend thread (in-process)", "Thin backend"];

/// Phases and backends; none of either where the trace does not say.
pub fn read(path: &Path) -> (Vec<Phase>, Vec<Span>) {
    let text = fs::read(path).unwrap_or_default();
    match serde_json::from_slice::<Trace>(&text) {
        Ok(trace) => (phases(&trace.events), backends(&trace.events)),
        Err(_) => (Vec::new(), Vec::new()),
    }
}

fn find<'e>(events: &'e [Event], name: &str) -> Option<&'e Event> {
    events.iter().find(|event| event.name == name)
}

/// The whole of a link, and LTO in it; what runs before is reading and resolving, what runs behind is linking.
fn phases(events: &[Event]) -> Vec<Phase> {
    let (Some(all), Some(lto)) = (find(events, "ExecuteLinker"), find(events, "LTO")) else {
        return Vec::new();
    };
    let thin = find(events, "Run ThinLTO");
    let first = events
        .iter()
        .filter(|event| BACKEND.contains(&event.name.as_str()))
        .map(|event| event.ts);
    let backends = first
        .min_by(f64::total_cmp)
        .or(thin.map(|thin| thin.ts))
        .unwrap_or(lto.ts);
    let end = lto.ts + lto.dur;
    let phase = |name: &str, start: f64, end: f64| Phase {
        name: name.to_owned(),
        start_ms: start / 1e3,
        ms: (end - start).max(0.0) / 1e3,
    };
    vec![
        phase("scan", 0.0, lto.ts),
        phase("thin link", lto.ts, backends),
        phase("backends", backends, end),
        phase("final link", end, all.ts + all.dur),
    ]
}

fn backends(events: &[Event]) -> Vec<Span> {
    let name = BACKEND.iter().find(|name| find(events, name).is_some());
    let mut runs: Vec<&Event> = events
        .iter()
        .filter(|event| Some(&event.name.as_str()) == name)
        .collect();
    runs.sort_by(|a, b| a.ts.total_cmp(&b.ts));
    let mut slots: BTreeMap<u64, usize> = BTreeMap::new();
    let spans = runs.iter().map(|run| {
        let next = slots.len();
        Span {
            name: run.args.detail.clone(),
            task: 0,
            slot: Some(*slots.entry(run.tid).or_insert(next)),
            worker: None,
            start: run.ts / 1e3,
            end: (run.ts + run.dur) / 1e3,
        }
    });
    spans.collect()
}
