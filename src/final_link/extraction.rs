//! What the thin link took out of archives and the final link would not: a reference that was optimized away had pulled
//! it in, and its constructors must still run. Knows nothing of words; asks the real linker, which stops before it links.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;

use super::replace::Forgotten;
use super::{FinalLink, FinalLinkError, execute};
use crate::names::Names;
use crate::settings::Order;

/// A lazily loaded file: what lld calls it when it loads it, and what it is.
struct Lazy {
    shown: String,
    file: Forgotten,
}

/// The files that the final link over `words` would not load although the thin link did.
///
/// # Errors
/// The linker cannot be run, or equal names make it impossible to tell.
pub(super) fn forgotten(
    link: &FinalLink<'_>,
    names: &Names,
    words: &[OsString],
) -> Result<Vec<Forgotten>, FinalLinkError> {
    let lazy = lazily_loaded(link);
    if lazy.is_empty() {
        return Ok(Vec::new());
    }
    let Some(again) = loaded_again(link, names, words)? else {
        return Ok(Vec::new());
    };
    let mut namesakes: HashMap<&str, usize> = HashMap::new();
    for file in lazy.iter().filter(|file| matches!(file.file, Forgotten::Native(..))) {
        *namesakes.entry(&file.shown).or_default() += 1;
    }
    let mut forgotten = Vec::new();
    for Lazy { shown, file } in &lazy {
        match file {
            // Whatever its name, its object has a path of its own, which a thin archive's member is loaded by.
            Forgotten::Module(module) if again.paths.iter().any(|path| *path == link.objects[*module].path) => {}
            Forgotten::Module(_) => forgotten.push(file.clone()),
            Forgotten::Native(..) => match again.counts.get(shown).copied().unwrap_or(0) {
                0 => forgotten.push(file.clone()),
                loaded if loaded >= namesakes[shown.as_str()] => {}
                _ => return Err(FinalLinkError::Unfit(format!("{shown} is the name of several members"))),
            },
        }
    }
    Ok(forgotten)
}

/// What stood in an archive or between `--start-lib` and `--end-lib` and was loaded all the same.
fn lazily_loaded(link: &FinalLink<'_>) -> Vec<Lazy> {
    let mut loaded: HashMap<&str, usize> = HashMap::new();
    for line in &link.plan.loaded {
        *loaded.entry(line).or_default() += 1;
    }
    let modules: HashMap<_, _> = link
        .plan
        .modules
        .iter()
        .enumerate()
        .map(|(at, m)| (m.name.as_os_str(), at))
        .collect();
    let mut lazy = Vec::new();
    for (number, entry) in link.inputs.entries.iter().enumerate() {
        if entry.kind.is_archive() && !entry.position.whole_archive {
            for (position, member) in entry.members.iter().enumerate() {
                let shown = entry.shown(Some(position));
                let file = match member.kind.is_bitcode() {
                    // In the order of in-process lld all backends' objects are inputs of their own already.
                    true if link.order == Order::InProcess => None,
                    true => modules
                        .get(member.module_name(&entry.path).as_os_str())
                        .map(|at| Forgotten::Module(*at)),
                    false => loaded
                        .contains_key(shown.as_str())
                        .then_some(Forgotten::Native(number, Some(position))),
                };
                lazy.extend(file.map(|file| Lazy { shown, file }));
            }
        } else if entry.position.in_lib && !entry.kind.is_archive() {
            let file = match modules.get(entry.path.as_os_str()) {
                Some(_) if link.order == Order::InProcess => None,
                Some(at) => Some(Forgotten::Module(*at)),
                None if entry.has_bitcode() => None,
                None => loaded
                    .contains_key(&*entry.path.to_string_lossy())
                    .then_some(Forgotten::Native(number, None)),
            };
            lazy.extend(file.map(|file| Lazy {
                shown: entry.path.to_string_lossy().into_owned(),
                file,
            }));
        }
    }
    let mut seen = HashSet::new();
    lazy.retain(|file| seen.insert(file.file.clone()));
    lazy
}

/// What the final link would load.
struct Loaded {
    /// Staged files of their own, in archives or not.
    paths: HashSet<PathBuf>,
    /// How often each file is loaded, by the user's names.
    counts: HashMap<String, usize>,
}

/// Asks the linker: in index-only mode it stops after symbol resolution, and there is no bitcode left for it to index.
/// None where it fails: then the final link says why.
fn loaded_again(link: &FinalLink<'_>, names: &Names, words: &[OsString]) -> Result<Option<Loaded>, FinalLinkError> {
    let quiet = ["--thinlto-index-only=/dev/null", "--trace", "-w"].map(OsString::from);
    let output = execute(link, link.linker.command(), words.to_vec(), &quiet)?;
    if !output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let inner = |line: &str| match line.strip_suffix(')').and_then(|line| line.rsplit_once('(')) {
        Some((_, member)) => PathBuf::from(member),
        None => PathBuf::from(line),
    };
    let paths = text.lines().map(inner).collect();
    let mut counts = HashMap::new();
    for line in text.lines() {
        *counts.entry(names.translate(line)).or_default() += 1;
    }
    Ok(Some(Loaded { paths, counts }))
}
