//! The first question of every link, answered as cheaply as it can be: is there any bitcode at all?
//! Knows nothing of order or names; a link that says yes is opened properly afterwards.

use std::os::unix::ffi::OsStrExt;
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
use crate::cache::Looked;
use crate::cmdline::{Input, Invocation};
use crate::stamp::Stamp;
use crate::threads;

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
    /// With the stamp of what has no bitcode for as long as it has that stamp, where it is new to the record.
    Nothing(Option<Stamp>),
    /// A linker script, or a library only a script's `SEARCH_DIR` could find.
    Later,
}

/// What a link's inputs are, all told, where none is bitcode at a glance.
#[derive(Debug, Default)]
struct Seen<'a> {
    /// To be looked at later, with the others of their kind.
    later: Vec<&'a Input>,
    /// To be noted, by their place among the inputs.
    stamps: Vec<(usize, Stamp)>,
}

/// Looked at before other threads are asked to help: where there is bitcode it is among the first inputs nearly always, and
/// a thread costs as much to start as some fifty glances.
const ALONE: usize = 128;

/// Inputs that a thread takes at a time, and those that make another thread worth its start.
const CHUNK: usize = 64;
const WORTH_A_THREAD: usize = 256;

/// Inputs that make it worth noting what was seen: to open and read a file costs three times a look at its stamp.
const WORTH_A_RECORD: usize = 256;

/// Whether any input of the link is bitcode. Reads a few bytes of each file that is not as it was when it last was looked at
/// in vain, in the cache of `cache`; stops at the first bitcode found. What cannot be opened or is damaged holds none: the
/// real linker will say so.
pub fn quick_scan(inv: &Invocation, cache: Option<&Path>) -> Scan {
    let search = Search::new(inv);
    let fat = FatObjects::of(inv);
    let looked = cache
        .filter(|_| inv.inputs.len() >= WORTH_A_RECORD)
        .and_then(|dir| looked(dir, inv, fat));
    let Some(seen) = look_at_all(&inv.inputs, |n, input| glance(&search, n, input, fat, looked.as_ref())) else {
        return Scan::HasBitcode;
    };
    if let Some(Err(error)) = looked.map(|looked| looked.note(&seen.stamps)) {
        tracing::debug!(%error, "what was seen is not noted");
    }
    let mut steps = seen
        .later
        .into_iter()
        .map(Step::Input)
        .chain(script_steps(inv))
        .peekable();
    // What scripts name is opened by rayon's threads. Without them the link will be left to lld, whatever it has.
    if steps.peek().is_some() && threads::pool().is_err() {
        return Scan::HasBitcode;
    }
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

/// What is known of a link's files: links are told apart by what they write, and bitcode by who looks for it.
fn looked(cache: &Path, inv: &Invocation, fat: FatObjects) -> Option<Looked> {
    let cwd = std::env::current_dir().ok()?;
    let fat: &[u8] = match fat {
        FatObjects::Looked => b"bitcode, in native objects too",
        FatObjects::Ignored => b"bitcode",
    };
    let name = [cwd.as_os_str().as_bytes(), inv.output.as_os_str().as_bytes(), fat];
    Some(Looked::open(cache, name))
}

/// Every input at a glance; none where one is bitcode.
fn look_at_all<'a>(inputs: &'a [Input], glance: impl Fn(usize, &Input) -> Glance + Sync) -> Option<Seen<'a>> {
    let found = AtomicBool::new(false);
    let look = |seen: &mut Seen<'a>, from: usize, to: usize| {
        let range = inputs.get(from..to.min(inputs.len())).unwrap_or_default();
        for (n, input) in (from..).zip(range).take_while(|_| !found.load(Ordering::Relaxed)) {
            match glance(n, input) {
                Glance::Bitcode => found.store(true, Ordering::Relaxed),
                Glance::Later => seen.later.push(input),
                Glance::Nothing(stamp) => seen.stamps.extend(stamp.map(|stamp| (n, stamp))),
            }
        }
    };
    let mut all = Seen::default();
    look(&mut all, 0, ALONE);
    let rest = inputs.len().saturating_sub(ALONE);
    if rest > 0 && !found.load(Ordering::Relaxed) {
        let taken = AtomicUsize::new(ALONE);
        let helpers = (rest / WORTH_A_THREAD).min(cpus().saturating_sub(1));
        let parts = with_helpers(helpers, || {
            let mut seen = Seen::default();
            let chunks = std::iter::repeat_with(|| taken.fetch_add(CHUNK, Ordering::Relaxed));
            chunks
                .take_while(|from| *from < inputs.len())
                .for_each(|from| look(&mut seen, from, from + CHUNK));
            seen
        });
        for part in parts {
            all.later.extend(part.later);
            all.stamps.extend(part.stamps);
        }
    }
    all.later.sort_unstable_by_key(|input| input.item);
    (!found.into_inner()).then_some(all)
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

fn glance(search: &Search, n: usize, input: &Input, fat: FatObjects, looked: Option<&Looked>) -> Glance {
    if input.position.binary || input.position.just_symbols {
        return Glance::Nothing(None);
    }
    let Some(path) = locate(search, input) else {
        return Glance::Later;
    };
    if looked.is_some_and(|looked| looked.is_unchanged(n, &path)) {
        return Glance::Nothing(None);
    }
    glance_at(&path, fat, looked.is_some()).unwrap_or(Glance::Nothing(None))
}

fn glance_at(path: &Path, fat: FatObjects, noted: bool) -> std::io::Result<Glance> {
    let peeked = peek(path)?;
    let stamp = || noted.then(|| peeked.stamp()).transpose();
    match (peeked.kind, fat) {
        (FileKind::Bitcode, _) => return Ok(Glance::Bitcode),
        (FileKind::Text, _) => return Ok(Glance::Later),
        (FileKind::Stream, _) => return Ok(Glance::Nothing(None)),
        (FileKind::Archive | FileKind::ThinArchive, _) | (FileKind::NativeObject, FatObjects::Looked) => {}
        _ => return Ok(Glance::Nothing(stamp()?)),
    }
    let stamp = stamp()?;
    let (kind, map) = peeked.map(fat)?;
    let inside = kind.is_archive() && map.is_some_and(|map| archive::holds_bitcode(path, &map, fat));
    Ok(match kind {
        kind if kind.is_bitcode() || inside => Glance::Bitcode,
        // Its own stamp says nothing of its members.
        FileKind::ThinArchive => Glance::Nothing(None),
        _ => Glance::Nothing(stamp),
    })
}
