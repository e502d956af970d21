//! The bitcode among a link's inputs, by the names lld gives it, and where each module's bytes are.
//! Knows nothing of what bitcode says beyond which kind of LTO it is for.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::classify::{FileKind, fat_bitcode};
use super::{Entry, Inputs, MemberData, Stamp};
use crate::bitcode::facts::{Facts, LtoKind, LtoMode};
use crate::descriptors;

/// Where a module's bitcode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitcodeSource {
    /// Its entry among the inputs.
    pub entry: usize,
    /// Its member, where the entry is an archive.
    pub member: Option<usize>,
}

/// The object file that a module came in, as whoever compiled it would know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFile {
    /// Where it is; of a member that its archive holds, where it would be beside that.
    pub path: PathBuf,
    /// Whether it is there.
    pub place: Placed,
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// In a file of its own, which a thin archive may name.
    File,
    /// In an archive, which has forgotten the folder it came from.
    InArchive,
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its bitcode is gone")
}

impl Inputs {
    /// Every piece of bitcode by the name lld gives it. Of several with one name the first is meant: lld loads no other.
    pub fn bitcode_by_name(&self) -> HashMap<OsString, BitcodeSource> {
        let mut sources = HashMap::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if entry.kind.is_bitcode() {
                let source = BitcodeSource {
                    entry: number,
                    member: None,
                };
                sources.entry(entry.path.clone().into_os_string()).or_insert(source);
            }
            for (position, member) in entry.members.iter().enumerate() {
                if member.kind.is_bitcode() {
                    let source = BitcodeSource {
                        entry: number,
                        member: Some(position),
                    };
                    sources.entry(member.module_name(&entry.path)).or_insert(source);
                }
            }
        }
        sources
    }

    /// Every piece of bitcode, whatever its name, in link order.
    pub fn all_bitcode(&self) -> impl Iterator<Item = BitcodeSource> {
        let entries = self.entries.iter().enumerate();
        entries.flat_map(|(number, entry)| {
            let whole = entry.kind.is_bitcode().then_some(None);
            let members = entry.members.iter().enumerate();
            let bitcode = members.filter(|(_, member)| member.kind.is_bitcode());
            let members = bitcode.map(|(position, _)| Some(position));
            let all = whole.into_iter().chain(members);
            all.map(move |member| BitcodeSource { entry: number, member })
        })
    }

    /// Bitcode that is linked whoever refers to it, in link order.
    pub fn eager_bitcode(&self) -> Vec<BitcodeSource> {
        let mut eager = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if entry.kind.is_bitcode() && !entry.position.in_lib {
                eager.push(BitcodeSource {
                    entry: number,
                    member: None,
                });
            }
            if entry.position.whole_archive {
                let members = entry.members.iter().enumerate();
                let bitcode = members.filter(|(_, member)| member.kind.is_bitcode());
                eager.extend(bitcode.map(|(position, _)| BitcodeSource {
                    entry: number,
                    member: Some(position),
                }));
            }
        }
        eager
    }

    /// A module's bytes.
    ///
    /// # Errors
    /// The source is none of these inputs'.
    pub fn bitcode(&self, source: BitcodeSource) -> io::Result<&[u8]> {
        let entry = self.entries.get(source.entry).ok_or_else(damaged)?;
        let (kind, bytes) = match source.member {
            None => (entry.kind, entry.map.as_deref().map(|map| &**map)),
            Some(position) => {
                let member = entry.members.get(position).ok_or_else(damaged)?;
                (member.kind, entry.member_bytes(member))
            }
        };
        let bytes = bytes.ok_or_else(damaged)?;
        match kind {
            FileKind::FatObject => fat_bitcode(bytes).ok_or_else(damaged),
            _ => Ok(bytes),
        }
    }

    /// The object file that a module came in.
    pub fn object_file(&self, source: BitcodeSource) -> Option<ObjectFile> {
        let entry = self.entries.get(source.entry)?;
        let (path, place) = match source.member.map(|position| entry.members.get(position)) {
            None => (entry.path.clone(), Placed::File),
            Some(member) => match &member?.data {
                MemberData::File { path, .. } => (path.clone(), Placed::File),
                MemberData::Inside(_) => (entry.path.with_file_name(entry.base(source.member)), Placed::InArchive),
            },
        };
        Some(ObjectFile { path, place })
    }

    /// The file that is a module and nothing else, where there is one that every process finds under its name.
    pub fn bitcode_file(&self, source: BitcodeSource) -> Option<&Path> {
        let entry = self.entries.get(source.entry)?;
        let file = match source.member {
            None => (entry.kind == FileKind::Bitcode).then_some(entry.path.as_path()),
            Some(position) => match entry.members.get(position)? {
                member if member.kind != FileKind::Bitcode => None,
                member => match &member.data {
                    MemberData::File { path, .. } => Some(path.as_path()),
                    MemberData::Inside(_) => None,
                },
            },
        };
        file.filter(|path| !descriptors::is_one(path))
    }

    /// Whether any bitcode takes part in ThinLTO. What cannot be read does not: the real linker will say what is wrong.
    pub fn has_thin_lto(&self, mode: LtoMode) -> bool {
        let sources = self.bitcode_by_name().into_values();
        self.any_of(sources, mode, |kind| matches!(kind, LtoKind::Thin | LtoKind::Split))
    }

    /// Whether any bitcode that is linked whoever refers to it has a part in regular LTO.
    pub fn has_eager_regular_lto(&self, mode: LtoMode) -> bool {
        self.any_of(self.eager_bitcode().into_iter(), mode, |kind| kind != LtoKind::Thin)
    }

    fn any_of(
        &self,
        mut sources: impl Iterator<Item = BitcodeSource>,
        mode: LtoMode,
        wanted: impl Fn(LtoKind) -> bool,
    ) -> bool {
        sources.any(|source| {
            let facts = self.bitcode(source).ok().and_then(|bytes| Facts::read(bytes).ok());
            facts.is_some_and(|facts| wanted(facts.kind(mode)))
        })
    }

    /// How many bytes of bitcode there are, at most.
    pub fn bitcode_size(&self) -> u64 {
        let bitcode = self.entries.iter().filter(|entry| entry.has_bitcode());
        let maps = bitcode.flat_map(|entry| {
            let members = entry.members.iter().filter_map(|member| match &member.data {
                MemberData::File { map, .. } => map.as_deref(),
                MemberData::Inside(_) => None,
            });
            entry.map.as_deref().into_iter().chain(members)
        });
        maps.map(|map| map.len() as u64).sum()
    }

    /// A file with bitcode that is not what it was when it was opened.
    pub fn changed(&self) -> Option<PathBuf> {
        self.bitcode_by_name()
            .into_values()
            .find_map(|source| self.change(source))
    }

    /// Every file that was opened, with the stamp it had then.
    pub fn files(&self) -> Vec<(PathBuf, Stamp)> {
        let mut files = Vec::new();
        for entry in &self.entries {
            files.push((entry.path.clone(), entry.stamp));
            files.extend(entry.members.iter().filter_map(|member| match &member.data {
                MemberData::File { path, stamp, .. } => Some((path.clone(), *stamp)),
                MemberData::Inside(_) => None,
            }));
        }
        files.extend(self.scripts.iter().map(|script| (script.path.clone(), script.stamp)));
        files
    }

    /// The file that holds this module, where it is not what it was when it was opened.
    pub fn change(&self, source: BitcodeSource) -> Option<PathBuf> {
        let entry = self.entries.get(source.entry)?;
        let member = source.member.and_then(|position| entry.members.get(position));
        let (path, stamp) = match member.map(|member| &member.data) {
            Some(MemberData::File { path, stamp, .. }) => (path, stamp),
            Some(MemberData::Inside(_)) | None => (&entry.path, &entry.stamp),
        };
        let same = Stamp::of(path).is_ok_and(|now| now == *stamp);
        (!same).then(|| path.clone())
    }
}

impl Entry {
    /// What lld calls the entry (or one of its members) in `--trace`.
    pub fn shown(&self, member: Option<usize>) -> String {
        match member.and_then(|position| self.members.get(position)) {
            Some(member) => member.display_name(&self.path).to_string_lossy().into_owned(),
            None => self.path.to_string_lossy().into_owned(),
        }
    }

    /// The file name of the entry, or of one of its members.
    pub fn base(&self, member: Option<usize>) -> String {
        let path = match member.and_then(|position| self.members.get(position)) {
            Some(member) => Path::new(&member.name),
            None => &self.path,
        };
        path.file_name()
            .unwrap_or(OsStr::new("module.o"))
            .to_string_lossy()
            .into_owned()
    }
}
