//! Runs a command and says what it cost: wall time and CPU, or the memory of all its processes together.
//! Knows nothing of links.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::error::{At, Error, Result};

/// How often memory is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Seconds.
    pub wall: f64,
    /// Seconds of user and system time, of the process and of all it waited for, and so on down.
    pub cpu: f64,
}

/// What became of a run.
pub type Outcome<T> = std::result::Result<T, String>;

/// Runs it against the clock; what it says on stderr goes to the file `said`.
///
/// # Errors
/// It cannot be run at all; that it failed is an outcome, in its own words.
pub fn timed(mut command: Command, said: &Path) -> Result<Outcome<Cost>> {
    quiet(&mut command, said)?;
    let (cpu, began) = (cpu_of_children()?, Instant::now());
    let status = start(&mut command)?
        .wait()
        .map_err(|error| cannot_run(&command, &error))?;
    let wall = began.elapsed().as_secs_f64();
    let cpu = cpu_of_children()? - cpu;
    Ok(outcome(status, said, Cost { wall, cpu }))
}

/// Runs it and looks at its memory meanwhile. The peak of what it and its children's children hold together, in bytes: pages
/// shared among several count once (PSS).
///
/// # Errors
/// As [`timed`].
pub fn watched(mut command: Command, said: &Path) -> Result<Outcome<u64>> {
    quiet(&mut command, said)?;
    let mut child = start(&mut command)?;
    let mut peak = 0;
    loop {
        peak = peak.max(tree(child.id()).iter().filter_map(|pid| proportional(*pid)).sum());
        if let Some(status) = child.try_wait().map_err(|error| cannot_run(&command, &error))? {
            return Ok(outcome(status, said, peak));
        }
        std::thread::sleep(INTERVAL);
    }
}

fn quiet(command: &mut Command, said: &Path) -> Result<()> {
    let file = File::create(said).at(said)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    Ok(())
}

fn start(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|error| cannot_run(command, &error))
}

fn cannot_run(command: &Command, error: &std::io::Error) -> Error {
    Error::Program(format!(
        "cannot run {}: {error}",
        command.get_program().to_string_lossy()
    ))
}

fn outcome<T>(status: ExitStatus, said: &Path, cost: T) -> Outcome<T> {
    if status.success() {
        return Ok(cost);
    }
    let text = fs::read(said).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text
        .lines()
        .find(|line| line.contains("error:"))
        .or_else(|| text.lines().next());
    Err(line.map_or_else(|| status.to_string(), str::to_owned))
}

fn cpu_of_children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| Error::Program(format!("getrusage: {error}")))?;
    let seconds = |time: TimeVal| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or_default());
    Ok((seconds(usage.user_time()) + seconds(usage.system_time())).as_secs_f64())
}

/// A process and all below it.
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
