//! A fault of our own, which Rust tells of by a panic: caught, and told in one line instead of a backtrace.
//! Knows nothing of what is done instead.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Mutex, PoisonError};

/// What a panic said, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fault in thinlto-ld: {0}")]
pub struct Fault(String);

/// The first since somebody began to catch them: others follow from it, as that of whoever waits for a thread.
static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// What `work` comes to; where it panics, or a thread that it waits for does, why.
///
/// # Errors
/// It has panicked. Whatever it held has been let go.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Fault> {
    let _ = first().take();
    panic::set_hook(Box::new(note));
    // What it has changed half-way nobody sees any more: the link is begun again by another program.
    panic::catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| Fault(first().take().unwrap_or_else(|| "a panic of unknown origin".to_owned())))
}

fn first() -> std::sync::MutexGuard<'static, Option<String>> {
    FIRST.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let words = payload.downcast_ref::<String>().map(String::as_str);
    let what = words
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic")
        .lines()
        .next()
        .unwrap_or_default();
    let place = info
        .location()
        .map(|place| format!(" ({}:{})", place.file(), place.line()));
    first().get_or_insert_with(|| format!("{what}{}", place.unwrap_or_default()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_panic_is_told_whatever_follows_from_it() {
        let fault = caught(|| {
            std::thread::scope(|scope| {
                let thread = scope.spawn(|| panic!("the first\nand more"));
                thread.join().unwrap();
            });
        });
        let said = fault.unwrap_err().to_string();
        assert!(
            said.starts_with("a fault in thinlto-ld: the first (src/fault.rs:"),
            "{said}"
        );
        assert_eq!(caught(|| 3), Ok(3));
    }
}
