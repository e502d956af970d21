//! `--wrap=SYMBOL`: LTO makes the definition of a wrapped symbol weak, so that nothing is inlined from it (llvm's
//! `Res.LinkerRedefined`), and in-process it stays so. In a link of its objects lld gives the symbol the binding of the references
//! to `__real_SYMBOL` (lld/ELF/Driver.cpp `addWrappedSymbols`): so those are made weak, in copies of the objects.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use object::elf::{FileHeader32, FileHeader64, STB_WEAK};
use object::read::elf::{FileHeader, Sym};
use object::{Endianness, FileKind, Object, ObjectSymbol, elf};

use super::{FinalLink, FinalLinkError, NativeObject, at};

/// The `__real_` names of wrapped symbols that LTO's objects define weakly.
pub(super) struct RealNames(HashSet<Vec<u8>>);

impl RealNames {
    /// # Errors
    /// An object cannot be read.
    pub(super) fn new(link: &FinalLink<'_>) -> Result<RealNames, FinalLinkError> {
        let wrapped: HashSet<&[u8]> = link.invocation.all("wrap").map(OsStrExt::as_bytes).collect();
        let mut real_names = HashSet::new();
        let objects = link.objects.iter().map(NativeObject::path).chain(&link.plan.regular);
        for path in objects.filter(|_| !wrapped.is_empty()) {
            let unfit = |error: object::Error| FinalLinkError::Unfit(format!("{}: {error}", path.display()));
            let bytes = fs::read(path).map_err(at(path))?;
            let object = object::File::parse(&*bytes).map_err(unfit)?;
            let weak = object
                .symbols()
                .filter(|symbol| symbol.is_weak() && !symbol.is_undefined());
            for name in weak.filter_map(|symbol| symbol.name_bytes().ok()) {
                if wrapped.contains(name) {
                    real_names.insert([b"__real_", name].concat());
                }
            }
        }
        Ok(RealNames(real_names))
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
