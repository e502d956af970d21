//! An ELF file as comparisons look at it: sections, symbols, relocations and what the dynamic section says, by name.
//! Knows nothing of other files.

use std::collections::HashMap;

use super::dynamic_relocations;
use object::elf;
use object::read::elf::{Dyn, ElfFile, FileHeader, ProgramHeader, SectionHeader};
use object::{Endian, FileKind, Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolFlags};

/// A table of symbols whose addresses are taken, by their number.
const SHT_LLVM_ADDRSIG: u32 = 0x6fff_4c03;

/// A section.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// Its name.
    pub name: String,
    /// `SHT_*`.
    pub kind: u32,
    /// `SHF_*`.
    pub flags: u64,
    /// Where it is loaded.
    pub address: u64,
    /// Its size in memory.
    pub size: u64,
    /// What pieces of it are aligned to.
    pub align: u64,
    /// What one entry of it takes, where it is a table.
    pub entry_size: u64,
    /// Its bytes in the file.
    pub data: &'a [u8],
    /// Its relocations, sorted by offset; only relocatable files have them here.
    pub relocations: Vec<Relocation>,
}

impl Section<'_> {
    /// Loaded into memory.
    pub fn is_loaded(&self) -> bool {
        self.flags & u64::from(elf::SHF_ALLOC) != 0
    }

    /// `.tbss`: it takes no room where it stands.
    pub fn is_zeroed_per_thread(&self) -> bool {
        self.kind == elf::SHT_NOBITS && self.flags & u64::from(elf::SHF_TLS) != 0
    }

    /// Only debuggers read it.
    pub fn is_debug(&self) -> bool {
        let debug = [
            ".debug_",
            ".zdebug_",
            ".rela.debug_",
            ".rel.debug_",
            ".gdb_index",
            ".stab",
        ];
        !self.is_loaded() && debug.iter().any(|prefix| self.name.starts_with(prefix))
    }

    /// A table that says where other things are: it is compared by its meaning.
    pub fn is_table(&self) -> bool {
        let tables = [
            elf::SHT_SYMTAB,
            elf::SHT_STRTAB,
            elf::SHT_RELA,
            elf::SHT_REL,
            elf::SHT_GROUP,
            elf::SHT_SYMTAB_SHNDX,
        ];
        !self.is_loaded() && (tables.contains(&self.kind) || self.kind == SHT_LLVM_ADDRSIG)
    }

    /// The build's number, which hashes the whole file.
    pub fn is_build_id(&self) -> bool {
        self.name == ".note.gnu.build-id"
    }
}

/// What a relocation refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Nothing.
    None,
    /// A named symbol.
    Symbol(String),
    /// A place in a section.
    Section(usize),
}

/// A relocation.
#[derive(Clone, Debug)]
pub struct Relocation {
    /// Where in the section; in dynamic relocations, the address.
    pub offset: u64,
    /// `R_*`.
    pub kind: u32,
    /// What it refers to.
    pub target: Target,
    /// And how far from there; what stands at the place is not in it.
    pub addend: i64,
}

/// A symbol.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Its version, where it is a dynamic symbol and has one.
    pub version: String,
    /// `STT_*`.
    pub kind: u8,
    /// `STB_*`.
    pub binding: u8,
    /// `STV_*`.
    pub visibility: u8,
    /// Its size.
    pub size: u64,
    /// Its address; in relocatable files, where in the section; of thread-local ones, where their first contents stand.
    pub address: u64,
    /// The section it is in; none where it is undefined or absolute.
    pub section: Option<usize>,
    /// It is defined elsewhere.
    pub is_undefined: bool,
    /// The file symbol before it, if it is local.
    pub file: String,
}

impl Symbol {
    /// Nobody outside its file can name it.
    pub fn is_local(&self) -> bool {
        self.binding == elf::STB_LOCAL
    }

    /// A function.
    pub fn is_code(&self) -> bool {
        matches!(self.kind, elf::STT_FUNC | elf::STT_GNU_IFUNC)
    }

    /// Something with contents of its own.
    pub fn has_contents(&self) -> bool {
        !self.is_undefined
            && self.size > 0
            && (self.is_code() || matches!(self.kind, elf::STT_OBJECT | elf::STT_NOTYPE | elf::STT_TLS))
    }
}

/// A whole file.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    /// `ET_*`, `EM_*`, `e_flags` and the ABI, as one reads them.
    pub header: Vec<(&'static str, u64)>,
    /// `EM_*`.
    pub machine: u16,
    /// 64-bit.
    pub is_64: bool,
    /// Little-endian.
    pub is_little: bool,
    /// Not linked to addresses yet.
    pub is_relocatable: bool,
    /// Where it begins.
    pub entry: u64,
    /// Sections, by their number.
    pub sections: Vec<Section<'a>>,
    /// Symbols but for those of sections and files.
    pub symbols: Vec<Symbol>,
    /// Dynamic symbols.
    pub dynamic_symbols: Vec<Symbol>,
    /// Dynamic relocations.
    pub dynamic_relocations: Vec<Relocation>,
    /// What the dynamic section says in words and numbers: tag, and text or value.
    pub dynamic: Vec<(i64, String)>,
    /// Loadable segments and thread-local storage: type, flags, address, size in memory, alignment.
    pub segments: Vec<(u32, u32, u64, u64, u64)>,
}

/// Reads an ELF file.
///
/// # Errors
/// It is damaged or no ELF file.
pub fn read(bytes: &[u8]) -> Result<Image<'_>, String> {
    let failed = |error: object::Error| error.to_string();
    match FileKind::parse(bytes).map_err(failed)? {
        FileKind::Elf32 => image::<elf::FileHeader32<object::Endianness>>(bytes).map_err(failed),
        FileKind::Elf64 => image::<elf::FileHeader64<object::Endianness>>(bytes).map_err(failed),
        other => Err(format!("not an ELF file but {other:?}")),
    }
}

fn image<Elf: FileHeader<Endian = object::Endianness>>(bytes: &[u8]) -> object::Result<Image<'_>> {
    let file = ElfFile::<Elf>::parse(bytes)?;
    let (endian, header) = (file.endian(), file.elf_header());
    let mut sections = Vec::new();
    for section in file.elf_section_table().iter() {
        let name = file.elf_section_table().section_name(endian, section)?;
        sections.push(Section {
            name: String::from_utf8_lossy(name).into_owned(),
            kind: section.sh_type(endian),
            flags: section.sh_flags(endian).into(),
            address: section.sh_addr(endian).into(),
            size: section.sh_size(endian).into(),
            align: section.sh_addralign(endian).into(),
            entry_size: section.sh_entsize(endian).into(),
            data: section.data(endian, bytes).unwrap_or_default(),
            relocations: Vec::new(),
        });
    }
    let is_relocatable = header.e_type(endian) == elf::ET_REL;
    if is_relocatable {
        for section in file.sections() {
            let mut relocations: Vec<Relocation> = section
                .relocations()
                .map(|(offset, relocation)| one_relocation(&file, offset, &relocation))
                .collect();
            relocations.sort_by_key(|relocation| relocation.offset);
            if let Some(slot) = sections.get_mut(section.index().0) {
                slot.relocations = relocations;
            }
        }
    }
    let segments = file.elf_program_headers().iter();
    let mut image = Image {
        header: vec![
            ("type", u64::from(header.e_type(endian))),
            ("machine", u64::from(header.e_machine(endian))),
            ("flags", u64::from(header.e_flags(endian))),
            ("OS ABI", u64::from(header.e_ident().os_abi)),
            ("ABI version", u64::from(header.e_ident().abi_version)),
        ],
        machine: header.e_machine(endian),
        is_64: header.is_class_64(),
        is_little: endian.is_little_endian(),
        is_relocatable,
        entry: header.e_entry(endian).into(),
        symbols: symbols(&file)?,
        dynamic_symbols: dynamic_symbols(&file, bytes)?,
        dynamic_relocations: Vec::new(),
        dynamic: dynamic(&file, bytes)?,
        segments: segments
            .map(|segment| {
                (
                    segment.p_type(endian),
                    segment.p_flags(endian),
                    segment.p_vaddr(endian).into(),
                    segment.p_memsz(endian).into(),
                    segment.p_align(endian).into(),
                )
            })
            .collect(),
        sections,
    };
    if !is_relocatable {
        image.place_thread_local();
        image.dynamic_relocations = dynamic_relocations::all(&file, bytes, &image);
    }
    Ok(image)
}

impl Image<'_> {
    /// The segment that each thread has a copy of: address, size in memory, alignment.
    pub fn thread_local(&self) -> Option<(u64, u64, u64)> {
        let segment = self.segments.iter().find(|segment| segment.0 == elf::PT_TLS);
        segment.map(|&(_, _, address, size, align)| (address, size, align.max(1)))
    }

    /// A linked file has thread-local symbols by their offset in each thread's copy: here they stand where their first
    /// contents do.
    fn place_thread_local(&mut self) {
        let Some((start, ..)) = self.thread_local() else { return };
        let symbols = self.symbols.iter_mut();
        for symbol in symbols.filter(|symbol| symbol.kind == elf::STT_TLS && !symbol.is_undefined) {
            symbol.address = symbol.address.wrapping_add(start);
        }
    }

    /// Bytes of an address.
    pub fn word_size(&self) -> u64 {
        if self.is_64 { 8 } else { 4 }
    }

    /// The address that stands at `address`, if something does.
    pub fn pointer(&self, address: u64) -> Option<u64> {
        let holds = |section: &&Section<'_>| {
            section.is_loaded() && address >= section.address && address - section.address < section.size
        };
        let section = self
            .sections
            .iter()
            .filter(|one| one.kind != elf::SHT_NOBITS)
            .find(holds)?;
        let start = usize::try_from(address - section.address).ok()?;
        let bytes = section.data.get(start..)?;
        let (is_little, four, eight) = (self.is_little, bytes.first_chunk::<4>(), bytes.first_chunk::<8>());
        Some(match (self.is_64, is_little) {
            (true, true) => u64::from_le_bytes(*eight?),
            (true, false) => u64::from_be_bytes(*eight?),
            (false, true) => u32::from_le_bytes(*four?).into(),
            (false, false) => u32::from_be_bytes(*four?).into(),
        })
    }
}

fn one_relocation<Elf: FileHeader<Endian = object::Endianness>>(
    file: &ElfFile<'_, Elf>,
    offset: u64,
    relocation: &object::Relocation,
) -> Relocation {
    let symbol = match relocation.target() {
        RelocationTarget::Symbol(index) => file.symbol_by_index(index).ok(),
        _ => None,
    };
    let target = match symbol {
        None => Target::None,
        Some(symbol) => match (symbol.kind(), symbol.section_index(), symbol.name()) {
            (object::SymbolKind::Section, Some(section), _) => Target::Section(section.0),
            (_, _, Ok(name)) if !name.is_empty() => Target::Symbol(name.to_owned()),
            _ => Target::None,
        },
    };
    let kind = match relocation.flags() {
        object::RelocationFlags::Elf { r_type } => r_type,
        _ => 0,
    };
    Relocation {
        offset,
        kind,
        target,
        addend: relocation.addend(),
    }
}

fn one_symbol<'d>(symbol: &impl ObjectSymbol<'d>, file: &str) -> Symbol {
    let (info, other) = match symbol.flags() {
        SymbolFlags::Elf { st_info, st_other } => (st_info, st_other),
        _ => (0, 0),
    };
    Symbol {
        name: symbol
            .name_bytes()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .unwrap_or_default(),
        version: String::new(),
        kind: info & 0xf,
        binding: info >> 4,
        visibility: other & 3,
        size: symbol.size(),
        address: symbol.address(),
        section: symbol.section_index().map(|index| index.0),
        is_undefined: symbol.is_undefined(),
        file: file.to_owned(),
    }
}

fn symbols<Elf: FileHeader<Endian = object::Endianness>>(file: &ElfFile<'_, Elf>) -> object::Result<Vec<Symbol>> {
    let mut symbols = Vec::new();
    let mut source = String::new();
    for symbol in file.symbols() {
        let read = one_symbol(&symbol, if symbol.is_local() { &source } else { "" });
        match read.kind {
            elf::STT_FILE => source = read.name,
            elf::STT_SECTION => {}
            _ if read.name.is_empty() => {}
            _ => symbols.push(read),
        }
    }
    Ok(symbols)
}

fn dynamic_symbols<Elf: FileHeader<Endian = object::Endianness>>(
    file: &ElfFile<'_, Elf>,
    bytes: &[u8],
) -> object::Result<Vec<Symbol>> {
    let versions = file.elf_section_table().versions(file.endian(), bytes)?;
    let mut symbols = Vec::new();
    for symbol in file.dynamic_symbols() {
        let mut read = one_symbol(&symbol, "");
        if let Some(versions) = &versions {
            let index = versions.version_index(file.endian(), symbol.index());
            if let Ok(Some(version)) = versions.version(index) {
                let hidden = if index.is_hidden() { "@" } else { "@@" };
                read.version = format!("{hidden}{}", String::from_utf8_lossy(version.name()));
            }
        }
        if !read.name.is_empty() {
            symbols.push(read);
        }
    }
    Ok(symbols)
}

/// Tags whose value is a string, and those whose value is a number that does not depend on where things are.
const TEXTS: [i64; 7] = [
    elf::DT_NEEDED,
    elf::DT_SONAME,
    elf::DT_RPATH,
    elf::DT_RUNPATH,
    elf::DT_AUXILIARY,
    elf::DT_FILTER,
    0x6fff_fefa,
];

fn dynamic<Elf: FileHeader<Endian = object::Endianness>>(
    file: &ElfFile<'_, Elf>,
    bytes: &[u8],
) -> object::Result<Vec<(i64, String)>> {
    let (endian, table) = (file.endian(), file.elf_section_table());
    let Some((entries, link)) = table.dynamic(endian, bytes)? else {
        return Ok(Vec::new());
    };
    let strings = table.strings(endian, bytes, link)?;
    let mut said = Vec::new();
    for entry in entries {
        let tag: i64 = entry.d_tag(endian).into();
        let value: u64 = entry.d_val(endian).into();
        if tag == elf::DT_NULL {
            break;
        }
        let text = u32::try_from(value).ok().and_then(|offset| strings.get(offset).ok());
        said.push(match (TEXTS.contains(&tag), text) {
            (true, Some(text)) => (tag, String::from_utf8_lossy(text).into_owned()),
            _ => (tag, format!("{value:#x}")),
        });
    }
    Ok(said)
}

/// Sections by name, with how many of that name came before: `.text`, `.text` #2.
pub fn by_name<'i, 'a>(image: &'i Image<'a>) -> Vec<((String, usize), &'i Section<'a>)> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    image
        .sections
        .iter()
        .filter(|section| section.kind != elf::SHT_NULL)
        .map(|section| {
            let before = seen.entry(&section.name).or_default();
            *before += 1;
            ((section.name.clone(), *before), section)
        })
        .collect()
}
