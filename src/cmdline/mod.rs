//! ld.lld's command line: read it, know what each option means to a distributed link, write it again.
//! Knows nothing of files: no input is opened here, and whether `-lfoo` exists is somebody else's question.

pub mod invocation;
pub mod table;

pub use invocation::{Input, InputName, Invocation, Item, LtoSetting, OutputKind, Position};
pub use table::{Arity, OptionDef, Role};
