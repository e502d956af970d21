//! References that LTO optimizes away, put back where they stood: a native object takes a bitcode's place, but no longer
//! refers to what the bitcode did, and archive members come into a link when they are referred to, no earlier and no later.
//! Knows nothing of words: gives symbols by the item behind which they are to be referred to, and writes them as objects.
//!
//! lld resolves symbols, and with them takes members out of archives, before LTO (lld/ELF/Driver.cpp `link`), so that a
//! reference counts even if its code is gone afterwards: the member stays, its constructors run, and its weak definitions
//! win over those of later files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use object::write::{Object as NewObject, SectionId, Symbol as NewSymbol, SymbolSection};
use object::{
    FileFlags, Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    elf,
};

use super::{FinalLink, FinalLinkError};
use crate::bitcode::Symbol;
use crate::bitcode::symbols::{Linkage, Presence, Visibility};
use crate::cmdline::OutputKind;
use crate::inputs::{BitcodeSource, Entry, MemberData};
use crate::sys;

/// A file that stood in an archive or a `--start-lib` group and was loaded all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub(super) source: BitcodeSource,
    is_bitcode: bool,
}

/// What refers to lazily loaded files.
#[derive(Debug, Default)]
pub(super) struct References {
    /// By the item behind which they stand, the symbols to refer to, in order.
    pub(super) behind: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Bitcode that was loaded lazily and that no other bitcode refers to.
    pub(super) unexplained: Vec<BitcodeSource>,
}

/// What a file says of symbols: those it defines, those it needs.
#[derive(Default)]
struct Names {
    defined: Vec<Vec<u8>>,
    needed: Vec<Vec<u8>>,
}

impl References {
    /// The references from a link's bitcode to what was loaded lazily for them.
    ///
    /// # Errors
    /// `Unfit` where a file that was linked cannot be read.
    pub(super) fn find(link: &FinalLink<'_>) -> Result<References, FinalLinkError> {
        let lazy = lazily_loaded(link);
        let mut references = References::default();
        if lazy.is_empty() {
            return Ok(references);
        }
        let mut names = HashMap::new();
        let mut defines: HashMap<Vec<u8>, Member> = HashMap::new();
        for member in &lazy {
            let found = names_of(link, *member)?;
            for name in &found.defined {
                defines.entry(name.clone()).or_insert(*member);
            }
            names.insert(*member, found);
        }
        let mut reached: HashSet<Member> = HashSet::new();
        for root in link.inputs.eager_bitcode() {
            let root_names = names_of(
                link,
                Member {
                    source: root,
                    is_bitcode: true,
                },
            )?;
            let item = link.inputs.entries[root.entry].item;
            references.follow(&root_names, item, &names, &defines, &mut reached);
        }
        // What only a native object or an option refers to is still referred to; what it refers to in turn is not.
        for member in lazy.iter().filter(|member| member.is_bitcode) {
            if reached.insert(*member) {
                references.unexplained.push(member.source);
                let item = link.inputs.entries[member.source.entry].item;
                references.follow(&names[member], item, &names, &defines, &mut reached);
            }
        }
        Ok(references)
    }

    /// Refers from behind `item` to all that bitcode with these names pulls in, directly or by another's bitcode.
    fn follow(
        &mut self,
        from: &Names,
        item: usize,
        names: &HashMap<Member, Names>,
        defines: &HashMap<Vec<u8>, Member>,
        reached: &mut HashSet<Member>,
    ) {
        let mut stack: Vec<&Vec<u8>> = from.needed.iter().rev().collect();
        let mut seen = HashSet::new();
        while let Some(name) = stack.pop() {
            let Some(member) = defines.get(name) else { continue };
            if !seen.insert(name) {
                continue;
            }
            self.behind.entry(item).or_default().push(name.clone());
            // A native member's references are in its code, which nobody optimizes.
            if reached.insert(*member) && member.is_bitcode {
                stack.extend(names[member].needed.iter().rev());
            }
        }
    }
}

/// What stood in an archive or between `--start-lib` and `--end-lib` and was loaded all the same, each file once.
fn lazily_loaded(link: &FinalLink<'_>) -> Vec<Member> {
    let loaded: HashSet<&str> = link.plan.loaded.iter().map(String::as_str).collect();
    let linked: HashSet<BitcodeSource> = link.plan.modules.iter().map(|module| module.source).collect();
    let mut lazy = Vec::new();
    let mut seen = HashSet::new();
    for (number, entry) in link.inputs.entries.iter().enumerate() {
        let members: Vec<Option<usize>> = match () {
            () if entry.kind.is_archive() && !entry.position.whole_archive => {
                (0..entry.members.len()).map(Some).collect()
            }
            () if entry.position.in_lib && !entry.kind.is_archive() => vec![None],
            () => continue,
        };
        for member in members {
            let source = BitcodeSource { entry: number, member };
            let kind = member.map_or(entry.kind, |position| entry.members[position].kind);
            let taken = match kind.is_bitcode() {
                true => linked.contains(&source),
                false => loaded.contains(entry.shown(member).as_str()),
            };
            if taken && seen.insert(entry.shown(member) + &offset(entry, member)) {
                lazy.push(Member {
                    source,
                    is_bitcode: kind.is_bitcode(),
                });
            }
        }
    }
    lazy
}

/// Tells members of equal names apart, but not copies of one archive.
fn offset(entry: &Entry, member: Option<usize>) -> String {
    member.map_or_else(String::new, |position| {
        format!(" at {}", entry.members[position].header_offset)
    })
}

fn names_of(link: &FinalLink<'_>, member: Member) -> Result<Names, FinalLinkError> {
    let entry = &link.inputs.entries[member.source.entry];
    let unfit = |error: String| FinalLinkError::Unfit(format!("{}: {error}", entry.shown(member.source.member)));
    if member.is_bitcode {
        let symbols = link.symbols.of(member.source);
        return Ok(names_in_bitcode(symbols.map_err(|error| unfit(error.to_string()))?));
    }
    read_native(entry, member.source.member, names_in_object).map_err(unfit)
}

/// Reads a native object among the user's files: one of its own, or a member.
pub(super) fn read_native<T>(
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

fn names_in_bitcode(symbols: &[Symbol<'_>]) -> Names {
    let mut names = Names::default();
    for symbol in symbols {
        let plain = symbol.plain();
        match (symbol.presence, symbol.linkage) {
            (_, linkage) if linkage.is_local() => {}
            (Presence::Definition, _) => names.defined.push(plain.to_vec()),
            // A weak reference takes nothing out of an archive, and the compiler's own intrinsics are no symbols.
            (Presence::Declaration, Linkage::External) if !plain.starts_with(b"llvm.") => {
                names.needed.push(plain.to_vec());
            }
            (Presence::Declaration, _) => {}
        }
    }
    names
}

fn names_in_object(bytes: &[u8]) -> Result<Names, String> {
    let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
    let defined = file
        .symbols()
        .filter(|symbol| symbol.is_definition() && !symbol.is_local());
    let defined = defined
        .filter_map(|symbol| symbol.name_bytes().ok().map(<[u8]>::to_vec))
        .collect();
    Ok(Names {
        defined,
        needed: Vec::new(),
    })
}

/// How an object refers to a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refers {
    /// As to what it needs.
    Needs,
    /// Weakly, which takes nothing out of an archive: it only says to whom the symbol is visible.
    Narrows(Visibility),
}

/// Writes an object that refers to `names` and does nothing else. It is of the target of `like`, and says of itself what
/// that says of branch protection: the output has only what all its objects have (lld `readSecurityNotes`).
///
/// # Errors
/// `like` cannot be read, or the object not be written.
pub(super) fn write<'n>(
    path: &Path,
    names: impl IntoIterator<Item = (&'n [u8], Refers)>,
    like: &Path,
    kind: OutputKind,
) -> Result<(), FinalLinkError> {
    let unfit = |error: String| FinalLinkError::Unfit(format!("{}: {error}", like.display()));
    let bytes = fs::read(like).map_err(super::at(like))?;
    let file = object::File::parse(&*bytes).map_err(|error| unfit(error.to_string()))?;
    let mut new = NewObject::new(file.format(), file.architecture(), file.endianness());
    new.set_sub_architecture(file.sub_architecture());
    if let FileFlags::Elf {
        os_abi,
        abi_version,
        e_flags,
    } = file.flags()
    {
        new.flags = FileFlags::Elf {
            os_abi,
            abi_version,
            e_flags,
        };
    }
    // In a relocatable link notes are kept, and one more would be seen.
    if kind != OutputKind::Relocatable
        && let Some(property) = file.section_by_name(".note.gnu.property")
    {
        let data = property.data().map_err(|error| unfit(error.to_string()))?;
        let id: SectionId = new.add_section(Vec::new(), b".note.gnu.property".to_vec(), SectionKind::Note);
        new.section_mut(id).flags = SectionFlags::Elf {
            sh_flags: elf::SHF_ALLOC.into(),
        };
        new.append_section_data(id, data, property.align());
    }
    for (name, refers) in names {
        new.add_symbol(NewSymbol {
            name: name.to_vec(),
            value: 0,
            size: 0,
            kind: SymbolKind::Unknown,
            scope: SymbolScope::Dynamic,
            weak: refers != Refers::Needs,
            section: SymbolSection::Undefined,
            flags: match refers {
                Refers::Needs => SymbolFlags::None,
                Refers::Narrows(visibility) => SymbolFlags::Elf {
                    st_info: elf::STB_WEAK << 4 | elf::STT_NOTYPE,
                    st_other: visibility.to_elf(),
                },
            },
        });
    }
    let written = new.write().map_err(|error| unfit(error.to_string()))?;
    fs::write(path, written).map_err(super::at(path))
}
