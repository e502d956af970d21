//! What an object is called in the cache: one hash over everything a backend's output depends on, part by part in one
//! function. Knows nothing of how the parts are found; whoever leaves one out makes stale links.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::digest::Digest;

/// Raised whenever the meaning of a part or of an entry changes, so that no object made under the old meaning is found.
const FORMAT: u32 = 6;

/// The name of a cached object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of what this one names, with these bytes too.
    #[must_use]
    pub fn with(&self, more: &[u8]) -> Key {
        let mut hash = Framed(blake3::Hasher::new());
        hash.part("key", &self.0);
        hash.part("more", more);
        Key(*hash.0.finalize().as_bytes())
    }
}

impl From<[u8; 32]> for Key {
    fn from(bytes: [u8; 32]) -> Key {
        Key(bytes)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// A file that the module's assembly names (`.incbin`, `.include`).
#[derive(Clone, Copy, Debug)]
pub struct AsmInput<'a> {
    /// As the assembly spells it.
    pub spelled: &'a Path,
    /// Its content; `None` where the assembler would look for it and not find it.
    pub content: Option<Digest>,
}

/// A file that an option names (a profile, a list of basic-block sections).
#[derive(Clone, Copy, Debug)]
pub struct ExtraInput<'a> {
    /// The option, so that two files can't change places.
    pub option: &'a str,
    /// Its content.
    pub content: Digest,
}

/// The bytes of a canonical index, given piece by piece to the function it is called with.
pub type FeedIndex<'a> = dyn FnMut(&mut dyn FnMut(&[u8])) + 'a;

/// Everything a backend's output depends on.
pub struct KeyParts<'a> {
    /// Who compiles: bytes that differ whenever two clangs could make different objects.
    pub clang: &'a [u8],
    /// The backend's options in order, target and relocation model among them, without the names of inputs and outputs.
    pub options: &'a [&'a OsStr],
    /// The module's bytes.
    pub module: Digest,
    /// The module's index, canonical: modules named by content and not by path, in an order that is theirs.
    pub index: &'a mut FeedIndex<'a>,
    /// Files its assembly pulls in, in the order they are named.
    pub asm_files: &'a [AsmInput<'a>],
    /// Files its options name.
    pub extra: &'a [ExtraInput<'a>],
}

impl KeyParts<'_> {
    /// The key. Each part is a tag and its length before its bytes, so that no two lists of parts read the same.
    #[must_use]
    pub fn key(self) -> Key {
        let mut hash = Framed(blake3::Hasher::new());

        // What the parts below mean, and what an entry holds.
        hash.part("format", &FORMAT.to_le_bytes());

        // Another compiler makes other code, be it only one patch apart.
        hash.part("clang", self.clang);

        // Optimization, code generation, -mllvm: in order, for the last of two wins.
        hash.count("options", self.options.len());
        for option in self.options {
            hash.part("option", option.as_bytes());
        }

        // The code. Its path is not here: a checkout elsewhere with the same bytes shares the object.
        hash.part("module", &self.module);

        // What the thin link decided: imports with what is seen of the modules they come from, linkage, liveness,
        // promotion, dso_local, type ids.
        let mut index = Vec::new();
        (self.index)(&mut |bytes| index.extend_from_slice(bytes));
        hash.part("index", blake3::hash(&index).as_bytes());

        // The assembler opens these behind everybody's back, so that lld's own key misses them. The spelling is in since
        // it says which content goes where; a file not found is in since its appearing changes the outcome.
        hash.count("asm-files", self.asm_files.len());
        for file in self.asm_files {
            hash.part("spelled", file.spelled.as_os_str().as_bytes());
            match &file.content {
                Some(content) => hash.part("content", content),
                None => hash.part("missing", &[]),
            }
        }

        // The option names a path, the profile is its content.
        hash.count("extra", self.extra.len());
        for file in self.extra {
            hash.part("extra-option", file.option.as_bytes());
            hash.part("extra-content", &file.content);
        }

        Key(*hash.0.finalize().as_bytes())
    }
}

struct Framed(blake3::Hasher);

impl Framed {
    fn part(&mut self, tag: &str, bytes: &[u8]) {
        self.count(tag, bytes.len());
        self.0.update(bytes);
    }

    fn count(&mut self, tag: &str, n: usize) {
        self.0.update(tag.as_bytes());
        self.0.update(&[0]);
        self.0.update(&(n as u64).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    struct Owned {
        clang: Vec<u8>,
        options: Vec<&'static OsStr>,
        module: Digest,
        index: Vec<&'static [u8]>,
        asm_files: Vec<AsmInput<'static>>,
        extra: Vec<ExtraInput<'static>>,
    }

    fn base() -> Owned {
        Owned {
            clang: b"clang 22.1.8".to_vec(),
            options: vec![OsStr::new("-O2"), OsStr::new("-faddrsig")],
            module: [1; 32],
            index: vec![b"abc", b"def"],
            asm_files: vec![AsmInput {
                spelled: Path::new("a.bin"),
                content: Some([2; 32]),
            }],
            extra: vec![ExtraInput {
                option: "lto-sample-profile",
                content: [3; 32],
            }],
        }
    }

    fn key(o: &Owned) -> Key {
        let mut feed = |sink: &mut dyn FnMut(&[u8])| o.index.iter().for_each(|b| sink(b));
        KeyParts {
            clang: &o.clang,
            options: &o.options,
            module: o.module,
            index: &mut feed,
            asm_files: &o.asm_files,
            extra: &o.extra,
        }
        .key()
    }

    #[test]
    fn every_part_counts_and_the_pieces_of_the_index_do_not() {
        let changes: &[fn(&mut Owned)] = &[
            |_| {},
            |o| o.clang.push(b'+'),
            |o| o.options.reverse(),
            |o| o.options = vec![OsStr::new("-O2-faddrsig")],
            |o| o.module = [9; 32],
            |o| o.index = vec![b"abcde"],
            |o| o.asm_files[0].spelled = Path::new("b.bin"),
            |o| o.asm_files[0].content = Some([9; 32]),
            |o| o.asm_files[0].content = None,
            |o| o.asm_files.clear(),
            |o| o.extra[0].option = "lto-cs-profile-file",
            |o| o.extra[0].content = [9; 32],
            |o| o.extra.clear(),
        ];
        let keys: HashSet<Key> = changes
            .iter()
            .map(|change| {
                let mut o = base();
                change(&mut o);
                key(&o)
            })
            .collect();
        assert_eq!(keys.len(), changes.len());
        let mut split = base();
        split.index = vec![b"a", b"bcd", b"", b"ef"];
        assert_eq!(key(&split), key(&base()));
        assert_eq!(key(&base()).to_string().len(), 64);
    }
}
