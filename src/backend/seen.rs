//! What a backend reads of other modules, as the key of its object has it: all of some, of others what is seen through the
//! imports. Knows nothing of the rest of a key.
//!
//! Integers that only say where an assembly statement stands (`!srcloc`) count for which of them are the same, among all
//! that are compiled together, and not for what they are: LLVM compares the nodes they are in and reads their values for
//! messages alone. So each goes by a number in the order they are met; but one that is also known otherwise, as an integer
//! of the module itself or of one that is read whole, by its value.

use std::collections::{HashMap, HashSet};

use crate::bitcode::outline::{Outline, OutlinedModule};
use crate::bitcode::view::{ImportView, Seen};

/// One module that a backend reads.
pub enum Read<'a> {
    /// Whatever is in it: its name in the key, and its integers.
    Whole(Vec<u8>, &'a [u64]),
    /// As much as is seen.
    Part(Seen),
}

/// The modules a backend reads, in order, for the key of its object.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// In the key.
    pub key: Vec<u8>,
    /// What the key leaves out.
    pub places: Vec<u8>,
}

impl Names {
    /// Of the module that is compiled, whose integers these are, and of each that its index names; none where one of them
    /// cannot be told.
    pub fn of_backend<'r>(
        own: &'r [u64],
        index: &Outline,
        read: impl Fn(&OutlinedModule) -> Option<Read<'r>>,
    ) -> Option<Names> {
        // The module itself, whether or not its index names it.
        let own = std::iter::once(Some(Read::Whole(Vec::new(), own)));
        let modules: Option<Vec<Read<'r>>> = own.chain(index.modules.iter().map(read)).collect();
        Some(Names::of(&modules?))
    }

    fn of(modules: &[Read<'_>]) -> Names {
        let known: HashSet<u64> = match modules.iter().any(Read::has_cookies) {
            true => modules.iter().flat_map(Read::integers).copied().collect(),
            false => HashSet::new(),
        };
        let (mut names, mut numbers) = (Names::default(), HashMap::new());
        for module in modules {
            match module {
                Read::Whole(name, _) => names.part(b'W', name),
                Read::Part(seen) => {
                    names.part(b'P', &seen.digest);
                    names.part(b'C', &(seen.cookies.len() as u64).to_le_bytes());
                    for cookie in &seen.cookies {
                        let value = cookie.to_le_bytes();
                        if known.contains(cookie) {
                            names.part(b'V', &value);
                            continue;
                        }
                        let next = numbers.len() as u64;
                        let number = *numbers.entry(*cookie).or_insert(next);
                        names.part(b'N', &number.to_le_bytes());
                        names.places.extend_from_slice(&value);
                    }
                }
            }
        }
        names
    }

    /// No two lists of parts read the same.
    fn part(&mut self, tag: u8, bytes: &[u8]) {
        self.key.push(tag);
        self.key.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.key.extend_from_slice(bytes);
    }
}

impl<'a> Read<'a> {
    /// What is read of one that is imported from.
    pub fn of(module: &OutlinedModule, view: &'a ImportView, digest: &[u8; 32], bytes: &[u8]) -> Read<'a> {
        match view.of(bytes, module.imports.iter().copied()) {
            Some(seen) => Read::Part(seen),
            None => Read::Whole(digest.to_vec(), &view.integers),
        }
    }

    fn has_cookies(&self) -> bool {
        matches!(self, Read::Part(seen) if !seen.cookies.is_empty())
    }

    /// Those that the key tells for what they are.
    fn integers(&self) -> &[u64] {
        match self {
            Read::Whole(_, integers) => integers,
            Read::Part(seen) => &seen.integers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(cookies: &[u64], integers: &[u64]) -> Read<'static> {
        Read::Part(Seen {
            digest: [1; 32],
            integers: integers.to_vec(),
            cookies: cookies.to_vec(),
        })
    }

    fn names(own: &[u64], parts: [Read<'_>; 2]) -> Names {
        let [first, second] = parts;
        Names::of(&[Read::Whole(b"own".to_vec(), own), first, second])
    }

    #[test]
    fn cookies_count_for_which_of_them_are_the_same() {
        let base = names(&[7], [part(&[10, 20], &[]), part(&[20, 30], &[])]);
        assert_eq!(base.places.len(), 4 * 8);
        // What they are is another matter.
        let moved = names(&[7], [part(&[11, 21], &[]), part(&[21, 31], &[])]);
        assert_eq!(moved.key, base.key);
        assert_ne!(moved.places, base.places);
        for (what, other) in [
            (
                "two of one module",
                names(&[7], [part(&[10, 10], &[]), part(&[10, 30], &[])]),
            ),
            (
                "two of different modules",
                names(&[7], [part(&[10, 20], &[]), part(&[21, 30], &[])]),
            ),
            (
                "others of them",
                names(&[7], [part(&[10, 20], &[]), part(&[10, 30], &[])]),
            ),
            (
                "one and the module's own",
                names(&[7], [part(&[10, 20], &[]), part(&[20, 7], &[])]),
            ),
            (
                "one and what is seen of another module",
                names(&[7], [part(&[10, 20], &[30]), part(&[20, 30], &[])]),
            ),
            ("one less", names(&[7], [part(&[10, 20], &[]), part(&[20], &[])])),
        ] {
            assert_ne!(other.key, base.key, "{what}");
        }
    }

    #[test]
    fn what_is_known_otherwise_counts_for_what_it_is() {
        let of = |value| names(&[7, 8], [part(&[value], &[]), part(&[], &[])]);
        assert_ne!(of(7).key, of(8).key);
        assert!(of(7).places.is_empty());
        assert_eq!(of(9).key, of(10).key);
    }
}
