//! `-r` links in linear time. For a section with `SHF_LINK_ORDER`, of which there may be one a function
//! (`__patchable_function_entries`, `.kcfi_traps`, `.llvm_bb_addr_map`), lld looks through all output sections of its name that
//! there are so far (lld/ELF/LinkerScript.cpp `addInputSec`). So in what lld is given each has a name of its own, and in what
//! it writes the old one is put back: the output is what lld writes of the objects as they are, byte for byte.
//! Knows nothing of bitcode, nor of how the linker is run.
//!
//! Nothing is renamed where anything could tell; where that is noticed late, the link is to be made of the objects as they are.

mod class;
mod naming;
mod object;
mod output;
mod patterns;
mod sample;
mod sections;
mod sources;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;

use rayon::prelude::*;

use crate::cmdline::{Invocation, Item, OutputKind, Role};
use crate::fresh::Fresh;
use crate::inputs::Inputs;
use crate::settings::Relocatable;
use crate::staging::Staging;
use naming::Renaming;
use patterns::Patterns;
pub(crate) use patterns::may_match;
use sources::Source;

/// What names that are given here begin with, and what stands before the old one; no other name may have it.
const MARK: u8 = b'~';

/// When sections are renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    WhereItPays,
    Always,
}

impl Wish {
    fn of(invocation: &Invocation, setting: Relocatable) -> Result<Wish, Kept> {
        let wish = match setting {
            Relocatable::Plain => return Err(Kept::Setting),
            Relocatable::Renamed => Wish::WhereItPays,
            Relocatable::Always => Wish::Always,
        };
        if invocation.kind != OutputKind::Relocatable {
            return Err(Kept::Few);
        }
        match invocation.items.iter().find(|item| sees_names(item)) {
            Some(item) => Err(Kept::Option(item.spelled())),
            None => Ok(wish),
        }
    }
}

/// Why sections will not be renamed in a link whose objects there are not yet, as far as its command line tells.
pub fn kept(invocation: &Invocation, setting: Relocatable) -> Option<Kept> {
    Wish::of(invocation, setting).err()
}

/// Why a `-r` link is made of its objects as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The setting says so.
    Setting,
    /// There are few sections of one name that lld would look through.
    Few,
    /// An option could tell; as the user has spelled it.
    Option(String),
    /// A linker script could tell, by this name or for this reason.
    Script(String),
    /// An input is not known for what it does to names, or has names that are like those given here.
    Input(String),
    /// There are sections of such a name that are not ordered by others, or lld knows the name.
    Mixed,
    /// The output is not a file, or cannot be.
    Output,
    /// The copies could not be written.
    Staging(String),
    /// The linker failed: it will say why of the objects as they are.
    Failed,
    /// The linker had something to say of a copy or a section that was renamed.
    Mentioned,
    /// What the linker wrote is not as expected.
    Unexpected(String),
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kept::Setting => write!(f, "setting"),
            Kept::Few => write!(f, "few sections of one name"),
            Kept::Option(option) => write!(f, "{option}"),
            Kept::Script(what) => write!(f, "linker script: {what}"),
            Kept::Input(what) => write!(f, "{what}"),
            Kept::Mixed => write!(f, "sections of one name, some ordered by others and some not"),
            Kept::Output => write!(f, "the output is no file"),
            Kept::Staging(what) => write!(f, "not staged: {what}"),
            Kept::Failed => write!(f, "the link failed"),
            Kept::Mentioned => write!(f, "the linker mentioned a section or a copy"),
            Kept::Unexpected(what) => write!(f, "unexpected output: {what}"),
        }
    }
}

/// Options that see no section's name, nor an object's, in a `-r` link. With any other nothing is renamed: `--gc-sections`
/// (`__start_` symbols), `--build-id` (made of all the file), `-Map` and what else names sections to people.
const BLIND: [&str; 52] = [
    "allow-multiple-definition",
    "color-diagnostics",
    "default-script",
    "defsym",
    "demangle",
    "discard-all",
    "discard-locals",
    "discard-none",
    "EB",
    "eh-frame-hdr",
    "EL",
    "entry",
    "error-limit",
    "fatal-warnings",
    "G",
    "g",
    "hash-style",
    "image-base",
    "L",
    "m",
    "mmap-output-file",
    "no-allow-multiple-definition",
    "no-demangle",
    "no-dynamic-linker",
    "no-eh-frame-hdr",
    "no-fatal-warnings",
    "no-gc-sections",
    "no-mmap-output-file",
    "no-nmagic",
    "no-omagic",
    "no-pie",
    "no-print-gc-sections",
    "no-print-icf-sections",
    "no-relax",
    "no-undefined",
    "no-undefined-version",
    "no-warn-common",
    "no-warn-mismatch",
    "no-warnings",
    "nostdlib",
    "O",
    "o",
    "relax",
    "relocatable",
    "script",
    "strip-debug",
    "sysroot",
    "threads",
    "undefined",
    "undefined-version",
    "warn-common",
    "wrap",
];

/// And some for what they say.
const BLIND_VALUES: [(&str, &str); 2] = [("build-id", "none"), ("orphan-handling", "place")];

/// `-z` keywords that are patterns for sections' names begin so.
const SEEING_KEYWORD: &str = "dead-reloc-in-nonalloc";

fn sees_names(item: &Item) -> bool {
    let Item::Option { def, value, .. } = item else {
        return false;
    };
    let value = value.as_deref().unwrap_or_default();
    match def.canonical {
        _ if matches!(def.role, Role::Positional | Role::Lto) => false,
        "z" => value.to_string_lossy().starts_with(SEEING_KEYWORD),
        canonical if BLIND_VALUES.iter().any(|(option, _)| *option == canonical) => !BLIND_VALUES
            .iter()
            .any(|known| known.0 == canonical && value == known.1),
        canonical => !BLIND.contains(&canonical),
    }
}

/// A link of which some sections will be renamed.
#[derive(Debug)]
pub struct Renamed<'a> {
    invocation: &'a Invocation,
    inputs: Inputs,
    sources: Vec<Source>,
    renamings: Vec<Vec<Renaming>>,
}

/// The command line over copies.
#[derive(Debug)]
pub struct Staged {
    /// Its words.
    pub words: Vec<OsString>,
    /// The files for which copies stand.
    pub originals: Vec<PathBuf>,
    /// What the linker writes.
    written: Fresh,
    copies: PathBuf,
    output: PathBuf,
}

impl<'a> Renamed<'a> {
    /// What is to be renamed in a link of native objects alone. Few files are opened where few sections seem to be like that.
    ///
    /// # Errors
    /// Nothing is, and why.
    pub fn of(invocation: &'a Invocation, setting: Relocatable) -> Result<Renamed<'a>, Kept> {
        let wish = Wish::of(invocation, setting)?;
        if wish == Wish::WhereItPays && sample::estimate(invocation) < naming::WORTH / 2 {
            return Err(Kept::Few);
        }
        let inputs = Inputs::open(invocation).map_err(|error| Kept::Input(error.to_string()))?;
        let sources = sources::all(&inputs)?;
        let patterns = Patterns::of(&inputs)?;
        let objects: Result<Vec<_>, _> = sources
            .par_iter()
            .map(|source| sections::read(source.bytes()).map_err(|odd| Kept::Input(format!("{}: {odd}", source.name))))
            .collect();
        let renamings = naming::renamings(&objects?, &patterns, wish)?;
        Ok(Renamed {
            invocation,
            inputs,
            sources,
            renamings,
        })
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.renamings.iter().map(Vec::len).sum()
    }

    /// Writes the copies.
    ///
    /// # Errors
    /// They cannot be written, or the output's place is none for a new file.
    pub fn stage(&self, staging: &Staging) -> Result<Staged, Kept> {
        let output = self.invocation.output.clone();
        let is_file = output
            .symlink_metadata()
            .map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |meta| meta.is_file());
        let written = Fresh::beside(&output).ok().filter(|_| is_file).ok_or(Kept::Output)?;
        let copies = staging.path("renamed");
        let paths = sources::stage(&self.sources, &self.renamings, &copies).map_err(Kept::Staging)?;
        let mut words = Vec::new();
        for (index, item) in self.invocation.items.iter().enumerate() {
            match item {
                Item::Option { def, .. } if def.canonical == "o" => {}
                _ => {
                    let put =
                        sources::words(&self.inputs, &self.sources, &paths, index, &copies).map_err(Kept::Staging)?;
                    words.extend(put.unwrap_or_else(|| item.words().to_vec()));
                }
            }
        }
        words.extend(["-o".into(), written.path().into()]);
        let copied = self.sources.iter().zip(&paths).filter(|(_, path)| path.is_some());
        Ok(Staged {
            words,
            originals: copied.map(|(source, _)| source.file.clone()).collect(),
            written,
            copies,
            output,
        })
    }
}

impl Staged {
    /// Makes of what the linker has written and said the output that it would have made of the objects as they are; how many
    /// sections have their names back.
    ///
    /// # Errors
    /// The link is to be made of those. Nothing has been written to the output's place.
    pub fn finish(&self, linker: &Output) -> Result<usize, Kept> {
        if !linker.status.success() {
            return Err(Kept::Failed);
        }
        let is_mention = |text: &[u8]| text.contains(&MARK) || mentions(text, &self.copies);
        if is_mention(&linker.stdout) || is_mention(&linker.stderr) {
            return Err(Kept::Mentioned);
        }
        let count = output::put_back(self.written.path()).map_err(Kept::Unexpected)?;
        self.written.move_to(&self.output).map_err(|_| Kept::Output)?;
        Ok(count)
    }
}

fn mentions(text: &[u8], path: &Path) -> bool {
    String::from_utf8_lossy(text).contains(&*path.to_string_lossy())
}
