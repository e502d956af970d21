//! The order of a link: each input in turn, and the files that linker scripts bring in where they stand (lld `createFiles`).
//! Knows nothing of formats; files are opened in parallel first and only put in order here.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use rayon::prelude::*;

use super::archive::{self, ArchiveMember};
use super::classify::{FatObjects, FileKind};
use super::file::{Stamp, peek};
use super::lexer::Source;
use super::script::{self, Actions, Need, Resolved};
use super::search::{Search, concat};
use super::{Entry, InputError, Inputs, Missing, Origin, Problem, Script, ScriptContent};
use crate::cmdline::position::State;
use crate::cmdline::{Input, InputName, Invocation, Item, Position};

/// lld recurses until its stack ends; no honest script nests this deep.
const DEEPEST: usize = 64;
/// Nor does an honest link read this many.
const MOST_SCRIPTS: usize = 4096;

/// A file, opened.
#[derive(Debug)]
pub(super) struct Opened {
    kind: FileKind,
    members: Vec<ArchiveMember>,
    map: Option<Arc<Mmap>>,
    stamp: Stamp,
}

/// Why a file could not be.
pub(super) enum Failure {
    Missing(io::Error),
    Broken(InputError),
}

/// Where an input is, and what came of opening it there.
type Prepared = Option<(PathBuf, Result<Opened, Failure>)>;

/// One thing of the command line that brings in files.
pub(super) enum Step<'a> {
    /// A positional argument or `-l`.
    Input(&'a Input),
    /// `-T`; its item and its name.
    Script(usize, &'a OsStr),
}

impl Step<'_> {
    fn item(&self) -> usize {
        match self {
            Step::Input(input) => input.item,
            Step::Script(item, _) => *item,
        }
    }
}

/// Every linker script given as an option, in the order they are read: `-T` where it stands; the last `--default-script`
/// after all else, if there is no `-T` (lld `createFiles`).
pub(super) fn script_steps(inv: &Invocation) -> Vec<Step<'_>> {
    let named = |name: &'static str| {
        inv.items
            .iter()
            .enumerate()
            .filter_map(move |(item, option)| match option {
                Item::Option {
                    def,
                    value: Some(value),
                    ..
                } if def.canonical == name => Some(Step::Script(item, value.as_os_str())),
                _ => None,
            })
    };
    let scripts: Vec<_> = named("script").collect();
    if scripts.is_empty() {
        named("default-script").next_back().into_iter().collect()
    } else {
        scripts
    }
}

/// See [`Inputs::open`].
pub(super) fn everything(inv: &Invocation, dependent: &[PathBuf]) -> Result<Inputs, InputError> {
    let search = Search::new(inv);
    let fat = FatObjects::of(inv);
    let prepared: Vec<Prepared> = inv
        .inputs
        .par_iter()
        .with_min_len(32)
        .map(|input| {
            let path = locate(&search, input)?.into_owned();
            let opened = open(&path, input.position, fat);
            Some((path, opened))
        })
        .collect();
    let mut steps: Vec<(Step<'_>, Prepared)> = inv.inputs.iter().map(Step::Input).zip(prepared).collect();
    steps.extend(script_steps(inv).into_iter().map(|step| (step, None)));
    let is_default = |step: &Step<'_>| match inv.items.get(step.item()) {
        Some(Item::Option { def, .. }) => def.canonical == "default-script",
        _ => false,
    };
    steps.sort_by_key(|(step, _)| (is_default(step), step.item()));
    let mut walker = Walker::new(inv, search, fat);
    for (step, prepared) in steps {
        walker.step(step, prepared)?;
    }
    for path in dependent {
        let context = Context {
            item: inv.items.len(),
            origin: Origin::CommandLine,
            position: Position::default(),
        };
        let opened = open(path, Position::default(), fat);
        walker.add(context, path.clone(), opened)?;
    }
    walker.inputs.absent = walker.search.misses();
    Ok(walker.inputs)
}

/// The path of an input, if the search path as it is now has it.
pub(super) fn locate<'a>(search: &Search, input: &'a Input) -> Option<Cow<'a, Path>> {
    match &input.name {
        InputName::File(path) => Some(Path::new(path).into()),
        InputName::Library(name) => search.library(name, input.position).map(Cow::from),
    }
}

fn open(path: &Path, position: Position, fat: FatObjects) -> Result<Opened, Failure> {
    let peeked = peek(path).map_err(Failure::Missing)?;
    let stamp = peeked.stamp().map_err(Failure::Missing)?;
    if (position.binary || position.just_symbols) && peeked.kind != FileKind::Stream {
        return Ok(Opened {
            kind: FileKind::Data,
            members: Vec::new(),
            map: None,
            stamp,
        });
    }
    let (kind, map) = peeked.map(fat).map_err(Failure::Missing)?;
    let members = match &map {
        Some(map) if kind.is_archive() => {
            archive::members(path, map, fat).map_err(|error| Failure::Broken(error.into()))?
        }
        _ => Vec::new(),
    };
    Ok(Opened {
        kind,
        members,
        map,
        stamp,
    })
}

/// The walk, and what it has met so far.
pub(super) struct Walker<'a> {
    inv: &'a Invocation,
    search: Search,
    fat: FatObjects,
    inputs: Inputs,
    depth: usize,
}

/// What a file inherits from whatever named it.
#[derive(Clone)]
struct Context {
    item: usize,
    origin: Origin,
    position: Position,
}

impl<'a> Walker<'a> {
    pub(super) fn new(inv: &'a Invocation, search: Search, fat: FatObjects) -> Self {
        Self {
            inv,
            search,
            fat,
            inputs: Inputs::default(),
            depth: 0,
        }
    }

    /// What was met.
    pub(super) fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Takes one step; `prepared` is what opening its file gave, where that was done ahead.
    pub(super) fn step(&mut self, step: Step<'_>, prepared: Prepared) -> Result<(), InputError> {
        match step {
            Step::Input(input) => {
                let origin = match &input.name {
                    InputName::File(_) => Origin::CommandLine,
                    InputName::Library(name) => Origin::Library(name.clone()),
                };
                let context = Context {
                    item: input.item,
                    origin,
                    position: input.position,
                };
                let prepared = prepared.or_else(|| {
                    // Not found before; but scripts read since may have added directories.
                    let path = locate(&self.search, input)?.into_owned();
                    let opened = open(&path, input.position, self.fat);
                    Some((path, opened))
                });
                match (prepared, &input.name) {
                    (Some((path, opened)), _) => self.add(context, path, opened),
                    (None, InputName::File(name)) => {
                        self.miss(context.item, name, Problem::NotFound);
                        Ok(())
                    }
                    (None, InputName::Library(name)) => {
                        self.miss_library(context.item, name);
                        Ok(())
                    }
                }
            }
            Step::Script(item, name) => {
                let position = State::at(self.inv, item);
                match self.search.script(name) {
                    Some(path) => self.run(
                        &Context {
                            item,
                            origin: Origin::CommandLine,
                            position,
                        },
                        &path,
                    ),
                    None => {
                        self.miss(item, name, Problem::NotFound);
                        Ok(())
                    }
                }
            }
        }
    }

    fn miss(&mut self, item: usize, name: &OsStr, problem: Problem) {
        self.inputs.missing.push(Missing {
            item,
            name: name.into(),
            problem,
        });
    }

    fn miss_library(&mut self, item: usize, name: &OsStr) {
        use std::os::unix::ffi::OsStrExt;
        self.miss(item, &concat(OsStr::new("-l"), name.as_bytes()), Problem::NotFound);
    }

    fn add(&mut self, context: Context, path: PathBuf, opened: Result<Opened, Failure>) -> Result<(), InputError> {
        let Opened {
            kind,
            members,
            map,
            stamp,
        } = match opened {
            Ok(opened) => opened,
            Err(Failure::Broken(error)) => return Err(error),
            Err(Failure::Missing(error)) => {
                self.miss(context.item, path.as_os_str(), error.into());
                return Ok(());
            }
        };
        if kind == FileKind::Stream {
            self.miss(context.item, path.as_os_str(), Problem::Stream);
            return Ok(());
        }
        let script = (kind == FileKind::Text).then(|| (context.clone(), path.clone()));
        let Context { item, origin, position } = context;
        self.inputs.entries.push(Entry {
            item,
            path,
            origin,
            position,
            kind,
            members,
            map,
            stamp,
        });
        match script {
            Some((context, path)) => self.run(&context, &path),
            None => Ok(()),
        }
    }

    /// Reads the linker script at `path` and adds what it names.
    fn run(&mut self, context: &Context, path: &Path) -> Result<(), InputError> {
        if self.depth >= DEEPEST || self.inputs.scripts.len() >= MOST_SCRIPTS {
            self.miss(context.item, path.as_os_str(), Problem::Nesting);
            return Ok(());
        }
        let source = match self.read(path) {
            Ok(source) => source,
            Err(problem) => {
                self.miss(context.item, path.as_os_str(), problem);
                return Ok(());
            }
        };
        self.depth += 1;
        let mut reading = Reading {
            walker: self,
            context,
            broken: None,
        };
        let result = script::run(source, &mut reading);
        let broken = reading.broken.take();
        self.depth -= 1;
        match (broken, result) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => {
                self.miss(context.item, path.as_os_str(), error.into());
                Ok(())
            }
            (None, Ok(())) => Ok(()),
        }
    }

    fn read(&mut self, path: &Path) -> Result<Source, Problem> {
        let peeked = peek(path)?;
        if peeked.kind == FileKind::Stream {
            return Err(Problem::Stream);
        }
        let (text, stamp) = peeked.read()?;
        self.inputs.scripts.push(Script {
            path: path.into(),
            stamp,
            content: ScriptContent::InputsOnly,
        });
        Ok(Source {
            path: path.into(),
            text,
            root: script::root_of(&self.search, path),
        })
    }
}

/// A script being read: what it says is done at once.
struct Reading<'w, 'a> {
    walker: &'w mut Walker<'a>,
    context: &'w Context,
    /// An input that cannot be used; ends the script and the walk.
    broken: Option<InputError>,
}

impl Actions for Reading<'_, '_> {
    fn input(&mut self, script: &Source, name: &OsStr, need: Need) -> Result<(), String> {
        let mut position = self.context.position;
        position.as_needed |= need == Need::AsNeeded;
        let context = Context {
            item: self.context.item,
            origin: Origin::Script(script.path.clone()),
            position,
        };
        let path = match script::resolve(&self.walker.search, script, name)? {
            Resolved::File(path) => Some(path),
            Resolved::Library(library) => {
                let found = self.walker.search.library(&library, position);
                if found.is_none() {
                    self.walker.miss_library(context.item, &library);
                }
                found
            }
        };
        let Some(path) = path else { return Ok(()) };
        let opened = open(&path, position, self.walker.fat);
        self.walker.add(context, path, opened).map_err(|error| {
            let what = error.to_string();
            self.broken = Some(error);
            what
        })
    }

    fn search_dir(&mut self, directory: &OsStr) {
        self.walker.search.add_directory(directory);
    }

    fn other(&mut self, script: &Source) {
        for known in self
            .walker
            .inputs
            .scripts
            .iter_mut()
            .filter(|known| known.path == script.path)
        {
            known.content = ScriptContent::More;
        }
    }

    fn include(&mut self, name: &OsStr) -> Result<Source, String> {
        if self.walker.inputs.scripts.len() >= MOST_SCRIPTS {
            return Err("too many linker scripts".into());
        }
        let shown: OsString = name.into();
        let path = self.walker.search.script(name);
        let path = path.ok_or_else(|| format!("cannot find linker script {}", shown.display()))?;
        self.walker
            .read(&path)
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}
