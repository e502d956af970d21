//! Whether two addresses of two images mean the same place, and two stretches of bytes the same contents: by the names
//! that stand there, by the text, by what is pointed to in turn. Knows nothing of which stretches are to be compared.

use std::collections::{BTreeMap, HashMap};

use object::elf;

use super::aarch64;
use super::image::{Image, Relocation, Section, Target};
use super::slots::{self, Stub};
use super::thread_local::{self, Form, ThreadLocal};
use super::x86::{self, Readings};

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
    /// Of what can be told.
    pub fn of(is_same: bool) -> Sameness {
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
    /// Names of what stands where its section ends: the next one may begin there.
    ends: BTreeMap<u64, Vec<&'i str>>,
    stubs: BTreeMap<u64, Stub>,
    thread_local: Option<ThreadLocal<'i>>,
}

/// What lld fills a page with.
pub const PADDING: &str = ".relro_padding";

/// Pointers to pointers to pointers; no honest chain that has no name on its way is longer.
const DEEPEST: usize = 4;
/// Bytes compared where nothing says how long a thing is.
const GLANCE: u64 = 16;
/// How many names before a place may be the one that covers it.
const NEAR: usize = 24;

impl<'i, 'a> Places<'i, 'a> {
    /// Sorts an image's names.
    pub fn of(image: &'i Image<'a>) -> Self {
        let mut names: HashMap<usize, Vec<(u64, u64, &'i str)>> = HashMap::new();
        let mut ends: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for symbol in &image.symbols {
            let Some(number) = symbol.section else { continue };
            let name = symbol.name.as_str();
            names
                .entry(number)
                .or_default()
                .push((symbol.address, symbol.size, name));
            let section = image.sections.get(number);
            let section = section.filter(|one| one.is_loaded() && !one.is_zeroed_per_thread() && !image.is_relocatable);
            if section.is_some_and(|one| one.address.wrapping_add(one.size) == symbol.address) {
                ends.entry(symbol.address).or_default().push(name);
            }
        }
        let loaded = image.sections.iter().enumerate();
        let mut sections: Vec<_> = loaded
            .filter(|(_, section)| {
                let is_nothing = section.name == PADDING || section.flags & u64::from(elf::SHF_TLS) != 0;
                section.is_loaded() && section.size > 0 && !is_nothing
            })
            .map(|(index, section)| (section.address, section.address + section.size, index))
            .collect();
        sections.sort_unstable();
        let relocations: BTreeMap<u64, &Relocation> =
            image.dynamic_relocations.iter().map(|one| (one.offset, one)).collect();
        for names in names.values_mut() {
            names.sort_unstable();
        }
        Places {
            image,
            names,
            sections,
            relocations,
            ends,
            stubs: slots::stubs(image),
            thread_local: ThreadLocal::of(image),
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

    /// The entry of a procedure linkage table there, and how far into it.
    fn stub_at(&self, address: u64) -> Option<(Stub, u64)> {
        let (start, stub) = self.stubs.range(..=address).next_back()?;
        (address - start < stub.size).then_some((*stub, address - start))
    }

    fn bytes(&self, section: usize, address: u64, length: u64) -> Option<&'a [u8]> {
        let section: &Section<'a> = self.image.sections.get(section)?;
        let start = usize::try_from(address.checked_sub(section.address)?).ok()?;
        section
            .data
            .get(start..start.checked_add(usize::try_from(length).ok()?)?)
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
        match (self.a.ends.get(&a), self.b.ends.get(&b)) {
            (Some(ends), Some(others)) if ends.iter().any(|name| others.contains(name)) => Sameness::Same,
            // What begins there may be meant as well as what ends there.
            _ => self.same_beginning(a, b, depth),
        }
    }

    fn same_beginning(&self, a: u64, b: u64, depth: usize) -> Sameness {
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
        if section_a.name != section_b.name {
            return Sameness::Different;
        }
        if depth >= DEEPEST {
            return Sameness::of(a == b);
        }
        if let (Some((one, into)), Some((other, as_far))) = (self.a.stub_at(a), self.b.stub_at(b)) {
            return Sameness::of(into == as_far).max(self.same_slot(one.slot, other.slot, depth + 1));
        }
        if slots::holds_addresses(section_a) && !self.a.image.is_relocatable {
            return self.same_slot(a, b, depth + 1);
        }
        let is_nameless = names_a.is_empty() && names_b.is_empty();
        if section_a.kind == elf::SHT_NOBITS {
            let is_as_far = a - section_a.address == b - section_b.address;
            return match (is_nameless, is_as_far) {
                (true, true) => Sameness::Same,
                (true, false) => Sameness::Untold,
                (false, _) => Sameness::Different,
            };
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
        let length = GLANCE.min(left(section_a, a)).min(left(section_b, b));
        let is_code = section_a.flags & u64::from(elf::SHF_EXECINSTR) != 0;
        match self.same_bytes_at((in_a, a), (in_b, b), length, depth + 1) {
            Sameness::Different if is_nameless && !is_code => Sameness::Untold,
            sameness => sameness,
        }
    }

    /// Whether two slots of tables of addresses lead to the same: to what they are relocated to, or to what they hold.
    fn same_slot(&self, a: u64, b: u64, depth: usize) -> Sameness {
        match (self.a.relocations.get(&a), self.b.relocations.get(&b)) {
            (Some(one), Some(other)) if one.kind == other.kind => {
                let target = self.same_target(one, other, depth);
                match (&one.target, thread_local::form(self.a.image.machine, one.kind)) {
                    (Target::None, Some(Form::Module)) => target.max(self.same_offset_behind(a, b)),
                    _ => target,
                }
            }
            (None, None) => {
                let (Some(one), Some(other)) = (self.a.image.pointer(a), self.b.image.pointer(b)) else {
                    return Sameness::Different;
                };
                let signed = |value: u64| match self.a.image.is_64 {
                    true => value.cast_signed(),
                    false => i64::from(u32::try_from(value).unwrap_or_default().cast_signed()),
                };
                let place = self.same_place_at(one, other, depth + 1);
                place.min(self.same_thread_local(signed(one), signed(other)))
            }
            _ => Sameness::Different,
        }
    }

    /// Behind a module's number there is an offset into its thread-local memory.
    fn same_offset_behind(&self, a: u64, b: u64) -> Sameness {
        let behind = |image: &Image<'_>, slot: u64| image.pointer(slot.wrapping_add(image.word_size()));
        match (behind(self.a.image, a), behind(self.b.image, b)) {
            // The beginning of the memory is meant, or a variable that happens to be there.
            (Some(0), Some(0)) => Sameness::Same,
            (Some(one), Some(other)) => self.same_offset(one, other),
            _ => Sameness::Different,
        }
    }

    fn thread_local(&self) -> Option<thread_local::Both<'_, '_>> {
        let (a, b) = (self.a.thread_local.as_ref()?, self.b.thread_local.as_ref()?);
        Some(thread_local::Both { a, b })
    }

    fn same_offset(&self, a: u64, b: u64) -> Sameness {
        let both = self.thread_local();
        both.map_or(Sameness::of(a == b), |both| both.same_offset(a, b))
    }

    fn same_thread_local(&self, one: i64, other: i64) -> Sameness {
        let both = self.thread_local();
        both.map_or(Sameness::Different, |both| both.same_number(one, other))
    }

    /// Whether `length` bytes at two places (section and address) are the same, addresses in them taken for what they mean.
    pub fn same_bytes(&self, a: (usize, u64), b: (usize, u64), length: u64) -> Sameness {
        self.same_bytes_at(a, b, length, 0)
    }

    fn same_bytes_at(&self, (in_a, a): (usize, u64), (in_b, b): (usize, u64), length: u64, depth: usize) -> Sameness {
        // What follows has the same addresses.
        if self.a.image.sections[in_a].is_zeroed_per_thread() {
            return Sameness::of(self.b.image.sections[in_b].is_zeroed_per_thread());
        }
        let relocations = self.same_relocations((in_a, a), (in_b, b), length, depth);
        if relocations == Sameness::Different || self.a.image.sections[in_a].kind == elf::SHT_NOBITS {
            return relocations;
        }
        let (Some(x), Some(y)) = (self.a.bytes(in_a, a, length), self.b.bytes(in_b, b, length)) else {
            return Sameness::Different;
        };
        let is_aarch64 = self.a.image.machine == elf::EM_AARCH64;
        let is_code = self.a.image.sections[in_a].flags & u64::from(elf::SHF_EXECINSTR) != 0;
        let bytes = match (self.a.image.machine, is_code) {
            _ if x == y && !(is_aarch64 && is_code) => Sameness::Same,
            (elf::EM_AARCH64, true) if self.a.image.is_relocatable => Sameness::of(x == y),
            (elf::EM_AARCH64, true) => aarch64::same(&Addresses { pair: self, depth }, (x, a), (y, b)),
            (elf::EM_X86_64 | elf::EM_386, _) | (_, false) => self.same_words(x, y, (a, b), is_code, depth),
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
                let form = thread_local::form(self.a.image.machine, one.kind);
                let (a, b) = (one.addend.cast_unsigned(), other.addend.cast_unsigned());
                match form {
                    Some(Form::Module) => Sameness::Same,
                    Some(Form::Offset) => self.same_offset(a, b),
                    None => self.same_place_at(a, b, depth + 1),
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
    fn same_words(&self, x: &[u8], y: &[u8], (a, b): (u64, u64), is_code: bool, depth: usize) -> Sameness {
        let (mut at, mut worst) = (0, Sameness::Same);
        while at < x.len() {
            if x[at] == y[at] {
                at += 1;
                continue;
            }
            let mut found = (Sameness::Different, at);
            for start in (at.saturating_sub(7)..=at).rev() {
                let readings = match is_code {
                    true => x86::readings(self.a.image.machine, &x[..start]),
                    false => x86::DATA,
                };
                found = found.min(self.word((x, y), (a, b), (start, at), &readings, depth));
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
    fn word(
        &self,
        (x, y): (&[u8], &[u8]),
        (a, b): (u64, u64),
        (start, at): (usize, usize),
        readings: &Readings,
        depth: usize,
    ) -> (Sameness, usize) {
        let little = self.a.image.is_little;
        let long = match (self.a.image.is_64, long(x, start, little), long(y, start, little)) {
            (true, Some(one), Some(other)) => self.same_place_at(one, other, depth + 1),
            _ => Sameness::Different,
        };
        let (Some(one), Some(other), true) = (word(x, start, little), word(y, start, little), at < start + 4) else {
            return (long, start + 8);
        };
        if long == Sameness::Same {
            return (long, start + 8);
        }
        let relative = |base: u64, value: i32| base.wrapping_add_signed(i64::from(value));
        let ahead = readings.ahead.iter().map(|far| {
            let far = start as u64 + far;
            (relative(a + far, one), relative(b + far, other))
        });
        let read = |(a, b)| self.same_place_at(a, b, depth + 1);
        let mut short = Sameness::best(ahead.map(read));
        if readings.is_absolute && short != Sameness::Same {
            short = short.min(self.absolute(one, other, depth));
        }
        // Entries of a table may count from its beginning.
        if readings.is_of_table && short != Sameness::Same {
            short = short.min(read((relative(a, one), relative(b, other))));
        }
        (short, start + 4).min((long, start + 8))
    }

    /// A number that is an address as it is, or counts from the table of addresses or the thread's pointer.
    fn absolute(&self, one: i32, other: i32, depth: usize) -> Sameness {
        let signed = |value: i32| i64::from(value).cast_unsigned();
        let unsigned = |value: i32| u64::from(value.cast_unsigned());
        let table = |places: &Places<'_, '_>| {
            let is_counted_from = places.image.machine == elf::EM_386;
            is_counted_from.then(|| slots::table(places.image)).flatten()
        };
        let tables = table(self.a).zip(table(self.b));
        let from = |table: u64, value: i32| table.wrapping_add_signed(i64::from(value));
        let from_tables = tables.map(|(a, b)| (from(a, one), from(b, other)));
        let ways = [(signed(one), signed(other)), (unsigned(one), unsigned(other))];
        let ways = ways.into_iter().chain(from_tables);
        let places = Sameness::best(ways.map(|(a, b)| self.same_place_at(a, b, depth + 1)));
        places.min(self.same_thread_local(one.into(), other.into()))
    }
}

/// Addresses in code, at some depth.
struct Addresses<'q, 'p, 'i, 'a> {
    pair: &'q Pair<'p, 'i, 'a>,
    depth: usize,
}

impl aarch64::Judge for Addresses<'_, '_, '_, '_> {
    fn address(&self, a: u64, b: u64) -> Sameness {
        self.pair.same_place_at(a, b, self.depth + 1)
    }

    fn thread_offset(&self, a: i64, b: i64) -> Sameness {
        let both = self.pair.thread_local();
        both.map_or(Sameness::Different, |both| both.same_from_pointer(a, b))
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
