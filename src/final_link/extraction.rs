//! Bitcode members that the thin link loaded and the final link would not, although no bitcode's reference is missing: lld
//! loads what defines a runtime routine that code generation may call (`handleLibcall`). They still belong to the link.
//! Knows nothing of words; asks the real linker, which stops before it links.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;

use super::references::References;
use super::{FinalLink, FinalLinkError, execute};
use crate::settings::Order;

/// The modules, by their position in the plan, that the final link over `words` would not load although the thin link did.
///
/// # Errors
/// The linker cannot be run.
pub(super) fn forgotten(
    link: &FinalLink<'_>,
    references: &References,
    words: &[OsString],
) -> Result<Vec<usize>, FinalLinkError> {
    // In the order of in-process lld all backends' objects are inputs of their own already.
    if references.unexplained.is_empty() || link.order == Order::InProcess {
        return Ok(Vec::new());
    }
    let Some(loaded) = loaded(link, words)? else {
        return Ok(Vec::new());
    };
    let unexplained: HashSet<_> = references.unexplained.iter().collect();
    let modules = link.plan.modules.iter().zip(link.objects).enumerate();
    Ok(modules
        .filter(|(_, (module, object))| unexplained.contains(&module.source) && !loaded.contains(object.path()))
        .map(|(position, _)| position)
        .collect())
}

/// The staged objects, in archives or not, that the final link would load. In index-only mode the linker stops after
/// symbol resolution, and there is no bitcode left for it to index. None where it fails: then the final link says why.
fn loaded(link: &FinalLink<'_>, words: &[OsString]) -> Result<Option<HashSet<PathBuf>>, FinalLinkError> {
    let quiet = ["--thinlto-index-only=/dev/null", "--trace", "-w"].map(OsString::from);
    let output = execute(link, link.lld(), words.to_vec(), &quiet)?;
    if !output.status.success() {
        return Ok(None);
    }
    let inner = |line: &str| match line.strip_suffix(')').and_then(|line| line.rsplit_once('(')) {
        Some((_, member)) => PathBuf::from(member),
        None => PathBuf::from(line),
    };
    Ok(Some(
        String::from_utf8_lossy(&output.stdout).lines().map(inner).collect(),
    ))
}
