//! What three programs said, put together as if one had: what two of them say is said once.
//! Knows nothing of what the words mean.

use crate::thin_link::Plan;

/// What the thin link said, then the backends, then what the final link said and the thin link had not.
pub(super) fn said(plan: &Plan, backends: &str, last: &str) -> String {
    let mut text = format!("{}{backends}", plan.warnings);
    let said = paragraphs(&plan.warnings);
    for paragraph in paragraphs(last) {
        if !said.contains(&paragraph) {
            text.push_str(&paragraph);
        }
    }
    text
}

/// The line in which a linker first says what it has failed of: `ld.lld: error: …`, `LLVM ERROR: …`.
pub(super) fn first_error(text: &str) -> Option<&str> {
    text.lines().find(|line| line.to_ascii_lowercase().contains("error: "))
}

/// A linker's messages: each begins at the start of a line with the linker's name, `>>>` lines belong to the one before.
fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        let goes_on = line.starts_with(">>>") || line.starts_with([' ', '\t']) || line.trim().is_empty();
        match paragraphs.last_mut() {
            Some(last) if goes_on => last.push_str(line),
            _ => paragraphs.push(line.to_owned()),
        }
    }
    paragraphs
}
