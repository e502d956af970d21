//! Runs one link and says what it cost: wall time, the CPU of all its processes, the memory they held.
//! Knows nothing of links.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::process::WaitOptions;

use super::verdict::Cost;
use crate::children::{Children, Running};
use crate::observe::stats::milliseconds;
use crate::processes;

/// How often memory is looked at: often at first, since some links take milliseconds, then as often as costs little.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(200));

/// Where what a link prints goes.
pub enum Words<'a> {
    /// To whoever called us.
    Inherited,
    /// Into a file.
    File(&'a Path),
}

/// Runs it to its end.
///
/// # Errors
/// It cannot be run; `Interrupted` where a signal came.
pub fn run(command: &mut Command, words: &Words<'_>, children: &Children) -> io::Result<(ExitStatus, Cost)> {
    if let Words::File(path) = words {
        let file = File::create(path)?;
        command.stdout(file.try_clone()?).stderr(file);
    }
    if matches!(words, Words::File(_)) {
        command.stdin(Stdio::null());
    }
    // Whoever outlives the link that started it (a fork server's end) is ours, so that its time counts.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let (cpu, began) = (cpu_of_children()?, Instant::now());
    let running = children.spawn(command)?;
    let (status, wall, peak) = watch(running, began)?;
    reap();
    let cpu = cpu_of_children()?.saturating_sub(cpu);
    children.settle(status);
    if children.interrupted().is_some() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let cost = Cost {
        wall_ms: milliseconds(wall),
        cpu_ms: milliseconds(cpu),
        peak_bytes: peak,
        ..Cost::default()
    };
    Ok((status, cost))
}

/// Waits, and looks at the memory meanwhile.
fn watch(running: Running, began: Instant) -> io::Result<(ExitStatus, Duration, u64)> {
    let pid = running.id();
    let (ended, end) = mpsc::channel();
    let waiting = thread::Builder::new().spawn(move || {
        let output = running.output();
        let wall = began.elapsed();
        // Whoever looks at the memory is there until it hears of this.
        let _ = ended.send(());
        (output, wall)
    })?;
    let mut peak = 0;
    loop {
        peak = peak.max(processes::memory(pid));
        let pause = (began.elapsed() / 25).clamp(INTERVALS.0, INTERVALS.1);
        match end.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => break,
        }
    }
    let (output, wall) = waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Ok((output?.status, wall, peak))
}

/// Waits for those that have come to us. Nothing that a link starts goes on for long after it; whatever does is left.
fn reap() {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => thread::sleep(Duration::from_millis(2)),
            Err(_) => break,
        }
    }
}

fn cpu_of_children() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(io::Error::from)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
}
