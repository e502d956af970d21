//! The order of symbols in a `-r` output, in in-process order. lld writes its global symbols in the order in which it first met
//! their names, and in-process it has met those of bitcode before LTO, dead ones too (lld/ELF/SymbolTable.cpp `insert`,
//! lld/ELF/Writer.cpp `finalizeSections`). An object that refers to them, before all others, gives them that order again; it
//! refers to what the objects name and to nothing else, so that no symbol is in the output for it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::os::unix::ffi::OsStrExt;

use object::{Object, ObjectSymbol, SymbolFlags, elf};
use rayon::prelude::*;

use super::assignments::{Assignments, defsyms};
use super::bitcode_references::Untold;
use super::load_order::{LoadedFile, is_eager, kind};
use super::undefined::Reference;
use super::{FinalLink, FinalLinkError, NativeObject, plain, read_native, read_ours, script_texts};
use crate::bitcode::TableSymbol;
use crate::bitcode::symbol_table::Binding;
use crate::bitcode::symbols::Visibility;
use crate::cmdline::OutputKind;
use crate::inputs::{BitcodeSource, FileKind};
use crate::settings::Order;
use crate::symbols::table_of_file;

/// A global symbol of a file, in that file's order.
#[derive(Clone, Debug)]
struct FileSymbol {
    name: Vec<u8>,
    is_undefined: bool,
    is_weak: bool,
    /// Of ELF: `STT_…`.
    symbol_type: u8,
}

/// What a file says of symbols.
#[derive(Clone, Debug, Default)]
struct File {
    symbols: Vec<FileSymbol>,
    /// lld meets a module's definitions first and then its references, one by one, and extracts for each as it meets it; all names
    /// of an object it meets before that (lld/ELF/InputFiles.cpp `BitcodeFile::parse`, `ObjFile::initializeSymbols`).
    is_bitcode: bool,
    is_loaded: bool,
}

/// A name of the output, and how the object that sets the order refers to it.
#[derive(Debug)]
pub(super) struct Ordered {
    name: Vec<u8>,
    mention: Mention,
}

impl Ordered {
    pub(super) fn reference(&self) -> Reference<'_> {
        Reference {
            name: &self.name,
            visibility: Visibility::Default,
            is_weak: self.mention.is_weak,
            symbol_type: self.mention.symbol_type,
        }
    }
}

/// What objects make of a name.
#[derive(Clone, Copy, Debug)]
struct Mention {
    /// Nobody defines it or refers to it strongly.
    is_weak: bool,
    symbol_type: u8,
}

impl Mention {
    const STRONG: Mention = Mention {
        is_weak: false,
        symbol_type: elf::STT_NOTYPE,
    };
}

/// What the objects name, in the order in which in-process lld meets these names; nothing unless the output has an order of symbols
/// to keep. `order` is the thin link's. Symbols that options and scripts define are among them. What bitcode alone refers to strongly,
/// `untold`, is referred to strongly here where it is among them.
///
/// # Errors
/// `Unfit` where a file cannot be read.
pub(super) fn symbol_order(
    link: &FinalLink<'_>,
    assignments: &Assignments,
    order: &[LoadedFile],
    untold: &Untold,
) -> Result<Vec<Ordered>, FinalLinkError> {
    // A reference to what is wrapped says more than the name.
    let is_wanted = link.order == Order::InProcess
        && link.invocation.kind == OutputKind::Relocatable
        && link.other.is_none()
        && !link.invocation.has("wrap");
    if !is_wanted {
        return Ok(Vec::new());
    }
    let asked = asked_for(link)?;
    let files = Files::read(link, order)?;
    let mut mentions = mentions(link, &files)?;
    for name in defsyms(link.invocation) {
        mentions.entry(name.to_vec()).or_insert(Mention::STRONG);
    }
    let provided = &assignments.provided;
    for name in &untold.strong {
        if provided.contains(name) {
            mentions.entry(name.clone()).or_insert(Mention::STRONG);
        }
        if let Some(mention) = mentions.get_mut(name) {
            mention.is_weak = false;
        }
    }
    let ordered = Walk::new(link, order, &files, &asked)
        .met()
        .into_iter()
        .filter_map(|name| {
            let mention = *mentions.get(&name)?;
            Some(Ordered { name, mention })
        });
    Ok(ordered.collect())
}

/// The symbols that options and scripts ask for before any file is read.
fn asked_for(link: &FinalLink<'_>) -> Result<Vec<Vec<u8>>, FinalLinkError> {
    let options = link.invocation.all("undefined").map(|name| name.as_bytes().to_vec());
    let mut asked: Vec<Vec<u8>> = options.collect();
    for text in script_texts(link)? {
        for found in memchr::memmem::find_iter(&text, b"EXTERN") {
            let rest = &text[found + b"EXTERN".len()..];
            let names = rest.split(|byte| b"()".contains(byte)).nth(1).unwrap_or_default();
            let names = names.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty());
            asked.extend(names.map(<[u8]>::to_vec));
        }
    }
    Ok(asked)
}

/// How the objects of the final link name each name.
fn mentions(link: &FinalLink<'_>, files: &Files) -> Result<HashMap<Vec<u8>, Mention>, FinalLinkError> {
    let paths = link.objects.iter().map(NativeObject::path).chain(&link.plan.regular);
    let paths: Vec<_> = paths.collect();
    let ours = paths.par_iter().map(|path| read_ours(path, object_symbols));
    let ours: Vec<Vec<FileSymbol>> = ours.collect::<Result<_, _>>()?;
    let users = files.0.values().filter(|file| !file.is_bitcode && file.is_loaded);
    let mut mentions: HashMap<Vec<u8>, Mention> = HashMap::new();
    for symbol in users.flat_map(|file| &file.symbols).chain(ours.iter().flatten()) {
        let is_weak = symbol.is_undefined && symbol.is_weak;
        let symbol_type = match symbol.symbol_type {
            elf::STT_TLS => elf::STT_TLS,
            _ => elf::STT_NOTYPE,
        };
        let mention = mentions
            .entry(symbol.name.clone())
            .or_insert(Mention { is_weak, symbol_type });
        mention.is_weak &= is_weak;
    }
    Ok(mentions)
}

fn object_symbols(bytes: &[u8]) -> Result<Vec<FileSymbol>, String> {
    let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
    let globals = file.symbols().filter(|symbol| !symbol.is_local());
    let symbols = globals.map(|symbol| {
        let name = plain(symbol.name_bytes().map_err(|error| error.to_string())?).to_vec();
        let symbol_type = match symbol.flags() {
            SymbolFlags::Elf { st_info, .. } => st_info & 0xf,
            _ => elf::STT_NOTYPE,
        };
        Ok(FileSymbol {
            name,
            is_undefined: symbol.is_undefined(),
            is_weak: symbol.is_weak(),
            symbol_type,
        })
    });
    symbols.collect()
}

/// Every input that says something of symbols.
struct Files(HashMap<BitcodeSource, File>);

impl Files {
    fn read(link: &FinalLink<'_>, order: &[LoadedFile]) -> Result<Files, FinalLinkError> {
        let loaded: HashSet<BitcodeSource> = order.iter().filter_map(|file| source(link, *file)).collect();
        let sources: Vec<BitcodeSource> = all_sources(link).collect();
        let read = sources.par_iter().map(|source| {
            let entry = &link.inputs.entries[source.entry];
            let unfit = |error: String| FinalLinkError::Unfit(format!("{}: {error}", entry.shown(source.member)));
            let is_bitcode = kind(link.inputs, *source).is_bitcode();
            let symbols = match is_bitcode {
                true => table_of_file(link.inputs, *source)
                    .map(|table| table.iter().map(of_table).collect())
                    .map_err(|error| unfit(error.to_string()))?,
                false => read_native(entry, source.member, object_symbols).map_err(unfit)?,
            };
            let is_loaded = loaded.contains(source);
            Ok((
                *source,
                File {
                    symbols,
                    is_bitcode,
                    is_loaded,
                },
            ))
        });
        Ok(Files(read.collect::<Result<_, FinalLinkError>>()?))
    }
}

fn of_table(symbol: &TableSymbol<'_>) -> FileSymbol {
    FileSymbol {
        name: symbol.name.to_vec(),
        is_undefined: !symbol.is_definition(),
        is_weak: symbol.binding == Binding::Weak,
        symbol_type: elf::STT_NOTYPE,
    }
}

/// Objects and bitcode, in the order in which lld reads the command line.
fn all_sources(link: &FinalLink<'_>) -> impl Iterator<Item = BitcodeSource> {
    let entries = link.inputs.entries.iter().enumerate();
    let sources = entries.flat_map(|(number, entry)| {
        let whole = (!entry.kind.is_archive()).then_some(None);
        let members = whole.into_iter().chain((0..entry.members.len()).map(Some));
        members.map(move |member| BitcodeSource { entry: number, member })
    });
    sources.filter(|source| {
        let kind = kind(link.inputs, *source);
        kind.is_bitcode() || kind == FileKind::NativeObject
    })
}

fn source(link: &FinalLink<'_>, file: LoadedFile) -> Option<BitcodeSource> {
    match file {
        LoadedFile::Module(module) => Some(link.plan.modules[module].source),
        LoadedFile::Native(source) => Some(source),
        LoadedFile::Regular => None,
    }
}

/// lld's reading of its inputs, as far as names go. What is extracted is known; when, by who names it.
struct Walk<'a> {
    link: &'a FinalLink<'a>,
    files: &'a Files,
    /// Files that were loaded and are still to be met.
    to_load: VecDeque<BitcodeSource>,
    /// Those among them of regular LTO, of which the order is not known.
    regular: BTreeSet<BitcodeSource>,
    met: Vec<&'a [u8]>,
    known: HashSet<&'a [u8]>,
    defined: HashSet<&'a [u8]>,
    /// Strongly referred to.
    referred: HashSet<&'a [u8]>,
    /// Lazy files that have been read and may be extracted.
    lazy: HashSet<BitcodeSource>,
    /// The first lazy file that defines a name: it is the one that a reference extracts.
    lazy_definer: HashMap<&'a [u8], BitcodeSource>,
}

impl<'a> Walk<'a> {
    fn new(link: &'a FinalLink<'a>, order: &[LoadedFile], files: &'a Files, asked: &'a [Vec<u8>]) -> Walk<'a> {
        Walk {
            link,
            files,
            to_load: order.iter().filter_map(|file| source(link, *file)).collect(),
            regular: link.bitcode.iter().skip(link.plan.modules.len()).copied().collect(),
            met: Vec::new(),
            known: HashSet::new(),
            defined: HashSet::new(),
            referred: asked.iter().map(Vec::as_slice).collect(),
            lazy: HashSet::new(),
            lazy_definer: HashMap::new(),
        }
    }

    fn met(mut self) -> Vec<Vec<u8>> {
        for source in all_sources(self.link) {
            match is_eager(self.link.inputs, source) {
                true => self.load(source),
                false => self.read_lazy(source),
            }
        }
        // Those that options ask for (`-u`), when all inputs have been read.
        while let Some(source) = self.to_load.front().copied() {
            self.load(source);
        }
        for source in Vec::from_iter(self.regular.iter().copied()) {
            self.load(source);
        }
        defsyms(self.link.invocation).for_each(|name| self.meet(name));
        self.met.into_iter().map(<[u8]>::to_vec).collect()
    }

    fn meet(&mut self, name: &'a [u8]) {
        if self.known.insert(name) {
            self.met.push(name);
        }
    }

    /// The definitions of a lazy file, until one is asked for already.
    fn read_lazy(&mut self, source: BitcodeSource) {
        let Some(file) = self.files.0.get(&source) else { return };
        let is_next = self.is_next(source);
        for symbol in file.symbols.iter().filter(|symbol| !symbol.is_undefined) {
            self.meet(&symbol.name);
            let name = symbol.name.as_slice();
            if is_next && self.referred.contains(name) && !self.defined.contains(name) {
                self.load(source);
                return;
            }
            self.lazy_definer.entry(name).or_insert(source);
        }
        self.lazy.insert(source);
    }

    /// A file, and what it extracts.
    fn load(&mut self, source: BitcodeSource) {
        if self.to_load.front() == Some(&source) {
            self.to_load.pop_front();
        }
        self.lazy.remove(&source);
        self.regular.remove(&source);
        let Some(file) = self.files.0.get(&source) else { return };
        let (references, definitions): (Vec<_>, Vec<_>) = file.symbols.iter().partition(|symbol| symbol.is_undefined);
        if !file.is_bitcode {
            file.symbols.iter().for_each(|symbol| self.meet(&symbol.name));
        }
        for symbol in definitions {
            self.meet(&symbol.name);
            self.defined.insert(&symbol.name);
        }
        for symbol in references {
            self.meet(&symbol.name);
            if !symbol.is_weak {
                self.referred.insert(&symbol.name);
                self.extract(&symbol.name);
            }
        }
    }

    fn is_next(&self, source: BitcodeSource) -> bool {
        self.to_load.front() == Some(&source) || self.regular.contains(&source)
    }

    /// The next file, where it is what a reference to this name loads.
    fn extract(&mut self, name: &[u8]) {
        if self.defined.contains(name) {
            return;
        }
        let Some(source) = self.lazy_definer.get(name).copied() else {
            return;
        };
        if self.lazy.contains(&source) && self.is_next(source) {
            self.load(source);
        }
    }
}
