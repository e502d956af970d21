//! How glibc's malloc is told to get memory for the programs we start: on huge pages and in large steps, since much of
//! what a short-lived program waits for is page faults. Knows nothing of the programs; another libc pays it no heed.

use std::ffi::OsString;

/// What glibc calls the user's own wishes, which ours are put before: of two for one thing the last one counts.
pub const VARIABLE: &str = "GLIBC_TUNABLES";

/// glibc 2.35 and later. A kernel without transparent huge pages does without, and what is freed is kept either way.
const HUGE: &str = "glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=268435456:glibc.malloc.mmap_threshold=33554432";

/// Also grows the heap by 8 MB at a time, so that its end lies on huge pages too.
const STEPS: &str = "glibc.malloc.top_pad=8388608";

/// Files of a link from which on lld fills huge pages as fast as they are cleared for it. Measured with lld 19 and small
/// objects: 1.06 of its time for 64 of them, even at some 400, 0.9 for 2,000.
const MANY: usize = 512;

/// [`VARIABLE`] for a compiler that runs backends. Larger steps make these slower.
pub fn of_backends() -> OsString {
    before_the_users(OsString::from(HUGE))
}

/// [`VARIABLE`] for a linker that reads this many files; none where it does better as it is.
pub fn of_linker(files: usize) -> Option<OsString> {
    (files >= MANY).then(|| before_the_users(OsString::from(format!("{HUGE}:{STEPS}"))))
}

fn before_the_users(mut ours: OsString) -> OsString {
    if let Some(theirs) = std::env::var_os(VARIABLE).filter(|theirs| !theirs.is_empty()) {
        ours.push(":");
        ours.push(theirs);
    }
    ours
}
