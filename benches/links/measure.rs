//! Runs a command and says what it cost: wall time and CPU, or the memory of all its processes together. One that takes
//! longer than it may is ended with all its processes. Knows nothing of links.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::{Deserialize, Serialize};

use crate::error::{At, Error, Result};
use crate::processes;

/// How often memory is looked at: often at first, since some links take milliseconds, and then as often as costs little.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(20));

/// What a run took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds.
    pub wall: f64,
    /// Seconds of user and system time, of the process and of all it waited for, and so on down.
    pub cpu: f64,
}

/// Why a run gives no figure, in words.
#[derive(Debug)]
pub enum Failure {
    /// Its own.
    Refused(String),
    /// It had to be ended.
    Stuck(String),
}

/// What became of a run.
pub type Outcome<T> = std::result::Result<T, Failure>;

/// Runs it against the clock; what it says on stderr goes to the file `said`.
///
/// # Errors
/// It cannot be run at all; that it failed or was not done within `limit` is an outcome, in words.
pub fn timed(mut command: Command, said: &Path, limit: Duration) -> Result<Outcome<Cost>> {
    quiet(&mut command, said)?;
    let (cpu, began) = (cpu_of_children()?, Instant::now());
    let mut child = start(&mut command)?;
    let root = child.id();
    let (done, waiting) = mpsc::channel::<()>();
    let (ended, stuck) = thread::scope(|scope| {
        let watchdog = scope.spawn(move || {
            let mut patience = Patience::new(limit);
            while let Err(RecvTimeoutError::Timeout) = waiting.recv_timeout(LOOK) {
                if patience.is_spent() {
                    return Some(end(root, limit));
                }
            }
            None
        });
        let ended = child.wait().map(|status| (status, began.elapsed().as_secs_f64()));
        drop(done);
        (ended, watchdog.join().unwrap_or_default())
    });
    let (status, wall) = ended.map_err(|error| cannot_run(&command, &error))?;
    let cpu = cpu_of_children()? - cpu;
    Ok(match stuck {
        Some(words) => Err(Failure::Stuck(words)),
        None => outcome(status, said, Cost { wall, cpu }),
    })
}

/// Runs it and looks at its memory meanwhile. The peak of what it and its children's children hold together, in bytes: pages
/// shared among several count once (PSS).
///
/// # Errors
/// As [`timed`].
pub fn watched(mut command: Command, said: &Path, limit: Duration) -> Result<Outcome<u64>> {
    quiet(&mut command, said)?;
    let mut child = start(&mut command)?;
    let (mut peak, began) = (0, Instant::now());
    let mut patience = Patience::new(limit);
    loop {
        peak = peak.max(processes::memory(child.id()));
        if let Some(status) = child.try_wait().map_err(|error| cannot_run(&command, &error))? {
            return Ok(outcome(status, said, peak));
        }
        if patience.is_spent() {
            let words = end(child.id(), limit);
            child.wait().map_err(|error| cannot_run(&command, &error))?;
            return Ok(Err(Failure::Stuck(words)));
        }
        thread::sleep((began.elapsed() / 50).clamp(INTERVALS.0, INTERVALS.1));
    }
}

/// How often a link is looked at whether it is done.
const LOOK: Duration = Duration::from_secs(1);

/// What is left of the time a link may take. Time in which we were stopped ourselves, and the link with us, does not count.
struct Patience {
    left: Duration,
    looked: Instant,
}

impl Patience {
    fn new(left: Duration) -> Patience {
        let looked = Instant::now();
        Patience { left, looked }
    }

    fn is_spent(&mut self) -> bool {
        self.left = self.left.saturating_sub(self.looked.elapsed().min(2 * LOOK));
        self.looked = Instant::now();
        self.left.is_zero()
    }
}

/// Ends what has taken too long. What its processes were doing is for whoever looks into it.
fn end(root: u32, limit: Duration) -> String {
    let doing = processes::end(root);
    eprintln!("still running after {} s, and ended:\n{doing}", limit.as_secs());
    format!("not done after {} s", limit.as_secs())
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
    Err(Failure::Refused(line.map_or_else(|| status.to_string(), str::to_owned)))
}

fn cpu_of_children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| Error::Program(format!("getrusage: {error}")))?;
    let seconds = |time: TimeVal| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or_default());
    Ok((seconds(usage.user_time()) + seconds(usage.system_time())).as_secs_f64())
}
