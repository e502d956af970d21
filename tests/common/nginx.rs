//! nginx before another server, as farms have it: TLS, client certificates, API keys, limits.
//! Knows nothing of what passes through it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::casd::free_port;

pub struct Nginx {
    /// Certificates, configuration, log.
    dir: TempDir,
    pub port: u16,
    child: Child,
}

impl Nginx {
    /// Before the server at this port. Only those with a certificate of ours and `x-api-key: KEY` are let in.
    pub fn before(server: u16, key: &str) -> Nginx {
        let dir = tempfile::tempdir().unwrap();
        certificates(dir.path());
        let folder = dir.path().display();
        let who = format!(
            "ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
             ssl_client_certificate {folder}/ca.pem; ssl_verify_client on;
             if ($http_x_api_key != '{key}') {{ return 401; }}
             location / {{ grpc_pass grpc://127.0.0.1:{server}; grpc_read_timeout 1h; }}"
        );
        Nginx::with(dir, "ssl http2", "", &who)
    }

    /// Before the server at this port, which is to have no more executions at once than this.
    pub fn narrow(server: u16, executions: usize) -> Nginx {
        let pass = format!("grpc_pass grpc://127.0.0.1:{server}; grpc_read_timeout 1h;");
        let how = format!(
            "location / {{ {pass} }}
             location /build.bazel.remote.execution.v2.Execution/ {{ limit_conn all {executions}; limit_conn_status 429; {pass} }}"
        );
        let zone = "limit_conn_zone $server_port zone=all:1m;";
        Nginx::with(tempfile::tempdir().unwrap(), "http2", zone, &how)
    }

    fn with(dir: TempDir, listen: &str, common: &str, server: &str) -> Nginx {
        for _ in 0..10 {
            let port = free_port();
            if let Some(child) = start(dir.path(), port, listen, common, server) {
                return Nginx { dir, port, child };
            }
        }
        panic!("{}", fs::read_to_string(dir.path().join("log")).unwrap_or_default());
    }

    /// By TLS.
    pub fn address(&self) -> String {
        format!("grpcs://localhost:{}", self.port)
    }

    /// Without it.
    pub fn plain_address(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    /// How often it has had too many at once.
    pub fn refusals(&self) -> usize {
        let log = fs::read_to_string(self.file("log")).unwrap();
        log.matches("limiting connections").count()
    }

    /// `ca.pem`, `client.pem`, `client.key`; `other.pem` and `other.key` are of another authority.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn start(dir: &Path, port: u16, listen: &str, common: &str, server: &str) -> Option<Child> {
    let dir = dir.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {dir}/{what};"))
        .join(" ");
    let configuration = format!(
        "daemon off; master_process off; pid {dir}/pid; error_log {dir}/log;
         events {{}}
         http {{
           access_log off; {temporary} client_max_body_size 0; {common}
           server {{ listen 127.0.0.1:{port} {listen}; {server} }}
         }}"
    );
    let file = format!("{dir}/nginx.conf");
    fs::write(&file, configuration).unwrap();
    // Ends with the test, whatever ends that.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "nginx", "-p"])
        .arg(dir.to_string());
    command.args(["-e", &format!("{dir}/log"), "-c", &file]);
    command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap()));
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(30) && child.try_wait().unwrap().is_none() {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(child);
        }
        sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    child.wait().unwrap();
    None
}

fn certificates(dir: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        let output = command.args(arguments.split(' ')).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(&format!(
        "req -x509 {new} -keyout ca.key -out ca.pem -subj /CN=authority"
    ));
    openssl(&format!(
        "req -x509 {new} -keyout other.key -out other.pem -subj /CN=other"
    ));
    for (name, alternative) in [("server", "DNS:localhost"), ("client", "DNS:client")] {
        let addition = format!("-subj /CN={name} -addext subjectAltName={alternative}");
        openssl(&format!("req {new} -keyout {name}.key -out {name}.csr {addition}"));
        let signed = "-CA ca.pem -CAkey ca.key -days 2 -copy_extensions copy";
        openssl(&format!("x509 -req -in {name}.csr -out {name}.pem {signed}"));
    }
}
