//! The objects of a `-r` link, archives' members too, and copies of them that stand in their places on the command line.
//! Knows nothing of which sections are renamed, or why.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use rayon::prelude::*;

use super::Kept;
use super::naming::Renaming;
use super::object::{Patch, patch};
use crate::archive;
use crate::inputs::{Entry, FileKind, Inputs, MemberData, Origin};
use crate::sys;

/// Where an object is among the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its entry.
    pub entry: usize,
    /// In an archive, its member there.
    pub member: Option<usize>,
}

/// An object.
#[derive(Debug)]
pub(super) struct Source {
    /// Where it is.
    pub place: Place,
    /// What lld calls it.
    pub name: String,
    /// The file it is, or the archive it is in.
    pub file: PathBuf,
    map: Arc<Mmap>,
    range: Range<usize>,
}

impl Source {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.map.get(self.range.clone()).unwrap_or_default()
    }

    /// Whether it has a file of its own.
    pub fn is_file(&self) -> bool {
        self.range.len() == self.map.len()
    }

    fn whole(place: Place, name: String, path: &Path) -> Result<Source, Kept> {
        let map = File::open(path).and_then(|file| sys::map(&file));
        let map = map.map_err(|error| Kept::Input(format!("{name}: {error}")))?;
        Ok(Source {
            place,
            name,
            file: path.to_owned(),
            range: 0..map.len(),
            map: Arc::new(map),
        })
    }
}

/// Every object that may be loaded, in link order.
///
/// # Errors
/// An input is none, or not to be had.
pub(super) fn all(inputs: &Inputs) -> Result<Vec<Source>, Kept> {
    if let Some(missing) = inputs.missing.first() {
        return Err(Kept::Input(format!("{} {}", missing.name.display(), missing.problem)));
    }
    let places = inputs.entries.iter().enumerate().flat_map(|(number, entry)| {
        let members = entry.members.iter().enumerate();
        let members = members.map(move |(member, _)| Place {
            entry: number,
            member: Some(member),
        });
        let whole = Place {
            entry: number,
            member: None,
        };
        members.chain(std::iter::once(whole).filter(|_| !entry.kind.is_archive() && entry.kind != FileKind::Text))
    });
    let places: Vec<Place> = places.collect();
    places.into_par_iter().map(|place| source(inputs, place)).collect()
}

fn source(inputs: &Inputs, place: Place) -> Result<Source, Kept> {
    let entry = &inputs.entries[place.entry];
    let name = entry.shown(place.member);
    let member = place.member.map(|member| &entry.members[member]);
    if member.map_or(entry.kind, |member| member.kind) != FileKind::NativeObject {
        return Err(Kept::Input(format!("{name}: no object")));
    }
    if matches!(entry.origin, Origin::Script(_)) {
        return Err(Kept::Input(format!("{name}: named by a linker script")));
    }
    match (member.map(|member| &member.data), &entry.map) {
        (None, _) => Source::whole(place, name, &entry.path),
        (Some(MemberData::File { path, .. }), _) => Source::whole(place, name, path),
        (Some(MemberData::Inside(range)), Some(map)) => Ok(Source {
            place,
            name,
            file: entry.path.clone(),
            map: Arc::clone(map),
            range: range.clone(),
        }),
        (Some(MemberData::Inside(_)), None) => Err(Kept::Input(format!("{name}: its bytes are gone"))),
    }
}

/// Copies of the objects that have something renamed, in `folder`.
///
/// # Errors
/// Of the file system, or an object is too long.
pub(super) fn stage(
    sources: &[Source],
    renamings: &[Vec<Renaming>],
    folder: &Path,
) -> Result<Vec<Option<PathBuf>>, String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let numbered = sources.par_iter().zip(renamings).enumerate();
    let copies = numbered.map(|(number, (source, renamings))| {
        if renamings.is_empty() {
            return Ok(None);
        }
        let path = folder.join(format!("{number:08}.o"));
        let copied = patch(source.bytes(), renamings)
            .and_then(|patch| copy(source, &patch, &path).map_err(|error| error.to_string()));
        copied.map_err(|error| format!("{}: {error}", source.name))?;
        Ok(Some(path))
    });
    copies.collect()
}

fn copy(source: &Source, patch: &Patch, to: &Path) -> io::Result<()> {
    let bytes = source.bytes();
    let copy = File::create(to)?;
    let is_cloned =
        source.is_file() && File::open(&source.file).is_ok_and(|file| rustix::fs::ioctl_ficlone(&copy, file).is_ok());
    if !is_cloned {
        copy.write_all_at(bytes, 0)?;
    }
    copy.write_all_at(&patch.headers, patch.at)?;
    copy.write_all_at(&patch.names, bytes.len() as u64)
}

/// What is said in place of an item's own words; none where there is no copy of what it names.
///
/// # Errors
/// An archive cannot be written.
pub(super) fn words(
    inputs: &Inputs,
    sources: &[Source],
    copies: &[Option<PathBuf>],
    item: usize,
    folder: &Path,
) -> Result<Option<Vec<OsString>>, String> {
    let of_item = |place: Place| inputs.entries[place.entry].item == item;
    let from = sources.partition_point(|source| inputs.entries[source.place.entry].item < item);
    let mine: Vec<(&Source, Option<&PathBuf>)> = sources[from..]
        .iter()
        .zip(copies[from..].iter().map(Option::as_ref))
        .take_while(|(source, _)| of_item(source.place))
        .collect();
    let Some((first, _)) = mine.first().filter(|_| mine.iter().any(|(_, copy)| copy.is_some())) else {
        return Ok(None);
    };
    let number = first.place.entry;
    let entry = &inputs.entries[number];
    if mine.iter().any(|(source, _)| source.place.entry != number) {
        return Err(format!("{} stands for several", entry.path.display()));
    }
    let is_loaded_whole = entry.position.whole_archive && !entry.position.in_lib;
    if !entry.kind.is_archive()
        || (is_loaded_whole && mine.iter().all(|(source, copy)| copy.is_some() || source.is_file()))
    {
        let paths = mine.iter().map(|(source, copy)| copy.unwrap_or(&source.file));
        return Ok(Some(paths.map(OsString::from).collect()));
    }
    let path = folder.join(format!("{number:08}.a"));
    let members: io::Result<Vec<_>> = mine
        .iter()
        .map(|(source, copy)| {
            let bytes = match copy {
                Some(copy) => Cow::Owned(fs::read(copy)?),
                None => Cow::Borrowed(source.bytes()),
            };
            Ok((member_name(entry, source.place), bytes))
        })
        .collect();
    let written = members.and_then(|members| archive::write(&path, members));
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Some(vec![path.into()]))
}

/// Of a thin archive's member, the file's alone.
fn member_name(entry: &Entry, place: Place) -> String {
    let member = place.member.map(|member| Path::new(&entry.members[member].name));
    let name = member.and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().into_owned()
}
