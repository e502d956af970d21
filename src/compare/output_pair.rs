//! Two outputs: whether they are the same byte for byte, section for section, or symbol for symbol in another order.
//! Knows nothing of the links that made them.

use std::collections::HashMap;

use object::elf;

use super::dynamic_relocations::PACKED;
use super::image::{self, Image, Symbol, Target};
use super::output_facts;
use super::places::{Pair, Places, Sameness};
use super::slots;
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
    pub untold: Vec<String>,
    /// Whether everything stands at one place in both and means the same there; entries of tables by their names.
    pub in_place: bool,
    /// Sizes by section.
    pub sections: Vec<SectionSize>,
}

impl Compared {
    /// Nothing differs that should not, and nothing is left untold, data without a name included.
    pub fn tells_all(&self) -> bool {
        self.differences.is_empty() && self.untold.is_empty() && self.in_place
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
            untold: Vec::new(),
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
    let mut untold = Vec::new();
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
    let (called_in_a, called_in_b) = (section_names(a), section_names(b));
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
            place(section) == place(other)
                && section.data == other.data
                && relocations(section, &called_in_a) == relocations(other, &called_in_b)
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

/// A section's name, and how many before it have that name.
type SectionName = (String, usize);

/// How sections are called, by their numbers: where one file has a table more, all behind it have other numbers.
fn section_names(image: &Image<'_>) -> Vec<SectionName> {
    let mut names = image::by_name(image).into_iter().map(|(name, _)| name);
    let sections = image.sections.iter();
    // `by_name` leaves null sections out.
    let named = sections.map(|section| match section.kind {
        elf::SHT_NULL => None,
        _ => names.next(),
    });
    named.map(Option::unwrap_or_default).collect()
}

/// A section's relocations, targets by name.
fn relocations<'s>(section: &'s image::Section<'_>, names: &'s [SectionName]) -> Vec<(u64, u32, Said<'s>, i64)> {
    let said = |target: &'s Target| match target {
        Target::None => Said::Nothing,
        Target::Symbol(name) => Said::Symbol(name),
        Target::Section(number) => names.get(*number).map_or(Said::Nothing, Said::Section),
    };
    let relocations = section.relocations.iter();
    relocations
        .map(|one| (one.offset, one.kind, said(&one.target), one.addend))
        .collect()
}

/// What a relocation refers to.
#[derive(PartialEq, Eq)]
enum Said<'s> {
    Nothing,
    Symbol(&'s str),
    Section(&'s SectionName),
}

/// Sections of entries that are compared by their names, wherever they stand.
const BY_NAME: [u32; 11] = [
    PACKED[0],
    PACKED[1],
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
            true if slots::holds_addresses(x) || slots::is_table(x) => true,
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

/// Compares each symbol's contents; which could not be told.
fn contents(pair: &Pair<'_, '_, '_>, differences: &mut Vec<Difference>) -> Vec<String> {
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
    let mut untold = Vec::new();
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
                Sameness::Untold => untold.push(one.name.clone()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Assembles a relocatable file whose data refer to other data by their section.
    fn assembled(name: &str, more: &str, data: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let (source, object) = (folder.path().join("f.s"), folder.path().join(name));
        let text = format!("{more}\n.section .one,\"aw\"\n.Lone: .quad 1\n.section .two,\"aw\"\n.quad {data}\n");
        std::fs::write(&source, text).unwrap();
        let mut clang = Command::new("clang-22");
        let clang = clang
            .args(["--target=x86_64-linux-gnu", "-c"])
            .arg(&source)
            .arg("-o")
            .arg(&object);
        assert!(clang.status().unwrap().success());
        std::fs::read(object).unwrap()
    }

    #[test]
    fn a_section_is_the_same_under_another_number() {
        let table = ".section .llvm_addrsig,\"e\",@0x6fff4c03";
        let (plain, shifted) = (assembled("a.o", "", ".Lone"), assembled("b.o", table, ".Lone"));
        assert_ne!(plain, shifted);
        let compared = compare(&plain, &shifted).unwrap();
        assert_eq!(compared.differing_sections, Vec::<String>::new());
        let other = assembled("c.o", table, ".Lone + 1");
        assert_eq!(compare(&plain, &other).unwrap().differing_sections, [".two"]);
    }
}
