//! Whether two addresses of two images mean the same place, and two stretches of bytes the same contents: by the names
//! that stand there, by the text, by what is pointed to in turn. Knows nothing of which stretches are to be compared.

use std::collections::{BTreeMap, HashMap};

use object::elf;

use super::image::{Image, Relocation, Section, Target};

/// How two stretches compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sameness {
    /// The same but for addresses, and those mean the same.
    Same,
    /// Different, on a machine whose code we cannot read addresses out of; or they lead to data without a name, of which
    /// nothing says how long it is, and what stands there or behind it differs.
    Untold,
    /// Different.
    Different,
}

impl Sameness {
    fn of(is_same: bool) -> Sameness {
        if is_same { Sameness::Same } else { Sameness::Different }
    }

    /// Of several ways to read a thing, the one that is most alike.
    fn best(ways: impl Iterator<Item = Sameness>) -> Sameness {
        let mut best = Sameness::Different;
        for sameness in ways {
            best = best.min(sameness);
            if best == Sameness::Same {
                break;
            }
        }
        best
    }
}

/// An image with its names sorted by place.
#[derive(Debug)]
pub struct Places<'i, 'a> {
    /// The image.
    pub image: &'i Image<'a>,
    /// By section: start, size and name of what is there, sorted.
    names: HashMap<usize, Vec<(u64, u64, &'i str)>>,
    /// Loaded sections by address.
    sections: Vec<(u64, u64, usize)>,
    relocations: BTreeMap<u64, &'i Relocation>,
    /// Thread-local symbols by offset, and the size of their segment.
    thread_local: (BTreeMap<u64, &'i str>, u64),
}

/// Pointers to pointers to pointers; no honest chain that has no name on its way is longer.
const DEEPEST: usize = 4;
/// Bytes compared where nothing says how long a thing is.
const GLANCE: u64 = 16;
/// Bytes of an entry in a table of addresses, or of what of it can be told apart.
const POINTER: u64 = 8;
/// How many names before a place may be the one that covers it.
const NEAR: usize = 24;

impl<'i, 'a> Places<'i, 'a> {
    /// Sorts an image's names.
    pub fn of(image: &'i Image<'a>) -> Self {
        let mut names: HashMap<usize, Vec<(u64, u64, &'i str)>> = HashMap::new();
        let mut thread_local = BTreeMap::new();
        for symbol in &image.symbols {
            match symbol.section {
                _ if symbol.kind == elf::STT_TLS => {
                    thread_local.insert(symbol.address, symbol.name.as_str());
                }
                Some(section) => {
                    let place = (symbol.address, symbol.size, symbol.name.as_str());
                    names.entry(section).or_default().push(place);
                }
                None => {}
            }
        }
        let loaded = image.sections.iter().enumerate();
        let mut sections: Vec<_> = loaded
            .filter(|(_, section)| {
                section.is_loaded() && section.size > 0 && section.flags & u64::from(elf::SHF_TLS) == 0
            })
            .map(|(index, section)| (section.address, section.address + section.size, index))
            .collect();
        sections.sort_unstable();
        let relocations: BTreeMap<u64, &Relocation> =
            image.dynamic_relocations.iter().map(|one| (one.offset, one)).collect();
        stubs(image, &relocations, &mut names);
        for names in names.values_mut() {
            names.sort_unstable();
        }
        let tls = image.segments.iter().find(|segment| segment.0 == elf::PT_TLS);
        let tls_size = tls.map_or(0, |(_, _, _, size, align)| size.next_multiple_of((*align).max(1)));
        Places {
            image,
            names,
            sections,
            relocations,
            thread_local: (thread_local, tls_size),
        }
    }

    fn section_at(&self, address: u64) -> Option<usize> {
        let after = self.sections.partition_point(|(start, _, _)| *start <= address);
        let (_, end, index) = *self.sections.get(after.checked_sub(1)?)?;
        (address < end).then_some(index)
    }

    /// The names that cover a place, and how far into them it is.
    fn names_at(&self, section: usize, address: u64) -> Vec<(&'i str, u64)> {
        let Some(names) = self.names.get(&section) else {
            return Vec::new();
        };
        let after = names.partition_point(|(start, _, _)| *start <= address);
        names[..after]
            .iter()
            .rev()
            .take(NEAR)
            .filter(|(start, size, _)| address - start < (*size).max(1))
            .map(|(start, _, name)| (*name, address - start))
            .collect()
    }

    /// The place in words.
    pub fn describe(&self, address: u64) -> String {
        let Some(section) = self.section_at(address) else {
            return format!("{address:#x}");
        };
        match self.names_at(section, address).first() {
            Some((name, 0)) => (*name).to_owned(),
            Some((name, offset)) => format!("{name}+{offset:#x}"),
            None => self.image.sections[section].name.clone(),
        }
    }

    fn bytes(&self, section: usize, address: u64, length: u64) -> Option<&'a [u8]> {
        let section: &Section<'a> = self.image.sections.get(section)?;
        let start = usize::try_from(address.checked_sub(section.address)?).ok()?;
        section
            .data
            .get(start..start.checked_add(usize::try_from(length).ok()?)?)
    }
}

/// Bytes of an entry of x86-64's procedure linkage table.
const STUB: usize = 16;
/// `jmp *offset(%rip)`
const JUMP: [u8; 2] = [0xff, 0x25];

/// Names the entries of the procedure linkage table by what they jump to: their numbers depend on their order.
fn stubs<'i>(
    image: &'i Image<'_>,
    relocations: &BTreeMap<u64, &'i Relocation>,
    names: &mut HashMap<usize, Vec<(u64, u64, &'i str)>>,
) {
    let tables = image.sections.iter().enumerate();
    let tables = tables.filter(|(_, section)| section.name.starts_with(".plt") || section.name == ".iplt");
    for (index, table) in tables.filter(|_| image.machine == elf::EM_X86_64) {
        for (number, entry) in table.data.chunks(STUB).enumerate() {
            let Some(at) = entry.windows(JUMP.len()).position(|bytes| bytes == JUMP) else {
                continue;
            };
            let Some(offset) = word(entry, at + JUMP.len(), true) else {
                continue;
            };
            let start = table.address + (number * STUB) as u64;
            let next = start + (at + JUMP.len() + 4) as u64;
            let slot = next.wrapping_add_signed(i64::from(offset));
            if let Some(Target::Symbol(name)) = relocations.get(&slot).map(|one| &one.target) {
                names.entry(index).or_default().push((start, STUB as u64, name));
            }
        }
    }
}

/// Two images side by side.
#[derive(Debug)]
pub struct Pair<'p, 'i, 'a> {
    /// in-process
    pub a: &'p Places<'i, 'a>,
    /// distributed
    pub b: &'p Places<'i, 'a>,
}

impl Pair<'_, '_, '_> {
    /// Whether two addresses mean the same.
    pub fn same_place(&self, a: u64, b: u64) -> bool {
        self.same_place_at(a, b, 0) == Sameness::Same
    }

    fn same_place_at(&self, a: u64, b: u64, depth: usize) -> Sameness {
        match (self.a.section_at(a), self.b.section_at(b)) {
            (Some(in_a), Some(in_b)) => self.same_spot(in_a, a, in_b, b, depth),
            // The end of a section is no part of it, but symbols stand there.
            (None, None) => Sameness::of(a == b || (a > 0 && b > 0 && self.same_end(a, b))),
            _ => Sameness::Different,
        }
    }

    fn same_end(&self, a: u64, b: u64) -> bool {
        let (Some(in_a), Some(in_b)) = (self.a.section_at(a - 1), self.b.section_at(b - 1)) else {
            return false;
        };
        let (a_section, b_section) = (&self.a.image.sections[in_a], &self.b.image.sections[in_b]);
        a_section.name == b_section.name
    }

    /// The same, of places in sections that are known; in relocatable files nothing else tells.
    fn same_spot(&self, in_a: usize, a: u64, in_b: usize, b: u64, depth: usize) -> Sameness {
        let (Some(section_a), Some(section_b)) = (self.a.image.sections.get(in_a), self.b.image.sections.get(in_b))
        else {
            return Sameness::Different;
        };
        let (names_a, names_b) = (self.a.names_at(in_a, a), self.b.names_at(in_b, b));
        if names_a.iter().any(|name| names_b.contains(name)) {
            return Sameness::Same;
        }
        if section_a.name != section_b.name || depth >= DEEPEST {
            return Sameness::Different;
        }
        let is_nameless = names_a.is_empty() && names_b.is_empty();
        if section_a.kind == elf::SHT_NOBITS {
            return Sameness::of(is_nameless);
        }
        if section_a.flags & u64::from(elf::SHF_STRINGS) != 0 || section_a.entry_size == 1 {
            let text = |places: &Places<'_, '_>, section: usize, at: u64| -> Option<Vec<u8>> {
                let section = places.image.sections.get(section)?;
                let start = usize::try_from(at.checked_sub(section.address)?).ok()?;
                let rest = section.data.get(start..)?;
                Some(rest.iter().copied().take_while(|byte| *byte != 0).collect())
            };
            let is_same = text(self.a, in_a, a).is_some_and(|one| text(self.b, in_b, b) == Some(one));
            // Without a size of entries there is more than strings in it (lld/ELF/OutputSections.cpp, commitSection).
            if is_same || section_a.entry_size > 0 {
                return Sameness::of(is_same);
            }
        }
        let left = |section: &Section<'_>, at: u64| (section.address + section.size).saturating_sub(at);
        let glance = if section_a.name.starts_with(".got") {
            POINTER
        } else {
            GLANCE
        };
        let length = glance.min(left(section_a, a)).min(left(section_b, b));
        let is_code = section_a.flags & u64::from(elf::SHF_EXECINSTR) != 0;
        match self.same_bytes_at((in_a, a), (in_b, b), length, depth + 1) {
            Sameness::Different if is_nameless && !is_code => Sameness::Untold,
            sameness => sameness,
        }
    }

    /// Whether `length` bytes at two places (section and address) are the same, addresses in them taken for what they mean.
    pub fn same_bytes(&self, a: (usize, u64), b: (usize, u64), length: u64) -> Sameness {
        self.same_bytes_at(a, b, length, 0)
    }

    fn same_bytes_at(&self, (in_a, a): (usize, u64), (in_b, b): (usize, u64), length: u64, depth: usize) -> Sameness {
        let relocations = self.same_relocations((in_a, a), (in_b, b), length, depth);
        if relocations == Sameness::Different || self.a.image.sections[in_a].kind == elf::SHT_NOBITS {
            return relocations;
        }
        let (Some(x), Some(y)) = (self.a.bytes(in_a, a, length), self.b.bytes(in_b, b, length)) else {
            return Sameness::Different;
        };
        if x == y {
            return relocations;
        }
        let is_code = self.a.image.sections[in_a].flags & u64::from(elf::SHF_EXECINSTR) != 0;
        let bytes = match (self.a.image.machine, is_code) {
            (elf::EM_AARCH64, true) => same_aarch64(x, y),
            (elf::EM_X86_64 | elf::EM_386, _) | (_, false) => self.same_words(x, y, (a, b), depth),
            _ => Sameness::Untold,
        };
        bytes.max(relocations)
    }

    /// Relocations that are left for whoever loads or links the file.
    fn same_relocations(
        &self,
        (in_a, a): (usize, u64),
        (in_b, b): (usize, u64),
        length: u64,
        depth: usize,
    ) -> Sameness {
        let (left, right): (Vec<&Relocation>, Vec<&Relocation>) = match self.a.image.is_relocatable {
            true => (
                within(&self.a.image.sections[in_a], a, length),
                within(&self.b.image.sections[in_b], b, length),
            ),
            false => (
                self.a.relocations.range(a..a + length).map(|(_, one)| *one).collect(),
                self.b.relocations.range(b..b + length).map(|(_, one)| *one).collect(),
            ),
        };
        let is_alike =
            |one: &Relocation, other: &Relocation| one.kind == other.kind && one.offset - a == other.offset - b;
        let pairs = || left.iter().zip(&right);
        if left.len() != right.len() || !pairs().all(|(one, other)| is_alike(one, other)) {
            return Sameness::Different;
        }
        let targets = pairs().map(|(one, other)| self.same_target(one, other, depth));
        targets.max().unwrap_or(Sameness::Same)
    }

    /// Whether two relocations lead to the same place.
    fn same_target(&self, one: &Relocation, other: &Relocation, depth: usize) -> Sameness {
        match (&one.target, &other.target) {
            (Target::Symbol(name), Target::Symbol(same)) if name == same => Sameness::of(one.addend == other.addend),
            (Target::None, Target::None) => {
                let (a, b) = (one.addend.cast_unsigned(), other.addend.cast_unsigned());
                match a == b {
                    true => Sameness::Same,
                    false => self.same_place_at(a, b, depth + 1),
                }
            }
            (Target::Section(in_a), Target::Section(in_b)) => {
                // What is added for where the instruction ends (-4) leads out of a section whose beginning is meant.
                Sameness::best([0, 4, 5, 8].iter().map(|ahead| {
                    let place = |addend: i64| u64::try_from(addend + ahead).ok();
                    let places = place(one.addend).zip(place(other.addend));
                    places.map_or(Sameness::Different, |(a, b)| {
                        self.same_spot(*in_a, a, *in_b, b, depth + 1)
                    })
                }))
            }
            _ => Sameness::Different,
        }
    }

    /// Bytes that differ must belong to addresses that mean the same: relative to the place (and what of the instruction
    /// follows it), absolute, relative to the table they stand in, or to the thread's own memory.
    fn same_words(&self, x: &[u8], y: &[u8], (a, b): (u64, u64), depth: usize) -> Sameness {
        let (mut at, mut worst) = (0, Sameness::Same);
        while at < x.len() {
            if x[at] == y[at] {
                at += 1;
                continue;
            }
            let mut found = (Sameness::Different, at);
            for start in (at.saturating_sub(7)..=at).rev() {
                found = found.min(self.word(x, y, (a, b), start, at, depth));
                if found.0 == Sameness::Same {
                    break;
                }
            }
            if found.0 == Sameness::Different {
                return Sameness::Different;
            }
            (worst, at) = (worst.max(found.0), found.1);
        }
        worst
    }

    /// Whether a word that begins at `start` and holds the differing byte `at` means the same in both, and its end.
    fn word(&self, x: &[u8], y: &[u8], (a, b): (u64, u64), start: usize, at: usize, depth: usize) -> (Sameness, usize) {
        let little = self.a.image.is_little;
        let long = match (self.a.image.is_64, long(x, start, little), long(y, start, little)) {
            (true, Some(one), Some(other)) => self.same_place_at(one, other, depth + 1),
            _ => Sameness::Different,
        };
        let (Some(one), Some(other), true) = (word(x, start, little), word(y, start, little), at < start + 4) else {
            return (long, start + 8);
        };
        if long == Sameness::Same || self.same_thread_local(one, other) {
            return (Sameness::Same, start + if long == Sameness::Same { 8 } else { 4 });
        }
        let relative = |base: u64, value: i32| base.wrapping_add_signed(i64::from(value));
        let (from_a, from_b) = (a + start as u64, b + start as u64);
        let bases = [
            (from_a + 4, from_b + 4),
            (from_a, from_b),
            (a, b),
            (from_a + 8, from_b + 8),
            (from_a + 5, from_b + 5),
            (from_a + 6, from_b + 6),
        ];
        let relatives = bases.map(|(base_a, base_b)| (relative(base_a, one), relative(base_b, other)));
        let signed = |value: i32| i64::from(value).cast_unsigned();
        let unsigned = |value: i32| u64::from(value.cast_unsigned());
        let absolutes = [(signed(one), signed(other)), (unsigned(one), unsigned(other))];
        let short = relatives
            .into_iter()
            .chain(absolutes)
            .map(|(a, b)| self.same_place_at(a, b, depth + 1));
        (Sameness::best(short), start + 4).min((long, start + 8))
    }

    fn same_thread_local(&self, one: i32, other: i32) -> bool {
        let name = |places: &Places<'_, '_>, value: i32| {
            let (names, size) = &places.thread_local;
            let offset = size.checked_add_signed(i64::from(value))?;
            let (start, name) = names.range(..=offset).next_back()?;
            Some(((*name).to_owned(), offset - start))
        };
        name(self.a, one).is_some_and(|place| name(self.b, other) == Some(place))
    }
}

fn within<'s>(section: &'s Section<'_>, start: u64, length: u64) -> Vec<&'s Relocation> {
    let relocations = &section.relocations;
    let first = relocations.partition_point(|one| one.offset < start);
    relocations[first..]
        .iter()
        .take_while(|one| one.offset < start + length)
        .collect()
}

fn word(bytes: &[u8], at: usize, little: bool) -> Option<i32> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(if little {
        i32::from_le_bytes(four)
    } else {
        i32::from_be_bytes(four)
    })
}

fn long(bytes: &[u8], at: usize, little: bool) -> Option<u64> {
    let eight = bytes.get(at..at + 8)?.try_into().ok()?;
    Some(if little {
        u64::from_le_bytes(eight)
    } else {
        u64::from_be_bytes(eight)
    })
}

/// Instructions that hold part of an address: mask, value, and the bits besides it (Arm ARM C4.1).
const AARCH64_ADDRESSES: [(u32, u32, u32); 5] = [
    // b, bl
    (0x7c00_0000, 0x1400_0000, 0xfc00_0000),
    // adr, adrp
    (0x1f00_0000, 0x1000_0000, 0x9f00_001f),
    // add (immediate)
    (0x7f80_0000, 0x1100_0000, 0xffc0_03ff),
    // ldr, str (unsigned immediate)
    (0x3b00_0000, 0x3900_0000, 0xffc0_03ff),
    // ldr (literal)
    (0x3b00_0000, 0x1800_0000, 0xff00_001f),
];

/// The same instructions, whatever the addresses in them are.
fn same_aarch64(x: &[u8], y: &[u8]) -> Sameness {
    let instructions = x.chunks(4).zip(y.chunks(4));
    let same = instructions.filter(|(one, other)| one != other).all(|(one, other)| {
        let (Some(one), Some(other)) = (word(one, 0, true), word(other, 0, true)) else {
            return false;
        };
        let (one, other) = (one.cast_unsigned(), other.cast_unsigned());
        let holds_address = |(mask, value, _): &&(u32, u32, u32)| one & mask == *value;
        AARCH64_ADDRESSES
            .iter()
            .find(holds_address)
            .is_some_and(|(_, _, kept)| one & kept == other & kept)
    });
    Sameness::of(same)
}
