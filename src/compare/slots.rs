//! Entries of procedure linkage tables: where each is, and the slot of the table of addresses that it jumps through.
//! Which entry and which slot is whose depends on their order, so neither says anything by its number.
//! Knows nothing of what is in a slot.

use std::collections::BTreeMap;

use object::elf;

use super::image::{Image, Section};

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stub {
    /// Its bytes.
    pub size: u64,
    /// Where the address stands that it jumps to.
    pub slot: u64,
}

/// Sections of entries.
pub fn is_table(section: &Section<'_>) -> bool {
    section.name.starts_with(".plt") || section.name == ".iplt"
}

/// Sections of slots.
pub fn holds_addresses(section: &Section<'_>) -> bool {
    section.name.starts_with(".got")
}

/// The slot that the instructions at the beginning of some bytes jump through; the address is that of the bytes.
type Jump = fn(&Image<'_>, &[u8], u64) -> Option<u64>;

/// How a machine's entries jump: what they are aligned to, and the sequence.
const JUMPS: [(u16, usize, Jump); 4] = [
    (elf::EM_X86_64, 1, x86_64),
    (elf::EM_386, 1, i386),
    (elf::EM_AARCH64, 4, aarch64),
    (elf::EM_RISCV, 4, riscv),
];

/// Bytes of an entry, of every machine here; what may follow them is padding.
const ENTRY: u64 = 16;
/// An entry that is a target of indirect branches begins with an instruction that says so.
const LANDING: [(u16, &[u8]); 2] = [
    (elf::EM_X86_64, &[0xf3, 0x0f, 0x1e, 0xfa]),
    (elf::EM_AARCH64, &[0x5f, 0x24, 0x03, 0xd5]),
];

/// All entries of an image, by their address.
pub fn stubs(image: &Image<'_>) -> BTreeMap<u64, Stub> {
    let mut stubs = BTreeMap::new();
    let Some((_, step, jump)) = JUMPS.iter().find(|(machine, ..)| *machine == image.machine) else {
        return stubs;
    };
    let landing = LANDING.iter().find(|(machine, _)| *machine == image.machine);
    let landing = landing.map_or(&[][..], |(_, bytes)| *bytes);
    for table in image.sections.iter().filter(|section| is_table(section)) {
        let mut at = 0;
        while let Some(bytes) = table.data.get(at..).filter(|bytes| !bytes.is_empty()) {
            let Some(slot) = jump(image, bytes, table.address + at as u64) else {
                at += step;
                continue;
            };
            let begins = match table.data[..at].ends_with(landing) {
                true => at - landing.len(),
                false => at,
            };
            stubs.insert(table.address + begins as u64, Stub { size: ENTRY, slot });
            at += 6_usize.next_multiple_of(*step);
        }
    }
    stubs
}

fn four(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn signed(word: u32) -> i64 {
    i64::from(word.cast_signed())
}

/// `jmp *offset(%rip)`
fn x86_64(_: &Image<'_>, bytes: &[u8], address: u64) -> Option<u64> {
    let offset = four(bytes, 2).filter(|_| bytes.starts_with(&[0xff, 0x25]))?;
    Some(address.wrapping_add(6).wrapping_add_signed(signed(offset)))
}

/// `jmp *address`, and in what may be loaded anywhere `jmp *offset(%ebx)`, counted from the table of addresses.
fn i386(image: &Image<'_>, bytes: &[u8], _: u64) -> Option<u64> {
    let value = four(bytes, 2)?;
    match bytes.get(..2)? {
        [0xff, 0x25] => Some(value.into()),
        [0xff, 0xa3] => Some(table(image)?.wrapping_add_signed(signed(value)) & u64::from(u32::MAX)),
        _ => None,
    }
}

/// What `_GLOBAL_OFFSET_TABLE_` is on x86.
pub fn table(image: &Image<'_>) -> Option<u64> {
    let find = |name: &str| image.sections.iter().find(|section| section.name == name);
    find(".got.plt").or_else(|| find(".got")).map(|section| section.address)
}

/// `adrp x16, page; ldr x17, [x16, offset]`
fn aarch64(_: &Image<'_>, bytes: &[u8], address: u64) -> Option<u64> {
    let (adrp, ldr) = (four(bytes, 0)?, four(bytes, 4)?);
    if adrp & 0x9f00_001f != 0x9000_0010 || ldr & 0xffc0_03ff != 0xf940_0211 {
        return None;
    }
    Some(super::aarch64::page(adrp, address).wrapping_add(u64::from(ldr >> 10 & 0xfff) * 8))
}

/// `auipc t3, high; ld t3, low(t3)` (or `lw`)
fn riscv(_: &Image<'_>, bytes: &[u8], address: u64) -> Option<u64> {
    let (auipc, load) = (four(bytes, 0)?, four(bytes, 4)?);
    if auipc & 0xfff != 0xe17 || !matches!(load & 0xf_ffff, 0xe_3e03 | 0xe_2e03) {
        return None;
    }
    let (high, low) = (signed(auipc & 0xffff_f000), signed(load) >> 20);
    Some(address.wrapping_add_signed(high).wrapping_add_signed(low))
}
