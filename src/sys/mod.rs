//! The few calls that Rust cannot check: every `unsafe` of the project, each with its reason.
//! Knows nothing of what is mapped or of whom the tokens are asked for.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

/// Maps a file read-only.
///
/// # Errors
/// As `mmap` says.
#[allow(unsafe_code)]
pub fn map(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the bytes may change under us if somebody writes the file, as under lld itself. Every reader of a map in
    // this crate checks bounds on each access and takes no reference to anything but bytes; that a module did not change
    // between being read and being compiled is checked by its stamp.
    unsafe { memmap2::Mmap::map(file) }
}

/// Has an open descriptor that this process was started with refer to `file`, for it and for whoever it starts.
///
/// # Errors
/// There is no such descriptor.
#[allow(unsafe_code)]
pub fn replace(descriptor: RawFd, file: &File) -> io::Result<()> {
    // SAFETY: it is inherited, so that nobody in this process owns it, and nobody comes to: it is not closed here.
    let mut inherited = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(descriptor) });
    Ok(rustix::io::dup2(file, &mut inherited)?)
}

/// make's jobserver, if `MAKEFLAGS` names one that can be used. Recipes without `+` get the numbers of closed descriptors
/// from make 4.3: who opens files of their own asks for this first.
#[allow(unsafe_code)]
pub fn jobserver() -> Option<jobserver::Client> {
    static OF_MAKE: OnceLock<Option<jobserver::Client>> = OnceLock::new();
    // SAFETY: the descriptors are taken once, whoever asks, and the crate is told to check that they are pipes before.
    // Nothing else in this process owns a pipe when it is first asked.
    let take = || unsafe { jobserver::Client::from_env_ext(true) }.client.ok();
    OF_MAKE.get_or_init(take).clone()
}
