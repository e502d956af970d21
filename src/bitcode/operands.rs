//! What the instructions of a function refer to: values and metadata, by number. A table of how each kind of record is laid out.
//! Knows nothing of what instructions do; a record that is not in the table is not understood, and neither is what follows it.
//!
//! Values are numbered as they come, and referred to by how far back they are (llvm BitcodeWriter.cpp `pushValue`,
//! `pushValueAndType`), so that every record has to be read to tell which number the next one has.

use super::bitstream::Record;
use super::ids;
use super::types::{Type, Types};

/// One operand, or several.
#[derive(Clone, Copy)]
enum Part {
    /// So many that are no values.
    Skip(usize),
    /// A value.
    Value,
    /// A value; its type stands behind it where it comes further on.
    Typed,
    /// All that is left, each like that.
    AllTyped,
    /// The same, and none of them further on: metadata would look like that.
    AllEarlier,
    /// All that is left, each a value.
    AllValues,
    /// A value by its own number.
    Absolute,
    /// All that is left: a value by its own number, a block.
    Cases,
    /// All that is left: a value by a signed distance, a block; what flags may follow have no partner.
    Incoming,
    /// All that is left: a kind, a value with its type as above.
    Clauses,
    /// The function's type, the function, arguments as its type says, variable ones with their types.
    Callee,
}

/// Whether an instruction has a number.
#[derive(Clone, Copy)]
enum Makes {
    Value,
    Nothing,
    /// That is for the type of the function that is called to say.
    WhatIsCalled,
}

struct Layout {
    code: u64,
    parts: &'static [Part],
    makes: Makes,
}

const fn layout(code: u64, parts: &'static [Part], makes: Makes) -> Layout {
    Layout { code, parts, makes }
}

use Part::{Absolute, AllEarlier, AllTyped, AllValues, Callee, Cases, Clauses, Incoming, Skip, Typed};

/// llvm BitcodeWriter.cpp `ModuleBitcodeWriter::writeInstruction`, LLVM 16 to 22. What is left behind these parts are flags,
/// alignments, orderings and types.
static LAYOUTS: [Layout; 31] = [
    layout(ids::FUNC_UNOP, &[Typed], Makes::Value),
    layout(ids::FUNC_BINOP, &[Typed, Part::Value], Makes::Value),
    layout(ids::FUNC_CAST, &[Typed], Makes::Value),
    layout(ids::FUNC_FREEZE, &[Typed], Makes::Value),
    // inbounds, type
    layout(ids::FUNC_GEP, &[Skip(2), AllTyped], Makes::Value),
    layout(ids::FUNC_EXTRACTVAL, &[Typed], Makes::Value),
    layout(ids::FUNC_INSERTVAL, &[Typed, Typed], Makes::Value),
    layout(ids::FUNC_VSELECT, &[Typed, Part::Value, Typed], Makes::Value),
    layout(ids::FUNC_EXTRACTELT, &[Typed, Typed], Makes::Value),
    layout(ids::FUNC_INSERTELT, &[Typed, Part::Value, Typed], Makes::Value),
    layout(ids::FUNC_SHUFFLEVEC, &[Typed, Part::Value, Typed], Makes::Value),
    layout(ids::FUNC_CMP2, &[Typed, Part::Value], Makes::Value),
    layout(ids::FUNC_RET, &[AllTyped], Makes::Nothing),
    // blocks
    layout(ids::FUNC_BR, &[Skip(2), AllValues], Makes::Nothing),
    // type; the block of the default
    layout(
        ids::FUNC_SWITCH,
        &[Skip(1), Part::Value, Skip(1), Cases],
        Makes::Nothing,
    ),
    // type
    layout(ids::FUNC_INDIRECTBR, &[Skip(1), Part::Value], Makes::Nothing),
    layout(ids::FUNC_UNREACHABLE, &[], Makes::Nothing),
    layout(ids::FUNC_RESUME, &[Typed], Makes::Nothing),
    // type, whether it cleans up, how many
    layout(ids::FUNC_LANDINGPAD, &[Skip(3), Clauses], Makes::Value),
    // type
    layout(ids::FUNC_PHI, &[Skip(1), Incoming], Makes::Value),
    // types of what is allocated and of how many
    layout(ids::FUNC_ALLOCA, &[Skip(2), Absolute], Makes::Value),
    layout(ids::FUNC_LOAD, &[Typed], Makes::Value),
    layout(ids::FUNC_LOADATOMIC, &[Typed], Makes::Value),
    layout(ids::FUNC_STORE, &[Typed, Typed], Makes::Nothing),
    layout(ids::FUNC_STOREATOMIC, &[Typed, Typed], Makes::Nothing),
    layout(ids::FUNC_CMPXCHG, &[Typed, Typed, Part::Value], Makes::Value),
    layout(ids::FUNC_ATOMICRMW, &[Typed, Typed], Makes::Value),
    layout(ids::FUNC_FENCE, &[], Makes::Nothing),
    // type of the list
    layout(ids::FUNC_VAARG, &[Skip(1), Part::Value], Makes::Value),
    // functions
    layout(ids::FUNC_BLOCKADDR_USERS, &[], Makes::Nothing),
    // tag
    layout(ids::FUNC_OPERAND_BUNDLE, &[Skip(1), AllEarlier], Makes::Nothing),
];

/// What stands before the type of what is called.
const CALLEE: &[Part] = &[Callee];

/// Bits of a call's flags (llvm/Bitcode/LLVMBitCodes.h `CallMarkersFlags`; an invoke has its own).
const CALL_HAS_TYPE: u64 = 1 << 15;
const CALL_HAS_FAST_MATH: u64 = 1 << 17;
const INVOKE_HAS_TYPE: u64 = 1 << 13;

/// What instructions refer to.
#[derive(Debug, Default)]
pub(super) struct Referred {
    pub(super) values: Vec<u64>,
    pub(super) metadata: Vec<u64>,
}

/// Reads the instructions of one function in order.
#[derive(Debug)]
pub(super) struct Instructions<'t> {
    types: &'t Types,
    /// The number of the next value.
    next: u32,
    referred: Referred,
}

impl<'t> Instructions<'t> {
    /// Begins where the values of the module, of the function's arguments and of its constants end.
    pub(super) fn new(types: &'t Types, next: u32) -> Instructions<'t> {
        Instructions {
            types,
            next,
            referred: Referred::default(),
        }
    }

    /// What was referred to by all that were taken.
    pub(super) fn referred(self) -> Referred {
        self.referred
    }

    /// Takes the next record; none where it is not understood, after which nothing is to be asked.
    pub(super) fn take(&mut self, record: &Record<'_>) -> Option<()> {
        let mut rest = record.operands.as_slice();
        let (parts, makes) = match LAYOUTS.iter().find(|layout| layout.code == record.code) {
            Some(layout) => (layout.parts, layout.makes),
            None => {
                rest = rest.get(before_callee(record)?..)?;
                (CALLEE, Makes::WhatIsCalled)
            }
        };
        let called = rest.first().copied();
        for part in parts {
            self.part(*part, &mut rest)?;
        }
        let makes_value = match makes {
            Makes::Value => true,
            Makes::Nothing => false,
            Makes::WhatIsCalled => *self.types.function(called?)?.0 != Type::Void,
        };
        self.next = self.next.checked_add(makes_value.into())?;
        Some(())
    }

    fn part(&mut self, part: Part, rest: &mut &[u64]) -> Option<()> {
        match part {
            Skip(count) => *rest = rest.get(count.min(rest.len())..)?,
            Part::Value => {
                self.value(rest)?;
            }
            Typed => self.typed(rest)?,
            AllTyped => {
                while !rest.is_empty() {
                    self.typed(rest)?;
                }
            }
            AllEarlier => {
                while !rest.is_empty() {
                    let value = self.value(rest)?;
                    (value < self.next).then_some(())?;
                }
            }
            AllValues => {
                while !rest.is_empty() {
                    self.value(rest)?;
                }
            }
            Absolute => self.absolute(rest)?,
            Cases => {
                while !rest.is_empty() {
                    self.absolute(rest)?;
                    next(rest)?;
                }
            }
            Incoming => {
                while let [distance, _block, more @ ..] = rest {
                    let (magnitude, negative) = ((distance >> 1) as u32, distance & 1 == 1);
                    self.refer(match negative {
                        true => self.next.wrapping_add(magnitude),
                        false => self.next.wrapping_sub(magnitude),
                    });
                    *rest = more;
                }
            }
            Clauses => {
                while !rest.is_empty() {
                    next(rest)?;
                    self.typed(rest)?;
                }
            }
            Callee => self.callee(rest)?,
        }
        Some(())
    }

    fn callee(&mut self, rest: &mut &[u64]) -> Option<()> {
        let types = self.types;
        let (_, parameters) = types.function(next(rest)?)?;
        self.typed(rest)?;
        for parameter in parameters {
            match types.get(*parameter)? {
                Type::Label => {
                    next(rest)?;
                }
                Type::Metadata => {
                    let number = self.next.wrapping_sub(next(rest)? as u32);
                    self.referred.metadata.push(number.into());
                }
                _ => {
                    self.value(rest)?;
                }
            }
        }
        self.part(AllTyped, rest)
    }

    fn refer(&mut self, value: u32) {
        self.referred.values.push(value.into());
    }

    /// Distances are of 32 bits, and those to what comes further on wrap around.
    fn value(&mut self, rest: &mut &[u64]) -> Option<u32> {
        let number = self.next.wrapping_sub(next(rest)? as u32);
        self.refer(number);
        Some(number)
    }

    fn typed(&mut self, rest: &mut &[u64]) -> Option<()> {
        if self.value(rest)? >= self.next {
            next(rest)?;
        }
        Some(())
    }

    fn absolute(&mut self, rest: &mut &[u64]) -> Option<()> {
        let number = u32::try_from(next(rest)?).ok()?;
        self.refer(number);
        Some(())
    }
}

fn next(rest: &mut &[u64]) -> Option<u64> {
    let (first, more) = rest.split_first()?;
    *rest = more;
    Some(*first)
}

/// How many operands stand before the type of what is called; none for a record that calls nothing, or does not say it.
fn before_callee(record: &Record<'_>) -> Option<usize> {
    let flags = *record.operands.get(1)?;
    let has = |bit: u64| flags & bit != 0;
    match record.code {
        // attributes, flags, fast-math flags
        ids::FUNC_CALL if has(CALL_HAS_TYPE) => Some(2 + usize::from(has(CALL_HAS_FAST_MATH))),
        // attributes, flags, two blocks
        ids::FUNC_INVOKE if has(INVOKE_HAS_TYPE) => Some(4),
        // attributes, flags, the default's block, how many, as many blocks
        ids::FUNC_CALLBR if has(CALL_HAS_TYPE) => {
            let blocks = usize::try_from(*record.operands.get(3)?).ok()?;
            blocks.checked_add(4)
        }
        _ => None,
    }
}
