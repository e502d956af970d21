//! In which ways four bytes of x86 code may hold an address, by the bytes before them: read in a way that cannot be meant, a
//! wrong address may seem to be right. Knows nothing of what addresses mean.

use object::elf;

/// How far behind its beginning a field counts from, and whether it may be an address as it is.
pub struct Readings {
    /// Of relative ones, the distance of the next instruction.
    pub ahead: &'static [u64],
    /// Absolute, or counted from the table of addresses or the thread's pointer.
    pub is_absolute: bool,
    /// Counted from where the data begins that it is in.
    pub is_of_table: bool,
}

/// Behind the field, an instruction may have a number of its own.
const ANY: Readings = Readings {
    ahead: &[4, 5, 6, 8],
    is_absolute: true,
    is_of_table: false,
};
/// Instructions with an operand relative to the next one, and no number behind it: mov, lea, movslq, add, sub, cmp, test,
/// and indirect calls and jumps.
const NO_NUMBER: [u8; 14] = [
    0x8b, 0x89, 0x8d, 0x8a, 0x88, 0x63, 0x03, 0x2b, 0x3b, 0x39, 0x85, 0x3a, 0x38, 0xff,
];
/// Instructions whose second byte names registers, with a number behind that: imul, group 1, mov.
const WITH_NUMBER: [u8; 3] = [0x69, 0x81, 0xc7];

/// How a field may be read that these bytes are before.
pub fn readings(machine: u16, before: &[u8]) -> Readings {
    let [.., opcode, last] = before else { return ANY };
    // A second byte that says that a third follows, which then is no instruction's first.
    let has_index = opcode & 7 == 4 && opcode >> 6 != 3;
    let is_call = matches!(last, 0xe8 | 0xe9) && !has_index && !WITH_NUMBER.contains(opcode);
    let is_condition = *opcode == 0x0f && last & 0xf0 == 0x80;
    let is_relative = machine == elf::EM_X86_64 && last & 0xc7 == 0x05 && NO_NUMBER.contains(opcode);
    match (is_call || is_condition, is_relative) {
        (true, _) => Readings {
            ahead: &[4],
            is_absolute: false,
            is_of_table: false,
        },
        // The last byte may also be an instruction of its own that takes a number (add, cmp).
        (_, true) => Readings {
            ahead: &[4],
            is_absolute: true,
            is_of_table: false,
        },
        _ => ANY,
    }
}

/// How a field of data may be read: counted from itself or, in a table, from the table (which is for who knows it).
pub const DATA: Readings = Readings {
    ahead: &[0, 4],
    is_absolute: true,
    is_of_table: true,
};
