//! Members that the final link would extract and the thin link has not: lld extracts for what a shared object refers to, unless it
//! is defined. Bitcode may define it, and LTO remove it: a shared object's reference does not keep a hidden symbol.

use std::collections::HashSet;

use object::{Object, ObjectSymbol};
use rayon::prelude::*;

use super::bitcode_references::{Natives, objects_of};
use super::load_order::kind;
use super::{FinalLink, FinalLinkError, read_native};
use crate::inputs::{BitcodeSource, FileKind};

/// Refuses a link in which that would happen; `loaded` are the user's files that the thin link has loaded.
///
/// # Errors
/// `Unfit` where it would, or a file cannot be read.
pub(super) fn refuse(link: &FinalLink<'_>, loaded: &[BitcodeSource]) -> Result<(), FinalLinkError> {
    let referred = referred_by_shared(link, loaded)?;
    let symbols = link.tables.symbols().filter(|_| !referred.is_empty());
    let defined = symbols.filter(|symbol| symbol.is_definition() && referred.contains(symbol.name));
    let mut removed: HashSet<&[u8]> = defined.map(|symbol| symbol.name).collect();
    if !removed.is_empty() {
        let kept = objects_of(link, |name| removed.contains(name))?.defined;
        removed.retain(|name| !kept.contains(*name));
    }
    if removed.is_empty() {
        return Ok(());
    }
    let loaded: HashSet<BitcodeSource> = loaded.iter().copied().collect();
    for file in lazy_natives(link).filter(|file| !loaded.contains(file)) {
        let entry = &link.inputs.entries[file.entry];
        let read = read_native(entry, file.member, |bytes| {
            Natives::of_object(bytes, |name| removed.contains(name))
        });
        let said = read.map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", entry.shown(file.member))))?;
        if let Some(name) = said.defined.iter().next() {
            return Err(FinalLinkError::Unfit(format!(
                "{}, which LTO removes and a shared object refers to, is in {} too",
                String::from_utf8_lossy(name),
                entry.shown(file.member)
            )));
        }
    }
    Ok(())
}

/// What loaded shared objects refer to strongly.
fn referred_by_shared(link: &FinalLink<'_>, loaded: &[BitcodeSource]) -> Result<HashSet<Vec<u8>>, FinalLinkError> {
    let shared = loaded
        .par_iter()
        .filter(|file| kind(link.inputs, **file) == FileKind::SharedObject);
    let read = shared.map(|file| {
        let entry = &link.inputs.entries[file.entry];
        let read = read_native(entry, file.member, |bytes| {
            let object = object::File::parse(bytes).map_err(|error| error.to_string())?;
            let symbols = object.dynamic_symbols();
            let undefined = symbols.filter(|symbol| symbol.is_undefined() && !symbol.is_weak());
            let names = undefined.filter_map(|symbol| symbol.name_bytes().ok());
            Ok(names.map(<[u8]>::to_vec).collect::<HashSet<_>>())
        });
        read.map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", entry.shown(file.member))))
    });
    read.try_reduce(HashSet::new, |mut one, other| {
        one.extend(other);
        Ok(one)
    })
}

/// Native objects and members that are loaded only if somebody asks for them.
fn lazy_natives<'a>(link: &'a FinalLink<'_>) -> impl Iterator<Item = BitcodeSource> + 'a {
    link.inputs.entries.iter().enumerate().flat_map(|(number, entry)| {
        let whole = (!entry.kind.is_archive() && entry.position.in_lib).then_some(None);
        let members = (0..entry.members.len()).filter(|_| !entry.position.whole_archive);
        let files = whole.into_iter().chain(members.map(Some));
        let files = files.map(move |member| BitcodeSource { entry: number, member });
        files.filter(|file| kind(link.inputs, *file) == FileKind::NativeObject)
    })
}
