//! Translates staged names back into the user's own, in everything a person reads: diagnostics, map files, traces.
//! Knows nothing of links; it is given a table of (staged path, user's name) and a text.

use std::borrow::Cow;
use std::collections::HashMap;

/// The table: what stands in the staging folder, and what the user calls it.
#[derive(Debug, Default)]
pub struct Names {
    /// `/staging/o/`: every staged name begins with it and goes on with a number, a slash and the file's name.
    prefix: String,
    by_number: HashMap<usize, Named>,
}

#[derive(Debug)]
struct Named {
    base: String,
    user: String,
}

impl Names {
    /// A table for names that begin with `prefix` (with its last slash).
    pub fn new(prefix: String) -> Names {
        Names {
            prefix,
            by_number: HashMap::new(),
        }
    }

    /// `PREFIX number/base` is to be read as `user`.
    pub fn insert(&mut self, number: usize, base: &str, user: String) {
        self.by_number.insert(
            number,
            Named {
                base: base.to_owned(),
                user,
            },
        );
    }

    /// The text with every staged name replaced. Borrowed where there is none.
    pub fn translate(&self, text: &str) -> String {
        if self.prefix.is_empty() {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(&self.prefix) {
            out.push_str(&rest[..at]);
            let after = &rest[at + self.prefix.len()..];
            match self.staged(after) {
                Some((user, length)) => {
                    out.push_str(user);
                    rest = &after[length..];
                }
                None => {
                    out.push_str(&self.prefix);
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// As [`Names::translate`], of bytes: those without a staged name in them come back as they are, text or not.
    pub fn translate_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let prefix = self.prefix.as_bytes();
        if prefix.is_empty() || !bytes.windows(prefix.len()).any(|window| window == prefix) {
            return Cow::Borrowed(bytes);
        }
        Cow::Owned(self.translate(&String::from_utf8_lossy(bytes)).into_bytes())
    }

    /// The user's name for the staged path that `text` begins with (prefix taken off), and that path's length.
    fn staged(&self, text: &str) -> Option<(&str, usize)> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let named = self.by_number.get(&text[..digits].parse().ok()?)?;
        let tail = text[digits..].strip_prefix('/')?;
        tail.starts_with(&named.base)
            .then(|| (named.user.as_str(), digits + 1 + named.base.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_names_become_the_users() {
        let mut names = Names::new("/s/o/".into());
        names.insert(7, "fork.o", "kernel/fork.o".into());
        names.insert(12, "libx.a", "lib/libx.a".into());
        assert_eq!(
            names.translate("error: in /s/o/7/fork.o:(.text)\n>>> /s/o/12/libx.a(m.o) and /s/o/99/x.o"),
            "error: in kernel/fork.o:(.text)\n>>> lib/libx.a(m.o) and /s/o/99/x.o"
        );
    }
}
