//! The final link: the user's command line over native objects, run, and everything it says put into the user's names.
//! Knows nothing of how the objects were made.

mod assignments;
mod bitcode_references;
pub(crate) mod dependencies;
mod edited;
mod exclude_libs;
mod load_order;
mod shared_objects;
mod symbol_order;
mod traced;
mod undefined;
mod ungrouped;
mod visibility;
mod why_extract;
mod words;
mod wrapped;
mod yielding;

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use assignments::Assignments;

use crate::backend::flags::LlvmVersion;
use crate::backend::kept::{prelink, regular_prelink};
use crate::children::Children;
use crate::cmdline::{Invocation, OutputKind};
use crate::inputs::{BitcodeSource, Entry, Inputs, MemberData, ScriptContent};
use crate::names::Names;
use crate::narrowed::{Asked, Defines};
use crate::observe::stats;
use crate::relocatable::{Kept, Renamed};
use crate::response;
use crate::say;
use crate::settings::{Order, Relocatable};
use crate::staging::{Place, Staging};
use crate::symbols::SymbolTables;
use crate::sys;
use crate::thin_link::Plan;
use crate::toolchain::Linker;

/// The native object of a planned module.
#[derive(Clone, Debug)]
pub struct NativeObject {
    /// Its file, which is called as the bitcode is.
    pub place: Place,
}

impl NativeObject {
    /// Its file.
    pub fn path(&self) -> &PathBuf {
        &self.place.path
    }
}

/// Why the final link did not come about.
#[derive(Debug, thiserror::Error)]
pub enum FinalLinkError {
    /// A signal came first.
    #[error("interrupted")]
    Interrupted,
    /// The link cannot be finished as in-process lld would; the reason's name.
    #[error("{0}")]
    Unfit(String),
    /// A file could not be read or written, or the linker not be run.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FinalLinkError + '_ {
    move |error| FinalLinkError::Io(path.to_owned(), error)
}

/// What a final link needs to know.
#[derive(Debug)]
pub struct FinalLink<'a> {
    /// Another linker for the native objects, where the user named one.
    pub other: Option<&'a Path>,
    /// The real ld.lld; it is always the one asked what it would extract.
    pub linker: &'a Linker,
    /// The user's command line.
    pub invocation: &'a Invocation,
    /// Its inputs.
    pub inputs: &'a Inputs,
    /// All bitcode that is linked.
    pub bitcode: &'a [BitcodeSource],
    /// Its symbol tables.
    pub tables: &'a SymbolTables<'a>,
    /// What those ask for.
    pub asked: &'a Asked<'a>,
    /// What the thin link decided.
    pub plan: &'a Plan,
    /// The objects of the plan's modules, in its order.
    pub objects: &'a [NativeObject],
    /// What each of them may define.
    pub defines: &'a [Defines],
    /// What their backends had to remark.
    pub remarks: &'a str,
    /// The number of the first of them among LTO tasks.
    pub first_task: usize,
    /// Of the linker.
    pub llvm: LlvmVersion,
    /// Where they stand.
    pub order: Order,
    /// Whether sections are renamed for it.
    pub relocatable: Relocatable,
    /// The link's staging folder.
    pub staging: &'a Staging,
    /// Our children.
    pub children: &'a Children,
}

impl FinalLink<'_> {
    fn program(&self) -> Command {
        match self.other {
            None => self.lld(),
            Some(other) => {
                let mut command = Command::new(other);
                self.linker.guard(&mut command);
                command
            }
        }
    }

    /// An object stands where its bitcode stood, in an archive or not.
    fn lld(&self) -> Command {
        self.linker
            .command_for(self.objects.len().max(self.invocation.inputs.len()))
    }
}

/// What the final linker said, and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its stdout, in the user's names.
    pub stdout: Vec<u8>,
    /// Whether our stdout has taken that.
    pub passed_on: io::Result<()>,
    /// Its stderr, in the user's names.
    pub stderr: String,
    /// Every file it has read but those that are staged; none where it does not say.
    pub read: Option<Vec<PathBuf>>,
    /// Of a `-r` link: whether it was one of renamed sections.
    pub relocatable: Option<stats::Relocatable>,
}

/// Makes the final link. Its stdout is passed on; files it wrote beside the output are put into the user's names.
///
/// # Errors
/// See [`FinalLinkError`]; that the linker fails is not one.
pub fn run(link: &FinalLink<'_>) -> Result<Finished, FinalLinkError> {
    let mut names = Names::new(format!("{}/", link.staging.path(crate::staging::OBJECTS).display()));
    for (at, object) in link.objects.iter().enumerate() {
        names.insert(object.place.name.clone(), shown(link, at));
    }
    let loaded = load_order::load_order(link)?;
    let assignments = Assignments::of(link)?;
    let narrowed = visibility::lost(link, &assignments, &loaded)?;
    let regular = stage_regular(link, &mut names)?;
    let mut words = words::words(link, &assignments, loaded, regular.as_deref(), &narrowed, &mut names)?;
    let list = ReadList::of(link);
    words.extend(time_trace_word(link));
    if link.other.is_none() {
        // lld holds version scripts against symbols before LTO (lld/ELF/Driver.cpp `link`), as the thin link has done: what is
        // gone since was there.
        words.push("--undefined-version".into());
    }
    let Linked {
        output,
        originals,
        relocatable,
    } = linked(link, words, &list.words())?;
    let mut stdout: Vec<u8> = link
        .plan
        .remarks
        .iter()
        .flat_map(|line| format!("{line}\n").into_bytes())
        .collect();
    stdout.extend(link.remarks.as_bytes());
    let symbols_traced = traced::of_in_process(link, regular.as_deref(), output.stdout);
    stdout.extend_from_slice(&traced::in_load_order(link, &names.translate_bytes(&symbols_traced)));
    let passed_on = say::answer(&stdout);
    let read = list.read(link.staging.dir(), originals);
    translate_side_files(link, &names)?;
    Ok(Finished {
        status: output.status,
        stdout,
        passed_on,
        read,
        relocatable,
        stderr: names.translate(&String::from_utf8_lossy(&output.stderr)),
    })
}

/// The file in which lld lists what it reads: the user's, or one of ours, where the linker is lld.
enum ReadList {
    Users(PathBuf),
    Ours(PathBuf),
    None,
}

impl ReadList {
    fn of(link: &FinalLink<'_>) -> ReadList {
        match (link.invocation.last("dependency-file"), link.other) {
            (_, Some(_)) => ReadList::None,
            (Some(users), None) => ReadList::Users(users.into()),
            (None, None) => ReadList::Ours(link.staging.path("read.d")),
        }
    }

    fn words(&self) -> Vec<OsString> {
        match self {
            ReadList::Ours(path) => vec!["--dependency-file".into(), path.into()],
            ReadList::Users(_) | ReadList::None => Vec::new(),
        }
    }

    /// `originals` are files that copies in the staging folder were read for.
    fn read(&self, staging: &Path, originals: Vec<PathBuf>) -> Option<Vec<PathBuf>> {
        match self {
            ReadList::Users(path) | ReadList::Ours(path) => {
                let mut listed = dependencies::listed(&fs::read_to_string(path).ok()?, staging)?;
                listed.extend(originals.into_iter().filter(|file| !file.starts_with(staging)));
                Some(listed)
            }
            ReadList::None => None,
        }
    }
}

/// How an object is called: as lld calls its bitcode or, where it stands behind all other inputs, as lld calls its own there.
/// In an archive ([`exclude_libs`]) it has its member's name.
fn shown(link: &FinalLink<'_>, at: usize) -> String {
    let module = &link.plan.modules[at];
    match link.order {
        Order::InProcess => {
            let name = prelink(&link.invocation.output, &module.name, link.first_task + at, link.llvm);
            name.to_string_lossy().into_owned()
        }
        Order::CommandLine => link.inputs.entries[module.source.entry].shown(module.source.member),
    }
}

/// The object of the regular-LTO partition, where it holds anything, under the name that lld has for it.
fn stage_regular(link: &FinalLink<'_>, names: &mut Names) -> Result<Option<PathBuf>, FinalLinkError> {
    let Some(object) = &link.plan.regular else {
        return Ok(None);
    };
    let name = regular_prelink(&link.invocation.output);
    let base = name
        .file_name()
        .unwrap_or(object.as_os_str())
        .to_string_lossy()
        .into_owned();
    let place = link.staging.named(&base).map_err(at(link.staging.dir()))?;
    fs::hard_link(object, &place.path).map_err(at(&place.path))?;
    names.insert(place.name, name.display().to_string());
    Ok(Some(place.path))
}

/// The texts of the linker scripts that say more than which files to link.
fn script_texts(link: &FinalLink<'_>) -> Result<Vec<Vec<u8>>, FinalLinkError> {
    let scripts = link.inputs.scripts.iter();
    let scripts = scripts.filter(|script| script.content == ScriptContent::More);
    scripts
        .map(|script| fs::read(&script.path).map_err(at(&script.path)))
        .collect()
}

/// Refuses the link for this symbol, if there is one.
fn refuse_for(name: Option<impl AsRef<[u8]>>, reason: impl FnOnce(&str) -> String) -> Result<(), FinalLinkError> {
    match name {
        None => Ok(()),
        Some(name) => Err(FinalLinkError::Unfit(reason(&String::from_utf8_lossy(name.as_ref())))),
    }
}

/// The name under which lld has a symbol: `f@@V1` is what `f` means (lld/ELF/SymbolTable.cpp `insert`).
fn plain(name: &[u8]) -> &[u8] {
    memchr::memmem::find(name, b"@@").map_or(name, |at| &name[..at])
}

/// Reads an object of LTO's.
fn read_ours<T>(path: &Path, read: impl Fn(&[u8]) -> Result<T, String>) -> Result<T, FinalLinkError> {
    let map = fs::File::open(path).and_then(|file| sys::map(&file));
    read(&map.map_err(at(path))?).map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", path.display())))
}

/// Reads a native object among the user's files: one of its own, or a member.
fn read_native<T>(
    entry: &Entry,
    member: Option<usize>,
    read: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<T, String> {
    let read_file = |path: &Path| {
        let map = fs::File::open(path).and_then(|file| sys::map(&file));
        read(&map.map_err(|error| error.to_string())?)
    };
    let Some(inner) = member.map(|position| &entry.members[position]) else {
        return read_file(&entry.path);
    };
    match (entry.member_bytes(inner), &inner.data) {
        (Some(bytes), _) => read(bytes),
        (None, MemberData::File { path, .. }) => read_file(path),
        (None, MemberData::Inside(_)) => Err("its bytes are gone".to_owned()),
    }
}

/// Where the final link's own time trace is, where one is wanted.
pub fn time_trace(staging: &Staging) -> PathBuf {
    staging.path("final-link.time-trace")
}

fn time_trace_word(link: &FinalLink<'_>) -> Option<OsString> {
    let is_wanted = link.other.is_none() && link.invocation.has("time-trace");
    is_wanted.then(|| {
        let mut word = OsString::from("--time-trace=");
        word.push(time_trace(link.staging));
        word
    })
}

/// What linking the native objects has come to.
struct Linked {
    output: Output,
    /// The files that copies stood for.
    originals: Vec<PathBuf>,
    relocatable: Option<stats::Relocatable>,
}

/// Links by `words`, with `more` behind them that have no part in what is linked: of renamed sections where that pays and
/// nobody can tell, else of the objects as they are.
fn linked(link: &FinalLink<'_>, words: Vec<OsString>, more: &[OsString]) -> Result<Linked, FinalLinkError> {
    let is_asked = link.invocation.kind == OutputKind::Relocatable && link.other.is_none();
    let kept = match is_asked.then(|| renamed(link, &words, more)).transpose()? {
        Some(Ok(linked)) => return Ok(linked),
        Some(Err(kept)) => Some(kept),
        None => None,
    };
    Ok(Linked {
        output: execute(link, link.program(), words, more)?,
        originals: Vec::new(),
        relocatable: kept.map(|kept| Err(kept).into()),
    })
}

fn renamed(
    link: &FinalLink<'_>,
    words: &[OsString],
    more: &[OsString],
) -> Result<Result<Linked, Kept>, FinalLinkError> {
    let staged = Invocation::read(words.to_vec())
        .map_err(|error| Kept::Option(error.to_string()))
        .and_then(|invocation| Renamed::of(&invocation, link.relocatable)?.stage(link.staging));
    let staged = match staged {
        Ok(staged) => staged,
        Err(kept) => return Ok(Err(kept)),
    };
    let output = execute(link, link.program(), staged.words.clone(), more)?;
    Ok(staged.finish(&output).map(|renamed| Linked {
        output,
        originals: staged.originals,
        relocatable: Some(Ok(renamed).into()),
    }))
}

/// Runs a linker over `words` with `more` behind them.
fn execute(
    link: &FinalLink<'_>,
    mut command: Command,
    mut words: Vec<OsString>,
    more: &[OsString],
) -> Result<Output, FinalLinkError> {
    words.extend_from_slice(more);
    let file = link.staging.path("final-link.rsp");
    command
        .args(response::shorten(words, &file).map_err(at(&file))?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    link.children
        .spawn(&mut command)
        .and_then(|running| running.output())
        .map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => FinalLinkError::Interrupted,
            _ => FinalLinkError::Io(PathBuf::from(command.get_program()), error),
        })
}

/// Options that name a file in which inputs are listed.
const SIDE_FILES: [&str; 2] = ["Map", "dependency-file"];

fn translate_side_files(link: &FinalLink<'_>, names: &Names) -> Result<(), FinalLinkError> {
    let named = |option| Some((option, PathBuf::from(link.invocation.last(option)?)));
    let trace = time_trace_word(link).map(|_| ("time-trace", time_trace(link.staging)));
    for (option, path) in SIDE_FILES.into_iter().filter_map(named).chain(trace) {
        let path = path.as_path();
        // One that is not there was not written, and what is not a plain file (/dev/stdout) has been passed on already.
        if !fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
            continue;
        }
        let bytes = fs::read(path).map_err(at(path))?;
        let listed = match (option, std::str::from_utf8(&bytes)) {
            ("dependency-file", Ok(text)) => dependencies::rewrite(text, link.inputs, link.staging.dir()),
            _ => None,
        };
        let translated = listed.map_or_else(|| names.translate_bytes(&bytes), |text| Cow::Owned(text.into_bytes()));
        if *translated != *bytes {
            fs::write(path, &translated).map_err(at(path))?;
        }
    }
    Ok(())
}
