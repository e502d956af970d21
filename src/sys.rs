//! The one door to operations the compiler cannot check: mapping a file. Knows nothing of what is in the file.

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Maps a whole file for reading. Errors are the system's.
///
/// Sound as long as nobody truncates or rewrites the file in place while it is mapped; lld maps its inputs under the same
/// assumption, build tools replace their outputs rather than write over them, and `inputs::Stamp` lets a change be noticed.
#[allow(unsafe_code)]
pub fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: see above: the mapping is private and read-only, and inputs of a running link are not rewritten in place.
    unsafe { Mmap::map(file) }
}
