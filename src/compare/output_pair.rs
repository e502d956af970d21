//! Two outputs: whether they are the same byte for byte, section for section, or symbol for symbol in another order.
//! Knows nothing of the links that made them.

use std::collections::HashMap;

use object::elf;

use super::image::{self, Image, Symbol};
use super::output_facts;
use super::places::{Pair, Places, Sameness};
use super::verdict::{Difference, SectionSize};

/// What two outputs have in common.
#[derive(Debug)]
pub struct Compared {
    /// Every byte but the build ID's.
    pub identical: bool,
    /// Sections that are there in both and are not the same bytes; tables and the build ID are none.
    pub differing_sections: Vec<String>,
    /// What differs and should not, wherever things stand.
    pub differences: Vec<Difference>,
    /// What differs and may.
    pub allowed: Vec<String>,
    /// Functions and data whose bytes differ in ways of which there is no telling.
    pub untold: usize,
    /// Whether everything stands at one place in both and means the same there; entries of tables by their names.
    pub in_place: bool,
    /// Sizes by section.
    pub sections: Vec<SectionSize>,
}

impl Compared {
    /// Nothing differs that should not, and nothing is left untold, data without a name included.
    pub fn tells_all(&self) -> bool {
        self.differences.is_empty() && self.untold == 0 && self.in_place
    }
}

/// The most differences that are told.
const MOST: usize = 400;

/// Compares two outputs.
///
/// # Errors
/// One of them is no ELF file.
pub fn compare(in_process: &[u8], distributed: &[u8]) -> Result<Compared, String> {
    let (a, b) = (image::read(in_process)?, image::read(distributed)?);
    let sections = output_facts::sizes(&a, &b);
    let differing_sections = differing_sections(&a, &b);
    if in_process == distributed || (differing_sections.is_empty() && same_tables(&a, &b)) {
        return Ok(Compared {
            identical: true,
            differing_sections: Vec::new(),
            differences: Vec::new(),
            allowed: Vec::new(),
            untold: 0,
            in_place: true,
            sections,
        });
    }
    let (places_a, places_b) = (Places::of(&a), Places::of(&b));
    let pair = Pair {
        a: &places_a,
        b: &places_b,
    };
    let mut facts = output_facts::compare(&pair);
    let mut untold = 0;
    if !differing_sections.is_empty() {
        untold = contents(&pair, &mut facts.differences);
        constructors(&pair, &mut facts);
    }
    facts.differences.truncate(MOST);
    Ok(Compared {
        identical: false,
        differing_sections,
        differences: facts.differences,
        allowed: facts.allowed,
        untold,
        in_place: same_in_place(&pair),
        sections,
    })
}

fn differing_sections(a: &Image<'_>, b: &Image<'_>) -> Vec<String> {
    let (a, b): (Vec<_>, HashMap<_, _>) = (image::by_name(a), image::by_name(b).into_iter().collect());
    let mut differing: Vec<String> = Vec::new();
    let mut others = b;
    for (key, section) in a {
        let other = others.remove(&key);
        if section.is_table() || section.is_build_id() {
            continue;
        }
        let is_same = other.is_some_and(|other| {
            let place = |one: &image::Section<'_>| (one.address, one.size, one.flags, one.kind);
            let relocations = |one: &image::Section<'_>| {
                one.relocations
                    .iter()
                    .map(|r| (r.offset, r.kind, r.target.clone(), r.addend))
                    .collect::<Vec<_>>()
            };
            place(section) == place(other) && section.data == other.data && relocations(section) == relocations(other)
        });
        if !is_same {
            differing.push(key.0);
        }
    }
    let left = others
        .into_iter()
        .filter(|(_, section)| !section.is_table() && !section.is_build_id());
    differing.extend(left.map(|((name, _), _)| name));
    differing
}

/// Sections of entries that are compared by their names, wherever they stand.
const BY_NAME: [u32; 9] = [
    elf::SHT_DYNSYM,
    elf::SHT_STRTAB,
    elf::SHT_RELA,
    elf::SHT_REL,
    elf::SHT_HASH,
    elf::SHT_GNU_HASH,
    elf::SHT_GNU_VERSYM,
    elf::SHT_GNU_VERDEF,
    elf::SHT_GNU_VERNEED,
];

/// Whether all else has the same bytes at the same place, or words that mean the same.
fn same_in_place(pair: &Pair<'_, '_, '_>) -> bool {
    let kept = |image: &Image<'_>| {
        let sections = image.sections.iter().enumerate();
        let kept = sections.filter(|(_, one)| !one.is_table() && !one.is_build_id() && !BY_NAME.contains(&one.kind));
        kept.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let (a, b) = (pair.a.image, pair.b.image);
    let (in_a, in_b) = (kept(a), kept(b));
    let is_same = |(one, other): (&usize, &usize)| {
        let (x, y) = (&a.sections[*one], &b.sections[*other]);
        let place = |one: &image::Section<'_>| (one.name.clone(), one.address, one.size, one.flags, one.kind);
        let is_same = match x.is_loaded() || a.is_relocatable {
            // Which slot is whose is told by what refers to it.
            true if x.name.starts_with(".got") || x.name.starts_with(".plt") => true,
            true => pair.same_bytes((*one, x.address), (*other, y.address), x.size) == Sameness::Same,
            // It has no address, and nothing is relocated in it.
            false => x.data == y.data,
        };
        place(x) == place(y) && is_same
    };
    in_a.len() == in_b.len() && in_a.iter().zip(&in_b).all(is_same)
}

fn same_tables(a: &Image<'_>, b: &Image<'_>) -> bool {
    let tables = |image: &Image<'_>| {
        let all = image::by_name(image)
            .into_iter()
            .filter(|(_, section)| section.is_table());
        all.map(|(name, section)| (name, section.data.to_vec()))
            .collect::<Vec<_>>()
    };
    tables(a) == tables(b) && a.entry == b.entry && a.header == b.header
}

/// Compares each symbol's contents; how many could not be told.
fn contents(pair: &Pair<'_, '_, '_>, differences: &mut Vec<Difference>) -> usize {
    type Key<'k> = (&'k str, bool, u64, &'k str);
    fn keyed<'i>(image: &'i Image<'_>) -> HashMap<Key<'i>, Vec<&'i Symbol>> {
        let mut all: HashMap<Key<'i>, Vec<&'i Symbol>> = HashMap::new();
        for symbol in image.symbols.iter().filter(|symbol| symbol.has_contents()) {
            let Some(section) = symbol.section.and_then(|index| image.sections.get(index)) else {
                continue;
            };
            let key = (
                symbol.name.as_str(),
                symbol.is_local(),
                symbol.size,
                section.name.as_str(),
            );
            all.entry(key).or_default().push(symbol);
        }
        all
    }
    let (a, mut b) = (keyed(pair.a.image), keyed(pair.b.image));
    let mut names: Vec<_> = a.keys().copied().collect();
    names.sort_unstable();
    let mut untold = 0;
    for key in names {
        // What only one side has is told already, by its name.
        let (Some(ones), Some(others)) = (a.get(&key), b.get_mut(&key)) else {
            continue;
        };
        for one in ones {
            if others.is_empty() {
                break;
            }
            let (at, worst) = best(pair, one, others);
            let other = others.swap_remove(at);
            match worst {
                Sameness::Same => {}
                Sameness::Untold => untold += 1,
                Sameness::Different => differences.push(different(pair, one, other)),
            }
        }
    }
    untold
}

/// Of those of one name, the one that is most alike; one of the same source file, if there is a choice.
fn best(pair: &Pair<'_, '_, '_>, one: &Symbol, others: &[&Symbol]) -> (usize, Sameness) {
    let mut order: Vec<usize> = (0..others.len()).collect();
    order.sort_by_key(|at| others[*at].file != one.file);
    let mut found = (order[0], Sameness::Different);
    for at in order {
        let (Some(in_a), Some(in_b)) = (one.section, others[at].section) else {
            continue;
        };
        let sameness = pair.same_bytes((in_a, one.address), (in_b, others[at].address), one.size);
        if sameness == Sameness::Same {
            return (at, sameness);
        }
        if sameness < found.1 {
            found = (at, sameness);
        }
    }
    found
}

fn different(pair: &Pair<'_, '_, '_>, one: &Symbol, other: &Symbol) -> Difference {
    let said = |image: &Image<'_>, symbol: &Symbol| {
        let section = symbol.section.and_then(|index| image.sections.get(index));
        let start = usize::try_from(symbol.address - section.map_or(0, |section| section.address));
        let size = usize::try_from(symbol.size).unwrap_or_default();
        let bytes = section
            .zip(start.ok())
            .and_then(|(section, start)| section.data.get(start..start + size));
        let hash = blake3::hash(bytes.unwrap_or_default()).to_hex();
        format!("{} bytes, {}", symbol.size, &hash[..16])
    };
    Difference {
        aspect: if one.is_code() { "code" } else { "data" }.to_owned(),
        name: one.name.clone(),
        in_process: said(pair.a.image, one),
        distributed: said(pair.b.image, other),
    }
}

/// Constructors run in the order of their table, which is that of the objects.
fn constructors(pair: &Pair<'_, '_, '_>, facts: &mut output_facts::Found) {
    for name in [".init_array", ".fini_array", ".ctors", ".dtors"] {
        let find = |image: &Image<'_>| image.sections.iter().position(|section| section.name == name);
        let (Some(in_a), Some(in_b)) = (find(pair.a.image), find(pair.b.image)) else {
            continue;
        };
        let (a, b) = (&pair.a.image.sections[in_a], &pair.b.image.sections[in_b]);
        if a.size != b.size || a.kind == elf::SHT_NOBITS {
            continue;
        }
        let same = pair.same_bytes((in_a, a.address), (in_b, b.address), a.size);
        if same == Sameness::Different {
            facts
                .allowed
                .push(format!("{name}: the same number of entries, in another order"));
        }
    }
}
