//! The same link in-process and distributed, side by side: are the objects identical, is the output equivalent, what did
//! each cost. Knows nothing of how either link is made; both are made by running thinlto-ld.

mod aarch64;
pub mod command;
mod driver;
mod dynamic_relocations;
mod image;
mod judge;
pub mod link;
mod listing;
mod measure;
mod notes;
mod object_pair;
mod objects;
mod output_facts;
mod output_pair;
pub mod page;
mod personalities;
mod places;
pub mod report;
mod sides;
mod slots;
mod standing;
pub mod supervise;
pub mod table;
mod thread_local;
mod trace;
pub mod verdict;
mod x86;
