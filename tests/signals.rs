//! Links that are told to stop while backends run: the backends are ended, nothing is left, the old output stands, and
//! the process dies of the signal, so that make and the shell see what happened.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::Bench;

const OLD: &str = "the old output";

/// A link whose backends sleep where the file `sleeps` is, each having written its process id to `pids`.
fn bench(body: &str) -> Bench {
    let mut bench = Bench::new();
    for name in ["a", "b", "c"] {
        let text = format!("int {name}(int x) {{ return x + 1; }}\n");
        bench.compile(&format!("{name}.c"), &text, &["-flto=thin", "-O2", "-fPIC"]);
    }
    bench.clang_standing_before("standin", &format!("echo $$ >>pids\n{body}"));
    bench.env("THINLTO_LD_JOBS", "2").write("our.out", OLD);
    bench
}

/// Starts the link in a process group of its own, its signals as at first: whoever runs the tests may have some ignored.
fn start(bench: &Bench, program: &str, before: &[&str]) -> Child {
    let shim = bench.shim().display().to_string();
    let mut words = vec!["--default-signal=INT,TERM,HUP"];
    if program == "sh" {
        words.push(program);
    }
    words.extend(before);
    words.push(&shim);
    words.extend(["-shared", "-o", "our.out", "a.o", "b.o", "c.o"]);
    bench.command("env", &words).process_group(0).spawn().unwrap()
}

fn pids(bench: &Bench) -> Vec<String> {
    let text = fs::read_to_string(bench.path("pids")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what} never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn kill(signal: &str, who: &str) {
    assert!(
        Command::new("kill")
            .args([signal, "--", who])
            .status()
            .unwrap()
            .success()
    );
}

fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_signal_ends_backends_and_leaves_nothing() {
    for (name, number) in [("-INT", 2), ("-TERM", 15), ("-HUP", 1)] {
        for whole_group in [false, true] {
            let bench = bench("exec sleep 60");
            let mut link = start(&bench, "shim", &[]);
            wait_for("two backends", || pids(&bench).len() == 2);
            let who = if whole_group {
                format!("-{}", link.id())
            } else {
                link.id().to_string()
            };
            kill(name, &who);
            let status = link.wait().unwrap();
            assert_eq!(status.signal(), Some(number), "{name} {status}");
            let backends = pids(&bench);
            assert_eq!(backends.len(), 2, "a backend was started after the signal");
            assert!(
                !backends.iter().any(|pid| is_alive(pid)),
                "{name}: a backend still runs"
            );
            assert_eq!(bench.text("our.out"), OLD);
            bench.tidy();
            let stats: serde_json::Value = serde_json::from_str(bench.text("stats.json").trim()).unwrap();
            assert_eq!(
                (stats["mode"].as_str(), &stats["exit"]),
                (Some("distributed"), &serde_json::Value::Null)
            );
        }
    }
}

/// As a shell starts a background job (INT), and as nohup does (HUP): lld would go on.
#[test]
fn a_signal_that_was_ignored_when_we_were_started_stays_ignored() {
    let bench = bench("while [ -e sleeps ]; do sleep 0.05; done\ncompile \"$@\"");
    bench.write("sleeps", "");
    let mut link = start(&bench, "sh", &["-c", "trap '' INT HUP; exec \"$0\" \"$@\""]);
    wait_for("a backend", || !pids(&bench).is_empty());
    kill("-INT", &link.id().to_string());
    kill("-HUP", &link.id().to_string());
    fs::remove_file(bench.path("sleeps")).unwrap();
    assert!(link.wait().unwrap().success());
    assert_ne!(bench.read("our.out"), OLD.as_bytes());
    bench.tidy();
}

/// Processes at work in the folder.
fn at_work(bench: &Bench) -> Vec<std::path::PathBuf> {
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let here = fs::canonicalize(bench.path(".")).unwrap();
    all.filter(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == here))
        .collect()
}

/// With the real clang, by whichever engine it runs.
#[test]
fn nothing_of_the_real_clang_is_left_at_work() {
    let mut bench = Bench::new();
    let function = |n: usize| {
        format!(
            "int f{n}(int *p, int n) {{ int s = {n}; for (int i = 0; i < n; ++i) s += p[i] * {n} + s / (i + 1); return s; }}\n"
        )
    };
    for name in ["a", "b", "c"] {
        let text: String = (0..1500)
            .map(|n| function(n).replace("int f", &format!("int {name}")))
            .collect();
        bench.compile(&format!("{name}.c"), &text, &["-flto=thin", "-O1", "-fPIC"]);
    }
    bench
        .env("THINLTO_LD_JOBS", "2")
        .env("THINLTO_LD_CACHE", "off")
        .write("our.out", OLD);
    for signal in ["-INT", "-TERM"] {
        let mut link = start(&bench, "shim", &[]);
        let busy = || at_work(&bench).iter().filter(|process| is_compiling(process)).count() >= 2;
        wait_for("clang", busy);
        kill(signal, &link.id().to_string());
        assert!(link.wait().unwrap().signal().is_some());
        wait_for("the end of all", || at_work(&bench).is_empty());
        assert_eq!(bench.text("our.out"), OLD);
        bench.tidy();
    }
}

fn is_compiling(process: &std::path::Path) -> bool {
    fs::read_to_string(process.join("cmdline")).is_ok_and(|line| line.contains("clang"))
}
