//! Archives, regular and thin: their members in order, each with its kind and the offset lld names it by.
//! Knows nothing of symbol tables (lld ignores them since 14), nor of which members a link extracts.

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use object::read::archive::ArchiveFile;
use rayon::prelude::*;
use thiserror::Error;

use super::classify::{FatObjects, FileKind, refine};
use super::file::{Stamp, peek};
use super::paths;

const MAGIC: &[u8] = b"!<arch>\n";
const THIN_MAGIC: &[u8] = b"!<thin>\n";
/// Of a member's header: its size, and where its name, the member's size and the mark of the end stand in it.
const HEADER: usize = 60;
const NAME: Range<usize> = 0..16;
const SIZE: Range<usize> = 48..58;
const END: Range<usize> = 58..60;
/// Members that are none: two symbol tables, and long names.
const TABLES: [&[u8]; 3] = [b"/", b"/SYM64/", b"//"];

/// An archive that lld would refuse too.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The archive itself is damaged.
    #[error("{}: failed to parse archive: {reason}", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A thin archive names a file that cannot be read.
    #[error("{}: could not get the buffer for a child of the archive: '{}': {source}", path.display(), member.display())]
    Member {
        /// The archive.
        path: PathBuf,
        /// The member's file.
        member: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Where a member's bytes are.
#[derive(Clone, Debug)]
pub enum MemberData {
    /// In the archive, at this range of its bytes.
    Inside(Range<usize>),
    /// In a file of its own, named by a thin archive.
    File {
        /// The file, relative to the archive's directory as lld resolves it.
        path: PathBuf,
        /// Its bytes, where it holds bitcode.
        map: Option<Arc<Mmap>>,
        /// To notice that it changed.
        stamp: Stamp,
    },
}

/// One member of an archive.
#[derive(Clone, Debug)]
pub struct ArchiveMember {
    /// As the archive spells it: a bare name, in thin archives a path.
    pub name: OsString,
    /// Where its header stands in the archive, in bytes (`Archive::Child::getChildOffset`).
    pub header_offset: u64,
    /// What it is.
    pub kind: FileKind,
    /// Where its bytes are.
    pub data: MemberData,
}

impl ArchiveMember {
    /// The name under which lld knows a bitcode member, in index-only mode too: `ARCHIVE(BASENAME at OFFSET)`
    /// (`BitcodeFile::BitcodeFile` in lld/ELF/InputFiles.cpp).
    pub fn module_name(&self, archive: &Path) -> OsString {
        let mut name = archive.as_os_str().to_os_string();
        name.push("(");
        name.push(OsStr::from_bytes(paths::filename(self.name.as_bytes())));
        name.push(format!(" at {})", self.header_offset));
        name
    }

    /// The name lld's diagnostics and `--trace` use: `ARCHIVE(NAME)` (`toString(const InputFile *)`).
    pub fn display_name(&self, archive: &Path) -> OsString {
        let mut name = archive.as_os_str().to_os_string();
        name.push("(");
        name.push(&self.name);
        name.push(")");
        name
    }
}

/// A member as its header tells, nothing opened yet.
struct Raw<'data> {
    name: &'data [u8],
    header_offset: u64,
    place: Place,
}

/// Where a header says that the bytes are.
enum Place {
    Inside(Range<usize>),
    Elsewhere,
}

/// Every member of the archive `data`, which lld would call `path`; thin archives' files are opened, in parallel.
///
/// As `getArchiveMembers` in lld/ELF/Driver.cpp: a damaged archive or an unreadable member is an error, an empty one is not.
pub fn members(path: &Path, data: &[u8], fat: FatObjects) -> Result<Vec<ArchiveMember>, ArchiveError> {
    let raw = raw_members(path, data)?.collect::<Result<Vec<_>, _>>()?;
    raw.into_par_iter()
        .with_min_len(16)
        .map(|raw| raw.open(path, data, fat))
        .collect()
}

/// Whether any member is bitcode; stops at the first. A damaged archive has none: lld will say what is wrong with it.
pub fn holds_bitcode(path: &Path, data: &[u8], fat: FatObjects) -> bool {
    let Ok(mut raw) = raw_members(path, data) else {
        return false;
    };
    raw.any(|raw| {
        raw.and_then(|raw| raw.open(path, data, fat))
            .is_ok_and(|member| member.kind.is_bitcode())
    })
}

fn raw_members<'data>(
    path: &'data Path,
    data: &'data [u8],
) -> Result<impl Iterator<Item = Result<Raw<'data>, ArchiveError>>, ArchiveError> {
    let damaged = |reason: String| ArchiveError::Damaged {
        path: path.into(),
        reason,
    };
    let archive = ArchiveFile::parse(data).map_err(|error| damaged(error.to_string()))?;
    Ok(archive.members().map(move |member| {
        let member = member.map_err(|error| damaged(error.to_string()))?;
        let header = member.header().ok_or_else(|| damaged("not a Unix archive".into()))?;
        let header_offset = std::ptr::from_ref(header).addr().saturating_sub(data.as_ptr().addr());
        let place = if member.is_thin() {
            Place::Elsewhere
        } else {
            let inside = inside(member.file_range(), data)
                .ok_or_else(|| damaged(format!("member at offset {header_offset} reaches past the end")))?;
            Place::Inside(inside)
        };
        Ok(Raw {
            name: member.name(),
            header_offset: header_offset as u64,
            place,
        })
    }))
}

/// What an archive says of its members: their names, and its table of long ones. None where lld would refuse a header that is read
/// here all the same (llvm/lib/Object/Archive.cpp `AbstractArchiveMemberHeader`): of its fields lld wants the size, in
/// nothing but digits, and the end.
pub fn frame(data: &[u8]) -> Option<Vec<u8>> {
    let (magic, mut rest) = data.split_at_checked(MAGIC.len())?;
    let mut frame = magic.to_vec();
    while !rest.is_empty() {
        let (header, after) = rest.split_at_checked(HEADER)?;
        let (name, size) = (header.get(NAME)?, header.get(SIZE)?);
        if header.get(END)? != b"`\n" {
            return None;
        }
        frame.extend_from_slice(name);
        let digits = std::str::from_utf8(size).ok()?.trim_end_matches(' ');
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let size: usize = digits.parse().ok().filter(|_| is_number)?;
        let name = name.trim_ascii_end();
        let is_stored = magic != THIN_MAGIC || TABLES.contains(&name);
        let stored = if is_stored { size } else { 0 };
        let content = after.get(..stored)?;
        if name == b"//" {
            frame.extend_from_slice(content);
        }
        // The last one's padding may be missing.
        rest = after.get(stored + stored % 2..).unwrap_or_default();
    }
    Some(frame)
}

fn inside((offset, size): (u64, u64), data: &[u8]) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    data.get(start..end).map(|_| start..end)
}

impl Raw<'_> {
    fn open(self, archive: &Path, data: &[u8], fat: FatObjects) -> Result<ArchiveMember, ArchiveError> {
        let (kind, data) = match self.place {
            Place::Inside(range) => (
                refine(data.get(range.clone()).unwrap_or_default(), fat),
                MemberData::Inside(range),
            ),
            Place::Elsewhere => {
                let path = full_name(archive, self.name);
                match open_file(&path, fat) {
                    Ok((kind, map, stamp)) => (kind, MemberData::File { path, map, stamp }),
                    Err(source) => {
                        return Err(ArchiveError::Member {
                            path: archive.into(),
                            member: path,
                            source,
                        });
                    }
                }
            }
        };
        let name = OsString::from_vec(self.name.to_vec());
        Ok(ArchiveMember {
            name,
            header_offset: self.header_offset,
            kind,
            data,
        })
    }
}

type OpenedFile = (FileKind, Option<Arc<Mmap>>, Stamp);

fn open_file(path: &Path, fat: FatObjects) -> io::Result<OpenedFile> {
    let peeked = peek(path)?;
    let stamp = peeked.stamp()?;
    let (kind, map) = peeked.map(fat)?;
    Ok((kind, map, stamp))
}

/// `Archive::Child::getFullName`: a thin archive's names are relative to its own directory.
fn full_name(archive: &Path, name: &[u8]) -> PathBuf {
    if name.starts_with(b"/") {
        return PathBuf::from(OsStr::from_bytes(name));
    }
    paths::join(&[paths::parent(archive).as_os_str().as_bytes(), name])
}
