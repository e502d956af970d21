//! A module's table of types, as far as it takes to tell what an instruction refers to and whether it makes a value.
//! Knows nothing of names, layouts and sizes.

use super::bitstream::{Block, Budget, Entry, Record};
use super::{BitcodeError, ids};

/// What is to be known of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    Void,
    Label,
    Metadata,
    /// Of so many bits.
    Integer(u64),
    /// With the numbers of what it gives and takes, in order; variable arguments are not among them.
    Function {
        result: u64,
        parameters: Vec<u64>,
    },
    Other,
}

/// The types, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Types(Vec<Type>);

impl Types {
    /// Reads a TYPE block (llvm BitcodeReader.cpp `parseTypeTableBody`).
    pub(super) fn read(mut block: Block<'_>) -> Result<Types, BitcodeError> {
        let mut types = Vec::new();
        let mut record = Record::default();
        let mut budget = Budget::of(block.bytes());
        while let Some(entry) = block.next(&mut record)? {
            let Entry::Record = entry else { continue };
            budget.spend(&record)?;
            types.push(match record.code {
                ids::TYPE_NUMENTRY | ids::TYPE_STRUCT_NAME => continue,
                ids::TYPE_VOID => Type::Void,
                ids::TYPE_LABEL => Type::Label,
                ids::TYPE_METADATA => Type::Metadata,
                ids::TYPE_INTEGER => Type::Integer(record.operand(0)?),
                // vararg, result, parameters
                ids::TYPE_FUNCTION => Type::Function {
                    result: record.operand(1)?,
                    parameters: record.operands.get(2..).unwrap_or_default().to_vec(),
                },
                _ => Type::Other,
            });
        }
        Ok(Types(types))
    }

    pub(super) fn get(&self, number: u64) -> Option<&Type> {
        self.0.get(usize::try_from(number).ok()?)
    }

    /// What a function of that type gives, and the types of what it takes.
    pub(super) fn function(&self, number: u64) -> Option<(&Type, &[u64])> {
        match self.get(number)? {
            Type::Function { result, parameters } => Some((self.get(*result)?, parameters)),
            _ => None,
        }
    }
}
