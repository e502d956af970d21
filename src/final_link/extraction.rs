//! What the thin link took out of archives and the final link would not: a reference that was optimized away had pulled
//! it in, and its constructors must still run. Knows nothing of words; asks the real linker, which stops before it links.

use std::collections::HashMap;
use std::ffi::OsString;

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
    let Some(again) = loaded_again(link, names, words)? else { return Ok(Vec::new()) };
    let mut forgotten = Vec::new();
    let mut by_name: HashMap<&str, Vec<&Lazy>> = HashMap::new();
    for file in &lazy {
        by_name.entry(&file.shown).or_default().push(file);
    }
    for file in &lazy {
        let namesakes = &by_name[file.shown.as_str()];
        match again.get(&file.shown).copied().unwrap_or(0) {
            0 => forgotten.push(file.file.clone()),
            loaded if loaded >= namesakes.len() => {}
            _ => return Err(FinalLinkError::Unfit(format!("{} is the name of several members", file.shown))),
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
    let modules: HashMap<_, _> = link.plan.modules.iter().enumerate().map(|(at, m)| (m.name.as_os_str(), at)).collect();
    let mut lazy = Vec::new();
    for (number, entry) in link.inputs.entries.iter().enumerate() {
        if entry.kind.is_archive() && !entry.position.whole_archive {
            for (position, member) in entry.members.iter().enumerate() {
                let shown = entry.shown(Some(position));
                let file = match member.kind.is_bitcode() {
                    // In the order of in-process lld all backends' objects are inputs of their own already.
                    true if link.order == Order::InProcess => None,
                    true => modules.get(member.module_name(&entry.path).as_os_str()).map(|at| Forgotten::Module(*at)),
                    false => loaded.contains_key(shown.as_str()).then_some(Forgotten::Native(number, Some(position))),
                };
                lazy.extend(file.map(|file| Lazy { shown, file }));
            }
        } else if entry.position.in_lib && !entry.kind.is_archive() {
            let file = match modules.get(entry.path.as_os_str()) {
                Some(_) if link.order == Order::InProcess => None,
                Some(at) => Some(Forgotten::Module(*at)),
                None if entry.has_bitcode() => None,
                None => loaded.contains_key(&*entry.path.to_string_lossy()).then_some(Forgotten::Native(number, None)),
            };
            lazy.extend(file.map(|file| Lazy { shown: entry.path.to_string_lossy().into_owned(), file }));
        }
    }
    let mut seen = std::collections::HashSet::new();
    lazy.retain(|file| seen.insert(file.file.clone()));
    lazy
}

/// How often each file is loaded by the final link, by the user's names: lld stops after symbol resolution in index-only
/// mode, and there is no bitcode left for it to index. None where it fails: then the final link says why.
fn loaded_again(
    link: &FinalLink<'_>,
    names: &Names,
    words: &[OsString],
) -> Result<Option<HashMap<String, usize>>, FinalLinkError> {
    let quiet = ["--thinlto-index-only=/dev/null", "--trace", "-w"].map(OsString::from);
    let output = execute(link, &link.linker.path, words.to_vec(), &quiet)?;
    if !output.status.success() {
        return Ok(None);
    }
    let mut counts = HashMap::new();
    for line in names.translate(&String::from_utf8_lossy(&output.stdout)).lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    Ok(Some(counts))
}
