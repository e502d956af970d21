//! Objects of undefined symbols: they define nothing and have no code, and say of a symbol what bitcode said of it.

use std::fs;
use std::path::Path;

use object::write::{Object as NewObject, SectionId, Symbol as NewSymbol, SymbolSection};
use object::{FileFlags, Object, ObjectSection, SectionFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope, elf};

use super::{FinalLinkError, at};
use crate::bitcode::symbols::Visibility;
use crate::cmdline::OutputKind;

/// How an object refers to a symbol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference<'a> {
    pub(super) name: &'a [u8],
    pub(super) visibility: Visibility,
    /// Weakly, as long as bitcode does so.
    pub(super) is_weak: bool,
    /// Of ELF: `STT_TLS` or `STT_NOTYPE`.
    pub(super) symbol_type: u8,
}

/// Writes an object that has these references. It is of the target of the object `like`, and says of itself what that says of
/// branch protection: the output has only what all its objects have (lld `readSecurityNotes`).
///
/// # Errors
/// `like` is no object, or the object cannot be written.
pub(super) fn write(
    path: &Path,
    references: &[Reference<'_>],
    like: &[u8],
    kind: OutputKind,
) -> Result<(), FinalLinkError> {
    let unfit = |error: String| FinalLinkError::Unfit(format!("an object to take the target from: {error}"));
    let file = object::File::parse(like).map_err(|error| unfit(error.to_string()))?;
    let mut new = NewObject::new(file.format(), file.architecture(), file.endianness());
    new.set_sub_architecture(file.sub_architecture());
    if let FileFlags::Elf {
        os_abi,
        abi_version,
        e_flags,
    } = file.flags()
    {
        new.flags = FileFlags::Elf {
            os_abi,
            abi_version,
            e_flags,
        };
    }
    // In a relocatable link notes are kept, and one more would be seen.
    if kind != OutputKind::Relocatable
        && let Some(property) = file.section_by_name(".note.gnu.property")
    {
        let data = property.data().map_err(|error| unfit(error.to_string()))?;
        let id: SectionId = new.add_section(Vec::new(), b".note.gnu.property".to_vec(), SectionKind::Note);
        new.section_mut(id).flags = SectionFlags::Elf {
            sh_flags: elf::SHF_ALLOC.into(),
        };
        new.append_section_data(id, data, property.align());
    }
    for Reference {
        name,
        visibility,
        is_weak,
        symbol_type,
    } in references
    {
        let binding = if *is_weak { elf::STB_WEAK } else { elf::STB_GLOBAL };
        new.add_symbol(NewSymbol {
            name: name.to_vec(),
            value: 0,
            size: 0,
            kind: SymbolKind::Unknown,
            scope: SymbolScope::Dynamic,
            weak: *is_weak,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::Elf {
                st_info: binding << 4 | symbol_type,
                st_other: visibility.to_elf(),
            },
        });
    }
    let written = new.write().map_err(|error| unfit(error.to_string()))?;
    fs::write(path, written).map_err(at(path))
}
