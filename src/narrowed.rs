//! The visibility that a link's bitcode asks for of its names: lld gives a symbol the narrowest that any file asks for, and asks
//! bitcode before LTO (lld/ELF/Symbols.cpp `mergeProperties`). Knows nothing of native objects, nor of how it is kept up.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::bitcode::symbols::Visibility;
use crate::inputs::BitcodeSource;
use crate::symbols::SymbolTables;

/// What a module's object may define of the names that are open ([`Asked::open`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defines {
    /// None of them.
    NothingOpen,
    /// Perhaps one.
    PerhapsOpen,
}

/// Names with a visibility each.
pub type Visibilities<'a> = HashMap<&'a [u8], Visibility>;

/// What is asked for of names that are not visible to all.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    by_name: Visibilities<'a>,
    open: HashSet<&'a [u8]>,
    foreign: HashMap<&'a [u8], Agreement>,
}

/// Whether all bitcode that names a symbol asks for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Some ask for less.
    Mixed,
    /// It does.
    Unanimous,
}

impl<'a> Asked<'a> {
    /// What the bitcode with these tables asks for, being all that is linked.
    pub fn by(tables: &SymbolTables<'a>) -> Asked<'a> {
        let asking = tables.files().map(|file| {
            let asking = file.iter().filter(|symbol| symbol.visibility != Visibility::Default);
            asking
                .map(|symbol| (symbol.name, symbol.visibility))
                .collect::<Visibilities<'a>>()
        });
        let by_name = asking.reduce(Visibilities::new, narrowest);
        if by_name.is_empty() {
            return Asked::default();
        }
        let defining = tables.files().flat_map_iter(|file| {
            let defined = file.iter().filter(|symbol| symbol.is_definition());
            let named = defined.filter(|symbol| by_name.contains_key(symbol.name));
            named.map(|symbol| (symbol.name, symbol.visibility))
        });
        let mut widest = Visibilities::new();
        for (name, visibility) in defining.collect::<Vec<_>>() {
            let so_far = widest.entry(name).or_insert(visibility);
            *so_far = visibility.min(*so_far);
        }
        let is_open = |(name, asked): (&&'a [u8], &Visibility)| widest.get(name).is_none_or(|defined| defined < asked);
        let open = by_name.iter().filter(|named| is_open(*named)).map(|(name, _)| *name);
        let foreign = by_name.keys().filter(|name| !widest.contains_key(*name));
        let mut foreign: HashMap<&[u8], Agreement> = foreign.map(|name| (*name, Agreement::Unanimous)).collect();
        if !foreign.is_empty() {
            let mixed = tables.files().flat_map_iter(|file| {
                file.iter().filter_map(|symbol| {
                    let (name, asked) = by_name.get_key_value(symbol.name)?;
                    (foreign.contains_key(name) && symbol.visibility < *asked).then_some(*name)
                })
            });
            for name in mixed.collect::<Vec<_>>() {
                foreign.insert(name, Agreement::Mixed);
            }
        }
        Asked {
            open: open.collect(),
            foreign,
            by_name,
        }
    }

    /// Every name of which it is more than nothing.
    pub fn by_name(&self) -> &Visibilities<'a> {
        &self.by_name
    }

    /// Names that nothing in the link's bitcode defines.
    pub fn foreign(&self) -> &HashMap<&'a [u8], Agreement> {
        &self.foreign
    }

    /// Names that the link's bitcode does not define, or not as narrowly as is asked: what defines them may be visible to
    /// more, be it a native object, assembly, or the code that is not narrow enough. All other names are defined as is asked.
    pub fn open(&self) -> &HashSet<&'a [u8]> {
        &self.open
    }

    /// Whether a bitcode file defines an open name.
    pub fn is_open_in(&self, tables: &SymbolTables<'a>, source: BitcodeSource) -> bool {
        let mut defined = tables.of(source).iter().filter(|symbol| symbol.is_definition());
        defined.any(|symbol| self.open.contains(symbol.name))
    }
}

/// The narrower of what two say.
pub fn narrowest<'a>(mut one: Visibilities<'a>, other: Visibilities<'a>) -> Visibilities<'a> {
    for (name, visibility) in other {
        let so_far = one.entry(name).or_default();
        *so_far = visibility.max(*so_far);
    }
    one
}
