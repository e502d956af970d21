//! The settings of remote execution and of the remote cache: addresses, headers, TLS, what workers are.
//! Knows nothing of how a server is spoken to; no file is opened.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{SettingError, Values};

/// `remote` and all that begins with it.
#[derive(Clone, Debug, Default)]
pub struct Remote {
    /// `remote-jobs`
    pub jobs: Width,
    /// `remote-local`
    pub local: Local,
    /// `remote`: who executes backends.
    pub server: Option<Address>,
    /// `remote-cache`: whose action cache is used, and how.
    pub cache: Option<(Access, Address)>,
    /// `remote-headers`: names in lower case.
    pub headers: Vec<Header>,
    /// `remote-tls-ca`, `-cert` and `-key`.
    pub tls: Tls,
    /// `remote-platform`: names and values, sorted.
    pub platform: Vec<(String, String)>,
    /// `remote-clang`
    pub clang: RemoteClang,
}

/// How many backends a server is given at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width(pub usize);

impl Default for Width {
    fn default() -> Self {
        Width(1000)
    }
}

/// What runs here while a server executes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Local {
    /// Whatever slots are free for.
    #[default]
    On,
    /// What the server does not do.
    Off,
}

/// `grpc[s]://HOST:PORT[/INSTANCE]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As the user wrote it.
    pub text: String,
    /// Whether the connection is encrypted.
    pub transport: Transport,
    /// `host:port`
    pub authority: String,
    /// Which of the server's instances; empty is its default.
    pub instance: String,
}

/// How bytes go to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As they are.
    Plain,
    /// Encrypted.
    Tls,
}

/// What a remote cache may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Results are looked up.
    ReadOnly,
    /// And put there.
    ReadWrite,
}

/// A header of every call. Its value is a secret: it is in no message.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: String,
    /// Visible ASCII and spaces.
    pub value: String,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

/// PEM files of encrypted connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that may vouch for the server; none: the system's.
    pub ca: Option<PathBuf>,
    /// What we show the server of ourselves: certificate, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Which clang workers run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RemoteClang {
    /// Ours, sent with its libraries.
    #[default]
    Sent,
    /// The one that a worker has at the same path as ours.
    Worker,
    /// The one that a worker has at this path.
    At(PathBuf),
}

const ADDRESS: &str = "grpc://HOST:PORT or grpcs://HOST[:PORT], and /INSTANCE after it where the server has several";
const CACHE: &str = "grpc://HOST:PORT or grpcs://HOST[:PORT], /INSTANCE after it where there are several, read-only: before it if it is not to be filled";
const HEADERS: &str = "NAME=VALUE, several with commas or newlines between; values are ASCII, names do not end in -bin";
const PLATFORM: &str = "NAME=VALUE, several with commas between";
const CLANG: &str = "sent, worker or an absolute path on the worker";

impl Remote {
    pub(super) fn read(values: &Values) -> Result<Remote, SettingError> {
        let remote = Remote {
            server: values.parse("remote", ADDRESS, Address::parse)?,
            cache: values.parse("remote-cache", CACHE, cache)?,
            headers: values.secret("remote-headers", HEADERS, headers)?.unwrap_or_default(),
            tls: Tls {
                ca: values.path("remote-tls-ca"),
                identity: identity(values)?,
            },
            platform: values.parse("remote-platform", PLATFORM, platform)?.unwrap_or_default(),
            clang: values.parse("remote-clang", CLANG, clang)?.unwrap_or_default(),
            jobs: values
                .parse("remote-jobs", "a number from 1", width)?
                .unwrap_or_default(),
            local: values.parse("remote-local", "on or off", local)?.unwrap_or_default(),
        };
        remote.tls_is_used(values)?;
        Ok(remote)
    }

    /// Whoever names certificates expects to be encrypted.
    fn tls_is_used(&self, values: &Values) -> Result<(), SettingError> {
        let addresses: Vec<_> = self.server.iter().chain(self.cache.iter().map(|(_, at)| at)).collect();
        let is_plain = !addresses.is_empty() && addresses.iter().all(|at| at.transport == Transport::Plain);
        let given = ["remote-tls-ca", "remote-tls-cert"]
            .into_iter()
            .find(|name| values.path(name).is_some());
        match given {
            Some(name) if is_plain => Err(values.wrong(name, "to be used, an address that begins with grpcs://")),
            _ => Ok(()),
        }
    }
}

fn identity(values: &Values) -> Result<Option<(PathBuf, PathBuf)>, SettingError> {
    match (values.path("remote-tls-cert"), values.path("remote-tls-key")) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(values.wrong(
            "remote-tls-cert",
            "remote-tls-key to be set as well: a PEM file with its key",
        )),
        (None, Some(_)) => Err(values.wrong(
            "remote-tls-key",
            "remote-tls-cert to be set as well: a PEM file with its certificate",
        )),
    }
}

impl Address {
    fn parse(text: &str) -> Option<Address> {
        let (transport, rest) = match text.split_once("://")? {
            ("grpc", rest) => (Transport::Plain, rest),
            ("grpcs", rest) => (Transport::Tls, rest),
            _ => return None,
        };
        let (authority, instance) = rest.split_once('/').unwrap_or((rest, ""));
        // What is in brackets is an IPv6 address, colons and all.
        let (host, port) = match authority.rfind(']') {
            Some(end) => (&authority[..=end], &authority[end + 1..]),
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port: u16 = match (port.strip_prefix(':'), transport) {
            (Some(port), _) => port.parse().ok().filter(|port| *port > 0)?,
            (None, Transport::Tls) if port.is_empty() => 443,
            _ => return None,
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        let is_good = !host.is_empty() && host.bytes().all(is_host) && !instance.contains(char::is_whitespace);
        is_good.then(|| Address {
            text: text.to_owned(),
            transport,
            authority: format!("{host}:{port}"),
            instance: instance.trim_end_matches('/').to_owned(),
        })
    }
}

fn cache(text: &str) -> Option<(Access, Address)> {
    match text.strip_prefix("read-only:") {
        Some(rest) => Some((Access::ReadOnly, Address::parse(rest)?)),
        None => Some((Access::ReadWrite, Address::parse(text)?)),
    }
}

/// `NAME=VALUE` by newlines if there are any, so that a value may have commas; else by commas.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let separator = if text.trim().contains('\n') { '\n' } else { ',' };
    text.split(separator)
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        })
        .collect()
}

fn headers(text: &str) -> Option<Vec<Header>> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_value = |byte: u8| (b' '..=b'~').contains(&byte);
    pairs(text)?
        .into_iter()
        .map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            // gRPC's binary headers are another kind, which no server here asks for.
            let is_good = name.bytes().all(is_name) && !name.ends_with("-bin") && value.bytes().all(is_value);
            is_good.then_some(Header { name, value })
        })
        .collect()
}

fn platform(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = pairs(text)?;
    // The API: sorted by name, then by value.
    pairs.sort();
    Some(pairs)
}

fn width(text: &str) -> Option<Width> {
    text.parse().ok().filter(|jobs| *jobs > 0).map(Width)
}

fn local(text: &str) -> Option<Local> {
    match text {
        "on" => Some(Local::On),
        "off" => Some(Local::Off),
        _ => None,
    }
}

fn clang(text: &str) -> Option<RemoteClang> {
    match text {
        "sent" => Some(RemoteClang::Sent),
        "worker" => Some(RemoteClang::Worker),
        path => path.starts_with('/').then(|| RemoteClang::At(path.into())),
    }
}

impl Values {
    fn parse<T>(
        &self,
        name: &str,
        expected: &'static str,
        of: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingError> {
        match self.0.get(name) {
            Some((_, value)) if !value.is_empty() => {
                let parsed = std::str::from_utf8(value.as_bytes()).ok().and_then(of);
                parsed.map(Some).ok_or_else(|| self.wrong(name, expected))
            }
            _ => Ok(None),
        }
    }

    /// As `parse`, but a wrong value is not shown.
    fn secret<T>(
        &self,
        name: &str,
        expected: &'static str,
        of: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingError> {
        self.parse(name, expected, of).map_err(|error| match error {
            SettingError::Value { origin, expected, .. } => SettingError::Secret { origin, expected },
            other => other,
        })
    }

    pub(super) fn wrong(&self, name: &str, expected: &'static str) -> SettingError {
        let (origin, value) = self.0.get(name).cloned().unwrap_or_default();
        SettingError::Value {
            origin,
            value: value.to_string_lossy().into_owned(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use std::ffi::OsString;

    fn read(settings: &[(&str, &str)]) -> Result<Remote, String> {
        let own: Vec<_> = settings
            .iter()
            .map(|(n, v)| ((*n).to_owned(), OsString::from(v)))
            .collect();
        Settings::read(|_| None, &own)
            .map(|s| s.remote)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn addresses() {
        for (text, transport, authority, instance) in [
            ("grpc://farm:8980", Transport::Plain, "farm:8980", ""),
            ("grpc://farm:8980/", Transport::Plain, "farm:8980", ""),
            ("grpcs://farm.example.org", Transport::Tls, "farm.example.org:443", ""),
            ("grpcs://[::1]:80/main", Transport::Tls, "[::1]:80", "main"),
            ("grpcs://[::1]/a/b", Transport::Tls, "[::1]:443", "a/b"),
        ] {
            let at = read(&[("remote", text)]).unwrap().server.unwrap();
            assert_eq!(
                (at.transport, &*at.authority, &*at.instance),
                (transport, authority, instance),
                "{text}"
            );
        }
        for text in [
            "farm:8980",
            "http://farm:80",
            "grpc://farm",
            "grpc://:80",
            "grpc://farm:x",
            "grpc://a b:1",
            "grpc://u@h:1",
        ] {
            let error = read(&[("remote", text)]).unwrap_err();
            assert!(
                error.starts_with(&format!("--thinlto-ld-remote={text}: expected grpc://")),
                "{error}"
            );
        }
        assert!(read(&[("remote", "")]).unwrap().server.is_none());
    }

    #[test]
    fn a_cache_is_filled_unless_it_is_read_only() {
        let access = |text| read(&[("remote-cache", text)]).unwrap().cache.unwrap().0;
        assert_eq!(access("grpc://c:1"), Access::ReadWrite);
        assert_eq!(access("read-only:grpc://c:1"), Access::ReadOnly);
    }

    #[test]
    fn headers_by_comma_or_by_line_and_never_shown() {
        let header = |name: &str, value: &str| Header {
            name: name.into(),
            value: value.into(),
        };
        assert_eq!(
            read(&[("remote-headers", "X-API-Key=a=b, y=2")]).unwrap().headers,
            [header("x-api-key", "a=b"), header("y", "2")]
        );
        assert_eq!(
            read(&[("remote-headers", "a=1,2\nb=3\n")]).unwrap().headers,
            [header("a", "1,2"), header("b", "3")]
        );
        for bad in ["secret", "=secret", "a b=secret", "a-bin=secret", "a=secret\u{e9}"] {
            let error = read(&[("remote-headers", bad)]).unwrap_err();
            assert!(
                error.starts_with("--thinlto-ld-remote-headers: expected NAME=VALUE"),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
        let debug = format!("{:?}", read(&[("remote-headers", "a=secret")]).unwrap());
        assert!(!debug.contains("secret"), "{debug}");
    }

    #[test]
    fn platform_is_sorted_and_clang_is_named() {
        let platform = read(&[("remote-platform", "b=2,a=x,a=1")]).unwrap().platform;
        assert_eq!(
            platform,
            [("a", "1"), ("a", "x"), ("b", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
        let clang = |text| read(&[("remote-clang", text)]).map(|r| r.clang);
        assert_eq!(clang("").unwrap(), RemoteClang::Sent);
        assert_eq!(clang("worker").unwrap(), RemoteClang::Worker);
        assert_eq!(
            clang("/usr/bin/clang").unwrap(),
            RemoteClang::At("/usr/bin/clang".into())
        );
        assert!(clang("clang").unwrap_err().contains("absolute path"));
    }

    #[test]
    fn certificates_come_in_pairs_and_are_for_grpcs() {
        assert!(
            read(&[("remote-tls-cert", "c")])
                .unwrap_err()
                .contains("remote-tls-key to be set")
        );
        assert!(
            read(&[("remote-tls-key", "k")])
                .unwrap_err()
                .contains("remote-tls-cert to be set")
        );
        let plain = [("remote", "grpc://f:1"), ("remote-tls-ca", "ca.pem")];
        assert!(read(&plain).unwrap_err().contains("grpcs://"));
        let mixed = [
            ("remote", "grpc://f:1"),
            ("remote-cache", "grpcs://c"),
            ("remote-tls-ca", "ca.pem"),
        ];
        assert_eq!(read(&mixed).unwrap().tls.ca, Some("ca.pem".into()));
    }
}
