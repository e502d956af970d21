//! Archives written for a linker: some members of one of the user's. Knows nothing of what is in them.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ar_archive_writer::{ArchiveKind, NewArchiveMember, ObjectReader, write_archive_to_stream};

/// Reads nothing of members: lld has no use of an archive's symbol table.
static NO_SYMBOLS: ObjectReader = ObjectReader {
    get_symbols: |_, _| Ok(false),
    is_64_bit_object_file: |_| false,
    is_ec_object_file: |_| false,
    is_any_arm64_coff: |_| false,
    get_xcoff_member_alignment: |_| 2,
};

/// Writes a regular archive of these members, each with its name.
///
/// # Errors
/// The file cannot be written, or a member's name has no place in an archive.
pub(crate) fn write(path: &Path, members: Vec<(String, Cow<'_, [u8]>)>) -> io::Result<()> {
    let members: Vec<NewArchiveMember<'_>> = members
        .into_iter()
        .map(|(name, bytes)| NewArchiveMember::new(bytes, &NO_SYMBOLS, name))
        .collect();
    let mut out = BufWriter::new(File::create(path)?);
    write_archive_to_stream(&mut out, &members, ArchiveKind::Gnu, false, None).and_then(|()| out.flush())
}
