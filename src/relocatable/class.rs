//! The two classes of ELF file, as far as section headers are changed here. Knows nothing of what for.

use object::Endianness;
use object::elf::{FileHeader32, FileHeader64, SectionHeader32, SectionHeader64};
use object::read::elf::FileHeader;

/// A place in a file that its class cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooFar;

/// A class of ELF file.
pub(super) trait Class: FileHeader<Endian = Endianness> {
    /// Where in the string table a section's name is.
    fn name_at(section: &mut Self::SectionHeader, endian: Endianness, name: u32);
    /// Where in the file a section is.
    fn section_at(section: &mut Self::SectionHeader, endian: Endianness, offset: u64, size: u64) -> Result<(), TooFar>;
    /// Where in the file the section headers are.
    fn headers_at(&mut self, endian: Endianness, offset: u64) -> Result<(), TooFar>;
    /// What lld aligns the section headers to.
    const WORD: u64;
}

fn short(number: u64) -> Result<u32, TooFar> {
    u32::try_from(number).map_err(|_| TooFar)
}

impl Class for FileHeader32<Endianness> {
    const WORD: u64 = 4;

    fn name_at(section: &mut SectionHeader32<Endianness>, endian: Endianness, name: u32) {
        section.sh_name.set(endian, name);
    }

    fn section_at(
        section: &mut SectionHeader32<Endianness>,
        endian: Endianness,
        offset: u64,
        size: u64,
    ) -> Result<(), TooFar> {
        section.sh_offset.set(endian, short(offset)?);
        section.sh_size.set(endian, short(size)?);
        Ok(())
    }

    fn headers_at(&mut self, endian: Endianness, offset: u64) -> Result<(), TooFar> {
        self.e_shoff.set(endian, short(offset)?);
        Ok(())
    }
}

impl Class for FileHeader64<Endianness> {
    const WORD: u64 = 8;

    fn name_at(section: &mut SectionHeader64<Endianness>, endian: Endianness, name: u32) {
        section.sh_name.set(endian, name);
    }

    fn section_at(
        section: &mut SectionHeader64<Endianness>,
        endian: Endianness,
        offset: u64,
        size: u64,
    ) -> Result<(), TooFar> {
        section.sh_offset.set(endian, offset);
        section.sh_size.set(endian, size);
        Ok(())
    }

    fn headers_at(&mut self, endian: Endianness, offset: u64) -> Result<(), TooFar> {
        self.e_shoff.set(endian, offset);
        Ok(())
    }
}
