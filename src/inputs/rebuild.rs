//! Archives written anew from chosen members: what the final link gets where an archive held bitcode.
//! Knows nothing of which members to choose; no symbol is looked at, since lld reads none of an archive's own.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ar_archive_writer::{ArchiveKind, NewArchiveMember, ObjectReader, write_archive_to_stream};
use memmap2::Mmap;
use thiserror::Error;

use super::paths;
use crate::sys;

/// What a new member holds.
#[derive(Clone, Copy, Debug)]
pub enum Contents<'a> {
    /// These bytes: a range of a mapped archive.
    Bytes(&'a [u8]),
    /// This file's.
    File(&'a Path),
}

/// A member to write.
#[derive(Clone, Copy, Debug)]
pub struct NewMember<'a> {
    /// Its name, shown by lld as `ARCHIVE(NAME)`. A thin archive shows the file's path from the archive's directory instead.
    pub name: &'a OsStr,
    /// Its bytes.
    pub contents: Contents<'a>,
}

/// Why an archive could not be written.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// A member's file cannot be read.
    #[error("{}: cannot read for archive {}: {source}", member.display(), archive.display())]
    Read {
        /// The archive.
        archive: PathBuf,
        /// The member's file.
        member: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("{}: cannot write archive: {source}", archive.display())]
    Write {
        /// The archive.
        archive: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A member's name cannot be put into an archive: not UTF-8, or with a line break in it.
    #[error("{}: cannot write archive: no archive can hold the name {name:?}", archive.display())]
    Name {
        /// The archive.
        archive: PathBuf,
        /// The name.
        name: String,
    },
}

/// Reads nothing of members: the archive's symbol table stays empty.
static NO_SYMBOLS: ObjectReader = ObjectReader {
    get_symbols: |_, _| Ok(false),
    is_64_bit_object_file: |_| false,
    is_ec_object_file: |_| false,
    is_any_arm64_coff: |_| false,
    get_xcoff_member_alignment: |_| 2,
};

/// A member's bytes, wherever they are.
enum Buffer<'a> {
    Bytes(&'a [u8]),
    Map(Mmap),
}

impl AsRef<[u8]> for Buffer<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Map(map) => map,
        }
    }
}

/// Writes the archive at `path` with these members in this order: thin (nothing copied) if all are files, regular if not.
pub fn write(path: &Path, members: &[NewMember<'_>]) -> Result<(), RebuildError> {
    let thin = !members.is_empty()
        && members
            .iter()
            .all(|member| matches!(member.contents, Contents::File(_)));
    let members = members
        .iter()
        .map(|member| prepare(path, member, thin))
        .collect::<Result<Vec<_>, RebuildError>>()?;
    let write = || -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        write_archive_to_stream(&mut out, &members, ArchiveKind::Gnu, thin, None)?;
        out.flush()
    };
    write().map_err(|source| RebuildError::Write {
        archive: path.into(),
        source,
    })
}

fn prepare<'a>(archive: &Path, member: &NewMember<'a>, thin: bool) -> Result<NewArchiveMember<'a>, RebuildError> {
    let (buffer, name) = match member.contents {
        Contents::Bytes(bytes) => (Buffer::Bytes(bytes), member.name.to_os_string()),
        Contents::File(file) => {
            let map = File::open(file)
                .and_then(|file| sys::map(&file))
                .map_err(|source| RebuildError::Read {
                    archive: archive.into(),
                    member: file.into(),
                    source,
                })?;
            let name = if thin {
                from_archive(archive, file)?.into()
            } else {
                member.name.to_os_string()
            };
            (Buffer::Map(map), name)
        }
    };
    match name.to_str() {
        Some(name) if !name.is_empty() && !name.contains(['\n', '\0']) => {
            Ok(NewArchiveMember::new(buffer, &NO_SYMBOLS, name.to_owned()))
        }
        _ => Err(RebuildError::Name {
            archive: archive.into(),
            name: name.to_string_lossy().into_owned(),
        }),
    }
}

/// How a thin archive names a file: from its own directory where the file is below it, else from the root.
fn from_archive(archive: &Path, file: &Path) -> Result<PathBuf, RebuildError> {
    let relative = file
        .strip_prefix(paths::parent(archive))
        .ok()
        .filter(|path| path.is_relative());
    match relative {
        Some(path) if !path.as_os_str().as_bytes().is_empty() => Ok(path.into()),
        _ => std::path::absolute(file).map_err(|source| RebuildError::Read {
            archive: archive.into(),
            member: file.into(),
            source,
        }),
    }
}
