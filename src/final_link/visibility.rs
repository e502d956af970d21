//! Visibility that only bitcode asks for: lld gives a symbol the narrowest that any file asks for it, references included, and
//! a native object no longer names what LTO has removed from it. Knows nothing of words; gives names to be named once more.
//!
//! lld/ELF/Symbols.cpp `mergeProperties`, before LTO. Linux 6.1 has two such symbols: one defined by assembly, one by
//! assembly in another module, both hidden to a module that has no use of them.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use object::read::elf::ElfFile;
use object::{Object, ObjectSymbol, SymbolFlags};
use rayon::prelude::*;

use super::{FinalLink, FinalLinkError, at, references};
use crate::bitcode::symbols::{Visibility, symbols};
use crate::inputs::{Entry, FileKind};
use crate::sys;

/// Symbols by name, each with a visibility.
type Visibilities = HashMap<Vec<u8>, Visibility>;

/// The symbols whose visibility bitcode narrows and no native object does, in the order of their names.
///
/// # Errors
/// `Unfit` where a file that was linked cannot be read.
pub(super) fn lost(link: &FinalLink<'_>) -> Result<Vec<(Vec<u8>, Visibility)>, FinalLinkError> {
    let asked = asked_by_bitcode(link)?;
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let given = given_by_objects(link, &asked)?;
    let mut lost: Vec<_> = asked
        .into_iter()
        .filter(|(name, asked)| given.get(name).is_some_and(|given| given < asked))
        .collect();
    lost.sort();
    Ok(lost)
}

fn asked_by_bitcode(link: &FinalLink<'_>) -> Result<Visibilities, FinalLinkError> {
    let of_module = |module: &crate::thin_link::PlannedModule| {
        let unfit = |error: String| FinalLinkError::Unfit(format!("{}: {error}", module.name.display()));
        let bytes = link.inputs.bitcode(module.source);
        let symbols = symbols(bytes.map_err(|error| unfit(error.to_string()))?);
        let symbols = symbols.map_err(|error| unfit(error.to_string()))?.into_iter();
        let asking = symbols.filter(|symbol| symbol.visibility != Visibility::Default && !symbol.linkage.is_local());
        Ok(asking
            .map(|symbol| {
                let plain = symbol.name.strip_prefix(b"\x01").unwrap_or(&symbol.name);
                (plain.to_vec(), symbol.visibility)
            })
            .collect())
    };
    let modules = link.plan.modules.par_iter().map(of_module);
    modules.try_reduce(Visibilities::new, |one, other| Ok(narrowest(one, other)))
}

/// What the final link's objects say of those of these symbols that one of them defines.
fn given_by_objects(link: &FinalLink<'_>, asked: &Visibilities) -> Result<Visibilities, FinalLinkError> {
    let ours = link.plan.regular.iter().map(std::path::PathBuf::as_path);
    let ours: Vec<&Path> = ours
        .chain(link.objects.iter().map(|object| object.path().as_path()))
        .collect();
    let of_file = |path: &Path| {
        let map = File::open(path).and_then(|file| sys::map(&file)).map_err(at(path))?;
        said_by(&map, asked).map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", path.display())))
    };
    let loaded: HashSet<&str> = link.plan.loaded.iter().map(String::as_str).collect();
    let users: Vec<(&Entry, Option<usize>)> = natives(link)
        .filter(|(entry, member)| loaded.contains(entry.shown(*member).as_str()))
        .collect();
    let of_input = |(entry, member): &(&Entry, Option<usize>)| {
        let said = |bytes: &[u8]| said_by(bytes, asked).map_err(|error| error.to_string());
        references::read_native(entry, *member, said)
            .map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", entry.shown(*member))))
    };
    let ours = ours.par_iter().map(|path| of_file(path));
    let said = ours.chain(users.par_iter().map(of_input));
    let said = said.try_reduce(Said::default, |one, other| {
        Ok(Said {
            named: narrowest(one.named, other.named),
            defined: one.defined.into_iter().chain(other.defined).collect(),
        })
    })?;
    let Said { mut named, mut defined } = said;
    for name in assigned(link).filter(|name| asked.contains_key(*name)) {
        named.entry(name.to_vec()).or_default();
        defined.insert(name.to_vec());
    }
    named.retain(|name, _| defined.contains(name));
    Ok(named)
}

/// Symbols that an option defines.
fn assigned<'a>(link: &FinalLink<'a>) -> impl Iterator<Item = &'a [u8]> {
    let assignments = link.invocation.all("defsym");
    assignments.filter_map(|text| text.as_bytes().split(|byte| *byte == b'=').next())
}

/// Native objects among the user's own files, loaded or not.
fn natives<'a>(link: &FinalLink<'a>) -> impl Iterator<Item = (&'a Entry, Option<usize>)> {
    link.inputs.entries.iter().flat_map(|entry| {
        let members = entry.members.iter().enumerate();
        let members = members.filter(|(_, member)| member.kind == FileKind::NativeObject);
        let whole = (entry.kind == FileKind::NativeObject).then_some((entry, None));
        whole
            .into_iter()
            .chain(members.map(move |(position, _)| (entry, Some(position))))
    })
}

/// What objects say of symbols.
#[derive(Default)]
struct Said {
    named: Visibilities,
    defined: HashSet<Vec<u8>>,
}

fn said_by(bytes: &[u8], asked: &Visibilities) -> Result<Said, object::Error> {
    match object::FileKind::parse(bytes)? {
        object::FileKind::Elf32 => said_in(
            &ElfFile::<object::elf::FileHeader32<object::Endianness>>::parse(bytes)?,
            asked,
        ),
        _ => said_in(
            &ElfFile::<object::elf::FileHeader64<object::Endianness>>::parse(bytes)?,
            asked,
        ),
    }
}

fn said_in<'d>(file: &impl Object<'d>, asked: &Visibilities) -> Result<Said, object::Error> {
    let mut said = Said::default();
    for symbol in file.symbols().filter(|symbol| !symbol.is_local()) {
        let name = symbol.name_bytes()?;
        if !asked.contains_key(name) {
            continue;
        }
        let other = match symbol.flags() {
            SymbolFlags::Elf { st_other, .. } => st_other,
            _ => 0,
        };
        said.named.insert(name.to_vec(), Visibility::from_elf(other));
        if !symbol.is_undefined() {
            said.defined.insert(name.to_vec());
        }
    }
    Ok(said)
}

fn narrowest(mut one: Visibilities, other: Visibilities) -> Visibilities {
    for (name, visibility) in other {
        let so_far = one.entry(name).or_default();
        *so_far = visibility.max(*so_far);
    }
    one
}
