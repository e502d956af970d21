//! A client of the Bazel Remote Execution API (v2): blobs sent and fetched, actions executed and their results remembered.
//! Knows nothing of links, modules or compilers; what an action does is its caller's affair.

mod alive;
mod batch;
pub mod blob;
pub mod cancel;
pub mod capabilities;
pub mod client;
pub mod compiler;
mod details;
pub mod digest;
pub mod endpoint;
pub mod error;
pub mod execute;
mod farewells;
mod fetch;
mod held;
mod many;
mod results;
mod retry;
mod shared;
mod stream;
pub mod times;
pub mod tree;
pub mod upload;
mod window;

/// The messages of the API, as its definition has them.
pub use bazel_remote_apis::build::bazel::remote::execution::v2 as api;

pub use blob::{Blob, Source};
pub use cancel::Cancel;
pub use capabilities::Capabilities;
pub use client::{Client, Traffic};
pub use digest::Digest;
pub use endpoint::Endpoint;
pub use error::{Kind, RemoteError};
pub use execute::{CacheLookup, Executed, Execution};
pub use many::Heard;
pub use times::Times;
pub use upload::Sent;
