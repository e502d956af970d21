//! The line that moves at the foot of a terminal while a link takes long: how many modules are done, how many were in the cache,
//! what is slowest. Knows nothing of how modules are compiled; it looks at the timeline ten times a second.
//!
//! There is none where stderr is no terminal, where that cannot erase, where we are not in its foreground, nor where another link
//! has one there already: make runs many.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::timeline::Timeline;
use crate::say;

/// A link that takes no longer says nothing.
const AFTER: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(100);
/// Where a terminal does not say how wide it is.
const COLUMNS: usize = 80;

/// One link's.
#[derive(Debug)]
pub struct Progress {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    output: String,
    began: Instant,
    timeline: Arc<Timeline>,
    state: Mutex<State>,
    over: Condvar,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    is_over: bool,
}

#[derive(Debug)]
enum Phase {
    ThinLink,
    Backends { names: Vec<String>, cached: usize },
    FinalLink,
}

impl Progress {
    /// Of a link that began then; none where nobody could see it.
    pub fn of(output: &str, began: Instant, timeline: &Arc<Timeline>) -> Option<Progress> {
        let can_erase = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        if !can_erase || !io::stderr().is_terminal() {
            return None;
        }
        let shared = Arc::new(Shared {
            output: output.to_owned(),
            began,
            timeline: timeline.clone(),
            state: Mutex::new(State {
                phase: Phase::ThinLink,
                is_over: false,
            }),
            over: Condvar::new(),
        });
        let ours = shared.clone();
        let ticker = thread::Builder::new().spawn(move || ours.tick()).ok()?;
        Some(Progress {
            shared,
            ticker: Some(ticker),
        })
    }

    /// Backends of modules of these names begin, of which so many were in the cache.
    pub fn compiles(&self, names: Vec<String>, cached: usize) {
        self.shared.state().phase = Phase::Backends { names, cached };
    }

    /// All of them have ended.
    pub fn links(&self) {
        self.shared.state().phase = Phase::FinalLink;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.over.notify_all();
        // It would have panicked for everybody to see.
        let _ = self.ticker.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        let mut place = None;
        let mut state = self.state();
        let mut pause = AFTER.saturating_sub(self.began.elapsed());
        loop {
            let waited = self.over.wait_timeout_while(state, pause, |state| !state.is_over);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.is_over {
                break;
            }
            pause = EVERY;
            if place.is_none() {
                place = Place::take();
            }
            if let Some(place) = place.as_ref().filter(|place| place.is_in_front()) {
                let line: String = self.line(&state.phase).chars().take(place.columns()).collect();
                say::moving(&line);
            }
        }
        if place.is_some() {
            say::still();
        }
    }

    fn line(&self, phase: &Phase) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        let output = &self.output;
        match phase {
            Phase::ThinLink => format!("{output}: thin link, {seconds:.0} s"),
            Phase::FinalLink => format!("{output}: final link, {seconds:.0} s"),
            Phase::Backends { names, cached } => {
                let glimpse = self.timeline.glimpse();
                let slowest = glimpse.longest.map(|(module, ms)| {
                    let name = names.get(module).map_or("", String::as_str);
                    format!("; slowest {name}, {:.1} s", ms / 1e3)
                });
                format!(
                    "{output}: {} of {} modules, {cached} from the cache, {seconds:.0} s{}",
                    glimpse.ended + cached,
                    names.len(),
                    slowest.unwrap_or_default()
                )
            }
        }
    }
}

/// The last line of the terminal: ours until it is dropped.
#[derive(Debug)]
struct Place(File);

impl Place {
    /// None where another link has it.
    fn take() -> Option<Place> {
        // Opened anew, since a lock is of what was opened, and we have that of whoever started us.
        let terminal = OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open("/proc/self/fd/2")
            .ok()?;
        flock(&terminal, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(Place(terminal))
    }

    /// Whoever writes from the background may be stopped for it.
    fn is_in_front(&self) -> bool {
        rustix::termios::tcgetpgrp(&self.0).is_ok_and(|group| group == rustix::process::getpgrp())
    }

    /// One less than there are: a line that fills them all may begin another.
    fn columns(&self) -> usize {
        let size = rustix::termios::tcgetwinsize(&self.0);
        let columns = size.map_or(0, |size| usize::from(size.ws_col));
        if columns == 0 { COLUMNS } else { columns }.saturating_sub(1)
    }
}
