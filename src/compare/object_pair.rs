//! Two native objects of one module that are not byte for byte the same: of what sort the difference is, and in which
//! functions and data. Knows nothing of links, nor of how code reads.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::image::{self, Image, Relocation, Section, Symbol, Target};
use super::verdict::{Kind, SymbolDifference};

/// What two objects do not have in common.
#[derive(Debug, Default)]
pub struct Found {
    /// The worst of it; none where only what nobody reads differs.
    pub kind: Option<Kind>,
    /// Sections that differ.
    pub sections: Vec<String>,
    /// Functions and data that differ.
    pub symbols: Vec<SymbolDifference>,
}

/// Compares two objects.
///
/// # Errors
/// One of them is no ELF file.
pub fn compare(in_process: &[u8], distributed: &[u8]) -> Result<Found, String> {
    let (a, b) = (image::read(in_process)?, image::read(distributed)?);
    let differing = differing_sections(&a, &b);
    let same_symbols = symbols(&a) == symbols(&b);
    let is_debug = |name: &String| {
        let sections = a.sections.iter().chain(&b.sections);
        sections.filter(|section| section.name == *name).all(Section::is_debug)
    };
    let kind = match (differing.is_empty(), same_symbols) {
        (true, true) => Kind::SymbolOrder,
        (false, true) if differing.iter().all(is_debug) => Kind::DebugInfo,
        _ => Kind::Other,
    };
    let symbols = if kind == Kind::Other {
        differing_symbols(&a, &b)
    } else {
        Vec::new()
    };
    let worst = match kind {
        Kind::Other if symbols.iter().any(|symbol| symbol.is_code) => Kind::Code,
        Kind::Other if !symbols.is_empty() => Kind::Data,
        Kind::Other if !same_symbols => Kind::Symbols,
        kind => kind,
    };
    Ok(Found {
        kind: Some(worst),
        sections: differing.into_iter().collect(),
        symbols,
    })
}

/// A relocation as one says it: offset, kind, target, addend.
type Said = (u64, u32, String, i64);

fn said(image: &Image<'_>, relocation: &Relocation, start: u64) -> Said {
    let target = match &relocation.target {
        Target::None => String::new(),
        Target::Symbol(name) => name.clone(),
        Target::Section(index) => image.sections.get(*index).map(|s| s.name.clone()).unwrap_or_default(),
    };
    (
        relocation.offset.saturating_sub(start),
        relocation.kind,
        target,
        relocation.addend,
    )
}

fn differing_sections(a: &Image<'_>, b: &Image<'_>) -> BTreeSet<String> {
    type Contents<'i> = (&'i [u8], u64, u32, u64, Vec<Said>);
    fn contents<'i>(image: &'i Image<'_>) -> BTreeMap<(String, usize), Contents<'i>> {
        let sections = image::by_name(image)
            .into_iter()
            .filter(|(_, section)| !section.is_table());
        sections
            .map(|(name, section)| {
                let relocations = section.relocations.iter().map(|one| said(image, one, 0)).collect();
                (
                    name,
                    (section.data, section.size, section.kind, section.flags, relocations),
                )
            })
            .collect()
    }
    let (a, b) = (contents(a), contents(b));
    let names = a.keys().chain(b.keys());
    names
        .filter(|name| a.get(*name) != b.get(*name))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Every symbol with all that is said of it, in the order of names.
fn symbols<'i>(image: &'i Image<'_>) -> Vec<(&'i str, u8, u8, u8, u64, u64, &'i str)> {
    let mut all: Vec<_> = image
        .symbols
        .iter()
        .map(|symbol| {
            let section = symbol.section.and_then(|index| image.sections.get(index));
            let section = section.map_or("", |section| section.name.as_str());
            let Symbol {
                kind,
                binding,
                visibility,
                size,
                address,
                ..
            } = *symbol;
            (symbol.name.as_str(), kind, binding, visibility, size, address, section)
        })
        .collect();
    all.sort_unstable();
    all
}

/// By name, and how many of that name came before: whether it is code, its bytes and its relocations.
type Bodies<'i> = BTreeMap<(&'i str, usize), (bool, &'i [u8], Vec<Said>)>;

/// Bytes and relocations of each symbol with contents; of several local ones with one name, in their order.
fn bodies<'i>(image: &'i Image<'_>) -> Bodies<'i> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut bodies = BTreeMap::new();
    for symbol in image.symbols.iter().filter(|symbol| symbol.has_contents()) {
        let Some(section) = symbol.section.and_then(|index| image.sections.get(index)) else {
            continue;
        };
        let number = seen.entry(&symbol.name).or_default();
        *number += 1;
        let (start, end) = (symbol.address, symbol.address.saturating_add(symbol.size));
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let bytes = range
            .and_then(|(start, end)| section.data.get(start..end))
            .unwrap_or_default();
        let within = section
            .relocations
            .iter()
            .filter(|one| (start..end).contains(&one.offset));
        let relocations = within.map(|one| said(image, one, start)).collect();
        bodies.insert((symbol.name.as_str(), *number), (symbol.is_code(), bytes, relocations));
    }
    bodies
}

fn differing_symbols(a: &Image<'_>, b: &Image<'_>) -> Vec<SymbolDifference> {
    let (a, b) = (bodies(a), bodies(b));
    let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let mut found = Vec::new();
    for key in keys {
        let (what, is_code) = match (a.get(key), b.get(key)) {
            (Some(one), Some(other)) if one == other => continue,
            (Some(one), Some(_)) => ("differs", one.0),
            (Some(one), None) => ("only in-process", one.0),
            (None, Some(other)) => ("only distributed", other.0),
            (None, None) => continue,
        };
        found.push(SymbolDifference {
            name: key.0.to_owned(),
            what: what.to_owned(),
            is_code,
            listing: Vec::new(),
        });
    }
    // Code first: it is what is looked for.
    found.sort_by_key(|symbol| !symbol.is_code);
    found
}
