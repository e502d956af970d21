//! ld.lld's command line: read it, know what each option means to a distributed link, write it again.
//! Knows nothing of files but response files: no input is opened here, and whether `-lfoo` exists is somebody else's question.

pub mod driver;
pub mod error;
pub mod invocation;
mod lto_options;
mod options;
mod parse;
pub mod position;
mod read;
pub mod response;
pub mod table;
#[cfg(test)]
mod tests;
pub mod tokenize;
pub mod write;

pub use error::CommandLineError;
pub use invocation::{ColorDiagnostics, Input, InputName, Invocation, Item, LtoSetting, OutputKind, Position};
pub use table::{Arity, OptionDef, Role, Versions};
pub use write::Replacement;
