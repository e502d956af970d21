//! The commands that make a random program's inputs and its link line. Knows nothing of running them.

use std::fmt::Write;

use super::choices::kind_flags;
use super::generate::{FUNCTIONS, VARIABLES};
use super::program::{Group, Item, Kind, Output, Program, Shape};
use super::render;

/// A compilation of one source file.
pub struct Compile {
    pub source: String,
    pub text: String,
    pub object: String,
    pub clang: String,
    pub flags: Vec<String>,
}

/// All that a link is made by.
pub struct Build {
    pub compiles: Vec<Compile>,
    pub files: Vec<(String, String)>,
    /// Archives and shared libraries.
    pub commands: Vec<Vec<String>>,
    /// What stands for the objects in the compiler's link line.
    pub inputs: Vec<String>,
    /// The compiler and its options, of which the link line comes.
    pub driver: Vec<String>,
    pub output: String,
    /// The same for the program that uses a library or a relocatable object; its inputs name `OUTPUT`.
    pub user: Option<(Vec<String>, Vec<String>)>,
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Build {
    pub fn of(program: &Program) -> Build {
        let mut build = Build {
            compiles: Vec::new(),
            files: Vec::new(),
            commands: Vec::new(),
            inputs: Vec::new(),
            driver: Vec::new(),
            output: match program.output {
                Output::Shared => "libout.so",
                Output::Relocatable => "out.o",
                _ => "out",
            }
            .to_owned(),
            user: None,
        };
        build.compiles(program);
        for group in 0..program.groups.len() {
            build.group(program, group);
        }
        build.inputs(program);
        build.link(program);
        build
    }

    fn compiles(&mut self, program: &Program) {
        let pic = |pic: Output| match pic {
            Output::NoPie | Output::Static => "-fno-pie",
            Output::Pie | Output::StaticPie | Output::Relocatable => "-fPIE",
            Output::Shared => "-fPIC",
        };
        for (at, module) in program.modules.iter().enumerate() {
            let extension = if module.cpp { "cpp" } else { "c" };
            let pic = if program.is_shared(at) {
                "-fPIC"
            } else {
                pic(program.output)
            };
            let mut flags = owned(&["-w", "-fcommon", module.level, pic]);
            flags.extend(owned(kind_flags(module.kind)));
            if module.sections {
                flags.push("-ffunction-sections".to_owned());
            }
            if program.split_unit && module.kind != Kind::Native {
                flags.push("-fsplit-lto-unit".to_owned());
            }
            if module.cpp {
                flags.retain(|flag| flag != "-fcommon");
                flags.extend(owned(&["-fno-rtti", "-fno-threadsafe-statics"]));
                if !program.throws() {
                    flags.push("-fno-exceptions".to_owned());
                }
            }
            // Otherwise a memset's loop becomes a call of memset.
            if module.items.iter().any(|item| matches!(item, Item::Routine(_))) {
                flags.extend(owned(&["-fno-builtin"]));
            }
            self.compiles.push(Compile {
                source: format!("m{}.{extension}", module.number),
                text: render::text(module, program.output),
                object: format!("m{}.o", module.number),
                clang: format!("clang-{}", program.llvm),
                flags,
            });
        }
        if !program.output.is_program() {
            self.compiles.push(Compile {
                source: "user.c".to_owned(),
                text: render::user(FUNCTIONS, VARIABLES),
                object: "user.o".to_owned(),
                clang: format!("clang-{}", program.llvm),
                flags: owned(&["-w", "-O1", "-fPIE"]),
            });
        }
    }

    fn group(&mut self, program: &Program, at: usize) {
        let group = &program.groups[at];
        let objects: Vec<String> = members(program, group);
        match group.shape {
            Shape::Objects | Shape::Lib => {}
            Shape::Archive { thin, same_names, .. } => {
                let archive = format!("libg{at}.a");
                let ar = format!("llvm-ar-{}", program.llvm);
                let thin = if thin { "--thin" } else { "-v" };
                if same_names {
                    for object in objects {
                        let folder = object.trim_end_matches(".o");
                        let same = format!("{folder}/same.o");
                        self.commands.push(owned(&["mkdir", "-p", folder]));
                        self.commands.push(owned(&["cp", &object, &same]));
                        self.commands.push(owned(&[&ar, "qcs", thin, &archive, &same]));
                    }
                } else {
                    let words = [owned(&[&ar, "rcs", thin, &archive]), objects].concat();
                    self.commands.push(words);
                }
            }
            Shape::Shared { .. } => {
                let library = format!("libg{at}.so");
                let first = owned(&[
                    &format!("ld.lld-{}", program.llvm),
                    "-shared",
                    "-o",
                    &library,
                    "-soname",
                    &library,
                ]);
                self.commands.push([first, objects].concat());
            }
        }
    }

    fn inputs(&mut self, program: &Program) {
        let mut before = Vec::new();
        let mut after = Vec::new();
        for choice in &program.choices {
            if choice.last { &mut after } else { &mut before }.extend(choice.words.clone());
            self.files.extend(choice.file.clone());
        }
        self.inputs = before;
        let mut open = false;
        for input in &program.inputs {
            if open != input.grouped {
                self.inputs
                    .push(if open { "--end-group" } else { "--start-group" }.to_owned());
                open = input.grouped;
            }
            let group = &program.groups[input.group];
            let file = match group.shape {
                Shape::Objects | Shape::Lib => members(program, group),
                Shape::Archive { .. } => vec![format!("libg{}.a", input.group)],
                Shape::Shared { .. } => vec![format!("libg{}.so", input.group)],
            };
            let named = match input.script {
                Some(word) => {
                    let script = format!("g{}.ld", input.group);
                    let text = format!("{word}({})\n", file.join(" "));
                    if !self.files.iter().any(|(name, _)| *name == script) {
                        self.files.push((script.clone(), text));
                    }
                    vec![script]
                }
                None if input.searched => owned(&["-L.", &format!("-lg{}", input.group)]),
                None => file,
            };
            let (first, last) = match group.shape {
                Shape::Lib => ("--start-lib", "--end-lib"),
                Shape::Archive { whole: true, .. } => ("--whole-archive", "--no-whole-archive"),
                Shape::Shared { as_needed: true } => ("--as-needed", "--no-as-needed"),
                _ => ("", ""),
            };
            let words = [owned(&[first]), named, owned(&[last])].concat();
            self.inputs.extend(words.into_iter().filter(|word| !word.is_empty()));
        }
        if open {
            self.inputs.push("--end-group".to_owned());
        }
        self.inputs.extend(after);
    }

    fn link(&mut self, program: &Program) {
        let cpp = if program.throws() { "clang++" } else { "clang" };
        let driver = format!("{cpp}-{}", program.llvm);
        let option = match program.output {
            Output::NoPie => "-no-pie",
            Output::Pie => "-pie",
            Output::Static => "-static",
            Output::StaticPie => "-static-pie",
            Output::Shared => "-shared",
            Output::Relocatable => "-r",
        };
        self.driver = owned(&[&driver, option]);
        if program.output == Output::Shared {
            self.inputs.splice(0..0, owned(&["-soname", "libout.so"]));
        }
        if !program.output.is_program() {
            let mut inputs = owned(&["user.o", "OUTPUT"]);
            for (at, group) in program.groups.iter().enumerate() {
                if let Shape::Shared { .. } = group.shape {
                    inputs.push(format!("libg{at}.so"));
                }
            }
            self.user = Some((owned(&[&driver, "-pie"]), inputs));
        }
    }

    /// All of it as a shell script, with the linker in `$LD`.
    pub fn script(&self, link: &[String], user: Option<&[String]>) -> String {
        let mut text = "set -e\n".to_owned();
        let sources = self.compiles.iter().map(|of| (&of.source, &of.text));
        let files = self.files.iter().map(|(name, text)| (name, text));
        for (name, content) in sources.chain(files) {
            writeln!(text, "cat >{name} <<'EOF'\n{}\nEOF", content.trim_end()).unwrap();
        }
        for of in &self.compiles {
            let flags = of.flags.join(" ");
            writeln!(text, "{} -c {flags} {} -o {}", of.clang, of.source, of.object).unwrap();
        }
        for command in &self.commands {
            writeln!(text, "{}", quoted(command)).unwrap();
        }
        writeln!(text, "$LD {}", quoted(link)).unwrap();
        match user {
            Some(words) => writeln!(text, "$LD {}\nLD_LIBRARY_PATH=. ./user", quoted(words)).unwrap(),
            None => writeln!(text, "LD_LIBRARY_PATH=. ./{}", self.output).unwrap(),
        }
        text
    }
}

fn members(program: &Program, group: &Group) -> Vec<String> {
    let numbers = group.members.iter().map(|member| program.modules[*member].number);
    numbers.map(|number| format!("m{number}.o")).collect()
}

/// Words as a shell reads them.
pub fn quoted(words: &[String]) -> String {
    let plain = |word: &String| {
        word.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./=+,:@%".contains(c))
    };
    let one = |word| if plain(word) { word.clone() } else { format!("'{word}'") };
    words.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Whether a name is one of the program's own, for symbol tables.
pub fn is_ours(symbol: &str) -> bool {
    let symbol = symbol.trim_start_matches("__wrap_").trim_start_matches("__real_");
    let symbol = symbol.split(".llvm.").next().unwrap_or(symbol);
    let numbered = |letter: char| {
        let rest = symbol.strip_prefix(letter);
        rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit()))
    };
    "fvt".chars().any(numbered) || ["zero", "memset", "memcpy"].contains(&symbol) || symbol.starts_with("_Z")
}
