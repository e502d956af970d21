//! Words to items: which words are options, which are their values, which are inputs, decided as LLVM's option parser
//! does for lld (`OptTable::ParseArgs`). Knows nothing of what options mean, nor of their order.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::invocation::Item;
use super::table::{self, Arity, OptionDef};

/// What our own options begin with, after one dash or two.
const OWN: &str = "thinlto-ld-";

/// One word as lld's parser sees it.
#[derive(Clone, Debug)]
pub struct Word {
    /// What is parsed.
    text: OsString,
    /// What was typed, where lld glues two words together.
    apart: Option<[OsString; 2]>,
}

impl Word {
    fn typed(self) -> Vec<OsString> {
        match self.apart {
            Some(apart) => apart.into(),
            None => vec![self.text],
        }
    }
}

/// Command line words as lld's parser sees them: `-plugin-opt X` is made `-plugin-opt=X` first, wherever it stands
/// (lld `concatLTOPluginOptions`).
pub fn glue(args: Vec<OsString>) -> Vec<Word> {
    let mut words = Vec::with_capacity(args.len());
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        if (arg == "-plugin-opt" || arg == "--plugin-opt")
            && let Some(value) = args.next()
        {
            let mut text = arg.clone();
            text.push("=");
            text.push(&value);
            words.push(Word {
                text,
                apart: Some([arg, value]),
            });
        } else {
            words.push(Word { text: arg, apart: None });
        }
    }
    words
}

/// A command line cut into items.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The items, in order.
    pub items: Vec<Item>,
    /// Our own options, not among the items.
    pub own: Vec<(String, OsString)>,
    /// The option at the very end that lacks its value, with its dashes. Not among the items.
    pub missing: Option<String>,
}

/// Cut words into items. Empty words where an option could stand are dropped, as LLVM drops them.
pub fn parse(words: Vec<Word>) -> Parsed {
    let mut parsed = Parsed::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word.text.is_empty() {
            continue;
        }
        if !word.text.as_bytes().starts_with(b"-") || word.text == "-" {
            // One that lld glues is an option.
            parsed.items.push(Item::Input(word.text));
            continue;
        }
        if let Some(own) = own(&word.text) {
            parsed.own.push(own);
            continue;
        }
        let (def, matched) = accept(&word.text);
        let joined = word
            .text
            .as_bytes()
            .get(matched..)
            .map(OsStr::from_bytes)
            .unwrap_or_default();
        let mut next = None;
        let value = match def.arity {
            Arity::Flag => def.implied.map(OsString::from),
            Arity::JoinedOrSeparate if !joined.is_empty() => Some(joined.to_owned()),
            Arity::Joined => Some(joined.to_owned()),
            Arity::Separate | Arity::JoinedOrSeparate => {
                next = words.next();
                let Some(next) = &next else {
                    parsed.missing = Some(word.text.to_string_lossy().into_owned());
                    break;
                };
                Some(next.text.clone())
            }
        };
        let mut typed = word.typed();
        typed.extend(next.into_iter().flat_map(Word::typed));
        parsed.items.push(Item::Option {
            def,
            words: typed,
            value,
        });
    }
    parsed
}

/// The first row that accepts the word, and how much of the word is its name: flags and separate options must match it
/// whole (LLVM `Option::accept`).
fn accept(word: &OsStr) -> (&'static OptionDef, usize) {
    table::matches(word.as_bytes())
        .find(|(def, matched)| match def.arity {
            Arity::Flag | Arity::Separate => *matched == word.len(),
            Arity::Joined | Arity::JoinedOrSeparate => true,
        })
        .unwrap_or((&table::UNKNOWN, word.len()))
}

/// `--thinlto-ld-NAME=VALUE` taken apart. Without `=VALUE` it is an unknown option like any other.
fn own(word: &OsStr) -> Option<(String, OsString)> {
    let word = word.as_bytes();
    let body = word
        .strip_prefix(b"--")
        .or_else(|| word.strip_prefix(b"-"))?
        .strip_prefix(OWN.as_bytes())?;
    let equals = body.iter().position(|&byte| byte == b'=')?;
    let (name, value) = body.split_at_checked(equals)?;
    let name = String::from_utf8_lossy(name).to_lowercase();
    Some((name, OsStr::from_bytes(value.strip_prefix(b"=")?).to_owned()))
}
