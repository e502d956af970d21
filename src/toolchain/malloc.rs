//! How glibc's malloc is told to get memory for the programs we start: on huge pages and in large steps, since much of
//! what a short-lived program waits for is page faults. Knows nothing of the programs; another libc pays it no heed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use memchr::memmem;

/// Where glibc looks for it, since 2.35; what it does not know it skips.
pub const VARIABLE: &str = "GLIBC_TUNABLES";

/// A kernel without transparent huge pages does without, and what is freed is kept either way.
const HUGE: &str = "glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=268435456:glibc.malloc.mmap_threshold=33554432";

/// The heap grows by 8 MB at a time, those of other threads than the first, which else are too small for huge pages, too: some
/// 2 MB more for each.
const STEPS: &str = "glibc.malloc.top_pad=8388608";

/// Files of a link from which on lld fills huge pages as fast as they are cleared for it. Measured with lld 19 on two CPUs,
/// small objects: 1.06 of its time for 64 of them, even at some 400, 0.9 for 2,000.
const MANY: usize = 512;

/// How else malloc can be told (mallopt(3)); what [`VARIABLE`] says would win over these.
const OTHERS: [&str; 3] = ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_"];

/// [`VARIABLE`] for a compiler that runs backends, to which larger steps are none the better. None where the user has told
/// malloc something.
pub fn of_backends() -> Option<OsString> {
    with_the_users(HUGE.into(), |name| std::env::var_os(name))
}

/// [`VARIABLE`] for a linker that reads this many files. None where it does better as it is, or the user has told malloc
/// something.
pub fn of_linker(files: usize) -> Option<OsString> {
    let ours = (files >= MANY).then(|| format!("{HUGE}:{STEPS}"))?;
    with_the_users(ours, |name| std::env::var_os(name))
}

/// Ours beside what the user wants of other parts of glibc.
fn with_the_users(ours: String, variable: impl Fn(&str) -> Option<OsString>) -> Option<OsString> {
    let theirs = variable(VARIABLE).unwrap_or_default();
    let is_told = memmem::find(theirs.as_bytes(), b"glibc.malloc.").is_some();
    if is_told || OTHERS.iter().any(|name| variable(name).is_some()) {
        return None;
    }
    let parts = [theirs.as_os_str(), OsStr::new(&ours)];
    let parts: Vec<&OsStr> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Some(parts.join(OsStr::new(":")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(name: &str, value: &str) -> Option<OsString> {
        with_the_users("ours=1".into(), |asked| (asked == name).then(|| value.into()))
    }

    #[test]
    fn what_is_no_wish_for_memory_is_kept() {
        assert_eq!(beside(VARIABLE, ""), Some("ours=1".into()));
        assert_eq!(
            beside(VARIABLE, "glibc.rtld.nns=2"),
            Some("glibc.rtld.nns=2:ours=1".into())
        );
    }

    #[test]
    fn whoever_has_told_malloc_something_is_left_alone() {
        assert_eq!(beside(VARIABLE, "glibc.rtld.nns=2:glibc.malloc.hugetlb=0"), None);
        assert_eq!(beside("MALLOC_TOP_PAD_", "0"), None);
    }
}
