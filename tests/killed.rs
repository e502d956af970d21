//! Links killed by SIGKILL at random points, a hundred times: the output is the old one, the new one or none, and what is
//! linked next with the same cache is what a fresh link gives. Knows nothing of what a link does when.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use common::Bench;
use common::random::Random;

/// `THINLTO_KILLS` makes it more or fewer.
const KILLS: usize = 100;
/// How many functions each module has.
const MODULES: [(&str, usize); 6] = [("a", 1), ("b", 1), ("c", 1), ("d", 2), ("e", 3), ("f", 6)];

/// Compiles `count` versions of each module, all with other numbers in them.
fn prepare(bench: &Bench, count: usize) {
    let text = |name: &str, functions: usize, number: usize| -> String {
        let function = |n: usize| {
            format!(
                "int {name}{n}(int *p, int n) {{ int s = {number}; for (int i = 0; i < n; ++i) s += p[i] * {n} + s / (i + {number}); return s; }}\n"
            )
        };
        (0..functions).map(function).collect()
    };
    let version =
        |number: usize| MODULES.map(|(name, functions)| (format!("{name}{number}.c"), text(name, functions, number)));
    let all: Vec<(String, String)> = (1..=count).flat_map(version).collect();
    bench.compile_at_once(&all, &["-flto=thin", "-O2", "-fPIC"]);
}

/// Puts a version of a module in place: another number, another object.
fn put(bench: &Bench, module: usize, number: usize) {
    let (name, _) = MODULES[module];
    bench.write_bytes(&format!("{name}.o"), &bench.read(&format!("{name}{number}.o")));
}

const LINE: [&str; 7] = ["-shared", "a.o", "b.o", "c.o", "d.o", "e.o", "f.o"];

#[test]
fn a_link_killed_at_any_point_harms_no_later_one() {
    let mut random = Random::seeded("THINLTO_KILL_SEED", 5);
    let kills = std::env::var("THINLTO_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let bench = Bench::new();
    prepare(&bench, kills + 2);
    for module in 0..MODULES.len() {
        put(&bench, module, 1);
    }
    let ours = [&["-o", "our.out"], &LINE[..]].concat();
    bench.through(&ours).ok();
    let mut takes = Duration::from_millis(300);
    let (mut old_stood, mut new_stood, mut resumed) = (0, 0, 0);
    for kill in 0..kills {
        let old = bench.read("our.out");
        for module in [random.below(3), 3 + random.below(2), 5] {
            put(&bench, module, kill + 2);
        }
        bench.fresh_bare(&LINE);
        let new = bench.read("ref.out");
        let mut link = bench.command(bench.shim(), &ours).spawn().unwrap();
        let delay = takes.mul_f64(random.below(1000) as f64 / 850.0);
        std::thread::sleep(delay);
        link.kill().unwrap();
        link.wait().unwrap();
        match fs::read(bench.path("our.out")) {
            Ok(found) if found == old => old_stood += 1,
            Ok(found) if found == new => new_stood += 1,
            Ok(_) => panic!("a broken output after kill {kill}, {delay:?} into the link"),
            Err(_) => {}
        }
        let began = Instant::now();
        let again = bench.through(&ours).ok();
        assert_eq!(again.mode(), "distributed", "{}", again.reason());
        assert!(
            bench.read("our.out") == new,
            "after kill {kill}, {delay:?} into the link"
        );
        // A link that found nothing made tells how long one takes just now.
        if again.backends("run") == 3 {
            takes = began.elapsed();
        }
        resumed += u64::from(again.backends("run") < 3);
    }
    eprintln!(
        "old output {old_stood}, new output {new_stood}, objects of the killed used {resumed}; a link takes {takes:?}"
    );
    assert!(old_stood >= kills / 4 && new_stood > 0, "killed too late or too early");
    assert!(
        resumed > 0,
        "nothing a killed link made was ever used: the kills prove nothing of the cache"
    );
    swept(&bench, kills + 2);
}

/// What killed links left goes when a link comes that finds it old enough. `unused` is a version not linked yet.
fn swept(bench: &Bench, unused: usize) {
    let left = bench.leftovers();
    assert!(!left.is_empty(), "no link was killed at work");
    let old = SystemTime::now() - Duration::from_secs(60);
    for folder in &left {
        for path in [folder.join("lock"), folder.clone()] {
            if let Ok(file) = File::open(&path) {
                file.set_modified(old).unwrap();
            }
        }
    }
    let ours = [&["-o", "our.out"], &LINE[..]].concat();
    // Changed, so that there is a link to be made.
    put(bench, 0, unused);
    bench.through(&ours).ok();
    bench.tidy();
    let beside = fs::read_dir(bench.path(".")).unwrap().flatten();
    let mut names = beside.map(|entry| entry.file_name().into_string().unwrap());
    assert_eq!(
        names.find(|name| name.starts_with("our.out.")),
        None,
        "left beside the output"
    );
}
