//! AArch64 code of two images side by side: the same instructions, and the addresses they make up in one or more of them
//! mean the same. Knows nothing of what is at an address.

use super::places::Sameness;

/// Who says what addresses mean.
pub trait Judge {
    /// Whether two addresses mean the same.
    fn address(&self, a: u64, b: u64) -> Sameness;
    /// Whether two numbers added to the thread's pointer do.
    fn thread_offset(&self, a: i64, b: i64) -> Sameness;
}

/// Where an instruction has its immediate: mask and value that tell the instruction, the bits besides the immediate, and
/// what it is (Arm ARM C4.1).
struct Form {
    mask: u32,
    value: u32,
    kept: u32,
    holds: Holds,
}

#[derive(Clone, Copy)]
enum Holds {
    /// How far away it leads: of so many bits from that one on.
    Branch {
        bits: u32,
        from: u32,
    },
    /// How far away a byte is.
    Near,
    /// How far away a page is.
    Page,
    /// What is added to a register.
    Sum,
    /// How far from a register's address something is, in units of its own size.
    Access,
    /// The upper half of a number, and the lower.
    High,
    Low,
}

const fn form(mask: u32, value: u32, kept: u32, holds: Holds) -> Form {
    Form {
        mask,
        value,
        kept,
        holds,
    }
}

const FORMS: [Form; 10] = [
    // b, bl
    form(
        0x7c00_0000,
        0x1400_0000,
        0xfc00_0000,
        Holds::Branch { bits: 26, from: 0 },
    ),
    // b.cond
    form(
        0xff00_0000,
        0x5400_0000,
        0xff00_001f,
        Holds::Branch { bits: 19, from: 5 },
    ),
    // cbz, cbnz
    form(
        0x7e00_0000,
        0x3400_0000,
        0xff00_001f,
        Holds::Branch { bits: 19, from: 5 },
    ),
    // ldr (literal)
    form(
        0x3b00_0000,
        0x1800_0000,
        0xff00_001f,
        Holds::Branch { bits: 19, from: 5 },
    ),
    // adr
    form(0x9f00_0000, 0x1000_0000, 0x9f00_001f, Holds::Near),
    // adrp
    form(0x9f00_0000, 0x9000_0000, 0x9f00_001f, Holds::Page),
    // add (immediate)
    form(0x7f80_0000, 0x1100_0000, 0xffc0_03ff, Holds::Sum),
    // ldr, str (unsigned immediate)
    form(0x3b00_0000, 0x3900_0000, 0xffc0_03ff, Holds::Access),
    // movz ..., lsl 16
    form(0x7fe0_0000, 0x52a0_0000, 0xffe0_001f, Holds::High),
    // movk
    form(0x7fe0_0000, 0x7280_0000, 0xffe0_001f, Holds::Low),
];

/// `mrs Xt, TPIDR_EL0`, but for the register.
const THREAD_POINTER: u32 = 0xd53b_d040;

/// What is known of a register, in both.
#[derive(Clone, Copy)]
enum Register {
    Unknown,
    /// A page's address, the low bits of which are yet to come; and whether no branch has been since.
    Page((u64, u64), bool),
    /// The thread's pointer, and the upper part of an offset, if one was added.
    Thread(Option<(i64, i64)>),
    /// The upper half of a number.
    High((i64, i64)),
}

/// The page that `adrp` at `address` means.
pub fn page(adrp: u32, address: u64) -> u64 {
    (address & !0xfff).wrapping_add_signed(distance(adrp) << 12)
}

/// What adr and adrp hold.
fn distance(word: u32) -> i64 {
    let low = word >> 29 & 3;
    let high = word >> 5 & 0x7_ffff;
    extended(high << 2 | low, 21)
}

fn extended(value: u32, bits: u32) -> i64 {
    i64::from((value << (32 - bits)).cast_signed() >> (32 - bits))
}

/// Whether two stretches of code, at the addresses given, are the same.
pub fn same(judge: &impl Judge, (x, a): (&[u8], u64), (y, b): (&[u8], u64)) -> Sameness {
    let mut reader = Reader {
        judge,
        registers: [Register::Unknown; 32],
    };
    let mut worst = Sameness::Same;
    for (number, (one, other)) in x.chunks(4).zip(y.chunks(4)).enumerate() {
        let far = number as u64 * 4;
        let (Ok(one), Ok(other)) = (one.try_into(), other.try_into()) else {
            return Sameness::of(x == y);
        };
        let (one, other) = (u32::from_le_bytes(one), u32::from_le_bytes(other));
        worst = worst.max(reader.instruction(one, other, a + far, b + far));
        if worst == Sameness::Different {
            break;
        }
    }
    worst
}

struct Reader<'j, J> {
    judge: &'j J,
    registers: [Register; 32],
}

impl<J: Judge> Reader<'_, J> {
    fn instruction(&mut self, one: u32, other: u32, a: u64, b: u64) -> Sameness {
        let target = (one & 31) as usize;
        let form = FORMS.iter().find(|form| one & form.mask == form.value);
        let Some(form) = form.filter(|form| one & form.kept == other & form.kept) else {
            self.forget(one);
            if one & !31 == THREAD_POINTER {
                self.registers[target] = Register::Thread(None);
            }
            return Sameness::of(one == other);
        };
        let base = self.registers[(one >> 5 & 31) as usize];
        let immediates = (one >> 10 & 0xfff, other >> 10 & 0xfff);
        let halves = (i64::from(one >> 5 & 0xffff), i64::from(other >> 5 & 0xffff));
        let before = self.registers[target];
        self.forget(one);
        match form.holds {
            Holds::Branch { bits, from } => {
                let lead =
                    |word: u32, at: u64| at.wrapping_add_signed(extended(word >> from & ((1 << bits) - 1), bits) * 4);
                self.if_differing(one, other, |judge| judge.address(lead(one, a), lead(other, b)))
            }
            Holds::Near => {
                let lead = |word: u32, at: u64| at.wrapping_add_signed(distance(word));
                self.if_differing(one, other, |judge| judge.address(lead(one, a), lead(other, b)))
            }
            Holds::Page => {
                self.registers[target] = Register::Page((page(one, a), page(other, b)), true);
                Sameness::Same
            }
            Holds::Sum if one >> 22 & 1 == 1 => self.upper(target, base, immediates),
            Holds::Sum => self.access(base, immediates, 0),
            Holds::Access => self.access(base, immediates, size(one)),
            Holds::High => {
                self.registers[target] = Register::High((halves.0 << 16, halves.1 << 16));
                Sameness::Same
            }
            Holds::Low => self.number(before, halves),
        }
    }

    fn if_differing(&self, one: u32, other: u32, judged: impl Fn(&J) -> Sameness) -> Sameness {
        match one == other {
            true => Sameness::Same,
            false => judged(self.judge),
        }
    }

    /// The upper part of an offset is added, shifted by 12.
    fn upper(&mut self, target: usize, base: Register, (one, other): (u32, u32)) -> Sameness {
        match base {
            Register::Thread(None) => {
                let offsets = (i64::from(one) << 12, i64::from(other) << 12);
                self.registers[target] = Register::Thread(Some(offsets));
                Sameness::Same
            }
            _ if one == other => Sameness::Same,
            _ => Sameness::Untold,
        }
    }

    /// The low bits of an address are added, in units of two to the power of `scale`.
    fn access(&self, base: Register, (one, other): (u32, u32), scale: u32) -> Sameness {
        let (low_a, low_b) = (u64::from(one) << scale, u64::from(other) << scale);
        match base {
            Register::Page((a, b), is_near) => {
                let same = self.judge.address(a.wrapping_add(low_a), b.wrapping_add(low_b));
                // Behind a branch it may be another page's low bits.
                let doubt = if is_near { Sameness::Different } else { Sameness::Untold };
                same.min(doubt)
            }
            Register::Thread(Some((a, b))) => {
                let sum = |high: i64, low: u64| high.wrapping_add_unsigned(low);
                self.judge.thread_offset(sum(a, low_a), sum(b, low_b))
            }
            _ if one == other => Sameness::Same,
            _ => Sameness::Untold,
        }
    }

    fn number(&self, before: Register, (one, other): (i64, i64)) -> Sameness {
        let Register::High((a, b)) = before else {
            return if one == other { Sameness::Same } else { Sameness::Untold };
        };
        let (a, b) = (a | one, b | other);
        match a == b {
            true => Sameness::Same,
            false => {
                let absolute = self.judge.address(a.cast_unsigned(), b.cast_unsigned());
                absolute.min(self.judge.thread_offset(a, b))
            }
        }
    }

    /// What an instruction writes is not known any more, and what a call may write; taken widely.
    fn forget(&mut self, word: u32) {
        let is_branch = word & 0x1c00_0000 == 0x1400_0000;
        if is_branch {
            for register in &mut self.registers {
                match register {
                    Register::Page(_, is_near) => *is_near = false,
                    Register::High(_) => *register = Register::Unknown,
                    _ => {}
                }
            }
        }
        let is_call = word & 0xfc00_0000 == 0x9400_0000 || word & 0xffff_fc1f == 0xd63f_0000;
        if is_call {
            self.registers[..19].fill(Register::Unknown);
            self.registers[30] = Register::Unknown;
        }
        let is_access = word & 0x0a00_0000 == 0x0800_0000;
        let has_offset = word & 0x3b00_0000 == 0x3900_0000;
        if !is_branch {
            self.registers[(word & 31) as usize] = Register::Unknown;
        }
        if is_access && !has_offset {
            // A pair's second register, or the one that is moved on.
            self.registers[(word >> 10 & 31) as usize] = Register::Unknown;
            self.registers[(word >> 5 & 31) as usize] = Register::Unknown;
        }
    }
}

/// Of what an access reads or writes, the power of two of bytes; vectors of 16 bytes say so by another bit.
fn size(word: u32) -> u32 {
    match word >> 26 & 1 == 1 && word >> 23 & 1 == 1 {
        true => 4,
        false => word >> 30,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known;

    impl Judge for Known {
        fn address(&self, a: u64, b: u64) -> Sameness {
            Sameness::of(a == 0x12_3456 && b == 0x22_3458)
        }
        fn thread_offset(&self, a: i64, b: i64) -> Sameness {
            Sameness::of(a == 0x1018 && b == 0x2028)
        }
    }

    fn code(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn judged(one: &[u32], other: &[u32]) -> Sameness {
        same(&Known, (&code(one), 0x10_0000), (&code(other), 0x10_0000))
    }

    /// `adrp x8, page; add x0, x8, low`
    #[test]
    fn an_address_is_the_page_and_what_is_added() {
        let adrp = |pages: u32| 0x9000_0008 | (pages >> 2) << 5 | (pages & 3) << 29;
        let add = |low: u32| 0x9100_0100 | low << 10;
        let one = [adrp(0x23), add(0x456)];
        assert_eq!(judged(&one, &[adrp(0x123), add(0x458)]), Sameness::Same);
        assert_eq!(judged(&one, &[adrp(0x123), add(0x460)]), Sameness::Different);
        // `add x8, x8, x9` between: nothing is known of x8.
        let lost = |low| [adrp(0x23), 0x8b09_0108, add(low)];
        assert_eq!(judged(&lost(0x456), &lost(0x460)), Sameness::Untold);
    }

    /// `mrs x8, TPIDR_EL0; add x8, x8, high, lsl 12; ldr x0, [x8, low]`
    #[test]
    fn a_threads_variable_is_told_by_its_whole_offset() {
        let of = |high: u32, low: u32| [0xd53b_d048, 0x9140_0108 | high << 10, 0xf940_0100 | low << 10];
        assert_eq!(judged(&of(1, 3), &of(2, 5)), Sameness::Same);
        assert_eq!(judged(&of(1, 3), &of(2, 6)), Sameness::Different);
    }

    #[test]
    fn a_branch_leads_where_it_leads() {
        let (one, other) = (0x9400_8d15_u32, 0x9404_8d16_u32);
        assert_eq!(judged(&[one + 1], &[other]), Sameness::Different);
        let adr = |far: u32| 0x1000_0000 | (far >> 2) << 5 | (far & 3) << 29;
        assert_eq!(judged(&[adr(0x2_3456)], &[adr(0x2_3456)]), Sameness::Same);
        assert_eq!(judged(&[adr(0x2_3456)], &[adr(0x2_3455)]), Sameness::Different);
    }
}
