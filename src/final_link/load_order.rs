//! The files of the final link: what the thin link loaded, in the order in which it was loaded.
//!
//! lld resolves symbols in the order in which it loads files, and takes a member out of an archive the moment a reference
//! meets it (lld/ELF/Driver.cpp `link`, lld/ELF/Symbols.cpp `resolve`). That order is the whole of its decision: a link of the
//! same files in the same order, none of them lazy, decides the same, whatever LTO has removed from them since.

use std::collections::{HashMap, HashSet, VecDeque};

use super::why_extract::WhyExtract;
use super::{FinalLink, FinalLinkError};
use crate::inputs::{BitcodeSource, FileKind, Inputs};

/// One file of the final link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LoadedFile {
    /// A module, by its position in the plan: its native object is linked.
    Module(usize),
    /// The first bitcode that has a part in regular LTO: the partition's object may be linked from here on.
    Regular,
    /// A file of the user's, linked as it is.
    Native(BitcodeSource),
}

/// The user's own files among them.
pub(super) fn natives(order: &[LoadedFile]) -> Vec<BitcodeSource> {
    let natives = order.iter().filter_map(|file| match file {
        LoadedFile::Native(source) => Some(*source),
        LoadedFile::Module(_) | LoadedFile::Regular => None,
    });
    natives.collect()
}

/// Files of one name that are still to be met.
enum Queue {
    One(BitcodeSource),
    /// In load order.
    Many(VecDeque<BitcodeSource>),
    /// The modules among members that are all bitcode, in load order.
    Bitcode(VecDeque<BitcodeSource>),
}

/// What the thin link loaded, in order.
///
/// # Errors
/// `Unfit` where the linker names a file that is not among the inputs, or several that cannot be told apart.
pub(super) fn load_order(link: &FinalLink<'_>) -> Result<Vec<LoadedFile>, FinalLinkError> {
    let files = files_by_name(link.inputs);
    let mut planned: HashMap<BitcodeSource, usize> = HashMap::new();
    let mut modules: HashMap<String, VecDeque<BitcodeSource>> = HashMap::new();
    for (position, module) in link.plan.modules.iter().enumerate() {
        planned.insert(module.source, position);
        let name = link.inputs.entries[module.source.entry].shown(module.source.member);
        modules.entry(name).or_default().push_back(module.source);
    }
    let mut queues: HashMap<&str, Queue> = HashMap::new();
    refuse_ambiguous(link, &files, &modules)?;
    let mut order = Vec::with_capacity(link.plan.loaded.len());
    let mut has_regular = false;
    let mut extracted = None;
    for name in &link.plan.loaded {
        let queue = match queues.entry(name) {
            std::collections::hash_map::Entry::Occupied(queue) => queue.into_mut(),
            std::collections::hash_map::Entry::Vacant(empty) => {
                let named = files.get(name).map(Vec::as_slice).unwrap_or_default();
                let queue = match *named {
                    [] => {
                        return Err(FinalLinkError::Unfit(format!(
                            "{name} was loaded and is not among the inputs"
                        )));
                    }
                    [file] => Queue::One(file),
                    // The list of modules is in load order, and tells members of one name apart.
                    _ if named.iter().all(|file| is_bitcode(link.inputs, *file))
                        && is_one_kind(link, &modules, name) =>
                    {
                        Queue::Bitcode(modules.remove(name).unwrap_or_default())
                    }
                    _ if named.iter().all(|file| is_eager(link.inputs, *file)) => {
                        Queue::Many(named.iter().copied().collect())
                    }
                    _ => {
                        if extracted.is_none() {
                            extracted = Some(WhyExtract::ask(link, &files)?);
                        }
                        let files = extracted.iter().flat_map(|extracted| extracted.files_called(name));
                        Queue::Many(files.collect())
                    }
                };
                empty.insert(queue)
            }
        };
        let file = match queue {
            // A file that is named twice on the command line is loaded twice under one name.
            Queue::One(file) => Some(*file),
            Queue::Many(files) => files.pop_front(),
            // Those of regular LTO are not in the list of modules.
            Queue::Bitcode(files) => match files.pop_front() {
                None if std::mem::replace(&mut has_regular, true) => continue,
                None => {
                    order.push(LoadedFile::Regular);
                    continue;
                }
                file => file,
            },
        };
        let Some(file) = file else {
            let reason = format!("which of the members called {name} was loaded cannot be told");
            return Err(FinalLinkError::Unfit(reason));
        };
        match (planned.get(&file), kind(link.inputs, file)) {
            (Some(module), _) => order.push(LoadedFile::Module(*module)),
            (None, kind) if kind.is_bitcode() => {
                if !std::mem::replace(&mut has_regular, true) {
                    order.push(LoadedFile::Regular);
                }
            }
            (None, _) => order.push(LoadedFile::Native(file)),
        }
    }
    // Split modules have a part in the partition and are planned, too: it has what they define together.
    if !has_regular {
        let first = order.iter().position(|file| matches!(file, LoadedFile::Module(_)));
        order.insert(first.unwrap_or_default(), LoadedFile::Regular);
    }
    Ok(order)
}

/// Whether all bitcode of one name that was loaded is modules, or none of it.
fn is_one_kind(link: &FinalLink<'_>, modules: &HashMap<String, VecDeque<BitcodeSource>>, name: &String) -> bool {
    let Some(modules) = modules.get(name) else {
        return true;
    };
    let loaded = link.plan.loaded.iter().filter(|loaded| *loaded == name);
    loaded.count() == modules.len()
}

/// Members for regular LTO are not told from each other, nor from native ones of their name, by anything, where not all of them
/// were loaded.
fn refuse_ambiguous(
    link: &FinalLink<'_>,
    files: &HashMap<String, Vec<BitcodeSource>>,
    modules: &HashMap<String, VecDeque<BitcodeSource>>,
) -> Result<(), FinalLinkError> {
    let mut regular: HashMap<String, usize> = HashMap::new();
    for source in link.bitcode.iter().skip(link.plan.modules.len()) {
        let name = link.inputs.entries[source.entry].shown(source.member);
        *regular.entry(name).or_default() += 1;
    }
    for (name, bitcode) in regular {
        let named = files.get(&name).map(Vec::as_slice).unwrap_or_default();
        let natives = named.iter().filter(|file| !is_bitcode(link.inputs, **file)).count();
        let candidates = bitcode + natives;
        let loaded = link.plan.loaded.iter().filter(|loaded| **loaded == name).count();
        let thin = modules.get(&name).map_or(0, VecDeque::len);
        if candidates > loaded.saturating_sub(thin) {
            let reason = format!("which of the members called {name} was loaded for regular LTO cannot be told");
            return Err(FinalLinkError::Unfit(reason));
        }
    }
    Ok(())
}

/// Every file and member by the name that `--trace` has for it; of an archive that is named twice, each member once.
fn files_by_name(inputs: &Inputs) -> HashMap<String, Vec<BitcodeSource>> {
    let mut files: HashMap<String, Vec<BitcodeSource>> = HashMap::new();
    let mut seen = HashSet::new();
    for (number, entry) in inputs.entries.iter().enumerate() {
        let whole = (!entry.kind.is_archive()).then_some(None);
        for member in whole.into_iter().chain((0..entry.members.len()).map(Some)) {
            let offset = member.map(|position| entry.members[position].header_offset);
            let is_copy =
                entry.kind.is_archive() && !entry.position.whole_archive && !seen.insert((&entry.path, offset));
            if !is_copy {
                let source = BitcodeSource { entry: number, member };
                files.entry(entry.shown(member)).or_default().push(source);
            }
        }
    }
    files
}

pub(super) fn kind(inputs: &Inputs, file: BitcodeSource) -> FileKind {
    let entry = &inputs.entries[file.entry];
    file.member.map_or(entry.kind, |position| entry.members[position].kind)
}

pub(super) fn is_bitcode(inputs: &Inputs, file: BitcodeSource) -> bool {
    kind(inputs, file).is_bitcode()
}

/// Whether a file is loaded whoever refers to it.
pub(super) fn is_eager(inputs: &Inputs, file: BitcodeSource) -> bool {
    let position = inputs.entries[file.entry].position;
    match file.member {
        Some(_) => position.whole_archive,
        None => !position.in_lib,
    }
}
