//! What is outside fails: what is printed cannot be written, no thread or process can be had, a call to the system fails.
//! The link is what lld makes of it, or there is a clear error; never an abort, and no text that was asked for is lost in
//! silence.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Output, Stdio};

use common::Bench;

const THIN: &[&str] = &["-flto=thin", "-O2", "-fPIC"];
const COMPANION: &str = env!("CARGO_BIN_EXE_thinlto");

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench
        .compile(
            "main.c",
            "int f(int); int main(int c, char **v) { return f(c); }\n",
            THIN,
        )
        .compile(
            "f.c",
            "__attribute__((noinline)) int f(int x) { return x - 1; }\n",
            THIN,
        );
    bench.env("THINLTO_LD_MODE", "auto");
    bench
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// The writing end of a pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_warning_that_cannot_be_written_fails_no_link() {
    let bench = bench();
    // lld warns that there is no such entry; we, that a setting has no effect.
    let words = ["main.o", "f.o", "-e", "nosuch", "-o", "out"];
    for sink in [full, unread] {
        for (name, value) in [
            ("THINLTO_LD_LOG", "warn"),
            ("THINLTO_LD_LOG", "trace"),
            ("THINLTO_LD_MODE", "in-process"),
        ] {
            let _ = fs::remove_file(bench.path("out"));
            let mut link = bench.command(bench.shim(), &words);
            link.env(name, value).env("THINLTO_LD_NATIVE", "on");
            let status = link.stderr(sink()).status().unwrap();
            // Whose reader has gone lld dies of it, where it is lld that writes.
            let by_lld = value == "in-process" && status.signal() == Some(13);
            assert!(status.success() || by_lld, "{name}={value}: {status}");
            assert!(by_lld || bench.path("out").exists());
        }
    }
}

#[test]
fn an_error_that_cannot_be_written_is_still_one() {
    let bench = bench();
    for sink in [full, unread] {
        for words in [
            &["nosuch.o", "-o", "out"][..],
            &["main.o", "f.o", "-o", "out", "--thinlto-ld-nosuch=1"],
        ] {
            let status = bench.command(bench.shim(), words).stderr(sink()).status().unwrap();
            // Whose reader has gone lld dies of it, where it is lld that writes.
            assert!(
                status.code() == Some(1) || status.signal() == Some(13),
                "{words:?}: {status}"
            );
        }
    }
}

#[test]
fn the_companion_ends_quietly_where_its_reader_has_gone() {
    let bench = bench();
    let link = ["explain", "--", "ld.lld-22", "main.o", "f.o"];
    for words in [
        &["settings"][..],
        &["cache"],
        &["check", "thinlto-ld-22"],
        &link,
        &["--help"],
    ] {
        let ended = bench.command(COMPANION, words).stdout(unread()).output().unwrap();
        assert_eq!((ended.status.code(), said(&ended).as_str()), (Some(0), ""), "{words:?}");
        let ended = bench.command(COMPANION, words).stdout(full()).output().unwrap();
        let is_ours = words != ["--help"];
        assert_eq!(ended.status.code(), Some(i32::from(is_ours)), "{words:?}");
        assert_eq!(
            said(&ended).contains("cannot write to stdout: No space"),
            is_ours,
            "{}",
            said(&ended)
        );
    }
    let ended = bench
        .command(COMPANION, &["cache", "--dir", "/dev/null"])
        .stderr(full())
        .status();
    assert_eq!(ended.unwrap().code(), Some(1));
}

/// Reports of which lld dies where they cannot be written, and what it lets go.
#[test]
fn text_that_was_asked_for_is_not_lost_in_silence() {
    let mut bench = bench();
    bench.compile(
        "f.c",
        "__attribute__((noinline)) int f(int x) { return x - 1; }\n",
        THIN,
    );
    bench.ar(&["rc", "libf.a", "f.o"]);
    for (report, unchanged) in [
        ("-Map=-", "relink"),
        ("-Map=-", "restore"),
        ("-M", "relink"),
        ("--cref", "relink"),
        ("--print-gc-sections", "relink"),
        ("--why-extract=-", "relink"),
        ("--print-archive-stats=-", "relink"),
        ("--trace", "relink"),
        ("--trace", "restore"),
    ] {
        bench
            .env("THINLTO_LD_UNCHANGED", unchanged)
            .env("THINLTO_LD_MODE", "distributed");
        let words = ["main.o", "libf.a", "-e", "main", "--gc-sections", report, "-o", "out"];
        if unchanged == "restore" {
            bench.through(&words).ok();
        }
        let ends = |linker: &std::path::Path| {
            let ended = bench.command(linker, &words).stdout(full()).output().unwrap();
            (ended.status.code(), said(&ended))
        };
        let theirs = ends(std::path::Path::new(&bench.lld()));
        assert_eq!(theirs.0, Some(i32::from(report != "--trace")), "{report}");
        fs::remove_file(bench.path("out")).unwrap_or_default();
        assert_eq!(ends(&bench.shim()), theirs, "{report} {unchanged}");
        assert_eq!(bench.path("out").exists(), theirs.0 == Some(0), "{report}");
    }
}

/// Has a call fail in our own programs, and in no other: `FAULT=CALL:N` the Nth, `CALL:N+` all from the Nth on.
const INJECTOR: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static atomic_int count;

static int fails(const char *call) {
  const char *fault = getenv("FAULT");
  size_t length = strlen(call);
  if (!fault || strncmp(program_invocation_short_name, "thinlto", 7) || strncmp(fault, call, length) ||
      fault[length] != ':')
    return 0;
  char *end;
  int from = (int)strtol(fault + length + 1, &end, 10), now = ++count;
  return *end == '+' ? now >= from : now == from;
}

#define CALL(type, failed, error, name, parameters, arguments)                                                        \
  type name parameters {                                                                                              \
    if (fails(#name)) {                                                                                               \
      errno = error;                                                                                                  \
      return failed;                                                                                                  \
    }                                                                                                                 \
    type(*real) parameters = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                             \
    return real arguments;                                                                                            \
  }

CALL(int, -1, EIO, clock_gettime, (clockid_t clock, struct timespec *time), (clock, time))
CALL(int, EAGAIN, EAGAIN, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument),
     (thread, attributes, start, argument))
CALL(pid_t, -1, EAGAIN, fork, (void), ())
CALL(int, -1, EMFILE, pipe2, (int ends[2], int flags), (ends, flags))
CALL(int, -1, EMFILE, socketpair, (int domain, int type, int protocol, int ends[2]), (domain, type, protocol, ends))
CALL(int, -1, EIO, open64, (const char *path, int flags, mode_t mode), (path, flags, mode))
CALL(ssize_t, -1, EIO, read, (int descriptor, void *bytes, size_t size), (descriptor, bytes, size))
CALL(ssize_t, -1, ENOSPC, write, (int descriptor, const void *bytes, size_t size), (descriptor, bytes, size))
CALL(ssize_t, -1, EPIPE, send, (int descriptor, const void *bytes, size_t size, int flags), (descriptor, bytes, size, flags))
CALL(ssize_t, -1, EIO, recv, (int descriptor, void *bytes, size_t size, int flags), (descriptor, bytes, size, flags))
CALL(int, -1, ENOMEM, poll, (struct pollfd * polled, nfds_t count, int timeout), (polled, count, timeout))
CALL(int, -1, EACCES, mkdir, (const char *path, mode_t mode), (path, mode))
CALL(int, -1, EIO, rename, (const char *from, const char *to), (from, to))
CALL(int, -1, EPERM, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
CALL(int, -1, EPERM, unlink, (const char *path), (path))
CALL(int, -1, EPERM, symlink, (const char *from, const char *to), (from, to))
CALL(char *, NULL, ENOENT, getcwd, (char *bytes, size_t size), (bytes, size))
CALL(char *, NULL, EACCES, realpath, (const char *path, char *resolved), (path, resolved))
CALL(pid_t, -1, ECHILD, waitpid, (pid_t pid, int *status, int options), (pid, status, options))
CALL(int, -1, EIO, dup2, (int from, int to), (from, to))

// Of files alone: without memory for stacks no thread of Rust's starts.
void *mmap64(void *at, size_t size, int protection, int flags, int descriptor, off64_t from) {
  if (descriptor >= 0 && fails("mmap64")) {
    errno = ENODEV;
    return MAP_FAILED;
  }
  void *(*real)(void *, size_t, int, int, int, off64_t) = (void *(*)(void *, size_t, int, int, int, off64_t))dlsym(RTLD_NEXT, "mmap64");
  return real(at, size, protection, flags, descriptor, from);
}
"#;

/// How often a fault is put elsewhere, at most: `THINLTO_FAULTS` makes it more or fewer.
const FAULTS: usize = 6;

fn faults() -> usize {
    std::env::var("THINLTO_FAULTS").map_or(FAULTS, |text| text.parse().unwrap())
}

fn injector(bench: &mut Bench) {
    bench.write("inject.c", INJECTOR);
    bench.clang(&["-shared", "-fPIC", "-O1", "-w", "inject.c", "-o", "inject.so"]);
    let library = bench.path("inject.so").display().to_string();
    bench.env("LD_PRELOAD", &library);
}

const LINE: [&str; 6] = ["main.o", "f.o", "-e", "main", "-o", "out"];

/// The link with a fault in it, ended in time.
fn faulty(bench: &Bench, fault: &str) -> Output {
    let _ = fs::remove_file(bench.path("out"));
    let shim = bench.shim().display().to_string();
    let words = [&["60", shim.as_str()], &LINE[..]].concat();
    let mut link = bench.command("timeout", &words);
    link.env("FAULT", fault).env("THINLTO_LD_JOBS", "2").output().unwrap()
}

/// What is left of a link that a fault was put in: lld's output, or an error that says something.
fn stands(bench: &Bench, fault: &str, ended: &Output, expected: &[u8]) {
    let said = said(ended);
    match ended.status.code() {
        Some(0) => {
            let made = fs::read(bench.path("out")).unwrap_or_default();
            assert!(made == expected, "{fault}: another output; {said}");
        }
        Some(1) => {
            assert!(said.contains(": error: "), "{fault}: {said}");
            assert!(!bench.path("out").exists(), "{fault}");
        }
        _ => panic!("{fault}: {}: {said}", ended.status),
    }
    assert!(!said.contains("panicked"), "{fault}: {said}");
}

/// A clock that fails is what Rust's library panics of: anywhere in a link, on every thread that asks for the time.
#[test]
fn a_panic_leaves_the_link_to_lld_with_one_warning() {
    let mut bench = bench();
    bench.direct(&LINE).ok();
    let expected = bench.read("out");
    injector(&mut bench);
    let (mut panicked, mut at) = (0, 1);
    loop {
        let ended = faulty(&bench, &format!("clock_gettime:{at}"));
        stands(&bench, &format!("clock_gettime:{at}"), &ended, &expected);
        assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
        let said = said(&ended);
        if said.is_empty() {
            break;
        }
        assert_eq!(said.matches("a fault in thinlto-ld: ").count(), 1, "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        panicked += 1;
        // Every one of the first, then ever fewer.
        at += 1 + at / faults();
    }
    assert!(panicked > 3, "{panicked}");
    bench.tidy();
    // Where it fails for good, too.
    let ended = faulty(&bench, "clock_gettime:3+");
    stands(&bench, "clock_gettime:3+", &ended, &expected);
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
}

#[test]
fn the_stats_name_a_panic_and_a_link_that_must_be_distributed_fails_of_it() {
    let mut bench = bench();
    injector(&mut bench);
    let ended = faulty(&bench, "clock_gettime:6");
    let outcome = bench.outcome(&ended).ok();
    assert_eq!(outcome.mode(), "in-process");
    assert!(
        outcome.reason().starts_with("a fault in thinlto-ld: "),
        "{}",
        outcome.reason()
    );
    bench.env("THINLTO_LD_MODE", "distributed");
    let ended = faulty(&bench, "clock_gettime:6");
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        said(&ended).contains("would go in-process: a fault in thinlto-ld"),
        "{}",
        said(&ended)
    );
}

#[test]
fn a_call_that_fails_leaves_llds_output_or_a_clear_error() {
    let mut bench = bench();
    bench.direct(&LINE).ok();
    let expected = bench.read("out");
    injector(&mut bench);
    let calls: Vec<&str> = INJECTOR
        .lines()
        .filter_map(|line| line.strip_prefix("CALL(")?.split(", ").nth(3))
        .chain(["mmap64"])
        .map(|name| name.trim_end_matches(','))
        .filter(|name| *name != "clock_gettime")
        .collect();
    assert!(calls.len() > 15, "{calls:?}");
    for call in calls {
        for at in 1..=faults() {
            for more in ["", "+"] {
                let fault = format!("{call}:{at}{more}");
                stands(&bench, &fault, &faulty(&bench, &fault), &expected);
            }
        }
    }
}

/// As many threads as can be had, and lld where there are none.
#[test]
fn threads_that_cannot_be_had_are_done_without() {
    let mut bench = bench();
    injector(&mut bench);
    bench.env("RAYON_NUM_THREADS", "2");
    let mut modes = Vec::new();
    for at in 1..16 {
        let ended = faulty(&bench, &format!("pthread_create:{at}+"));
        let outcome = bench.outcome(&ended).ok();
        assert_eq!(outcome.stderr, "", "{at}");
        modes.push(outcome.mode().to_owned());
    }
    // One that reads inputs and one that hears signals are enough.
    assert!(modes[..1].iter().all(|mode| mode == "in-process"), "{modes:?}");
    assert!(modes[3..].iter().all(|mode| mode == "distributed"), "{modes:?}");
}

#[test]
fn a_cache_folder_that_is_misspelt_is_not_made() {
    let bench = bench();
    let ended = bench.run(COMPANION, &["cache", "--dir", "typo"]);
    assert_eq!(
        (ended.status, ended.stderr.as_str()),
        (1, "thinlto: error: typo: no such folder\n")
    );
    assert!(!bench.path("typo").exists());
}

#[test]
fn many_jobs_make_no_more_slots_than_there_are_backends() {
    let mut bench = bench();
    bench.env("THINLTO_LD_JOBS", "100000").env("THINLTO_LD_CACHE", "off");
    bench.through(&LINE).ok();
    let slots = fs::read_dir(bench.runtime().join("thinlto-ld")).unwrap().count();
    let cpus = std::thread::available_parallelism().unwrap().get();
    assert!(slots <= cpus.max(2), "{slots}");
}

/// Twenty modules whose backends take a while.
fn long_link(bench: &Bench) -> Vec<String> {
    let function = |module: usize, number: usize| {
        let cases: String = (0..40)
            .map(|case| format!("case {case}: s += p[s & 15] * {case} + s / (n + {number}); break;\n"))
            .collect();
        format!(
            "int f{module}_{number}(int *p, int n) {{ int s = n; for (int i = 0; i < n; ++i) switch (p[i] % 50) {{ {cases} }} return s; }}\n"
        )
    };
    let source = |module: usize| (0..6).map(|number| function(module, number)).collect::<String>();
    let sources: Vec<_> = (0..20).map(|module| (format!("m{module}.c"), source(module))).collect();
    bench.compile_at_once(&sources, THIN);
    (0..20).map(|module| format!("m{module}.o")).collect()
}

/// The children of a process.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let listed = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    listed
        .flat_map(|list| {
            list.split_whitespace()
                .map(|pid| pid.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// As the OOM killer does: a worker, the server, the server again and again.
#[test]
fn a_fork_server_or_worker_that_is_killed_costs_the_link_its_backend_alone() {
    let mut bench = Bench::new();
    let objects = long_link(&bench);
    let words: Vec<&str> = objects
        .iter()
        .map(String::as_str)
        .chain(["-shared", "-o", "out"])
        .collect();
    bench.env("THINLTO_LD_CACHE", "off").env("THINLTO_LD_JOBS", "2");
    bench.through(&words).ok();
    let expected = bench.read("out");
    // Where the second server dies as well, processes do the rest.
    for (victims, at_worker, most) in [(1, true, 6), (1, false, 6), (3, true, 12), (2, false, 20)] {
        let _ = fs::remove_file(bench.path("stats.json"));
        let link = bench
            .command(bench.shim(), &words)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut killed = Vec::new();
        // The server is that child which has children.
        while killed.len() < victims && !children(link.id()).is_empty() || killed.is_empty() {
            let servers = children(link.id());
            let found = servers
                .into_iter()
                .find_map(|server| Some((server, *children(server).first()?)));
            let victim = found.map(|(server, worker)| if at_worker { worker } else { server });
            if let Some(victim) = victim.filter(|victim| !killed.contains(victim)) {
                std::thread::sleep(std::time::Duration::from_millis(60));
                let done = bench.run("kill", &["-KILL", &victim.to_string()]);
                killed.extend((done.status == 0).then_some(victim));
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let outcome = bench.outcome(&link.wait_with_output().unwrap()).ok();
        assert_eq!((outcome.mode(), outcome.stderr.as_str()), ("distributed", ""));
        assert_eq!(outcome.backends("run"), 20);
        let retried = outcome.backends("retried");
        assert!(
            (1..=most).contains(&retried),
            "{retried} of 20 retried after {killed:?}"
        );
        assert!(bench.read("out") == expected);
    }
    bench.tidy();
}

/// A limit on processes at which lld links, ours too. None where nobody may set one up.
#[test]
fn a_container_that_bounds_processes() {
    let bench = bench();
    let group = format!("/sys/fs/cgroup/pids/thinlto-{}", std::process::id());
    let group = if fs::create_dir(&group).is_ok() {
        group
    } else {
        let group = format!("/sys/fs/cgroup/thinlto-{}", std::process::id());
        if fs::create_dir(&group).is_err() || !fs::exists(format!("{group}/pids.max")).unwrap() {
            let _ = fs::remove_dir(&group);
            eprintln!("skipped: no group of processes can be made here");
            return;
        }
        group
    };
    for most in 2..=12 {
        fs::write(format!("{group}/pids.max"), most.to_string()).unwrap();
        let ends = |program: &str| -> (Option<i32>, String) {
            let line = format!("echo $$ >{group}/cgroup.procs && exec {program} {}", LINE.join(" "));
            let ended = bench.command("sh", &["-c", &line]).output().unwrap();
            (ended.status.code(), said(&ended))
        };
        let (theirs, _) = ends(&bench.lld());
        let (ours, words) = ends(&bench.shim().display().to_string());
        assert!(
            ours == Some(0) || ours == theirs,
            "{most}: {ours:?}, {theirs:?}: {words}"
        );
    }
    fs::remove_dir(group).unwrap();
}
