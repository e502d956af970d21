//! The final link's words: each bitcode input replaced in place by its native object, archives rebuilt around theirs.
//! Knows nothing of running linkers; what must move to the end is told by `extraction`.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::references::{self, References, Refers};
use super::{FinalLink, FinalLinkError, at};
use crate::bitcode::symbols::Visibility;
use crate::cmdline::{Item, Role};
use crate::color::Color;
use crate::inputs::rebuild::{self, Contents, NewMember};
use crate::inputs::{ArchiveMember, BitcodeSource, Entry, FileKind, MemberData, Origin, ScriptContent};
use crate::names::Names;
use crate::settings::Order;
use crate::staging::Place;
use crate::thin_link::written_by_thin_link;

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

/// Builds the words.
pub(super) struct Builder<'a, 'n> {
    link: &'a FinalLink<'a>,
    names: &'n mut Names,
    module_of: HashMap<&'a OsStr, usize>,
    by_item: HashMap<usize, Vec<usize>>,
    staged: HashMap<(usize, usize), PathBuf>,
    /// Second names of objects, with the module's position in the plan.
    pub(super) standalone: HashMap<PathBuf, usize>,
}

impl<'a, 'n> Builder<'a, 'n> {
    pub(super) fn new(link: &'a FinalLink<'a>, names: &'n mut Names) -> Self {
        let module_of = link
            .plan
            .modules
            .iter()
            .enumerate()
            .map(|(at, m)| (m.name.as_os_str(), at))
            .collect();
        let mut by_item: HashMap<usize, Vec<usize>> = HashMap::new();
        for (number, entry) in link.inputs.entries.iter().enumerate() {
            by_item.entry(entry.item).or_default().push(number);
        }
        Builder {
            link,
            names,
            module_of,
            by_item,
            staged: HashMap::new(),
            standalone: HashMap::new(),
        }
    }

    /// The command line: lost references put back, and the objects of `forgotten` modules (by their position in the plan)
    /// taken from where they stand and put behind all other inputs.
    pub(super) fn words(
        &mut self,
        references: &References,
        narrowed: &[(&[u8], Visibility)],
        forgotten: &[usize],
    ) -> Result<Vec<OsString>, FinalLinkError> {
        let link = self.link;
        let away: HashSet<usize> = forgotten.iter().copied().collect();
        let mut words = Vec::new();
        let mut due = Vec::new();
        let mut in_lib = false;
        let regular_at = self.regular_position();
        for (index, item) in link.invocation.items.iter().enumerate() {
            if regular_at == Some(index) {
                words.extend(link.plan.regular.iter().map(|path| path.clone().into_os_string()));
            }
            match self.replacement(index, &away)? {
                Some(replaced) => words.extend(replaced),
                None if is_lto(item) || written_by_thin_link(item) || is_time_trace(item) => {}
                None => words.extend_from_slice(item.words()),
            }
            if let Some(symbols) = references.behind.get(&index) {
                let symbols = symbols.iter().map(|name| (name.as_slice(), Refers::Needs));
                due.push(self.reference(index, symbols)?.into_os_string());
            }
            if let Item::Option { def, .. } = item {
                in_lib = (in_lib || def.canonical == "start-lib") && def.canonical != "end-lib";
            }
            // Between the two an object is loaded only for what it defines, and these define nothing.
            if !in_lib {
                words.append(&mut due);
            }
        }
        words.extend(self.closing_words());
        words.append(&mut due);
        words.push(Color::of(link.invocation).word().into());
        match link.order {
            Order::InProcess => {
                words.extend(link.plan.regular.iter().map(|path| path.clone().into_os_string()));
                words.extend(link.objects.iter().map(|object| object.path().clone().into_os_string()));
            }
            Order::CommandLine => {}
        }
        if let (false, Some(last)) = (narrowed.is_empty(), link.invocation.inputs.last()) {
            let narrowed = narrowed.iter();
            let narrowed = narrowed.map(|(name, visibility)| (*name, Refers::Narrows(*visibility)));
            words.push(self.reference(last.item, narrowed)?.into_os_string());
        }
        for module in forgotten {
            words.push(self.standalone(*module)?.into_os_string());
        }
        Ok(words)
    }

    /// An object that refers to these symbols, called as the first input of its item is.
    fn reference<'s>(
        &mut self,
        item: usize,
        symbols: impl Iterator<Item = (&'s [u8], Refers)>,
    ) -> Result<PathBuf, FinalLinkError> {
        let entry = self.by_item.get(&item).and_then(|entries| entries.first()).copied();
        let shown = entry.map_or_else(String::new, |entry| self.link.inputs.entries[entry].shown(None));
        let Some(like) = self.link.objects.first().map(|object| object.path().clone()) else {
            return Err(FinalLinkError::Unfit("no object to take the target from".into()));
        };
        let path = self.place("references.o", shown)?;
        references::write(&path, symbols, &like, self.link.invocation.kind)?;
        Ok(path)
    }

    /// Where the regular-LTO object stands: before the first bitcode, since it holds only definitions that prevailed
    /// over all others, and eagerly: before the `--start-lib` of a bitcode that stands in one.
    fn regular_position(&self) -> Option<usize> {
        if self.link.order == Order::InProcess || self.link.plan.regular.is_none() {
            return None;
        }
        let entry = self.link.inputs.entries.iter().find(|entry| entry.has_bitcode())?;
        if !entry.position.in_lib {
            return Some(entry.item);
        }
        let opens = |item: &Item| matches!(item, Item::Option { def, .. } if def.canonical == "start-lib");
        self.link.invocation.items[..entry.item]
            .iter()
            .rposition(opens)
            .or(Some(entry.item))
    }

    /// What stands in an item's place; none where it stays as it is.
    fn replacement(&mut self, item: usize, away: &HashSet<usize>) -> Result<Option<Vec<OsString>>, FinalLinkError> {
        let inputs = self.link.inputs;
        let entries = self.by_item.get(&item).cloned().unwrap_or_default();
        if !entries.iter().any(|entry| inputs.entries[*entry].has_bitcode()) {
            return Ok(None);
        }
        let mut words = Vec::new();
        for entry in entries {
            let found = &inputs.entries[entry];
            if let Origin::Script(script) = &found.origin {
                self.replaceable(script)?;
            }
            // The script itself: its inputs are named in its place.
            if found.kind == FileKind::Text {
                self.replaceable(&found.path)?;
                continue;
            }
            let replaced = self.entry(entry, found, away)?;
            let scoped = matches!(found.origin, Origin::Script(_)) && found.position.as_needed;
            match replaced {
                Some(path) if scoped => {
                    words.extend(["--push-state".into(), "--as-needed".into(), path, "--pop-state".into()]);
                }
                Some(path) => words.push(path),
                None => {}
            }
        }
        Ok(Some(words))
    }

    /// A script can only be replaced by its inputs if it says nothing else.
    fn replaceable(&self, script: &Path) -> Result<(), FinalLinkError> {
        let says_more = |known: &&crate::inputs::Script| known.path == script && known.content == ScriptContent::More;
        match self.link.inputs.scripts.iter().find(says_more) {
            Some(_) => Err(FinalLinkError::Unfit(format!(
                "linker script {} names bitcode and more",
                script.display()
            ))),
            None => Ok(()),
        }
    }

    fn entry(
        &mut self,
        number: usize,
        entry: &Entry,
        away: &HashSet<usize>,
    ) -> Result<Option<OsString>, FinalLinkError> {
        match entry.kind {
            FileKind::Archive | FileKind::ThinArchive if entry.has_bitcode() => self
                .archive(number, entry, away)
                .map(|path| Some(path.into_os_string())),
            _ if entry.has_bitcode() => Ok(self.object_of(entry.path.as_os_str(), away).map(Into::into)),
            _ => Ok(Some(entry.path.clone().into_os_string())),
        }
    }

    /// The object that stands for the bitcode lld calls `name`; none where it was not linked, stands at the end, or is
    /// part of the regular-LTO object.
    fn object_of(&self, name: &OsStr, away: &HashSet<usize>) -> Option<PathBuf> {
        let module = *self.module_of.get(name)?;
        let stays = self.link.order == Order::CommandLine && !away.contains(&module);
        stays.then(|| self.link.objects[module].path().clone())
    }

    /// An archive with native objects for its bitcode, under its own file name, since `--exclude-libs` and people go by
    /// that. It is thin, so that nothing is copied, and every member has a path that tells it from its namesakes.
    fn archive(&mut self, number: usize, entry: &Entry, away: &HashSet<usize>) -> Result<PathBuf, FinalLinkError> {
        let mut members = Vec::new();
        for (position, member) in entry.members.iter().enumerate() {
            members.extend(match member.kind.is_bitcode() {
                true => self.object_of(&member.module_name(&entry.path), away),
                false => Some(self.native_member(number, position, entry, member)?),
            });
        }
        let members: Vec<NewMember<'_>> = members
            .iter()
            .map(|path| NewMember {
                name: path.as_os_str(),
                contents: Contents::File(path),
            })
            .collect();
        let path = self.place(&entry.base(None), entry.shown(None))?;
        rebuild::write(&path, &members).map_err(|error| FinalLinkError::Unfit(error.to_string()))?;
        tracing::debug!(archive = %entry.path.display(), members = members.len(), "archive rebuilt");
        Ok(path)
    }

    /// A native member as a file of its own, once.
    fn native_member(
        &mut self,
        number: usize,
        position: usize,
        entry: &Entry,
        member: &ArchiveMember,
    ) -> Result<PathBuf, FinalLinkError> {
        if let MemberData::File { path, .. } = &member.data {
            return std::path::absolute(path).map_err(at(path));
        }
        if let Some(path) = self.staged.get(&(number, position)) {
            return Ok(path.clone());
        }
        let path = self.place(&entry.base(Some(position)), member.name.to_string_lossy().into_owned())?;
        let bytes = entry
            .member_bytes(member)
            .ok_or_else(|| FinalLinkError::Unfit(format!("{} lost a member", entry.path.display())))?;
        fs::write(&path, bytes).map_err(at(&path))?;
        self.staged.insert((number, position), path.clone());
        Ok(path)
    }

    /// A forgotten module's object as an input of its own, called as lld calls the member.
    fn standalone(&mut self, module: usize) -> Result<PathBuf, FinalLinkError> {
        let object = &self.link.objects[module];
        let BitcodeSource { entry, member } = self.link.plan.modules[module].source;
        let found = &self.link.inputs.entries[entry];
        let path = self.place(&found.base(member), found.shown(member))?;
        fs::hard_link(object.path(), &path).map_err(at(&path))?;
        self.standalone.insert(path.clone(), module);
        Ok(path)
    }

    /// A place for a file that a person reads as `shown`.
    fn place(&mut self, base: &str, shown: String) -> Result<PathBuf, FinalLinkError> {
        let staging = self.link.staging;
        let place = staging.named(base).map_err(at(staging.dir()))?;
        self.names.insert(place.name, shown);
        Ok(place.path)
    }

    /// What ends a positional state that would change how a file behind all others is read.
    fn closing_words(&self) -> Vec<OsString> {
        let count = |name: &str| self.link.invocation.options(name).count();
        let mut words = Vec::new();
        if count("start-lib") > count("end-lib") {
            words.push("--end-lib".into());
        }
        if self.link.inputs.entries.iter().any(|entry| entry.position.binary) {
            words.push("--format=default".into());
        }
        words
    }
}

/// It is put together of several.
fn is_time_trace(item: &Item) -> bool {
    matches!(item, Item::Option { def, .. } if def.canonical == "time-trace")
}

fn is_lto(item: &Item) -> bool {
    matches!(item, Item::Option { def, .. } if def.role == Role::Lto)
}
