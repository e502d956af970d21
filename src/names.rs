//! Translates staged names back into the user's own, in everything a person reads: diagnostics, map files, traces.
//! Knows nothing of links; it is given a table of (staged path, user's name) and a text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The table: what stands in the staging folder, and what the user calls it.
#[derive(Debug, Default)]
pub struct Names {
    /// `/staging/o/`: every staged name begins with it.
    prefix: String,
    /// By what follows.
    users: BTreeMap<String, String>,
}

impl Names {
    /// A table for names that begin with `prefix` (with its last slash).
    pub fn new(prefix: String) -> Names {
        Names {
            prefix,
            users: BTreeMap::new(),
        }
    }

    /// The prefix and `name` are to be read as `user`.
    pub fn insert(&mut self, name: String, user: String) {
        self.users.insert(name, user);
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

    /// The user's name for the longest staged name that `text` begins with (prefix taken off), and that name's length.
    fn staged(&self, text: &str) -> Option<(&str, usize)> {
        let mut bound = text;
        loop {
            // Of all names that sort before the text, those that it begins with sort last, the longest at the end.
            let names = (Bound::Unbounded, Bound::Included(bound));
            let (name, user) = self.users.range::<str, _>(names).next_back()?;
            if text.starts_with(name.as_str()) {
                return Some((user, name.len()));
            }
            let common = name.char_indices().zip(bound.chars()).find(|((_, a), b)| a != b);
            bound = &bound[..common.map(|((at, _), _)| at)?];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_names_become_the_users() {
        let mut names = Names::new("/s/o/".into());
        for (name, user) in [
            ("0/fork.o", "kernel/fork.o"),
            ("0/fork.o2", "odd/fork.o2"),
            ("0/libx.a", "lib/libx.a"),
            ("1/fork.o", "other/fork.o"),
        ] {
            names.insert(name.into(), user.into());
        }
        assert_eq!(
            names.translate("error: in /s/o/0/fork.o:(.text)\n>>> /s/o/0/libx.a(m.o) and /s/o/99/x.o"),
            "error: in kernel/fork.o:(.text)\n>>> lib/libx.a(m.o) and /s/o/99/x.o"
        );
        assert_eq!(
            names.translate("/s/o/1/fork.o /s/o/0/fork.o2 /s/o/0/fork.o~ /s/o/0/fork"),
            "other/fork.o odd/fork.o2 kernel/fork.o~ /s/o/0/fork"
        );
    }
}
