//! Which functions handle exceptions, by the records that unwinders read (`.eh_frame`): they are told of by pointers to them.
//! Knows nothing of symbols, which a stripped file has none of.

use super::image::{Image, Target};

/// `DW_EH_PE_indirect | DW_EH_PE_pcrel | DW_EH_PE_sdata4`: how far away the pointer to the function stands.
const INDIRECT: u8 = 0x9b;

/// Names of the functions that pointers in the file lead to, where those are left to whoever loads it.
pub fn of<'i>(image: &'i Image<'_>) -> Vec<&'i str> {
    let tables = image.sections.iter().filter(|section| section.name == ".eh_frame");
    let pointers = tables.flat_map(|table| pointers(table.data, table.address, image.is_little));
    let relocations = pointers.filter_map(|at| image.dynamic_relocations.iter().find(|one| one.offset == at));
    relocations
        .filter_map(|one| match &one.target {
            Target::Symbol(name) => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

/// Where the pointers stand that the table's common records name; what is damaged ends it.
fn pointers(table: &[u8], address: u64, is_little: bool) -> Vec<u64> {
    let (mut found, mut at) = (Vec::new(), 0);
    let word = |at: usize| {
        let four = *table.get(at..)?.first_chunk()?;
        Some(if is_little {
            u32::from_le_bytes(four)
        } else {
            u32::from_be_bytes(four)
        })
    };
    while let (Some(length @ 1..), Some(kind)) = (word(at), word(at + 4)) {
        let Some(end) = usize::try_from(length)
            .ok()
            .and_then(|length| (at + 4).checked_add(length))
        else {
            break;
        };
        if kind == 0
            && let Some(pointer) = table.get(at + 8..end).and_then(pointer)
            && let Some(far) = word(at + 8 + pointer)
        {
            let place = address.wrapping_add((at + 8 + pointer) as u64);
            found.push(place.wrapping_add_signed(i64::from(far.cast_signed())));
        }
        at = end;
    }
    found
}

/// Where in a common record, behind its head, that distance is (LSB Core, "The Common Information Entry Format").
fn pointer(record: &[u8]) -> Option<usize> {
    let (version, rest) = record.split_first()?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let augmentation = rest.get(..end)?.strip_prefix(b"z")?;
    let mut at = 2 + end;
    // Alignments of code and data, the register of the return address, the length of what follows.
    let numbers = if *version == 1 { 2 } else { 3 };
    for _ in 0..numbers {
        at = behind_number(record, at)?;
    }
    at = behind_number(record, if *version == 1 { at + 1 } else { at })?;
    for letter in augmentation {
        match letter {
            b'P' => return (*record.get(at)? == INDIRECT).then_some(at + 1),
            b'L' | b'R' => at += 1,
            _ => {}
        }
    }
    None
}

/// LEB128: all bytes of a number but the last have the highest bit.
fn behind_number(bytes: &[u8], at: usize) -> Option<usize> {
    let length = bytes.get(at..)?.iter().position(|byte| byte & 0x80 == 0)?;
    Some(at + length + 1)
}
