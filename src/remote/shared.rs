//! What all calls to one server have in common: connections, headers, time limits, and the way an error is told.
//! Knows nothing of what is called.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use tokio::sync::Semaphore;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};
use tonic::transport::{self, Channel};
use tonic::{Request, Response, Status};

use super::alive::Alive;
use super::api::{self, capabilities_client::CapabilitiesClient};
use super::cancel::Cancel;
use super::capabilities::Capabilities;
use super::endpoint::Endpoint;
use super::error::{Kind, RemoteError, with_causes};
use super::farewells::Farewells;
use super::held::Held;
use super::retry::{Patience, patiently};
use super::window::Window;

/// How long a call may take that carries next to nothing.
pub(super) const SHORT: Duration = Duration::from_secs(15);

/// How long it may take until a server has said what it can do: a link waits for it.
const CONNECTING: Duration = Duration::from_secs(5);

/// A network slower than this, in bytes a second, is held to be dead.
const SLOWEST: u64 = 32 << 10;

/// Transfers at once: as many batches may be in memory.
const TRANSFERS: usize = 8;

/// The most that a server's answer may have in one message; they keep to less.
const ANSWER: usize = 64 << 20;

/// The API's header for who is calling, which farms show in their logs.
const WHO: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";

/// Shared by the calls of one client.
#[derive(Debug)]
pub(super) struct Shared {
    pub endpoint: Endpoint,
    transport: transport::Endpoint,
    metadata: MetadataMap,
    channels: Mutex<Channels>,
    pub capabilities: Capabilities,
    /// What the server is known to have.
    pub held: Held,
    pub transfers: Semaphore,
    /// What executions go through.
    pub window: Window,
    pub alive: Alive,
    pub farewells: Farewells,
    up: AtomicU64,
    down: AtomicU64,
    /// Made when the client is closed.
    pub closed: Cancel,
}

/// Two connections, so that no transfer waits for a free stream behind a thousand executions.
#[derive(Debug)]
struct Channels {
    generation: u64,
    calls: Channel,
    waits: Channel,
}

impl Channels {
    fn of(transport: &transport::Endpoint, generation: u64) -> Channels {
        Channels {
            generation,
            calls: transport.connect_lazy(),
            waits: transport.connect_lazy(),
        }
    }
}

/// A connection, and which one it is.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub channel: Channel,
    generation: u64,
}

impl Shared {
    /// Asks the server what it can do.
    pub(super) async fn connect(endpoint: &Endpoint) -> Result<Shared, RemoteError> {
        let transport = endpoint.transport()?;
        let mut shared = Shared {
            metadata: metadata(endpoint)?,
            channels: Mutex::new(Channels::of(&transport, 0)),
            transport,
            endpoint: endpoint.clone(),
            capabilities: Capabilities::none(),
            held: Held::default(),
            transfers: Semaphore::new(TRANSFERS),
            window: Window::default(),
            alive: Alive::default(),
            farewells: Farewells::default(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            closed: Cancel::new(),
        };
        let asked = async { patiently!(Patience::short(), shared.ask("connecting")) };
        let server = tokio::time::timeout(CONNECTING, asked).await.unwrap_or_else(|_| {
            let words = format!("no answer within {} s", CONNECTING.as_secs());
            Err(endpoint.error(Kind::Unreachable, "connecting", words))
        })?;
        shared.capabilities = Capabilities::of(&server).map_err(|lacking| {
            let words = format!("the server does not offer {lacking}");
            endpoint.error(Kind::Unsupported(lacking), "connecting", words)
        })?;
        Ok(shared)
    }

    /// The server's capabilities: also the cheapest question there is, for whether it is still there.
    pub(super) async fn ask(&self, doing: &'static str) -> Result<api::ServerCapabilities, RemoteError> {
        let line = self.calls();
        let mut client = CapabilitiesClient::new(line.channel.clone());
        let request = self.request(api::GetCapabilitiesRequest {
            instance_name: self.instance(),
        });
        self.limited(doing, &line, SHORT, client.get_capabilities(request))
            .await
    }

    pub(super) fn instance(&self) -> String {
        self.endpoint.address.instance.clone()
    }

    /// For calls that end by themselves.
    pub(super) fn calls(&self) -> Line {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        Line {
            channel: channels.calls.clone(),
            generation: channels.generation,
        }
    }

    /// For calls that last as long as what they wait for.
    pub(super) fn waits(&self) -> Line {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        Line {
            channel: channels.waits.clone(),
            generation: channels.generation,
        }
    }

    /// Nobody answers on this line: the next call connects anew. Else it would wait until the kernel gives up, in a quarter of an hour.
    pub(super) fn give_up(&self, line: &Line) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if channels.generation == line.generation {
            *channels = Channels::of(&self.transport, line.generation + 1);
        }
    }

    /// With the user's headers and our name.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        request
    }

    /// A call's answer, if it comes in time.
    pub(super) async fn limited<T>(
        &self,
        doing: &'static str,
        line: &Line,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, RemoteError> {
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer
                .map(Response::into_inner)
                .map_err(|status| self.status(doing, &status)),
            Err(_) => Err(self.silent(doing, line, limit)),
        }
    }

    /// The server has said nothing for so long.
    pub(super) fn silent(&self, doing: &'static str, line: &Line, limit: Duration) -> RemoteError {
        self.give_up(line);
        self.error(
            Kind::Unreachable,
            doing,
            format!("no answer within {} s", limit.as_secs()),
        )
    }

    pub(super) fn error(&self, kind: Kind, doing: &'static str, words: impl Into<Box<str>>) -> RemoteError {
        self.endpoint.error(kind, doing, words)
    }

    pub(super) fn status(&self, doing: &'static str, status: &Status) -> RemoteError {
        RemoteError::of_status(self.endpoint.name(), doing, status)
    }

    pub(super) fn count_up(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_down(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes up and down.
    pub(super) fn counted(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }
}

/// How long a call may take that carries so many bytes, while as many others do as may.
pub(super) fn limit(bytes: u64) -> Duration {
    SHORT + Duration::from_secs(bytes * TRANSFERS as u64 / SLOWEST)
}

/// The limits of messages that a generated client is to have.
macro_rules! sized {
    ($client:expr) => {
        $client.max_decoding_message_size($crate::remote::shared::answer())
    };
}
pub(super) use sized;

pub(super) const fn answer() -> usize {
    ANSWER
}

fn metadata(endpoint: &Endpoint) -> Result<MetadataMap, RemoteError> {
    let mut metadata = endpoint.metadata()?;
    let who = api::RequestMetadata {
        tool_details: Some(api::ToolDetails {
            tool_name: env!("CARGO_PKG_NAME").to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        tool_invocation_id: super::stream::uuid(),
        ..Default::default()
    };
    metadata.insert_bin(WHO, BinaryMetadataValue::from_bytes(&who.encode_to_vec()));
    Ok(metadata)
}

impl Capabilities {
    /// Before the server was asked.
    fn none() -> Capabilities {
        Capabilities {
            batch_bytes: 0,
            blob_bytes: 0,
            batch_zstd: false,
            stream_zstd: false,
            can_remember: false,
            executes: false,
            priorities: Vec::new(),
        }
    }
}

/// What went wrong in a task of ours, which is a fault of the program.
pub(super) fn task_failed(shared: &Shared, doing: &'static str, error: &tokio::task::JoinError) -> RemoteError {
    shared.error(Kind::Local, doing, with_causes(error))
}
