//! The first question of every link, answered as cheaply as it can be: is there any bitcode at all?
//! Knows nothing of order or names; a link that says yes is opened properly afterwards.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::Inputs;
use super::archive;
use super::classify::{FatObjects, FileKind};
use super::file::peek;
use super::search::Search;
use super::walk::{Step, Walker, locate, script_steps};
use crate::cmdline::{Input, Invocation};

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Some input is bitcode or holds some.
    HasBitcode,
    /// None is, as far as the inputs can be read: the real linker may have the link as it is.
    None,
}

/// What a glance at one input tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Glance {
    Bitcode,
    Nothing,
    /// A linker script, or a library only a script's `SEARCH_DIR` could find.
    Later,
}

/// A glance takes a microsecond or two: below this many inputs, starting the other threads costs more than they save.
const WORTH_THREADS: usize = 1024;

/// Whether any input of the link is bitcode. Reads a few bytes of each file; stops at the first bitcode found.
/// What cannot be opened or is damaged holds none: the real linker will say so.
pub fn quick_scan(inv: &Invocation) -> Scan {
    let search = Search::new(inv);
    let fat = FatObjects::of(inv);
    let found = AtomicBool::new(false);
    let look = |input: &Input| {
        if found.load(Ordering::Relaxed) {
            return Glance::Nothing;
        }
        let glance = glance(&search, input, fat);
        if glance == Glance::Bitcode {
            found.store(true, Ordering::Relaxed);
        }
        glance
    };
    let glances: Vec<Glance> = if inv.inputs.len() < WORTH_THREADS {
        inv.inputs.iter().map(look).collect()
    } else {
        inv.inputs
            .par_iter()
            .with_min_len(WORTH_THREADS / 8)
            .map(look)
            .collect()
    };
    if found.load(Ordering::Relaxed) {
        return Scan::HasBitcode;
    }
    let later = inv
        .inputs
        .iter()
        .zip(glances)
        .filter(|(_, glance)| *glance == Glance::Later);
    let steps = later.map(|(input, _)| Step::Input(input)).chain(script_steps(inv));
    let mut walker = Walker::new(inv, search, fat);
    for step in steps {
        // A damaged archive ends the link in the real linker; there is nothing for LTO to do in it.
        if walker.step(step, None).is_err() {
            return Scan::None;
        }
        if Inputs::has_bitcode(walker.inputs()) {
            return Scan::HasBitcode;
        }
    }
    Scan::None
}

fn glance(search: &Search, input: &Input, fat: FatObjects) -> Glance {
    if input.position.binary || input.position.just_symbols {
        return Glance::Nothing;
    }
    let Some(path) = locate(search, input) else {
        return Glance::Later;
    };
    glance_at(&path, fat).unwrap_or(Glance::Nothing)
}

fn glance_at(path: &Path, fat: FatObjects) -> std::io::Result<Glance> {
    let peeked = peek(path)?;
    match (peeked.kind, fat) {
        (FileKind::Bitcode, _) => return Ok(Glance::Bitcode),
        (FileKind::Text, _) => return Ok(Glance::Later),
        (FileKind::Archive | FileKind::ThinArchive, _) | (FileKind::NativeObject, FatObjects::Looked) => {}
        _ => return Ok(Glance::Nothing),
    }
    let (kind, map) = peeked.map(fat)?;
    let inside = kind.is_archive() && map.is_some_and(|map| archive::holds_bitcode(path, &map, fat));
    Ok(if kind.is_bitcode() || inside {
        Glance::Bitcode
    } else {
        Glance::Nothing
    })
}
