//! `--wrap=SYMBOL`: LTO makes the definition of a wrapped symbol weak, so that nothing is inlined from it (llvm's
//! `Res.LinkerRedefined`), and in-process it stays so. In a link of its objects lld gives the symbol the binding of the references
//! to `__real_SYMBOL` (lld/ELF/Driver.cpp `addWrappedSymbols`): so those are made weak, in copies of the objects.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;

use object::read::elf::FileHeader;
use object::{Object, ObjectSymbol};

use super::edited::{Edit, Symbol, SymbolEdits};
use super::{FinalLink, FinalLinkError, NativeObject, read_ours};
use crate::cmdline::Invocation;

/// The symbols that `--wrap` names.
pub(super) fn wrapped(invocation: &Invocation) -> HashSet<&[u8]> {
    invocation.all("wrap").map(OsStrExt::as_bytes).collect()
}

/// The name that a reference to a wrapped symbol means.
pub(super) fn wrapper(name: &[u8]) -> Vec<u8> {
    [b"__wrap_", name].concat()
}

/// The `__real_` names of wrapped symbols that LTO's objects define weakly.
pub(super) struct RealNames(HashSet<Vec<u8>>);

impl RealNames {
    /// None where there is none.
    ///
    /// # Errors
    /// An object cannot be read.
    pub(super) fn new(link: &FinalLink<'_>) -> Result<Option<RealNames>, FinalLinkError> {
        let wrapped = wrapped(link.invocation);
        let mut real_names = HashSet::new();
        let objects = link.objects.iter().map(NativeObject::path).chain(&link.plan.regular);
        for path in objects.filter(|_| !wrapped.is_empty()) {
            let weak = read_ours(path, |bytes| {
                let object = object::File::parse(bytes).map_err(|error| error.to_string())?;
                let weak = object
                    .symbols()
                    .filter(|symbol| symbol.is_weak() && !symbol.is_undefined());
                let names = weak.filter_map(|symbol| symbol.name_bytes().ok());
                let wrapped = names.filter(|name| wrapped.contains(name));
                Ok(wrapped.map(|name| [b"__real_", name].concat()).collect::<Vec<_>>())
            });
            real_names.extend(weak?);
        }
        Ok((!real_names.is_empty()).then_some(RealNames(real_names)))
    }
}

/// Its references to these names become weak.
impl SymbolEdits for RealNames {
    fn edit<Elf: FileHeader>(&self, symbol: &Symbol<'_, '_, Elf>) -> Result<Option<Edit>, object::Error> {
        let is_one = symbol.is_undefined() && self.0.contains(symbol.name()?);
        Ok(is_one.then_some(Edit::Weak))
    }
}
