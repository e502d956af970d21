//! What a file is, from as few of its bytes as will do: the magic, and for fat LTO the ELF section headers.
//! Knows nothing of paths, nor of what is inside bitcode.

use crate::cmdline::Invocation;
use object::Endianness;
use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader};

/// How many leading bytes [`classify`] wants: enough for every magic and for the ELF header's `e_type`.
pub const HEAD: usize = 64;

/// `SHT_LLVM_LTO`: the section that carries the bitcode of a fat LTO object (`.llvm.lto`).
const SHT_LLVM_LTO: u32 = 0x6fff_4c0c;

/// What a file is to lld (`identify_magic` in llvm/lib/BinaryFormat/Magic.cpp, `LinkerDriver::addFile` in lld/ELF/Driver.cpp).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// LLVM bitcode, raw or in the wrapper of Apple targets.
    Bitcode,
    /// A relocatable ELF object.
    NativeObject,
    /// A relocatable ELF object that carries bitcode too, in a link with `--fat-lto-objects`.
    FatObject,
    /// A shared ELF object.
    SharedObject,
    /// An archive that holds its members.
    Archive,
    /// An archive that names its members.
    ThinArchive,
    /// None of the formats: lld reads it as a linker script.
    Text,
    /// Its contents are not linked as code: after `--format=binary`, or named by `--just-symbols`.
    Data,
    /// A pipe or a device. Reading it would take its contents from the linker, so nobody looked.
    Stream,
    /// ELF that cannot be linked: an executable, a core dump.
    Unknown,
}

impl FileKind {
    /// LTO has work to do here.
    pub fn is_bitcode(self) -> bool {
        matches!(self, Self::Bitcode | Self::FatObject)
    }

    /// An archive of either sort.
    pub fn is_archive(self) -> bool {
        matches!(self, Self::Archive | Self::ThinArchive)
    }
}

/// Whether native objects may carry bitcode: `--fat-lto-objects`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FatObjects {
    /// They may.
    Looked,
    /// Nobody looks (the default).
    #[default]
    Ignored,
}

impl FatObjects {
    /// What a command line says.
    pub fn of(invocation: &Invocation) -> Self {
        match invocation.fat_lto_objects() {
            true => Self::Looked,
            false => Self::Ignored,
        }
    }
}

const MAGICS: &[(&[u8], FileKind)] = &[
    (b"BC\xC0\xDE", FileKind::Bitcode),
    (b"\xDE\xC0\x17\x0B", FileKind::Bitcode),
    (b"!<arch>\n", FileKind::Archive),
    (b"!<thin>\n", FileKind::ThinArchive),
];

const ELF_MAGIC: &[u8] = b"\x7fELF";
/// `identify_magic` calls nothing shorter ELF.
const ELF_LEAST: usize = 18;
const EI_DATA: usize = 5;
const ELFDATA2MSB: u8 = 2;
const E_TYPE: usize = 16;

/// Classifies a file by its first [`HEAD`] bytes (or all it has). Never says [`FileKind::FatObject`]: see [`refine`].
pub fn classify(head: &[u8]) -> FileKind {
    if head.starts_with(ELF_MAGIC) && head.len() >= ELF_LEAST {
        return elf_kind(head);
    }
    MAGICS
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map_or(FileKind::Text, |&(_, kind)| kind)
}

fn elf_kind(head: &[u8]) -> FileKind {
    let bytes = match head.get(E_TYPE..ELF_LEAST) {
        Some(&[first, second]) => [first, second],
        _ => return FileKind::Unknown,
    };
    let e_type = match head.get(EI_DATA) {
        Some(&ELFDATA2MSB) => u16::from_be_bytes(bytes),
        _ => u16::from_le_bytes(bytes),
    };
    match e_type {
        object::elf::ET_REL => FileKind::NativeObject,
        object::elf::ET_DYN => FileKind::SharedObject,
        _ => FileKind::Unknown,
    }
}

/// The kind of a whole file in memory, fat LTO objects told apart where the link wants them.
pub fn refine(data: &[u8], fat: FatObjects) -> FileKind {
    match (classify(data), fat) {
        (FileKind::NativeObject, FatObjects::Looked) if fat_bitcode(data).is_some() => FileKind::FatObject,
        (kind, _) => kind,
    }
}

/// The bitcode inside a fat LTO object: the first section of type `SHT_LLVM_LTO`, if it holds anything
/// (`IRObjectFile::findBitcodeInObject`). A damaged object has none: lld then reports it as the ELF file it is.
pub fn fat_bitcode(data: &[u8]) -> Option<&[u8]> {
    section_of::<FileHeader64<Endianness>>(data).or_else(|| section_of::<FileHeader32<Endianness>>(data))
}

fn section_of<Elf: FileHeader<Endian = Endianness>>(data: &[u8]) -> Option<&[u8]> {
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.section_headers(endian, data).ok()?;
    let section = sections
        .iter()
        .find(|section| section.sh_type(endian) == SHT_LLVM_LTO)?;
    section.data(endian, data).ok().filter(|contents| contents.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn magics() {
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0".to_vec();
        assert_eq!(classify(&elf), FileKind::NativeObject);
        elf[E_TYPE] = 3;
        assert_eq!(classify(&elf), FileKind::SharedObject);
        elf[E_TYPE] = 2;
        assert_eq!(classify(&elf), FileKind::Unknown);
        elf[EI_DATA] = ELFDATA2MSB;
        elf[E_TYPE..].copy_from_slice(&[0, 1]);
        assert_eq!(classify(&elf), FileKind::NativeObject);
        elf.pop();
        assert_eq!(classify(&elf), FileKind::Text, "too short to be called ELF");
        assert_eq!(classify(b"BC\xC0\xDE"), FileKind::Bitcode);
        assert_eq!(classify(b"\xDE\xC0\x17\x0B...."), FileKind::Bitcode);
        assert_eq!(classify(b"!<arch>\n"), FileKind::Archive);
        assert_eq!(classify(b"!<thin>\n"), FileKind::ThinArchive);
        assert_eq!(classify(b""), FileKind::Text);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut data in proptest::collection::vec(any::<u8>(), 0..400), elf in any::<bool>()) {
            if elf && data.len() >= 4 {
                data[..4].copy_from_slice(ELF_MAGIC);
            }
            let _ = refine(&data, FatObjects::Looked);
        }
    }
}
