//! A walk of 200 random edits over a real program, zlib's minigzip, with one cache all the way: after each edit the output is
//! what in-process lld's objects give, byte for byte, and so are the objects. Knows nothing of why an object is made anew.
//!
//! `THINLTO_WALK_SEED` and `THINLTO_WALK_STEPS` choose another walk.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use common::Bench;
use common::random::Random;
use common::sources::debian_source;

/// zlib's modules in the order of the link; minigzip.c, the program, comes first.
const MODULES: [&str; 16] = [
    "minigzip", "adler32", "compress", "crc32", "deflate", "gzclose", "gzlib", "gzread", "gzwrite", "infback",
    "inffast", "inflate", "inftrees", "trees", "uncompr", "zutil",
];

/// Definitions in zlib's own files that may have other values, with those.
const DEFINITIONS: [(&str, &str, &[u32]); 5] = [
    ("zutil.h", "#  define DEF_MEM_LEVEL ", &[7, 8, 9]),
    ("gzguts.h", "#  define DEF_MEM_LEVEL ", &[7, 8, 9]),
    ("inftrees.h", "#define ENOUGH_LENS ", &[852, 856, 864]),
    ("deflate.c", "#  define TOO_FAR ", &[4096, 2048, 1024]),
    ("minigzip.c", "#define BUFLEN      ", &[16384, 8192, 4096]),
];

/// Options that shape objects, the thin link or the output; one of each row is on the link line.
const OPTIONS: [&[&str]; 5] = [
    &["", "-Wl,--lto-O1", "-Wl,--lto-O3", "-Wl,--lto-O2"],
    &[
        "",
        "-Wl,-mllvm,-import-instr-limit=5",
        "-Wl,-mllvm,-import-instr-limit=300",
    ],
    &["", "-Wl,-mllvm,-inline-threshold=20"],
    &["", "-Wl,--gc-sections", "-Wl,--icf=all"],
    &["", "-Wl,--build-id=sha1", "-Wl,-s"],
];

/// The function that the walk puts at the end of a module, and what it gives.
#[derive(Clone)]
struct Tail {
    shape: usize,
    number: u32,
    /// It takes a second argument, as its callers know.
    two: bool,
    /// The module whose function it calls, a later one.
    calls: Option<usize>,
    text: String,
    comment: u64,
}

/// All that the program is made of.
#[derive(Clone)]
struct State {
    llvm: u32,
    level: &'static str,
    debug: BTreeSet<usize>,
    options: [usize; OPTIONS.len()],
    definitions: [usize; DEFINITIONS.len()],
    tails: Vec<Tail>,
    /// Statements at the start of zlib's own functions: module, which function, what it adds.
    statements: BTreeMap<(usize, usize), u32>,
    blob: String,
    inline: String,
}

impl State {
    fn name(module: usize) -> String {
        MODULES
            .get(module)
            .map_or_else(|| format!("extra{module}"), |name| (*name).to_owned())
    }

    fn call(&self, module: usize, argument: &str) -> String {
        let more = if self.tails[module].two { ", 3" } else { "" };
        format!("walk_{}({argument}{more})", State::name(module))
    }

    /// What the module's function gives for `x`.
    fn value(&self, module: usize, x: u32) -> u32 {
        let tail = &self.tails[module];
        let own = match tail.shape {
            0 => x + tail.number,
            1 => x * tail.number + 1,
            _ => (0..x % 7).fold(x, |sum, i| sum * 3 + (tail.number ^ i)),
        };
        let second = if tail.two { 3 } else { 0 };
        let called = tail.calls.map_or(0, |other| self.value(other, x % 11));
        (own + second + called) % 1009
    }

    fn tail(&self, module: usize) -> String {
        let tail = &self.tails[module];
        let (name, number) = (State::name(module), tail.number);
        let declare = |other: usize| {
            let more = if self.tails[other].two { ", unsigned" } else { "" };
            format!("extern unsigned walk_{}(unsigned{more});\n", State::name(other))
        };
        let own = match tail.shape {
            0 => format!("unsigned own = x + {number};"),
            1 => format!("unsigned own = x * {number} + 1;"),
            _ => format!("unsigned own = x; for (unsigned i = 0; i < x % 7; ++i) own = own * 3 + ({number}u ^ i);"),
        };
        let (more, second) = if tail.two { (", unsigned y", "y") } else { ("", "0") };
        let called = tail.calls.map_or("0".to_owned(), |other| self.call(other, "x % 11"));
        let mut text = format!("\n/* {} */\n", tail.comment);
        text += &tail.calls.map_or(String::new(), declare);
        text += &format!(
            "const char *walk_text_{name}(void) {{ return \"{}\"; }}\n\
             unsigned walk_{name}(unsigned x{more}) {{ {own} return (own + {second} + {called}) % 1009; }}\n",
            tail.text
        );
        match name.as_str() {
            "zutil" => {
                text += "__asm__(\".pushsection .rodata\\n.globl walk_blob\\nwalk_blob: .incbin \\\"blob\\\"\\n.byte 0\\n.popsection\");\n"
            }
            // Small enough to be imported by who calls it, its file with it.
            "adler32" => {
                text += "const char *walk_inline(void) { const char *p; __asm__(\".pushsection .rodata\\n7: .incbin \\\"inline\\\"\\n\
                         .byte 0\\n.popsection\\nleaq 7b(%%rip), %0\" : \"=r\"(p)); return p; }\n"
            }
            "minigzip" => {
                text += "extern const char walk_blob[], *walk_inline(void);\n";
                let others = 1..self.tails.len();
                text += &others.clone().map(declare).collect::<String>();
                let named = others.clone().map(State::name);
                text += &named
                    .map(|name| format!("extern const char *walk_text_{name}(void);\n"))
                    .collect::<String>();
                text += "__attribute__((constructor)) static void walk(void) {\n  if (!getenv(\"WALK\")) return;\n";
                for other in 0..self.tails.len() {
                    let (call, name) = (self.call(other, "5"), State::name(other));
                    text += &format!("  printf(\"%u %s\\n\", {call}, walk_text_{name}());\n");
                }
                text += "  printf(\"%s %s\\n\", walk_blob, walk_inline());\n  exit(0);\n}\n";
            }
            _ => {}
        }
        text
    }

    fn expected(&self) -> String {
        let lines =
            (0..self.tails.len()).map(|module| format!("{} {}\n", self.value(module, 5), self.tails[module].text));
        lines.collect::<String>() + &format!("{} {}\n", self.blob, self.inline)
    }
}

/// The program where it is built.
struct Walk {
    bench: Bench,
    /// zlib's files as they came.
    upstream: BTreeMap<String, String>,
    /// Of what each object was compiled.
    compiled: BTreeMap<String, String>,
    state: State,
}

const CLANG: &str = "llvm/clang";
const LLD: &str = "llvm/ld.lld";

impl Walk {
    fn new() -> Walk {
        let mut bench = Bench::new();
        fs::create_dir(bench.path("zlib")).unwrap();
        let tarball = debian_source("zlib");
        let words = ["xf", tarball.to_str().unwrap(), "--strip-components=1", "-C", "zlib"];
        bench.run("tar", &words).ok();
        let mut upstream = BTreeMap::new();
        for folder in ["zlib", "zlib/test"] {
            for path in fs::read_dir(bench.path(folder))
                .unwrap()
                .map(|entry| entry.unwrap().path())
            {
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
        let tail = |module: usize| Tail {
            shape: module % 3,
            number: 3,
            two: false,
            calls: (module > 0 && module + 3 < MODULES.len()).then_some(module + 3),
            text: "text".into(),
            comment: 0,
        };
        let state = State {
            llvm: 22,
            level: "-O2",
            debug: BTreeSet::new(),
            options: [0; OPTIONS.len()],
            definitions: [0; DEFINITIONS.len()],
            tails: (0..MODULES.len()).map(tail).collect(),
            statements: BTreeMap::new(),
            blob: "blob".into(),
            inline: "inline".into(),
        };
        Walk {
            bench,
            upstream,
            compiled: BTreeMap::new(),
            state,
        }
    }

    /// A file of the program as the state has it.
    fn file(&self, name: &str) -> String {
        let mut text = self.upstream.get(name).cloned().unwrap_or_default();
        for ((file, definition, values), chosen) in DEFINITIONS.iter().zip(self.state.definitions) {
            if *file == name {
                let start = text.find(definition).expect("zlib has other definitions") + definition.len();
                let end = start + text[start..].find('\n').unwrap();
                text.replace_range(start..end, &values[chosen].to_string());
            }
        }
        let Some(module) = (0..self.state.tails.len()).find(|module| format!("{}.c", State::name(*module)) == name)
        else {
            return text;
        };
        let mut parts: Vec<String> = text.split("\n{\n").map(str::to_owned).collect();
        for ((_, function), number) in self.state.statements.range((module, 0)..(module + 1, 0)) {
            let at = function % parts.len();
            if at > 0 {
                let count = format!("    static unsigned walk_{function}; walk_{function} += {number};\n");
                parts[at].insert_str(0, &count);
            }
        }
        parts.join("\n{\n") + &self.state.tail(module)
    }

    /// Everything that `name` includes of the program's own, with its own text.
    fn translation_unit(&self, name: &str) -> String {
        let (mut seen, mut next, mut all) = (BTreeSet::new(), vec![name.to_owned()], String::new());
        while let Some(name) = next.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let text = self.file(&name);
            let included = text
                .lines()
                .filter_map(|line| line.split("include \"").nth(1)?.split('"').next());
            next.extend(
                included
                    .filter(|name| self.upstream.contains_key(*name))
                    .map(str::to_owned),
            );
            all += &text;
        }
        all
    }

    /// Puts the state on disk and compiles what it changes, two files at a time.
    fn build(&mut self) {
        for (link, program) in [(CLANG, "clang"), (LLD, "ld.lld")] {
            let real = which::which(format!("{program}-{}", self.state.llvm)).unwrap();
            let there = self.bench.path(link);
            if !fs::read_link(&there).is_ok_and(|target| target == real) {
                let _ = fs::remove_file(&there);
                symlink(real, there).unwrap();
            }
        }
        for (name, text) in [("blob", &self.state.blob), ("inline", &self.state.inline)] {
            if fs::read_to_string(self.bench.path(name)).ok().as_ref() != Some(text) {
                self.bench.write(name, text);
            }
        }
        let headers = self.upstream.keys().filter(|name| name.ends_with(".h"));
        let sources = (0..self.state.tails.len()).map(|module| format!("{}.c", State::name(module)));
        for name in headers.cloned().chain(sources) {
            let text = self.file(&name);
            if fs::read_to_string(self.bench.path(&format!("src/{name}")))
                .ok()
                .as_ref()
                != Some(&text)
            {
                self.bench.write(&format!("src/{name}"), &text);
            }
        }
        let mut commands = Vec::new();
        for module in 0..self.state.tails.len() {
            let name = State::name(module);
            let debug = if self.state.debug.contains(&module) {
                "-g"
            } else {
                "-g0"
            };
            let (llvm, level) = (self.state.llvm, self.state.level);
            let made_of = format!("{llvm} {level} {debug} {}", self.translation_unit(&format!("{name}.c")));
            if self.compiled.get(&name) == Some(&made_of) {
                continue;
            }
            let (source, object) = (format!("src/{name}.c"), format!("o/{name}.o"));
            let words = [
                "-c",
                &source,
                "-o",
                &object,
                "-flto=thin",
                "-w",
                "-DHAVE_UNISTD_H",
                level,
                debug,
            ];
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

    fn words(&self) -> Vec<String> {
        let objects = (0..self.state.tails.len()).map(|module| format!("o/{}.o", State::name(module)));
        let options = OPTIONS
            .iter()
            .zip(self.state.options)
            .map(|(row, chosen)| row[chosen].to_owned());
        objects.chain(options.filter(|option| !option.is_empty())).collect()
    }

    /// What the links must give and the program do; backends run.
    fn check(&self, random: &mut Random) -> u64 {
        let owned = self.words();
        let words: Vec<&str> = owned.iter().map(String::as_str).collect();
        let (clang, linker) = (self.bench.path(CLANG), self.bench.path(LLD));
        self.bench
            .fresh(clang.to_str().unwrap(), linker.to_str().unwrap(), &words);
        let expected = self.bench.read("ref.out");
        let mut run = 0;
        // With its objects shown and without, each in the cold and after another; at times the output is not as it was left.
        let times: &[bool] = match random.below(6) {
            0 => &[false, false, true],
            1 | 2 => &[false],
            _ => &[true],
        };
        for shown in times {
            self.disturb(random);
            let ld = format!("--ld-path={}", self.bench.shim().display());
            let mut ours = vec![ld.as_str(), "-o", "our.out"];
            ours.extend(shown.then_some("-Wl,--lto-obj-path=our.P"));
            ours.extend(&words);
            let outcome = self.bench.run(&clang, &ours).clean().ok();
            assert_eq!(
                (outcome.mode(), outcome.stderr.as_str()),
                ("distributed", ""),
                "{}",
                outcome.reason()
            );
            assert!(
                self.bench.read("our.out") == expected,
                "another output than a fresh link's"
            );
            if *shown {
                assert_eq!(self.bench.differing_objects(), Vec::<String>::new());
            }
            run += outcome.backends("run");
        }
        self.works();
        run
    }

    /// What others do to an output between two links.
    fn disturb(&self, random: &mut Random) {
        let path = self.bench.path("our.out");
        let Ok(mut bytes) = fs::read(&path) else { return };
        let middle = bytes.len() / 2;
        match random.below(8) {
            // In place, as objtool does.
            0 => {
                bytes[middle] ^= 1;
                fs::OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .write_all(&bytes)
                    .unwrap();
            }
            1 => fs::remove_file(&path).unwrap(),
            2 => fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(middle as u64)
                .unwrap(),
            _ => {}
        }
    }
}

impl Walk {
    /// The program prints what the state says, and packs and unpacks.
    fn works(&self) {
        let mut walk = self.bench.command(self.bench.path("our.out"), &[]);
        let said = walk.env("WALK", "1").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), self.state.expected());
        let filter = |words: &[&str], input: &[u8]| {
            let mut command = self.bench.command(self.bench.path("our.out"), words);
            let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            running.stdin.take().unwrap().write_all(input).unwrap();
            running.wait_with_output().unwrap().stdout
        };
        let text = self.state.expected().repeat(20);
        let packed = filter(&[], text.as_bytes());
        assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() < text.len() / 2);
        assert!(filter(&["-d"], &packed) == text.as_bytes(), "not what was packed");
    }
}

/// The kinds of edit; each is made as often as it stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    Body,
    Statement,
    Signature,
    Call,
    Header,
    Definition,
    Text,
    Comment,
    Options,
    Level,
    DebugInfo,
    Blob,
    Inline,
    Add,
    Remove,
    Clang,
    Back,
    Nothing,
}

use Edit::{
    Add, Back, Blob, Body, Call, Clang, Comment, DebugInfo, Definition, Header, Inline, Level, Nothing, Options,
    Remove, Signature, Statement, Text,
};

const EDITS: [Edit; 40] = [
    Body, Body, Body, Body, Body, Body, Statement, Statement, Statement, Statement, Statement, Signature, Signature,
    Call, Call, Header, Definition, Definition, Text, Text, Text, Text, Comment, Comment, Comment, Options, Options,
    Options, DebugInfo, DebugInfo, Blob, Blob, Inline, Inline, Add, Remove, Back, Back, Nothing, Nothing,
];

/// Edits after which everything is compiled anew, which takes its time: made now and then.
const WIDE: [Edit; 3] = [Clang, Level, Clang];

impl State {
    fn edit(&mut self, edit: Edit, earlier: &[State], random: &mut Random) {
        let module = random.below(self.tails.len());
        let number = u32::try_from(random.below(500)).unwrap();
        let tail = &mut self.tails[module];
        match edit {
            Body => (tail.shape, tail.number) = (random.below(3), number),
            Statement => {
                self.statements
                    .insert((random.below(MODULES.len()), random.below(30)), number);
            }
            Signature => tail.two = !tail.two,
            Call => {
                let later = random.below(self.tails.len());
                self.tails[module].calls = (later > module).then_some(later);
            }
            Header => self.definitions[random.below(3)] = random.below(3),
            Definition => self.definitions[3 + random.below(2)] = random.below(3),
            // As long as before at times: an identical summary.
            Text => tail.text = format!("text{}", random.below(1000)),
            Comment => tail.comment = random.next(),
            Options => {
                let row = random.below(OPTIONS.len());
                self.options[row] = random.below(OPTIONS[row].len());
            }
            Level => self.level = if self.level == "-O2" { "-O1" } else { "-O2" },
            DebugInfo => {
                if !self.debug.remove(&module) {
                    self.debug.insert(module);
                }
            }
            Blob => self.blob = format!("blob{}", random.below(1000)),
            Inline => self.inline = format!("inline{}", random.below(1000)),
            Add => {
                let mut added = self.tails[module].clone();
                added.calls = None;
                self.tails.push(added);
            }
            Remove if self.tails.len() > MODULES.len() => {
                self.tails.pop();
                let last = self.tails.len();
                for tail in &mut self.tails {
                    tail.calls = tail.calls.filter(|other| *other < last);
                }
                self.debug.remove(&last);
            }
            Clang => self.llvm = if self.llvm == 22 { 19 } else { 22 },
            Back => *self = earlier[earlier.len() - 1 - random.below(earlier.len().min(12))].clone(),
            Remove | Nothing => {}
        }
    }
}

#[test]
fn two_hundred_edits_of_a_real_program() {
    let steps = std::env::var("THINLTO_WALK_STEPS").map_or(200, |text| text.parse().unwrap());
    let mut random = Random::seeded("THINLTO_WALK_SEED", 3);
    let mut walk = Walk::new();
    walk.build();
    assert!(
        walk.check(&mut random) >= MODULES.len() as u64,
        "something was there before"
    );
    let mut earlier = vec![walk.state.clone()];
    let mut narrow: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for step in 1..=steps {
        let edit = if step % 20 == 0 {
            WIDE[step / 20 % WIDE.len()]
        } else {
            *random.pick(&EDITS)
        };
        walk.state.edit(edit, &earlier, &mut random);
        eprintln!("step {step}: {edit:?}");
        walk.build();
        let run = walk.check(&mut random);
        match edit {
            Body => narrow.entry("body").or_default().push(run),
            Nothing => narrow.entry("nothing").or_default().push(run),
            _ => {}
        }
        earlier.push(walk.state.clone());
    }
    eprintln!("backends run after edits: {narrow:?}");
    // An edit reaches its own module and those that import what was edited.
    assert!(narrow["body"].iter().filter(|run| (1..=4).contains(*run)).count() >= narrow["body"].len() / 2);
    assert!(
        narrow
            .get("nothing")
            .is_none_or(|runs| runs.iter().all(|run| *run == 0))
    );
}
