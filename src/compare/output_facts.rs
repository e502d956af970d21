//! What two outputs say of themselves: header, sections, symbols, relocations, libraries they need, notes.
//! Knows nothing of the bytes of code and data, nor of where things stand.

use std::collections::{BTreeMap, BTreeSet};

use object::elf;

use super::dynamic_relocations::PACKED;
use super::image::{self, Image, Section, Symbol, Target};
use super::notes;
use super::personalities;
use super::places::{PADDING, Pair};
use super::verdict::{Difference, SectionSize};

/// lld takes no heed of COMDATs in its own LTO objects, so that in-process outputs hold these pointers (to what handles
/// exceptions) once for each module; native objects share one.
const DUPLICATED: &str = "DW.ref.";

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What differs and should not.
    pub differences: Vec<Difference>,
    /// What differs and may.
    pub allowed: Vec<String>,
}

/// How often each of some things is there.
fn counted<T: Ord>(things: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for thing in things {
        *counts.entry(thing).or_default() += 1;
    }
    counts
}

impl Found {
    fn differ(
        &mut self,
        aspect: &str,
        name: impl Into<String>,
        in_process: impl Into<String>,
        distributed: impl Into<String>,
    ) {
        self.differences.push(Difference {
            aspect: aspect.to_owned(),
            name: name.into(),
            in_process: in_process.into(),
            distributed: distributed.into(),
        });
    }

    /// Things with a name and what is said of them: which only one side has, or has otherwise.
    fn sets(
        &mut self,
        aspect: &str,
        a: impl Iterator<Item = (String, String)>,
        b: impl Iterator<Item = (String, String)>,
    ) {
        let (a, b) = (counted(a), counted(b));
        let mut names: BTreeMap<&str, (Vec<String>, Vec<String>)> = BTreeMap::new();
        for ((name, said), count) in &a {
            let other = b.get(&(name.clone(), said.clone())).copied().unwrap_or_default();
            if *count > other {
                names.entry(name).or_default().0.push(times(said, count - other));
            }
        }
        for ((name, said), count) in &b {
            let other = a.get(&(name.clone(), said.clone())).copied().unwrap_or_default();
            if *count > other {
                names.entry(name).or_default().1.push(times(said, count - other));
            }
        }
        for (name, (one, other)) in names {
            self.differ(aspect, name, one.join("; "), other.join("; "));
        }
    }
}

fn times(said: &str, count: usize) -> String {
    match (count, said) {
        (1, "") => "present".to_owned(),
        (1, said) => said.to_owned(),
        (count, "") => format!("{count} times"),
        (count, said) => format!("{said} ({count} times)"),
    }
}

const KINDS: [&str; 11] = [
    "notype", "object", "func", "section", "file", "common", "tls", "7", "8", "9", "ifunc",
];
const BINDINGS: [&str; 3] = ["local", "global", "weak"];
const VISIBILITIES: [&str; 4] = ["default", "internal", "hidden", "protected"];

fn word<'w>(words: &[&'w str], at: u8) -> &'w str {
    words.get(usize::from(at)).copied().unwrap_or("other")
}

fn said(image: &Image<'_>, symbol: &Symbol) -> String {
    let section = match symbol.section.and_then(|index| image.sections.get(index)) {
        Some(section) => section.name.as_str(),
        None if symbol.is_undefined => "undefined",
        None => "absolute",
    };
    format!(
        "{} {} {} {}, {} bytes",
        word(&BINDINGS, symbol.binding),
        word(&VISIBILITIES, symbol.visibility),
        word(&KINDS, symbol.kind),
        section,
        symbol.size
    )
}

/// Compares all of it.
pub fn compare(pair: &Pair<'_, '_, '_>) -> Found {
    let (a, b) = (pair.a.image, pair.b.image);
    let mut found = Found::default();
    for (one, other) in a.header.iter().zip(&b.header).filter(|(one, other)| one != other) {
        found.differ("header", one.0, format!("{:#x}", one.1), format!("{:#x}", other.1));
    }
    if a.entry != b.entry && !pair.same_place(a.entry, b.entry) {
        found.differ("header", "entry", pair.a.describe(a.entry), pair.b.describe(b.entry));
    }
    let extra = duplicates(&mut found, a, b);
    sections(&mut found, a, b, extra);
    symbols(&mut found, a, b);
    dynamic(&mut found, pair);
    said_to_others(&mut found, pair);
    if a.is_relocatable {
        let all = |image: &Image<'_>| {
            let each = image
                .sections
                .iter()
                .filter(|section| !section.is_debug())
                .flat_map(|section| {
                    section.relocations.iter().filter_map(|one| match &one.target {
                        Target::Symbol(name) => Some((name.clone(), format!("{} in {}", one.kind, section.name))),
                        _ => None,
                    })
                });
            each.collect::<Vec<_>>().into_iter()
        };
        found.sets("relocation", all(a), all(b));
    }
    found
}

/// What pointers that may be there twice lead to.
fn personalities<'i>(images: [&'i Image<'_>; 2]) -> BTreeSet<&'i str> {
    let symbols = images.into_iter().flat_map(|image| &image.symbols);
    let named = symbols.filter_map(|symbol| symbol.name.strip_prefix(DUPLICATED));
    named.chain(images.into_iter().flat_map(personalities::of)).collect()
}

/// How many more such pointers one of the outputs has at most.
fn duplicates(found: &mut Found, a: &Image<'_>, b: &Image<'_>) -> u64 {
    let names = personalities([a, b]);
    if names.is_empty() {
        return 0;
    }
    let count = |image: &Image<'_>| {
        let relocations = image.dynamic_relocations.iter().map(|one| &one.target);
        relocations
            .filter(|target| matches!(target, Target::Symbol(name) if names.contains(name.as_str())))
            .count() as u64
    };
    let (in_process, distributed) = (count(a), count(b));
    if in_process != distributed {
        found.allowed.push(format!(
            "{in_process} pointers to {} in-process, {distributed} distributed: of each LTO object's own lld drops none",
            names.iter().copied().collect::<Vec<_>>().join(", ")
        ));
    }
    // Where they are not told apart by relocations there is one for each source file at most.
    let files: BTreeSet<&str> = a.symbols.iter().map(|symbol| symbol.file.as_str()).collect();
    in_process.abs_diff(distributed).max(files.len() as u64)
}

/// Sections whose size tells how many entries they have, whatever their order.
const COUNTED: [&str; 8] = [
    ".dynsym",
    ".init_array",
    ".fini_array",
    ".preinit_array",
    ".interp",
    ".gnu.version",
    ".gnu.version_r",
    ".gnu.version_d",
];

fn sections(found: &mut Found, a: &Image<'_>, b: &Image<'_>, extra: u64) {
    let known = |image: &Image<'_>| {
        let sections = image::by_name(image)
            .into_iter()
            .filter(|(_, section)| !section.is_table() && section.size > 0);
        let described: Vec<_> = sections
            .map(|((name, _), section)| (name, format!("type {:#x}, flags {:#x}", section.kind, section.flags)))
            .collect();
        described.into_iter()
    };
    found.sets("section", known(a), known(b));
    let sizes = sizes(a, b);
    for size in sizes.iter().filter(|size| size.in_process != size.distributed) {
        let Some(section) = a.sections.iter().find(|section| section.name == size.name) else {
            continue;
        };
        if size.in_process == 0
            || size.distributed == 0
            || section.is_table()
            || !section.is_loaded()
            || section.name == PADDING
            // How well places pack depends on where they are.
            || PACKED.contains(&section.kind)
        {
            continue;
        }
        let slack = if COUNTED.contains(&section.name.as_str()) {
            0
        } else {
            slack(a, section, extra)
        };
        if size.in_process.abs_diff(size.distributed) > slack {
            found.differ(
                "section size",
                &size.name,
                size.in_process.to_string(),
                size.distributed.to_string(),
            );
        }
    }
}

/// What the order of pieces can make of a section's size: each may be padded otherwise; and what duplicates take.
fn slack(image: &Image<'_>, section: &Section<'_>, extra: u64) -> u64 {
    let index = image.sections.iter().position(|one| one.name == section.name);
    let pieces = image.symbols.iter().filter(|symbol| symbol.section == index).count() as u64;
    pieces * section.align.clamp(1, 64) + 64 * extra + 64
}

/// Sections of both by name, those of one name added up.
pub fn sizes(a: &Image<'_>, b: &Image<'_>) -> Vec<SectionSize> {
    let mut order: Vec<SectionSize> = Vec::new();
    let mut add = |sections: &[Section<'_>], put: fn(&mut SectionSize, u64)| {
        for section in sections.iter().filter(|section| section.kind != elf::SHT_NULL) {
            let at = match order.iter().position(|size| size.name == section.name) {
                Some(at) => at,
                None => {
                    order.push(SectionSize {
                        name: section.name.clone(),
                        loaded: section.is_loaded(),
                        in_process: 0,
                        distributed: 0,
                    });
                    order.len() - 1
                }
            };
            put(&mut order[at], section.size);
        }
    };
    add(&a.sections, |size, bytes| size.in_process += bytes);
    add(&b.sections, |size, bytes| size.distributed += bytes);
    order
}

fn symbols(found: &mut Found, a: &Image<'_>, b: &Image<'_>) {
    fn of<'i>(image: &'i Image<'_>, local: bool) -> impl Iterator<Item = (String, String)> + 'i {
        let all = image.symbols.iter().filter(move |symbol| symbol.is_local() == local);
        all.filter(|symbol| !symbol.name.starts_with(DUPLICATED))
            .map(|symbol| (symbol.name.clone(), said(image, symbol)))
    }
    found.sets("symbol", of(a, false), of(b, false));
    found.sets("local symbol", of(a, true), of(b, true));
}

/// Tags of the dynamic section that mean the same wherever things stand.
const TAGS: [(i64, &str); 10] = [
    (elf::DT_NEEDED, "needed library"),
    (elf::DT_SONAME, "soname"),
    (elf::DT_RPATH, "rpath"),
    (elf::DT_RUNPATH, "runpath"),
    (elf::DT_AUXILIARY, "auxiliary filter"),
    (elf::DT_FILTER, "filter"),
    (elf::DT_FLAGS, "dynamic flags"),
    (elf::DT_FLAGS_1, "dynamic flags"),
    (elf::DT_TEXTREL, "text relocations"),
    (elf::DT_SYMBOLIC, "symbolic"),
];

fn dynamic(found: &mut Found, pair: &Pair<'_, '_, '_>) {
    let (a, b) = (pair.a.image, pair.b.image);
    for (tag, aspect) in TAGS {
        let of = |image: &Image<'_>| {
            let all = image.dynamic.iter().filter(|(one, _)| *one == tag);
            all.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let (one, other) = (of(a), of(b));
        if one != other {
            found.differ(aspect, "", one.join(", "), other.join(", "));
        }
    }
    let symbols = |image: &Image<'_>| {
        let all = image.dynamic_symbols.iter();
        let all: Vec<_> = all
            .map(|one| (format!("{}{}", one.name, one.version), said(image, one)))
            .collect();
        all.into_iter()
    };
    found.sets("dynamic symbol", symbols(a), symbols(b));
    let named = |image: &Image<'_>| {
        let all = image.dynamic_relocations.iter().filter_map(|one| match &one.target {
            Target::Symbol(name) => Some((name.clone(), format!("kind {}, addend {:#x}", one.kind, one.addend))),
            _ => None,
        });
        all.collect::<Vec<_>>().into_iter()
    };
    let names = personalities([a, b]);
    let single = |relocations: std::vec::IntoIter<(String, String)>| {
        relocations.filter(|(name, _)| !names.contains(name.as_str()))
    };
    found.sets("dynamic relocation", single(named(a)), single(named(b)));
    let segments = |image: &Image<'_>| {
        let all = image
            .segments
            .iter()
            .map(|(kind, flags, ..)| (format!("{kind:#x}"), format!("flags {flags}")));
        all.collect::<Vec<_>>().into_iter()
    };
    found.sets("segment", segments(a), segments(b));
}

/// What is read by loaders and people: notes, and sections that are compared as they are.
fn said_to_others(found: &mut Found, pair: &Pair<'_, '_, '_>) {
    let (a, b) = (pair.a.image, pair.b.image);
    let names: BTreeSet<&str> = notes::names(a).chain(notes::names(b)).collect();
    for name in names {
        if let Some((in_process, distributed)) = notes::compare(pair, name) {
            found.differ("note", name, in_process, distributed);
        }
    }
    let is_said = |section: &&Section<'_>| [".interp", ".comment"].contains(&section.name.as_str());
    let all = |image: &Image<'_>| {
        let sections = image.sections.iter().filter(is_said);
        let said: Vec<_> = sections.map(|one| (one.name.clone(), parts(one))).collect();
        said.into_iter()
    };
    found.sets("note", all(a), all(b));
}

/// A section's bytes; of texts, in the order of the alphabet.
fn parts(section: &Section<'_>) -> String {
    if section.name == ".comment" {
        let mut texts: Vec<_> = section
            .data
            .split(|byte| *byte == 0)
            .filter(|text| !text.is_empty())
            .collect();
        texts.sort_unstable();
        let texts: Vec<_> = texts.into_iter().map(String::from_utf8_lossy).collect();
        return texts.join(", ");
    }
    let hash = blake3::hash(section.data).to_hex();
    format!("{} bytes, {}", section.data.len(), &hash[..16])
}
