//! How many executions are at the server at once: fewer after it has said that it is full, then by and by more again, as TCP
//! does it with a network. Knows nothing of what is executed, nor of what is to be done about a server that takes none.

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

#[derive(Debug)]
struct State {
    width: usize,
    under_way: usize,
    /// Those that went well since it was last made wider.
    ended_well: usize,
    narrowed: Option<Instant>,
}

impl Default for Window {
    /// As wide as anybody asks, until the server has something against it.
    fn default() -> Self {
        Window {
            state: Mutex::new(State {
                width: usize::MAX,
                under_way: 0,
                ended_well: 0,
                narrowed: None,
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
    has_begun: AtomicBool,
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

    /// Waits for room.
    pub(super) async fn enter(&self) -> Place<'_> {
        loop {
            // Listened for before it is looked, that none is missed in between.
            let room = self.room.notified();
            {
                let mut state = self.state();
                if state.under_way < state.width {
                    state.under_way += 1;
                    if state.under_way < state.width {
                        self.room.notify_one();
                    }
                    return Place {
                        window: self,
                        since: Instant::now(),
                        has_begun: AtomicBool::new(false),
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
    pub(super) fn is_refused(&self) -> Fullness {
        let mut state = self.window.state();
        if state.under_way <= 1 {
            return Fullness::Others;
        }
        if state.narrowed.is_none_or(|narrowed| narrowed < self.since) {
            state.width = (state.under_way / 2).max(1);
            state.narrowed = Some(Instant::now());
            state.ended_well = 0;
            let width = state.width;
            // We are about to leave too.
            let over = (state.under_way - 1).saturating_sub(width);
            self.window.leave.forget_permits(usize::MAX >> 4);
            self.window.leave.add_permits(over);
            tracing::info!(width, "the server is full: fewer executions at once");
        }
        Fullness::Ours
    }

    /// It ended well: when all of a width have, there may be room for one more.
    pub(super) fn ended_well(&self) {
        let mut state = self.window.state();
        state.ended_well += 1;
        if state.width != usize::MAX && state.ended_well >= state.width {
            state.width += 1;
            state.ended_well = 0;
        }
    }

    /// A worker is at it: it is soon over, and is not asked to leave.
    pub(super) fn begins(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    /// Until it is asked to leave.
    pub(super) async fn is_wanted(&self) {
        let Ok(asked) = self.window.leave.acquire().await else {
            return;
        };
        if self.has_begun.load(Ordering::Relaxed) {
            // For another, then.
            drop(asked);
            return std::future::pending().await;
        }
        asked.forget();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.window.state();
        state.under_way -= 1;
        if state.under_way < state.width {
            self.window.room.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
