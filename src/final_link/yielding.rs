//! Weak definitions of native objects in in-process order. Where bitcode that was met first defines the symbol weakly too, that is
//! the definition, whatever stands first in the end: lld has resolved before LTO (lld/ELF/LTO.cpp `BitcodeCompiler::add` makes what
//! prevails undefined, for LTO's object to define). Here native objects stand before LTO's, and the first would be taken; so they are
//! linked as copies that refer to such a symbol and do not define it, which is what lld makes of a definition that it does not take.

use std::collections::HashSet;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, FileKind};

use super::bitcode_references::{Natives, objects_of};
use super::{FinalLink, FinalLinkError};
use crate::settings::Order;

/// The symbols that LTO's objects and native ones define weakly.
pub(super) struct Yielding(HashSet<Vec<u8>>);

impl Yielding {
    /// None in our own order, in which each stands in its place, and where there is no such symbol.
    ///
    /// # Errors
    /// `Unfit` where an object cannot be read.
    pub(super) fn new(link: &FinalLink<'_>, users: &Natives) -> Result<Option<Yielding>, FinalLinkError> {
        if link.order != Order::InProcess {
            return Ok(None);
        }
        let weak: HashSet<&[u8]> = users.weakly_defined().collect();
        if weak.is_empty() {
            return Ok(None);
        }
        let ours = objects_of(link, |name| weak.contains(name))?;
        let both: HashSet<Vec<u8>> = ours.weakly_defined().map(<[u8]>::to_vec).collect();
        Ok((!both.is_empty()).then_some(Yielding(both)))
    }

    /// A native object's bytes without its definitions of these symbols; none where it has none. Those in COMDAT groups are left:
    /// of these one is as good as another.
    ///
    /// # Errors
    /// It is no object that can be read.
    pub(super) fn undefined(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, object::Error> {
        match FileKind::parse(bytes)? {
            FileKind::Elf32 => {
                let place = std::mem::offset_of!(elf::Sym32<Endianness>, st_shndx);
                self.undefined_in::<FileHeader32<Endianness>>(bytes, place)
            }
            _ => {
                let place = std::mem::offset_of!(elf::Sym64<Endianness>, st_shndx);
                self.undefined_in::<FileHeader64<Endianness>>(bytes, place)
            }
        }
    }

    /// `place` is that of `st_shndx` in a symbol, in bytes.
    fn undefined_in<Elf: FileHeader<Endian = Endianness>>(
        &self,
        bytes: &[u8],
        place: usize,
    ) -> Result<Option<Vec<u8>>, object::Error> {
        let header = Elf::parse(bytes)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, bytes)?;
        let symbols = sections.symbols(endian, bytes, elf::SHT_SYMTAB)?;
        let mut copy = None;
        for (index, symbol) in symbols.enumerate() {
            let Some(section) = symbols.symbol_section(endian, symbol, index)? else {
                continue;
            };
            let is_grouped = sections.section(section)?.sh_flags(endian).into() & u64::from(elf::SHF_GROUP) != 0;
            let is_weak = symbol.st_bind() == elf::STB_WEAK;
            if !is_weak || is_grouped || !self.0.contains(symbol.name(endian, symbols.strings())?) {
                continue;
            }
            let at = std::ptr::from_ref(symbol).addr().saturating_sub(bytes.as_ptr().addr()) + place;
            let copy = copy.get_or_insert_with(|| bytes.to_vec());
            if let Some(section) = copy.get_mut(at..at + 2) {
                section.fill(0);
            }
        }
        Ok(copy)
    }
}
