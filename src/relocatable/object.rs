//! One object with other names for some of its sections, and all else as it was. Knows nothing of why.

use object::elf::{FileHeader32, FileHeader64};
use object::pod::bytes_of_slice;
use object::read::elf::SectionHeader;
use object::{Endianness, FileKind};

use super::class::Class;
use super::naming::Renaming;

/// What is to be written over a copy of the object.
#[derive(Debug)]
pub(super) struct Patch {
    /// Where the section headers are.
    pub at: u64,
    /// They.
    pub headers: Vec<u8>,
    /// What goes behind the object: its section names and the new ones. The old table stays where it is, for symbols' names
    /// may be in it.
    pub names: Vec<u8>,
}

/// # Errors
/// It is no object that can be read, or one that is too long.
pub(super) fn patch(bytes: &[u8], renamings: &[Renaming]) -> Result<Patch, String> {
    let kind = FileKind::parse(bytes).map_err(|error| error.to_string())?;
    match kind {
        FileKind::Elf32 => patch_class::<FileHeader32<Endianness>>(bytes, renamings),
        _ => patch_class::<FileHeader64<Endianness>>(bytes, renamings),
    }
}

fn patch_class<Elf: Class>(bytes: &[u8], renamings: &[Renaming]) -> Result<Patch, String> {
    let damaged = |error: object::Error| error.to_string();
    let too_long = || "too long".to_owned();
    let header = Elf::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let mut headers = header.section_headers(endian, bytes).map_err(damaged)?.to_vec();
    let table = header.section_strings_index(endian, bytes).map_err(damaged)?.0;
    let strings = headers.get_mut(table).ok_or("no section names")?;
    let mut names = strings.data(endian, bytes).map_err(damaged)?.to_vec();
    let room: usize = renamings.iter().map(|renaming| renaming.name.len() + 1).sum();
    let size = (names.len() + room) as u64;
    Elf::section_at(strings, endian, bytes.len() as u64, size).map_err(|_| too_long())?;
    names.reserve_exact(room);
    for renaming in renamings {
        let at = u32::try_from(names.len()).map_err(|_| too_long())?;
        let section = headers.get_mut(renaming.section).ok_or("a section is gone")?;
        Elf::name_at(section, endian, at);
        names.extend_from_slice(&renaming.name);
        names.push(0);
    }
    Ok(Patch {
        at: header.e_shoff(endian).into(),
        headers: bytes_of_slice(&headers).to_vec(),
        names,
    })
}
