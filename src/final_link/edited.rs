//! Copies of objects in which some symbols are others.

use std::mem::offset_of;

use object::elf::{self, FileHeader32, FileHeader64, Sym32, Sym64};
use object::read::elf::{FileHeader, SectionHeader, SectionTable, Sym, SymbolTable};
use object::{Endianness, FileKind, SymbolIndex};

/// What becomes of a symbol.
pub(super) enum Edit {
    /// It is bound weakly.
    Weak,
    /// It is a reference, no definition.
    Undefined,
}

/// A symbol of an object, as it is.
pub(super) struct Symbol<'a, 'b, Elf: FileHeader> {
    raw: &'b Elf::Sym,
    index: SymbolIndex,
    table: &'a SymbolTable<'b, Elf>,
    sections: &'a SectionTable<'b, Elf>,
    endian: Elf::Endian,
}

impl<'b, Elf: FileHeader> Symbol<'_, 'b, Elf> {
    pub(super) fn is_undefined(&self) -> bool {
        self.raw.is_undefined(self.endian)
    }

    pub(super) fn is_weak(&self) -> bool {
        self.raw.st_bind() == elf::STB_WEAK
    }

    /// # Errors
    /// It lies outside of the string table.
    pub(super) fn name(&self) -> Result<&'b [u8], object::Error> {
        self.raw.name(self.endian, self.table.strings())
    }

    /// Whether it is defined in a section that is in no group.
    ///
    /// # Errors
    /// There is no such section.
    pub(super) fn is_in_plain_section(&self) -> Result<bool, object::Error> {
        let section = self.table.symbol_section(self.endian, self.raw, self.index)?;
        let Some(section) = section else { return Ok(false) };
        let flags: u64 = self.sections.section(section)?.sh_flags(self.endian).into();
        Ok(flags & u64::from(elf::SHF_GROUP) == 0)
    }
}

/// Which symbols are to be others.
pub(super) trait SymbolEdits {
    /// What is to become of this one; nothing in most cases.
    ///
    /// # Errors
    /// It cannot be read.
    fn edit<Elf: FileHeader>(&self, symbol: &Symbol<'_, '_, Elf>) -> Result<Option<Edit>, object::Error>;

    /// An object's bytes with these edits made; none where there is none to make.
    ///
    /// # Errors
    /// It is no object that can be read.
    fn edited(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, object::Error> {
        match FileKind::parse(bytes)? {
            FileKind::Elf32 => {
                let fields = [
                    offset_of!(Sym32<Endianness>, st_info),
                    offset_of!(Sym32<Endianness>, st_shndx),
                ];
                edited::<FileHeader32<Endianness>>(self, bytes, fields)
            }
            _ => {
                let fields = [
                    offset_of!(Sym64<Endianness>, st_info),
                    offset_of!(Sym64<Endianness>, st_shndx),
                ];
                edited::<FileHeader64<Endianness>>(self, bytes, fields)
            }
        }
    }
}

/// `info` and `section` are where a symbol has these fields, in bytes.
fn edited<Elf: FileHeader<Endian = Endianness>>(
    edits: &(impl SymbolEdits + ?Sized),
    bytes: &[u8],
    [info, section]: [usize; 2],
) -> Result<Option<Vec<u8>>, object::Error> {
    let header = Elf::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let table = sections.symbols(endian, bytes, elf::SHT_SYMTAB)?;
    let mut edited = None;
    for (index, raw) in table.enumerate() {
        let symbol = Symbol {
            raw,
            index,
            table: &table,
            sections: &sections,
            endian,
        };
        let Some(edit) = edits.edit(&symbol)? else { continue };
        let at = std::ptr::from_ref(raw).addr().saturating_sub(bytes.as_ptr().addr());
        let (at, field) = match edit {
            Edit::Weak => (at + info, &[elf::STB_WEAK << 4 | raw.st_type()][..]),
            Edit::Undefined => (at + section, &[0; 2][..]),
        };
        let copy = edited.get_or_insert_with(|| bytes.to_vec());
        if let Some(bytes) = copy.get_mut(at..at + field.len()) {
            bytes.copy_from_slice(field);
        }
    }
    Ok(edited)
}
