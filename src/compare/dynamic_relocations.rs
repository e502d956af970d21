//! The relocations that a linked file leaves to whoever loads it, of every form: with addends beside them, with addends in
//! place, or packed as mere places (RELR). Knows nothing of what stands at those places.

use object::elf;
use object::read::elf::{ElfFile, FileHeader, Rel, Rela, SectionHeader, Sym};

use super::image::{Image, Relocation, Section, Target};

/// Of each machine, the relocation by which an address in the file itself is moved to where the file is loaded.
const RELATIVE: [(u16, u32); 6] = [
    (elf::EM_X86_64, elf::R_X86_64_RELATIVE),
    (elf::EM_386, elf::R_386_RELATIVE),
    (elf::EM_AARCH64, elf::R_AARCH64_RELATIVE),
    (elf::EM_ARM, elf::R_ARM_RELATIVE),
    (elf::EM_RISCV, elf::R_RISCV_RELATIVE),
    (elf::EM_PPC64, elf::R_PPC64_RELATIVE),
];

/// Relocations packed as places (the generic ABI's `SHT_RELR`, and Android's number for it).
pub const PACKED: [u32; 2] = [19, 0x6fff_ff00];

/// All of a linked file's. Sections are read, not the dynamic section: a statically linked program has none, and still
/// relocates itself (`R_*_IRELATIVE`).
pub fn all<Elf: FileHeader<Endian = object::Endianness>>(
    file: &ElfFile<'_, Elf>,
    bytes: &[u8],
    image: &Image<'_>,
) -> Vec<Relocation> {
    let (endian, mut found) = (file.endian(), Vec::new());
    let headers = file.elf_section_table().iter().zip(&image.sections);
    for (header, section) in headers.filter(|(_, section)| section.is_loaded()) {
        if let Ok(Some((entries, _))) = header.rela(endian, bytes) {
            found.extend(entries.iter().map(|entry| Relocation {
                offset: entry.r_offset(endian).into(),
                kind: entry.r_type(endian, false),
                target: target(file, entry.r_sym(endian, false)),
                addend: entry.r_addend(endian).into(),
            }));
        }
        if let Ok(Some((entries, _))) = header.rel(endian, bytes) {
            found.extend(entries.iter().map(|entry| {
                let (offset, target) = (entry.r_offset(endian).into(), target(file, entry.r_sym(endian)));
                // With a symbol, what stands there may be for the first call only.
                let addend = match target {
                    Target::None => in_place(image, offset),
                    _ => 0,
                };
                Relocation {
                    offset,
                    kind: entry.r_type(endian),
                    target,
                    addend,
                }
            }));
        }
        if PACKED.contains(&section.kind) {
            found.extend(unpacked(image, section));
        }
    }
    found
}

fn target<Elf: FileHeader<Endian = object::Endianness>>(file: &ElfFile<'_, Elf>, number: u32) -> Target {
    let table = file.elf_dynamic_symbol_table();
    let symbol = match number {
        0 => None,
        number => usize::try_from(number).ok(),
    };
    let symbol = symbol.and_then(|number| table.symbol(object::SymbolIndex(number)).ok());
    match symbol.and_then(|symbol| symbol.name(file.endian(), table.strings()).ok()) {
        Some(name) if !name.is_empty() => Target::Symbol(String::from_utf8_lossy(name).into_owned()),
        _ => Target::None,
    }
}

fn in_place(image: &Image<'_>, address: u64) -> i64 {
    image.pointer(address).unwrap_or_default().cast_signed()
}

/// An even word is a place, an odd one says by its bits which of the words behind it are places too.
fn unpacked(image: &Image<'_>, section: &Section<'_>) -> Vec<Relocation> {
    let size = image.word_size();
    let of_machine = RELATIVE.iter().find(|(machine, _)| *machine == image.machine);
    let kind = of_machine.map_or(0, |(_, kind)| *kind);
    let (mut found, mut next) = (Vec::new(), 0_u64);
    let mut add = |address: u64| {
        found.push(Relocation {
            offset: address,
            kind,
            target: Target::None,
            addend: in_place(image, address),
        });
    };
    for number in 0..section.size / size {
        let Some(entry) = image.pointer(section.address + number * size) else {
            break;
        };
        if entry & 1 == 0 {
            add(entry);
            next = entry.wrapping_add(size);
            continue;
        }
        let bits = size * 8 - 1;
        for bit in (0..bits).filter(|bit| entry >> (bit + 1) & 1 == 1) {
            add(next.wrapping_add(bit * size));
        }
        next = next.wrapping_add(bits * size);
    }
    found
}
