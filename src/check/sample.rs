//! The sample: a few modules that need what backends differ by, and the links they are put into.
//! Knows nothing of what is compared.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::said;

/// Object, options besides the position's, source.
pub(super) const MODULES: [(&str, &[&str], &str); 3] = [
    ("first.o", &["-O2"], include_str!("first.c")),
    ("second.o", &["-O3", "-funwind-tables"], include_str!("second.c")),
    ("third.o", &["-O2", "-g"], include_str!("third.c")),
];

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: &'static str,
    /// Where its modules are.
    position: Position,
    words: &'static [&'static str],
    /// The "PIC Level" of its modules.
    pub(super) pic_level: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Fixed,
    Executable,
    Independent,
}

impl Position {
    const ALL: [Position; 3] = [Position::Fixed, Position::Executable, Position::Independent];

    fn folder(self) -> &'static str {
        match self {
            Position::Fixed => "fixed",
            Position::Executable => "executable",
            Position::Independent => "independent",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Position::Fixed => "-fno-pic",
            Position::Executable => "-fPIE",
            Position::Independent => "-fPIC",
        }
    }
}

const fn link(name: &'static str, position: Position, words: &'static [&'static str]) -> Link {
    let pic_level = match position {
        Position::Fixed => 0,
        Position::Executable | Position::Independent => 2,
    };
    Link {
        name,
        position,
        words,
        pic_level,
    }
}

pub(super) const LINKS: [Link; 8] = [
    link("executable", Position::Fixed, &[]),
    link("executable, level 3", Position::Fixed, &["--lto-O3"]),
    link("executable, level 1", Position::Fixed, &["--lto-O1"]),
    link("executable, level 0", Position::Fixed, &["--lto-O0"]),
    link("position-independent executable", Position::Executable, &["-pie"]),
    link("shared library", Position::Independent, &["-shared"]),
    link("relocatable file", Position::Executable, &["-r"]),
    link(
        "executable, words of clang's driver",
        Position::Fixed,
        &[
            "-plugin-opt=-function-sections=1",
            "-plugin-opt=-data-sections=1",
            "-mllvm",
            "-import-instr-limit=50",
        ],
    ),
];

/// Compiled.
#[derive(Debug)]
pub(super) struct Sample<'a> {
    pub(super) folder: &'a Path,
    pub(super) triple: String,
}

impl<'a> Sample<'a> {
    /// Compiles it.
    pub(super) fn compile(clang: &Path, folder: &'a Path) -> Result<Sample<'a>, String> {
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        for position in Position::ALL {
            let inside = folder.join(position.folder());
            fs::create_dir(&inside).map_err(|error| format!("{}: {error}", inside.display()))?;
            for (object, options, source) in MODULES {
                let text = Path::new(object).with_extension("c");
                fs::write(inside.join(&text), source).map_err(|error| format!("{}: {error}", text.display()))?;
                let mut command = Command::new(clang);
                command.current_dir(&inside).arg(format!("--target={triple}"));
                let fixed = [
                    "--no-default-config",
                    "-nostdinc",
                    "-w",
                    "-flto=thin",
                    "-ffunction-sections",
                    "-c",
                ];
                command
                    .args(fixed)
                    .arg(position.option())
                    .args(options)
                    .arg(&text)
                    .args(["-o", object]);
                said(&mut command)?;
            }
        }
        Ok(Sample { folder, triple })
    }

    /// A link's modules.
    pub(super) fn modules(&self, link: &Link) -> [String; MODULES.len()] {
        MODULES.map(|(object, ..)| format!("{}/{object}", link.position.folder()))
    }

    /// A link's words, but for what only one of both ways has.
    pub(super) fn words(&self, link: &Link) -> Vec<OsString> {
        let fixed = ["-o", "out", "-e", "first", "--unresolved-symbols=ignore-all"].map(str::to_owned);
        let words = link.words.iter().map(|word| (*word).to_owned());
        fixed
            .into_iter()
            .chain(words)
            .chain(self.modules(link))
            .map(OsString::from)
            .collect()
    }
}
