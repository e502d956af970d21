//! Which engine runs backends here: the one asked for, or the next best, and why.
//! Knows nothing of the backends but their number, nor of those that run elsewhere.

use std::path::Path;

use super::forkserver::{self, ForkServer, Load, NoServer};
use super::launcher::Launcher;
use super::process::Engine;
use super::served::Served;
use crate::children::Children;
use crate::observe::stats;
use crate::settings::EngineKind;
use crate::staging::Staging;

/// An engine, and why it is not the one that was asked for.
#[derive(Debug)]
pub struct Chosen {
    /// What runs backends.
    pub engine: Engine,
    /// Where it is another than was asked for.
    pub fallback: Option<String>,
}

impl Chosen {
    /// What was asked for, for so many backends; where a fork server cannot be had, plain processes.
    pub fn of(
        asked: EngineKind,
        ahead: Option<Result<ForkServer, NoServer>>,
        backends: usize,
        clang: &Path,
        staging: &Staging,
        children: &Children,
    ) -> Chosen {
        let load = Load::of(backends);
        let server = match (asked, ahead) {
            _ if backends == 0 => None,
            (EngineKind::Process, _) => None,
            (_, Some(Ok(server))) if server.bears(load) => Some(Ok(server)),
            (_, Some(Err(error))) => Some(Err(error)),
            (_, None) if backends < forkserver::WORTH_IT => None,
            _ => Some(ForkServer::start(clang, staging, load, children)),
        };
        let (engine, fallback) = match server {
            Some(Ok(server)) => (Engine::ForkServer(Box::new(Served::by(server))), None),
            Some(Err(error)) => {
                tracing::info!("{error}; plain processes are used");
                (Engine::Process, Some(error.to_string()))
            }
            None => (Engine::Process, None),
        };
        Chosen { engine, fallback }
    }

    /// Every backend is started through a command, whatever the engine that was asked for: what a server forks nobody starts.
    pub fn launched(launcher: Launcher, asked: EngineKind) -> Chosen {
        let fallback = (asked == EngineKind::ForkServer).then(|| "a launcher starts a process for each".to_owned());
        Chosen {
            engine: Engine::Launched(launcher),
            fallback,
        }
    }

    /// Says in the stats what runs so many backends.
    pub fn tell(&self, backends: usize, counts: &mut stats::Backends) {
        if backends == 0 {
            return;
        }
        counts.engine = Some(self.engine.name());
        // Who has a reason already has known it before there was an engine.
        if self.fallback.is_some() {
            counts.engine_fallback.clone_from(&self.fallback);
        }
        if let Engine::Launched(launcher) = &self.engine {
            counts.launcher = Some(launcher.text());
        }
    }
}
