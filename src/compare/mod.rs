//! The same link in-process and distributed, side by side: are the objects identical, is the output equivalent, what did
//! each cost. Knows nothing of how either link is made; both are made by running thinlto-ld.

pub mod command;
mod driver;
mod image;
mod judge;
pub mod link;
mod listing;
mod measure;
mod object_pair;
mod objects;
mod output_facts;
mod output_pair;
pub mod page;
mod places;
pub mod report;
mod sides;
pub mod supervise;
pub mod table;
mod trace;
pub mod verdict;
