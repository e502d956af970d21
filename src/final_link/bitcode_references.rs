//! References that only bitcode makes. lld keeps what bitcode refers to among its undefined symbols after LTO has removed
//! the reference: the output does not show such a symbol, but it makes a native object's weak reference a strong one, and the
//! linker defines it where it defines symbols that are asked for (`__start_SECTION`, `_end`, `PROVIDE`).
//! `--undefined` is a reference of that kind (lld/ELF/SymbolTable.cpp `addUnusedUndefined`).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use object::{Object, ObjectSymbol, SymbolFlags};
use rayon::prelude::*;

use super::assignments::Assignments;
use super::shared_objects::{SharedObjects, defined_by_lazy};
use super::wrapped::{wrapped, wrapper};
use super::{FinalLink, FinalLinkError, NativeObject, plain, read_native, read_ours, refuse_for};
use crate::bitcode::TableSymbol;
use crate::bitcode::symbol_table::{Binding, Origin};
use crate::bitcode::symbols::Visibility;
use crate::cmdline::OutputKind;
use crate::inputs::{BitcodeSource, FileKind};
use crate::llvm;
use crate::relocatable::may_match;
use crate::symbols::{SymbolTables, table_of_file};

/// What native objects say of some symbols.
#[derive(Default)]
pub(super) struct Natives {
    weakly_undefined: HashSet<Vec<u8>>,
    pub(super) named: HashSet<Vec<u8>>,
    pub(super) defined: HashSet<Vec<u8>>,
    /// Kept from other files and not defined.
    pub(super) kept_back: HashSet<Vec<u8>>,
    /// Kept from other files and defined.
    hidden: HashSet<Vec<u8>>,
    pub(super) common: HashSet<Vec<u8>>,
    strongly_defined: BTreeSet<Vec<u8>>,
}

impl Natives {
    /// What all its definitions leave to others.
    pub(super) fn weakly_defined(&self) -> impl Iterator<Item = &[u8]> {
        let weak = self
            .defined
            .iter()
            .filter(|name| !self.strongly_defined.contains(*name));
        weak.map(Vec::as_slice)
    }

    fn with(mut self, other: Natives) -> Natives {
        self.weakly_undefined.extend(other.weakly_undefined);
        self.named.extend(other.named);
        self.defined.extend(other.defined);
        self.kept_back.extend(other.kept_back);
        self.hidden.extend(other.hidden);
        self.common.extend(other.common);
        self.strongly_defined.extend(other.strongly_defined);
        self
    }

    pub(super) fn of_object(bytes: &[u8], is_looked_for: impl Fn(&[u8]) -> bool) -> Result<Natives, String> {
        let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
        let mut natives = Natives::default();
        for symbol in file.symbols().filter(|symbol| !symbol.is_local()) {
            let name = plain(symbol.name_bytes().map_err(|error| error.to_string())?);
            if !is_looked_for(name) {
                continue;
            }
            if !symbol.is_undefined() {
                natives.defined.insert(name.to_vec());
                if !symbol.is_weak() {
                    natives.strongly_defined.insert(name.to_vec());
                }
            } else if symbol.is_weak() {
                natives.weakly_undefined.insert(name.to_vec());
            }
            if symbol.is_common() {
                natives.common.insert(name.to_vec());
            }
            if let SymbolFlags::Elf { st_other, .. } = symbol.flags()
                && Visibility::from_elf(st_other) != Visibility::Default
            {
                let kept = match symbol.is_undefined() {
                    true => &mut natives.kept_back,
                    false => &mut natives.hidden,
                };
                kept.insert(name.to_vec());
            }
            natives.named.insert(name.to_vec());
        }
        Ok(natives)
    }
}

/// Symbols that the final link must be told of, in the order of their names.
#[derive(Default)]
pub(super) struct Untold {
    /// By `--undefined`.
    pub(super) strong: Vec<Vec<u8>>,
    /// By a weak reference: wrapped symbols whose binding would be what `__real_SYMBOL` has else.
    pub(super) weak: Vec<Vec<u8>>,
}

impl Untold {
    /// Refuses names for which `--undefined` would load a file that the thin link has not: a weak definition of a wrapped symbol,
    /// in bitcode, asks no file for it.
    ///
    /// # Errors
    /// `Unfit` where there is one, or a file cannot be read.
    pub(super) fn refuse_lazy(&self, link: &FinalLink<'_>, loaded: &[BitcodeSource]) -> Result<(), FinalLinkError> {
        if self.strong.is_empty() {
            return Ok(());
        }
        let is_strong = |name: &[u8]| self.strong.iter().any(|strong| strong == name);
        match defined_by_lazy(link, loaded, is_strong)?.first_key_value() {
            None => Ok(()),
            Some((name, file)) => Err(FinalLinkError::Unfit(format!(
                "{}, which only bitcode names, is in {file}, which is not loaded",
                String::from_utf8_lossy(name)
            ))),
        }
    }
}

/// What bitcode refers to and objects do not, and what that decides; `loaded` are the user's native files that the thin link has
/// loaded.
///
/// # Errors
/// `Unfit` where a file that was linked cannot be read, or the two links would define a symbol otherwise.
pub(super) fn only_in_bitcode(
    link: &FinalLink<'_>,
    assignments: &Assignments,
    loaded: &[BitcodeSource],
    users: &Natives,
    shared: &SharedObjects,
) -> Result<Untold, FinalLinkError> {
    refuse_defined_twice(link, assignments)?;
    shared.refuse_defined()?;
    refuse_versions_of_lazy(link, users)?;
    refuse_looked_up(link, users)?;
    refuse_left_by_garbage_collection(link, shared)?;
    refuse_exported_lazy(link, users)?;
    let definers = Definers::of(link, assignments);
    definers.refuse(link, users, shared)?;
    definers.refuse_lazily_wrapped(link, loaded)?;
    let references = References::of(link.tables, users, &definers);
    // Those that make a weak reference strong, whoever makes that.
    let mut binding = references.strong_beside_weak();
    let wrappers = definers.wrappers(link.tables);
    binding.extend(wrappers.iter().map(Vec::as_slice));
    // Those that something is defined for, unless an object still refers to it. Then it is told by that object, and as a strong
    // reference a weak one might not be satisfied.
    let mut unmentioned = references.of_definers(&definers);
    unmentioned.retain(|name| !binding.contains(name) && !users.named.contains(*name));
    let lazy = definers.provided_in_place_of_lazy(link);
    unmentioned.extend(lazy.iter().map(Vec::as_slice));
    // What is defined needs no reference, and would be kept from garbage collection by one.
    for symbol in link.tables.symbols().filter(|symbol| symbol.is_definition()) {
        binding.remove(symbol.name);
        unmentioned.remove(symbol.name);
    }
    // A symbol is only wrapped if something has its name.
    unmentioned.extend(definers.wrapped_among(link.tables));
    if !unmentioned.is_empty() {
        let ours = objects_of(link, |name| unmentioned.contains(name))?;
        unmentioned.retain(|name| !ours.named.contains(*name));
    }
    let wanted = binding.into_iter().chain(unmentioned);
    let wanted: BTreeSet<&[u8]> = wanted.filter(|name| !users.defined.contains(*name)).collect();
    let softly: HashSet<&[u8]> = definers.only_weakly_wrapped(link.tables);
    let (mut weak, strong): (Vec<&[u8]>, Vec<&[u8]>) = wanted.into_iter().partition(|name| softly.contains(name));
    if !weak.is_empty() {
        // Where nobody calls what is wrapped by its other name there is nothing to be bound.
        let real = |name: &[u8]| [b"__real_", name].concat();
        let asked: HashSet<Vec<u8>> = weak.iter().copied().map(real).collect();
        let ours = objects_of(link, |name| asked.contains(name))?;
        weak.retain(|name| users.named.contains(&real(name)) || ours.named.contains(&real(name)));
    }
    let owned = |names: Vec<&[u8]>| names.into_iter().map(<[u8]>::to_vec).collect();
    Ok(Untold {
        strong: owned(strong),
        weak: owned(weak),
    })
}

/// What bitcode refers to that may be more than what its objects refer to.
struct References<'a> {
    /// Strongly.
    strong: HashSet<&'a [u8]>,
    /// Weakly; native objects too.
    weak: HashSet<&'a [u8]>,
}

impl<'a> References<'a> {
    fn of(tables: &'a SymbolTables<'_>, users: &'a Natives, definers: &Definers<'_>) -> References<'a> {
        let names = |binding: Binding| {
            let references = move |file: &'a [TableSymbol<'_>]| {
                let references = file.iter().filter(move |symbol| symbol.is_reference(binding));
                references.map(|symbol| symbol.name)
            };
            tables.files().flat_map_iter(references)
        };
        let mut weak: HashSet<&[u8]> = names(Binding::Weak).collect();
        weak.extend(users.weakly_undefined.iter().map(Vec::as_slice));
        let strong = names(Binding::Global).filter(|name| weak.contains(name) || definers.may_define(name));
        References {
            strong: strong.collect(),
            weak,
        }
    }

    fn strong_beside_weak(&self) -> HashSet<&'a [u8]> {
        let beside = self.strong.iter().filter(|name| self.weak.contains(*name));
        beside.copied().collect()
    }

    fn of_definers(&self, definers: &Definers<'_>) -> HashSet<&'a [u8]> {
        let all = self.strong.iter().chain(&self.weak);
        all.filter(|name| definers.may_define(name)).copied().collect()
    }
}

/// Who may define a symbol for having been asked for it.
struct Definers<'a> {
    is_linked: bool,
    wrapped: HashSet<&'a [u8]>,
    assignments: &'a Assignments,
}

impl<'a> Definers<'a> {
    fn of(link: &FinalLink<'a>, assignments: &'a Assignments) -> Definers<'a> {
        Definers {
            is_linked: link.invocation.kind != OutputKind::Relocatable,
            wrapped: wrapped(link.invocation),
            assignments,
        }
    }

    fn may_define(&self, name: &[u8]) -> bool {
        let is_the_linkers = self.is_linked && is_for_the_linker(name) || self.assignments.provided.contains(name);
        let is_redirected = || {
            let real = name.strip_prefix(b"__real_");
            real.is_some_and(|name| self.wrapped.contains(name))
        };
        self.wrapped.contains(name) || is_the_linkers && !is_redirected()
    }

    /// Refuses what comes of two definitions in one link, and not in the other.
    fn refuse(&self, link: &FinalLink<'_>, users: &Natives, shared: &SharedObjects) -> Result<(), FinalLinkError> {
        self.refuse_wrapped_beside_weak(link, users)?;
        if !self.wrapped.is_empty() {
            // A lazy symbol stays as weak as bitcode refers to it, whatever refers to it as `__real_` (lld `addWrappedSymbols`).
            let lazy = defined_in(link, &not_loaded(link), |name| {
                self.wrapped.contains(name).then_some(name)
            });
            if let Some(name) = lazy.first() {
                let name = String::from_utf8_lossy(name);
                return Err(FinalLinkError::Unfit(format!(
                    "--wrap of {name}, which bitcode defines that is not loaded"
                )));
            }
        }
        self.refuse_narrowed(link)?;
        self.refuse_removed_wrappers(link, users, shared)?;
        if self.assignments.provided.is_empty() {
            return Ok(());
        }
        if !self.wrapped.is_empty() {
            return Err(FinalLinkError::Unfit("--wrap beside PROVIDE".to_owned()));
        }
        let files: Vec<BitcodeSource> = link.inputs.bitcode_by_name().into_values().collect();
        let mut provided = defined_in(link, &files, |name| {
            self.assignments.provided.contains(name).then_some(name)
        });
        if llvm::traits(link.llvm.major).provides_once {
            provided.retain(|name| shared.name_provided(name) || self.assignments.assigned.contains(name));
        }
        refuse_for(provided.first(), |name| {
            format!("PROVIDE of {name}, which bitcode defines")
        })
    }

    /// The wrappers of symbols that bitcode defines strongly: they are as strongly referred to. LTO makes those symbols weak.
    fn wrappers(&self, tables: &SymbolTables<'_>) -> Vec<Vec<u8>> {
        let symbols = tables.symbols().filter(|_| !self.wrapped.is_empty());
        let strong = symbols.filter(|symbol| {
            symbol.is_definition() && symbol.binding != Binding::Weak && self.wrapped.contains(symbol.name)
        });
        strong.map(|symbol| wrapper(symbol.name)).collect()
    }

    /// Refuses a wrapped symbol that code defines and something else weakly: LTO makes the definition weak, so that the first of the
    /// two would be taken, and not the strong one.
    fn refuse_wrapped_beside_weak(&self, link: &FinalLink<'_>, users: &Natives) -> Result<(), FinalLinkError> {
        let symbols = || {
            let symbols = link.tables.symbols().filter(|_| !self.wrapped.is_empty());
            symbols.filter(|symbol| symbol.is_definition() && self.wrapped.contains(symbol.name))
        };
        let in_assembly: HashSet<&[u8]> = symbols()
            .filter(|symbol| symbol.origin == Origin::Assembly && symbol.binding == Binding::Weak)
            .map(|symbol| symbol.name)
            .collect();
        let is_weak = |name: &[u8]| users.defined.contains(name) && !users.strongly_defined.contains(name);
        let refused = symbols().find(|symbol| {
            symbol.binding != Binding::Weak && (is_weak(symbol.name) || in_assembly.contains(symbol.name))
        });
        refuse_for(refused.map(|symbol| symbol.name), |name| {
            format!("--wrap of {name}, which a native object or assembly defines weakly and bitcode does not")
        })
    }

    /// Refuses what is wrapped, or a wrapper, in a native file that is not loaded: lld has not asked for it before LTO, and would now,
    /// or would bind it otherwise.
    fn refuse_lazily_wrapped(&self, link: &FinalLink<'_>, loaded: &[BitcodeSource]) -> Result<(), FinalLinkError> {
        if self.wrapped.is_empty() {
            return Ok(());
        }
        let takes_part = |name: &[u8]| {
            let wrapped = name.strip_prefix(b"__wrap_").unwrap_or(name);
            self.wrapped.contains(wrapped)
        };
        match defined_by_lazy(link, loaded, takes_part)?.first_key_value() {
            None => Ok(()),
            Some((name, file)) => Err(FinalLinkError::Unfit(format!(
                "--wrap, and {} is in {file}, which is not loaded",
                String::from_utf8_lossy(name)
            ))),
        }
    }

    /// Refuses a wrapped symbol that bitcode does not define and keeps from other files: the visibility cannot be said to a link in
    /// which the name means the wrapper.
    fn refuse_narrowed(&self, link: &FinalLink<'_>) -> Result<(), FinalLinkError> {
        let narrowed = self
            .wrapped
            .iter()
            .filter(|name| link.asked.foreign().contains_key(**name));
        refuse_for(narrowed.min(), |name| {
            format!("--wrap of {name}, which bitcode keeps from other files")
        })
    }

    /// Refuses a wrapper that LTO removes, of what may be weak: in-process it stays as strong as bitcode had it, and lld would make
    /// one that is as weak as what it wraps (lld/ELF/Driver.cpp `addWrappedSymbols`).
    fn refuse_removed_wrappers(
        &self,
        link: &FinalLink<'_>,
        users: &Natives,
        shared: &SharedObjects,
    ) -> Result<(), FinalLinkError> {
        let may_be_weak = |name: &[u8]| {
            let of_bitcode = || link.tables.symbols().filter(|symbol| symbol.name == name);
            let is_strong =
                users.strongly_defined.contains(name) || of_bitcode().any(|symbol| symbol.is_strong_definition());
            let is_weak = shared.define_wrapped_weakly(name)
                || users.weakly_undefined.contains(name)
                || users.defined.contains(name)
                || of_bitcode().any(|symbol| symbol.binding == Binding::Weak);
            is_weak && !is_strong
        };
        let weak = self.wrapped.iter().copied().filter(|name| may_be_weak(name));
        let wrappers: HashMap<Vec<u8>, &[u8]> = weak.map(|name| (wrapper(name), name)).collect();
        let defined = link
            .tables
            .symbols()
            .filter(|symbol| symbol.is_strong_definition() && wrappers.contains_key(symbol.name));
        let mut removed: BTreeSet<&[u8]> = defined.map(|symbol| symbol.name).collect();
        if !removed.is_empty() {
            let kept = objects_of(link, |name| removed.contains(name))?.defined;
            removed.retain(|name| !kept.contains(*name));
        }
        refuse_for(removed.first().and_then(|name| wrappers.get(*name)), |name| {
            format!("--wrap of {name}, whose wrapper LTO removes")
        })
    }

    /// The wrapped symbols that bitcode names.
    fn wrapped_among<'t>(&self, tables: &'t SymbolTables<'_>) -> impl Iterator<Item = &'t [u8]> {
        let symbols = tables.symbols().filter(|_| !self.wrapped.is_empty());
        symbols
            .map(|symbol| symbol.name)
            .filter(|name| self.wrapped.contains(name))
    }

    /// Those to which bitcode refers weakly and in no other way.
    fn only_weakly_wrapped<'t>(&self, tables: &'t SymbolTables<'_>) -> HashSet<&'t [u8]> {
        let mut weak: HashSet<&[u8]> = self.wrapped_among(tables).collect();
        for symbol in tables.symbols().filter(|symbol| !symbol.is_reference(Binding::Weak)) {
            weak.remove(symbol.name);
        }
        weak
    }

    /// The symbols, among those that scripts provide, that bitcode defines that was not loaded: for lld it is enough that such
    /// a member has the name (lld/ELF/LinkerScript.cpp `shouldAddProvideSym`).
    fn provided_in_place_of_lazy(&self, link: &FinalLink<'_>) -> Vec<Vec<u8>> {
        if self.assignments.provided.is_empty() {
            return Vec::new();
        }
        let provided = defined_in(link, &not_loaded(link), |name| {
            self.assignments.provided.contains(name).then_some(name)
        });
        provided.into_iter().collect()
    }
}

/// What these files define and `wanted` takes, as it gives it.
fn defined_in(
    link: &FinalLink<'_>,
    files: &[BitcodeSource],
    wanted: impl Fn(&[u8]) -> Option<&[u8]> + Sync,
) -> BTreeSet<Vec<u8>> {
    let names = files.par_iter().flat_map_iter(|source| {
        let symbols = table_of_file(link.inputs, *source).unwrap_or_default();
        let defined = symbols.into_iter().filter(TableSymbol::is_definition);
        defined
            .filter_map(|symbol| wanted(symbol.name).map(<[u8]>::to_vec))
            .collect::<Vec<_>>()
    });
    names.collect()
}

/// The link's bitcode that was not loaded.
fn not_loaded(link: &FinalLink<'_>) -> Vec<BitcodeSource> {
    let loaded: HashSet<BitcodeSource> = link.bitcode.iter().copied().collect();
    let files = link.inputs.bitcode_by_name().into_values();
    files.filter(|source| !loaded.contains(source)).collect()
}

/// `f@@V2` of a member that stays in its archive: lld has met it as `f`, and gives that name with its version to the `f` that is
/// linked (lld/ELF/SymbolTable.cpp `insert`).
fn refuse_versions_of_lazy(link: &FinalLink<'_>, users: &Natives) -> Result<(), FinalLinkError> {
    if link.invocation.kind != OutputKind::Shared && !link.invocation.has("version-script") {
        return Ok(());
    }
    let versioned = defined_in(link, &not_loaded(link), |name| {
        Some(plain(name)).filter(|plain| *plain != name)
    });
    if versioned.is_empty() {
        return Ok(());
    }
    let named: HashSet<&[u8]> = link.tables.symbols().map(|symbol| plain(symbol.name)).collect();
    let mut linked = versioned.iter();
    refuse_for(
        linked.find(|name| named.contains(name.as_slice()) || users.named.contains(*name)),
        |name| format!("{name} takes its version from a member that is not loaded"),
    )
}

/// Options that look a symbol up among those there are, by its name, and the name that is looked up without them.
const LOOKED_UP: [(&str, &str); 3] = [("entry", "_start"), ("init", "_init"), ("fini", "_fini")];

/// `--undefined-glob`, `--entry` and others bring what they find into the output (lld/ELF/Driver.cpp `handleUndefined`): names that
/// bitcode alone has, too.
fn refuse_looked_up(link: &FinalLink<'_>, users: &Natives) -> Result<(), FinalLinkError> {
    let globs: Vec<&[u8]> = link.invocation.all("undefined-glob").map(OsStrExt::as_bytes).collect();
    let names = LOOKED_UP.map(|(option, name)| link.invocation.last(option).unwrap_or(name.as_ref()).as_bytes());
    let symbols = || link.tables.symbols();
    let matching = symbols().filter(|symbol| {
        let is_asked_for = names.contains(&symbol.name) || globs.iter().any(|glob| may_match(glob, symbol.name));
        is_asked_for && !symbol.is_definition()
    });
    let mut lost: HashSet<&[u8]> = matching.map(|symbol| symbol.name).collect();
    for symbol in symbols().filter(|symbol| symbol.is_definition()) {
        lost.remove(symbol.name);
    }
    lost.retain(|name| !users.named.contains(*name));
    if !lost.is_empty() {
        let ours = objects_of(link, |name| lost.contains(name))?;
        lost.retain(|name| !ours.named.contains(*name));
    }
    refuse_for(lost.into_iter().min(), |name| {
        format!("{name}, which an option looks up and only bitcode refers to")
    })
}

/// Options that export symbols of a program.
const EXPORTING: [&str; 4] = [
    "export-dynamic",
    "export-dynamic-symbol",
    "export-dynamic-symbol-list",
    "dynamic-list",
];

/// What module assembly defines, in a link that collects garbage.
pub(super) fn collectable<'a>(link: &FinalLink<'a>) -> HashSet<&'a [u8]> {
    if !link.invocation.flag("gc-sections", "no-gc-sections").unwrap_or(false) {
        return HashSet::new();
    }
    let defined = link.tables.symbols().filter(|symbol| symbol.is_definition());
    let assembly = defined.filter(|symbol| symbol.origin == Origin::Assembly);
    assembly.map(|symbol| symbol.name).collect()
}

/// What module assembly defines and hides is exported for in-process lld until LTO's object says otherwise, so that garbage
/// collection leaves it, and what it refers to; in a program that exports nothing, what a shared object names.
fn refuse_left_by_garbage_collection(link: &FinalLink<'_>, shared: &SharedObjects) -> Result<(), FinalLinkError> {
    let is_exporting =
        link.invocation.kind == OutputKind::Shared || EXPORTING.iter().any(|name| link.invocation.has(name));
    let mut assembly = collectable(link);
    assembly.retain(|name| is_exporting || shared.name_in_assembly(name));
    if assembly.is_empty() {
        return Ok(());
    }
    let hidden = objects_of(link, |name| assembly.contains(name))?.hidden;
    refuse_for(hidden.iter().min(), |name| {
        format!("--gc-sections, and {name}, which module assembly hides")
    })
}

/// A list of symbols to export names those of a member that stays in its archive, too (lld/ELF/SymbolTable.cpp `canBeVersioned`): what
/// refers to such a symbol weakly has it among the dynamic ones, in a program without a dynamic linker only for that.
fn refuse_exported_lazy(link: &FinalLink<'_>, users: &Natives) -> Result<(), FinalLinkError> {
    let mut lists = EXPORTING.iter().filter(|name| **name != "export-dynamic");
    let is_exporting = lists.any(|name| link.invocation.has(name));
    if !is_exporting || !link.invocation.has("no-dynamic-linker") {
        return Ok(());
    }
    let references = link
        .tables
        .symbols()
        .filter(|symbol| symbol.is_reference(Binding::Weak));
    let mut weak: HashSet<&[u8]> = references.map(|symbol| symbol.name).collect();
    weak.extend(users.weakly_undefined.iter().map(Vec::as_slice));
    for symbol in link.tables.symbols().filter(|symbol| symbol.is_definition()) {
        weak.remove(symbol.name);
    }
    weak.retain(|name| !users.defined.contains(*name));
    let lazy = defined_in(link, &not_loaded(link), |name| weak.contains(name).then_some(name));
    refuse_for(lazy.first(), |name| {
        format!("{name}, which may be exported and is in a member that is not loaded")
    })
}

/// `--defsym=SYMBOL=…`, or a script that says so, of what LTO leaves defined nevertheless (module assembly, an ifunc): in-process lld
/// refuses that as defined
/// twice; in a link of objects the assignment wins.
fn refuse_defined_twice(link: &FinalLink<'_>, assignments: &Assignments) -> Result<(), FinalLinkError> {
    let assigned = &assignments.assigned;
    if assigned.is_empty() {
        return Ok(());
    }
    let defined = objects_of(link, |name| assigned.contains(name))?.strongly_defined;
    refuse_for(defined.first(), |name| {
        format!("--defsym of {name}, which LTO leaves defined")
    })
}

/// Whether a name is one of those that C leaves to the implementation, the linker among it, or a traditional one of its.
fn is_for_the_linker(name: &[u8]) -> bool {
    const TRADITIONAL: [&[u8]; 3] = [b"end", b"etext", b"edata"];
    let is_reserved = matches!(name, [b'_', b'_' | b'A'..=b'Z' | b'a'..=b'z', ..]) && !name.starts_with(b"_Z");
    is_reserved || TRADITIONAL.contains(&name)
}

/// What the user's native objects say.
pub(super) fn natives_of(link: &FinalLink<'_>, natives: &[BitcodeSource]) -> Result<Natives, FinalLinkError> {
    let objects = natives
        .par_iter()
        .filter(|file| super::load_order::kind(link.inputs, **file) == FileKind::NativeObject);
    let read = objects.map(|file| {
        let entry = &link.inputs.entries[file.entry];
        read_native(entry, file.member, |bytes| Natives::of_object(bytes, |_| true))
            .map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", entry.shown(file.member))))
    });
    read.try_reduce(Natives::default, |one, other| Ok(one.with(other)))
}

/// What the objects of LTO say of the symbols that are looked for.
pub(super) fn objects_of(
    link: &FinalLink<'_>,
    is_looked_for: impl Fn(&[u8]) -> bool + Sync,
) -> Result<Natives, FinalLinkError> {
    let paths = link.objects.iter().map(NativeObject::path).chain(&link.plan.regular);
    let paths: Vec<&PathBuf> = paths.collect();
    let read = paths
        .par_iter()
        .map(|path| read_ours(path, |bytes| Natives::of_object(bytes, &is_looked_for)));
    read.try_reduce(Natives::default, |one, other| Ok(one.with(other)))
}
