//! Links at once share the machine's CPUs: how many backends of the real clang run, of how many links, is counted in /proc.
//! Knows nothing of how the links come to agree.
//!
//! Each module's assembly includes a file called `gate` in the link's own folder. While that is a FIFO, a backend that has
//! begun stays at it, and so the most that may run at once do.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use common::Bench;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

const MODULES: usize = 12;
const LINKS: usize = 8;
/// Only what hangs takes so long, however busy the machine is.
const LONGEST: Duration = Duration::from_secs(600);

/// Twelve modules that stop at the gate.
fn bench() -> Bench {
    let mut bench = Bench::new();
    for module in 0..MODULES {
        let text = format!(
            "int f{module}(int x) {{ __asm__ volatile(\".pushsection .gate\\n.incbin \\\"gate\\\"\\n.popsection\"); return x; }}\n"
        );
        bench.compile(&format!("m{module}.c"), &text, &["-flto=thin", "-O2", "-fPIC"]);
    }
    // A cache would read the gate.
    bench.env("THINLTO_LD_CACHE", "off");
    bench
}

type Env<'a> = [(&'a str, &'a str)];

/// A link under way in a folder of its own.
struct Link {
    folder: PathBuf,
    process: Child,
}

fn start(bench: &Bench, name: &str, env: &Env<'_>) -> Link {
    let folder = bench.path(name);
    fs::create_dir_all(&folder).unwrap();
    mknodat(CWD, folder.join("closed"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    fs::hard_link(folder.join("closed"), folder.join("gate")).unwrap();
    let modules: Vec<String> = (0..MODULES).map(|module| format!("../m{module}.o")).collect();
    let mut words = vec!["-shared", "-o", "out"];
    words.extend(modules.iter().map(String::as_str));
    let mut command = bench.command(bench.shim(), &words);
    command
        .current_dir(&folder)
        .env("THINLTO_LD_STATS", folder.join("stats.json"))
        .envs(env.iter().copied())
        .stderr(Stdio::piped());
    Link {
        process: command.spawn().unwrap(),
        folder,
    }
}

impl Link {
    /// Its backends that run: processes with a command line of their own, or forks of a clang.
    fn backends(&self) -> usize {
        let folder = fs::canonicalize(&self.folder).unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        processes.filter(|process| is_backend(process, &folder)).count()
    }

    fn let_through(&self) {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
        // Nobody there is no error of ours.
        let _ = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(self.folder.join("closed"));
    }

    /// Opens the gate, and waits for the link to end; what ran its backends.
    fn finish(mut self) -> String {
        fs::write(self.folder.join("open"), "").unwrap();
        fs::rename(self.folder.join("open"), self.folder.join("gate")).unwrap();
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            // Who is at the gate goes on when somebody has come to write; who comes late needs another.
            self.let_through();
            assert!(began.elapsed() < LONGEST, "a link does not end");
            sleep(Duration::from_millis(10));
        };
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""));
        let stats = fs::read_to_string(self.folder.join("stats.json")).unwrap();
        let stats: serde_json::Value = serde_json::from_str(stats.trim()).unwrap();
        assert_eq!(stats["backends"]["run"], MODULES);
        assert!(self.folder.join("out").exists());
        stats["backends"]["engine"].as_str().unwrap().to_owned()
    }
}

/// A link that is not waited for goes, and its backends with it.
impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.let_through();
    }
}

fn is_backend(process: &Path, folder: &Path) -> bool {
    let exe = |process: &Path| fs::read_link(process.join("exe")).ok();
    let is_clang = |exe: &Path| {
        exe.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("clang"))
    };
    let Some(own) = exe(process).filter(|exe| is_clang(exe)) else {
        return false;
    };
    if fs::read_link(process.join("cwd")).ok().as_deref() != Some(folder) {
        return false;
    }
    let line = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
    let index = line.split('\0').find_map(|word| word.strip_prefix("-fthinlto-index="));
    // Another index than a module's is only there to ask which options clang takes.
    index.is_some_and(|index| index.contains("/i/")) || parent(process).is_some_and(|it| exe(&it) == Some(own))
}

fn parent(process: &Path) -> Option<PathBuf> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(Path::new("/proc").join(rest.split(' ').nth(1)?))
}

/// So many backends of these links run, and after a while not one more.
#[track_caller]
fn settles(links: &[Link], expected: usize) {
    let running = || links.iter().map(Link::backends).sum::<usize>();
    let began = Instant::now();
    while running() < expected {
        let waited = began.elapsed() < LONGEST;
        assert!(waited, "{} backends, and never {expected}", running());
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(300));
    assert_eq!(running(), expected, "of {} links", links.len());
}

fn cpus() -> usize {
    thread::available_parallelism().unwrap().get()
}

/// What so many links may run together, each so many at most: one each, and what slots there are.
fn together(links: usize, most: usize) -> usize {
    links + (cpus().max(most) - 1).min(links * (most.min(MODULES) - 1))
}

#[test]
fn links_at_once_run_one_backend_each_and_share_the_cpus() {
    // With more than there may be CPUs, so that links take slots while they have others.
    for (engine, jobs) in [("forkserver", None), ("process", None), ("forkserver", Some("6"))] {
        let bench = bench();
        let mut env = vec![("THINLTO_LD_ENGINE", engine)];
        env.extend(jobs.map(|jobs| ("THINLTO_LD_JOBS", jobs)));
        let most = jobs.map_or(cpus(), |jobs| jobs.parse().unwrap());
        let name = |number: usize| format!("link{number}");
        let mut links: Vec<_> = (0..LINKS).map(|number| start(&bench, &name(number), &env)).collect();
        // What one has done with the others take.
        while !links.is_empty() {
            settles(&links, together(links.len(), most));
            assert_eq!(links.swap_remove(0).finish(), engine);
        }
        bench.tidy();
    }
}

/// The measure itself: where links do not know of each other, each fills the machine.
#[test]
fn links_that_share_no_folder_do_not_share_the_cpus() {
    let bench = bench();
    let folders: Vec<PathBuf> = (0..LINKS).map(|number| bench.path(&format!("run{number}"))).collect();
    let start_apart = |(number, folder): (usize, &PathBuf)| {
        fs::create_dir(folder).unwrap();
        let env = [("XDG_RUNTIME_DIR", folder.to_str().unwrap())];
        start(&bench, &format!("link{number}"), &env)
    };
    let links: Vec<_> = folders.iter().enumerate().map(start_apart).collect();
    settles(&links, LINKS * cpus().min(MODULES));
    for link in links {
        link.finish();
    }
    bench.tidy();
}

#[test]
fn a_link_beside_one_that_is_stuck_goes_on_and_a_killed_ones_slots_are_free() {
    let bench = bench();
    let env = [("THINLTO_LD_JOBS", "4")];
    let all = cpus().max(4) - 1;
    let mut stuck = vec![start(&bench, "stuck", &env)];
    settles(&stuck, 4);
    // As many as it takes until no slot is left.
    while 3 * stuck.len() < all {
        stuck.push(start(&bench, &format!("stuck{}", stuck.len()), &env));
        settles(&stuck, stuck.len() + all.min(3 * stuck.len()));
    }
    let beside = start(&bench, "beside", &env);
    settles(std::slice::from_ref(&beside), 1);
    beside.finish();
    let heir = start(&bench, "heir", &env);
    settles(std::slice::from_ref(&heir), 1);
    for link in &mut stuck {
        link.process.kill().unwrap();
        link.process.wait().unwrap();
    }
    settles(std::slice::from_ref(&heir), 4);
    heir.finish();
}

#[test]
fn a_lone_link_runs_what_it_may() {
    let bench = bench();
    let dead = [("MAKEFLAGS", " -j2 --jobserver-auth=97,98")];
    let cases: [(&str, &Env<'_>, usize); 5] = [
        ("default", &[], cpus().min(MODULES)),
        ("one", &[("THINLTO_LD_JOBS", "1")], 1),
        ("seven", &[("THINLTO_LD_JOBS", "7")], 7),
        ("of-a-make", &dead, 2.min(cpus())),
        ("seven-of-a-make", &[dead[0], ("THINLTO_LD_JOBS", "7")], 2),
    ];
    for (name, env, expected) in cases {
        let link = start(&bench, name, env);
        settles(std::slice::from_ref(&link), expected);
        link.finish();
    }
    bench.tidy();
}

/// A jobserver that is gone, of a make that links two at once: its number bounds each, and the slots bound both.
#[test]
fn links_of_a_make_without_a_jobserver_share_the_cpus() {
    let bench = bench();
    let env = [("MAKEFLAGS", " -j3 --jobserver-auth=97,98")];
    let links = vec![start(&bench, "one", &env), start(&bench, "two", &env)];
    settles(&links, together(2, 3.min(cpus())));
    for link in links {
        link.finish();
    }
    bench.tidy();
}

#[test]
fn where_no_folder_is_to_be_had_links_go_on_as_if_alone() {
    let bench = bench();
    let scratch = format!("tmp/thinlto-ld-{}", rustix::process::getuid().as_raw());
    bench.write(&scratch, "in the way");
    let open_to_all = bench.path("open");
    fs::create_dir(&open_to_all).unwrap();
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o777)).unwrap();
    for runtime in ["relative", "/nonexistent", open_to_all.to_str().unwrap()] {
        let env = [("XDG_RUNTIME_DIR", runtime)];
        let links = [start(&bench, "one", &env), start(&bench, "two", &env)];
        settles(&links, 2 * cpus().min(MODULES));
        for link in links {
            link.finish();
        }
        assert_eq!(fs::read_dir(&open_to_all).unwrap().count(), 0);
        for name in ["one", "two"] {
            fs::remove_dir_all(bench.path(name)).unwrap();
        }
    }
    assert_eq!(bench.text(&scratch), "in the way");
}

/// Without a session's folder, links meet among the temporary files.
#[test]
fn without_a_runtime_folder_links_share_the_cpus_all_the_same() {
    let bench = bench();
    let env = [("XDG_RUNTIME_DIR", ""), ("THINLTO_LD_JOBS", "3")];
    let links = vec![start(&bench, "one", &env), start(&bench, "two", &env)];
    settles(&links, together(2, 3));
    for link in links {
        link.finish();
    }
    bench.tidy();
}
