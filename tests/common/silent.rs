//! A way to a server on which nothing gets through any more after so many bytes, as where a machine has been unplugged.
//! Knows nothing of what goes over it.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Bytes until silence, of all connections together: to the server and back.
#[derive(Clone, Copy)]
pub struct Until {
    pub up: usize,
    pub down: usize,
}

pub const NEVER: usize = usize::MAX;

pub struct Silent {
    pub port: u16,
    is_silent: Arc<AtomicBool>,
}

impl Silent {
    /// A way to the server on `port`.
    pub fn before(port: u16, until: Until) -> Silent {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().port();
        let is_silent = Arc::new(AtomicBool::new(false));
        let (up, down) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let told = Arc::clone(&is_silent);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let ways = [
                    (
                        client.try_clone().unwrap(),
                        server.try_clone().unwrap(),
                        Arc::clone(&up),
                        until.up,
                    ),
                    (server, client, Arc::clone(&down), until.down),
                ];
                for (from, to, went, most) in ways {
                    let told = Arc::clone(&told);
                    thread::spawn(move || carry(from, to, &went, most, &told));
                }
            }
        });
        Silent { port: at, is_silent }
    }

    pub fn address(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    /// Whether it has fallen silent.
    pub fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::SeqCst)
    }
}

/// Takes whatever comes for ever; hands it on until it is too much.
fn carry(mut from: TcpStream, mut to: TcpStream, went: &AtomicUsize, most: usize, is_silent: &AtomicBool) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        let before = went.fetch_add(read, Ordering::SeqCst);
        if before.saturating_add(read) > most {
            is_silent.store(true, Ordering::SeqCst);
        }
        if !is_silent.load(Ordering::SeqCst) && to.write_all(&bytes[..read]).is_err() {
            return;
        }
    }
}
