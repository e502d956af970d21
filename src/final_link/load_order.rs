//! The files of the final link: what the thin link loaded, in the order in which it was loaded.
//!
//! lld resolves symbols in the order in which it loads files, and takes a member out of an archive the moment a reference
//! meets it (lld/ELF/Driver.cpp `link`, lld/ELF/Symbols.cpp `resolve`). That order is the whole of its decision: a link of the
//! same files in the same order, none of them lazy, decides the same, whatever LTO has removed from them since.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs;

use object::{Object, ObjectSymbol};

use super::{FinalLink, FinalLinkError, at, execute, read_native};
use crate::bitcode::symbols::Presence;
use crate::cmdline::Item;
use crate::inputs::{BitcodeSource, FileKind, Inputs};
use crate::thin_link::written_by_thin_link;

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

/// Files of one name that are still to be met.
enum Queue {
    One(BitcodeSource),
    /// In load order.
    Many(VecDeque<BitcodeSource>),
    /// The modules among members that are all bitcode, in load order.
    Bitcode(VecDeque<BitcodeSource>),
}

/// What the thin link loaded, in order. Shared objects are not among it: where they stand decides nothing.
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
                    _ if named.iter().all(|file| is_bitcode(link.inputs, *file)) => {
                        Queue::Bitcode(modules.remove(name).unwrap_or_default())
                    }
                    _ if named.iter().all(|file| is_eager(link.inputs, *file)) => {
                        Queue::Many(named.iter().copied().collect())
                    }
                    _ => {
                        if extracted.is_none() {
                            extracted = Some(Extracted::ask(link)?);
                        }
                        let extracted = extracted
                            .iter()
                            .flat_map(|extracted| extracted.in_order(link, name, named));
                        Queue::Many(extracted.collect())
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
            (None, FileKind::SharedObject) => {}
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

fn is_bitcode(inputs: &Inputs, file: BitcodeSource) -> bool {
    kind(inputs, file).is_bitcode()
}

/// Whether a file is loaded whoever refers to it.
fn is_eager(inputs: &Inputs, file: BitcodeSource) -> bool {
    let position = inputs.entries[file.entry].position;
    match file.member {
        Some(_) => position.whole_archive,
        None => !position.in_lib,
    }
}

/// For which symbol each member was taken out of its archive, in order: the linker asked once more, as nothing else tells
/// native members of one name apart.
struct Extracted(Vec<Extraction>);

/// One row of `--why-extract`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Extraction {
    /// What referred to the symbol.
    by: String,
    /// What was taken out for it.
    member: String,
    symbol: Vec<u8>,
}

/// The rows in the order in which members were loaded. lld writes a row when the member has been read, and with it all that
/// it refers to in turn (lld/ELF/Symbols.cpp `Symbol::resolve(Undefined)`): those rows stand before it.
fn in_load_order(rows: Vec<Extraction>) -> Vec<Extraction> {
    let mut trees: Vec<(String, Vec<Extraction>)> = Vec::new();
    for row in rows {
        let children = trees.iter().rev().take_while(|(by, _)| *by == row.member).count();
        let children = trees.split_off(trees.len() - children);
        let by = row.by.clone();
        let below = children.into_iter().flat_map(|(_, rows)| rows);
        trees.push((by, std::iter::once(row).chain(below).collect()));
    }
    trees.into_iter().flat_map(|(_, rows)| rows).collect()
}

impl Extracted {
    fn ask(link: &FinalLink<'_>) -> Result<Extracted, FinalLinkError> {
        let list = link.staging.path("why-extract");
        let items = link.invocation.items.iter();
        let items = items.filter(|item| match item {
            Item::Option { def, .. } => def.role != crate::cmdline::Role::Report && !written_by_thin_link(item),
            Item::Input(_) => true,
        });
        let words: Vec<OsString> = items.flat_map(|item| item.words().iter().cloned()).collect();
        let mut index = OsString::from("--thinlto-index-only=");
        index.push(link.staging.path("why-extract.list"));
        let mut prefix = OsString::from("--thinlto-prefix-replace=;");
        prefix.push(link.staging.path("why-extract.indexes/"));
        let mut why = OsString::from("--why-extract=");
        why.push(&list);
        let more = [index, prefix, why, "--no-demangle".into(), "-w".into()];
        let output = execute(link, link.lld(), words, &more)?;
        if !output.status.success() {
            return Err(FinalLinkError::Unfit(
                "the linker does not tell what it extracts".into(),
            ));
        }
        let text = fs::read_to_string(&list).map_err(at(&list))?;
        let rows = text.lines().skip(1).filter_map(|line| {
            let mut columns = line.split('\t');
            Some(Extraction {
                by: columns.next()?.to_owned(),
                member: columns.next()?.to_owned(),
                symbol: columns.next()?.as_bytes().to_vec(),
            })
        });
        Ok(Extracted(in_load_order(rows.collect())))
    }

    /// Which of the files of one name were loaded, in order.
    fn in_order(&self, link: &FinalLink<'_>, name: &str, files: &[BitcodeSource]) -> Vec<BitcodeSource> {
        let mut left = files.to_vec();
        let rows = self.0.iter().filter(|row| row.member == name);
        rows.filter_map(|row| {
            let found = left.iter().position(|file| defines(link, *file, &row.symbol))?;
            Some(left.remove(found))
        })
        .collect()
    }
}

fn defines(link: &FinalLink<'_>, file: BitcodeSource, symbol: &[u8]) -> bool {
    if is_bitcode(link.inputs, file) {
        let symbols = crate::symbols::of_file(link.inputs, file).unwrap_or_default();
        let mut defined = symbols.iter().filter(|found| found.presence == Presence::Definition);
        return defined.any(|found| found.plain() == symbol);
    }
    let entry = &link.inputs.entries[file.entry];
    let found = read_native(entry, file.member, |bytes| {
        let object = object::File::parse(bytes).map_err(|error| error.to_string())?;
        let mut symbols = object
            .symbols()
            .filter(|found| !found.is_undefined() && !found.is_local());
        Ok(symbols.any(|found| found.name_bytes() == Ok(symbol)))
    });
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_brings_in_is_loaded_behind_it() {
        let row = |by: &str, member: &str| Extraction {
            by: by.into(),
            member: member.into(),
            symbol: Vec::new(),
        };
        let rows = vec![
            row("x(b.o)", "x(c.o)"),
            row("x(a.o)", "x(b.o)"),
            row("m.o", "x(a.o)"),
            row("m.o", "x(d.o)"),
        ];
        let order: Vec<String> = in_load_order(rows).into_iter().map(|row| row.member).collect();
        assert_eq!(order, ["x(a.o)", "x(b.o)", "x(c.o)", "x(d.o)"]);
    }
}
