//! Visibility that only bitcode asks for: lld gives a symbol the narrowest that any file asks for it, references included, and
//! a native object no longer names what LTO has removed from it. Knows nothing of words; gives names to be named once more.
//!
//! lld/ELF/Symbols.cpp `mergeProperties`, before LTO. Linux 6.1 has two such symbols: one defined by assembly, one by
//! assembly in another module, both hidden to a module that has no use of them.

use std::collections::HashSet;
use std::path::Path;

use object::read::elf::ElfFile;
use object::{Object, ObjectSymbol, SymbolFlags, elf};
use rayon::prelude::*;

use super::assignments::Assignments;
use super::load_order::{LoadedFile, kind, natives};
use super::undefined::Reference;
use super::{FinalLink, FinalLinkError, plain, read_native, read_ours};
use crate::bitcode::symbol_table::Binding;
use crate::bitcode::symbols::Visibility;
use crate::inputs::{BitcodeSource, FileKind};
use crate::narrowed::{Agreement, Defines, Visibilities, narrowest};

/// The symbols, among those that native objects name, whose visibility bitcode narrows and no native object does, in the order
/// of their names.
///
/// # Errors
/// `Unfit` where a file that was linked cannot be read.
pub(super) fn lost<'a>(
    link: &FinalLink<'a>,
    assignments: &Assignments,
    loaded: &[LoadedFile],
) -> Result<Vec<Reference<'a>>, FinalLinkError> {
    let asked = link.asked.by_name();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let mut said = said_by_users(link, &natives(loaded), asked)?;
    for name in &assignments.assigned {
        if let Some((name, _)) = asked.get_key_value(name.as_slice()) {
            said.named.entry(name).or_default();
            said.defined.insert(name);
        }
    }
    // Most objects define nothing that is not as narrow as was asked.
    let modules = link.objects.iter().zip(link.defines);
    let perhaps = modules.filter(|(_, defines)| **defines == Defines::PerhapsOpen);
    let perhaps: Vec<&Path> = perhaps.map(|(object, _)| object.path().as_path()).collect();
    let by_users = said.named.clone();
    let said = said.with(said_by_ours(&perhaps, asked)?);
    let given = said.of_what_is_defined();
    let foreign = link.asked.foreign();
    let mut wide: Visibilities<'a> = asked.iter().map(|(name, asked)| (*name, *asked)).collect();
    wide.retain(|name, asked| {
        let is_defined_wider = given.get(name).is_some_and(|given| given < asked);
        let is_named_wider = || match foreign.get(name) {
            Some(Agreement::Mixed) => true,
            Some(Agreement::Unanimous) => by_users.get(name).is_some_and(|given| given < asked),
            None => false,
        };
        is_defined_wider || is_named_wider()
    });
    if wide.is_empty() {
        return Ok(Vec::new());
    }
    // Now any object that names one of these will do.
    let all: Vec<&Path> = link.objects.iter().map(|object| object.path().as_path()).collect();
    let kept = said_by_ours(&all, &wide)?.named;
    let mut lost: Vec<_> = wide.into_iter().collect();
    // A name that no object has is not to be brought into the output.
    lost.retain(|(name, asked)| match kept.get(name) {
        Some(kept) => kept < asked,
        None => by_users.contains_key(name),
    });
    lost.sort();
    let strong = link.tables.symbols().filter(|symbol| {
        let is_lost = || lost.binary_search_by_key(&symbol.name, |(name, _)| name).is_ok();
        symbol.is_reference(Binding::Global) && is_lost()
    });
    let strong: HashSet<&[u8]> = strong.map(|symbol| symbol.name).collect();
    let lost = lost.into_iter().map(|(name, visibility)| Reference {
        name,
        visibility,
        is_weak: !strong.contains(name),
        symbol_type: elf::STT_NOTYPE,
    });
    Ok(lost.collect())
}

/// What objects that came of bitcode say of these symbols.
fn said_by_ours<'a>(paths: &[&Path], asked: &Visibilities<'a>) -> Result<Said<'a>, FinalLinkError> {
    let said = paths
        .par_iter()
        .map(|path| read_ours(path, |bytes| said_by(bytes, asked).map_err(|error| error.to_string())));
    said.try_reduce(Said::default, |one, other| Ok(one.with(other)))
}

/// What the user's native objects, and that of the regular partition, say of these symbols.
fn said_by_users<'a>(
    link: &FinalLink<'_>,
    loaded: &[BitcodeSource],
    asked: &Visibilities<'a>,
) -> Result<Said<'a>, FinalLinkError> {
    let of_input = |file: &BitcodeSource| {
        let entry = &link.inputs.entries[file.entry];
        let said = |bytes: &[u8]| said_by(bytes, asked).map_err(|error| error.to_string());
        read_native(entry, file.member, said)
            .map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", entry.shown(file.member))))
    };
    let objects = loaded
        .par_iter()
        .filter(|file| kind(link.inputs, **file) == FileKind::NativeObject);
    let said = objects.map(of_input);
    let said = said.try_reduce(Said::default, |one, other| Ok(one.with(other)))?;
    let regular: Vec<&Path> = link.plan.regular.iter().map(std::path::PathBuf::as_path).collect();
    Ok(said.with(said_by_ours(&regular, asked)?))
}

/// What objects say of symbols.
#[derive(Default)]
struct Said<'a> {
    named: Visibilities<'a>,
    defined: HashSet<&'a [u8]>,
}

impl<'a> Said<'a> {
    fn with(mut self, other: Said<'a>) -> Said<'a> {
        self.named = narrowest(self.named, other.named);
        self.defined.extend(other.defined);
        self
    }

    fn of_what_is_defined(mut self) -> Visibilities<'a> {
        self.named.retain(|name, _| self.defined.contains(name));
        self.named
    }
}

fn said_by<'a>(bytes: &[u8], asked: &Visibilities<'a>) -> Result<Said<'a>, object::Error> {
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

fn said_in<'d, 'a>(file: &impl Object<'d>, asked: &Visibilities<'a>) -> Result<Said<'a>, object::Error> {
    let mut said = Said::default();
    for symbol in file.symbols().filter(|symbol| !symbol.is_local()) {
        let Some((name, _)) = asked.get_key_value(plain(symbol.name_bytes()?)) else {
            continue;
        };
        let other = match symbol.flags() {
            SymbolFlags::Elf { st_other, .. } => st_other,
            _ => 0,
        };
        said.named.insert(name, Visibility::from_elf(other));
        if !symbol.is_undefined() {
            said.defined.insert(name);
        }
    }
    Ok(said)
}
