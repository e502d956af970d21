//! Which sections get names of their own, so that lld finds each at once, and puts it where it would have put it.
//! Knows nothing of files, and makes no change.

use std::collections::{HashMap, HashSet};

use super::patterns::Patterns;
use super::sections::{Linked, Placement, Section};
use super::{Kept, MARK, Wish};

/// Sections of one name that make it worth renaming them: lld 22 takes a tenth of a second for so many, and four times as
/// long for twice as many.
pub(super) const WORTH: usize = 2000;

/// A section that is to be called otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Renaming {
    /// Its number in the object.
    pub section: usize,
    /// Its name there for the link.
    pub name: Vec<u8>,
}

/// What lld knows by name, or makes itself (lld/ELF/InputFiles.cpp `createInputSection`, Writer.cpp, SyntheticSections.cpp).
const KNOWN: [&[u8]; 11] = [
    b".comment",
    b".ctors",
    b".debug",
    b".dtors",
    b".eh_frame",
    b".gnu",
    b".note",
    b".shstrtab",
    b".strtab",
    b".symtab",
    b".zdebug",
];

/// What output sections of relocations are called by, before the name of what they relocate.
pub(super) const RELOCATIONS: [&[u8]; 3] = [b".rela", b".rel", b".crel"];

/// Of each object's `sections`, those that are renamed. What is put together with another gets the same name as that.
///
/// # Errors
/// There is nothing to gain, or something could tell.
pub(super) fn renamings<'data>(
    objects: &[Vec<Section<'data>>],
    patterns: &Patterns,
    wish: Wish,
) -> Result<Vec<Vec<Renaming>>, Kept> {
    let all = || objects.iter().enumerate();
    let mut places: HashMap<&[u8], HashSet<Place<'data>>> = HashMap::new();
    for (object, section) in all().flat_map(|(object, sections)| sections.iter().map(move |section| (object, section)))
    {
        if let Some(place) = Place::of(object, section) {
            places.entry(section.name).or_default().insert(place);
        }
    }
    let worth = match wish {
        Wish::WhereItPays => WORTH,
        Wish::Always => 1,
    };
    if places.values().all(|places| places.len() < worth) {
        return Err(Kept::Few);
    }
    // One that is ordered by nothing joins the first of its name, whatever that is linked to.
    let mixed: HashSet<&[u8]> = objects
        .iter()
        .flatten()
        .filter(|section| section.placement == Placement::ByName && places.contains_key(section.name))
        .map(|section| section.name)
        .collect();
    let is_wanted = |name: &[u8]| {
        places.get(name).is_some_and(|places| places.len() >= worth)
            && !mixed.contains(name)
            && !KNOWN.iter().any(|known| name.starts_with(known))
    };
    let is_told = |name: &[u8]| forms(name).iter().any(|form| patterns.may_match(form));
    let wanted: HashSet<&[u8]> = places.keys().copied().filter(|name| is_wanted(name)).collect();
    let renamed: HashSet<&[u8]> = wanted.iter().copied().filter(|name| !is_told(name)).collect();
    if renamed.is_empty() {
        let name = wanted.iter().min();
        return Err(name.map_or(Kept::Mixed, |name| {
            Kept::Script(String::from_utf8_lossy(name).into_owned())
        }));
    }
    // Where these are put is not for their names alone to say.
    let mut numbers: HashMap<Place<'data>, Option<usize>> = HashMap::new();
    let mut count = 0;
    let mut renaming = |object: usize, section: &Section<'data>| {
        let place = Place::of(object, section).filter(|_| renamed.contains(section.name))?;
        let number = (*numbers.entry(place).or_insert_with(|| {
            let is_elsewhere = match place {
                Place::Named(name) => places.contains_key(name) || patterns.may_match(name),
                Place::Alone(_, _, name) => patterns.may_match(name),
            };
            count += 1;
            (!is_elsewhere).then_some(count)
        }))?;
        Some(Renaming {
            section: section.index,
            name: marked(number, section.name),
        })
    };
    let renamings: Vec<Vec<Renaming>> = all()
        .map(|(object, sections)| {
            let renamed = sections.iter().filter_map(|section| renaming(object, section));
            renamed.collect()
        })
        .collect();
    match renamings.iter().all(Vec::is_empty) {
        true => Err(Kept::Few),
        false => Ok(renamings),
    }
}

/// The output section that one is linked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place<'data> {
    Named(&'data [u8]),
    /// That of one section, by its object and its number there.
    Alone(usize, usize, &'data [u8]),
}

impl<'data> Place<'data> {
    fn of(object: usize, section: &Section<'data>) -> Option<Place<'data>> {
        match section.placement {
            Placement::ByName => None,
            Placement::Behind(Linked::Named(name)) => Some(Place::Named(name)),
            Placement::Behind(Linked::Grouped { index, name }) => Some(Place::Alone(object, index, name)),
        }
    }
}

/// How a script could name the section or its relocations, under either name.
fn forms(name: &[u8]) -> Vec<Vec<u8>> {
    let names = [name.to_vec(), marked(1, name)];
    let relocations = RELOCATIONS
        .iter()
        .flat_map(|before| names.iter().map(|name| [*before, name].concat()));
    names.iter().cloned().chain(relocations).collect()
}

/// A name that is different for each number and ends in the old one.
fn marked(number: usize, name: &[u8]) -> Vec<u8> {
    let mut marked = vec![MARK];
    marked.extend_from_slice(format!("{number:x}").as_bytes());
    marked.push(MARK);
    marked.extend_from_slice(name);
    marked
}

/// What a section is called when its name is put back.
pub(super) fn unmarked(name: &[u8]) -> Option<Vec<u8>> {
    let before = RELOCATIONS.into_iter().find(|before| {
        name.strip_prefix(*before)
            .is_some_and(|rest| rest.first() == Some(&MARK))
    });
    let before = before.unwrap_or_default();
    let mut parts = name.get(before.len()..)?.splitn(3, |byte| *byte == MARK);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(b""), Some(_), Some(old)) => Some([before, old].concat()),
        _ => None,
    }
}
