//! COMDAT groups in in-process order: lld heeds none in LTO's own objects (`ignoreComdats` in lld/ELF/InputFiles.cpp), so that what
//! code generation puts into groups (`DW.ref.__gxx_personality_v0`, retpolines) is in the output once a module, and whatever stands
//! behind it is elsewhere. Copies of the objects in which these groups are plain ones are linked to the same.

use std::collections::HashSet;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, FileKind};

use super::FinalLink;
use crate::cmdline::OutputKind;
use crate::settings::Order;

/// Which groups stay as they are: those of names that bitcode defines. Native objects stand before LTO's here, and may have
/// groups of these names that in-process lld has dropped.
pub(super) struct Groups<'a>(HashSet<&'a [u8]>);

impl<'a> Groups<'a> {
    /// None where groups are not to be touched: in our own order, and in `-r` links, whose groups are left to later links.
    pub(super) fn new(link: &FinalLink<'a>) -> Option<Groups<'a>> {
        if link.order != Order::InProcess || link.invocation.kind == OutputKind::Relocatable {
            return None;
        }
        let defined = link.tables.symbols().filter(|symbol| symbol.is_definition());
        Some(Groups(defined.map(|symbol| symbol.name).collect()))
    }

    /// An object's bytes with its groups made plain; none where it has none of these.
    ///
    /// # Errors
    /// It is no object that can be read.
    pub(super) fn made_plain(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, object::Error> {
        match FileKind::parse(bytes)? {
            FileKind::Elf32 => self.made_plain_in::<FileHeader32<Endianness>>(bytes),
            _ => self.made_plain_in::<FileHeader64<Endianness>>(bytes),
        }
    }

    fn made_plain_in<Elf: FileHeader<Endian = Endianness>>(
        &self,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, object::Error> {
        let header = Elf::parse(bytes)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, bytes)?;
        let symbols = sections.symbols(endian, bytes, elf::SHT_SYMTAB)?;
        let mut plain = None;
        for section in sections.iter() {
            let Some((elf::GRP_COMDAT, _)) = section.group(endian, bytes)? else {
                continue;
            };
            let signature = object::SymbolIndex(section.sh_info(endian) as usize);
            if self
                .0
                .contains(symbols.symbol(signature)?.name(endian, symbols.strings())?)
            {
                continue;
            }
            let at: u64 = section.sh_offset(endian).into();
            let copy = plain.get_or_insert_with(|| bytes.to_vec());
            let flags = usize::try_from(at).ok().and_then(|at| copy.get_mut(at..at + 4));
            if let Some(flags) = flags {
                flags.fill(0);
            }
        }
        Ok(plain)
    }
}
