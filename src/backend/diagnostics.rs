//! clang's words about a backend, said as in-process lld would have said them: `ld.lld: warning: m.o <inline asm>:1:2: …`.
//! Knows nothing of processes or links; text goes in, messages with their severity come out.

use std::fmt::Write;

use crate::color::Color;

/// What lld does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Printed unless `-w`; an error under `--fatal-warnings`.
    Warning,
    /// The link fails.
    Error,
    /// Printed as it is.
    Note,
    /// Printed to stdout, as it is.
    Remark,
    /// Printed as it is, with no name before it: what LLVM says past all handlers (`-fdebug-pass-manager`).
    Said,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Note => "note",
            Severity::Remark => "remark",
            Severity::Said => "",
        }
    }

    /// The terminal's number of the colour lld gives the word.
    fn code(self) -> Option<u8> {
        match self {
            Severity::Warning => Some(35),
            Severity::Error => Some(31),
            Severity::Note | Severity::Remark | Severity::Said => None,
        }
    }
}

/// What lld's `-w` and `--fatal-warnings` say of warnings (lld/Common/ErrorHandler.cpp).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Warnings {
    /// Printed.
    #[default]
    Shown,
    /// `-w`, `--no-warnings`.
    Suppressed,
    /// `--fatal-warnings`.
    Fatal,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub severity: Severity,
    /// Its text, without the linker's name and the severity; further lines (the assembler's caret) included.
    pub text: String,
}

impl Message {
    /// Whether it is what `--no-lto-pgo-warn-mismatch` silences. clang has no word for that: what its `-mllvm` option sets
    /// is set back in a ThinLTO backend (llvm/lib/LTO/LTOBackend.cpp `runNewPMPasses`).
    pub fn is_of_a_profile_that_mismatches(&self) -> bool {
        self.severity == Severity::Warning && self.text.contains(MISMATCH.0) && self.text.ends_with(MISMATCH.1)
    }

    /// The message as `linker` prints it (lld/Common/ErrorHandler.cpp `reportDiagnostic`).
    pub fn render(&self, linker: &str, color: Color) -> String {
        let (word, text) = (self.severity.word(), &self.text);
        if self.severity == Severity::Said {
            return format!("{text}\n");
        }
        match (color, self.severity.code()) {
            (Color::Coloured, Some(code)) => format!("{linker}: \x1b[0;{code}m{word}: \x1b[0m{text}\n"),
            _ => format!("{linker}: {word}: {text}\n"),
        }
    }
}

/// Behind the name of a function in a warning that a profile was made of another (llvm's `handleInstrProfError`).
const MISMATCH: (&str, &str) = (" Hash = ", " count discarded");

const SEVERITIES: [(&str, Severity); 5] = [
    ("warning: ", Severity::Warning),
    ("error: ", Severity::Error),
    ("fatal error: ", Severity::Error),
    ("note: ", Severity::Note),
    ("remark: ", Severity::Remark),
];

/// clang's summary of an assembler message it has already shown in full.
const ECHOES: [&str; 2] = ["cannot compile inline asm", "cannot compile module asm"];

/// The messages in clang's stderr, for the module the user knows as `module`.
pub fn messages(stderr: &str, module: &str) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    let mut swallow = false;
    for line in stderr.lines() {
        if is_count(line) {
            continue;
        }
        match parse(line) {
            Some((_, _, text)) if ECHOES.iter().any(|echo| text.starts_with(echo)) => swallow = true,
            Some((location, Severity::Remark, text)) => {
                // What clang quotes of a source lld does not.
                swallow = true;
                messages.push(Message {
                    severity: Severity::Remark,
                    text: match location {
                        "" => text.to_owned(),
                        place => format!("{place}: {text}"),
                    },
                });
            }
            Some((location, severity, text)) => {
                swallow = false;
                messages.push(Message {
                    severity,
                    text: located(location, text, module),
                });
            }
            None if swallow => {}
            None => match messages.last_mut() {
                Some(last) => {
                    let _ = write!(last.text, "\n{line}");
                }
                None => messages.push(Message {
                    severity: Severity::Said,
                    text: line.to_owned(),
                }),
            },
        }
    }
    // LLVM ends what it quotes of a source with a line break, and lld every message with another.
    let quotes = |message: &&mut Message| message.severity != Severity::Said && message.text.contains('\n');
    for message in messages.iter_mut().filter(quotes) {
        message.text.push('\n');
    }
    messages
}

/// What `-w` and `--fatal-warnings` make of messages.
pub fn weigh(messages: &mut Vec<Message>, warnings: Warnings) {
    match warnings {
        Warnings::Shown => {}
        Warnings::Suppressed => messages.retain(|m| m.severity != Severity::Warning),
        Warnings::Fatal => {
            for message in messages.iter_mut().filter(|m| m.severity == Severity::Warning) {
                message.severity = Severity::Error;
            }
        }
    }
}

/// `LOCATION: warning: TEXT` or `warning: TEXT`.
fn parse(line: &str) -> Option<(&str, Severity, &str)> {
    for (word, severity) in SEVERITIES {
        if let Some(text) = line.strip_prefix(word) {
            return Some(("", severity, without_flag(text)));
        }
    }
    let (at, word, severity) = SEVERITIES
        .iter()
        .filter_map(|(word, severity)| Some((line.find(&format!(": {word}"))?, word, *severity)))
        .min_by_key(|(at, ..)| *at)?;
    let location = &line[..at];
    let ends_in_a_place = location
        .rsplit(':')
        .next()
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    ends_in_a_place.then(|| (location, severity, without_flag(&line[at + 2 + word.len()..])))
}

/// Without clang's ` [-Wgroup]`, which lld knows nothing of.
fn without_flag(text: &str) -> &str {
    match text.rfind(" [-W").or_else(|| text.rfind(" [-R")) {
        Some(at) if text.ends_with(']') => &text[..at],
        _ => text,
    }
}

/// lld puts the module before a place in its assembly, since `<inline asm>` names nothing (lld `diagnosticHandler`).
fn located(location: &str, text: &str, module: &str) -> String {
    match location {
        "" => text.to_owned(),
        place if place.starts_with('<') => format!("{module} {place}: {text}"),
        place => format!("{place}: {text}"),
    }
}

/// `1 error generated.`, `2 warnings and 1 error generated.`
fn is_count(line: &str) -> bool {
    line.ends_with(" generated.") && line.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assembler_error_reads_as_llds() {
        let stderr = "<inline asm>:1:2: error: invalid instruction mnemonic 'bogus'\n        bogus\n        ^~~~~\n\
                      error: cannot compile inline asm\n1 error generated.\n";
        let found = messages(stderr, "w.o");
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].render("ld.lld-22", Color::Plain),
            "ld.lld-22: error: w.o <inline asm>:1:2: invalid instruction mnemonic 'bogus'\n        bogus\n        ^~~~~\n\n"
        );
    }

    #[test]
    fn a_warning_without_a_place_loses_clangs_group() {
        let found = messages(
            "warning: <unknown>:0:0: stack frame size (9) exceeds limit (8) in function 'f' [-Wx]\n",
            "m.o",
        );
        assert_eq!(
            found[0].text,
            "<unknown>:0:0: stack frame size (9) exceeds limit (8) in function 'f'"
        );
        assert_eq!(found[0].severity, Severity::Warning);
    }

    #[test]
    fn a_remark_has_a_place_and_no_quotation() {
        let said = "remark: <unknown>:0:0: devirtualized [-Rpass=wpd]\n\
                    a.c:3:1: remark: inlined [-Rpass=inline]\n  3 | f();\n    | ^\n";
        let found = messages(said, "m.o");
        let texts: Vec<&str> = found.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts, ["<unknown>:0:0: devirtualized", "a.c:3:1: inlined"]);
        assert!(found.iter().all(|message| message.severity == Severity::Remark));
    }

    #[test]
    fn warnings_are_weighed_as_the_link_line_says() {
        let warn = messages("warning: hey\n", "m.o");
        let mut fatal = warn.clone();
        weigh(&mut fatal, Warnings::Fatal);
        assert_eq!(fatal[0].severity, Severity::Error);
        let mut none = warn;
        weigh(&mut none, Warnings::Suppressed);
        assert!(none.is_empty());
    }
}
