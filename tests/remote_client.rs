//! The client of remote execution against a real server: what is sent, executed and fetched, and what is said when it cannot be.
//! Knows nothing of links; the actions here are shell commands.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::casd::{Casd, endpoint, free_port};
use common::nginx::Nginx;
use thinlto_ld::remote::{Blob, CacheLookup, Cancel, Client, Digest, Executed, Execution, Kind, Sent, api};

/// A shell command as an action, with all its blobs.
fn action(script: &str) -> (Digest, Vec<Blob>) {
    let command = Blob::of_message(&api::Command {
        arguments: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        output_paths: vec!["out".to_owned()],
        ..Default::default()
    });
    let root = Blob::of_message(&api::Directory::default());
    let action = Blob::of_message(&api::Action {
        command_digest: Some(command.digest.to_message()),
        input_root_digest: Some(root.digest.to_message()),
        ..Default::default()
    });
    (action.digest, vec![command, root, action])
}

/// Uploads an action and has it executed.
fn run(client: &Client, script: &str) -> Executed {
    let (digest, blobs) = action(script);
    client.upload(&blobs).unwrap();
    client.execute(digest, &Cancel::new()).unwrap()
}

/// The bytes of the one output.
fn output(client: &Client, executed: &Executed) -> Vec<u8> {
    let file = executed.result.output_files.first().expect("no output");
    let digest = Digest::from_message(file.digest.as_ref().unwrap()).unwrap();
    client.fetch(&[digest]).remove(0).unwrap().to_vec()
}

/// `small` blobs of different sizes, two of them empty, and one of `large` MB in a file.
fn many_blobs(file: &Path, small: usize, large: u32) -> Vec<Blob> {
    let bytes: Vec<u8> = (0..large << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    fs::write(file, bytes).unwrap();
    let mut blobs: Vec<_> = (0..small)
        .map(|n| Blob::of_bytes(format!("{n} ").repeat(n / 2).into_bytes()))
        .collect();
    blobs.push(Blob::of_file(file).unwrap());
    blobs
}

#[test]
fn a_server_is_asked_what_it_can_do() {
    let casd = Casd::start();
    let capabilities = casd.client().capabilities().clone();
    assert!(capabilities.executes && capabilities.can_remember, "{capabilities:?}");
    assert!(
        (1 << 20..4 << 20).contains(&capabilities.batch_bytes),
        "{capabilities:?}"
    );
}

#[test]
fn blobs_are_sent_once_and_come_back_as_they_were() {
    let casd = Casd::start();
    let client = casd.client();
    let dir = tempfile::tempdir().unwrap();
    let blobs = many_blobs(&dir.path().join("large"), 2999, 20);
    let bytes = blobs.iter().map(|blob| blob.digest.size).sum();
    // Two of them are empty, which need not be sent.
    assert_eq!(blobs.iter().filter(|blob| blob.digest.size == 0).count(), 2);
    assert_eq!(client.upload(&blobs).unwrap(), Sent { blobs: 2998, bytes });
    let up = client.traffic().up;
    assert_eq!(up, bytes);

    // Nothing again: not by this client, which knows, nor by another, which asks.
    assert_eq!(client.upload(&blobs).unwrap(), Sent::default());
    let other = casd.client();
    assert_eq!(other.upload(&blobs).unwrap(), Sent::default());
    assert_eq!((client.traffic().up, other.traffic().up), (up, 0));

    let mut digests: Vec<_> = blobs.iter().map(|blob| blob.digest).collect();
    let absent = Digest::of(b"absent");
    digests.push(absent);
    let mut fetched = client.fetch(&digests);
    let error = fetched.pop().unwrap().unwrap_err();
    assert_eq!(error.kind, Kind::Missing(vec![absent]), "{error}");
    for (digest, bytes) in digests.iter().zip(fetched) {
        assert_eq!(Digest::of(&bytes.unwrap()), *digest);
    }
    assert_eq!(client.traffic().down, bytes);
}

#[test]
fn threads_that_need_the_same_blobs_send_them_once_together() {
    let casd = Casd::start();
    let client = casd.client();
    let blobs: Vec<_> = (0..200).map(|n| Blob::of_bytes(vec![n; 100_000])).collect();
    let sent: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| client.upload(&blobs).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(sent.iter().map(|sent| sent.blobs).sum::<u64>(), 200);
    assert_eq!(client.traffic().up, 200 * 100_000);
}

#[test]
fn what_a_server_has_damaged_is_not_believed() {
    let casd = Casd::start();
    let client = casd.client();
    let blob = Blob::of_bytes(b"as it was".to_vec());
    client.upload(std::slice::from_ref(&blob)).unwrap();
    let hex = blob.digest.hex();
    let file = casd.cache().join("cas/objects").join(&hex[..2]).join(&hex[2..]);
    assert_eq!(fs::read(&file).unwrap(), b"as it was");
    fs::remove_file(&file).unwrap();
    fs::write(&file, b"as it is.").unwrap();
    let error = client.fetch(&[blob.digest]).remove(0).unwrap_err();
    assert_eq!(error.kind, Kind::Corrupt(blob.digest), "{error}");
}

#[test]
fn a_file_that_changed_after_it_was_hashed_is_not_sent_as_what_it_was() {
    let casd = Casd::start();
    let client = casd.client();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "one").unwrap();
    let blob = Blob::of_file(&path).unwrap();
    fs::write(&path, "two").unwrap();
    let error = client.upload(std::slice::from_ref(&blob)).unwrap_err();
    assert!(matches!(error.kind, Kind::Failed { .. }), "{error}");
    fs::write(&path, "1").unwrap();
    let error = client.upload(std::slice::from_ref(&blob)).unwrap_err();
    assert_eq!(error.kind, Kind::Local, "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    // As it was, it can be sent: nothing is held to be there that is not.
    fs::write(&path, "one").unwrap();
    assert_eq!(client.upload(&[blob]).unwrap().blobs, 1);
}

#[test]
fn an_action_is_executed_once_and_then_remembered() {
    let casd = Casd::start();
    let client = casd.client();
    let script = "echo here; date +%N > out";
    let first = run(&client, script);
    assert_eq!((first.result.exit_code, first.was_cached), (0, false));
    assert!(!first.times.run.is_zero(), "{:?}", first.times);
    let bytes = output(&client, &first);
    assert!(!bytes.is_empty());

    let again = run(&casd.client(), script);
    assert!(again.was_cached);
    assert_eq!(output(&client, &again), bytes);
    let (digest, _) = action(script);
    let cached = client.cached(digest).unwrap().expect("not in the action cache");
    assert_eq!(cached.output_files, first.result.output_files);

    let execution = Execution {
        cache: CacheLookup::Skipped,
        ..digest.into()
    };
    let anew = client.execute(execution, &Cancel::new()).unwrap();
    assert!(!anew.was_cached);
}

#[test]
fn a_command_that_fails_is_an_answer() {
    let casd = Casd::start();
    let client = casd.client();
    let failed = run(&client, "echo no >&2; exit 3");
    assert_eq!(failed.result.exit_code, 3);
    let (digest, _) = action("echo no >&2; exit 3");
    assert_eq!(client.cached(digest).unwrap(), None);
}

#[test]
fn results_of_ours_can_be_remembered() {
    let casd = Casd::start();
    let client = casd.client();
    let (digest, blobs) = action("never run");
    let object = Blob::of_bytes(b"made here".to_vec());
    client
        .upload(&[&blobs[..], std::slice::from_ref(&object)].concat())
        .unwrap();
    assert_eq!(client.cached(digest).unwrap(), None);
    let result = api::ActionResult {
        output_files: vec![api::OutputFile {
            path: "out".to_owned(),
            digest: Some(object.digest.to_message()),
            ..Default::default()
        }],
        ..Default::default()
    };
    client.remember(digest, result.clone()).unwrap();
    let found = casd.client().cached(digest).unwrap().unwrap();
    assert_eq!(found.output_files, result.output_files);
}

#[test]
fn blobs_that_an_action_lacks_are_named_and_can_be_sent_again() {
    let casd = Casd::start();
    let client = casd.client();
    let (digest, blobs) = action("echo x > out");
    let error = client.execute(digest, &Cancel::new()).unwrap_err();
    assert_eq!(error.kind, Kind::Missing(vec![digest]), "{error}");

    client.upload(&blobs).unwrap();
    // As if the server had thrown it away.
    let hex = blobs[0].digest.hex();
    fs::remove_file(casd.cache().join("cas/objects").join(&hex[..2]).join(&hex[2..])).unwrap();
    let error = client.execute(digest, &Cancel::new()).unwrap_err();
    let Kind::Missing(missing) = &error.kind else {
        panic!("{error}");
    };
    assert!(!missing.is_empty() && !error.is_retryable(), "{error}");
}

#[test]
fn to_cancel_ends_the_wait_at_once() {
    let casd = Casd::start();
    let client = casd.client();
    let (digest, blobs) = action("sleep 300");
    client.upload(&blobs).unwrap();
    let cancel = Cancel::new();
    let (ended, end) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| ended.send(client.execute(digest, &cancel)).unwrap());
        // It is being executed, not only asked for.
        assert!(end.recv_timeout(Duration::from_millis(500)).is_err());
        cancel.cancel();
        let error = end.recv_timeout(Duration::from_secs(5)).unwrap().unwrap_err();
        assert_eq!(error.kind, Kind::Cancelled);
        // The client is as good as before.
        assert_eq!(run(&client, "true").result.exit_code, 0);
    });
    // And to close it is to cancel everything.
    thread::scope(|scope| {
        scope.spawn(|| ended.send(client.execute(digest, &Cancel::new())).unwrap());
        assert!(end.recv_timeout(Duration::from_millis(500)).is_err());
        client.close();
        let error = end.recv_timeout(Duration::from_secs(5)).unwrap().unwrap_err();
        assert_eq!(error.kind, Kind::Cancelled);
    });
    assert_eq!(client.upload(&blobs).unwrap_err().kind, Kind::Cancelled);
}

#[test]
fn a_server_that_dies_while_it_is_waited_for_is_unreachable() {
    let mut casd = Casd::start();
    let client = casd.client();
    let (digest, blobs) = action("sleep 300");
    client.upload(&blobs).unwrap();
    let (ended, end) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| ended.send(client.execute(digest, &Cancel::new())).unwrap());
        assert!(end.recv_timeout(Duration::from_millis(500)).is_err());
        casd.kill();
        let error = end.recv_timeout(Duration::from_secs(60)).unwrap().unwrap_err();
        assert_eq!(error.kind, Kind::Unreachable, "{error}");
        assert!(error.is_retryable());
        assert!(error.to_string().starts_with(&casd.address()), "{error}");
    });
}

#[test]
fn a_server_that_is_restarted_in_the_middle_is_asked_again() {
    let mut casd = Casd::start();
    let client = casd.client();
    let (digest, blobs) = action("sleep 2; echo done > out");
    client.upload(&blobs).unwrap();
    let (ended, end) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| ended.send(client.execute(digest, &Cancel::new())).unwrap());
        assert!(end.recv_timeout(Duration::from_millis(500)).is_err());
        casd.restart();
        let executed = end.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!(output(&client, &executed), b"done\n");
    });

    // And while nothing is under way; what it is asked in the meantime waits for it.
    casd.kill();
    thread::scope(|scope| {
        let upload = scope.spawn(|| client.upload(&[Blob::of_bytes(b"late".to_vec())]));
        thread::sleep(Duration::from_millis(300));
        casd.restart();
        assert_eq!(upload.join().unwrap().unwrap().blobs, 1);
    });
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let address = format!("grpc://127.0.0.1:{}", free_port());
    let started = Instant::now();
    let error = Client::connect(&endpoint(&[("remote", &address)])).unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
    let words = error.to_string();
    assert!(words.starts_with(&format!("{address}: connecting: ")), "{words}");
    assert!(words.contains("Connection refused"), "{words}");
    // Not a matter of speed: it is not waited for as for one that was there.
    assert!(started.elapsed() < Duration::from_secs(30));

    let error = Client::connect(&endpoint(&[("remote", "grpc://no.such.host.invalid:1")])).unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
}

#[test]
fn a_server_that_says_nothing_does_not_hang_us() {
    // It takes connections and is never heard of.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("grpc://{}", silent.local_addr().unwrap());
    let error = Client::connect(&endpoint(&[("remote", &address)])).unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
}

#[test]
fn tls_with_a_client_certificate_and_a_key_in_a_header() {
    let casd = Casd::start();
    let nginx = Nginx::before(casd.port, "secret");
    let address = nginx.address();
    let file = |name: &str| nginx.file(name).into_os_string().into_string().unwrap();
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let (other, other_key) = (file("other.pem"), file("other.key"));
    let connect = |ca: &str, cert: &str, key: &str, header: &str| {
        Client::connect(&endpoint(&[
            ("remote", &address),
            ("remote-headers", header),
            ("remote-tls-ca", ca),
            ("remote-tls-cert", cert),
            ("remote-tls-key", key),
        ]))
    };
    let good = "X-API-Key=secret";
    let client = connect(&ca, &cert, &key, good).unwrap();
    let dir = tempfile::tempdir().unwrap();
    client.upload(&many_blobs(&dir.path().join("large"), 100, 5)).unwrap();
    let executed = run(&client, "echo encrypted > out");
    assert_eq!(output(&client, &executed), b"encrypted\n");

    // The server's certificate is of nobody we trust.
    let error = connect(&other, &cert, &key, good).unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(error.words.contains("certificate"), "{error}");
    // Ours is of nobody it trusts, or there is none: nginx says so in HTTP, others by ending the handshake.
    let error = connect(&ca, &other, &other_key, good).unwrap_err();
    assert_ne!(error.kind, Kind::Local, "{error}");
    let error = connect(&ca, "", "", good).unwrap_err();
    assert_ne!(error.kind, Kind::Local, "{error}");
    // An API key that has run out.
    let error = connect(&ca, &cert, &key, "x-api-key=old").unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.to_string().contains("THINLTO_LD_REMOTE_HEADERS") && !error.is_retryable());
    // A file that is not there, and one that is no key.
    let error = connect(&ca, &cert, "absent.key", good).unwrap_err();
    assert_eq!(error.kind, Kind::Local, "{error}");
    assert!(error.to_string().contains("absent.key"), "{error}");
    let error = connect(&ca, &cert, &cert, good).unwrap_err();
    assert_eq!(error.kind, Kind::Local, "{error}");
}

/// The main path on any farm: `tests/remote/buildgrid.sh start DIR`, then with `THINLTO_LD_REMOTE` as `DIR/env` has it.
#[test]
#[ignore = "needs a farm, named by THINLTO_LD_REMOTE"]
fn on_a_farm() {
    let address = std::env::var("THINLTO_LD_REMOTE").expect("THINLTO_LD_REMOTE is not set");
    let farm = endpoint(&[("remote", &address)]);
    let client = Client::connect(&farm).unwrap();
    println!("{:?}", client.capabilities());
    let dir = tempfile::tempdir().unwrap();
    let blobs = many_blobs(&dir.path().join("large"), 2999, 20);
    let sent = client.upload(&blobs).unwrap();
    println!("{sent:?} {:?}", client.traffic());
    assert_eq!(Client::connect(&farm).unwrap().upload(&blobs).unwrap(), Sent::default());
    let digests: Vec<_> = blobs.iter().map(|blob| blob.digest).collect();
    for (digest, bytes) in digests.iter().zip(client.fetch(&digests)) {
        assert_eq!(Digest::of(&bytes.unwrap()), *digest);
    }

    // More than there are workers, and new ones each time.
    let salt = std::process::id();
    let ran: Vec<_> = thread::scope(|scope| {
        let client = &client;
        let threads = (0..20).map(|n| scope.spawn(move || run(client, &format!("echo {salt} {n} > out; sleep 0.1"))));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (n, executed) in ran.iter().enumerate() {
        assert!(!executed.was_cached);
        assert_eq!(output(&client, executed), format!("{salt} {n}\n").into_bytes());
    }
    let workers: std::collections::BTreeSet<_> = ran.iter().map(|executed| executed.worker.clone()).collect();
    println!("{workers:?} {:?}", ran[0].times);
    let other = Client::connect(&farm).unwrap();
    assert!(run(&other, &format!("echo {salt} 0 > out; sleep 0.1")).was_cached);

    let (digest, blobs) = action(&format!("sleep 300; echo {salt}"));
    let error = client.execute(digest, &Cancel::new()).unwrap_err();
    assert_eq!(error.kind, Kind::Missing(vec![digest]), "{error}");
    client.upload(&blobs).unwrap();
    let cancel = Cancel::new();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.execute(digest, &cancel));
        thread::sleep(Duration::from_secs(1));
        cancel.cancel();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind, Kind::Cancelled);
    });
    // The workers are free again, not asleep for five minutes.
    assert_eq!(run(&client, &format!("echo {salt} free > out")).result.exit_code, 0);
}
