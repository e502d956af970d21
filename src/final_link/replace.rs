//! The final link's words: each bitcode input replaced in place by its native object, archives rebuilt around theirs.
//! Knows nothing of running linkers; what must move to the end is told by `extraction`.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::{FinalLink, FinalLinkError, at};
use crate::cmdline::{Item, Role};
use crate::inputs::rebuild::{self, NewMember};
use crate::inputs::{ArchiveMember, Entry, FileKind, Origin};
use crate::names::Names;
use crate::settings::Order;

/// The native object of a planned module.
#[derive(Clone, Debug)]
pub struct NativeObject {
    /// Its file, `…/o/NUMBER/BASE`.
    pub path: PathBuf,
    /// Its number in the staging folder.
    pub number: usize,
    /// Its file name: the bitcode's own.
    pub base: String,
    /// What a person is to read instead of its path: the input's name; inside an archive, the member's.
    pub shown: String,
}

/// A file that lld loaded in the thin link and would not load by itself in the final one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Forgotten {
    /// The object of a planned module: its position in the plan.
    Module(usize),
    /// A native file: entry and, in an archive, member.
    Native(usize, Option<usize>),
}

/// Builds the words. Numbers staged files after those of the plan's objects.
pub(super) struct Builder<'a, 'n> {
    link: &'a FinalLink<'a>,
    names: &'n mut Names,
    module_of: HashMap<&'a OsStr, usize>,
    next_number: usize,
    staged: HashMap<(usize, usize), PathBuf>,
}

impl<'a, 'n> Builder<'a, 'n> {
    pub(super) fn new(link: &'a FinalLink<'a>, names: &'n mut Names) -> Result<Self, FinalLinkError> {
        let module_of = link.plan.modules.iter().enumerate().map(|(at, m)| (m.name.as_os_str(), at)).collect();
        let next_number = link.objects.iter().map(|object| object.number + 1).max().unwrap_or(0);
        Ok(Builder { link, names, module_of, next_number, staged: HashMap::new() })
    }

    pub(super) fn names(&self) -> &Names {
        self.names
    }

    /// The command line, `forgotten` files taken from where they stand and put behind all others.
    pub(super) fn words(&mut self, forgotten: &[Forgotten]) -> Result<Vec<OsString>, FinalLinkError> {
        let link = self.link;
        let away: HashSet<&Forgotten> = forgotten.iter().collect();
        let mut words = Vec::new();
        let regular_at = self.regular_position();
        for (index, item) in link.invocation.items.iter().enumerate() {
            if regular_at == Some(index) {
                words.extend(link.plan.regular.iter().map(|path| path.clone().into_os_string()));
            }
            match self.replacement(index, &away)? {
                Some(replaced) => words.extend(replaced),
                None if is_lto(item) => {}
                None => words.extend(item.words()),
            }
        }
        words.extend(self.closing_words());
        match link.order {
            Order::InProcess => {
                words.extend(link.plan.regular.iter().map(|path| path.clone().into_os_string()));
                words.extend(link.objects.iter().map(|object| object.path.clone().into_os_string()));
            }
            Order::CommandLine => {}
        }
        for file in forgotten {
            words.push(self.standalone(file)?.into_os_string());
        }
        Ok(words)
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
        self.link.invocation.items[..entry.item].iter().rposition(opens).or(Some(entry.item))
    }

    /// What stands in an item's place; none where it stays as it is.
    fn replacement(
        &mut self,
        item: usize,
        away: &HashSet<&Forgotten>,
    ) -> Result<Option<Vec<OsString>>, FinalLinkError> {
        let inputs = self.link.inputs;
        let entries: Vec<usize> = (0..inputs.entries.len()).filter(|e| inputs.entries[*e].item == item).collect();
        let touched = |e: &usize| inputs.entries[*e].has_bitcode() || away.iter().any(|f| matches!(f, Forgotten::Native(entry, _) if entry == e));
        if !entries.iter().any(touched) {
            return Ok(None);
        }
        let mut words = Vec::new();
        for entry in entries {
            let found = &inputs.entries[entry];
            if let Origin::Script { path, only_inputs } = &found.origin {
                if !only_inputs {
                    return Err(FinalLinkError::Unfit(format!("linker script {} names bitcode", path.display())));
                }
            }
            let replaced = self.entry(entry, found, away)?;
            let scoped = matches!(found.origin, Origin::Script { .. }) && found.position.as_needed;
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

    fn entry(
        &mut self,
        number: usize,
        entry: &Entry,
        away: &HashSet<&Forgotten>,
    ) -> Result<Option<OsString>, FinalLinkError> {
        if away.contains(&Forgotten::Native(number, None)) {
            return Ok(None);
        }
        match entry.kind {
            FileKind::Archive | FileKind::ThinArchive if entry.has_bitcode() || self.loses_members(number, away) => {
                self.archive(number, entry, away).map(|path| Some(path.into_os_string()))
            }
            _ if entry.has_bitcode() => Ok(self.object_of(entry.path.as_os_str(), away).map(Into::into)),
            _ => Ok(Some(entry.path.clone().into_os_string())),
        }
    }

    fn loses_members(&self, number: usize, away: &HashSet<&Forgotten>) -> bool {
        away.iter().any(|f| matches!(f, Forgotten::Native(entry, Some(_)) if *entry == number))
    }

    /// The object that stands for the bitcode lld calls `name`; none where it was not linked, stands at the end, or is
    /// part of the regular-LTO object.
    fn object_of(&self, name: &OsStr, away: &HashSet<&Forgotten>) -> Option<PathBuf> {
        let module = *self.module_of.get(name)?;
        let stays = self.link.order == Order::CommandLine && !away.contains(&Forgotten::Module(module));
        stays.then(|| self.link.objects[module].path.clone())
    }

    /// An archive with native objects for its bitcode, under its own file name, since `--exclude-libs` and people go by
    /// that. It is thin, so that nothing is copied, and every member has a path that tells it from its namesakes.
    fn archive(
        &mut self,
        number: usize,
        entry: &Entry,
        away: &HashSet<&Forgotten>,
    ) -> Result<PathBuf, FinalLinkError> {
        let mut members = Vec::new();
        for (position, member) in entry.members.iter().enumerate() {
            if away.contains(&Forgotten::Native(number, Some(position))) {
                continue;
            }
            let path = match entry.member_bitcode_name(member) {
                Some(name) => self.object_of(&name, away),
                None => Some(self.native_member(number, position, entry, member)?),
            };
            members.extend(path.map(|path| NewMember { path }));
        }
        let base = file_name(&entry.path);
        let (path, staged) = self.number(&base, entry.path.display().to_string())?;
        rebuild::write_thin(&path, &members).map_err(|error| FinalLinkError::Io(entry.path.clone(), error))?;
        tracing::debug!(archive = %entry.path.display(), staged, members = members.len(), "archive rebuilt");
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
        if let Some(path) = self.staged.get(&(number, position)) {
            return Ok(path.clone());
        }
        let base = file_name(Path::new(&member.name));
        let (path, _) = self.number(&base, member.name.to_string_lossy().into_owned())?;
        let bytes = entry.member_bytes(member).map_err(|error| FinalLinkError::Io(entry.path.clone(), error))?;
        fs::write(&path, bytes).map_err(at(&path))?;
        self.staged.insert((number, position), path.clone());
        Ok(path)
    }

    /// A forgotten file as an input of its own, called as lld calls it in its archive.
    fn standalone(&mut self, file: &Forgotten) -> Result<PathBuf, FinalLinkError> {
        match file {
            Forgotten::Module(module) => {
                let object = &self.link.objects[*module];
                let shown = self.link.plan.modules[*module].shown();
                let (path, _) = self.number(&object.base, shown)?;
                fs::hard_link(&object.path, &path).map_err(at(&path))?;
                Ok(path)
            }
            Forgotten::Native(number, None) => Ok(self.link.inputs.entries[*number].path.clone()),
            Forgotten::Native(number, Some(position)) => {
                let entry = &self.link.inputs.entries[*number];
                let Some(member) = entry.members.get(*position) else {
                    return Err(FinalLinkError::Unfit(format!("{} lost a member", entry.path.display())));
                };
                let base = file_name(Path::new(&member.name));
                let (path, _) = self.number(&base, entry.member_shown(member))?;
                let bytes = entry.member_bytes(member).map_err(|error| FinalLinkError::Io(entry.path.clone(), error))?;
                fs::write(&path, bytes).map_err(at(&path))?;
                Ok(path)
            }
        }
    }

    fn number(&mut self, base: &str, shown: String) -> Result<(PathBuf, usize), FinalLinkError> {
        let number = self.next_number;
        self.next_number += 1;
        let path = self.link.staging.named(number, base).map_err(at(self.link.staging.dir()))?;
        self.names.insert(number, base, shown);
        Ok((path, number))
    }

    /// What ends a positional state that would change how a file behind all others is read.
    fn closing_words(&self) -> Vec<OsString> {
        let count = |name: &str| self.link.invocation.count(name);
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

fn is_lto(item: &Item) -> bool {
    matches!(item, Item::Option { def, .. } if def.role == Role::Lto)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
