//! Whether what is said to the user is coloured: as lld would decide, since its own stderr is a pipe of ours.
//! Knows nothing of what is said.

use std::io::{self, IsTerminal};

use crate::cmdline::Invocation;
use crate::cmdline::invocation::ColorDiagnostics;

/// Whether diagnostics are coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// They are not.
    #[default]
    Plain,
    /// They are.
    Coloured,
}

/// The names of terminals with colours (llvm/lib/Support/Unix/Process.inc `checkTerminalEnvironmentForColors`).
const EXACT: [&str; 3] = ["ansi", "cygwin", "linux"];
const BEGINNINGS: [&str; 4] = ["screen", "xterm", "vt100", "rxvt"];
const ENDING: &str = "color";

impl Color {
    /// As lld decides (lld/ELF/Driver.cpp `handleColorDiagnostics`), of our own stderr.
    pub fn of(invocation: &Invocation) -> Color {
        let coloured = match invocation.color_diagnostics() {
            ColorDiagnostics::Always => true,
            ColorDiagnostics::Never => false,
            ColorDiagnostics::Auto => {
                io::stderr().is_terminal() && std::env::var("TERM").is_ok_and(|term| shows(&term))
            }
        };
        match coloured {
            true => Color::Coloured,
            false => Color::Plain,
        }
    }

    /// The word by which a linker whose stderr is a pipe does as decided; it goes behind the user's.
    pub fn word(self) -> &'static str {
        match self {
            Color::Plain => "--color-diagnostics=never",
            Color::Coloured => "--color-diagnostics=always",
        }
    }
}

fn shows(terminal: &str) -> bool {
    EXACT.contains(&terminal)
        || BEGINNINGS.iter().any(|beginning| terminal.starts_with(beginning))
        || terminal.ends_with(ENDING)
}
