//! Files that a command line names by a descriptor it was given: `/dev/stdin`, a shell's `<(…)`. A link that is distributed
//! opens its files more than once, and so may lld after it, which a pipe does not allow: what comes out of one is kept, and
//! the descriptor then means a file with that. Knows nothing of what is in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::cmdline::{Invocation, Item};
use crate::sys;

/// What the names of descriptors begin with.
const FOLDERS: [&str; 2] = ["/dev/fd/", "/proc/self/fd/"];

/// The descriptor that a path is another name of, which each process opens as its own.
fn named(path: &OsStr) -> Option<RawFd> {
    let path = path.to_str()?;
    let number = FOLDERS.iter().find_map(|folder| path.strip_prefix(folder));
    match number {
        None => (path == "/dev/stdin").then_some(0),
        Some(number) => number.parse().ok(),
    }
}

/// Whether a path means another file to another process.
pub fn is_one(path: &Path) -> bool {
    named(path.as_os_str()).is_some()
}

/// Reads every pipe that the command line names by its descriptor, and has that mean what was read: for this process, and
/// for all that it starts or becomes. A pipe that cannot be read is left to lld, which will say so.
pub fn keep_pipes(invocation: &Invocation) {
    let mut descriptors: Vec<RawFd> = invocation.items.iter().filter_map(of_item).collect();
    descriptors.sort_unstable();
    descriptors.dedup();
    for descriptor in descriptors {
        match keep(descriptor) {
            Ok(()) => {}
            Err(error) => tracing::debug!(descriptor, %error, "cannot be kept"),
        }
    }
}

fn of_item(item: &Item) -> Option<RawFd> {
    match item {
        Item::Input(path) => named(path),
        Item::Option { value, .. } => named(value.as_deref()?),
    }
}

fn keep(descriptor: RawFd) -> io::Result<()> {
    let path = format!("/proc/self/fd/{descriptor}");
    if !fs::metadata(&path)?.file_type().is_fifo() {
        return Ok(());
    }
    let mut kept = File::from(memfd_create("thinlto-ld-pipe", MemfdFlags::CLOEXEC)?);
    io::copy(&mut File::open(&path)?, &mut kept)?;
    sys::replace(descriptor, &kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_by_name() {
        let number = |path: &str| named(OsStr::new(path));
        assert_eq!(number("/dev/stdin"), Some(0));
        assert_eq!(number("/dev/fd/63"), Some(63));
        assert_eq!(number("/proc/self/fd/0"), Some(0));
        assert_eq!(number("/dev/fd/x"), None);
        assert_eq!(number("/dev/null"), None);
    }
}
