//! Backend compiles: from one module and its index to one native object.
//! Knows nothing of the link they are for.

pub mod asm_files;
