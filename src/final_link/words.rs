//! The final link's words: the user's options, then every loaded file by name in load order, then what only code
//! generation may still ask for. Nothing that the thin link could have loaded in another file's place is lazy any more.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use object::elf;

use super::assignments::Assignments;
use super::bitcode_references::{self, Untold};
use super::edited::SymbolEdits;
use super::exclude_libs::ExcludeLibs;
use super::load_order::{LoadedFile, kind, natives};
use super::shared_objects::SharedObjects;
use super::symbol_order::{Ordered, symbol_order};
use super::undefined::{self, Reference};
use super::ungrouped::Groups;
use super::wrapped::RealNames;
use super::yielding::Yielding;
use super::{FinalLink, FinalLinkError, at, read_native};
use crate::archive;
use crate::backend::kept::regular_prelink;
use crate::bitcode::symbols::Visibility;
use crate::cmdline::position::State;
use crate::cmdline::{Item, Role};
use crate::color::Color;
use crate::inputs::{BitcodeSource, Entry, FileKind, MemberData, Origin, Script, ScriptContent, script};
use crate::names::Names;
use crate::settings::Order;
use crate::thin_link::written_by_thin_link;

/// Options that say how the inputs behind them are read. Each input says that for itself here.
const INPUT_STATE: [&str; 11] = [
    "as-needed",
    "no-as-needed",
    "whole-archive",
    "no-whole-archive",
    "start-lib",
    "end-lib",
    "start-group",
    "end-group",
    "push-state",
    "pop-state",
    "format",
];

/// What there is to say before a file's name and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    Nothing,
    AsNeeded,
    Lib,
    Binary,
    WholeArchive,
}

impl Around {
    fn words(self) -> (Option<&'static str>, Option<&'static str>) {
        match self {
            Around::Nothing => (None, None),
            Around::AsNeeded => (Some("--as-needed"), Some("--no-as-needed")),
            Around::Lib => (Some("--start-lib"), Some("--end-lib")),
            Around::Binary => (Some("--format=binary"), Some("--format=default")),
            Around::WholeArchive => (Some("--whole-archive"), Some("--no-whole-archive")),
        }
    }
}

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Lto,
    User,
}

/// Puts the words together.
pub(super) struct Builder<'a, 'n> {
    link: &'a FinalLink<'a>,
    regular: Option<&'a Path>,
    names: &'n mut Names,
    words: Vec<OsString>,
    /// Where symbols are wrapped that bitcode defines.
    real_names: Option<RealNames>,
    /// In in-process order: what native objects define in vain.
    yielding: Option<Yielding>,
    /// In in-process order: what LTO's objects have in groups.
    groups: Option<Groups<'a>>,
    /// What stands around the last word.
    around: Around,
}

/// The final link's command line; names of what is staged for it are put into `names`.
///
/// # Errors
/// See [`FinalLinkError`].
pub(super) fn words(
    link: &FinalLink<'_>,
    assignments: &Assignments,
    thin_link_order: Vec<LoadedFile>,
    regular: Option<&Path>,
    narrowed: &[Reference<'_>],
    names: &mut Names,
) -> Result<Vec<OsString>, FinalLinkError> {
    let mut order = Cow::Borrowed(thin_link_order.as_slice());
    if link.order == Order::InProcess {
        // As lld has them: LTO's objects behind all others, in the order of their tasks.
        order.to_mut().sort_by_key(|file| match file {
            LoadedFile::Native(_) => (0, 0),
            LoadedFile::Regular => (1, 0),
            LoadedFile::Module(module) => (2, *module),
        });
    }
    let mut builder = Builder {
        link,
        regular,
        names,
        words: Vec::new(),
        real_names: match link.invocation.has("wrap") {
            true => RealNames::new(link)?,
            false => None,
        },
        yielding: None,
        groups: Groups::new(link),
        around: Around::Nothing,
    };
    builder.options()?;
    let natives = natives(&order);
    let users = bitcode_references::natives_of(link, &natives)?;
    builder.yielding = Yielding::new(link, &users)?;
    let shared = SharedObjects::read(link, assignments, &natives, &users)?;
    shared.refuse(link, assignments, &natives, &users)?;
    let untold = match link.other {
        None => bitcode_references::only_in_bitcode(link, assignments, &natives, &users, &shared)?,
        Some(_) => Untold::default(),
    };
    untold.refuse_lazy(link, &natives)?;
    let symbol_order = symbol_order(link, assignments, &thin_link_order, &untold)?;
    let references: Vec<Reference<'_>> = symbol_order.iter().map(Ordered::reference).collect();
    let ordered: HashSet<&[u8]> = references.iter().map(|reference| reference.name).collect();
    for name in untold.strong.iter().filter(|name| !ordered.contains(name.as_slice())) {
        builder
            .words
            .extend(["--undefined".into(), OsString::from_vec(name.clone())]);
    }
    if !references.is_empty() {
        let path = builder.references(&references, &natives)?;
        builder.words.push(path.into());
    }
    builder.loaded(&order)?;
    builder.not_loaded(&order)?;
    builder.enter(Around::Nothing);
    builder.words.push(Color::of(link.invocation).word().into());
    let weak = untold.weak.iter().map(|name| Reference {
        name,
        visibility: Visibility::Default,
        is_weak: true,
        symbol_type: elf::STT_NOTYPE,
    });
    let references: Vec<Reference<'_>> = narrowed.iter().copied().chain(weak).collect();
    if !references.is_empty() {
        let path = builder.references(&references, &natives)?;
        builder.words.push(path.into());
    }
    Ok(builder.words)
}

impl<'a> Builder<'a, '_> {
    /// What is no input, in order; and scripts that say more than which files to link.
    fn options(&mut self) -> Result<(), FinalLinkError> {
        let inputs: HashSet<usize> = self.link.invocation.inputs.iter().map(|input| input.item).collect();
        for (index, item) in self.link.invocation.items.iter().enumerate() {
            match item {
                Item::Input(_) => self.scripts(index)?,
                Item::Option { def, .. } if def.canonical == "script" || def.canonical == "default-script" => {
                    self.script_option(index, item)?;
                }
                Item::Option { def, .. } => {
                    let is_input = inputs.contains(&index);
                    let is_state = INPUT_STATE.contains(&def.canonical);
                    if !is_input && !is_state && def.role != Role::Lto && !is_done(item) {
                        self.words.extend_from_slice(item.words());
                    }
                }
            }
        }
        let ends_static = State::at(self.link.invocation, self.link.invocation.items.len()).prefer_static;
        let has_shared = self
            .link
            .inputs
            .entries
            .iter()
            .any(|entry| entry.kind == FileKind::SharedObject);
        if ends_static && has_shared {
            self.words.push("-Bdynamic".into());
        }
        Ok(())
    }

    /// The scripts that an input is or names: dropped where they only name files, without those where they say more.
    fn scripts(&mut self, item: usize) -> Result<(), FinalLinkError> {
        let entries = self.link.inputs.entries.iter().filter(|entry| entry.item == item);
        for entry in entries.filter(|entry| entry.kind == FileKind::Text) {
            if let Some(path) = self.without_inputs(item, &entry.path)? {
                self.words.push(path.into());
            }
        }
        Ok(())
    }

    /// `-T`: as it stands, unless the script names files.
    fn script_option(&mut self, item: usize, option: &Item) -> Result<(), FinalLinkError> {
        let entries = self.link.inputs.entries.iter().filter(|entry| entry.item == item);
        let script = entries.clone().find_map(|entry| match &entry.origin {
            Origin::Script(path) => Some(path.clone()),
            Origin::CommandLine | Origin::Library(_) => None,
        });
        let Some(script) = script else {
            self.words.extend_from_slice(option.words());
            return Ok(());
        };
        if let Some(path) = self.without_inputs(item, &script)? {
            self.words.extend(["--script".into(), path.into()]);
        }
        self.scripts(item)
    }

    /// A script as the final link may read it, with no file to load in it; none where nothing would be left.
    fn without_inputs(&mut self, item: usize, script: &Path) -> Result<Option<PathBuf>, FinalLinkError> {
        let inputs = self.link.inputs;
        let is_more = |known: &&Script| known.path == script && known.content == ScriptContent::More;
        if !inputs.scripts.iter().any(|known| is_more(&known)) {
            return Ok(None);
        }
        let mut entries = inputs.entries.iter().filter(|entry| entry.item == item);
        let is_known = |by: &Path| {
            by == script
                || inputs
                    .entries
                    .iter()
                    .any(|entry| entry.kind == FileKind::Text && entry.path == by)
        };
        if entries
            .clone()
            .any(|entry| matches!(&entry.origin, Origin::Script(by) if !is_known(by)))
        {
            let script = script.display();
            return Err(FinalLinkError::Unfit(format!(
                "{script} includes a script that names files"
            )));
        }
        if !entries.any(|entry| matches!(&entry.origin, Origin::Script(by) if by == script)) {
            return Ok(Some(script.to_owned()));
        }
        let text = fs::read(script).map_err(at(script))?;
        let text = script::without_inputs(script, text).map_err(|error| FinalLinkError::Unfit(error.to_string()))?;
        let base = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = self.stage(&base, script.display().to_string())?;
        fs::write(&path, text).map_err(at(&path))?;
        Ok(Some(path))
    }

    /// Every file that the thin link loaded.
    fn loaded(&mut self, order: &[LoadedFile]) -> Result<(), FinalLinkError> {
        let exclude = ExcludeLibs::new(self.link)?;
        let mut rest = order;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            if let Some(archive) = self.archive_of(*first, &exclude) {
                let run = after
                    .iter()
                    .take_while(|file| self.archive_of(**file, &exclude) == Some(archive));
                let run: Vec<LoadedFile> = std::iter::once(*first).chain(run.copied()).collect();
                rest = after.get(run.len() - 1..).unwrap_or_default();
                self.run(archive, &run)?;
                continue;
            }
            match *first {
                LoadedFile::Module(module) => self.object(module)?,
                LoadedFile::Regular => self.regular()?,
                LoadedFile::Native(file) => self.native(file)?,
            }
        }
        Ok(())
    }

    /// The archive that a loaded file must come out of: lld goes by an archive's name in `--exclude-libs`, in patterns of
    /// linker scripts and in what it says. LTO's own objects come out of none.
    fn archive_of(&self, file: LoadedFile, exclude: &ExcludeLibs) -> Option<usize> {
        let source = match file {
            LoadedFile::Native(source) => source,
            LoadedFile::Module(module) if exclude.hides_bitcode() => {
                let source = self.link.plan.modules[module].source;
                let is_excluded = exclude.names(&self.link.inputs.entries[source.entry].path);
                return (is_excluded && source.member.is_some()).then_some(source.entry);
            }
            LoadedFile::Module(_) | LoadedFile::Regular => return None,
        };
        source.member.map(|_| source.entry)
    }

    /// Files of one archive that are loaded one after another: an archive of its name that has just them.
    fn run(&mut self, archive: usize, run: &[LoadedFile]) -> Result<(), FinalLinkError> {
        let entry = &self.link.inputs.entries[archive];
        let whole = (0..entry.members.len()).map(|position| LoadedFile::Native(member(archive, position)));
        if !self.adapts(Owner::User) && whole.eq(run.iter().copied()) {
            self.word(entry.path.clone(), Around::WholeArchive);
            return Ok(());
        }
        let mut members = Vec::new();
        for file in run {
            let (source, bytes) = match *file {
                LoadedFile::Regular => continue,
                LoadedFile::Module(module) => {
                    let object = self.link.objects[module].path();
                    let bytes = fs::read(object).map_err(at(object))?;
                    let source = self.link.plan.modules[module].source;
                    (source, self.adapted(Owner::Lto, Cow::Owned(bytes), object)?)
                }
                LoadedFile::Native(source) => {
                    let bytes = member_bytes(self.link, source)?;
                    (source, self.adapted(Owner::User, bytes, &entry.path)?)
                }
            };
            members.push((member_name(entry, source), bytes));
        }
        let path = self.archive(entry, members)?;
        self.word(path, Around::WholeArchive);
        Ok(())
    }

    /// An archive that stands for some of another's members.
    fn archive(&mut self, entry: &Entry, members: Vec<(String, Cow<'_, [u8]>)>) -> Result<PathBuf, FinalLinkError> {
        let path = self.stage(&entry.base(None), entry.shown(None))?;
        archive::write(&path, members).map_err(at(&path))?;
        Ok(path)
    }

    fn object(&mut self, module: usize) -> Result<(), FinalLinkError> {
        let path = self.link.objects[module].path().clone();
        self.file(Owner::Lto, path, super::shown(self.link, module))
    }

    /// Whether an object may be linked as a copy.
    fn adapts(&self, owner: Owner) -> bool {
        let as_owned = match owner {
            Owner::Lto => self.groups.is_some(),
            Owner::User => self.yielding.is_some(),
        };
        as_owned || self.real_names.is_some()
    }

    /// An object's bytes as they are linked: of LTO's without groups that are not to be heeded, of the user's without definitions
    /// that yield, of all with weak references where these must be ([`ungrouped`](super::ungrouped), [`yielding`](super::yielding),
    /// [`wrapped`](super::wrapped)).
    fn adapted<'b>(&self, owner: Owner, bytes: Cow<'b, [u8]>, file: &Path) -> Result<Cow<'b, [u8]>, FinalLinkError> {
        let unfit = |error: object::Error| FinalLinkError::Unfit(format!("{}: {error}", file.display()));
        let as_owned = match owner {
            Owner::Lto => self.groups.as_ref().map(|groups| groups.made_plain(&bytes)),
            Owner::User => self.yielding.as_ref().map(|yielding| yielding.edited(&bytes)),
        };
        let as_owned = as_owned.transpose().map_err(unfit)?.flatten();
        let bytes = as_owned.map_or(bytes, Cow::Owned);
        let weakened = self.real_names.as_ref().map(|names| names.edited(&bytes));
        let weakened = weakened.transpose().map_err(unfit)?.flatten();
        Ok(weakened.map_or(bytes, Cow::Owned))
    }

    /// An object that is no archive's member: itself, or a copy.
    fn file(&mut self, owner: Owner, file: PathBuf, shown: String) -> Result<(), FinalLinkError> {
        let mut linked = file;
        if self.adapts(owner) {
            let bytes = fs::read(&linked).map_err(at(&linked))?;
            if let Cow::Owned(bytes) = self.adapted(owner, Cow::Borrowed(&bytes), &linked)? {
                linked = self.stage_copy(&linked, shown, bytes)?;
            }
        }
        self.word(linked, Around::Nothing);
        Ok(())
    }

    fn regular(&mut self) -> Result<(), FinalLinkError> {
        let Some(regular) = self.regular else { return Ok(()) };
        let shown = regular_prelink(&self.link.invocation.output).display().to_string();
        self.file(Owner::Lto, regular.to_owned(), shown)
    }

    /// A file of the user's that is no archive's member.
    fn native(&mut self, file: BitcodeSource) -> Result<(), FinalLinkError> {
        let entry = &self.link.inputs.entries[file.entry];
        match entry.position {
            _ if entry.kind == FileKind::SharedObject => self.shared(entry),
            position if position.just_symbols => {
                self.enter(Around::Nothing);
                self.words
                    .extend_from_slice(self.link.invocation.items[entry.item].words());
            }
            position if position.binary => self.word(entry.path.clone(), Around::Binary),
            _ => self.file(Owner::User, entry.path.clone(), entry.shown(None))?,
        }
        Ok(())
    }

    /// Lazy native members, for references that only code generation makes. In-process those references come last of all, when
    /// a shared object that defines a symbol has displaced what is lazy, wherever each stood (lld/ELF/Symbols.cpp
    /// `Symbol::resolve(SharedSymbol)`): here, too, they stand behind all that is loaded.
    fn not_loaded(&mut self, order: &[LoadedFile]) -> Result<(), FinalLinkError> {
        let loaded = order.iter().filter_map(|file| match file {
            LoadedFile::Native(source) => Some(identity(self.link, *source)),
            LoadedFile::Module(_) | LoadedFile::Regular => None,
        });
        let mut done: HashSet<(&Path, Option<u64>)> = loaded.collect();
        for (number, entry) in self.link.inputs.entries.iter().enumerate() {
            let is_lazy_object = entry.kind == FileKind::NativeObject && entry.position.in_lib;
            let is_lazy_archive = entry.kind.is_archive() && !entry.position.whole_archive;
            if is_lazy_archive && entry.has_bitcode() {
                self.lazy_members(number, &mut done)?;
            } else if (is_lazy_archive || is_lazy_object) && done.insert((entry.path.as_path(), None)) {
                // An archive itself is as good as those of its members that were not loaded: what the others define is defined.
                let around = if is_lazy_object { Around::Lib } else { Around::Nothing };
                self.word(entry.path.clone(), around);
            }
        }
        Ok(())
    }

    /// The native members of an archive that are not `done`: an archive of its name that has just them.
    fn lazy_members(
        &mut self,
        number: usize,
        done: &mut HashSet<(&'a Path, Option<u64>)>,
    ) -> Result<(), FinalLinkError> {
        let link = self.link;
        let entry = &link.inputs.entries[number];
        let members = (0..entry.members.len()).map(|position| member(number, position));
        let natives = members.filter(|source| kind(link.inputs, *source) == FileKind::NativeObject);
        let lazy = natives.filter(|source| done.insert(identity(link, *source)));
        let lazy = lazy.map(|source| Ok((member_name(entry, source), member_bytes(link, source)?)));
        let lazy = lazy.collect::<Result<Vec<_>, FinalLinkError>>()?;
        if !lazy.is_empty() {
            let path = self.archive(entry, lazy)?;
            self.word(path, Around::Nothing);
        }
        Ok(())
    }

    /// A shared object as the user named it: the name that others need it by may depend on that.
    fn shared(&mut self, entry: &Entry) {
        let around = match entry.position.as_needed {
            true => Around::AsNeeded,
            false => Around::Nothing,
        };
        match entry.origin {
            Origin::Library(_) => {
                self.enter(around);
                self.words
                    .extend_from_slice(self.link.invocation.items[entry.item].words());
            }
            Origin::CommandLine | Origin::Script(_) => self.word(entry.path.clone(), around),
        }
    }

    /// An object that refers to these symbols, called as the last input is.
    fn references(
        &mut self,
        references: &[Reference<'_>],
        natives: &[BitcodeSource],
    ) -> Result<PathBuf, FinalLinkError> {
        let shown = self
            .link
            .inputs
            .entries
            .last()
            .map_or_else(String::new, |entry| entry.shown(None));
        let like = self.any_object(natives)?;
        let path = self.stage("references.o", shown)?;
        undefined::write(&path, references, &like, self.link.invocation.kind)?;
        Ok(path)
    }

    /// The bytes of an object of the link: of LTO's if there is one.
    fn any_object(&self, natives: &[BitcodeSource]) -> Result<Vec<u8>, FinalLinkError> {
        let ours = self.link.objects.first().map(|object| object.path().as_path());
        if let Some(path) = ours.or(self.link.plan.regular.as_deref()) {
            return fs::read(path).map_err(at(path));
        }
        let mut objects = natives
            .iter()
            .filter(|file| kind(self.link.inputs, **file) == FileKind::NativeObject);
        let none = || FinalLinkError::Unfit("no object to take the target from".into());
        let file = objects.next().ok_or_else(none)?;
        let entry = &self.link.inputs.entries[file.entry];
        read_native(entry, file.member, |bytes| Ok(bytes.to_vec()))
            .map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", entry.shown(file.member))))
    }

    /// A file of the same base name and other bytes, which a person reads as `shown`.
    fn stage_copy(&mut self, file: &Path, shown: String, bytes: Vec<u8>) -> Result<PathBuf, FinalLinkError> {
        let base = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = self.stage(&base, shown)?;
        fs::write(&path, bytes).map_err(at(&path))?;
        Ok(path)
    }

    /// A place for a file that a person reads as `shown`.
    fn stage(&mut self, base: &str, shown: String) -> Result<PathBuf, FinalLinkError> {
        let staging = self.link.staging;
        let place = staging.named(base).map_err(at(staging.dir()))?;
        self.names.insert(place.name, shown);
        Ok(place.path)
    }

    fn word(&mut self, file: PathBuf, around: Around) {
        self.enter(around);
        self.words.push(file.into());
    }

    /// Ends what stands around the last word and begins what stands around the next.
    fn enter(&mut self, around: Around) {
        if self.around != around {
            self.words.extend(self.around.words().1.map(OsString::from));
            self.words.extend(around.words().0.map(OsString::from));
            self.around = around;
        }
    }
}

fn member(entry: usize, position: usize) -> BitcodeSource {
    let member = Some(position);
    BitcodeSource { entry, member }
}

fn member_name(entry: &Entry, file: BitcodeSource) -> String {
    let member = file.member.and_then(|position| entry.members.get(position));
    member.map_or_else(String::new, |member| member.name.to_string_lossy().into_owned())
}

/// What tells a file from all others: its path, in an archive with its place there.
fn identity<'a>(link: &FinalLink<'a>, file: BitcodeSource) -> (&'a Path, Option<u64>) {
    let entry = &link.inputs.entries[file.entry];
    let member = file.member.map(|position| &entry.members[position]);
    (entry.path.as_path(), member.map(|member| member.header_offset))
}

fn member_bytes<'a>(link: &FinalLink<'a>, file: BitcodeSource) -> Result<Cow<'a, [u8]>, FinalLinkError> {
    let entry = &link.inputs.entries[file.entry];
    let lost = || FinalLinkError::Unfit(format!("{} lost a member", entry.path.display()));
    let member = file
        .member
        .and_then(|position| entry.members.get(position))
        .ok_or_else(lost)?;
    match (&member.data, entry.member_bytes(member)) {
        (_, Some(bytes)) => Ok(Cow::Borrowed(bytes)),
        (MemberData::File { path, .. }, None) => fs::read(path).map(Cow::Owned).map_err(at(path)),
        (MemberData::Inside(_), None) => Err(lost()),
    }
}

/// Options of which the thin link has done all that they ask for, and one whose file is put together of several parts.
const DONE: [&str; 4] = [
    "warn-backrefs",
    "no-warn-backrefs",
    "warn-backrefs-exclude",
    "time-trace",
];

fn is_done(item: &Item) -> bool {
    let is_done = matches!(item, Item::Option { def, .. } if DONE.contains(&def.canonical));
    is_done || written_by_thin_link(item)
}
