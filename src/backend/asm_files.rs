//! Which files a module's assembly pulls in by `.incbin` and `.include`, found by reading the assembly as LLVM's AsmParser
//! would, or rather a little more liberally. Knows nothing of targets: it need not tell a comment from a statement.
//!
//! A file too many costs a needless compile once it changes; a file too few makes a stale link. So every place that could
//! be such a directive on any target counts as one, in comments, in branches not assembled and in macros never called too,
//! and wherever a macro parameter or an operand could have a hand in it the answer is [`AsmFiles::Undecidable`].
//! That spares us the targets' comment characters and statement separators (MCAsmInfo), which only ever hide directives.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The files of a module's assembly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AsmFiles {
    /// None at all; so it is with nearly every module.
    None,
    /// These at most, as spelled, each once, in the order they are named. Relative ones are looked for in the assembler's
    /// working directory and nowhere else, there being no `-I` in a backend. Some may not exist.
    Files(Vec<PathBuf>),
    /// Nobody can say without assembling. Such a module is not to be cached.
    Undecidable(Undecidable),
}

/// Why nobody can say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecidable {
    /// The operand has a macro parameter or an inline assembly operand in it.
    #[error("the file name of an .incbin or .include is put together at assembly time")]
    Name,
    /// The directive itself may be made of macro parameters or operands, or passed as one.
    #[error("an .incbin or .include may be put together at assembly time")]
    Directive,
    /// `.altmacro`: every word may be a parameter.
    #[error(".altmacro in assembly")]
    AltMacro,
    /// The operand is no string, or has something odd after it.
    #[error("an .incbin or .include that cannot be understood")]
    Malformed,
    /// An included file is there and can't be read, or is no regular file.
    #[error("{}: cannot be read: {kind}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
    /// The included files are too many or too large to follow.
    #[error("too much assembly is included")]
    TooMuch,
}

impl Undecidable {
    /// One word for the stats.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Undecidable::Name => "asm-file-name",
            Undecidable::Directive => "asm-directive",
            Undecidable::AltMacro => "asm-altmacro",
            Undecidable::Malformed => "asm-malformed",
            Undecidable::Unreadable { .. } => "asm-unreadable",
            Undecidable::TooMuch => "asm-too-much",
        }
    }
}

/// The two directives that open files. LLVM looks them up in lower case.
const INCBIN: &[u8] = b".incbin";
const INCLUDE: &[u8] = b".include";
const ALTMACRO: &[u8] = b".altmacro";

/// What must not be put together unseen.
const WATCHED: [&[u8]; 3] = [INCBIN, INCLUDE, ALTMACRO];

/// What begins a text in which `\name` is replaced. `.rep` has `.rept` and `.rep` in it, `.irp` also `.irpc`.
const MACROS: [&[u8]; 3] = [b".macro", b".rep", b".irp"];

/// Included files are read up to these bounds.
const MAX_INCLUDES: usize = 256;
const MAX_BYTES: u64 = 16 << 20;

/// One assembly text, whole, as the bitcode or an included file has it; looked through once, however many modules it is
/// compiled with.
#[derive(Debug)]
pub struct Text {
    bytes: Vec<u8>,
    is_harmless: bool,
    has_altmacro: bool,
    has_macros: bool,
    plain: OnceLock<Result<Vec<Named>, Undecidable>>,
    substituted: OnceLock<Result<Vec<Named>, Undecidable>>,
}

impl Text {
    /// A text that may be compiled with others.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Text {
        let bytes = bytes.into();
        Text {
            is_harmless: is_harmless(&bytes),
            has_altmacro: has(&bytes, ALTMACRO),
            has_macros: MACROS.iter().any(|m| has(&bytes, m)),
            plain: OnceLock::new(),
            substituted: OnceLock::new(),
            bytes,
        }
    }

    /// As it is written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether something in it is put together by a macro or a repetition.
    pub(super) fn has_macros(&self) -> bool {
        self.has_macros
    }

    fn named(&self, substitution: Substitution) -> Result<&[Named], Undecidable> {
        let found = match substitution {
            Substitution::None => &self.plain,
            Substitution::Macros => &self.substituted,
        };
        let found = found.get_or_init(|| scan(&self.bytes, substitution)).as_ref();
        found.map(Vec::as_slice).map_err(Undecidable::clone)
    }
}

/// Finds the files of a module's assembly, following `.include` in `cwd`.
///
/// `texts` are the module's assembly and the inline assembly of every function it is compiled with, imported ones too:
/// macros defined in one are known in all that come after.
pub fn find(texts: &[&Text], cwd: &Path) -> AsmFiles {
    if texts.iter().all(|text| text.is_harmless) {
        return AsmFiles::None;
    }
    match follow(texts, cwd) {
        Ok(files) if files.is_empty() => AsmFiles::None,
        Ok(files) => AsmFiles::Files(files),
        Err(why) => AsmFiles::Undecidable(why),
    }
}

/// The cheap answer for nearly everybody: no directive in it, and nothing that could make one.
fn is_harmless(text: &[u8]) -> bool {
    !has(text, b"inc") && !has(text, ALTMACRO) && !MACROS.iter().any(|m| has(text, m)) && !text.contains(&b'$')
}

/// Reads the texts and what they include, until nothing new is included. All are asked again each time, since a macro
/// seen in the last file changes what a text before it may mean.
fn follow(texts: &[&Text], cwd: &Path) -> Result<Vec<PathBuf>, Undecidable> {
    let mut read_texts: Vec<Text> = Vec::new();
    let mut followed = HashSet::new();
    let mut budget = MAX_BYTES;
    loop {
        let named = scan_all(texts.iter().copied().chain(&read_texts))?;
        let mut included = named
            .iter()
            .filter(|n| n.included)
            .map(|n| &n.path)
            .filter(|p| !followed.contains(*p))
            .peekable();
        if included.peek().is_none() {
            let mut seen = HashSet::new();
            return Ok(named
                .into_iter()
                .map(|n| n.path)
                .filter(|p| seen.insert(p.clone()))
                .collect());
        }
        let new: Vec<PathBuf> = included.cloned().collect();
        for path in new {
            if !followed.insert(path.clone()) {
                continue;
            }
            if let Some(text) = read(&cwd.join(&path), budget)? {
                budget = budget.saturating_sub(text.len() as u64);
                read_texts.push(Text::new(text));
            }
            if followed.len() > MAX_INCLUDES || budget == 0 {
                return Err(Undecidable::TooMuch);
            }
        }
    }
}

/// An included file's text; `None` where there is none, and the assembler will say so.
fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Undecidable> {
    let mut text = Vec::new();
    let result = std::fs::metadata(path).and_then(|m| {
        // A pipe could keep us waiting, and would be empty for the assembler then.
        if !m.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        std::fs::File::open(path)?.take(most).read_to_end(&mut text)
    });
    match result {
        Ok(_) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Undecidable::Unreadable {
            path: path.to_owned(),
            kind: e.kind(),
        }),
    }
}

#[derive(Clone, Debug)]
struct Named {
    path: PathBuf,
    included: bool,
}

/// Whether `\name` may be replaced in any of the texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Substitution {
    None,
    Macros,
}

fn scan_all<'t>(texts: impl Iterator<Item = &'t Text> + Clone) -> Result<Vec<Named>, Undecidable> {
    if texts.clone().any(|text| text.has_altmacro) {
        return Err(Undecidable::AltMacro);
    }
    let substitution = match texts.clone().any(|text| text.has_macros) {
        true => Substitution::Macros,
        false => Substitution::None,
    };
    let mut named = Vec::new();
    for text in texts {
        named.extend_from_slice(text.named(substitution)?);
    }
    Ok(named)
}

fn scan(text: &[u8], substitution: Substitution) -> Result<Vec<Named>, Undecidable> {
    if could_compose(text, substitution) {
        return Err(Undecidable::Directive);
    }
    let mut named = Vec::new();
    for (at, _) in text.iter().enumerate().filter(|(_, byte)| **byte == b'.') {
        for (directive, included) in [(INCBIN, false), (INCLUDE, true)] {
            if let Some(path) = directive_at(text, at, directive, substitution)? {
                named.push(Named { path, included });
            }
        }
    }
    Ok(named)
}

/// The operand of `directive` if it stands at `at`.
fn directive_at(
    text: &[u8],
    at: usize,
    directive: &[u8],
    substitution: Substitution,
) -> Result<Option<PathBuf>, Undecidable> {
    let (before, here) = text.split_at_checked(at).unwrap_or_default();
    let Some((word, after)) = here.split_at_checked(directive.len()) else {
        return Ok(None);
    };
    if !word.eq_ignore_ascii_case(directive) {
        return Ok(None);
    }
    // Part of a longer word. Digits before it may be an operand's (`$0.incbin`), so they don't make it one.
    if before.last().is_some_and(|&b| is_word(b) && !b.is_ascii_digit()) || after.first().is_some_and(|&b| is_word(b)) {
        return Ok(None);
    }
    // In sight of macros it may be an argument, to be pasted before who knows what.
    if substitution == Substitution::Macros && !is_statement_start(before) {
        return Err(Undecidable::Directive);
    }
    let after = skip_space(after);
    match after.first() {
        Some(b'"') => operand(after, substitution).map(Some),
        Some(b'$' | b'\\' | b'<' | b'%' | b'&') => Err(Undecidable::Name),
        // clang rejects it; so it is a word in a comment. A macro might have given it an operand.
        _ if substitution == Substitution::None => Ok(None),
        _ => Err(Undecidable::Malformed),
    }
}

/// A string and what may follow it: the end of the statement, or `.incbin`'s skip and count.
fn operand(text: &[u8], substitution: Substitution) -> Result<PathBuf, Undecidable> {
    let (raw, after) = quoted(text).ok_or(Undecidable::Malformed)?;
    if raw.contains(&b'$') || (substitution == Substitution::Macros && raw.contains(&b'\\')) {
        return Err(Undecidable::Name);
    }
    match skip_space(after) {
        // `$|` and `$)` end one dialect's part of inline assembly; other uses of `$` there are no syntax, and rejected.
        [] | [b'\n' | b'\r' | b';' | b',' | b'/' | b'#' | b'@' | b'!' | b'*', ..] | [b'$', b'|' | b')', ..] => {}
        _ => return Err(Undecidable::Malformed),
    }
    unescape(raw)
        .map(|name| PathBuf::from(OsString::from_vec(name)))
        .ok_or(Undecidable::Malformed)
}

/// The inside of the quotes, escapes as they are, and what follows (AsmLexer::LexQuote: newlines may be inside).
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let mut escaped = false;
    let end = inside.iter().position(|&b| {
        let closes = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        closes
    })?;
    let (raw, rest) = inside.split_at_checked(end)?;
    Some((raw, rest.get(1..)?))
}

/// AsmParser::parseEscapedString; `None` for what it rejects.
fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        let escape = bytes.next()?;
        out.push(match escape {
            b'x' | b'X' => {
                let mut value = hex(*bytes.peek()?)?;
                bytes.next();
                while let Some(digit) = bytes.peek().and_then(|&b| hex(b)) {
                    // Only the last two digits count, as in GNU as.
                    value = (value & 0xf) << 4 | digit;
                    bytes.next();
                }
                value
            }
            b'0'..=b'7' => {
                let mut value = u32::from(escape & 7);
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = bytes.peek().copied() else {
                        break;
                    };
                    value = value << 3 | u32::from(digit & 7);
                    bytes.next();
                }
                u8::try_from(value).ok()?
            }
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'"' | b'\\' => escape,
            _ => return None,
        });
    }
    Some(out)
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Whether some word of the text, with its placeholders filled in, could be one of the watched directives. A word that is
/// one placeholder and nothing else is not meant: what fills it has the whole directive in it, and is found there.
fn could_compose(text: &[u8], substitution: Substitution) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let mut word = Vec::new();
        while let Some((piece, after)) = next_piece(rest, substitution) {
            word.push(piece);
            rest = after;
        }
        if is_made_of_parts(&word) {
            // Two placeholders in a row are as good as one, which keeps the matching short.
            word.retain(|p| *p != Piece::Nothing);
            word.dedup_by(|a, b| !a.is_literal() && !b.is_literal());
            if WATCHED.iter().any(|w| matches(&word, w)) {
                return true;
            }
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Literal(u8),
    /// A macro's parameter: any text.
    Parameter,
    /// An operand of inline assembly: a register, a number, a symbol.
    Operand,
    /// `\()`: an empty joint.
    Nothing,
}

impl Piece {
    fn is_literal(self) -> bool {
        matches!(self, Piece::Literal(_))
    }
}

fn is_made_of_parts(word: &[Piece]) -> bool {
    let literal = word.iter().any(|p| p.is_literal());
    let joint = word.iter().any(|p| !p.is_literal());
    (literal && joint) || word.iter().filter(|p| **p == Piece::Parameter).count() > 1
}

/// The next piece of a word (AsmParser::expandMacro; AsmPrinter::emitInlineAsm), or `None` where the word ends.
fn next_piece(text: &[u8], substitution: Substitution) -> Option<(Piece, &[u8])> {
    match text {
        [b'\\', after @ ..] if substitution == Substitution::Macros => match after {
            [b'(', b')', rest @ ..] => Some((Piece::Nothing, rest)),
            [b'@' | b'+', rest @ ..] => Some((Piece::Parameter, rest)),
            _ => Some((Piece::Parameter, skip(after, |b| is_word(b) || b == b'$'))),
        },
        // `$(`, `$|` and `$)` part dialects; `$$` is a dollar.
        [b'$', b'(' | b'|' | b')' | b'$', ..] => None,
        [b'$', b'{', rest @ ..] => {
            let rest = skip(rest, |b| b != b'}');
            Some((Piece::Operand, rest.get(1..).unwrap_or_default()))
        }
        [b'$', b'0'..=b'9', rest @ ..] => Some((Piece::Operand, skip(rest, |b| b.is_ascii_digit()))),
        [b, rest @ ..] if is_word(*b) => Some((Piece::Literal(*b), rest)),
        _ => None,
    }
}

/// Whether the word can come out as `target`, placeholders being any text or none.
fn matches(word: &[Piece], target: &[u8]) -> bool {
    match word.split_first() {
        None => target.is_empty(),
        Some((Piece::Nothing, rest)) => matches(rest, target),
        Some((Piece::Literal(b), rest)) => target
            .split_first()
            .is_some_and(|(t, target)| t.eq_ignore_ascii_case(b) && matches(rest, target)),
        Some((Piece::Parameter | Piece::Operand, rest)) => {
            (0..=target.len()).any(|n| target.get(n..).is_some_and(|target| matches(rest, target)))
        }
    }
}

fn is_statement_start(before: &[u8]) -> bool {
    let end = before.iter().rposition(|b| !matches!(b, b' ' | b'\t'));
    match end.and_then(|n| before.get(..=n)) {
        None => true,
        Some(before) => matches!(
            before,
            [.., b'\n' | b'\r' | b';' | b':'] | [.., b'*', b'/'] | [.., b'$', b'(' | b'|']
        ),
    }
}

/// Past blanks and `/* … */` comments, which the lexer skips between tokens.
fn skip_space(mut text: &[u8]) -> &[u8] {
    loop {
        text = skip(text, |b| matches!(b, b' ' | b'\t' | 0));
        match text.strip_prefix(b"/*") {
            None => return text,
            Some(comment) => {
                text = comment
                    .windows(2)
                    .position(|w| w == b"*/")
                    .and_then(|n| comment.get(n.saturating_add(2)..))
                    .unwrap_or_default()
            }
        }
    }
}

fn skip(text: &[u8], what: impl Fn(u8) -> bool) -> &[u8] {
    let n = text.iter().position(|&b| !what(b)).unwrap_or(text.len());
    text.get(n..).unwrap_or_default()
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'.'
}

/// Whether `text` contains `what`, upper and lower case being the same.
pub(super) fn has(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|w| w.eq_ignore_ascii_case(what))
}

#[cfg(test)]
mod tests;
