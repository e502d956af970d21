//! Backends by remote execution and by a shared action cache: which of them travel, who is asked, and what becomes of the
//! answers. Knows nothing of what runs here, but that all can: a server that fails makes a link slower and nothing else.

mod action;
mod ahead;
mod farm;
mod files;
mod fill;
mod looks;
mod receive;
mod watch;
mod worker_clang;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use action::Stays;
pub use ahead::{Ahead, Wanted};
pub(super) use farm::Farm;
pub(super) use looks::Lookups;

use super::jobs::Jobs;
use super::process::{self, Failure};
use crate::observe::stats;
use crate::remote::{Client, Endpoint};
use crate::settings::remote::Access;
use crate::settings::{EngineKind, Settings};
use action::Action;
use fill::{Filler, Offer};
use receive::Received;

/// What the backends of a link have to do with servers: who fills the cache, and what came of it all.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) whose: Whose,
    /// By job; of those that have one.
    actions: Vec<OnceLock<Action>>,
    filler: OnceLock<Filler>,
    account: Mutex<Account>,
    /// The servers that were asked.
    clients: Mutex<Vec<Arc<Client>>>,
}

/// Whose clang it is that compiles elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Ours, sent along: its objects are as good as those made here.
    Ours,
    /// Workers' own: it says that it is of our version, and may be another all the same.
    Workers,
}

/// Why objects made here are not for a cache of theirs.
const OF_WORKERS: &str = "not filled: workers' own clang is another (THINLTO_LD_REMOTE_CLANG)";

/// What the stats tell.
#[derive(Debug, Default)]
struct Account {
    /// Backends that could not travel, by why.
    stay: BTreeMap<String, usize>,
    /// Backends that were to be executed remotely and were not, by number.
    refused: HashSet<usize>,
    /// How many of them were compiled here.
    fell_back: usize,
    /// Why; the first reason there was.
    why: Option<String>,
    /// Why there is no shared cache.
    cache_off: Option<String>,
    /// Why one that is used is not filled, as the settings have it.
    unfilled: Option<&'static str>,
}

impl Sharing {
    /// Of so many jobs.
    pub(super) fn of(jobs: usize, whose: Whose) -> Sharing {
        Sharing {
            whose,
            actions: (0..jobs).map(|_| OnceLock::new()).collect(),
            filler: OnceLock::new(),
            account: Mutex::default(),
            clients: Mutex::default(),
        }
    }

    /// These are asked; what goes to and from them is counted in the end.
    fn asks<'a>(&self, clients: impl Iterator<Item = &'a Arc<Client>>) {
        let mut asked = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        asked.extend(clients.cloned());
    }

    /// From now on what is compiled here is put into this cache, if it may be.
    fn fill(&self, access: Access, client: &Arc<Client>) {
        match (access, self.whose) {
            (Access::ReadOnly, _) => {}
            (Access::ReadWrite, Whose::Ours) => {
                let _ = self.filler.set(Filler::new(Arc::clone(client)));
            }
            (Access::ReadWrite, Whose::Workers) => self.account().unfilled = Some(OF_WORKERS),
        }
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Job `at` has been compiled here: its object is for everybody who uses the cache, if it is one to be kept.
    pub(super) fn offer(&self, jobs: &dyn Jobs, at: usize, said: &str) {
        let (Some(filler), Some(action)) = (self.filler.get(), self.actions.get(at).and_then(OnceLock::get)) else {
            return;
        };
        let Some(said) = action::said_away(jobs, at, said) else {
            return;
        };
        if !jobs.is_unchanged(at) || !action.holds() {
            return;
        }
        match std::fs::read(jobs.object(at)) {
            Ok(object) => filler.offer(Offer {
                action: action.digest,
                object,
                said,
            }),
            Err(error) => tracing::debug!(%error, "not shared"),
        }
    }

    /// Job `at` has been compiled here.
    pub(super) fn ran_here(&self, at: usize) {
        let mut account = self.account();
        account.fell_back += usize::from(account.refused.contains(&at));
    }

    /// Waits for what is on its way to the cache, unless all `is_over`, and tells of everything, once.
    pub(super) fn finish(
        &mut self,
        is_over: &(dyn Fn() -> bool + Sync),
        counts: &mut stats::Backends,
        bytes: &mut Option<stats::Bytes>,
    ) {
        if let Some(why) = self.filler.take().and_then(|filler| filler.finish(is_over)) {
            self.account().cache_off.get_or_insert(why);
        }
        let account = std::mem::take(&mut *self.account());
        if let Some(why) = &account.why {
            tracing::warn!("{why}: {} backends were compiled here instead", account.fell_back);
        }
        if let Some(why) = &account.cache_off {
            tracing::warn!("the remote cache is left alone: {why}");
        }
        counts.remote_fell_back = account.fell_back;
        counts.remote_fallback = account.why;
        counts.remote_stay = account.stay;
        counts.remote_cache_off = account.cache_off.or(account.unfilled.map(str::to_owned));
        let clients = std::mem::take(&mut *self.clients.lock().unwrap_or_else(PoisonError::into_inner));
        let traffic = clients.iter().map(|client| client.traffic());
        *bytes = Some(traffic.fold(stats::Bytes::default(), |sum, traffic| stats::Bytes {
            up: sum.up + traffic.up,
            down: sum.down + traffic.down,
        }));
    }
}

/// Why nothing is shared, whatever the settings say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// What it does to objects no action tells.
    #[error("a launcher")]
    Launcher,
    /// What is run cannot be told: why.
    #[error("{0}")]
    Unknown(String),
}

impl NoWay {
    /// For people: why no server executes, and why no cache is shared.
    fn explained(&self) -> [String; 2] {
        match self {
            NoWay::Launcher => [
                "a launcher starts backends here alone (THINLTO_LD_LAUNCHER)",
                "a launcher may change objects (THINLTO_LD_LAUNCHER)",
            ]
            .map(str::to_owned),
            NoWay::Unknown(why) => [why, why].map(Clone::clone),
        }
    }
}

/// Says that no server is asked, of those that the settings name.
pub fn no_way_through(settings: &Settings, why: &NoWay, counts: &mut stats::Backends) {
    let [alone, unshared] = why.explained();
    if settings.engine == EngineKind::Remote {
        counts.remote_fallback = Some(why.to_string());
        tracing::warn!("{alone}: the server is not asked");
    }
    if Endpoint::of_cache(&settings.remote).is_some() {
        counts.remote_cache_off = Some(why.to_string());
        tracing::warn!("{unshared}: the remote cache is left alone");
    }
}

/// Puts what was received in an object's place, if it is an object; what is wrong with it, if it is none.
fn place(received: &Received, beside: &Path) -> Option<&'static str> {
    match std::fs::write(beside, &received.object) {
        Ok(()) => process::flaw(beside),
        Err(error) => {
            tracing::debug!(%error, "{}", beside.display());
            Some("an object that cannot be written")
        }
    }
}

/// Moves an object that is the first of its job's to its place, which may be in another file system.
pub(super) fn settle(from: &Path, object: &Path) -> std::io::Result<()> {
    match std::fs::rename(from, object) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            std::fs::copy(from, object).inspect_err(|_| {
                // Half of it is worse than none.
                let _ = std::fs::remove_file(object);
            })?;
            // What is left there goes with the folder.
            let _ = std::fs::remove_file(from);
            Ok(())
        }
        renamed => renamed,
    }
}

/// What one end of a backend made.
pub type Ended = Result<Ran, Failure>;

/// A backend's end.
#[derive(Debug)]
pub struct Ran {
    /// What clang said.
    pub stderr: String,
    /// Who ran it.
    pub by: By,
}

/// Who ran a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// This machine.
    Here,
    /// A worker.
    Worker,
    /// Somebody, before; it came from a shared cache.
    Cache,
}
