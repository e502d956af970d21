//! What one object says of its sections, as far as lld places them by it in a relocatable output
//! (lld/ELF/LinkerScript.cpp `addInputSec`). Knows nothing of other objects.

use object::elf::{
    FileHeader32, FileHeader64, SHF_GROUP, SHF_LINK_ORDER, SHT_CREL, SHT_GROUP, SHT_NULL, SHT_REL, SHT_RELA,
    SHT_STRTAB, SHT_SYMTAB, SHT_SYMTAB_SHNDX,
};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, FileKind};

use super::MARK;

/// `SHT_LLVM_SYMPART`: a symbol that a partition begins at.
const SHT_LLVM_SYMPART: u32 = 0x6fff_4c05;

/// The section that another is linked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Linked<'data> {
    /// It is put with all others of its name.
    Named(&'data [u8]),
    /// It belongs to a group, and so has an output section of its own, unless a linker script takes it by its name.
    Grouped {
        /// Its number in the object.
        index: usize,
        /// Its name.
        name: &'data [u8],
    },
}

/// Where lld puts a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement<'data> {
    /// With all others of its name.
    ByName,
    /// With those of its name that are linked to sections which are put together (`SHF_LINK_ORDER`): for these lld looks
    /// through all output sections of the name.
    Behind(Linked<'data>),
}

/// A section whose name decides where it is put; one of a group and relocations are put by other rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'data> {
    /// Its number in the object.
    pub index: usize,
    /// Its name.
    pub name: &'data [u8],
    /// Where it is put.
    pub placement: Placement<'data>,
}

/// Why nothing is renamed in a link with such an object.
#[derive(Debug, thiserror::Error)]
pub(super) enum Odd {
    /// It cannot be read.
    #[error("{0}")]
    Damaged(#[from] object::Error),
    /// It says where a partition begins.
    #[error("partitions")]
    Partition,
    /// A section's name is like those that are given here.
    #[error("a section's name has ~ in it")]
    Marked,
    /// A section is ordered by nothing.
    #[error("SHF_LINK_ORDER without a section")]
    Unlinked,
}

/// Sections that lld makes anew or places by what they are about.
const OTHER: [u32; 8] = [
    SHT_NULL,
    SHT_STRTAB,
    SHT_SYMTAB,
    SHT_SYMTAB_SHNDX,
    SHT_REL,
    SHT_RELA,
    SHT_CREL,
    SHT_GROUP,
];

/// The sections of an object that are placed by their names, in its order.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Section<'_>>, Odd> {
    match FileKind::parse(bytes)? {
        FileKind::Elf32 => read_class::<FileHeader32<Endianness>>(bytes),
        _ => read_class::<FileHeader64<Endianness>>(bytes),
    }
}

fn read_class<Elf: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<Vec<Section<'_>>, Odd> {
    let header = Elf::parse(bytes)?;
    let endian = header.endian()?;
    let table = header.sections(endian, bytes)?;
    let mut sections = Vec::new();
    for (index, section) in table.enumerate() {
        let kind = section.sh_type(endian);
        if kind == SHT_LLVM_SYMPART {
            return Err(Odd::Partition);
        }
        let flags: u64 = section.sh_flags(endian).into();
        let name = table.section_name(endian, section)?;
        if name.contains(&MARK) {
            return Err(Odd::Marked);
        }
        if OTHER.contains(&kind) || flags & u64::from(SHF_GROUP) != 0 {
            continue;
        }
        let placement = match flags & u64::from(SHF_LINK_ORDER) {
            0 => Placement::ByName,
            _ => {
                let linked = table.section(section.link(endian)).map_err(|_| Odd::Unlinked)?;
                if OTHER.contains(&linked.sh_type(endian)) {
                    return Err(Odd::Unlinked);
                }
                let linked_flags: u64 = linked.sh_flags(endian).into();
                let name = table.section_name(endian, linked)?;
                let index = section.link(endian).0;
                Placement::Behind(match linked_flags & u64::from(SHF_GROUP) {
                    0 => Linked::Named(name),
                    _ => Linked::Grouped { index, name },
                })
            }
        };
        sections.push(Section {
            index: index.0,
            name,
            placement,
        });
    }
    Ok(sections)
}
