//! Where a server is and how it is spoken to: its address, instance, headers and TLS, out of the settings.
//! Knows nothing of what is asked of it; opens no connection.

use std::path::PathBuf;

/// What a remote cache may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Results are looked up.
    ReadOnly,
    /// And put there.
    ReadWrite,
}

/// One server.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// As the user wrote it, for messages.
    pub name: String,
    /// `http://host:port` or `https://host:port`.
    pub uri: String,
    /// Which of the server's instances; empty is its default.
    pub instance: String,
    /// Sent with every call; names in lower case. Values are secret: they are in no message.
    pub headers: Vec<(String, String)>,
    /// None: not encrypted.
    pub tls: Option<Tls>,
}

/// How an encrypted connection is made; all are PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that may vouch for the server; none: the system's.
    pub ca: Option<PathBuf>,
    /// What we show the server of ourselves: certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// An endpoint that the settings do not make.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct EndpointError {
    /// The setting to change, as the environment has it.
    pub setting: String,
    /// What is wrong with it and what it takes.
    pub problem: String,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Endpoint")
            .field("uri", &self.uri)
            .field("instance", &self.instance)
            .field("headers", &names)
            .field("tls", &self.tls)
            .finish()
    }
}
