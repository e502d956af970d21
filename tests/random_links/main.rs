//! Random links: each seed makes a small program of modules of all kinds, in archives, groups and libraries, with random
//! options, links it by lld with LTO in its process and through thinlto-ld, and compares what comes of it.
//!
//! `RANDOM_LINKS=1000` makes more links, `RANDOM_LINKS_SEED=$RANDOM` fresh ones, `RANDOM_LINKS_LLVM` (23, 22, 19, 16)
//! chooses the LLVM, and `RANDOM_LINKS_BIN` another thinlto-ld, or an `ld.lld` for a judge that should find nothing.
//! `RANDOM_LINKS_SHRINK` is how many differing links are shrunk. With `RANDOM_LINKS_CHOICE` each link has an option of that kind
//! (`choices.rs`, by number).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod arrange;
mod build;
mod choices;
mod generate;
mod image;
mod judge;
mod program;
mod render;
mod run;
mod shrink;

#[path = "../common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::random::Random;
use judge::{Aspect, Difference, Verdict, judge};
use program::Program;
use run::Workshop;

/// The same links each time, so that a change is blamed for nothing that others would have shown before it; fresh ones by
/// `RANDOM_LINKS_SEED=$RANDOM`.
const USUAL_SEED: u64 = 5001;

/// How many links a shrinking makes at most.
const SHRINKING: usize = 400;

/// What became of all links.
#[derive(Default)]
struct Totals {
    links: usize,
    same: usize,
    both_fail: usize,
    errors: BTreeMap<String, (usize, u64)>,
    exceptions: BTreeMap<String, usize>,
    in_process: BTreeMap<String, (usize, u64)>,
    aspects: BTreeMap<Aspect, usize>,
    /// Differences alike but for numbers, each with the first seed that showed it.
    alike: BTreeMap<String, (usize, u64)>,
    different: Vec<(u64, String, Vec<Difference>)>,
    /// Programs that the compiler or the archiver refuses: errors of the generator.
    unbuilt: Vec<(u64, String)>,
}

impl Totals {
    fn add(&mut self, seed: u64, verdict: Result<(String, Verdict), String>) {
        self.links += 1;
        match verdict {
            Err(error) => self.unbuilt.push((seed, error)),
            Ok((_, Verdict::BothFail(errors))) => {
                self.both_fail += 1;
                if let Some(error) = errors.first() {
                    let kind = error
                        .replace(|c: char| c.is_ascii_digit(), "")
                        .split(": ")
                        .next()
                        .unwrap_or_default()
                        .to_owned();
                    self.errors.entry(kind).or_insert((0, seed)).0 += 1;
                }
            }
            Ok((_, Verdict::InProcess(reason))) => {
                self.in_process.entry(reason).or_insert((0, seed)).0 += 1;
            }
            Ok((_, Verdict::Same(exceptions))) => {
                self.same += usize::from(exceptions.is_empty());
                for exception in exceptions {
                    *self.exceptions.entry(exception.to_string()).or_default() += 1;
                }
            }
            Ok((link, Verdict::Different(differences))) => {
                let aspects: BTreeSet<Aspect> = differences.iter().map(|of| of.aspect).collect();
                for aspect in aspects {
                    *self.aspects.entry(aspect).or_default() += 1;
                }
                let alike: BTreeSet<String> = differences.iter().map(Difference::alike).collect();
                for alike in alike {
                    self.alike.entry(alike).or_insert((0, seed)).0 += 1;
                }
                self.different.push((seed, link, differences));
            }
        }
    }

    fn print(&self) {
        println!(
            "{} links: {} the same, {} refused by both, {} different, {} not to be distributed, {} could not be built",
            self.links,
            self.same,
            self.both_fail,
            self.different.len(),
            self.in_process.values().map(|(count, _)| count).sum::<usize>(),
            self.unbuilt.len()
        );
        for (exception, count) in &self.exceptions {
            println!("  {count} excepted: {exception}");
        }
        for (error, (count, seed)) in &self.errors {
            println!("  {count} refused by both: {error} (seed {seed})");
        }
        for (reason, (count, seed)) in &self.in_process {
            println!("  {count} in-process: {reason} (seed {seed})");
        }
        for (aspect, count) in &self.aspects {
            println!("  {count} differ in {aspect}");
        }
        for (alike, (count, seed)) in &self.alike {
            println!("  {count} have {alike} (seed {seed})");
        }
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap())
}

/// The seeds that showed something once, of this LLVM.
fn kept(llvm: u32) -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#'));
    let seeds = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let of: u32 = words.next()?.parse().unwrap();
        let seed = words.next().unwrap().parse().unwrap();
        (of == llvm).then_some(seed)
    });
    seeds.collect()
}

/// The links of all `seeds`, on every CPU.
fn links(workshop: &Workshop, llvm: u32, seeds: &[u64]) -> Totals {
    let totals = Mutex::new(Totals::default());
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let program = generate::program(*seed, llvm);
                    let made = workshop.make(&program, &seed.to_string());
                    let verdict = made.map(|made| (made.link.clone(), judge(&program, &made)));
                    totals.lock().unwrap().add(*seed, verdict);
                }
            });
        }
    });
    totals.into_inner().unwrap()
}

/// Shows a link that differs, as small as it becomes, as a script that makes it.
fn show(workshop: &Workshop, program: &Program, differences: &[Difference]) {
    // A smaller link often differs in another way, which is not what is looked for.
    let alike = |differences: &[Difference]| differences.iter().map(Difference::alike).collect::<BTreeSet<String>>();
    let all = alike(differences);
    let worst = differences
        .iter()
        .find(|of| of.aspect.is_behaviour())
        .unwrap_or(&differences[0])
        .alike();
    let differs = |program: &Program| match workshop.make(program, "shrinking").map(|made| judge(program, &made)) {
        Ok(Verdict::Different(differences)) => {
            let found = alike(&differences);
            found.contains(&worst) && found.is_subset(&all)
        }
        _ => false,
    };
    let small = shrink::shrink(program, SHRINKING, differs);
    let made = workshop.make(&small, "shrunk").unwrap();
    println!("--- shrunk\n{}", made.script);
    if let Verdict::Different(differences) = judge(&small, &made) {
        for Difference { aspect, said } in differences {
            println!("# {aspect}: {said}");
        }
    }
}

#[test]
fn fixed_and_fresh_links_are_llds() {
    let llvm = u32::try_from(setting("RANDOM_LINKS_LLVM", 22)).unwrap();
    let ours = std::env::var("RANDOM_LINKS_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_thinlto-ld").to_owned());
    let first = setting("RANDOM_LINKS_SEED", USUAL_SEED);
    println!("again by RANDOM_LINKS_SEED={first}");
    let mut random = Random::new(first);
    // The first is the seed itself, so that one link can be made again by its own, and is the first to be shrunk.
    let mut seeds = vec![first];
    seeds.extend((1..setting("RANDOM_LINKS", 200)).map(|_| random.next() % 1_000_000_000));
    seeds.extend(kept(llvm));
    let workshop = Workshop::new(llvm, &PathBuf::from(ours));
    let mut totals = links(&workshop, llvm, &seeds);
    totals
        .different
        .sort_by_key(|(seed, ..)| seeds.iter().position(|of| of == seed));
    for (seed, link, differences) in &totals.different {
        println!("seed {seed}\n  ld.lld {link}");
        for Difference { aspect, said } in differences {
            println!("  {aspect}: {said}");
        }
    }
    for (seed, _, differences) in totals
        .different
        .iter()
        .take(usize::try_from(setting("RANDOM_LINKS_SHRINK", 2)).unwrap())
    {
        println!("--- seed {seed}, shrinking");
        show(&workshop, &generate::program(*seed, llvm), differences);
    }
    for (seed, error) in &totals.unbuilt {
        println!("seed {seed} could not be built: {error}");
    }
    totals.print();
    assert!(totals.unbuilt.is_empty(), "the generator makes what does not compile");
    assert!(totals.different.is_empty(), "links differ from lld's");
}
