//! thinlto-ld: distributed ThinLTO for any link that lld can make.
//!
//! [`link::run`] is the way of the data, on one screen; each room below knows only those it is built on.

// Nothing that fails outside may panic; tests may.
#![cfg_attr(
    not(test),
    deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)
)]

mod archive;
pub mod backend;
pub mod bitcode;
pub mod cache;
pub mod check;
pub mod children;
pub mod cmdline;
pub mod color;
pub mod compare;
pub mod compiled;
pub mod descriptors;
pub mod distribute;
pub mod explain;
pub mod fault;
pub mod final_link;
mod fresh;
pub mod inputs;
pub mod install;
pub mod link;
pub mod llvm;
pub mod machine;
pub mod names;
pub mod narrowed;
pub mod native;
pub mod observe;
pub mod private;
pub mod processes;
pub mod relocatable;
pub mod remote;
mod response;
pub mod route;
pub mod say;
pub mod schedule;
pub mod settings;
pub mod shell;
pub mod slots;
pub mod staging;
pub mod stamp;
pub mod symbol_trace;
pub mod symbols;
mod sys;
pub mod thin_link;
pub mod threads;
pub mod toolchain;
pub mod unchanged;
