//! What a thin link's result is kept under: one hash of everything that could shape it, and the names of what cannot be
//! told. Knows nothing of what the result is; whoever leaves a part out makes wrong links.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rayon::prelude::*;

use super::planned::Hashes;
use super::{users_items, written_by_thin_link};
use crate::bitcode::ThinView;
use crate::cache::{Cache, Key, Place};
use crate::cmdline::{Invocation, Item, Role};
use crate::color::Color;
use crate::inputs::{ArchiveMember, Entry, FileKind, Inputs, MemberData, Stamp, archive};
use crate::toolchain::{Linker, environment};

/// Raised whenever a part, what is kept, or what a view leaves out is another than before.
const FORMAT: u32 = 2;

/// Options that name what is written, which is another each time.
const WRITTEN: [&str; 3] = ["o", "lto-obj-path", "out-implib"];

/// Words in the name of an LLVM option that may write a file, or print, while the combined index is analysed.
const WRITERS: [&str; 5] = ["dot", "dump", "export", "remarks", "write"];

/// From so many files on that are to be looked at, threads are worth waiting for.
const WORTH_THREADS: usize = 64;

/// A thin link, named.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) key: Key,
    /// What of the modules is not in the key, and in the indexes.
    pub(super) hashes: Arc<Hashes>,
}

/// What names a link's thin link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) cache: &'a Cache,
    pub(super) linker: &'a Linker,
    /// The linker's LLVM.
    pub(super) llvm: &'a str,
    pub(super) invocation: &'a Invocation,
    pub(super) inputs: &'a Inputs,
    /// Before the inputs were opened.
    pub(super) opened: SystemTime,
}

impl Parts<'_> {
    /// The name.
    ///
    /// # Errors
    /// What cannot be told, or is to be done and not only known.
    pub(super) fn name(&self) -> Result<Named, String> {
        if let Some(option) = self.invocation.items.iter().find(|item| writes(item)) {
            return Err(format!("{} may write a file", option.spelled()));
        }
        let mut hash = Framed(blake3::Hasher::new());
        hash.part(b"thin link");
        hash.part(&FORMAT.to_le_bytes());
        hash.part(env!("BUILD_OF_THINLTO_LD").as_bytes());

        // Who decides: another linker imports otherwise, be it only one patch apart.
        let linker = self.cache.identity(&self.linker.path, self.llvm);
        hash.part(&linker.ok_or("which files are the linker cannot be told")?);

        // What it is told, and where: names are relative to the folder.
        let folder = std::env::current_dir().map_err(|error| error.to_string())?;
        hash.part(folder.as_os_str().as_bytes());
        for (name, value) in environment::heard() {
            hash.part(name.as_bytes());
            hash.part(value.as_bytes());
        }
        hash.part(Color::of(self.invocation).word().as_bytes());
        let words = users_items(self.invocation).flat_map(|(_, item)| item.words());
        hash.list(words.map(|word| word.as_bytes()));

        // What its options name: version scripts, orderings, profiles.
        for path in named_files(self.invocation)? {
            hash.part(path.as_os_str().as_bytes());
            hash.part(&self.content(path, None)?);
        }

        // What it links, by the names it is found under now: a library that has appeared on the search path has another.
        let pieces = pieces(self.inputs)?;
        let views = self.views(&pieces)?;
        let mut hashes = HashMap::new();
        for (piece, view) in pieces.iter().zip(&views) {
            hash.part(piece.name.as_bytes());
            hash.part(piece.shown.as_bytes());
            hash.part(format!("{:?}", piece.kind).as_bytes());
            hash.part(&view.digest);
            if let Some(module) = view.hash {
                // Of several with one name lld loads the first.
                hashes.entry(piece.name.clone().into_vec()).or_insert(module);
            }
        }
        Ok(Named {
            key: Key::from(*hash.0.finalize().as_bytes()),
            hashes: Arc::new(hashes),
        })
    }

    /// What is seen of each. Other threads read the modules meanwhile: few files are looked at in this one.
    fn views(&self, pieces: &[Piece<'_>]) -> Result<Vec<ThinView>, String> {
        let known = self.cache.views(self.llvm);
        let views: Vec<Option<ThinView>> = pieces.iter().map(|piece| known.known(piece.content.place()?)).collect();
        let unknown = views.iter().filter(|view| view.is_none()).count();
        let look = |(view, piece): (Option<ThinView>, &Piece<'_>)| view.map_or_else(|| self.look(piece), Ok);
        match unknown {
            0..WORTH_THREADS => views.into_iter().zip(pieces).map(look).collect(),
            _ => views.into_par_iter().zip(pieces).map(look).collect(),
        }
    }

    fn look(&self, piece: &Piece<'_>) -> Result<ThinView, String> {
        let (place, view) = match piece.content {
            Content::Bitcode(place, bytes) => (place, ThinView::of(bytes, self.llvm)),
            Content::Bytes(place, bytes) => (place, ThinView::of_all(bytes)),
            Content::File(path, stamp) => {
                return Ok(ThinView {
                    digest: self.content(path, Some(stamp))?,
                    hash: None,
                });
            }
            Content::Members(archive) => {
                let frame = archive.map.as_ref().and_then(|map| archive::frame(map));
                let frame = frame.ok_or_else(|| format!("{} is damaged", archive.path.display()))?;
                return Ok(ThinView::of_all(&frame));
            }
        };
        self.cache.views(self.llvm).learn(place, self.opened, view);
        Ok(view)
    }

    fn content(&self, path: &Path, opened: Option<Stamp>) -> Result<[u8; 32], String> {
        match self.cache.content(path) {
            Ok(Some((digest, stamp))) if opened.is_none_or(|opened| opened == stamp) => Ok(digest),
            Ok(_) => Err(format!("{} has changed", path.display())),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }
}

/// Whether the thin link writes something for the user at this item's wish: it has to run for that.
fn writes(item: &Item) -> bool {
    let Item::Option { def, value, .. } = item else {
        return false;
    };
    match def.canonical {
        // lld opens the file for the regular partition, be it empty (llvm/lib/LTO/LTO.cpp `runRegularLTO`).
        "opt-remarks-filename" => true,
        "save-temps" | "thinlto-emit-index-files" | "trace-symbol" => true,
        "mllvm" => {
            let text = value.as_deref().unwrap_or_default().to_string_lossy();
            let (name, value) = text.split_once('=').unwrap_or((&text, ""));
            WRITERS.iter().any(|word| name.contains(word)) || value.contains(['/', '.'])
        }
        _ => written_by_thin_link(item),
    }
}

/// Files that options name.
///
/// # Errors
/// What is there to be read once, or is another each time.
fn named_files(invocation: &Invocation) -> Result<Vec<&Path>, String> {
    let mut files = Vec::new();
    for item in &invocation.items {
        let Item::Option {
            def,
            value: Some(value),
            ..
        } = item
        else {
            continue;
        };
        let path = Path::new(value);
        if def.role == Role::Report || WRITTEN.contains(&def.canonical) || path == invocation.output {
            continue;
        }
        match fs::metadata(path).map(|there| there.file_type()) {
            Ok(kind) if kind.is_file() => files.push(path),
            Ok(kind) if kind.is_dir() || path == Path::new("/dev/null") => {}
            Ok(_) => return Err(format!("{} is no plain file", path.display())),
            Err(_) => {}
        }
    }
    Ok(files)
}

/// Something that is linked.
struct Piece<'a> {
    /// As lld calls it in indexes.
    name: OsString,
    /// As lld calls it in `--trace`.
    shown: OsString,
    kind: FileKind,
    content: Content<'a>,
}

/// Where its content is.
enum Content<'a> {
    /// Here, and the thin link does not see all of it.
    Bitcode(Place, &'a [u8]),
    /// Here.
    Bytes(Place, &'a [u8]),
    /// In a file that was not mapped.
    File(&'a Path, Stamp),
    /// In the pieces that follow; what this archive says of them is seen here.
    Members(&'a Entry),
}

impl Content<'_> {
    /// Where its view may be known.
    fn place(&self) -> Option<Place> {
        match self {
            Content::Bitcode(place, _) | Content::Bytes(place, _) => Some(*place),
            Content::File(..) | Content::Members(_) => None,
        }
    }
}

/// Everything that is linked, in order, and the scripts that say so.
fn pieces(inputs: &Inputs) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::with_capacity(inputs.entries.len());
    for entry in &inputs.entries {
        let has_bitcode = entry.has_bitcode();
        let place = Place {
            stamp: entry.stamp,
            offset: 0,
        };
        pieces.push(Piece {
            name: entry.path.clone().into_os_string(),
            shown: OsString::new(),
            kind: entry.kind,
            content: match (entry.kind, &entry.map) {
                (FileKind::Bitcode, Some(map)) => Content::Bitcode(place, map),
                (kind, _) if kind.is_archive() && has_bitcode => Content::Members(entry),
                _ => Content::File(&entry.path, entry.stamp),
            },
        });
        if has_bitcode {
            for one in &entry.members {
                pieces.push(member(entry, one)?);
            }
        }
    }
    pieces.extend(inputs.scripts.iter().map(|script| Piece {
        name: script.path.clone().into_os_string(),
        shown: OsString::new(),
        kind: FileKind::Text,
        content: Content::File(&script.path, script.stamp),
    }));
    Ok(pieces)
}

fn member<'a>(archive: &'a Entry, member: &'a ArchiveMember) -> Result<Piece<'a>, String> {
    let is_bitcode = member.kind == FileKind::Bitcode;
    let (stamp, offset) = match &member.data {
        MemberData::Inside(_) => (archive.stamp, member.header_offset),
        MemberData::File { stamp, .. } => (*stamp, 0),
    };
    let place = Place { stamp, offset };
    let content = match (&member.data, archive.member_bytes(member)) {
        (_, Some(bytes)) if is_bitcode => Content::Bitcode(place, bytes),
        (MemberData::File { path, stamp, .. }, _) => Content::File(path, *stamp),
        (MemberData::Inside(_), Some(bytes)) => Content::Bytes(place, bytes),
        (MemberData::Inside(_), None) => return Err(format!("{} is not at hand", archive.path.display())),
    };
    Ok(Piece {
        name: member.module_name(&archive.path),
        shown: member.display_name(&archive.path),
        kind: member.kind,
        content,
    })
}

/// Every part behind its length, so that no two lists of parts read the same.
struct Framed(blake3::Hasher);

impl Framed {
    fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn list<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>) {
        for part in parts {
            self.part(b"word");
            self.part(part);
        }
        self.part(b"");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_options_name_is_files_or_nothing_that_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        for name in ["script", "map", "out", "object"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let read = |words: &[String]| Invocation::read(words.iter().map(OsString::from).collect()).unwrap();
        let words = [
            format!("--version-script={}", path("script")),
            format!("-Map={}", path("map")),
            format!("--lto-obj-path={}", path("object")),
            format!("-soname={}", path("out")),
            format!("--dynamic-list={}", path("missing")),
            format!("-L{}", path("")),
            "--symbol-ordering-file=/dev/null".into(),
            format!("-o{}", path("out")),
        ];
        assert_eq!(named_files(&read(&words)), Ok(vec![Path::new(&path("script"))]));
        let made = std::process::Command::new("mkfifo").arg(path("fifo")).status().unwrap();
        assert!(made.success());
        assert!(named_files(&read(&[format!("--version-script={}", path("fifo"))])).is_err());
    }

    #[test]
    fn options_that_may_write_a_file_are_known() {
        let writing = |words: &[&str]| {
            let invocation = Invocation::read(words.iter().map(OsString::from).collect()).unwrap();
            invocation.items.iter().any(writes)
        };
        for words in [
            &["--why-extract=why"][..],
            &["--why-extract=-"],
            &["--print-archive-stats=x"],
            &["--opt-remarks-filename", "x"],
            &["-mllvm", "-module-summary-dot-file=x"],
            &["-mllvm", "-some-option=/tmp/x"],
            &["-plugin-opt=-memprof-export-to-dot"],
        ] {
            assert!(writing(words), "{words:?}");
        }
        for words in [
            &["-mllvm", "-import-instr-limit=5"][..],
            &["-plugin-opt=-code-model=kernel"],
            &["-Map=x", "--cref", "-o", "x", "--lto-O2"],
        ] {
            assert!(!writing(words), "{words:?}");
        }
    }
}
