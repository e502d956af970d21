//! The first question of every link, answered as cheaply as it can be: is there any bitcode at all?
//! Knows nothing of order or names; a link that says yes is opened properly afterwards.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::thread::sched_getaffinity;

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

/// Looked at before other threads are asked to help: where there is bitcode it is among the first inputs nearly always, and
/// a thread costs as much to start as some fifty glances.
const ALONE: usize = 128;

/// Inputs that a thread takes at a time, and those that make another thread worth its start.
const CHUNK: usize = 64;
const WORTH_A_THREAD: usize = 256;

/// Whether any input of the link is bitcode. Reads a few bytes of each file; stops at the first bitcode found.
/// What cannot be opened or is damaged holds none: the real linker will say so.
pub fn quick_scan(inv: &Invocation) -> Scan {
    let search = Search::new(inv);
    let fat = FatObjects::of(inv);
    let Some(later) = look_at_all(&inv.inputs, |input| glance(&search, input, fat)) else {
        return Scan::HasBitcode;
    };
    let steps = later.into_iter().map(Step::Input).chain(script_steps(inv));
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

/// The inputs that are to be looked at later, in order; none where one is bitcode.
fn look_at_all(inputs: &[Input], glance: impl Fn(&Input) -> Glance + Sync) -> Option<Vec<&Input>> {
    let (first, rest) = inputs.split_at(inputs.len().min(ALONE));
    let found = AtomicBool::new(false);
    let look = |later: &mut Vec<_>, inputs: &mut dyn Iterator<Item = _>| {
        for input in inputs.take_while(|_| !found.load(Ordering::Relaxed)) {
            match glance(input) {
                Glance::Bitcode => found.store(true, Ordering::Relaxed),
                Glance::Later => later.push(input),
                Glance::Nothing => {}
            }
        }
    };
    let mut later = Vec::new();
    look(&mut later, &mut first.iter());
    let taken = AtomicUsize::new(0);
    let look_at_rest = || {
        let mut later = Vec::new();
        let chunks = std::iter::from_fn(|| rest.chunks(CHUNK).nth(taken.fetch_add(1, Ordering::Relaxed)));
        look(&mut later, &mut chunks.flatten());
        later
    };
    if !found.load(Ordering::Relaxed) {
        let helpers = (rest.len() / WORTH_A_THREAD).min(cpus().saturating_sub(1));
        later.extend(with_helpers(helpers, look_at_rest).into_iter().flatten());
    }
    later.sort_unstable_by_key(|input| input.item);
    (!found.into_inner()).then_some(later)
}

/// What `work` gives in this thread and in as many others as are wanted and can be had. rayon's threads would be all of
/// them others, and its count of CPUs reads a dozen files.
fn with_helpers<T: Send>(helpers: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, &work).ok())
            .collect();
        let own = work();
        let others = helpers
            .into_iter()
            .map(|helper| helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(others).collect()
    })
}

/// The CPUs this process may run on; one where nobody says.
fn cpus() -> usize {
    sched_getaffinity(None).map_or(1, |set| set.count() as usize)
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
