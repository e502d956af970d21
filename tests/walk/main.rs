//! A walk of 200 random edits over a real program with one cache all the way: after each edit the output is what in-process
//! lld's objects give, byte for byte, and so are the objects. Knows nothing of why an object is made anew.
//!
//! `THINLTO_WALK_SEED` and `THINLTO_WALK_STEPS` choose another walk.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod program;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::Bench;
use common::random::Random;
use common::sources::debian_source;
use program::{Edit, State};

const CLANG: &str = "llvm/clang";
const LLD: &str = "llvm/ld.lld";

/// What a link must give.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fresh {
    output: blake3::Hash,
    /// By their numbers in `--lto-obj-path`.
    objects: BTreeMap<String, blake3::Hash>,
}

/// What became of the links after an edit.
#[derive(Default)]
struct Made {
    /// Backends run.
    run: u64,
    /// Links put back.
    restored: usize,
}

/// The program where it is built.
struct Walk {
    bench: Bench,
    /// zlib's files as they came.
    upstream: BTreeMap<String, String>,
    /// Of what each object was compiled.
    compiled: BTreeMap<String, String>,
    /// What in-process links gave, by all they were made of.
    fresh: HashMap<blake3::Hash, Fresh>,
    state: State,
}

impl Walk {
    fn new() -> Walk {
        let mut bench = Bench::new();
        fs::create_dir(bench.path("zlib")).unwrap();
        let tarball = debian_source("zlib");
        let words = ["xf", tarball.to_str().unwrap(), "--strip-components=1", "-C", "zlib"];
        bench.run("tar", &words).ok();
        let mut upstream = BTreeMap::new();
        for folder in ["zlib", "zlib/examples"] {
            for entry in fs::read_dir(bench.path(folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if let (true, Ok(text)) = (name.ends_with(".c") || name.ends_with(".h"), fs::read_to_string(&path)) {
                    upstream.insert(name, text);
                }
            }
        }
        for name in ["llvm", "o", "src"] {
            fs::create_dir(bench.path(name)).unwrap();
        }
        let (clang, linker) = (bench.path(CLANG), bench.path(LLD));
        bench
            .env("THINLTO_LD_CLANG", clang.to_str().unwrap())
            .env("THINLTO_LD_LINKER", linker.to_str().unwrap());
        Walk {
            bench,
            upstream,
            compiled: BTreeMap::new(),
            fresh: HashMap::new(),
            state: State::new(),
        }
    }

    /// Puts the state on disk and compiles what it changes, two files at a time.
    fn build(&mut self) {
        for (link, program) in [(CLANG, "clang"), (LLD, "ld.lld")] {
            let real = self.real(program);
            let there = self.bench.path(link);
            if !fs::read_link(&there).is_ok_and(|target| target == real) {
                let _ = fs::remove_file(&there);
                symlink(real, there).unwrap();
            }
        }
        self.put("blob", &self.state.blob);
        self.put("inline", &self.state.inline);
        let headers = self.upstream.keys().filter(|name| name.ends_with(".h")).cloned();
        let sources = self.state.modules().into_iter().map(|name| format!("{name}.c"));
        for name in headers.chain(sources) {
            self.put(&format!("src/{name}"), &self.state.file(&name, &self.upstream));
        }
        let mut commands = Vec::new();
        for (module, name) in self.state.modules().into_iter().enumerate() {
            let (llvm, flags) = (self.state.llvm, self.state.flags(module));
            let text = self.state.translation_unit(&format!("{name}.c"), &self.upstream);
            let made_of = format!("{llvm} {flags:?} {text}");
            if self.compiled.get(&name) == Some(&made_of) {
                continue;
            }
            let (source, object) = (format!("src/{name}.c"), format!("o/{name}.o"));
            let mut words = vec!["-c", &source, "-o", &object, "-flto=thin", "-w", "-DHAVE_UNISTD_H"];
            words.extend(flags);
            commands.push(self.bench.command(self.bench.path(CLANG), &words));
            self.compiled.insert(name, made_of);
        }
        for pair in commands.chunks_mut(2) {
            let running: Vec<_> = pair.iter_mut().map(|command| command.spawn().unwrap()).collect();
            for mut clang in running {
                assert!(clang.wait().unwrap().success());
            }
        }
    }

    /// Writes a file if it is to change.
    fn put(&self, name: &str, text: &str) {
        if fs::read_to_string(self.bench.path(name)).is_ok_and(|there| there == text) {
            return;
        }
        self.bench.write(name, text);
    }

    fn real(&self, program: &str) -> PathBuf {
        which::which(format!("{program}-{}", self.state.llvm)).unwrap()
    }

    fn words(&self) -> Vec<String> {
        let objects = self.state.modules().into_iter().map(|name| format!("o/{name}.o"));
        objects
            .chain(self.state.options().into_iter().map(str::to_owned))
            .collect()
    }

    /// What in-process lld makes of the same; made once of the same bytes, by the real programs' own names.
    fn fresh(&mut self, words: &[&str]) -> Fresh {
        let mut all = blake3::Hasher::new();
        all.update(format!("{} {words:?}", self.state.llvm).as_bytes());
        let objects = words.iter().filter(|word| word.ends_with(".o"));
        for name in objects.chain(&["blob", "inline"]) {
            all.update(blake3::hash(&self.bench.read(name)).as_bytes());
        }
        let all = all.finalize();
        if let Some(fresh) = self.fresh.get(&all) {
            return fresh.clone();
        }
        let (clang, linker) = (self.real("clang"), self.real("ld.lld"));
        self.bench
            .fresh(clang.to_str().unwrap(), linker.to_str().unwrap(), words);
        let fresh = self.found("ref.out", "in.P");
        self.fresh.insert(all, fresh.clone());
        fresh
    }

    /// An output and the objects kept beside it.
    fn found(&self, output: &str, prefix: &str) -> Fresh {
        let objects = self.bench.objects(prefix);
        Fresh {
            output: blake3::hash(&self.bench.read(output)),
            objects: objects
                .iter()
                .map(|(name, bytes)| (name.replacen(prefix, "", 1), blake3::hash(bytes)))
                .collect(),
        }
    }

    /// What the links must give and the program do.
    fn check(&mut self, random: &mut Random) -> Made {
        let owned = self.words();
        let words: Vec<&str> = owned.iter().map(String::as_str).collect();
        let fresh = self.fresh(&words);
        let mut made = Made::default();
        // With its objects shown and without, each in the cold and after another; at times the output is not as it was left.
        let times: &[bool] = match random.below(6) {
            0 => &[false, false, true],
            1 | 2 => &[false],
            3 => &[true, true],
            _ => &[true],
        };
        for shown in times {
            self.disturb(random);
            for name in self.bench.objects("our.P").keys() {
                fs::remove_file(self.bench.path(name)).unwrap();
            }
            let ld = format!("--ld-path={}", self.bench.shim().display());
            let mut ours = vec![ld.as_str(), "-o", "our.out"];
            ours.extend(shown.then_some("-Wl,--lto-obj-path=our.P"));
            ours.extend(&words);
            let _ = fs::remove_file(self.bench.path("stats.json"));
            let mut link = self.bench.command(self.bench.path(CLANG), &ours);
            link.env("THINLTO_LD_UNCHANGED", random.pick(&["restore", "restore", "relink"]));
            let outcome = self.bench.outcome(&link.output().unwrap()).clean().ok();
            assert_eq!(
                (outcome.mode(), outcome.stderr.as_str()),
                ("distributed", ""),
                "{}",
                outcome.reason()
            );
            let found = self.found("our.out", "our.P");
            assert!(found.output == fresh.output, "another output than a fresh link's");
            if *shown {
                assert_eq!(found.objects, fresh.objects, "other objects than a fresh link's");
            }
            made.run += outcome.backends("run");
            made.restored += usize::from(outcome.stats[0]["output_state"] == "restored");
        }
        self.works();
        made
    }

    /// What others do to an output between two links.
    fn disturb(&self, random: &mut Random) {
        let path = self.bench.path("our.out");
        let Ok(mut bytes) = fs::read(&path) else { return };
        let middle = bytes.len() / 2;
        let writable = || fs::OpenOptions::new().write(true).open(&path).unwrap();
        match random.below(8) {
            // In place, as objtool does.
            0 => {
                bytes[middle] ^= 1;
                writable().write_all(&bytes).unwrap();
            }
            1 => fs::remove_file(&path).unwrap(),
            2 => writable().set_len(middle as u64).unwrap(),
            _ => {}
        }
    }

    /// The program prints what the state says, and unpacks what gzip has packed.
    fn works(&self) {
        let expected = self.state.expected();
        let mut walk = self.bench.command(self.bench.path("our.out"), &[]);
        let said = walk.env("WALK", "1").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), expected);
        let text = expected.repeat(20);
        let packed = filtered(self.bench.command("gzip", &["-c"]), text.as_bytes());
        let unpacked = filtered(self.bench.command(self.bench.path("our.out"), &[]), &packed);
        assert!(unpacked == text.as_bytes(), "not what was packed");
    }
}

/// What a program makes of its input.
fn filtered(mut command: Command, input: &[u8]) -> Vec<u8> {
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(input).unwrap();
    running.wait_with_output().unwrap().stdout
}

#[test]
fn two_hundred_edits_of_a_real_program() {
    let steps = std::env::var("THINLTO_WALK_STEPS").map_or(200, |text| text.parse().unwrap());
    let mut random = Random::seeded("THINLTO_WALK_SEED", 3);
    let mut walk = Walk::new();
    walk.build();
    assert!(
        walk.check(&mut random).run >= walk.state.modules().len() as u64,
        "something was there before"
    );
    let mut earlier = vec![walk.state.clone()];
    let mut narrow: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut restored = 0;
    for step in 1..=steps {
        let edit = Edit::of(step, &mut random);
        walk.state.edit(edit, &earlier, &mut random);
        eprintln!("step {step}: {edit:?}");
        walk.build();
        let made = walk.check(&mut random);
        restored += made.restored;
        match edit {
            Edit::Body => narrow.entry("body").or_default().push(made.run),
            Edit::Nothing => narrow.entry("nothing").or_default().push(made.run),
            _ => {}
        }
        earlier.push(walk.state.clone());
    }
    eprintln!(
        "{} fresh links, {restored} links put back, backends run after edits: {narrow:?}",
        walk.fresh.len()
    );
    // An edit reaches its own module and those that import what was edited.
    let bodies = &narrow["body"];
    assert!(bodies.iter().filter(|run| (1..=4).contains(*run)).count() >= bodies.len() / 2);
    let nothing = narrow.get("nothing");
    assert!(nothing.is_none_or(|runs| runs.iter().all(|run| *run == 0)));
    assert!(restored > 0, "no link was put back");
}
