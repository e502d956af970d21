//! Tokens of a linker script, as lld's `ScriptLexer` cuts them, `INCLUDE`d files spliced in.
//! Knows nothing of commands.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use thiserror::Error;

/// A linker script in memory.
#[derive(Debug)]
pub struct Source {
    /// Its path as lld spells it.
    pub path: PathBuf,
    /// Its bytes.
    pub text: Vec<u8>,
    /// Whether absolute paths in it are meant below `--sysroot`.
    pub root: Root,
}

/// What an absolute path in a script is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// The real root.
    Host,
    /// `--sysroot`: the script itself lies below it.
    Sysroot,
}

/// A linker script lld would refuse too.
#[derive(Debug, Error)]
#[error("{}:{line}: {what}", path.display())]
pub struct ScriptError {
    /// The script.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// How words are cut; lld's `ScriptLexer::State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// File names and patterns are one word.
    Script,
    /// Operators are words of their own.
    Expression,
}

/// A place in a source.
struct Cursor {
    source: Rc<Source>,
    position: usize,
}

/// The token stream.
pub struct Lexer {
    current: Cursor,
    /// Sources whose `INCLUDE` we are inside of, outermost first.
    outer: Vec<Cursor>,
}

const COMPOUND: &[&[u8]] = &[b"<<=", b">>=", b"+=", b"-=", b"*=", b"/=", b"!=", b"&=", b"^=", b"|="];
const DOUBLE: &[&[u8]] = &[b"<<", b">>", b"&&", b"||", b"==", b"<=", b">="];

impl Lexer {
    /// Starts at the top of a script.
    pub fn new(source: Source) -> Self {
        Self {
            current: Cursor {
                source: Rc::new(source),
                position: 0,
            },
            outer: Vec::new(),
        }
    }

    /// The script the last token came from.
    pub fn source(&self) -> Rc<Source> {
        Rc::clone(&self.current.source)
    }

    /// Where the last token ended, in bytes of [`Lexer::source`].
    pub fn position(&self) -> usize {
        self.current.position
    }

    /// Goes on with `source`, and after its end where we are now. A script inside itself is an error.
    pub fn include(&mut self, source: Source) -> Result<(), ScriptError> {
        let open = |path: &Path| {
            self.outer
                .iter()
                .chain([&self.current])
                .any(|cursor| cursor.source.path == path)
        };
        if open(&source.path) {
            return Err(self.error("there is a cycle in linker script INCLUDEs"));
        }
        let inner = Cursor {
            source: Rc::new(source),
            position: 0,
        };
        self.outer.push(std::mem::replace(&mut self.current, inner));
        Ok(())
    }

    /// An error at the current line.
    pub fn error(&self, what: impl Into<String>) -> ScriptError {
        let Cursor { source, position } = &self.current;
        let before = source.text.get(..*position).unwrap_or_default();
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        ScriptError {
            path: source.path.clone(),
            line,
            what: what.into(),
        }
    }

    /// The next token; quotes are part of it. `None` at the end.
    pub fn next(&mut self, mode: Mode) -> Result<Option<Vec<u8>>, ScriptError> {
        loop {
            let source = self.source();
            let rest = source.text.get(self.current.position..).unwrap_or_default();
            let rest = self.skip_space(rest)?;
            self.current.position = source.text.len() - rest.len();
            if rest.is_empty() {
                let Some(outer) = self.outer.pop() else {
                    return Ok(None);
                };
                self.current = outer;
                continue;
            }
            let length = token_length(rest, mode).ok_or_else(|| self.error("unclosed quote"))?;
            self.current.position = self.current.position.saturating_add(length);
            return Ok(Some(rest.get(..length).unwrap_or_default().to_vec()));
        }
    }

    /// The next token without taking it.
    pub fn peek(&mut self, mode: Mode) -> Result<Option<Vec<u8>>, ScriptError> {
        let token = self.next(mode)?;
        let length = token.as_ref().map_or(0, Vec::len);
        self.current.position = self.current.position.saturating_sub(length);
        Ok(token)
    }

    fn skip_space<'a>(&self, mut rest: &'a [u8]) -> Result<&'a [u8], ScriptError> {
        loop {
            rest = match rest {
                [b'/', b'*', comment @ ..] => {
                    let end = comment.windows(2).position(|pair| pair == b"*/");
                    let end = end.ok_or_else(|| self.error("unclosed comment in a linker script"))?;
                    comment.get(end + 2..).unwrap_or_default()
                }
                [b'#', comment @ ..] => {
                    let end = comment
                        .iter()
                        .position(|&byte| byte == b'\n')
                        .map_or(comment.len(), |end| end + 1);
                    comment.get(end..).unwrap_or_default()
                }
                [b' ' | b'\t' | b'\n' | b'\x0b' | b'\x0c' | b'\r', rest @ ..] => rest,
                _ => return Ok(rest),
            };
        }
    }
}

/// Length of the token at the start of `rest`, which is not empty and not space; `None` for a quote that never closes.
fn token_length(rest: &[u8], mode: Mode) -> Option<usize> {
    if let [b'"', quoted @ ..] = rest {
        return quoted.iter().position(|&byte| byte == b'"').map(|end| end + 2);
    }
    if let Some(operator) = COMPOUND.iter().find(|operator| rest.starts_with(operator)) {
        return Some(operator.len());
    }
    let word = rest.iter().take_while(|&&byte| is_word(byte, mode)).count();
    if word > 0 {
        return Some(word);
    }
    let double = mode == Mode::Expression && DOUBLE.iter().any(|operator| rest.starts_with(operator));
    Some(if double { 2 } else { 1 })
}

fn is_word(byte: u8, mode: Mode) -> bool {
    byte.is_ascii_alphanumeric()
        || b"_.$".contains(&byte)
        || (mode == Mode::Script && b"/\\~=+[]*?-!^:".contains(&byte))
}

/// A token without its quotes.
pub fn unquote(token: &[u8]) -> &[u8] {
    match token {
        [b'"', inner @ .., b'"'] => inner,
        _ => token,
    }
}
