//! References that only bitcode makes. lld keeps what bitcode refers to among its undefined symbols after LTO has removed
//! the reference: the output does not show such a symbol, but it makes a native object's weak reference a strong one, and the
//! linker defines it where it defines symbols that are asked for (`__start_SECTION`, `_end`, `PROVIDE`).
//! `--undefined` is a reference of that kind (lld/ELF/SymbolTable.cpp `addUnusedUndefined`).

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use object::{Object, ObjectSymbol};
use rayon::prelude::*;

use super::{FinalLink, FinalLinkError, at, read_native};
use crate::bitcode::Symbol;
use crate::bitcode::symbols::{Linkage, Presence};
use crate::cmdline::OutputKind;
use crate::inputs::{BitcodeSource, FileKind};

/// What native objects say of some symbols.
#[derive(Default)]
struct Natives {
    weakly_undefined: HashSet<Vec<u8>>,
    named: HashSet<Vec<u8>>,
    defined: HashSet<Vec<u8>>,
}

impl Natives {
    fn with(mut self, other: Natives) -> Natives {
        self.weakly_undefined.extend(other.weakly_undefined);
        self.named.extend(other.named);
        self.defined.extend(other.defined);
        self
    }

    fn of_object(bytes: &[u8]) -> Result<Natives, String> {
        let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
        let mut natives = Natives::default();
        for symbol in file.symbols().filter(|symbol| !symbol.is_local()) {
            let name = symbol.name_bytes().map_err(|error| error.to_string())?.to_vec();
            if !symbol.is_undefined() {
                natives.defined.insert(name.clone());
            } else if symbol.is_weak() {
                natives.weakly_undefined.insert(name.clone());
            }
            natives.named.insert(name);
        }
        Ok(natives)
    }
}

/// The symbols that the final link must be told of by `--undefined`, in the order of their names.
///
/// # Errors
/// `Unfit` where a file that was linked cannot be read.
pub(super) fn only_in_bitcode(link: &FinalLink<'_>, natives: &[BitcodeSource]) -> Result<Vec<Vec<u8>>, FinalLinkError> {
    let symbols: Vec<&[Symbol<'_>]> = link
        .bitcode
        .iter()
        .filter_map(|source| link.symbols.of(*source).ok())
        .collect();
    let users = natives_of(link, natives)?;
    let declares =
        |symbol: &&Symbol<'_>, linkage| symbol.presence == Presence::Declaration && symbol.linkage == linkage;
    let declared_weakly = symbols.par_iter().flat_map_iter(|file| {
        let weak = file.iter().filter(|symbol| declares(symbol, Linkage::ExternalWeak));
        weak.map(|symbol| symbol.plain())
    });
    let mut weak: HashSet<&[u8]> = declared_weakly.collect();
    weak.extend(users.weakly_undefined.iter().map(Vec::as_slice));
    let wrapped: HashSet<&[u8]> = link.invocation.all("wrap").map(OsStrExt::as_bytes).collect();
    let is_redirected = |name: &[u8]| name.strip_prefix(b"__real_").is_some_and(|name| wrapped.contains(name));
    let is_linked = link.invocation.kind != OutputKind::Relocatable;
    let may_be_given = |name: &[u8]| is_linked && is_for_the_linker(name) && !is_redirected(name);
    let of_strong = symbols.par_iter().flat_map_iter(|file| {
        let strong = file.iter().filter(|symbol| declares(symbol, Linkage::External));
        let names = strong.map(|symbol| symbol.plain());
        names.filter(|name| weak.contains(name) || may_be_given(name))
    });
    let wrappers = wrappers(&symbols, &wrapped);
    let mut wanted: HashSet<&[u8]> = of_strong.collect();
    wanted.extend(wrappers.iter().map(Vec::as_slice));
    // A weak reference that an object still makes is told by that object; as a strong one it might not be satisfied.
    let mut gone: HashSet<&[u8]> = weak.iter().copied().filter(|name| may_be_given(name)).collect();
    gone.retain(|name| !wanted.contains(name) && !users.named.contains(*name));
    if !gone.is_empty() {
        let ours = objects_of(link)?;
        gone.retain(|name| !ours.named.contains(*name));
    }
    wanted.extend(gone);
    wanted.retain(|name| !users.defined.contains(*name));
    if !wanted.is_empty() {
        // What is defined needs no reference, and would be kept from garbage collection by one.
        let defined = symbols.par_iter().flat_map_iter(|file| {
            let defined = file.iter().filter(|symbol| symbol.presence == Presence::Definition);
            defined
                .map(|symbol| symbol.plain())
                .filter(|name| wanted.contains(name))
        });
        for name in defined.collect::<Vec<_>>() {
            wanted.remove(name);
        }
    }
    let mut wanted: Vec<Vec<u8>> = wanted.into_iter().map(<[u8]>::to_vec).collect();
    wanted.sort();
    Ok(wanted)
}

/// The wrappers of symbols that bitcode defines strongly: they are as strongly referred to. LTO makes those symbols weak.
fn wrappers(symbols: &[&[Symbol<'_>]], wrapped: &HashSet<&[u8]>) -> Vec<Vec<u8>> {
    let files = symbols.iter().filter(|_| !wrapped.is_empty());
    let strong = files.copied().flatten().filter(|symbol| {
        symbol.presence == Presence::Definition
            && symbol.linkage == Linkage::External
            && wrapped.contains(symbol.plain())
    });
    strong.map(|symbol| [b"__wrap_", symbol.plain()].concat()).collect()
}

/// Whether a name is one of those that C leaves to the implementation, the linker among it, or a traditional one of its.
fn is_for_the_linker(name: &[u8]) -> bool {
    const TRADITIONAL: [&[u8]; 3] = [b"end", b"etext", b"edata"];
    let is_reserved = matches!(name, [b'_', b'_' | b'A'..=b'Z' | b'a'..=b'z', ..]) && !name.starts_with(b"_Z");
    is_reserved || TRADITIONAL.contains(&name)
}

fn natives_of(link: &FinalLink<'_>, natives: &[BitcodeSource]) -> Result<Natives, FinalLinkError> {
    let objects = natives
        .par_iter()
        .filter(|file| super::load_order::kind(link.inputs, **file) == FileKind::NativeObject);
    let read = objects.map(|file| {
        let entry = &link.inputs.entries[file.entry];
        read_native(entry, file.member, Natives::of_object)
            .map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", entry.shown(file.member))))
    });
    let users = read.try_reduce(Natives::default, |one, other| Ok(one.with(other)))?;
    let Some(regular) = &link.plan.regular else {
        return Ok(users);
    };
    let bytes = fs::read(regular).map_err(at(regular))?;
    let ours = Natives::of_object(&bytes).map_err(|error| FinalLinkError::Unfit(format!("regular LTO: {error}")))?;
    Ok(users.with(ours))
}

fn objects_of(link: &FinalLink<'_>) -> Result<Natives, FinalLinkError> {
    let read = link.objects.par_iter().map(|object| {
        let path = object.path();
        let bytes = fs::read(path).map_err(at(path))?;
        Natives::of_object(&bytes).map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", path.display())))
    });
    read.try_reduce(Natives::default, |one, other| Ok(one.with(other)))
}
