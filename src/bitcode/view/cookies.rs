//! The integers of a module that nobody reads but to say where in the source an assembly statement stands: clang's `!srcloc`.
//! Knows nothing of digests; it tells which of a module's integers an importer sees for what they are, and which it does not.
//!
//! They are constants at module level, in metadata that is attached to calls, and an edit changes those of everything behind
//! it. LLVM reads their values for messages alone, but compares the nodes they are in (`MachineInstr::isIdenticalTo` where
//! tails are merged). So an integer of 64 bits is hidden unless something is found that leads to it otherwise: a global, a
//! constant, named metadata, a global's metadata, and in the bodies that are imported any instruction, constant, or other
//! attachment. Which nodes are the same is for whoever asks to keep apart, with the values that are given to it.

use std::collections::{BTreeMap, HashMap};

use crate::bitcode::bitstream::{Block, Budget, Entry, Record};
use crate::bitcode::constants;
use crate::bitcode::nodes::{Nodes, Scope};
use crate::bitcode::operands::Instructions;
use crate::bitcode::symbols::ValueRecord;
use crate::bitcode::types::{Type, Types};
use crate::bitcode::{BitcodeError, ids};

const KIND: &[u8] = b"srcloc";

/// What of a module tells which integers are hidden, as it is read.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) types: Types,
    pub(super) nodes: Nodes,
    /// The number that `!srcloc` has in this module.
    kind: Option<u64>,
    /// Integers of 64 bits: value numbers, and the values as they are written.
    integers: BTreeMap<u64, u64>,
    /// Those and all others, as they are written.
    all: Vec<u64>,
    /// Values that constants and globals are made of.
    used: Vec<u64>,
    /// How many values there are at module level.
    values: u64,
}

impl Candidates {
    /// Reads a METADATA_KIND block.
    pub(super) fn kinds(&mut self, mut block: Block<'_>) -> Result<(), BitcodeError> {
        let mut record = Record::default();
        while let Some(entry) = block.next(&mut record)? {
            // number, name
            if let (Entry::Record, ids::METADATA_KIND) = (entry, record.code)
                && record.text(1) == KIND
            {
                self.kind = Some(record.operand(0)?);
            }
        }
        Ok(())
    }

    /// Takes note of a global.
    pub(super) fn global(&mut self, global: &ValueRecord) {
        self.values += 1;
        self.used.extend(global.constants());
    }

    /// Reads the module's CONSTANTS block; every record goes to `seen`, without the value of an integer that may be hidden.
    pub(super) fn constants(
        &mut self,
        block: Block<'_>,
        mut seen: impl FnMut(&Record<'_>),
    ) -> Result<(), BitcodeError> {
        let mut of_64_bits = false;
        self.values = constants::walk(block, self.values, |constant, record| {
            match constant {
                constants::Constant::Type(number) => of_64_bits = self.types.get(number) == Some(&Type::Integer(64)),
                constants::Constant::Value(number) => {
                    self.used.extend_from_slice(constants::operands(record));
                    if record.code == ids::CST_INTEGER {
                        self.all.extend(record.operands.first());
                    }
                    if let (true, ids::CST_INTEGER, &[value]) = (of_64_bits, record.code, record.operands.as_slice()) {
                        self.integers.insert(number, value);
                        record.operands.clear();
                    }
                }
            }
            seen(record);
        })?;
        Ok(())
    }

    /// Every integer, as it is written.
    pub(super) fn all(&self) -> &[u64] {
        &self.all
    }

    /// Those that are hidden from whoever imports nothing, and by number and value those that are not.
    pub(super) fn settle(self) -> (Hidden, Vec<(u64, u64)>) {
        let scope = Scope {
            module: &self.nodes,
            local: &Nodes::default(),
        };
        let named = scope.values_reached(self.nodes.roots.iter().copied());
        let mut hidden = self.integers;
        let (Some(kind), Some(named), false) = (self.kind, named, self.nodes.not_understood) else {
            return (Hidden::default(), hidden.into_iter().collect());
        };
        let shown = named.iter().chain(&self.used);
        let shown = shown.filter_map(|number| hidden.remove_entry(number)).collect();
        let hidden = Hidden {
            integers: hidden.into_iter().collect(),
            kind,
            types: self.types,
            nodes: self.nodes,
            values: self.values,
        };
        (hidden, shown)
    }
}

/// The integers of a module that nothing leads to but its bodies.
#[derive(Debug, Clone, Default)]
pub(super) struct Hidden {
    /// Value numbers, and the values as they are written.
    integers: HashMap<u64, u64>,
    kind: u64,
    types: Types,
    nodes: Nodes,
    values: u64,
}

/// What a body shows of the integers that are hidden without it: value numbers, and the values as they are written.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// For what they are.
    pub(super) plain: Vec<(u64, u64)>,
    /// As places in the source.
    pub(super) cookies: Vec<(u64, u64)>,
}

impl Hidden {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.integers.is_empty()
    }

    /// Reads the body of a function of that type; none where something in it is not understood.
    pub(super) fn shown_by(&self, mut body: Block<'_>, function: u64) -> Result<Option<Shown>, BitcodeError> {
        let Some((_, parameters)) = self.types.function(function) else {
            return Ok(None);
        };
        let mut next = self.values + parameters.len() as u64;
        let (mut local, mut attached) = (Nodes::default(), Attached::default());
        let mut used: Vec<u64> = Vec::new();
        let mut instructions: Option<Instructions<'_>> = None;
        let mut record = Record::default();
        let mut budget = Budget::of(body.bytes());
        while let Some(entry) = body.next(&mut record)? {
            let block = match entry {
                Entry::Block(block) => block,
                Entry::Record if record.code == ids::FUNC_DECLAREBLOCKS => continue,
                Entry::Record => {
                    budget.spend(&record)?;
                    let Ok(next) = u32::try_from(next) else { return Ok(None) };
                    let reading = instructions.get_or_insert_with(|| Instructions::new(&self.types, next));
                    if reading.take(&record).is_none() {
                        return Ok(None);
                    }
                    continue;
                }
            };
            match block.id() {
                // Instructions are numbered on from them.
                Some(ids::CONSTANTS_BLOCK) if instructions.is_none() => {
                    next = constants::walk(block, next, |constant, record| {
                        if let constants::Constant::Value(_) = constant {
                            used.extend_from_slice(constants::operands(record));
                        }
                    })?;
                }
                Some(ids::METADATA_BLOCK) => local.read(block)?,
                Some(ids::METADATA_ATTACHMENT_BLOCK) => attached.read(block, self.kind)?,
                // Names, orders of uses.
                Some(ids::VALUE_SYMTAB_BLOCK | ids::USELIST_BLOCK) => {}
                _ => return Ok(None),
            }
        }
        if local.not_understood {
            return Ok(None);
        }
        let instructions = instructions.map(Instructions::referred).unwrap_or_default();
        used.extend(instructions.values);
        Ok(self.shown(&local, attached, used, instructions.metadata))
    }

    fn shown(&self, local: &Nodes, attached: Attached, mut used: Vec<u64>, metadata: Vec<u64>) -> Option<Shown> {
        let scope = Scope {
            module: &self.nodes,
            local,
        };
        let (mut cookies, mut roots) = (Vec::new(), metadata);
        roots.extend(attached.others);
        for node in attached.places {
            match scope.values_of_tuple(node) {
                Some(values) => cookies.extend(values),
                None => roots.push(node),
            }
        }
        used.extend(scope.values_reached(roots.into_iter().chain(local.roots.iter().copied()))?);
        let values = |numbers: Vec<u64>| {
            let values = numbers
                .into_iter()
                .filter_map(|number| self.integers.get_key_value(&number));
            values.map(|(number, value)| (*number, *value)).collect()
        };
        Some(Shown {
            plain: values(used),
            cookies: values(cookies),
        })
    }
}

/// Metadata attached to a function and its instructions.
#[derive(Default)]
struct Attached {
    places: Vec<u64>,
    others: Vec<u64>,
}

impl Attached {
    /// [instruction,] then kinds and nodes (llvm MetadataLoader.cpp `parseMetadataAttachment`).
    fn read(&mut self, mut block: Block<'_>, place: u64) -> Result<(), BitcodeError> {
        let mut record = Record::default();
        let mut budget = Budget::of(block.bytes());
        while let Some(entry) = block.next(&mut record)? {
            let Entry::Record = entry else { continue };
            budget.spend(&record)?;
            let of_instruction = record.operands.len() % 2 == 1;
            let pairs = record.operands.get(usize::from(of_instruction)..).unwrap_or_default();
            for [kind, node] in pairs.as_chunks::<2>().0 {
                match of_instruction && *kind == place {
                    true => self.places.push(*node),
                    false => self.others.push(*node),
                }
            }
        }
        Ok(())
    }
}
