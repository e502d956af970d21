//! A process and all below it, as /proc shows them: the memory they hold together, what each is doing, and their end.
//! Knows nothing of what they are.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// What `root` and all below it hold together, in bytes; pages shared among several count once (PSS).
pub fn memory(root: u32) -> u64 {
    tree(root).iter().filter_map(|pid| proportional(*pid)).sum()
}

/// Kills `root` and all below it. What each was doing: its state, where in the kernel it waited, and its command.
pub fn end(root: u32) -> String {
    let mut doing = String::new();
    let all = tree(root);
    for pid in &all {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let (stat, place) = (read("stat"), read("wchan"));
        let state = stat
            .rsplit_once(") ")
            .map_or("?", |(_, rest)| rest.split(' ').next().unwrap_or("?"));
        let line: String = read("cmdline").replace('\0', " ").chars().take(120).collect();
        let _ = writeln!(doing, "  {pid} {state} {place} {line}");
    }
    for pid in all {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            // Gone already is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    doing
}

/// A process and all below it, the process first.
fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// The fourth field of `/proc/PID/stat`; the second, a name in parentheses, may hold anything.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn proportional(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}
