//! Weak definitions of native objects in in-process order. Where bitcode that was met first defines the symbol weakly too, that is
//! the definition, whatever stands first in the end: lld has resolved before LTO (lld/ELF/LTO.cpp `BitcodeCompiler::add` makes what
//! prevails undefined, for LTO's object to define). Here native objects stand before LTO's, and the first would be taken; so they are
//! linked as copies that refer to such a symbol and do not define it, which is what lld makes of a definition that it does not take.

use std::collections::HashSet;

use object::read::elf::FileHeader;

use super::bitcode_references::{Natives, objects_of};
use super::edited::{Edit, Symbol, SymbolEdits};
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
}

/// A native object's definitions of these symbols become references. Those in COMDAT groups are left: of these one is as good as
/// another.
impl SymbolEdits for Yielding {
    fn edit<Elf: FileHeader>(&self, symbol: &Symbol<'_, '_, Elf>) -> Result<Option<Edit>, object::Error> {
        let is_one = symbol.is_weak() && self.0.contains(symbol.name()?) && symbol.is_in_plain_section()?;
        Ok(is_one.then_some(Edit::Undefined))
    }
}
