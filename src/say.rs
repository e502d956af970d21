//! What is said to people: on stderr, where it does not matter whether anybody listens, and on stdout, where somebody has
//! asked for it. Neither panics, as `eprint!` and `print!` do on a full disk or for a reader that has gone.
//! Knows nothing of what is said.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    // It may be the same terminal.
    still();
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref()).and_then(|()| stdout.flush())
}

/// Whether the last line of the terminal is one that goes when anything else is said.
static MOVES: Mutex<bool> = Mutex::new(false);
/// To the beginning of the line, and erases it.
const ERASE: &str = "\r\x1b[K";

fn moves() -> MutexGuard<'static, bool> {
    MOVES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows a line on the terminal that stderr is, in the place of the one shown so before.
pub fn moving(line: &str) {
    let mut moves = moves();
    let _ = io::stderr().write_all(format!("{ERASE}{line}").as_bytes());
    *moves = true;
}

/// Erases that line.
pub fn still() {
    erase(&mut moves());
}

fn erase(moves: &mut bool) {
    if std::mem::take(moves) {
        let _ = io::stderr().write_all(ERASE.as_bytes());
    }
}

/// stderr for whoever expects a writer: it takes everything.
#[derive(Clone, Copy, Debug)]
pub struct Aside;

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut moves = moves();
        erase(&mut moves);
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
