//! What is said to people: on stderr, where it does not matter whether anybody listens, and on stdout, where somebody has
//! asked for it. Neither panics, as `eprint!` and `print!` do on a full disk or for a reader that has gone.
//! Knows nothing of what is said.

use std::fmt::Display;
use std::io::{self, Write};

/// Says it on stderr. That it cannot be written is ignored, as it is by lld: a log on a full disk fails no link.
pub fn aside(text: impl Display) {
    // In one piece where it is short enough, so that what others say does not come between.
    let _ = Aside.write_all(text.to_string().as_bytes());
}

/// Writes to stdout, at once.
///
/// # Errors
/// As the file system says; a reader that has gone is `BrokenPipe`.
pub fn answer(text: impl AsRef<[u8]>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref()).and_then(|()| stdout.flush())
}

/// stderr for whoever expects a writer: it takes everything.
#[derive(Clone, Copy, Debug)]
pub struct Aside;

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
