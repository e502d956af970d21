//! What can be had of servers before it is known what to ask of them: connections, and the compiler made ready to be sent.
//! Knows nothing of the link, so that it goes on while that is read and thin-linked.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{NoWay, Whose, worker_clang};
use crate::backend::forkserver::LIBRARY;
use crate::cache::{Cache, Digests};
use crate::remote::compiler::{CannotTravel, Compiler};
use crate::remote::{Cancel, Client, Digest, Endpoint, RemoteError};
use crate::settings::EngineKind;
use crate::settings::Settings;
use crate::settings::remote::{Access, Local, RemoteClang};
use crate::staging::Staging;
use crate::stamp::Stamp;
use crate::threads::beside;
use crate::toolchain::Clang;

/// How often it is looked whether a connection has been made, or is no longer wanted.
const GLANCE: Duration = Duration::from_millis(2);

/// What the settings ask for.
#[derive(Clone, Debug)]
pub struct Wanted {
    server: Option<Endpoint>,
    cache: Option<(Access, Endpoint)>,
    remote_clang: RemoteClang,
    pub(super) platform: Vec<(String, String)>,
    pub(super) jobs: usize,
    pub(super) local: Local,
    clang: Clang,
    guard: PathBuf,
    memo: Option<PathBuf>,
}

/// Being made ready.
#[derive(Debug)]
pub struct Ahead {
    pub(super) wanted: Wanted,
    thread: JoinHandle<Ready>,
}

/// What is there, and why the rest is not.
#[derive(Debug)]
pub(super) struct Ready {
    /// Who executes.
    pub(super) server: Option<Result<Arc<Client>, RemoteError>>,
    /// Whose results are used.
    pub(super) cache: Option<(Access, Result<Arc<Client>, RemoteError>)>,
    /// Whether both are the same server.
    pub(super) is_one: bool,
    pub(super) compiler: Result<Compiler, CannotTravel>,
    pub(super) contents: Contents,
}

impl Wanted {
    /// None where no server is asked for.
    pub fn by(settings: &Settings, clang: &Clang, cache: Option<&Cache>, staging: &Staging) -> Option<Wanted> {
        let server = (settings.engine == EngineKind::Remote).then(|| Endpoint::of_server(&settings.remote));
        let server = server.flatten();
        let shared = Endpoint::of_cache(&settings.remote);
        (server.is_some() || shared.is_some()).then(|| Wanted {
            server,
            cache: shared,
            remote_clang: settings.remote.clang.clone(),
            platform: settings.remote.platform.clone(),
            jobs: settings.remote.jobs.0,
            local: settings.remote.local,
            clang: clang.clone(),
            guard: staging.path("guard.so"),
            memo: cache.map(Cache::remote_memo),
        })
    }

    /// Whether backends are executed by a server.
    pub(super) fn executes(&self) -> bool {
        self.server.is_some()
    }

    /// The server, as the user names it.
    pub(super) fn server(&self) -> &str {
        self.server.as_ref().map_or("", Endpoint::name)
    }

    /// Begins. What is put into the staging folder is put there now, for that may go before this has ended.
    ///
    /// # Errors
    /// There is no thread to wait for servers.
    pub fn begin(self) -> Result<Ahead, NoWay> {
        let wanted = self.clone();
        if self.remote_clang == RemoteClang::Sent
            && let Err(error) = std::fs::write(&self.guard, LIBRARY)
        {
            // The loader will miss it.
            tracing::debug!(%error, "{}", self.guard.display());
        }
        let thread = thread::Builder::new().spawn(move || self.make());
        let thread = thread.map_err(|error| NoWay::Unknown(format!("no thread can be started: {error}")))?;
        Ok(Ahead { wanted, thread })
    }

    fn make(self) -> Ready {
        let contents = Contents::open(self.memo.as_deref());
        let connect = |endpoint: &Endpoint| Client::connect(endpoint).map(Arc::new);
        // Threads of their own: they wait, and the pool's have work.
        let to_server = || self.server.as_ref().map(connect);
        // Also of one that executes a connection of its own: that may be closed while objects are still on their way.
        let cache = self.cache.as_ref();
        let to_cache = || cache.map(|(access, cache)| (*access, connect(cache)));
        let (server, cache, compiler) = thread::scope(|scope| {
            let (server, cache) = (beside(scope, &to_server), beside(scope, &to_cache));
            let compiler = self.compiler(&contents);
            (server.joined(), cache.joined(), compiler)
        });
        let is_one = self.cache.as_ref().map(|(_, cache)| cache) == self.server.as_ref();
        Ready {
            server,
            cache,
            is_one,
            compiler,
            contents,
        }
    }

    /// Where workers have a clang of their own, if that is to be used.
    fn on_worker(&self) -> Option<String> {
        let path = match &self.remote_clang {
            RemoteClang::Sent => return None,
            RemoteClang::Worker => &self.clang.path,
            RemoteClang::At(path) => path,
        };
        Some(path.to_string_lossy().into_owned())
    }

    /// Why workers' own clang cannot be used, if it is to be and cannot.
    pub(super) fn refused(&self, client: &Client, cancel: &Cancel) -> Option<String> {
        let path = self.on_worker()?;
        worker_clang::refused(client, &path, self.clang.version, &self.platform, cancel)
    }

    fn compiler(&self, contents: &Contents) -> Result<Compiler, CannotTravel> {
        match self.on_worker() {
            Some(path) => Compiler::on_worker(&path, &self.clang.version.to_string(), LIBRARY),
            None => {
                let digest = |path: &Path| contents.of(path).map(|(digest, _)| digest);
                Compiler::travelling(&self.clang.path, LIBRARY, &self.guard, digest)
            }
        }
    }
}

impl Ahead {
    /// Waits until all is there; none where everything `is_over` before.
    pub(super) fn ready(self, is_over: &dyn Fn() -> bool) -> Option<Ready> {
        while !self.thread.is_finished() {
            if is_over() {
                return None;
            }
            thread::sleep(GLANCE);
        }
        let ready = self.thread.join();
        Some(ready.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }

    /// Whether backends are executed by a server.
    pub(in crate::backend) fn executes(&self) -> bool {
        self.wanted.executes()
    }

    /// Whose clang compiles elsewhere.
    pub(in crate::backend) fn whose(&self) -> Whose {
        match self.wanted.remote_clang {
            RemoteClang::Sent => Whose::Ours,
            RemoteClang::Worker | RemoteClang::At(_) => Whose::Workers,
        }
    }

    /// What runs here meanwhile.
    pub(in crate::backend) fn local(&self) -> Local {
        self.wanted.local
    }
}

/// Digests of files as remote execution has them, each file hashed once in its life.
#[derive(Debug)]
pub(super) struct Contents(Digests);

impl Contents {
    fn open(memo: Option<&Path>) -> Contents {
        Contents(Digests::of_kind(sha256, memo))
    }

    /// The digest of a file, and the stamp it was read under.
    pub(super) fn of(&self, path: &Path) -> io::Result<(Digest, Stamp)> {
        let (hash, stamp) = self.0.with_stamp(path)?;
        let size = stamp.size;
        Ok((Digest { hash, size }, stamp))
    }

    /// Remembers them for later links.
    pub(super) fn save(&self) {
        if let Err(error) = self.0.save() {
            tracing::debug!("digests not kept: {error}");
        }
    }
}

fn sha256(file: &File) -> io::Result<[u8; 32]> {
    Digest::of_reader(file).map(|digest| digest.hash)
}
