//! About how many sections of one name a `-r` link has that lld would look through, told by a few of its objects: links that
//! have few must not pay for being looked at. Knows nothing of how it is decided by that; what cannot be read has none.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use object::read::archive::{ArchiveFile, ArchiveMember};

use super::sections::{Linked, Placement, read};
use crate::cmdline::{InputName, Invocation};
use crate::sys;

/// Objects, or archives, that are opened: a few, and more where these have such sections.
const FEW: usize = 8;
const MORE: usize = 32;

/// What sections of each name are linked to.
type Seen = HashMap<Vec<u8>, HashSet<Vec<u8>>>;

/// The number.
pub(super) fn estimate(invocation: &Invocation) -> usize {
    let inputs: Vec<&Path> = invocation
        .inputs
        .iter()
        .filter_map(|input| match &input.name {
            InputName::File(path) => Some(Path::new(path)),
            InputName::Library(_) => None,
        })
        .collect();
    match of_files(&inputs, FEW) {
        0 => 0,
        _ => of_files(&inputs, MORE),
    }
}

fn of_files(inputs: &[&Path], opened: usize) -> usize {
    let mut seen = Seen::new();
    let counts = spread(inputs, opened).map(|path| of_file(path, opened, &mut seen));
    scaled(counts.sum(), inputs.len(), opened)
}

/// Some of them, from the first to the last.
fn spread<T>(all: &[T], opened: usize) -> impl Iterator<Item = &T> {
    all.iter().step_by(all.len().div_ceil(opened).max(1))
}

/// What the opened ones have, for all of them.
fn scaled(count: usize, all: usize, opened: usize) -> usize {
    count.saturating_mul(all.div_ceil(opened).max(1))
}

fn of_file(path: &Path, opened: usize, seen: &mut Seen) -> usize {
    let Some(map) = File::open(path).and_then(|file| sys::map(&file)).ok() else {
        return 0;
    };
    match ArchiveFile::parse(&*map) {
        Ok(archive) => of_archive((path, &map), &archive, opened, seen),
        Err(_) => of_object(&map, seen),
    }
}

fn of_archive((path, map): (&Path, &Mmap), archive: &ArchiveFile<'_>, opened: usize, seen: &mut Seen) -> usize {
    let members: Vec<ArchiveMember<'_>> = archive.members().map_while(Result::ok).collect();
    let folder = path.parent().unwrap_or(Path::new(""));
    let counts = spread(&members, opened).map(|member| match member.is_thin() {
        true => {
            let file = folder.join(&*String::from_utf8_lossy(member.name()));
            let map = File::open(file).and_then(|file| sys::map(&file));
            map.map_or(0, |map| of_object(&map, seen))
        }
        false => member.data(&**map).map_or(0, |bytes| of_object(bytes, seen)),
    });
    let count = counts.sum();
    scaled(count, members.len(), opened)
}

/// Those of the name that it has most of, which are linked to none that was seen before.
fn of_object(bytes: &[u8], seen: &mut Seen) -> usize {
    let Ok(sections) = read(bytes) else { return 0 };
    let mut counts: HashMap<&[u8], usize> = HashMap::new();
    for section in &sections {
        let is_new = match section.placement {
            Placement::ByName => continue,
            Placement::Behind(Linked::Grouped { .. }) => true,
            Placement::Behind(Linked::Named(linked)) => {
                seen.entry(section.name.to_vec()).or_default().insert(linked.to_vec())
            }
        };
        *counts.entry(section.name).or_default() += usize::from(is_new);
    }
    counts.into_values().max().unwrap_or_default()
}
