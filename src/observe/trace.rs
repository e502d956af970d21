//! `--time-trace` of a link that was several processes: their traces as one, on one clock, in the user's names.
//! Knows nothing of what the processes did; it is given the files they wrote and how each spells what the user calls else.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::timeline::Span;
use crate::say;

/// What LLVM's time profiler writes (llvm/lib/Support/TimeProfiler.cpp).
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Trace {
    #[serde(rename = "traceEvents")]
    events: Vec<Map<String, Value>>,
    /// Microseconds since 1970; the events' times count from here.
    #[serde(rename = "beginningOfTime", default)]
    began: u64,
}

/// What a backend is called that a worker ran.
const REMOTE: &str = "Remote backend";

/// How the sum over all events of a name is called; there is one for each name.
const TOTAL: &str = "Total ";

impl Trace {
    /// A process's trace, its text first put into the user's names; none where there is none to be read.
    pub fn read(path: &Path, translate: impl FnOnce(&str) -> String) -> Option<Trace> {
        let text = fs::read_to_string(path).ok()?;
        serde_json::from_str(&translate(&text)).ok()
    }

    /// What workers ran, of whose own time there is no trace: when each was handed over and came back, by the clock here.
    /// `began` is the link's beginning, in seconds since 1970.
    pub fn of_workers<'a>(began: f64, spans: impl IntoIterator<Item = &'a Span>) -> Trace {
        let microseconds = |milliseconds: f64| (milliseconds * 1e3) as u64;
        let event = |(thread, span): (usize, &Span)| {
            let worker = span.worker.as_ref()?;
            let event = json!({
                "pid": std::process::id(), "tid": thread, "ph": "X", "name": REMOTE,
                "ts": microseconds(span.start), "dur": microseconds(span.end - span.start),
                "args": {"detail": span.name, "worker": worker},
            });
            event.as_object().cloned()
        };
        let own = u64::from(std::process::id());
        let threads = (usize::try_from(own).unwrap_or_default()..).zip(spans);
        Trace {
            events: threads.filter_map(event).collect(),
            began: (began * 1e6) as u64,
        }
    }

    /// All of them, times counting from when the first began.
    pub fn joined(traces: Vec<Trace>) -> Trace {
        let began = traces.iter().map(|trace| trace.began).min().unwrap_or_default();
        let mut joined = Trace {
            events: Vec::new(),
            began,
        };
        let mut totals = BTreeMap::new();
        let mut of = None;
        for trace in traces {
            let later = trace.began - began;
            for mut event in trace.events {
                if let Some(name) = total(&event) {
                    add(totals.entry(name).or_default(), &event);
                    of = event.get("pid").cloned().or(of);
                    continue;
                }
                if let Some(at) = event.get("ts").and_then(Value::as_u64).filter(|_| !is_metadata(&event)) {
                    event.insert("ts".into(), (at + later).into());
                }
                joined.events.push(event);
            }
        }
        // Longest first, each a thread of its own, as LLVM has them.
        let threads = joined.events.iter().filter_map(|event| event.get("tid")?.as_u64());
        let last = threads.max().unwrap_or_default();
        let mut totals: Vec<(String, Sum)> = totals.into_iter().collect();
        totals.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.microseconds));
        for ((name, sum), thread) in totals.into_iter().zip(last + 1..) {
            joined.events.extend(sum.event(&name, thread, of.as_ref()));
        }
        joined
    }

    /// Writes it where `--time-trace=TO` says: a file, or `-`.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write(&self, to: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        match to == Path::new("-") {
            true => say::answer(&text),
            false => fs::write(to, text),
        }
    }
}

#[derive(Default)]
struct Sum {
    microseconds: u64,
    count: u64,
}

impl Sum {
    fn event(&self, name: &str, thread: u64, process: Option<&Value>) -> Option<Map<String, Value>> {
        let average = self.microseconds.checked_div(self.count).unwrap_or_default() / 1000;
        let event = json!({
            "pid": process, "tid": thread, "ts": 0, "ph": "X", "dur": self.microseconds, "name": name,
            "args": {"count": self.count, "avg ms": average},
        });
        event.as_object().cloned()
    }
}

fn total(event: &Map<String, Value>) -> Option<String> {
    let name = event.get("name")?.as_str()?;
    let is_counted = event.get("args").is_some_and(|args| args.get("count").is_some());
    (is_counted && name.starts_with(TOTAL)).then(|| name.to_owned())
}

fn add(sum: &mut Sum, event: &Map<String, Value>) {
    let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or_default();
    sum.microseconds += number(event.get("dur"));
    sum.count += number(event.get("args").and_then(|args| args.get("count")));
}

fn is_metadata(event: &Map<String, Value>) -> bool {
    event.get("ph").is_some_and(|phase| phase == "M")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_clocks_become_one_and_totals_are_added() {
        let trace = |began: u64, name: &str| -> Trace {
            let total = format!("{TOTAL}{name}");
            serde_json::from_value(json!({"beginningOfTime": began, "traceEvents": [
                {"pid": 7, "tid": 7, "ts": 5, "ph": "X", "dur": 2000, "name": name},
                {"pid": 7, "tid": 8, "ts": 0, "ph": "X", "dur": 2000, "name": total, "args": {"count": 1, "avg ms": 2}},
                {"pid": 7, "tid": 7, "ts": 0, "ph": "M", "name": "process_name", "args": {"name": "p"}},
            ]}))
            .unwrap()
        };
        let joined = Trace::joined(vec![trace(1000, "Opt"), trace(900, "Opt"), trace(1003, "Link")]);
        assert_eq!(joined.began, 900);
        let times = |name: &str| -> Vec<u64> {
            let named = joined.events.iter().filter(|event| event["name"] == name);
            named.map(|event| event["ts"].as_u64().unwrap()).collect()
        };
        assert_eq!((times("Opt"), times("Link")), (vec![105, 5], vec![108]));
        assert_eq!(times("process_name"), [0, 0, 0]);
        let totals: Vec<(&str, u64, u64)> = joined
            .events
            .iter()
            .filter(|event| total(event).is_some())
            .map(|event| {
                let count = event["args"]["count"].as_u64().unwrap();
                (event["name"].as_str().unwrap(), count, event["dur"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(totals, [("Total Opt", 2, 4000), ("Total Link", 1, 2000)]);
    }
}
