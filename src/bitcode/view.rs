//! What a module that imports from another can see of it: everything but the bodies of functions it does not import.
//! Knows nothing of indexes and of caches; whoever asks says which definitions are imported.
//!
//! A backend opens the modules it imports from lazily and reads only the bodies it was told to import (llvm/lib/Transforms/IPO/
//! FunctionImport.cpp `importFunctions`), so that an edit of another body changes nothing for it. The one thing of the whole
//! module that it uses besides is the module's hash, in the names it gives the module's local symbols (`x.llvm.HASH`): so
//! where an import can name a local symbol, it sees all of the module. Whatever is not understood here counts as seen.

mod cookies;
mod frame;
mod module;

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use super::bitstream::{Block, Entry, Record};
use super::{BitcodeError, ids, string_table, unwrap};
use cookies::{Hidden, Shown};
use frame::Frame;
use module::Module;

/// A digest of some part of a module.
pub type Digest = [u8; 32];

/// One module as those see it that import from it.
#[derive(Debug, Clone)]
pub struct ImportView {
    /// Every integer among the constants of the file's modules, as it is written, in order: where a place in the source
    /// can be, and what one can be equal to.
    pub integers: Vec<u64>,
    /// None where an importer must be taken to see all of the module.
    parts: Option<Parts>,
}

#[derive(Debug, Clone)]
struct Parts {
    /// Of all that every importer reads.
    frame: Digest,
    /// Integers that are in it though others of their kind are not, as they are written.
    integers: Vec<u64>,
    /// Integers that are not.
    hidden: Hidden,
    /// By GUID, the definitions that can be imported without any local symbol coming along: a function's body, or nothing
    /// more than the frame for a variable.
    free: HashMap<u64, Option<Body>>,
}

/// What one sees of a module who imports certain definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Of all of it but what is in `cookies`.
    pub digest: Digest,
    /// Integers that are in the digest and were not certain to be, as they are written: one of them may stand for a place
    /// in the source too.
    pub integers: Vec<u64>,
    /// Integers that only say where in the source an assembly statement stands, as they are written. Their values mean
    /// nothing, but which of them are the same does, here and in everything that is compiled with it.
    pub cookies: Vec<u64>,
}

impl ImportView {
    /// Reads a file.
    ///
    /// # Errors
    /// The file is no bitcode that can be read.
    pub fn read(bytes: &[u8]) -> Result<ImportView, BitcodeError> {
        let mut stream = Block::stream(unwrap(bytes)?);
        let mut record = Record::default();
        let mut frame = Frame::default();
        let mut modules: Vec<Module> = Vec::new();
        let mut names: &[u8] = &[];
        while let Some(entry) = stream.next(&mut record)? {
            let Entry::Block(block) = entry else { continue };
            match block.id() {
                Some(ids::MODULE_BLOCK) => modules.push(Module::read(block, &mut frame)?),
                Some(ids::STRTAB_BLOCK) => {
                    frame.block(&block);
                    names = string_table(block)?;
                }
                _ => frame.block(&block),
            }
        }
        let mut integers: Vec<u64> = modules.iter().flat_map(Module::integers).copied().collect();
        integers.sort_unstable();
        // Of a split unit's two modules it is the file's whole content that tells which is read.
        let only = match modules.len() {
            1 => modules.pop(),
            _ => None,
        };
        let only = only.filter(Module::is_followed);
        Ok(ImportView {
            integers,
            parts: only.map(|module| Parts::of(module, names, frame)).transpose()?,
        })
    }

    /// What is seen by one who imports these definitions of the file that was read; none if that is all of the module.
    pub fn of(&self, bytes: &[u8], imported: impl IntoIterator<Item = u64>) -> Option<Seen> {
        let parts = self.parts.as_ref()?;
        let mut imported: Vec<u64> = imported.into_iter().collect();
        imported.sort_unstable();
        let mut hash = blake3::Hasher::new();
        hash.update(&parts.frame);
        let (mut plain, mut cookies) = (BTreeMap::new(), BTreeMap::new());
        for guid in imported {
            let body = parts.free.get(&guid)?;
            hash.update(&guid.to_le_bytes());
            hash.update(&body.as_ref().map_or([0; 32], |body| body.digest));
            if let (Some(body), false) = (body, parts.hidden.is_empty()) {
                let shown = body.shown(bytes, &parts.hidden)?;
                plain.extend(shown.plain.iter().copied());
                cookies.extend(shown.cookies.iter().copied());
            }
        }
        cookies.retain(|number, _| !plain.contains_key(number));
        for (number, value) in &plain {
            hash.update(&number.to_le_bytes());
            hash.update(&value.to_le_bytes());
        }
        Some(Seen {
            digest: *hash.finalize().as_bytes(),
            integers: parts.integers.iter().copied().chain(plain.into_values()).collect(),
            cookies: cookies.into_values().collect(),
        })
    }
}

/// A function's body that can be imported alone.
#[derive(Debug, Clone)]
struct Body {
    digest: Digest,
    /// The bit of the module at which it begins.
    position: u64,
    /// The number of the function's type.
    function: u64,
    /// What it shows of the module's integers; none where that cannot be told.
    shown: OnceLock<Option<Shown>>,
}

impl Parts {
    fn of(module: Module, names: &[u8], mut frame: Frame) -> Result<Parts, BitcodeError> {
        let free = module.free(names)?;
        let (hidden, shown) = module.candidates.settle();
        frame.number(shown.len() as u64);
        for (number, value) in &shown {
            frame.number(*number);
            frame.number(*value);
        }
        Ok(Parts {
            frame: frame.digest(),
            integers: shown.into_iter().map(|(_, value)| value).collect(),
            hidden,
            free,
        })
    }
}

impl Body {
    /// What it shows of what is hidden in its module, the first of those in `bytes`.
    fn shown(&self, bytes: &[u8], hidden: &Hidden) -> Option<&Shown> {
        let read = || self.read_again(bytes, hidden).ok().flatten();
        self.shown.get_or_init(read).as_ref()
    }

    fn read_again(&self, bytes: &[u8], hidden: &Hidden) -> Result<Option<Shown>, BitcodeError> {
        let mut stream = Block::stream(unwrap(bytes)?);
        let mut record = Record::default();
        while let Some(entry) = stream.next(&mut record)? {
            let Entry::Block(mut module) = entry else { continue };
            if module.id() != Some(ids::MODULE_BLOCK) {
                continue;
            }
            // How bodies are packed is said at the beginning.
            while module.block_info_bytes().is_empty() && module.next(&mut record)?.is_some() {}
            module.seek(self.position)?;
            return match module.next(&mut record)? {
                Some(Entry::Block(body)) => hidden.shown_by(body, self.function),
                _ => Ok(None),
            };
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
