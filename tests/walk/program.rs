//! The program that is walked: gun, zlib's gunzip, with a function of ours at the end of each of its modules and some modules
//! that have only that; what it is made of, the edits of it, and what it prints. Knows nothing of linking.

use std::collections::{BTreeMap, BTreeSet};

use super::common::random::Random;

/// zlib's modules in the order of the link; gun.c, the program, comes first.
const UPSTREAM: [&str; 7] = ["gun", "adler32", "crc32", "infback", "inffast", "inftrees", "zutil"];

/// How many more there are at first.
const EXTRA: usize = 5;

/// Definitions in zlib's own files that may have other values, with those; those in headers first.
const DEFINITIONS: [(&str, &str, &[u32]); 6] = [
    ("inftrees.h", "#define ENOUGH_LENS ", &[852, 856, 864]),
    ("inftrees.h", "#define ENOUGH_DISTS ", &[592, 594, 600]),
    // No module here uses it: all are compiled again, and are what they were.
    ("zutil.h", "#  define DEF_MEM_LEVEL ", &[7, 8, 9]),
    ("gun.c", "#define PIECE ", &[16384, 8192, 4096]),
    ("crc32.c", "#  define N ", &[5, 4, 2]),
    ("adler32.c", "#define NMAX ", &[5552, 2768, 1600]),
];
const IN_HEADERS: usize = 3;

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
pub struct State {
    /// Of clang and lld.
    pub llvm: u32,
    level: &'static str,
    debug: BTreeSet<usize>,
    options: [usize; OPTIONS.len()],
    definitions: [usize; DEFINITIONS.len()],
    tails: Vec<Tail>,
    /// Statements at the start of zlib's own functions: module, which function, what it adds.
    statements: BTreeMap<(usize, usize), u32>,
    pub blob: String,
    pub inline: String,
}

/// The kinds of edit; each is made as often as it stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
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

impl Edit {
    /// The edit of a step of the walk.
    pub fn of(step: usize, random: &mut Random) -> Edit {
        match step % 20 {
            0 => WIDE[step / 20 % WIDE.len()],
            _ => *random.pick(&EDITS),
        }
    }
}

fn name(module: usize) -> String {
    UPSTREAM
        .get(module)
        .map_or_else(|| format!("extra{module}"), |name| (*name).to_owned())
}

impl State {
    pub fn new() -> State {
        let modules = UPSTREAM.len() + EXTRA;
        let tail = |module: usize| Tail {
            shape: module % 3,
            number: 3,
            two: false,
            calls: (module > 0 && module + 3 < modules).then_some(module + 3),
            text: "text".into(),
            comment: 0,
        };
        State {
            llvm: 22,
            level: "-O2",
            debug: BTreeSet::new(),
            options: [0; OPTIONS.len()],
            definitions: [0; DEFINITIONS.len()],
            tails: (0..modules).map(tail).collect(),
            statements: BTreeMap::new(),
            blob: "blob".into(),
            inline: "inline".into(),
        }
    }

    /// The modules' names, in the order of the link.
    pub fn modules(&self) -> Vec<String> {
        (0..self.tails.len()).map(name).collect()
    }

    /// How one is compiled.
    pub fn flags(&self, module: usize) -> [&'static str; 2] {
        let debug = if self.debug.contains(&module) { "-g" } else { "-g0" };
        [self.level, debug]
    }

    /// The options on the link line.
    pub fn options(&self) -> Vec<&'static str> {
        let rows = OPTIONS.iter().zip(self.options);
        rows.map(|(row, chosen)| row[chosen])
            .filter(|option| !option.is_empty())
            .collect()
    }

    fn call(&self, module: usize, argument: &str) -> String {
        let more = if self.tails[module].two { ", 3" } else { "" };
        format!("walk_{}({argument}{more})", name(module))
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
        let (named, number) = (name(module), tail.number);
        let declare = |other: usize| {
            let more = if self.tails[other].two { ", unsigned" } else { "" };
            format!("extern unsigned walk_{}(unsigned{more});\n", name(other))
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
            "const char *walk_text_{named}(void) {{ return \"{}\"; }}\n\
             unsigned walk_{named}(unsigned x{more}) {{ {own} return (own + {second} + {called}) % 1009; }}\n",
            tail.text
        );
        match named.as_str() {
            "zutil" => {
                text += "__asm__(\".pushsection .rodata\\n.globl walk_blob\\nwalk_blob: .incbin \\\"blob\\\"\\n.byte 0\\n.popsection\");\n"
            }
            // Small enough to be imported by who calls it, its file with it.
            "adler32" => {
                text += "const char *walk_inline(void) { const char *p; __asm__(\".pushsection .rodata\\n7: .incbin \\\"inline\\\"\\n\
                         .byte 0\\n.popsection\\nleaq 7b(%%rip), %0\" : \"=r\"(p)); return p; }\n"
            }
            "gun" => text += &self.printing(&declare),
            _ => {}
        }
        text
    }

    /// What calls all the others.
    fn printing(&self, declare: &dyn Fn(usize) -> String) -> String {
        let mut text = "extern const char walk_blob[], *walk_inline(void);\n".to_owned();
        for other in 1..self.tails.len() {
            text += &declare(other);
            text += &format!("extern const char *walk_text_{}(void);\n", name(other));
        }
        text += "__attribute__((constructor)) static void walk(void) {\n  if (!getenv(\"WALK\")) return;\n";
        for other in 0..self.tails.len() {
            let (call, named) = (self.call(other, "5"), name(other));
            text += &format!("  printf(\"%u %s\\n\", {call}, walk_text_{named}());\n");
        }
        text + "  printf(\"%s %s\\n\", walk_blob, walk_inline());\n  exit(0);\n}\n"
    }

    /// What the program prints of itself.
    pub fn expected(&self) -> String {
        let lines = (0..self.tails.len()).map(|i| format!("{} {}\n", self.value(i, 5), self.tails[i].text));
        lines.collect::<String>() + &format!("{} {}\n", self.blob, self.inline)
    }

    /// A file of the program; `upstream` has zlib's as they came.
    pub fn file(&self, file: &str, upstream: &BTreeMap<String, String>) -> String {
        let mut text = upstream.get(file).cloned().unwrap_or_default();
        for ((of, definition, values), chosen) in DEFINITIONS.iter().zip(self.definitions) {
            if *of == file {
                let start = text.find(definition).expect("zlib has other definitions") + definition.len();
                let end = start + text[start..].find('\n').unwrap();
                text.replace_range(start..end, &values[chosen].to_string());
            }
        }
        let Some(module) = (0..self.tails.len()).find(|module| format!("{}.c", name(*module)) == file) else {
            return text;
        };
        let mut parts: Vec<String> = text.split("\n{\n").map(str::to_owned).collect();
        for ((_, function), number) in self.statements.range((module, 0)..(module + 1, 0)) {
            let at = function % parts.len();
            if at > 0 {
                let count = format!("    static unsigned walk_{function}; walk_{function} += {number};\n");
                parts[at].insert_str(0, &count);
            }
        }
        parts.join("\n{\n") + &self.tail(module)
    }

    /// Everything that `file` includes of the program's own, with its own text.
    pub fn translation_unit(&self, file: &str, upstream: &BTreeMap<String, String>) -> String {
        let (mut seen, mut next, mut all) = (BTreeSet::new(), vec![file.to_owned()], String::new());
        while let Some(file) = next.pop() {
            if !seen.insert(file.clone()) {
                continue;
            }
            let text = self.file(&file, upstream);
            let included = text
                .lines()
                .filter_map(|line| line.split("include \"").nth(1)?.split('"').next());
            next.extend(included.filter(|file| upstream.contains_key(*file)).map(str::to_owned));
            all += &text;
        }
        all
    }

    /// Makes an edit; `earlier` are the states there have been.
    pub fn edit(&mut self, edit: Edit, earlier: &[State], random: &mut Random) {
        let module = random.below(self.tails.len());
        let number = u32::try_from(random.below(500)).unwrap();
        let tail = &mut self.tails[module];
        match edit {
            Body => (tail.shape, tail.number) = (random.below(3), number),
            Statement => {
                let place = (random.below(UPSTREAM.len()), random.below(30));
                self.statements.insert(place, number);
            }
            Signature => tail.two = !tail.two,
            Call => {
                let later = random.below(self.tails.len());
                self.tails[module].calls = (later > module).then_some(later);
            }
            Header => self.definitions[random.below(IN_HEADERS)] = random.below(3),
            Definition => {
                let others = DEFINITIONS.len() - IN_HEADERS;
                self.definitions[IN_HEADERS + random.below(others)] = random.below(3);
            }
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
            Remove if self.tails.len() > UPSTREAM.len() => {
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
