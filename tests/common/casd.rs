//! A real server of the Remote Execution API on this machine: buildbox-casd, with a folder and a port of its own.
//! Knows nothing of what is executed; `tests/remote/casd.sh` brings the programs.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::ffi::OsString;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thinlto_ld::remote::{Client, Endpoint};
use thinlto_ld::settings::Settings;

pub struct Casd {
    /// Its cache, its log.
    dir: TempDir,
    pub port: u16,
    child: Option<Child>,
    more: Vec<String>,
    /// What workers have of this machine.
    mounts: &'static [&'static str],
}

/// A whole system.
const SYSTEM: &[&str] = &["/usr:/usr", "/usr/lib:/lib", "/usr/lib64:/lib64", "/usr/bin:/bin"];

impl Casd {
    pub fn start() -> Casd {
        Casd::with(&[])
    }

    /// Whose workers have nothing but what is sent to them.
    pub fn bare() -> Casd {
        Casd::of(&[], &[])
    }

    /// With options of its own.
    pub fn with(more: &[&str]) -> Casd {
        Casd::of(more, SYSTEM)
    }

    fn of(more: &[&str], mounts: &'static [&'static str]) -> Casd {
        let mut casd = Casd {
            mounts,
            dir: tempfile::tempdir().unwrap(),
            port: 0,
            child: None,
            more: more.iter().map(|option| (*option).to_owned()).collect(),
        };
        // Between asking for a free port and using it another may take it.
        for _ in 0..10 {
            casd.port = free_port();
            if casd.try_start() {
                return casd;
            }
        }
        panic!("{}", casd.log());
    }

    /// Again, on the same port and with what it had.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.try_start(), "{}", self.log());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn address(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    pub fn endpoint(&self) -> Endpoint {
        endpoint(&[("remote", &self.address())])
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.endpoint()).unwrap()
    }

    /// Where it keeps what it has.
    pub fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn try_start(&mut self) -> bool {
        let programs = programs();
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.dir.path().join("log"))
            .unwrap();
        // Ends with the test, whatever ends that.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(programs.join("buildbox-casd"));
        command.arg(format!("--bind=127.0.0.1:{}", self.port));
        command.arg(format!("--buildbox-run={}/buildbox-run", programs.display()));
        command.args(["--jobs=2", "--cache-failures=false", "--quota-high=2G"]);
        for mount in self.mounts {
            command.arg(format!("--runner-arg=--ro-bind-mount={mount}"));
        }
        command.args(&self.more).arg(self.cache());
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut child = command.spawn().unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.child = Some(child);
                return true;
            }
            sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        false
    }
}

impl Drop for Casd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The endpoint of these settings.
pub fn endpoint(settings: &[(&str, &str)]) -> Endpoint {
    let own: Vec<_> = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
        .collect();
    let settings = Settings::read(|_| None, &own).unwrap();
    Endpoint::of_server(&settings.remote).unwrap()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn programs() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/remote/casd.sh");
    let output = Command::new("sh")
        .arg(script)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().into()
}
