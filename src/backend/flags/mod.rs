//! The one place where lld's LTO options become `clang -cc1` options that make the same object (lld's `createConfig`,
//! backwards). Knows nothing of where modules come from, what runs the commands, or whether their results are kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::cmdline::{LtoSetting, OutputKind};
pub use crate::toolchain::LlvmVersion;

mod draft;
pub mod meaning;
mod mllvm;
mod of_object;
mod probe;
pub mod readings;
mod settings;
mod temps;
#[cfg(test)]
mod tests;

pub use of_object::{Asking, ObjectFlags};

use draft::{Draft, Remarks};
use settings::{Effect, Several};
pub use temps::{SavedStage, Temps};

/// The facts of one module that its backend's command depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModuleTarget {
    /// Its target triple; clang silently compiles for another if told another.
    pub triple: String,
    /// Its "PIC Level" module flag; 0 where it has none.
    pub pic_level: u32,
}

/// The files of one backend.
#[derive(Clone, Copy, Debug)]
pub struct JobFiles<'a> {
    /// The bitcode, spelled as in the index (another spelling gives another object).
    pub module: &'a Path,
    /// Its individual index.
    pub index: &'a Path,
    /// Where the object goes.
    pub object: &'a Path,
    /// Where bitcode goes between two steps.
    pub intermediate: &'a Path,
    /// The number of this backend among LTO tasks, as lld counts them: the first module has [`Flags::first_task`].
    pub task: usize,
}

/// An option whose distributed translation would not give what in-process lld gives: the link goes there.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{reason}: {why}")]
pub struct NotFaithful {
    /// The option, as the user spelled it.
    pub reason: String,
    /// What is the matter with it.
    pub why: &'static str,
}

/// Whether backends write a time trace beside their objects (for somebody to put together).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Only if the link was asked for one (`--time-trace`).
    AsLinked,
    /// In any case.
    Always,
}

/// Where a module's relocation model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relocation {
    Fixed(&'static str),
    /// `-r`: lld sets none, so LLVM asks the module (`createTargetMachine` in llvm/lib/LTO/LTOBackend.cpp).
    OfModule,
}

impl From<OutputKind> for Relocation {
    fn from(kind: OutputKind) -> Self {
        match kind {
            OutputKind::Executable => Self::Fixed("static"),
            OutputKind::Pie | OutputKind::Shared => Self::Fixed("pic"),
            OutputKind::Relocatable => Self::OfModule,
        }
    }
}

/// How many clang runs a backend takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recipe {
    /// clang's `-O` sets both levels, and they are the same.
    One,
    /// They differ: clang optimises into bitcode at one level, then generates code from it at the other.
    Two,
}

/// What every backend of a link has in common.
#[derive(Clone, Debug)]
pub struct Flags {
    relocation: Relocation,
    recipe: Recipe,
    opt: u8,
    codegen: u8,
    cpu: Option<String>,
    features: Vec<String>,
    passes: Vec<String>,
    words: Vec<String>,
    inputs: Vec<PathBuf>,
    unusual: bool,
    dwo_dir: Option<String>,
    remarks: Remarks,
    /// Granularity in microseconds.
    trace: Option<u32>,
    first_task: usize,
    temps: Temps,
}

/// lld's and clang's default `--time-trace-granularity`, in microseconds.
const GRANULARITY: u32 = 500;

/// Targets on which `-mattr` means to clang what it means to lld: architecture, CPU, and what must be taken back of what
/// clang adds to features of its own accord.
const FEATURED: &[(&str, Option<&str>, &[&str])] = &[
    ("x86_64", None, X86_COMPANIONS),
    ("x86_64", Some("x86-64"), X86_COMPANIONS),
    // What clang adds (RISCVISAInfo) LLVM's table implies too.
    ("riscv64", None, &[]),
];

/// What clang's X86TargetInfo::initFeatureMap adds to SSE4.2 and AVX, LLVM's table doesn't.
const X86_COMPANIONS: &[&str] = &["crc32", "popcnt", "xsave"];

impl Flags {
    /// Translates a link's LTO settings (in lld's parse order).
    ///
    /// # Errors
    /// Names the first setting which has no faithful translation for this version of LLVM.
    pub fn derive(lto: &[LtoSetting], kind: OutputKind, llvm: LlvmVersion, trace: Trace) -> Result<Self, NotFaithful> {
        let mut draft = Draft::new(llvm, kind.into());
        let unfaithful = |setting: &LtoSetting, why| NotFaithful {
            reason: setting.spelled.clone(),
            why,
        };
        let mut counted = Vec::new();
        for (at, setting) in lto.iter().enumerate() {
            let row = settings::find(setting.name).ok_or_else(|| unfaithful(setting, "no translation is known"))?;
            if let Several::LastOf(group) = row.several {
                counted.retain(|(_, _, several)| *several != Several::LastOf(group));
            }
            counted.push((at, row.effect, row.several));
        }
        for (at, effect, _) in counted {
            let Some(setting) = lto.get(at) else { continue };
            match effect {
                Effect::None => {}
                Effect::InProcess(why) => return Err(unfaithful(setting, why)),
                Effect::Apply(apply) => apply(&mut draft, setting.value.as_deref().unwrap_or_default())
                    .map_err(|why| unfaithful(setting, why))?,
            }
        }
        draft.settle();
        Self::from_draft(draft, trace).map_err(|(name, why)| {
            let culprit = lto.iter().rev().find(|s| s.name == name);
            NotFaithful {
                reason: culprit.map_or_else(|| name.to_owned(), |s| s.spelled.clone()),
                why,
            }
        })
    }

    /// The same with what an object's own compilation adds. What the link says of an option too is the link's to say.
    #[must_use]
    pub fn with(&self, object: &ObjectFlags) -> Flags {
        let mut flags = self.clone();
        let added = object.not_in(&self.words);
        flags.words = added.chain(&self.words).cloned().collect();
        flags.inputs.extend(object.inputs.iter().cloned());
        flags.unusual |= !object.words.is_empty();
        flags
    }

    fn from_draft(draft: Draft, trace: Trace) -> Result<Self, (&'static str, &'static str)> {
        // lld/Common/Args.cpp, `getCGOptLevel`.
        let codegen = draft.codegen.unwrap_or(draft.opt.clamp(2, 3));
        let recipe = if codegen == draft.opt { Recipe::One } else { Recipe::Two };
        if recipe == Recipe::Two && draft.remarks.file.is_some() {
            return Err((
                "opt-remarks-filename",
                "both steps of a backend at this level have remarks to write",
            ));
        }
        let traced = draft.traced || trace == Trace::Always;
        Ok(Self {
            relocation: draft.relocation,
            recipe,
            opt: draft.opt,
            codegen,
            cpu: draft.cpu,
            features: draft.features,
            passes: draft.passes,
            words: draft.words,
            inputs: draft.inputs,
            unusual: draft.unusual,
            dwo_dir: draft.dwo_dir,
            remarks: draft.remarks,
            trace: traced.then_some(draft.granularity.unwrap_or(GRANULARITY)),
            first_task: draft.first_task,
            temps: draft.temps,
        })
    }

    /// Whether a module of this target can be compiled faithfully with these flags: a question of the target where
    /// clang has its own idea of a CPU's features.
    ///
    /// # Errors
    /// Names what stands in the way.
    pub fn accepts(&self, module: &ModuleTarget) -> Result<(), NotFaithful> {
        let arch = arch(&module.triple);
        let refuse = |reason: &str, why| {
            Err(NotFaithful {
                reason: reason.to_owned(),
                why,
            })
        };
        if arch.starts_with("mips") && self.cpu.is_none() {
            return refuse(&module.triple, "clang chooses a CPU for MIPS where lld has none");
        }
        match self.features.is_empty() || self.companions(module).is_some() {
            true => Ok(()),
            false => refuse("-mattr", "clang adds features of its own on this target"),
        }
    }

    /// What clang may add to features for this module's target; none where that isn't known.
    fn companions(&self, module: &ModuleTarget) -> Option<&'static [&'static str]> {
        let target = (arch(&module.triple), self.cpu.as_deref());
        let row = FEATURED.iter().find(|(arch, cpu, _)| (*arch, *cpu) == target);
        row.map(|(_, _, companions)| *companions)
    }

    /// The commands of one backend, in order: `clang -cc1` arguments, without clang's own name.
    #[must_use]
    pub fn steps(&self, module: &ModuleTarget, job: &JobFiles<'_>) -> Vec<Vec<OsString>> {
        match self.recipe {
            Recipe::One => {
                let mut only = self.begin(module, "-emit-obj");
                only.extend(words(self.levels()));
                only.extend(words(self.passes.iter()));
                only.extend(words(self.side_words(job.task)));
                only.extend(words(self.trace_words(job.object)));
                only.extend(words(self.temps.words()));
                only.push(glued("-fthinlto-index=", job.index));
                vec![finish(only, job.module, job.object)]
            }
            Recipe::Two => {
                let mut optimise = self.begin(module, "-emit-llvm-bc");
                // Without the order of uses the second step reads another module than this one has in memory.
                optimise.push("-emit-llvm-uselists".into());
                optimise.extend(words(self.levels()));
                optimise.extend(words(self.passes.iter()));
                optimise.extend(words(self.trace_words(job.intermediate)));
                optimise.extend(words(self.temps.words()));
                optimise.push(glued("-fthinlto-index=", job.index));
                let mut generate = self.begin(module, "-emit-obj");
                generate.extend(words([
                    format!("-O{}", self.codegen),
                    "-disable-llvm-passes".to_owned(),
                ]));
                generate.extend(words(self.side_words(job.task)));
                generate.extend(words(self.trace_words(job.object)));
                vec![
                    finish(optimise, job.module, job.intermediate),
                    finish(generate, job.intermediate, job.object),
                ]
            }
        }
    }

    /// What both steps say.
    fn begin(&self, module: &ModuleTarget, action: &str) -> Vec<OsString> {
        let relocation = match self.relocation {
            Relocation::Fixed(model) => model,
            Relocation::OfModule if module.pic_level > 0 => "pic",
            Relocation::OfModule => "static",
        };
        // What lld forces on, after what only saves time: freeing, and renaming what nobody reads before it is whole.
        let fixed = [
            "-disable-free",
            "-fno-temp-file",
            "-ffunction-sections",
            "-fdata-sections",
            "-faddrsig",
        ];
        let mut line = words(["-cc1", "-triple", module.triple.as_str(), action]);
        line.extend(words(fixed));
        line.extend(words(["-mrelocation-model", relocation]));
        line.extend(self.cpu.iter().flat_map(|cpu| words(["-target-cpu", cpu])));
        for feature in self.target_features(module) {
            line.extend(words(["-target-feature".to_owned(), feature]));
        }
        line.extend(words(self.words.iter()));
        line
    }

    /// The features asked for, and against those that clang would add to them.
    fn target_features(&self, module: &ModuleTarget) -> impl Iterator<Item = String> {
        let named = |f: &str| {
            self.features
                .iter()
                .any(|have| have.get(1..).is_some_and(|n| n.starts_with(f)))
        };
        let companions = self.companions(module).unwrap_or_default();
        let missing = companions
            .iter()
            .filter(move |f| !self.features.is_empty() && !named(f));
        self.features.iter().cloned().chain(missing.map(|f| format!("-{f}")))
    }

    /// The optimiser's level and what lld's `PipelineTuningOptions` have on at it; only -O2 and up vectorize, and LLVM
    /// unrolls at every level unless told not to.
    fn levels(&self) -> Vec<String> {
        let extra: &[&str] = match self.opt {
            0 => &[],
            1 if !self.words.iter().any(|word| word == of_object::NO_UNROLLING) => &["-funroll-loops"],
            1 => &[],
            _ => &["-vectorize-loops", "-vectorize-slp"],
        };
        let level = format!("-O{}", self.opt);
        std::iter::once(level)
            .chain(extra.iter().map(|w| (*w).to_owned()))
            .collect()
    }

    fn side_words(&self, task: usize) -> Vec<String> {
        let mut line = Vec::new();
        if let Some(dwo) = self.dwo_file(task) {
            line.extend([
                "-split-dwarf-file".to_owned(),
                dwo.clone(),
                "-split-dwarf-output".to_owned(),
                dwo,
            ]);
        }
        if let Some(file) = self.remarks_file(task) {
            line.extend(["-opt-record-file".to_owned(), file]);
            let format = Some(self.remarks.format.as_str())
                .filter(|f| !f.is_empty())
                .unwrap_or("yaml");
            line.extend(["-opt-record-format".to_owned(), format.to_owned()]);
            if let Some(passes) = &self.remarks.passes {
                line.extend(["-opt-record-passes".to_owned(), passes.clone()]);
            }
            line.extend(self.remarks.hotness.map(str::to_owned));
        }
        line
    }

    fn trace_words(&self, output: &Path) -> Vec<OsString> {
        self.trace.map_or_else(Vec::new, |granularity| {
            vec![
                glued("-ftime-trace=", &trace_file(output)),
                format!("-ftime-trace-granularity={granularity}").into(),
            ]
        })
    }

    /// llvm/lib/LTO/LTOBackend.cpp, `codegen`; lld makes the directory, clang doesn't.
    fn dwo_file(&self, task: usize) -> Option<String> {
        let dir = self.dwo_dir.as_deref()?;
        Some(format!("{}/{task}.dwo", dir.strip_suffix('/').unwrap_or(dir)))
    }

    /// llvm/lib/LTO/LTO.cpp, `setupLLVMOptimizationRemarks`.
    fn remarks_file(&self, task: usize) -> Option<String> {
        let file = self.remarks.file.as_deref()?;
        Some(format!("{file}.thin.{task}.{}", self.remarks.format))
    }

    /// The files a backend writes beside its object, which lld would have written too. Their directories must exist.
    #[must_use]
    pub fn side_outputs(&self, task: usize) -> Vec<PathBuf> {
        self.dwo_file(task)
            .into_iter()
            .chain(self.remarks_file(task))
            .map(PathBuf::from)
            .collect()
    }

    /// The time traces a backend's steps write, if they do; nobody but us asked for these names.
    #[must_use]
    pub fn traces(&self, job: &JobFiles<'_>) -> Vec<PathBuf> {
        match (self.trace, self.recipe) {
            (None, _) => Vec::new(),
            (Some(_), Recipe::One) => vec![trace_file(job.object)],
            (Some(_), Recipe::Two) => vec![trace_file(job.intermediate), trace_file(job.object)],
        }
    }

    /// What `--save-temps` asks for.
    #[must_use]
    pub const fn temps(&self) -> &Temps {
        &self.temps
    }

    /// The bitcode a backend saves.
    #[must_use]
    pub fn saved_stages(&self, job: &JobFiles<'_>) -> Vec<SavedStage> {
        let output = match self.recipe {
            Recipe::One => job.object,
            Recipe::Two => job.intermediate,
        };
        self.temps.of(self.recipe, output)
    }

    /// The number of the first module's task; those before are the regular-LTO partitions.
    #[must_use]
    pub const fn first_task(&self) -> usize {
        self.first_task
    }

    /// Files that every object depends on besides its module, index and imports: profiles, basic-block lists, and
    /// whatever existing file an LLVM option's value names. A name here need not exist.
    #[must_use]
    pub fn input_files(&self) -> &[PathBuf] {
        &self.inputs
    }

    /// The same, no time trace written.
    #[must_use]
    pub fn untraced(&self) -> Self {
        Self {
            trace: None,
            ..self.clone()
        }
    }

    /// Every word of the commands for this module, but for the names of files that don't shape the object. The
    /// module's target and, where it is part of a name the object contains, its task are in it.
    #[must_use]
    pub fn fingerprint(&self, module: &ModuleTarget, task: usize) -> Vec<u8> {
        let none = Path::new("");
        let job = JobFiles {
            module: none,
            index: none,
            object: none,
            intermediate: none,
            task,
        };
        let mut bytes = Vec::new();
        for step in self.untraced().steps(module, &job) {
            for word in step.iter().map(|w| w.as_encoded_bytes()) {
                bytes.extend((word.len() as u64).to_le_bytes());
                bytes.extend(word);
            }
            bytes.extend(u64::MAX.to_le_bytes());
        }
        bytes
    }
}

fn arch(triple: &str) -> &str {
    triple.split('-').next().unwrap_or_default()
}

fn trace_file(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".time-trace");
    name.into()
}

fn words<W: Into<OsString>>(line: impl IntoIterator<Item = W>) -> Vec<OsString> {
    line.into_iter().map(Into::into).collect()
}

fn glued(option: &str, file: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(file);
    word
}

fn finish(mut line: Vec<OsString>, input: &Path, output: &Path) -> Vec<OsString> {
    line.extend(["-o".into(), output.into(), "-x".into(), "ir".into(), input.into()]);
    line
}
