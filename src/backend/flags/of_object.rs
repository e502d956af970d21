//! What an object's own compilation adds to its backend: the driver is asked what it makes of the options, with and without
//! them, and what the code generator reads of the difference is taken. Knows nothing of where the options were written down.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::mllvm::{self, Found, Rule, Value};
use super::{Flags, ModuleTarget};
use crate::compiled::Compiled;
use crate::toolchain::{Clang, driver};

/// The words an object's compilation adds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFlags {
    pub(super) words: Vec<String>,
    /// Files they name.
    pub(super) inputs: Vec<PathBuf>,
}

pub(super) const NO_UNROLLING: &str = "-fno-unroll-loops";

/// What a backend reads besides what the LTO options of a link can say (`runThinLTOBackend` and `initTargetOptions` in
/// clang/lib/CodeGen/BackendUtil.cpp).
const MORE: &[(&str, Value)] = &[
    ("-mllvm", Value::Separate),
    (NO_UNROLLING, Value::None),
    ("-fbasic-block-sections=", Value::Joined),
    ("-fbasic-block-address-map", Value::None),
    ("-funique-basic-block-section-names", Value::None),
    ("-mnoexecstack", Value::None),
    ("-massembler-no-warn", Value::None),
    ("-massembler-fatal-warnings", Value::None),
];

/// What a backend reads and must not be told: the module says it, in-process for all, or it would make other debug
/// information than what is in the module.
const OF_THE_MODULE: &[&str] = &[
    "-mcmodel=",
    "-exception-model=",
    "-debugger-tuning=",
    "-debug-info-kind=constructor",
    "-dwarf-version=5",
    "-gstrict-dwarf",
    "-gdwarf64",
];

/// How clang names a file that lists basic blocks, the only one of these words that does.
const BLOCKS: &str = "-fbasic-block-sections=list=";

/// One question to clang: what these options add for this target, in backends with these flags.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Whom.
    pub clang: &'a Clang,
    /// What the link says.
    pub flags: &'a Flags,
    /// The module's target.
    pub target: &'a ModuleTarget,
    /// The object's options.
    pub compiled: &'a Compiled,
}

impl Asking<'_> {
    /// All that the answer depends on besides clang itself.
    pub fn fingerprint(&self) -> Vec<u8> {
        let mut bytes = self.flags.fingerprint(self.target, 0);
        let options = self.compiled.options.iter().map(String::as_bytes);
        for part in options.chain([self.compiled.dir.as_os_str().as_encoded_bytes()]) {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part);
        }
        bytes
    }

    /// The answer.
    ///
    /// # Errors
    /// clang does not take the options, in its own words.
    pub fn ask(&self) -> Result<ObjectFlags, String> {
        let with = self.driver(&self.compiled.options)?;
        let triple = with.iter().position(|word| word == "-triple");
        let triple = triple.and_then(|at| with.get(at + 1)).ok_or("clang names no target")?;
        let bare = self.driver(&[format!("--target={triple}")])?;
        let major = self.clang.version.major;
        let usual: HashSet<Vec<String>> = reaching(&bare, major).into_iter().collect();
        let mut flags = ObjectFlags::default();
        for added in reaching(&with, major)
            .into_iter()
            .filter(|words| !usual.contains(words))
        {
            flags.take(added, &self.compiled.dir);
        }
        tracing::debug!(options = ?self.compiled.options, adds = ?flags.words, "asked clang");
        if !flags.words.is_empty() {
            let probed = self.flags.with(&flags).probe(&self.clang.path, self.target);
            probed.map_err(|error| error.reason)?;
        }
        Ok(flags)
    }

    /// The `-cc1` words the driver would compile bitcode with.
    fn driver(&self, options: &[String]) -> Result<Vec<String>, String> {
        // What clang finds in a configuration file beside itself would be in both answers, and could change unseen.
        let mut words: Vec<OsString> = vec!["--no-default-config".into()];
        words.extend(options.iter().map(OsString::from));
        // The link has what `-flto` asks for behind it.
        words.extend(["-fno-lto", "-c", "-x", "ir", "/dev/null", "-o", "/dev/null"].map(OsString::from));
        let dir = Some(self.compiled.dir.as_path()).filter(|dir| !dir.as_os_str().is_empty());
        let commands = driver::commands(&self.clang.path, &words, dir)?;
        let is_cc1 = |command: &Vec<OsString>| command.get(1).is_some_and(|word| word == "-cc1");
        let line = commands.into_iter().find(is_cc1);
        let line = line.ok_or("clang does not say what it would run")?.into_iter();
        Ok(line.map(|word| word.to_string_lossy().into_owned()).collect())
    }
}

/// Those of a `-cc1` line's words that reach a backend, each with its value.
pub(super) fn reaching(line: &[String], major: u32) -> Vec<Vec<String>> {
    let known: Vec<(&str, Value)> = mllvm::code_generators_words(major)
        .chain(MORE.iter().copied())
        .filter(|(word, _)| !OF_THE_MODULE.contains(word))
        .collect();
    let mut reaching = Vec::new();
    let mut words = line.iter();
    while let Some(word) = words.next() {
        let is_this = |(known, value): &&(&str, Value)| match value {
            Value::Joined => word.starts_with(known),
            Value::None | Value::Separate => word == known,
        };
        match known.iter().find(is_this) {
            None => {}
            Some((_, Value::Separate)) => reaching.extend(words.next().map(|value| vec![word.clone(), value.clone()])),
            Some((_, Value::None | Value::Joined)) => reaching.push(vec![word.clone()]),
        }
    }
    reaching.retain(|words| match words.as_slice() {
        [mllvm, option] if mllvm == "-mllvm" => is_backends(option, major),
        _ => true,
    });
    reaching
}

/// Whether an option of LLVM's is one that a backend takes as it is: not one that is read elsewhere, prints, or is clang's
/// assembler's alone.
fn is_backends(option: &str, major: u32) -> bool {
    matches!(
        mllvm::find(name(option), major),
        Found::Elsewhere | Found::Rule(Rule::Same)
    )
}

/// The name of an LLVM option: `inline-threshold` of `-inline-threshold=3`.
fn name(option: &str) -> &str {
    let bare = option.trim_start_matches('-');
    bare.split_once('=').map_or(bare, |(name, _)| name)
}

/// What of a word says which option it is: two words of one option do not stand in one command.
pub(super) fn option(words: &[String]) -> String {
    match words {
        [mllvm, option, ..] if mllvm == "-mllvm" => format!("-mllvm {}", name(option)),
        [word, ..] => word.split_once('=').map_or(word.as_str(), |(name, _)| name).to_owned(),
        [] => String::new(),
    }
}

impl ObjectFlags {
    fn take(&mut self, mut words: Vec<String>, dir: &Path) {
        for word in &mut words {
            if let Some(file) = word.strip_prefix(BLOCKS) {
                let file = dir.join(file);
                *word = format!("{BLOCKS}{}", file.display());
                self.inputs.push(file);
            }
        }
        if let [mllvm, option] = words.as_slice()
            && mllvm == "-mllvm"
        {
            // As on a link's command line: a value that opens is a file that counts.
            self.inputs
                .extend(option.split_once('=').map(|(_, value)| PathBuf::from(value)));
        }
        self.words.append(&mut words);
    }

    /// The words of options that `link` does not have.
    pub(super) fn not_in<'a>(&'a self, link: &[String]) -> impl Iterator<Item = &'a String> {
        let said: HashSet<String> = groups(link).map(option).collect();
        groups(&self.words)
            .filter(move |words| !said.contains(&option(words)))
            .flatten()
    }

    /// Whether nothing is added.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// Words with their values: what follows `-mllvm` or has no dash belongs to the one before.
fn groups(words: &[String]) -> impl Iterator<Item = &[String]> {
    words.chunk_by(|before, after| before == "-mllvm" || !after.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn of_a_driver_s_line_only_the_code_generator_s() {
        let line = "-cc1 -triple x86_64-linux-gnu -O2 -falign-loops=64 -mcmodel=kernel -relaxed-aliasing -std=gnu11 \
                    -mllvm -inline-threshold=3 -mllvm -import-instr-limit=5 -mllvm -stats -target-feature -sse \
                    -mfloat-abi soft -femulated-tls -debugger-tuning=gdb -vectorize-loops";
        let expected = [
            "-falign-loops=64",
            "-mllvm -inline-threshold=3",
            "-mfloat-abi soft",
            "-femulated-tls",
        ];
        assert_eq!(reaching(&words(line), 22), expected.map(words));
    }

    #[test]
    fn what_the_link_says_too_is_the_link_s() {
        let object = ObjectFlags {
            words: words("-falign-loops=64 -mllvm -inline-threshold=3 -mllvm -a -femulated-tls"),
            inputs: Vec::new(),
        };
        let link = words("-mllvm -inline-threshold=9 -falign-loops=8");
        let added: Vec<&String> = object.not_in(&link).collect();
        assert_eq!(added, ["-mllvm", "-a", "-femulated-tls"]);
    }
}
