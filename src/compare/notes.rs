//! Notes of two images, one by one: the same owner, kind and words, with addresses in them taken for what stands there
//! (SystemTap's probes say where they are). Knows nothing of what a note is for.

use object::elf;

use super::image::{Image, Section};
use super::places::{Pair, Sameness};

/// A note: the section it is in, and where its description stands.
struct Note<'i> {
    section: usize,
    owner: &'i [u8],
    kind: u32,
    address: u64,
    description: &'i [u8],
}

/// Names of sections of notes, but for the build's number.
pub fn names<'i>(image: &'i Image<'_>) -> impl Iterator<Item = &'i str> {
    let sections = image.sections.iter().filter(|section| is_of_notes(section));
    sections.map(|section| section.name.as_str())
}

fn is_of_notes(section: &Section<'_>) -> bool {
    section.kind == elf::SHT_NOTE && !section.is_build_id()
}

/// What only one of the images says in sections of this name: in-process, and distributed. None where they say the same.
pub fn compare(pair: &Pair<'_, '_, '_>, name: &str) -> Option<(String, String)> {
    let (mut lone, mut theirs) = (Vec::new(), all(pair.b.image, name));
    for one in all(pair.a.image, name) {
        match theirs.iter().position(|other| same(pair, &one, other)) {
            Some(at) => drop(theirs.swap_remove(at)),
            None => lone.push(one),
        }
    }
    (!lone.is_empty() || !theirs.is_empty()).then(|| (said(&lone), said(&theirs)))
}

fn all<'i>(image: &'i Image<'_>, name: &str) -> Vec<Note<'i>> {
    let sections = image.sections.iter().enumerate();
    let sections = sections.filter(|(_, section)| section.name == name && is_of_notes(section));
    sections
        .flat_map(|(number, section)| of_section(image, number, section))
        .collect()
}

/// Of what is damaged, the rest is one note.
fn of_section<'i>(image: &Image<'_>, number: usize, section: &'i Section<'_>) -> Vec<Note<'i>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(rest) = section.data.get(at..).filter(|rest| !rest.is_empty()) {
        let (note, taken) = first(image, rest, section.align).unwrap_or((
            Note {
                section: 0,
                owner: &[],
                kind: 0,
                address: 0,
                description: rest,
            },
            rest.len(),
        ));
        found.push(Note {
            section: number,
            address: section.address.wrapping_add(at as u64 + note.address),
            ..note
        });
        at += taken;
    }
    found
}

/// The first note of some bytes, its address counted from there, and where the next one begins.
fn first<'i>(image: &Image<'_>, bytes: &'i [u8], align: u64) -> Option<(Note<'i>, usize)> {
    let word = |at: usize| {
        let four = *bytes.get(at..)?.first_chunk()?;
        Some(if image.is_little {
            u32::from_le_bytes(four)
        } else {
            u32::from_be_bytes(four)
        })
    };
    let length = |at: usize| usize::try_from(word(at)?).ok();
    let padded = |at: usize| at.checked_next_multiple_of(if align == 8 { 8 } else { 4 });
    let (owner, description) = (length(0)?, length(4)?);
    let owner = bytes.get(12..12_usize.checked_add(owner)?)?;
    let start = padded(12 + owner.len())?;
    let end = start.checked_add(description)?;
    let note = Note {
        section: 0,
        owner,
        kind: word(8)?,
        address: start as u64,
        description: bytes.get(start..end)?,
    };
    Some((note, padded(end)?.min(bytes.len())))
}

fn same(pair: &Pair<'_, '_, '_>, one: &Note<'_>, other: &Note<'_>) -> bool {
    let facts = |note: &Note<'_>| (note.kind, note.description.len());
    if facts(one) != facts(other) || one.owner != other.owner {
        return false;
    }
    let (a, b) = ((one.section, one.address), (other.section, other.address));
    one.description.is_empty() || pair.same_bytes(a, b, one.description.len() as u64) == Sameness::Same
}

fn said(notes: &[Note<'_>]) -> String {
    let said = notes.iter().map(|note| {
        let owner = String::from_utf8_lossy(note.owner.split(|byte| *byte == 0).next().unwrap_or_default());
        let hash = blake3::hash(note.description).to_hex();
        format!(
            "{owner} {:#x}, {} bytes, {}",
            note.kind,
            note.description.len(),
            &hash[..16]
        )
    });
    said.collect::<Vec<_>>().join("; ")
}
