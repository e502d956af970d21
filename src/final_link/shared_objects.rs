//! What shared objects refer to and define, where the final link would make something else of that than lld has in-process: LTO
//! removes what bitcode defined, since a shared object's reference does not keep a hidden symbol. Such a link is refused.

use std::collections::{BTreeMap, HashSet};

use object::{Object, ObjectSymbol};
use rayon::prelude::*;

use super::assignments::Assignments;
use super::bitcode_references::{Natives, collectable, objects_of};
use super::load_order::kind;
use super::wrapped::wrapped;
use super::{FinalLink, FinalLinkError, read_native};
use crate::bitcode::TableSymbol;
use crate::bitcode::symbol_table::Binding;
use crate::inputs::{BitcodeSource, FileKind};
use crate::llvm;
use crate::settings::Order;

/// What the loaded shared objects say of symbols.
#[derive(Default)]
pub(super) struct SharedObjects {
    /// Strongly.
    referred: HashSet<Vec<u8>>,
    /// Among the symbols that are kept from other files, by bitcode that refers to them (strongly, in the command line's order) or by
    /// objects, and not defined.
    kept_back: HashSet<Vec<u8>>,
    /// Among the common symbols of bitcode, and those of objects that bitcode defines too.
    common: HashSet<Vec<u8>>,
    /// Among the symbols to which bitcode refers weakly.
    defined: HashSet<Vec<u8>>,
    /// Weakly, among the symbols that are wrapped.
    wrapped: HashSet<Vec<u8>>,
    /// Among the symbols that module assembly defines and garbage collection may take, whether referred to or defined.
    in_assembly: HashSet<Vec<u8>>,
    /// Among the symbols that linker scripts provide, whether referred to or defined; those that lazy objects define too.
    provided: HashSet<Vec<u8>>,
}

impl SharedObjects {
    /// Reads those among the files that the thin link has loaded.
    ///
    /// # Errors
    /// `Unfit` where one cannot be read.
    pub(super) fn read(
        link: &FinalLink<'_>,
        assignments: &Assignments,
        loaded: &[BitcodeSource],
        users: &Natives,
    ) -> Result<SharedObjects, FinalLinkError> {
        let kept_back = link.asked.foreign();
        let symbols = link.tables.symbols().filter(|_| !kept_back.is_empty());
        // Where LTO's objects stand behind all others a weak reference comes later than the shared object, to which it is bound then.
        let counts = |symbol: &TableSymbol<'_>| {
            symbol.is_reference(Binding::Global) || symbol.is_reference(Binding::Weak) && link.order == Order::InProcess
        };
        let counting = symbols.filter(|symbol| counts(symbol) && kept_back.contains_key(symbol.name));
        let mut kept_back: HashSet<&[u8]> = counting.map(|symbol| symbol.name).collect();
        kept_back.extend(users.kept_back.iter().map(Vec::as_slice));
        for symbol in link.tables.symbols().filter(|symbol| symbol.is_definition()) {
            kept_back.remove(symbol.name);
        }
        kept_back.retain(|name| !users.defined.contains(*name));
        let common = link.tables.symbols().filter(|symbol| {
            symbol.binding == Binding::Common || symbol.is_definition() && users.common.contains(symbol.name)
        });
        let common: HashSet<&[u8]> = common.map(|symbol| symbol.name).collect();
        let provided = &assignments.provided;
        let weak = link
            .tables
            .symbols()
            .filter(|symbol| symbol.is_reference(Binding::Weak));
        let weak: HashSet<&[u8]> = weak.map(|symbol| symbol.name).collect();
        let in_assembly = collectable(link);
        let wrapped = wrapped(link.invocation);
        let shared = loaded
            .par_iter()
            .filter(|file| kind(link.inputs, **file) == FileKind::SharedObject);
        let read = shared.map(|file| {
            let entry = &link.inputs.entries[file.entry];
            let read = read_native(entry, file.member, |bytes| {
                let object = object::File::parse(bytes).map_err(|error| error.to_string())?;
                let mut said = SharedObjects::default();
                for symbol in object.dynamic_symbols() {
                    let Ok(name) = symbol.name_bytes() else { continue };
                    if provided.contains(name) {
                        said.provided.insert(name.to_vec());
                    }
                    if in_assembly.contains(name) {
                        said.in_assembly.insert(name.to_vec());
                    }
                    if wrapped.contains(name) && symbol.is_weak() && !symbol.is_undefined() {
                        said.wrapped.insert(name.to_vec());
                    }
                    if weak.contains(name) && !symbol.is_undefined() {
                        said.defined.insert(name.to_vec());
                    }
                    match symbol.is_undefined() {
                        true if !symbol.is_weak() => said.referred.insert(name.to_vec()),
                        false if kept_back.contains(name) => said.kept_back.insert(name.to_vec()),
                        false if common.contains(name) => said.common.insert(name.to_vec()),
                        _ => false,
                    };
                }
                Ok(said)
            });
            read.map_err(|error| FinalLinkError::Unfit(format!("{}: {error}", entry.shown(file.member))))
        });
        let mut said = read.try_reduce(SharedObjects::default, |mut one, other| {
            one.referred.extend(other.referred);
            one.defined.extend(other.defined);
            one.kept_back.extend(other.kept_back);
            one.common.extend(other.common);
            one.provided.extend(other.provided);
            one.wrapped.extend(other.wrapped);
            one.in_assembly.extend(other.in_assembly);
            Ok(one)
        })?;
        if !provided.is_empty() {
            let lazy = defined_by_lazy(link, loaded, |name| provided.contains(name))?;
            said.provided.extend(lazy.into_keys());
        }
        Ok(said)
    }

    /// Whether one names a symbol that module assembly defines.
    pub(super) fn name_in_assembly(&self, name: &[u8]) -> bool {
        self.in_assembly.contains(name)
    }

    /// Whether one defines a symbol weakly that is wrapped.
    pub(super) fn define_wrapped_weakly(&self, name: &[u8]) -> bool {
        self.wrapped.contains(name)
    }

    /// Whether one names a symbol that a linker script provides, or a lazy object defines it.
    pub(super) fn name_provided(&self, name: &[u8]) -> bool {
        self.provided.contains(name)
    }

    /// Refuses a link that would come out otherwise; `loaded` are the user's files that the thin link has loaded.
    ///
    /// # Errors
    /// `Unfit` where it would, or a file cannot be read.
    pub(super) fn refuse(
        &self,
        link: &FinalLink<'_>,
        assignments: &Assignments,
        loaded: &[BitcodeSource],
        users: &Natives,
    ) -> Result<(), FinalLinkError> {
        let assigned = &assignments.assigned;
        let is_asked_for = |name: &[u8]| self.referred.contains(name) || assigned.contains(name);
        let named = link.tables.symbols().filter(|symbol| {
            (symbol.is_definition() || symbol.is_reference(Binding::Weak)) && is_asked_for(symbol.name)
        });
        let (defined, referred): (Vec<&TableSymbol<'_>>, Vec<_>) = named.partition(|symbol| symbol.is_definition());
        let mut removed: HashSet<&[u8]> = defined.iter().map(|symbol| symbol.name).collect();
        let mut weak: HashSet<&[u8]> = referred.iter().map(|symbol| symbol.name).collect();
        if removed.is_empty() && weak.is_empty() {
            return Ok(());
        }
        let kept = objects_of(link, |name| removed.contains(name) || weak.contains(name))?;
        removed.retain(|name| !kept.defined.contains(*name));
        let is_defined = |name: &[u8]| users.defined.contains(name) || self.defined.contains(name);
        weak.retain(|name| !kept.named.contains(*name) && !is_defined(name));
        // What bitcode refers to weakly need not be defined for a shared object, and until LLVM 18 what somebody has defined when it
        // is loaded.
        if llvm::traits(link.llvm.major).requires_what_lto_removes {
            weak.retain(|name| self.referred.contains(*name));
        } else {
            weak.extend(removed.iter().filter(|name| self.referred.contains(**name)));
        }
        if let Some(name) = weak.iter().min() {
            return Err(FinalLinkError::Unfit(format!(
                "{}, which LTO removes and a shared object refers to",
                String::from_utf8_lossy(name)
            )));
        }
        refuse_late_extraction(link, loaded, &removed)
    }

    /// Refuses symbols that shared objects define, where what becomes of them is otherwise in-process. One that is kept from other
    /// files is undefined then, and of which binding depends on the order of references, down to those of a file that is read while
    /// another is (lld/ELF/Symbols.cpp `Symbol::resolve(Undefined)`). A common one is as large as the largest, but not where LTO's
    /// object brings it.
    ///
    /// # Errors
    /// `Unfit` where there is one.
    pub(super) fn refuse_defined(&self) -> Result<(), FinalLinkError> {
        let (name, why) = match (self.kept_back.iter().min(), self.common.iter().min()) {
            (Some(name), _) => (name, "which is kept from other files and a shared object alone defines"),
            (None, Some(name)) => (
                name,
                "a common symbol in bitcode or beside it, which a shared object defines",
            ),
            (None, None) => return Ok(()),
        };
        Err(FinalLinkError::Unfit(format!(
            "{}, {why}",
            String::from_utf8_lossy(name)
        )))
    }
}

/// Refuses a link that would extract a member which the thin link has not: lld extracts for what is referred to unless it is
/// defined, and these symbols are not any more. `--defsym` is a definition that comes later than that.
fn refuse_late_extraction(
    link: &FinalLink<'_>,
    loaded: &[BitcodeSource],
    removed: &HashSet<&[u8]>,
) -> Result<(), FinalLinkError> {
    if removed.is_empty() {
        return Ok(());
    }
    match defined_by_lazy(link, loaded, |name| removed.contains(name))?.first_key_value() {
        None => Ok(()),
        Some((name, file)) => Err(FinalLinkError::Unfit(format!(
            "{}, which LTO removes and another file refers to, is in {file} too",
            String::from_utf8_lossy(name)
        ))),
    }
}

/// What native objects and members that were not loaded define, among what is looked for, and how they are called.
///
/// # Errors
/// `Unfit` where one cannot be read.
pub(super) fn defined_by_lazy(
    link: &FinalLink<'_>,
    loaded: &[BitcodeSource],
    is_looked_for: impl Fn(&[u8]) -> bool + Sync,
) -> Result<BTreeMap<Vec<u8>, String>, FinalLinkError> {
    let loaded: HashSet<BitcodeSource> = loaded.iter().copied().collect();
    let lazy: Vec<BitcodeSource> = lazy_natives(link).filter(|file| !loaded.contains(file)).collect();
    let read = lazy.par_iter().map(|file| {
        let entry = &link.inputs.entries[file.entry];
        let shown = entry.shown(file.member);
        let read = read_native(entry, file.member, |bytes| Natives::of_object(bytes, &is_looked_for));
        let said = read.map_err(|error| FinalLinkError::Unfit(format!("{shown}: {error}")))?;
        let named = said.defined.into_iter().map(|name| (name, shown.clone()));
        Ok(named.collect::<BTreeMap<Vec<u8>, String>>())
    });
    read.try_reduce(BTreeMap::new, |mut one, other| {
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
