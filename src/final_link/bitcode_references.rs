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
use crate::inputs::{BitcodeSource, FileKind, ScriptContent};
use crate::llvm;
use crate::sys;

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

    fn of_object(bytes: &[u8], is_looked_for: impl Fn(&[u8]) -> bool) -> Result<Natives, String> {
        let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
        let mut natives = Natives::default();
        for symbol in file.symbols().filter(|symbol| !symbol.is_local()) {
            let name = symbol.name_bytes().map_err(|error| error.to_string())?;
            if !is_looked_for(name) {
                continue;
            }
            if !symbol.is_undefined() {
                natives.defined.insert(name.to_vec());
            } else if symbol.is_weak() {
                natives.weakly_undefined.insert(name.to_vec());
            }
            natives.named.insert(name.to_vec());
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
    let provided = provided(link)?;
    let is_linked = link.invocation.kind != OutputKind::Relocatable;
    let may_be_given = |name: &[u8]| {
        let is_the_linkers = is_linked && is_for_the_linker(name) || provided.contains(name);
        wrapped.contains(name) || is_the_linkers && !is_redirected(name)
    };
    let of_strong = symbols.par_iter().flat_map_iter(|file| {
        let strong = file.iter().filter(|symbol| declares(symbol, Linkage::External));
        let names = strong.map(|symbol| symbol.plain());
        names.filter(|name| weak.contains(name) || may_be_given(name))
    });
    refuse_defined_twice(link)?;
    let strong: HashSet<&[u8]> = of_strong.collect();
    let wrappers = wrappers(&symbols, &wrapped);
    // Those that make a weak reference strong, whoever makes that.
    let mut binding: HashSet<&[u8]> = strong.iter().copied().filter(|name| weak.contains(name)).collect();
    binding.extend(wrappers.iter().map(Vec::as_slice));
    // Those that something is defined for, unless an object still refers to it. Then it is told by that object, and as a strong
    // reference a weak one might not be satisfied.
    let mut unmentioned: HashSet<&[u8]> = strong
        .iter()
        .chain(&weak)
        .copied()
        .filter(|name| may_be_given(name))
        .collect();
    unmentioned.retain(|name| !binding.contains(name) && !users.named.contains(*name));
    let is_defined = |symbol: &&Symbol<'_>| symbol.presence == Presence::Definition;
    let defined = symbols.par_iter().flat_map_iter(|file| {
        let defined = file.iter().filter(is_defined).map(|symbol| symbol.plain());
        defined.filter(|name| binding.contains(name) || unmentioned.contains(name))
    });
    let defined: HashSet<&[u8]> = defined.collect();
    // What is defined needs no reference, and would be kept from garbage collection by one.
    binding.retain(|name| !defined.contains(name));
    unmentioned.retain(|name| !defined.contains(name));
    let lazy = provided_in_place_of_lazy(link, &provided);
    let is_provided = |symbol: &&Symbol<'_>| is_defined(symbol) && provided.contains(symbol.plain());
    let loaded = symbols.iter().copied().flatten().filter(is_provided);
    let loaded: HashSet<&[u8]> = loaded.map(|symbol| symbol.plain()).collect();
    unmentioned.extend(lazy.iter().map(Vec::as_slice).filter(|name| !loaded.contains(name)));
    // A symbol is only wrapped if something has its name.
    let names = symbols.iter().copied().flatten().filter(|_| !wrapped.is_empty());
    unmentioned.extend(names.map(|symbol| symbol.plain()).filter(|name| wrapped.contains(name)));
    // Assembly in bitcode defines symbols that only its object tells of.
    let keeps = !binding.is_empty() && (link.invocation.has("gc-sections") || !wrapped.is_empty());
    if !unmentioned.is_empty() || keeps {
        let ours = objects_of(link, |name| binding.contains(name) || unmentioned.contains(name))?;
        unmentioned.retain(|name| !ours.named.contains(*name));
        binding.retain(|name| !ours.defined.contains(*name));
    }
    let mut wanted = binding;
    wanted.extend(unmentioned);
    if is_linked && has_table_of_offsets(link)? {
        wanted.insert(b"_GLOBAL_OFFSET_TABLE_");
    }
    wanted.retain(|name| !users.defined.contains(*name));
    let mut wanted: Vec<Vec<u8>> = wanted.into_iter().map(<[u8]>::to_vec).collect();
    wanted.sort();
    Ok(wanted)
}

/// Whether bitcode itself refers to the global offset table: of i386 it does with some versions
/// of LLVM (the name is among those that code generation may use), and lld makes a `.got.plt` for that.
fn has_table_of_offsets(link: &FinalLink<'_>) -> Result<bool, FinalLinkError> {
    let Some(object) = link
        .objects
        .first()
        .filter(|_| llvm::traits(link.llvm.major).names_offset_table)
    else {
        return Ok(false);
    };
    let path = object.path();
    let bytes = fs::read(path).map_err(at(path))?;
    let file =
        object::File::parse(&*bytes).map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", path.display())))?;
    Ok(file.architecture() == object::Architecture::I386)
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

/// The symbols that linker scripts provide to whoever asks for them.
fn provided(link: &FinalLink<'_>) -> Result<HashSet<Vec<u8>>, FinalLinkError> {
    let scripts = link
        .inputs
        .scripts
        .iter()
        .filter(|script| script.content == ScriptContent::More);
    let mut provided = HashSet::new();
    for script in scripts {
        let text = fs::read(&script.path).map_err(at(&script.path))?;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.$".contains(byte);
        let words = text.split(|byte| !is_part(byte)).filter(|word| !word.is_empty());
        let names = words.clone().skip(1);
        let named = words
            .zip(names)
            .filter(|(command, _)| [b"PROVIDE".as_slice(), b"PROVIDE_HIDDEN"].contains(command));
        provided.extend(named.map(|(_, name)| name.to_vec()));
    }
    Ok(provided)
}

/// The symbols, among those that scripts provide, that bitcode defines that was not loaded: for lld it is enough that such a
/// member has the name (lld/ELF/LinkerScript.cpp `shouldAddProvideSym`).
fn provided_in_place_of_lazy(link: &FinalLink<'_>, provided: &HashSet<Vec<u8>>) -> Vec<Vec<u8>> {
    if provided.is_empty() {
        return Vec::new();
    }
    let loaded: HashSet<BitcodeSource> = link.bitcode.iter().copied().collect();
    let mut lazy: Vec<BitcodeSource> = link.inputs.bitcode_by_name().into_values().collect();
    lazy.retain(|source| !loaded.contains(source));
    let names = lazy.par_iter().flat_map_iter(|source| {
        let symbols = crate::symbols::of_file(link.inputs, *source).unwrap_or_default();
        let defined = symbols
            .into_iter()
            .filter(|symbol| symbol.presence == Presence::Definition);
        defined
            .map(|symbol| symbol.plain().to_vec())
            .filter(|name| provided.contains(name))
    });
    names.collect()
}

/// `--defsym=SYMBOL=…` of what assembly in bitcode defines: in-process LTO's object defines it once more, and lld refuses that;
/// in a link of objects the option wins.
fn refuse_defined_twice(link: &FinalLink<'_>) -> Result<(), FinalLinkError> {
    let assigned = link
        .invocation
        .all("defsym")
        .filter_map(|text| text.as_bytes().split(|byte| *byte == b'=').next());
    let assigned: HashSet<&[u8]> = assigned.collect();
    if assigned.is_empty() {
        return Ok(());
    }
    for (module, object) in link.plan.modules.iter().zip(link.objects) {
        let path = object.path();
        let bytes = fs::read(path).map_err(at(path))?;
        let object = Natives::of_object(&bytes, |name| assigned.contains(name))
            .map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", path.display())))?;
        let symbols = link.symbols.of(module.source).unwrap_or_default();
        let is_in_code = |name: &[u8]| {
            let mut defined = symbols.iter().filter(|symbol| symbol.presence == Presence::Definition);
            defined.any(|symbol| symbol.plain() == name)
        };
        if let Some(name) = assigned
            .iter()
            .find(|name| object.defined.contains(**name) && !is_in_code(name))
        {
            let name = String::from_utf8_lossy(name);
            return Err(FinalLinkError::Unfit(format!(
                "--defsym of {name}, which assembly in bitcode defines"
            )));
        }
    }
    Ok(())
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
        read_native(entry, file.member, |bytes| Natives::of_object(bytes, |_| true))
            .map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", entry.shown(file.member))))
    });
    let users = read.try_reduce(Natives::default, |one, other| Ok(one.with(other)))?;
    let Some(regular) = &link.plan.regular else {
        return Ok(users);
    };
    let bytes = fs::read(regular).map_err(at(regular))?;
    let ours = Natives::of_object(&bytes, |_| true);
    let ours = ours.map_err(|error| FinalLinkError::Unfit(format!("regular LTO: {error}")))?;
    Ok(users.with(ours))
}

/// What the modules' objects say of the symbols that are looked for.
fn objects_of(link: &FinalLink<'_>, is_looked_for: impl Fn(&[u8]) -> bool + Sync) -> Result<Natives, FinalLinkError> {
    let read = link.objects.par_iter().map(|object| {
        let path = object.path();
        let map = fs::File::open(path)
            .and_then(|file| sys::map(&file))
            .map_err(at(path))?;
        Natives::of_object(&map, &is_looked_for)
            .map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", path.display())))
    });
    read.try_reduce(Natives::default, |one, other| Ok(one.with(other)))
}
