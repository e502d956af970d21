//! Everything a backend needs before it can run: its module and index under staged names, its command, its cache key.
//! Knows nothing of running anything.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::asm_files::{self, AsmFiles, Text};
use super::asm_symbols::Says;
use super::flags::{Flags, JobFiles, ModuleTarget, SavedStage};
use super::modules::{ReadAhead, ReadModule};
use super::own;
use super::process::Backend;
use super::seen::{Names, Read};
use super::{BackendError, Backends};
use crate::bitcode::outline::{Outline, OutlinedModule};
use crate::bitcode::resolve::{self, Declaration, Resolutions};
use crate::cache::{Keyed, ModuleParts};
use crate::compiled::Look;
use crate::final_link::NativeObject;
use crate::inputs::BitcodeSource;
use crate::narrowed::Defines;
use crate::observe::stats;
use crate::route::lto_mode;
use crate::staging::Place;
use crate::thin_link::PlannedModule;

/// A backend that can run.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) backend: Backend,
    pub(super) object: NativeObject,
    /// What that may define.
    pub(super) defines: Defines,
    /// Files it writes beside its object.
    pub(super) sides: Vec<PathBuf>,
    /// Bitcode it saves for the user.
    pub(super) stages: Vec<SavedStage>,
    /// Its time traces, where they are wanted.
    pub(super) traces: Vec<PathBuf>,
    /// None where its object is not to be kept.
    pub(super) key: Option<Keyed>,
    /// How long it will take, by the bytes it reads.
    pub(super) weight: u64,
    /// What its index is to be told.
    declared: Vec<Declaration>,
    pub(super) target: ModuleTarget,
    /// The modules it reads, itself first.
    pub(super) reads: Vec<usize>,
    /// Its options.
    pub(super) flags: Arc<Flags>,
    /// The files that assembly pulls in; none where nobody asks.
    pub(super) assembly: AsmFiles,
}

impl Prepared {
    /// Its command but for the names of files: what backends have in common for which clang would do the same.
    pub(super) fn kind(&self) -> Vec<u8> {
        self.flags.fingerprint(&self.target, 0)
    }
}

fn unfit(module: &PlannedModule, what: &str, error: impl std::fmt::Display) -> BackendError {
    BackendError::Unfit(format!("{}: {what}: {error}", module.shown()))
}

/// Prepares every module of the plan, but for what only a backend that runs needs ([`stage_modules`], [`stage_indexes`]).
///
/// # Errors
/// `Unfit` where a module or an index cannot be read, or clang would not take the options.
pub(super) fn all(
    link: &Backends<'_>,
    ahead: ReadAhead,
    counts: &mut stats::Backends,
) -> Result<(Vec<Prepared>, Vec<Look>), BackendError> {
    let modules = &link.plan.modules;
    let read = read(link, ahead)?;
    let own = own::all(link, &read, counts);
    let by_name: HashMap<&[u8], usize> = modules
        .iter()
        .enumerate()
        .map(|(at, module)| (module.name.as_bytes(), at))
        .collect();
    let declared = missing_declarations(link, &read)?;
    let said = assembly_of(link, &read);
    let places = modules
        .iter()
        .map(|module| place(module, link))
        .collect::<Result<Vec<_>, _>>()?;
    let prepared = modules
        .par_iter()
        .zip(places)
        .zip(&own.flags)
        .enumerate()
        .map(|(at, ((module, place), flags))| {
            let declared = declared.needed_by(at, module.index.outline(), &by_name);
            let mut prepared = prepare(at, place, declared, flags, link, &read, &by_name)?;
            prepared.defines = defines(&prepared.reads, &said, link);
            Ok(prepared)
        })
        .collect::<Result<_, _>>()?;
    Ok((prepared, own.looks))
}

/// What each module's assembly says of names that are not visible to all, which it may define for all whatever code does;
/// none where it was not read.
fn assembly_of(link: &Backends<'_>, read: &[ReadModule]) -> Vec<Option<Says>> {
    let asked: HashSet<&[u8]> = link.asked.by_name().keys().copied().collect();
    let says = read.par_iter().map(|module| match asked.is_empty() {
        true => Some(Says::default()),
        false => Some(Says::of(&module.keyed.as_ref()?.assembly, &asked)),
    });
    says.collect()
}

/// What the object of the first of `reads` may define of the names that are open, or that assembly may define.
fn defines(reads: &[usize], said: &[Option<Says>], link: &Backends<'_>) -> Defines {
    // An imported function brings its inline assembly along.
    let together = reads.iter().map(|at| said[*at]);
    let together = together.reduce(|one, other| Some(one?.with(other?))).flatten();
    let own = reads.first().map(|at| link.plan.modules[*at].source);
    match (together, own) {
        _ if link.asked.by_name().is_empty() => Defines::NothingOpen,
        // What a command of the user's makes of an object nobody knows.
        (Some(says), Some(own))
            if link.post.is_none()
                && link.launcher.is_none()
                && !says.may_define()
                && !link.asked.is_open_in(link.tables, own) =>
        {
            Defines::NothingOpen
        }
        _ => Defines::PerhapsOpen,
    }
}

fn place(module: &PlannedModule, link: &Backends<'_>) -> Result<Place, BackendError> {
    let base = link.inputs.entries[module.source.entry].base(module.source.member);
    let place = link.staging.named(&base);
    place.map_err(|error| unfit(module, "no place for its object", error))
}

/// Puts the indexes that these backends read where their commands expect them.
///
/// # Errors
/// `Unfit` where one cannot be written.
pub(super) fn stage_indexes(
    link: &Backends<'_>,
    prepared: &[Prepared],
    running: &[usize],
    ranks: &HashMap<&[u8], usize>,
) -> Result<(), BackendError> {
    running
        .par_iter()
        .map(|at| stage_index(link, prepared, *at, ranks))
        .collect()
}

/// Every module's rank, by its name in indexes.
pub(super) fn ranks<'a>(link: &Backends<'a>) -> HashMap<&'a [u8], usize> {
    let modules = link.plan.modules.iter();
    modules.map(|module| (module.name.as_bytes(), module.rank)).collect()
}

/// The index of one backend, where its command expects it.
///
/// # Errors
/// `Unfit` where it cannot be written.
pub(super) fn stage_index(
    link: &Backends<'_>,
    prepared: &[Prepared],
    at: usize,
    ranks: &HashMap<&[u8], usize>,
) -> Result<(), BackendError> {
    let module = &link.plan.modules[at];
    let index = index(link, at, &prepared[at], |name| {
        let rank = ranks.get(name)?;
        Some(link.staging.module(*rank).into_os_string().into_encoded_bytes())
    })?;
    let path = link.staging.index(module.rank);
    fs::write(&path, index).map_err(|error| unfit(module, "its index cannot be written", error))
}

/// As [`stage_indexes`], of the modules.
///
/// # Errors
/// `Unfit` where one cannot be written.
pub(super) fn stage_modules(link: &Backends<'_>, prepared: &[Prepared], running: &[usize]) -> Result<(), BackendError> {
    let modules = &link.plan.modules;
    probe(link, running.iter().map(|at| &prepared[*at].target))?;
    link.staging
        .make_module_folders()
        .map_err(|error| BackendError::Unfit(format!("{}: {error}", link.staging.dir().display())))?;
    let wanted: HashSet<usize> = running
        .iter()
        .flat_map(|at| prepared[*at].reads.iter().copied())
        .collect();
    wanted
        .par_iter()
        .map(|at| stage_module(&modules[*at], link).map_err(|error| unfit(&modules[*at], "cannot be staged", error)))
        .collect()
}

fn bytes<'a>(module: &PlannedModule, link: &Backends<'a>) -> Result<&'a [u8], BackendError> {
    link.inputs
        .bitcode(module.source)
        .map_err(|error| unfit(module, "cannot be read", error))
}

/// What was read of each module, in the plan's order.
fn read(link: &Backends<'_>, mut ahead: ReadAhead) -> Result<Vec<ReadModule>, BackendError> {
    let modules = &link.plan.modules;
    let sources: Vec<BitcodeSource> = modules.iter().map(|module| module.source).collect();
    let read = ahead.take(link.inputs, link.symbols, &sources);
    modules
        .iter()
        .zip(read)
        .map(|(module, read)| {
            let read = read.map_err(|error| BackendError::Unfit(format!("{}: {error}", module.shown())))?;
            let accepted = link.flags.accepts(&read.target);
            accepted.map_err(|error| BackendError::Unfit(error.to_string()))?;
            Ok(read)
        })
        .collect()
}

/// Asks clang once for every target of these backends whether it takes the options.
fn probe<'a>(link: &Backends<'_>, targets: impl Iterator<Item = &'a ModuleTarget>) -> Result<(), BackendError> {
    let mut asked: Vec<&ModuleTarget> = Vec::new();
    for target in targets {
        if asked.contains(&target) {
            continue;
        }
        asked.push(target);
        link.flags
            .probe(&link.clang.path, target)
            .map_err(|error| BackendError::Unfit(error.to_string()))?;
    }
    Ok(())
}

/// The names that each module leaves open and the link defines for good: in-process LTO knows them from the combined index and
/// addresses them directly, a backend must be told of its module's and of those it imports from.
fn missing_declarations(link: &Backends<'_>, read: &[ReadModule]) -> Result<Declared, BackendError> {
    let wanting: Vec<bool> = read.iter().map(|module| module.open.is_some()).collect();
    if !wanting.contains(&true) {
        return Ok(Declared::default());
    }
    let open = open_names(link, read)?;
    let mut resolutions = Resolutions::of(open.iter().flat_map(|open| open.iter()));
    if resolutions.is_empty() {
        return Ok(Declared::default());
    }
    resolve_all(link, read, &mut resolutions)?;
    let by_module = open.par_iter().map(|open| resolutions.declarations(open)).collect();
    Ok(Declared { wanting, by_module })
}

/// What each module leaves open, be it to others that import from it alone.
fn open_names<'a>(link: &Backends<'_>, read: &'a [ReadModule]) -> Result<Vec<Cow<'a, [Declaration]>>, BackendError> {
    let modules = link.plan.modules.par_iter().zip(read);
    let open = modules.map(|(module, read)| {
        if let Some(open) = &read.open {
            return Ok(Cow::Borrowed(open.as_slice()));
        }
        let symbols = link.symbols.of(module.source);
        let symbols = symbols.map_err(|error| BackendError::Unfit(format!("{}: {error}", module.shown())))?;
        Ok(Cow::Owned(resolve::left_open(symbols)))
    });
    open.collect()
}

/// Has all that is linked say what it defines of these names.
fn resolve_all(link: &Backends<'_>, read: &[ReadModule], resolutions: &mut Resolutions) -> Result<(), BackendError> {
    for (module, read) in link.plan.modules.iter().zip(read) {
        resolutions.add_outline(module.index.outline());
        if read.is_split {
            resolutions
                .add_regular_part(bytes(module, link)?)
                .map_err(|error| unfit(module, "its regular part cannot be read", error))?;
        }
    }
    for file in regular_files(link) {
        resolutions
            .add_regular_part(file)
            .map_err(|error| BackendError::Unfit(format!("bitcode for regular LTO cannot be read: {error}")))?;
    }
    Ok(())
}

/// The names that modules leave open and the link defines for good.
#[derive(Default)]
struct Declared {
    /// Whether a module's backend heeds them.
    wanting: Vec<bool>,
    by_module: Vec<Vec<Declaration>>,
}

impl Declared {
    /// Those a module's index needs: its own, and those of the modules it imports from, each once.
    fn needed_by(&self, at: usize, outline: &Outline, by_name: &HashMap<&[u8], usize>) -> Vec<Declaration> {
        if self.wanting.get(at) != Some(&true) {
            return Vec::new();
        }
        let imported = outline.modules.iter();
        let imported = imported.filter_map(|module| by_name.get(module.path.as_slice()).copied());
        let mut seen = HashSet::new();
        std::iter::once(at)
            .chain(imported.filter(|other| *other != at))
            .flat_map(|source| &self.by_module[source])
            .filter(|declaration| seen.insert(declaration.guid))
            .copied()
            .collect()
    }
}

/// The bitcode that was linked and has no backend: files for regular LTO, whose summaries the combined index has too.
fn regular_files<'a>(link: &Backends<'a>) -> Vec<&'a [u8]> {
    let sources = link.plan.regular_bitcode(link.inputs, lto_mode(link.invocation));
    sources
        .into_iter()
        .filter_map(|source| link.inputs.bitcode(source).ok())
        .collect()
}

/// The module under its staged name: a link to what has its bytes.
fn stage_module(module: &PlannedModule, link: &Backends<'_>) -> io::Result<()> {
    let file = module_file(module, link)?;
    if file == link.staging.bytes(module.rank) {
        fs::write(&file, link.inputs.bitcode(module.source)?)?;
    }
    symlink(file, link.staging.module(module.rank))
}

/// The file that has a module's bytes and nothing else: its own, or, where something else holds them, what they are put
/// into when it is staged.
///
/// # Errors
/// There is no working folder.
pub(super) fn module_file(module: &PlannedModule, link: &Backends<'_>) -> io::Result<PathBuf> {
    match link.inputs.bitcode_file(module.source) {
        Some(path) => std::path::absolute(path),
        None => Ok(link.staging.bytes(module.rank)),
    }
}

/// The bytes of a backend's index, modules called what `name` calls them.
///
/// # Errors
/// `Unfit` where it cannot be read, or names a module that has no name.
pub(super) fn index(
    link: &Backends<'_>,
    at: usize,
    prepared: &Prepared,
    name: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, BackendError> {
    let module = &link.plan.modules[at];
    let index = module.index.read();
    let mut index = index.map_err(|error| unfit(module, "its index cannot be read", error))?;
    if !prepared.declared.is_empty() {
        index
            .add_dso_local(module.name.as_bytes(), &prepared.declared)
            .map_err(|error| unfit(module, "its index cannot be completed", error))?;
    }
    let mut unknown = None;
    index.rename_modules(|old| {
        name(old).unwrap_or_else(|| {
            unknown = Some(String::from_utf8_lossy(old).into_owned());
            old.to_vec()
        })
    });
    match unknown {
        Some(name) => Err(unfit(module, "imports from a module that is not in the link", name)),
        None => Ok(index.write()),
    }
}

/// Where bitcode goes between two steps, beside the index.
pub(super) fn intermediate(index: &Path) -> PathBuf {
    index.with_extension("optimised.bc")
}

fn prepare(
    at: usize,
    place: Place,
    declared: Vec<Declaration>,
    flags: &Arc<Flags>,
    link: &Backends<'_>,
    read: &[ReadModule],
    by_name: &HashMap<&[u8], usize>,
) -> Result<Prepared, BackendError> {
    let module = &link.plan.modules[at];
    let imports = module.index.outline().modules.iter();
    let imports = imports
        .filter_map(|module| by_name.get(module.path.as_slice()).copied())
        .filter(|other| *other != at);
    let reads: Vec<usize> = std::iter::once(at).chain(imports).collect();
    let task = link.flags.first_task() + at;
    let (staged, index_file) = (link.staging.module(module.rank), link.staging.index(module.rank));
    let files = JobFiles {
        module: &staged,
        index: &index_file,
        object: &place.path,
        intermediate: &intermediate(&index_file),
        task,
    };
    let target = &read[at].target;
    let imported: u64 = reads[1..].iter().map(|other| read[*other].size).sum();
    let sides = link.flags.side_outputs(task);
    for dir in sides
        .iter()
        .filter_map(|side| side.parent())
        .filter(|dir| !dir.as_os_str().is_empty())
    {
        fs::create_dir_all(dir).map_err(|error| unfit(module, "no folder for what it writes", error))?;
    }
    let (stages, traces) = (flags.saved_stages(&files), flags.traces(&files));
    let assembly = assembly(&reads, read);
    Ok(Prepared {
        backend: Backend {
            steps: flags.steps(target, &files),
            object: place.path.clone(),
        },
        object: NativeObject { place },
        defines: Defines::PerhapsOpen,
        sides,
        stages,
        traces,
        key: key(&reads, (&declared, &assembly), (flags, task), link, read, by_name),
        // What is imported is read and its functions may be inlined; most of it is not.
        weight: read[at].size + imported / 8,
        declared,
        target: target.clone(),
        reads,
        flags: Arc::clone(flags),
        assembly,
    })
}

/// What the backend of module `at` reads of one that its index names.
fn seen<'r>(
    module: &OutlinedModule,
    at: usize,
    link: &Backends<'_>,
    read: &'r [ReadModule],
    by_name: &HashMap<&[u8], usize>,
) -> Option<Read<'r>> {
    let Some(&other) = by_name.get(module.path.as_slice()) else {
        return Some(Read::Whole(module.path.clone(), &[]));
    };
    let ReadModule { digest, keyed, .. } = &read[other];
    let view = &keyed.as_ref()?.view;
    match other == at {
        true => Some(Read::Whole(digest.to_vec(), &view.integers)),
        false => {
            let bytes = link.inputs.bitcode(link.plan.modules[other].source).ok()?;
            Some(Read::of(module, view, digest, bytes))
        }
    }
}

/// The files that the assembly of the first of `reads` pulls in. An imported function brings its assembly along.
fn assembly(reads: &[usize], read: &[ReadModule]) -> AsmFiles {
    let texts: Vec<&Text> = reads
        .iter()
        .filter_map(|at| read[*at].keyed.as_ref())
        .flat_map(|keyed| &keyed.assembly)
        .collect();
    asm_files::find(&texts, Path::new("."))
}

/// The key of the object of the first of `reads`; none where it must not be kept.
fn key(
    reads: &[usize],
    (declared, assembly): (&[Declaration], &AsmFiles),
    (flags, task): (&Flags, usize),
    link: &Backends<'_>,
    read: &[ReadModule],
    by_name: &HashMap<&[u8], usize>,
) -> Option<Keyed> {
    let (cache, at) = (link.cache?, *reads.first()?);
    let files = match assembly {
        AsmFiles::None => &[],
        AsmFiles::Files(files) => files.as_slice(),
        AsmFiles::Undecidable(why) => {
            tracing::debug!(module = link.plan.modules[at].shown(), %why, "not cached");
            return None;
        }
    };
    let parts = ModuleParts {
        clang: link.clang,
        words: &flags.fingerprint(&read[at].target, task),
        named: flags.input_files(),
        launcher: link.launcher,
        post: link.post,
        module: read[at].digest,
        asm_files: files,
    };
    let outline = link.plan.modules[at].index.outline();
    let integers = &read[at].keyed.as_ref()?.view.integers;
    let names = Names::of_backend(integers, outline, |module| seen(module, at, link, read, by_name))?;
    let keyed = cache.key(&parts, &mut |sink| {
        sink(&outline.digest);
        sink(&names.key);
        for declaration in declared {
            sink(&declaration.guid.to_le_bytes());
            sink(&[declaration.of as u8, declaration.linkage as u8]);
        }
    })?;
    Some(keyed.without(&names.places))
}
