//! Offsets into threads' own memory: which variable an offset means, and in what forms code and tables hold one.
//! Knows nothing of which bytes are such offsets.

use std::collections::BTreeMap;

use object::elf;

use super::image::Image;
use super::places::Sameness;

/// Where a variable's offset stands as the addend of a relocation; its module's number, of which the offset stands behind.
struct Forms {
    machine: u16,
    offsets: &'static [u32],
    modules: &'static [u32],
}

const FORMS: [Forms; 5] = [
    Forms {
        machine: elf::EM_X86_64,
        offsets: &[elf::R_X86_64_TPOFF64, elf::R_X86_64_DTPOFF64, elf::R_X86_64_TLSDESC],
        modules: &[elf::R_X86_64_DTPMOD64],
    },
    Forms {
        machine: elf::EM_386,
        offsets: &[elf::R_386_TLS_TPOFF, elf::R_386_TLS_DTPOFF32, elf::R_386_TLS_DESC],
        modules: &[elf::R_386_TLS_DTPMOD32],
    },
    Forms {
        machine: elf::EM_AARCH64,
        offsets: &[
            elf::R_AARCH64_TLS_TPREL,
            elf::R_AARCH64_TLS_DTPREL,
            elf::R_AARCH64_TLSDESC,
        ],
        modules: &[elf::R_AARCH64_TLS_DTPMOD],
    },
    Forms {
        machine: elf::EM_ARM,
        offsets: &[elf::R_ARM_TLS_TPOFF32, elf::R_ARM_TLS_DTPOFF32, elf::R_ARM_TLS_DESC],
        modules: &[elf::R_ARM_TLS_DTPMOD32],
    },
    Forms {
        machine: elf::EM_RISCV,
        offsets: &[
            elf::R_RISCV_TLS_TPREL32,
            elf::R_RISCV_TLS_TPREL64,
            elf::R_RISCV_TLS_DTPREL32,
            elf::R_RISCV_TLS_DTPREL64,
        ],
        modules: &[elf::R_RISCV_TLS_DTPMOD32, elf::R_RISCV_TLS_DTPMOD64],
    },
];

/// What a relocation without a symbol says of thread-local memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Its addend is a variable's offset.
    Offset,
    /// The module's number; the word behind it is the offset.
    Module,
}

/// The form of a relocation; none where it is of ordinary memory.
pub fn form(machine: u16, kind: u32) -> Option<Form> {
    let forms = FORMS.iter().find(|forms| forms.machine == machine)?;
    match (forms.offsets.contains(&kind), forms.modules.contains(&kind)) {
        (true, _) => Some(Form::Offset),
        (_, true) => Some(Form::Module),
        _ => None,
    }
}

/// An image's thread-local memory.
#[derive(Debug)]
pub struct ThreadLocal<'i> {
    /// By offset: size and name of the variables there.
    names: BTreeMap<u64, Vec<(u64, &'i str)>>,
    size: u64,
    /// What code adds to the thread's pointer for the first byte.
    first: i64,
    /// Code asks for the beginning of this module's memory, and adds offsets to that.
    is_asked_for: bool,
}

/// What an offset is found to mean.
#[derive(Debug, PartialEq, Eq)]
enum Meaning<'n> {
    Variable(Vec<&'n str>, u64),
    Nameless,
    /// It leads out of that memory.
    Nothing,
}

impl<'i> ThreadLocal<'i> {
    /// An image's; none where it has no such memory.
    pub fn of(image: &'i Image<'_>) -> Option<ThreadLocal<'i>> {
        let (start, size, align) = image.thread_local()?;
        let mut names: BTreeMap<u64, Vec<(u64, &str)>> = BTreeMap::new();
        for symbol in image
            .symbols
            .iter()
            .filter(|one| one.kind == elf::STT_TLS && !one.is_undefined)
        {
            let at = names.entry(symbol.address.wrapping_sub(start)).or_default();
            at.push((symbol.size, symbol.name.as_str()));
        }
        let mut relocations = image.dynamic_relocations.iter();
        Some(ThreadLocal {
            names,
            size,
            first: first(image, start, size, align),
            is_asked_for: relocations.any(|one| form(image.machine, one.kind) == Some(Form::Module)),
        })
    }

    fn meaning(&self, offset: u64) -> Meaning<'i> {
        if offset >= self.size {
            return Meaning::Nothing;
        }
        let Some((start, variables)) = self.names.range(..=offset).next_back() else {
            return Meaning::Nameless;
        };
        let covers = |(size, _): &&(u64, &str)| offset - start < (*size).max(1);
        let names: Vec<_> = variables.iter().filter(covers).map(|(_, name)| *name).collect();
        match names.is_empty() {
            true => Meaning::Nameless,
            false => Meaning::Variable(names, offset - start),
        }
    }
}

/// What is added to the thread's pointer for the first byte (`getTlsTpOffset` in lld/ELF/InputSection.cpp).
fn first(image: &Image<'_>, start: u64, size: u64, align: u64) -> i64 {
    let within = |value: u64| value & (align - 1);
    let before = match image.machine {
        elf::EM_X86_64 | elf::EM_386 | elf::EM_S390 => {
            let padding = within(0_u64.wrapping_sub(start).wrapping_sub(size));
            0_u64.wrapping_sub(size).wrapping_sub(padding)
        }
        elf::EM_AARCH64 | elf::EM_ARM => {
            let block = image.word_size() * 2;
            block + within(start.wrapping_sub(block))
        }
        elf::EM_PPC | elf::EM_PPC64 | elf::EM_MIPS => within(start).wrapping_sub(0x7000),
        _ => within(start),
    };
    before.cast_signed()
}

/// Two images' thread-local memory.
#[derive(Clone, Copy, Debug)]
pub struct Both<'p, 'i> {
    /// in-process
    pub a: &'p ThreadLocal<'i>,
    /// distributed
    pub b: &'p ThreadLocal<'i>,
}

impl Both<'_, '_> {
    /// Whether two offsets from the first byte mean the same.
    pub fn same_offset(self, a: u64, b: u64) -> Sameness {
        match (self.a.meaning(a), self.b.meaning(b)) {
            (Meaning::Variable(names, into), Meaning::Variable(others, as_far)) => {
                Sameness::of(into == as_far && names.iter().any(|name| others.contains(name)))
            }
            (Meaning::Nameless, Meaning::Nameless) => Sameness::Untold,
            _ => Sameness::Different,
        }
    }

    /// Whether two numbers that are added to the thread's pointer mean the same.
    pub fn same_from_pointer(self, a: i64, b: i64) -> Sameness {
        let offset = |memory: &ThreadLocal<'_>, value: i64| u64::try_from(value.checked_sub(memory.first)?).ok();
        match (offset(self.a, a), offset(self.b, b)) {
            (Some(a), Some(b)) => self.same_offset(a, b),
            _ => Sameness::Different,
        }
    }

    /// The same, of numbers that may also be added to the beginning of the module's memory. What has no name there is
    /// an ordinary number, too.
    pub fn same_number(self, a: i64, b: i64) -> Sameness {
        let from_pointer = self.same_from_pointer(a, b);
        if from_pointer == Sameness::Same || !(self.a.is_asked_for && self.b.is_asked_for) {
            return from_pointer;
        }
        match (u64::try_from(a), u64::try_from(b)) {
            (Ok(a), Ok(b)) if self.same_offset(a, b) == Sameness::Same => Sameness::Same,
            _ => from_pointer,
        }
    }
}
