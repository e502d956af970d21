//! Links by a remote execution engine that fails, or is failed by what it is given: they take longer, and come out right.
//! The engine is a real buildbox-casd, killed, absent, or behind an nginx that lets few through.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::casd::{Casd, free_port};
use common::nginx::Nginx;
use common::{Bench, Outcome};
use thinlto_ld::backend::forkserver::LIBRARY;
use thinlto_ld::remote::compiler::{Compiler, FOLDER};
use thinlto_ld::remote::tree::{Access, Tree};
use thinlto_ld::remote::{Blob, Cancel, Digest, api};

use common::remote::{MODULES, PRINTS, THIN, bench, program, ran, stats, words};

/// The digest of each module's action, as the log tells them.
fn actions(outcome: &Outcome) -> BTreeMap<String, Digest> {
    let line = |line: &str| {
        let (_, rest) = line.split_once("module=\"")?;
        let (module, rest) = rest.split_once('"')?;
        let (_, digest) = rest.split_once("action=")?;
        Some((module.to_owned(), digest.split_whitespace().next()?.parse().ok()?))
    };
    outcome.stderr.lines().filter_map(line).collect()
}

/// A cache that somebody else can fill may have anything.
#[test]
fn what_is_no_object_is_not_believed() {
    let casd = Casd::bare();
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_LOG", "thinlto_ld=debug");
    let objects = program(&bench);
    let outcome = bench.both("clang++", &words(&objects));
    let actions = actions(&outcome);
    assert_eq!(actions.len() as u64, MODULES);
    let client = casd.client();
    let text = Blob::of_bytes(&b"no object"[..]);
    client.upload(std::slice::from_ref(&text)).unwrap();
    let wrong = |digest: Digest| api::ActionResult {
        output_files: vec![api::OutputFile {
            path: ".thinlto-ld/object.o".to_owned(),
            digest: Some(digest.to_message()),
            ..Default::default()
        }],
        ..Default::default()
    };
    client.remember(actions["main.o"], wrong(Digest::of(b""))).unwrap();
    client.remember(actions["blob.o"], wrong(text.digest)).unwrap();
    client
        .remember(actions["step1.o"], wrong(Digest::of(b"nobody has this")))
        .unwrap();
    fs::remove_dir_all(bench.path("cache")).unwrap();
    let outcome = bench.both("clang++", &words(&objects));
    bench.both_print(PRINTS);
    assert_eq!(ran(&outcome), [0, 3, MODULES - 3], "{}", outcome.stderr);
}

/// clang is content where an import cannot be read; its guard is not, so that no engine keeps what it left.
#[test]
fn a_command_that_leaves_an_empty_object_fails() {
    let casd = Casd::bare();
    let bench = Bench::new();
    bench.compile("two.c", "int two(int x) { return x + 2; }\n", THIN);
    bench.compile("one.c", "int two(int); int main(void) { return two(1); }\n", THIN);
    bench
        .direct(&["--thinlto-index-only", "-e", "main", "one.o", "two.o"])
        .ok();
    bench.write_bytes("guard.so", LIBRARY);
    let digest = |path: &Path| Digest::of_reader(fs::File::open(path)?);
    let clang = which::which("clang-22").unwrap();
    let compiler = Compiler::travelling(&clang, LIBRARY, &bench.path("guard.so"), digest).unwrap();
    let client = casd.client();
    for (files, status) in [
        (&["one.o", "two.o", "one.o.thinlto.bc"][..], 0),
        (&["one.o", "one.o.thinlto.bc"], 70),
    ] {
        let (mut tree, mut blobs) = (Tree::default(), compiler.blobs.clone());
        tree.graft(FOLDER, compiler.root).unwrap();
        for name in files {
            let blob = Blob::of_file(bench.path(name)).unwrap();
            tree.add(name, blob.digest, Access::Read).unwrap();
            blobs.push(blob);
        }
        let step =
            "-cc1 -triple x86_64-pc-linux-gnu -emit-obj -O2 -fthinlto-index=one.o.thinlto.bc -o out.o -x ir one.o";
        let step = step.split(' ').map(str::to_owned).collect();
        let command = Blob::of_message(&api::Command {
            arguments: compiler.command("out.o", &[step]),
            output_paths: vec!["out.o".to_owned()],
            ..Default::default()
        });
        let packed = tree.pack();
        let action = Blob::of_message(&api::Action {
            command_digest: Some(command.digest.to_message()),
            input_root_digest: Some(packed.root.to_message()),
            ..Default::default()
        });
        blobs.extend(packed.folders);
        blobs.extend([command, action.clone()]);
        client.upload(&blobs).unwrap();
        let executed = client.execute(action.digest, &Cancel::new()).unwrap();
        let said = String::from_utf8_lossy(&executed.result.stderr_raw).into_owned();
        assert_eq!(executed.result.exit_code, status, "{said}");
        assert_eq!(client.cached(action.digest).unwrap().is_some(), status == 0, "{said}");
    }
}

#[test]
fn a_server_that_takes_few_at_once_is_given_few_at_once() {
    let casd = Casd::bare();
    let narrow = Nginx::narrow(casd.port, 2);
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_REMOTE", &narrow.plain_address());
    let objects = program(&bench);
    let outcome = bench.both("clang++", &words(&objects));
    bench.both_print(PRINTS);
    assert!(narrow.refusals() > 0);
    // What was under way when it was left to the server may have come out meanwhile.
    let [here, remote, cached] = ran(&outcome);
    assert_eq!((here, remote + cached), (0, MODULES), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");
}

/// Nobody there, from the beginning or from somewhere in the middle: the link is made here, and says why.
#[test]
fn a_server_that_is_not_there_costs_time_and_nothing_else() {
    let bench = {
        let mut bench = Bench::new();
        bench
            .env("THINLTO_LD_ENGINE", "remote")
            .env("THINLTO_LD_REMOTE", &format!("grpc://127.0.0.1:{}", free_port()));
        bench
    };
    let objects = program(&bench);
    let outcome = bench.both("clang++", &words(&objects));
    bench.both_print(PRINTS);
    assert_eq!(ran(&outcome), [MODULES, 0, 0]);
    assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("grpc://127.0.0.1:"), "{}", outcome.stderr);
    assert!(stats(&outcome)["backends"]["remote_fallback"].is_string());
}

#[test]
fn a_server_that_is_killed_in_between_costs_time_and_nothing_else() {
    let mut casd = Casd::with(&["--jobs=1"]);
    let mut bench = bench(&casd);
    bench.env("THINLTO_LD_CACHE", "off");
    let mut objects = program(&bench);
    for number in 0..40 {
        let text = format!("int other{number}(int x) {{ return x * {number}; }}\n");
        bench.compile(&format!("other{number}.c"), &text, THIN);
        objects.push(format!("other{number}.o"));
    }
    let words = words(&objects);
    let results = casd.cache().join("actioncache/objects");
    let outcome = thread::scope(|scope| {
        let link = scope.spawn(|| bench.both("clang++", &words));
        let begun = Instant::now();
        while files(&results) < 5 && begun.elapsed() < Duration::from_secs(120) {
            thread::sleep(Duration::from_millis(10));
        }
        casd.kill();
        link.join().unwrap()
    });
    bench.both_print(PRINTS);
    let [here, remote, _] = ran(&outcome);
    assert_eq!(here + remote, MODULES + 40);
    assert!(here > 0 && remote > 0, "{here} here, {remote} elsewhere");
    assert_eq!(outcome.backends("remote_fell_back"), here);
    assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{}", outcome.stderr);
}

/// Files below a folder.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 })
        .sum()
}
