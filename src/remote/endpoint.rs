//! Where a server is and how it is spoken to: its address, instance, headers and TLS, out of the settings.
//! Knows nothing of what is asked of it; opens no connection.

use std::path::Path;
use std::time::Duration;

use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{self, Certificate, ClientTlsConfig, Identity};

use crate::settings::remote::{Access, Address, Header, Remote, Tls, Transport};

use super::error::{Kind, RemoteError, with_causes};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// After this much silence the kernel asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// What may be on its way unread, of one stream and of all: enough for a fast network that is far away.
const WINDOWS: (u32, u32) = (2 << 20, 16 << 20);

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where, and which instance.
    pub address: Address,
    /// Sent with every call.
    pub headers: Vec<Header>,
    /// For `grpcs://`.
    pub tls: Tls,
}

impl Endpoint {
    /// Who executes backends, if anyone.
    pub fn of_server(settings: &Remote) -> Option<Endpoint> {
        settings.server.as_ref().map(|address| Endpoint::of(address, settings))
    }

    /// Whose action cache is used, if anyone's, and how.
    pub fn of_cache(settings: &Remote) -> Option<(Access, Endpoint)> {
        let (access, address) = settings.cache.as_ref()?;
        Some((*access, Endpoint::of(address, settings)))
    }

    fn of(address: &Address, settings: &Remote) -> Endpoint {
        Endpoint {
            address: address.clone(),
            headers: settings.headers.clone(),
            tls: settings.tls.clone(),
        }
    }

    /// As the user wrote it.
    pub fn name(&self) -> &str {
        &self.address.text
    }

    /// How tonic connects to it.
    ///
    /// # Errors
    /// A PEM file that cannot be read, or is none.
    pub(super) fn transport(&self) -> Result<transport::Endpoint, RemoteError> {
        let scheme = match self.address.transport {
            Transport::Plain => "http",
            Transport::Tls => "https",
        };
        let endpoint = transport::Endpoint::from_shared(format!("{scheme}://{}", self.address.authority))
            .and_then(|endpoint| endpoint.user_agent(concat!("thinlto-ld/", env!("CARGO_PKG_VERSION"))))
            .map_err(|error| self.local(with_causes(&error)))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(KEEPALIVE))
            .tcp_keepalive_interval(Some(KEEPALIVE / 2))
            .tcp_keepalive_retries(Some(3))
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1);
        match self.address.transport {
            Transport::Plain => Ok(endpoint),
            Transport::Tls => endpoint
                .tls_config(self.tls_config()?)
                .map_err(|error| self.local(with_causes(&error))),
        }
    }

    fn tls_config(&self) -> Result<ClientTlsConfig, RemoteError> {
        let config = ClientTlsConfig::new();
        let config = match &self.tls.ca {
            None => config.with_native_roots(),
            Some(ca) => config.ca_certificate(Certificate::from_pem(self.pem(ca)?)),
        };
        Ok(match &self.tls.identity {
            None => config,
            Some((cert, key)) => config.identity(Identity::from_pem(self.pem(cert)?, self.pem(key)?)),
        })
    }

    fn pem(&self, path: &Path) -> Result<Vec<u8>, RemoteError> {
        std::fs::read(path).map_err(|error| self.local(format!("{}: {error}", path.display())))
    }

    /// The headers as tonic has them.
    ///
    /// # Errors
    /// One that HTTP does not take.
    pub(super) fn metadata(&self) -> Result<MetadataMap, RemoteError> {
        let mut metadata = MetadataMap::new();
        for Header { name, value } in &self.headers {
            let pair = AsciiMetadataKey::from_bytes(name.as_bytes())
                .ok()
                .zip(AsciiMetadataValue::try_from(value.as_str()).ok());
            let (name, value) = pair.ok_or_else(|| self.local(format!("{name} cannot be the name of a header")))?;
            metadata.append(name, value);
        }
        Ok(metadata)
    }

    fn local(&self, words: String) -> RemoteError {
        self.error(Kind::Local, "connecting", words)
    }

    /// An error of this server.
    pub(super) fn error(&self, kind: Kind, doing: &'static str, words: impl Into<Box<str>>) -> RemoteError {
        RemoteError {
            kind,
            endpoint: self.name().into(),
            doing,
            words: words.into(),
            retry_after: None,
        }
    }
}
