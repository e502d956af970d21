//! The cache of backend objects: what an object is named by ([`key`]), how inputs are told apart by content ([`digest`]),
//! where objects live ([`store`]), when they go ([`policy`]) and how often they served ([`tally`]). Knows nothing of clang or of links: callers hand in bytes.

pub mod digest;
pub mod key;
pub mod link;
mod lld_dir;
pub mod looked;
mod memo;
pub mod policy;
pub mod store;
pub mod tally;
pub mod views;

pub use digest::{Digest, Digests, Stamp};
pub use key::{AsmInput, ExtraInput, Key, KeyParts};
pub use link::{Cache, Held, Keyed, ModuleParts, Tier, home};
pub use looked::Looked;
pub use policy::{Plan, Policy, PolicyError, Pruned, Usage};
pub use store::{Access, CacheOff, Destination, Hit, Miss, Outputs, PutError, Store};
pub use tally::{Counts, Tally};
pub use views::{Place, Views};
