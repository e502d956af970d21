//! Names put back in what lld has written of renamed sections: the file is then what it writes of the objects as they were.
//! Knows nothing of the link. lld puts `.shstrtab` together of its sections' names, each once, in their order
//! (lld/ELF/SyntheticSections.cpp `StringTableSection`), and only `.strtab` and the section headers stand behind it; of a
//! file for which that is not so nothing is put back.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use object::elf::{FileHeader32, FileHeader64, SHT_NOBITS};
use object::pod::{bytes_of, bytes_of_slice};
use object::read::elf::SectionHeader;
use object::{Endianness, FileKind};

use super::MARK;
use super::class::Class;
use super::naming::unmarked;
use crate::sys;

/// The file's end as it is to be, and its header, which says where that is.
struct End {
    /// Where it begins.
    at: u64,
    bytes: Vec<u8>,
    header: Vec<u8>,
    /// Sections whose names are put back.
    count: usize,
}

/// Puts the names back in `file` and says how many there were.
///
/// # Errors
/// It is not what lld writes, or the file system says so. The file is not of use then.
pub(super) fn put_back(file: &Path) -> Result<usize, String> {
    let failed = |error: io::Error| error.to_string();
    let opened = OpenOptions::new().read(true).write(true).open(file).map_err(failed)?;
    let end = end_of(&opened)?;
    opened.write_all_at(&end.header, 0).map_err(failed)?;
    opened.write_all_at(&end.bytes, end.at).map_err(failed)?;
    opened.set_len(end.at + end.bytes.len() as u64).map_err(failed)?;
    Ok(end.count)
}

fn end_of(file: &File) -> Result<End, String> {
    let map = sys::map(file).map_err(|error| error.to_string())?;
    match FileKind::parse(&*map).map_err(|error| error.to_string())? {
        FileKind::Elf32 => end_of_class::<FileHeader32<Endianness>>(&map),
        _ => end_of_class::<FileHeader64<Endianness>>(&map),
    }
}

fn end_of_class<Elf: Class>(bytes: &[u8]) -> Result<End, String> {
    let damaged = |error: object::Error| error.to_string();
    let too_far = |_| "too long".to_owned();
    let header = Elf::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let sections = header.section_headers(endian, bytes).map_err(damaged)?;
    let strings_at = header.section_strings_index(endian, bytes).map_err(damaged)?.0;
    let table = header.sections(endian, bytes).map_err(damaged)?;
    let strings = sections.get(strings_at).ok_or("no section names")?;
    let before = strings.data(endian, bytes).map_err(damaged)?;
    let at: u64 = strings.sh_offset(endian).into();
    let names: Result<Vec<&[u8]>, _> = sections
        .iter()
        .map(|section| table.section_name(endian, section))
        .collect();
    let names = names.map_err(damaged)?;
    let old = Strings::of(names.iter().map(|name| Cow::Borrowed(*name)));
    if old.bytes != before {
        return Err("section names are not in the order of sections".into());
    }
    let mut count = 0;
    let new = Strings::of(names.iter().map(|name| {
        unmarked(name).map_or(Cow::Borrowed(*name), |old| {
            count += usize::from(name.first() == Some(&MARK));
            Cow::Owned(old)
        })
    }));

    let mut headers = sections.to_vec();
    for (section, name) in headers.iter_mut().zip(&new.places) {
        Elf::name_at(section, endian, *name);
    }
    let mut end = new.bytes;
    let mut old_end = at + before.len() as u64;
    if let Some(strings) = headers.get_mut(strings_at) {
        Elf::section_at(strings, endian, at, end.len() as u64).map_err(too_far)?;
    }
    let later = |section: &Elf::SectionHeader| section.sh_offset(endian).into() > at;
    if headers.iter().take(strings_at).any(later) {
        return Err("a section stands behind its names".into());
    }
    for section in headers.iter_mut().skip(strings_at + 1) {
        let (offset, size): (u64, u64) = (section.sh_offset(endian).into(), section.sh_size(endian).into());
        let align = section.sh_addralign(endian).into().max(1);
        if section.sh_type(endian) == SHT_NOBITS || Some(offset) != old_end.checked_next_multiple_of(align) {
            return Err("sections behind their names do not stand close".into());
        }
        let place = pad(&mut end, at, align);
        end.extend_from_slice(section.data(endian, bytes).map_err(damaged)?);
        Elf::section_at(section, endian, place, size).map_err(too_far)?;
        old_end = offset + size;
    }
    let old_headers: u64 = header.e_shoff(endian).into();
    let headers_len = size_of_val(headers.as_slice()) as u64;
    if old_end.checked_next_multiple_of(Elf::WORD) != Some(old_headers)
        || old_headers + headers_len != bytes.len() as u64
    {
        return Err("section headers are not the last thing".into());
    }
    let mut header = *header;
    let place = pad(&mut end, at, Elf::WORD);
    Elf::headers_at(&mut header, endian, place).map_err(too_far)?;
    end.extend_from_slice(bytes_of_slice(&headers));
    Ok(End {
        at,
        bytes: end,
        header: bytes_of(&header).to_vec(),
        count,
    })
}

/// Fills what stands in the file from `at` on up to where `align` lets something begin, and says where that is.
fn pad(bytes: &mut Vec<u8>, at: u64, align: u64) -> u64 {
    let end = at + bytes.len() as u64;
    let place = end.next_multiple_of(align);
    bytes.extend((end..place).map(|_| 0));
    place
}

/// A string table as lld makes it.
struct Strings {
    bytes: Vec<u8>,
    /// Where in it each name is.
    places: Vec<u32>,
}

impl Strings {
    fn of<'a>(names: impl Iterator<Item = Cow<'a, [u8]>>) -> Strings {
        let mut bytes = vec![0];
        let mut known: HashMap<Cow<'a, [u8]>, u32> = HashMap::from([(Cow::Borrowed(&[][..]), 0)]);
        let places = names.map(|name| {
            *known.entry(name).or_insert_with_key(|name| {
                let place = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                bytes.extend_from_slice(name);
                bytes.push(0);
                place
            })
        });
        let places = places.collect();
        Strings { bytes, places }
    }
}
