//! The thin link: the user's own link line, run with index-only output, and what it decided read back as a [`Plan`].
//! Knows nothing of backends and of the final link.

mod aliases;
mod key;
mod library_functions;
mod packed;
mod planned;
mod reuse;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rayon::prelude::*;

use crate::bitcode::facts::{self, Facts, LtoKind, LtoMode};
use crate::bitcode::index::Index;
use crate::children::Children;
use crate::cmdline::{Invocation, Item, LtoSetting, Role};
use crate::color::Color;
use crate::inputs::{BitcodeSource, Inputs};
use crate::llvm;
use crate::response;
use crate::route::lto_mode;
use crate::staging::Staging;
use crate::symbol_trace;
use crate::toolchain::{Linker, LlvmVersion};
use aliases::Aliases;
pub use planned::PlannedIndex;
pub use reuse::Reuse;

/// One ThinLTO module that the link needs, in the order lld took them in: its backend is task number `position + partitions`.
#[derive(Debug)]
pub struct PlannedModule {
    /// What in-process lld calls it: `a.o`, `libx.a(m.o at 1234)`. Messages about it use this name.
    pub name: OsString,
    /// Its place among all modules' names in order; backends import from modules in that order.
    pub rank: usize,
    /// Where its bitcode is.
    pub source: BitcodeSource,
    /// What the thin link says of it.
    pub index: PlannedIndex,
}

impl PlannedModule {
    /// The name for people: lld's own.
    pub fn shown(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

/// What the thin link decided.
#[derive(Debug)]
pub struct Plan {
    /// The modules, in link order.
    pub modules: Vec<PlannedModule>,
    /// The native object of the regular-LTO partition, if any module is in that.
    pub regular: Option<PathBuf>,
    /// The regular-LTO partition's object as lld wrote it, be it empty.
    pub regular_written: PathBuf,
    /// Every file that was loaded, as lld names them, in order (`--trace`).
    pub loaded: Vec<String>,
    /// What it printed of the code: remarks (`-mllvm -pass-remarks`), why an option has no effect, reports for stdout.
    pub remarks: Vec<String>,
    /// What it said of the symbols that the user wants traced.
    pub traced: Vec<String>,
    /// What the thin link printed to stderr.
    pub warnings: String,
}

impl Plan {
    /// All bitcode that was loaded: the modules, then what has a part in regular LTO alone.
    pub fn bitcode(&self, inputs: &Inputs, mode: LtoMode) -> Vec<BitcodeSource> {
        let mut bitcode: Vec<BitcodeSource> = self.modules.iter().map(|module| module.source).collect();
        bitcode.extend(self.regular_bitcode(inputs, mode));
        bitcode
    }

    /// The bitcode that was linked and has no backend: files for regular LTO.
    pub fn regular_bitcode(&self, inputs: &Inputs, mode: LtoMode) -> Vec<BitcodeSource> {
        let thin: HashSet<BitcodeSource> = self.modules.iter().map(|module| module.source).collect();
        let mut others: Vec<BitcodeSource> = inputs.bitcode_by_name().into_values().collect();
        others.retain(|source| !thin.contains(source));
        if others.is_empty() {
            return others;
        }
        let mut loaded: HashMap<&str, usize> = HashMap::new();
        for name in &self.loaded {
            *loaded.entry(name).or_default() += 1;
        }
        // What was loaded under a thin module's name is that.
        for module in &self.modules {
            let entry = inputs.entries.get(module.source.entry);
            let name = entry.map(|entry| entry.shown(module.source.member));
            if let Some(count) = name.and_then(|name| loaded.get_mut(name.as_str())) {
                *count = count.saturating_sub(1);
            }
        }
        // A thin module that has a loaded one's name was not loaded, or it would be in the plan.
        others.retain(|source| {
            let entry = inputs.entries.get(source.entry);
            let count = entry.and_then(|entry| loaded.get(entry.shown(source.member).as_str()));
            let is_named = count.is_some_and(|count| *count > 0);
            let facts = || inputs.bitcode(*source).ok().and_then(|bytes| Facts::read(bytes).ok());
            is_named && facts().is_some_and(|facts| !matches!(facts.kind(mode), LtoKind::Thin | LtoKind::Split))
        });
        others
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum ThinLinkError {
    /// The linker said no; what it said.
    #[error("the thin link failed")]
    Refused {
        /// Its exit status.
        status: i32,
        /// Its stderr.
        stderr: String,
    },
    /// It loaded files that are not among the inputs: libraries that objects name (`.deplibs`).
    #[error("{} was loaded and is not among the inputs", .0.first().map_or("a file".into(), |path| path.display().to_string()))]
    MoreInputs(Vec<PathBuf>),
    /// A signal came first.
    #[error("interrupted")]
    Interrupted,
    /// The link cannot be distributed after all; the reason's name.
    #[error("{0}")]
    Unfit(String),
    /// A file could not be read or written.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ThinLinkError + '_ {
    move |error| ThinLinkError::Io(path.to_owned(), error)
}

/// Where the thin link puts what it writes.
struct Outputs {
    /// Names of the native objects wanted, one a line, each the module's name behind `prefix`.
    list: PathBuf,
    /// What stands before a module's name in the list and in its index file's path; ends in a slash.
    prefix: String,
    /// The regular-LTO partition's object.
    regular: PathBuf,
}

impl Outputs {
    fn of<'a>(staging: &Staging, names: impl Iterator<Item = &'a OsString>) -> Result<Outputs, ThinLinkError> {
        Ok(Outputs {
            list: staging.indexes().join("list"),
            prefix: index_prefix(staging, names)?,
            regular: regular_object(staging),
        })
    }
}

/// Runs the thin link.
///
/// # Errors
/// See [`ThinLinkError`].
pub fn run(
    linker: &Linker,
    invocation: &Invocation,
    inputs: &Inputs,
    staging: &Staging,
    children: &Children,
    version: LlvmVersion,
) -> Result<Plan, ThinLinkError> {
    let once = |partition| run_once(linker, invocation, inputs, staging, children, partition);
    let plan = match partition(invocation, inputs) {
        Partition::Written => once(Partition::Written),
        Partition::IfUsed => match once(Partition::IfUsed)? {
            plan if plan.regular.is_some() => once(Partition::Written),
            plan => Ok(plan),
        },
    }?;
    if llvm::traits(version.major).shuns_library_bitcode {
        let names = library_functions::in_unloaded_bitcode(&plan, inputs, lto_mode(invocation));
        let said = match names.is_empty() {
            true => String::new(),
            false => traced(linker, invocation, inputs, staging, children, &names)?,
        };
        if let Some(name) = library_functions::still_unloaded(&names, &said).first() {
            return Err(ThinLinkError::Unfit(format!(
                "{name}: a library function in bitcode that is not loaded, which in-process backends are told not to call"
            )));
        }
    }
    Ok(plan)
}

/// What a thin link says that traces these symbols, besides what the user's says: only lld knows which of an object's, a
/// library's and an archive's symbols counts.
fn traced(
    linker: &Linker,
    invocation: &Invocation,
    inputs: &Inputs,
    staging: &Staging,
    children: &Children,
    names: &BTreeSet<String>,
) -> Result<String, ThinLinkError> {
    let folder = staging.path("ascii");
    let aliases = Aliases::of(invocation, inputs, staging).map_err(at(&folder))?;
    let outputs = Outputs::of(staging, inputs.bitcode_by_name().keys())?;
    let mut words = words(invocation, &outputs, &aliases);
    words.extend(names.iter().map(|name| format!("--trace-symbol={name}").into()));
    let output = run_linker(linker, words, inputs.bitcode_by_name().len(), staging, children)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn run_linker(
    linker: &Linker,
    words: Vec<OsString>,
    files: usize,
    staging: &Staging,
    children: &Children,
) -> Result<Output, ThinLinkError> {
    let mut command = linker.command_for(files);
    command
        .args(response::shorten(words, &staging.path("thin-link.rsp")).map_err(at(&staging.path("thin-link.rsp")))?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = children
        .spawn(&mut command)
        .and_then(|running| running.output())
        .map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => ThinLinkError::Interrupted,
            _ => ThinLinkError::Io(linker.path.clone(), error),
        })?;
    match children.interrupted() {
        Some(_) => Err(ThinLinkError::Interrupted),
        None => Ok(output),
    }
}

fn run_once(
    linker: &Linker,
    invocation: &Invocation,
    inputs: &Inputs,
    staging: &Staging,
    children: &Children,
    partition: Partition,
) -> Result<Plan, ThinLinkError> {
    let sources = inputs.bitcode_by_name();
    let outputs = Outputs::of(staging, sources.keys())?;
    let folder = staging.path("ascii");
    let aliases = Aliases::of(invocation, inputs, staging).map_err(at(&folder))?;
    let mut words = words(invocation, &outputs, &aliases);
    if partition == Partition::Written {
        let mut regular = OsString::from("--lto-obj-path=");
        regular.push(&outputs.regular);
        words.push(regular);
    }
    if invocation.has("time-trace") {
        let mut trace = OsString::from("--time-trace=");
        trace.push(time_trace(staging));
        words.push(trace);
    }
    for option in reports_to_stdout(invocation) {
        let mut report = OsString::from(format!("--{option}="));
        report.push(report_file(staging, option));
        words.push(report);
    }
    let output = run_linker(linker, words, sources.len(), staging, children)?;
    let warnings = aliases.translate(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(ThinLinkError::Refused {
            status: output.status.code().unwrap_or(1),
            stderr: warnings,
        });
    }
    let stdout = aliases.translate(&String::from_utf8_lossy(&output.stdout));
    let (traced, others): (Vec<_>, Vec<_>) = stdout
        .lines()
        .map(str::to_owned)
        .partition(|line| symbol_trace::file(line, invocation).is_some());
    let has_remarks = invocation.lto.iter().any(has_remarks);
    let (mut remarks, loaded): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|line| is_about_an_option(line) || has_remarks && is_remark(line));
    for option in reports_to_stdout(invocation) {
        let report = report_file(staging, option);
        let text = fs::read_to_string(&report).map_err(at(&report))?;
        remarks.extend(text.lines().map(str::to_owned));
    }
    let unknown = inputs.files_not_among(&loaded);
    if !unknown.is_empty() {
        return Err(ThinLinkError::MoreInputs(unknown));
    }
    if invocation.has("thinlto-emit-index-files") {
        give_indexes(&outputs, sources.keys())?;
    }
    let modules = read_modules(&outputs, &sources, &aliases)?;
    let mut plan = Plan {
        modules,
        regular: None,
        regular_written: outputs.regular,
        loaded,
        remarks,
        traced,
        warnings,
    };
    // lld links no object without a byte in it, and here may not have been told to write any.
    let is_empty = || fs::metadata(&plan.regular_written).is_ok_and(|file| file.len() == 0);
    if uses_regular_lto(&plan, inputs, lto_mode(invocation)) && !is_empty() {
        plan.regular = Some(plan.regular_written.clone());
    }
    Ok(plan)
}

/// Whether an LTO setting makes both links and backends print remarks.
fn has_remarks(setting: &LtoSetting) -> bool {
    let value = setting.value.as_deref().unwrap_or_default();
    setting.name == "mllvm" && value.trim_start_matches('-').starts_with("pass-remarks")
}

/// `--lto-validate-all-vtables-have-type-infos: RTTI missing …`: no file on a command line is called so.
fn is_about_an_option(line: &str) -> bool {
    line.starts_with("--")
}

/// `FILE:LINE:COLUMN: TEXT`, which is no file's name.
fn is_remark(line: &str) -> bool {
    let Some((place, _)) = line.split_once(": ") else {
        return false;
    };
    let mut parts = place.rsplitn(3, ':');
    let mut number = || parts.next().is_some_and(|part| part.parse::<u32>().is_ok());
    number() && number()
}

/// Where the thin link's own time trace is, where one is wanted and it has run.
pub fn time_trace(staging: &Staging) -> PathBuf {
    staging.path("thin-link.time-trace")
}

/// The user's items, by their number, without what only the final link should write and what the thin link is to write to stdout.
fn users_items(invocation: &Invocation) -> impl Iterator<Item = (usize, &Item)> {
    let items = invocation.items.iter().enumerate();
    items.filter(|(_, item)| match item {
        Item::Input(_) => true,
        Item::Option { value: Some(value), .. } if written_by_thin_link(item) => value != "-",
        Item::Option { def, .. } => def.role != Role::Report || SHARED.contains(&def.canonical),
    })
}

/// The reports that the user wants on stdout, where the thin link's `--trace` goes: their options' names.
fn reports_to_stdout(invocation: &Invocation) -> impl Iterator<Item = &'static str> + '_ {
    WRITTEN_BEFORE_LTO
        .into_iter()
        .filter(|option| invocation.last(option).is_some_and(|value| value == "-"))
}

/// Where such a report is written instead.
fn report_file(staging: &Staging, option: &str) -> PathBuf {
    staging.path(&format!("{option}.report"))
}

/// The user's words, and those that make it a thin link. Ours come last: of an option given twice lld takes the last.
fn words(invocation: &Invocation, outputs: &Outputs, aliases: &Aliases) -> Vec<OsString> {
    let items = users_items(invocation);
    let mut words: Vec<OsString> = items.flat_map(|(number, item)| aliases.words(number, item)).collect();
    let mut ours = |option: &str, value: &Path| {
        let mut word = OsString::from(option);
        word.push(value);
        words.push(word);
    };
    ours("--thinlto-index-only=", &outputs.list);
    ours("--thinlto-prefix-replace=;", Path::new(&outputs.prefix));
    words.extend(["--trace", Color::of(invocation).word()].map(OsString::from));
    words
}

/// Whether the regular-LTO partition's object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partition {
    /// It is, be there nothing in it.
    Written,
    /// Only where something turns out to be in it, by a thin link more.
    IfUsed,
}

/// What lld writes of a partition that it compiles, and so with `--lto-obj-path` of an empty one, which in-process it would
/// not compile (llvm `Config::AlwaysEmitRegularLTOObj`).
const OF_PARTITION: [&str; 4] = ["dwo_dir", "lto-debug-pass-manager", "save-temps", "time-trace"];

fn partition(invocation: &Invocation, inputs: &Inputs) -> Partition {
    let is_seen = OF_PARTITION.iter().any(|option| invocation.has(option));
    let is_wanted = || invocation.has("lto-obj-path") || inputs.has_eager_regular_lto(lto_mode(invocation));
    match is_seen && !is_wanted() {
        true => Partition::IfUsed,
        false => Partition::Written,
    }
}

/// Whether any bitcode in the link has a part in regular LTO: it has no backend of its own, or a module more than that has.
/// What stands in the partition's object does not tell, for there are targets that write attributes into every object, and
/// lld links what it made of an empty module, too.
fn uses_regular_lto(plan: &Plan, inputs: &Inputs, mode: LtoMode) -> bool {
    let is_split = |module: &PlannedModule| inputs.bitcode(module.source).is_ok_and(facts::has_several_modules);
    plan.modules.iter().any(is_split) || !plan.regular_bitcode(inputs, mode).is_empty()
}

/// Reports that lld writes when symbols are resolved (lld/ELF/Driver.cpp `link`): of the user's own inputs, so that the thin
/// link is the one to write them.
const WRITTEN_BEFORE_LTO: [&str; 2] = ["why-extract", "print-archive-stats"];

/// Reports that both links have a part in.
const SHARED: [&str; 2] = ["trace-symbol", "time-trace-granularity"];

/// Whether the thin link has done what an item asks for, so that the final link has not to.
pub fn written_by_thin_link(item: &Item) -> bool {
    matches!(item, Item::Option { def, value: Some(_), .. } if WRITTEN_BEFORE_LTO.contains(&def.canonical))
}

/// The regular-LTO partition's object.
fn regular_object(staging: &Staging) -> PathBuf {
    staging.path("regular-lto.o")
}

/// Index files stand under a folder of ours by their modules' own names. A name with `..` in it would climb out, so the
/// folder is as deep as the names that climb highest need.
fn index_prefix<'a>(staging: &Staging, names: impl Iterator<Item = &'a OsString>) -> Result<String, ThinLinkError> {
    let climbs = |name: &OsString| Path::new(name).components().filter(|c| c.as_os_str() == "..").count();
    let depth = names.map(climbs).max().unwrap_or(0);
    let mut dir = staging.indexes().join("x");
    dir.extend(std::iter::repeat_n("d", depth));
    fs::create_dir_all(&dir).map_err(at(&dir))?;
    match dir.to_str() {
        Some(text) if !text.contains(';') => Ok(format!("{text}/")),
        _ => Err(ThinLinkError::Unfit(format!(
            "staging folder {} has a name lld cannot be given",
            dir.display()
        ))),
    }
}

/// What the thin link wrote of these modules, to the user who asked in-process LTO for it.
fn give_indexes<'a>(outputs: &Outputs, names: impl Iterator<Item = &'a OsString>) -> Result<(), ThinLinkError> {
    for name in names {
        for end in [".thinlto.bc", ".imports"] {
            let mut to = name.clone();
            to.push(end);
            let mut from = OsString::from(&outputs.prefix);
            from.push(&to);
            match fs::read(&from) {
                Ok(bytes) => fs::write(&to, bytes).map_err(at(Path::new(&to)))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(at(Path::new(&from))(error)),
            }
        }
    }
    Ok(())
}

fn read_modules(
    outputs: &Outputs,
    sources: &HashMap<OsString, BitcodeSource>,
    aliases: &Aliases,
) -> Result<Vec<PlannedModule>, ThinLinkError> {
    let list = fs::read(&outputs.list).map_err(at(&outputs.list))?;
    let written: Vec<&[u8]> = list
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(outputs.prefix.as_bytes()))
        .collect();
    // LLVM widens a name's bytes with their signs, and the index that it writes cannot be read (`MODULE_STRTAB_BLOCK`).
    if let Some(name) = written.iter().find(|name| !name.is_ascii()) {
        let name = String::from_utf8_lossy(name);
        return Err(ThinLinkError::Unfit(format!(
            "lld writes no index for {name}: not ASCII"
        )));
    }
    let names: Vec<OsString> = written
        .iter()
        .map(|name| OsString::from_vec(aliases.users(name)))
        .collect();
    let ranks = ranks(&names);
    let modules = names.into_par_iter().zip(written).zip(ranks);
    modules
        .map(|((name, written), rank)| {
            let shown = name.to_string_lossy();
            let source = sources
                .get(&name)
                .copied()
                .ok_or_else(|| ThinLinkError::Unfit(format!("lld linked {shown}, which we did not find")))?;
            let mut path = OsString::from(&outputs.prefix);
            path.push(OsStr::from_bytes(written));
            path.push(".thinlto.bc");
            let bytes = fs::read(&path).map_err(at(Path::new(&path)))?;
            let mut index = Index::parse(&bytes)
                .map_err(|error| ThinLinkError::Unfit(format!("the index of {shown} cannot be read: {error}")))?;
            if index.is_skipped() {
                return Err(ThinLinkError::Unfit(format!(
                    "the index of {shown} was overwritten by an unused copy's"
                )));
            }
            let bytes = match aliases.is_empty() {
                true => bytes,
                false => {
                    index.rename_modules(|name| aliases.users(name));
                    index.write()
                }
            };
            Ok(PlannedModule {
                index: PlannedIndex::now(bytes, &index, name.as_bytes()),
                name,
                rank,
                source,
            })
        })
        .collect()
}

/// The place of each name among all in order.
fn ranks(names: &[OsString]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|a, b| names[*a].cmp(&names[*b]));
    let mut ranks = vec![0; names.len()];
    for (rank, module) in order.into_iter().enumerate() {
        ranks[module] = rank;
    }
    ranks
}
