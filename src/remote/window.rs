//! How many executions are at the server at once: more as its workers take what is there, fewer after it has said that it is
//! full, as TCP does it with a network. Knows nothing of what is executed, nor of what is to be done about a server that takes none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, Semaphore};

/// Shared by the executions of one client.
#[derive(Debug)]
pub(super) struct Window {
    state: Mutex<State>,
    /// Somebody may find room now.
    room: Notify,
    /// As many as are asked to leave.
    leave: Semaphore,
}

/// So many at first. There are servers with a thread for each that is waited for and few threads, which their workers need too.
const START: usize = 128;

#[derive(Debug)]
struct State {
    width: usize,
    under_way: usize,
    /// Those of them that a worker is at.
    begun: usize,
    /// Whether the server tells that a worker is at something.
    tells: bool,
    /// When it was last made narrower.
    narrowed: Option<Instant>,
    /// How often it could have been wider since it was last made so.
    wishes: usize,
}

impl State {
    /// Something has gone on. While nothing has been refused the window grows with each; after that, when all of a width have.
    fn grow(&mut self) {
        // What waits in the server's queue is enough for its workers.
        let is_enough = self.tells && (self.under_way - self.begun) * 2 > self.width;
        if self.under_way < self.width || is_enough {
            return;
        }
        self.wishes += 1;
        if self.narrowed.is_none() || self.wishes >= self.width {
            self.width += 1;
            self.wishes = 0;
        }
    }
}

impl Default for Window {
    fn default() -> Self {
        Window {
            state: Mutex::new(State {
                width: START,
                under_way: 0,
                begun: 0,
                tells: false,
                narrowed: None,
                wishes: 0,
            }),
            room: Notify::new(),
            leave: Semaphore::new(0),
        }
    }
}

/// One execution's place at the server, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    window: &'a Window,
    since: Instant,
    is_known: AtomicBool,
    has_begun: AtomicBool,
    /// Whether it is one of those that were to leave.
    is_asked: AtomicBool,
}

/// What is to be made of a server that says it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fullness {
    /// Of ours: once others have ended there will be room.
    Ours,
    /// Not of ours, who have nothing else there.
    Others,
}

impl Window {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells one of those who wait, if there is room. He tells the next.
    fn offer(&self, state: &State) {
        if state.under_way < state.width {
            self.room.notify_one();
        }
    }

    fn nobody_need_leave(&self) {
        self.leave.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Waits for room.
    pub(super) async fn enter(&self) -> Place<'_> {
        loop {
            // Listened for before it is looked, that none is missed in between.
            let room = self.room.notified();
            {
                let mut state = self.state();
                if state.under_way < state.width {
                    state.under_way += 1;
                    self.offer(&state);
                    return Place {
                        window: self,
                        since: Instant::now(),
                        is_known: AtomicBool::new(false),
                        has_begun: AtomicBool::new(false),
                        is_asked: AtomicBool::new(false),
                    };
                }
            }
            room.await;
        }
    }
}

impl Place<'_> {
    /// The server has said that it is full: half of those under way are enough, the others are asked to leave. Who entered
    /// before it was made narrower the last time tells nothing new.
    pub(super) fn refused(&self) -> Fullness {
        let mut state = self.window.state();
        if state.under_way <= 1 {
            return Fullness::Others;
        }
        if state.narrowed.is_none_or(|narrowed| narrowed < self.since) {
            state.width = (state.under_way / 2).max(1);
            state.narrowed = Some(Instant::now());
            state.wishes = 0;
            let width = state.width;
            // We are about to leave too.
            self.is_asked.store(true, Ordering::Relaxed);
            let over = (state.under_way - 1).saturating_sub(width);
            let waiting = (state.under_way - 1).saturating_sub(state.begun);
            self.window.nobody_need_leave();
            self.window.leave.add_permits(over.min(waiting));
            tracing::info!(width, "the server is full: fewer executions at once");
        }
        Fullness::Ours
    }

    /// The server has a name for it, and can be asked about it later.
    pub(super) fn named(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    /// A worker is at it: it is soon over, and is not asked to leave.
    pub(super) fn begins(&self) {
        if self.has_begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut state = self.window.state();
        state.tells = true;
        state.begun += 1;
        state.grow();
        self.window.offer(&state);
    }

    /// It ended well.
    pub(super) fn ended_well(&self) {
        // Else the window grew when it began.
        if !self.has_begun.load(Ordering::Relaxed) {
            let mut state = self.window.state();
            state.grow();
            self.window.offer(&state);
        }
    }

    /// Until it is asked to leave.
    pub(super) async fn is_wanted(&self) {
        let Ok(asked) = self.window.leave.acquire().await else {
            return;
        };
        if !self.is_known.load(Ordering::Relaxed) || self.has_begun.load(Ordering::Relaxed) {
            // For another, then.
            drop(asked);
            return std::future::pending().await;
        }
        asked.forget();
        self.is_asked.store(true, Ordering::Relaxed);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.window.state();
        state.under_way -= 1;
        if self.has_begun.load(Ordering::Relaxed) {
            state.begun -= 1;
        }
        if state.under_way <= state.width {
            self.window.nobody_need_leave();
        } else if !self.is_asked.load(Ordering::Relaxed) {
            // In another's stead.
            self.window.leave.forget_permits(1);
        }
        self.window.offer(&state);
    }
}

#[cfg(test)]
mod tests;
