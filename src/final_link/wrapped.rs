//! `--wrap=SYMBOL`: LTO makes the definition of a wrapped symbol weak, so that nothing is inlined from it (llvm's
//! `Res.LinkerRedefined`), and in-process it stays so. In a link of its objects lld gives the symbol the binding of the references
//! to `__real_SYMBOL` (lld/ELF/Driver.cpp `addWrappedSymbols`): so those are made weak, in copies of the objects.

use std::collections::HashSet;

use object::elf::{FileHeader32, FileHeader64, STB_WEAK};
use object::read::elf::{FileHeader, Sym};
use object::{Endianness, FileKind, elf};

use super::FinalLink;
use crate::bitcode::symbols::Presence;

/// The `__real_` names of wrapped symbols that the link's bitcode defines.
pub(super) struct RealNames(HashSet<Vec<u8>>);

impl RealNames {
    pub(super) fn new(link: &FinalLink<'_>) -> RealNames {
        use std::os::unix::ffi::OsStrExt;
        let wrapped: HashSet<&[u8]> = link.invocation.all("wrap").map(OsStrExt::as_bytes).collect();
        if wrapped.is_empty() {
            return RealNames(HashSet::new());
        }
        let symbols = link
            .plan
            .modules
            .iter()
            .filter_map(|module| link.symbols.of(module.source).ok());
        let defined = symbols
            .flatten()
            .filter(|symbol| symbol.presence == Presence::Definition);
        let defined = defined.filter(|symbol| !symbol.linkage.is_local() && wrapped.contains(symbol.plain()));
        RealNames(defined.map(|symbol| [b"__real_", symbol.plain()].concat()).collect())
    }

    /// An object's bytes with its references to these names weak; none where it has none.
    ///
    /// # Errors
    /// It is no object that can be read.
    pub(super) fn weaken(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, object::Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        match FileKind::parse(bytes)? {
            FileKind::Elf32 => {
                self.weaken_in::<FileHeader32<Endianness>>(bytes, std::mem::offset_of!(elf::Sym32<Endianness>, st_info))
            }
            _ => {
                self.weaken_in::<FileHeader64<Endianness>>(bytes, std::mem::offset_of!(elf::Sym64<Endianness>, st_info))
            }
        }
    }

    /// `info` is the place of `st_info` in a symbol, in bytes.
    fn weaken_in<Elf: FileHeader<Endian = Endianness>>(
        &self,
        bytes: &[u8],
        info: usize,
    ) -> Result<Option<Vec<u8>>, object::Error> {
        let header = Elf::parse(bytes)?;
        let endian = header.endian()?;
        let symbols = header
            .sections(endian, bytes)?
            .symbols(endian, bytes, elf::SHT_SYMTAB)?;
        let mut weakened = None;
        for symbol in symbols.iter().filter(|symbol| symbol.is_undefined(endian)) {
            if self.0.contains(symbol.name(endian, symbols.strings())?) {
                let at = std::ptr::from_ref(symbol).addr().saturating_sub(bytes.as_ptr().addr()) + info;
                let copy = weakened.get_or_insert_with(|| bytes.to_vec());
                if let Some(byte) = copy.get_mut(at) {
                    *byte = STB_WEAK << 4 | symbol.st_type();
                }
            }
        }
        Ok(weakened)
    }
}
