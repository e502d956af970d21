//! Linker scripts, as far as they name files: `INPUT`, `GROUP`, `AS_NEEDED`, `SEARCH_DIR` and `INCLUDE` at top level
//! (lld's `ScriptParser`). Knows nothing of sections and symbols, whose commands are skipped, nor of what the files hold.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::lexer::{Lexer, Mode, Root, ScriptError, Source, unquote};
use super::paths;
use super::search::{Search, concat};

/// Whether a file was named inside `AS_NEEDED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It was not: the command line's `--as-needed` decides.
    Inherited,
    /// It was.
    AsNeeded,
}

/// What a script does as it is read; order matters, since a `SEARCH_DIR` counts for what comes after it.
pub trait Actions {
    /// `INPUT` or `GROUP` named a file. An error ends the script.
    fn input(&mut self, script: &Source, name: &OsStr, need: Need) -> Result<(), String>;
    /// `SEARCH_DIR` named a directory.
    fn search_dir(&mut self, directory: &OsStr);
    /// `INCLUDE` named a script: find and read it. An error ends the script.
    fn include(&mut self, name: &OsStr) -> Result<Source, String>;
    /// The script says something else, which naming its inputs in its place would lose.
    fn other(&mut self, script: &Source);
}

/// What follows a command's name.
#[derive(Clone, Copy)]
enum Shape {
    /// `(FILE …)`
    Files,
    /// `(DIRECTORY)`
    Directory,
    /// Anything in parentheses.
    Parentheses,
    /// An expression in parentheses.
    Expression,
    /// Anything in braces.
    Braces,
}

/// lld's `ScriptParser::readLinkerScript`. `INCLUDE` is known everywhere, an assignment is what has none of these names.
const COMMANDS: &[(&[u8], Shape)] = &[
    (b"INPUT", Shape::Files),
    (b"GROUP", Shape::Files),
    (b"SEARCH_DIR", Shape::Directory),
    (b"ENTRY", Shape::Parentheses),
    (b"EXTERN", Shape::Parentheses),
    (b"NOCROSSREFS", Shape::Parentheses),
    (b"NOCROSSREFS_TO", Shape::Parentheses),
    (b"OUTPUT", Shape::Parentheses),
    (b"OUTPUT_ARCH", Shape::Parentheses),
    (b"OUTPUT_FORMAT", Shape::Parentheses),
    (b"REGION_ALIAS", Shape::Parentheses),
    (b"TARGET", Shape::Parentheses),
    (b"ASSERT", Shape::Expression),
    (b"HIDDEN", Shape::Expression),
    (b"PROVIDE", Shape::Expression),
    (b"PROVIDE_HIDDEN", Shape::Expression),
    (b"MEMORY", Shape::Braces),
    (b"OVERWRITE_SECTIONS", Shape::Braces),
    (b"PHDRS", Shape::Braces),
    (b"SECTIONS", Shape::Braces),
    (b"VERSION", Shape::Braces),
];

/// Commands that name inputs, or only say which format those have.
const NAMING: &[&[u8]] = &[
    b"INPUT",
    b"GROUP",
    b"SEARCH_DIR",
    b"OUTPUT_FORMAT",
    b"OUTPUT_ARCH",
    b"TARGET",
];

/// Reads a script from top to end, or to its first error.
pub fn run(source: Source, actions: &mut dyn Actions) -> Result<(), ScriptError> {
    let mut parser = Parser {
        lexer: Lexer::new(source),
        actions,
    };
    while let Some(token) = parser.lexer.next(Mode::Script)? {
        parser.command(&token)?;
    }
    Ok(())
}

/// The script at `path` with spaces for every `INPUT` and `GROUP`, for a link that names those files itself; lines stay
/// where they are. What it includes is not looked at.
///
/// # Errors
/// As lld has them of the script.
pub fn without_inputs(path: &Path, text: Vec<u8>) -> Result<Vec<u8>, ScriptError> {
    let mut blanked = text.clone();
    let root = Root::Host;
    let path = path.to_owned();
    let mut parser = Parser {
        lexer: Lexer::new(Source { path, text, root }),
        actions: &mut NoActions,
    };
    while let Some(token) = parser.lexer.next(Mode::Script)? {
        let start = parser.lexer.position().saturating_sub(token.len());
        parser.command(&token)?;
        let names_files = matches!(
            COMMANDS.iter().find(|(name, _)| *name == token),
            Some((_, Shape::Files))
        );
        if names_files && let Some(command) = blanked.get_mut(start..parser.lexer.position()) {
            let kept = |byte: &u8| *byte == b'\n';
            command
                .iter_mut()
                .filter(|byte| !kept(byte))
                .for_each(|byte| *byte = b' ');
        }
    }
    Ok(blanked)
}

/// Does nothing of what a script says.
struct NoActions;

impl Actions for NoActions {
    fn input(&mut self, _: &Source, _: &OsStr, _: Need) -> Result<(), String> {
        Ok(())
    }

    fn search_dir(&mut self, _: &OsStr) {}

    fn include(&mut self, name: &OsStr) -> Result<Source, String> {
        Ok(Source {
            path: name.into(),
            text: Vec::new(),
            root: Root::Host,
        })
    }

    fn other(&mut self, _: &Source) {}
}

struct Parser<'a> {
    lexer: Lexer,
    actions: &'a mut dyn Actions,
}

impl Parser<'_> {
    fn command(&mut self, token: &[u8]) -> Result<(), ScriptError> {
        if token == b";" {
            return Ok(());
        }
        if token == b"INCLUDE" {
            return self.include();
        }
        if !NAMING.contains(&token) {
            let source = self.lexer.source();
            self.actions.other(&source);
        }
        match COMMANDS.iter().find(|(name, _)| *name == token) {
            Some((_, Shape::Files)) => self.files(),
            Some((_, Shape::Directory)) => {
                self.expect(b"(")?;
                let directory = self.next(Mode::Script)?;
                self.actions.search_dir(OsStr::from_bytes(unquote(&directory)));
                self.expect(b")")
            }
            Some((_, Shape::Parentheses)) => self.balanced(b"(", b")", Mode::Script),
            Some((_, Shape::Expression)) => self.balanced(b"(", b")", Mode::Expression),
            Some((_, Shape::Braces)) => self.balanced(b"{", b"}", Mode::Script),
            None => self.assignment(token),
        }
    }

    fn next(&mut self, mode: Mode) -> Result<Vec<u8>, ScriptError> {
        self.lexer.next(mode)?.ok_or_else(|| self.lexer.error("unexpected EOF"))
    }

    fn expect(&mut self, expected: &[u8]) -> Result<(), ScriptError> {
        let token = self.next(Mode::Script)?;
        if token == expected {
            return Ok(());
        }
        let (expected, token) = (String::from_utf8_lossy(expected), String::from_utf8_lossy(&token));
        Err(self.lexer.error(format!("{expected} expected, but got {token}")))
    }

    fn include(&mut self) -> Result<(), ScriptError> {
        let name = self.next(Mode::Script)?;
        let source = self.actions.include(OsStr::from_bytes(unquote(&name)));
        let source = source.map_err(|what| self.lexer.error(what))?;
        self.lexer.include(source)
    }

    fn files(&mut self) -> Result<(), ScriptError> {
        self.expect(b"(")?;
        loop {
            let token = self.next(Mode::Script)?;
            match &*token {
                b")" => return Ok(()),
                b"AS_NEEDED" => self.as_needed()?,
                name => self.file(name, Need::Inherited)?,
            }
        }
    }

    fn as_needed(&mut self) -> Result<(), ScriptError> {
        self.expect(b"(")?;
        loop {
            let token = self.next(Mode::Script)?;
            match &*token {
                b")" => return Ok(()),
                name => self.file(name, Need::AsNeeded)?,
            }
        }
    }

    fn file(&mut self, name: &[u8], need: Need) -> Result<(), ScriptError> {
        let source = self.lexer.source();
        self.actions
            .input(&source, OsStr::from_bytes(unquote(name)), need)
            .map_err(|what| self.lexer.error(what))
    }

    /// Skips to the bracket that closes, `INCLUDE` of section and memory commands followed.
    fn balanced(&mut self, open: &[u8], close: &[u8], mode: Mode) -> Result<(), ScriptError> {
        self.expect(open)?;
        let mut depth = 1_usize;
        while depth > 0 {
            let token = self.next(mode)?;
            if token == open {
                depth += 1;
            } else if token == close {
                depth -= 1;
            } else if token == b"INCLUDE" && open == b"{" {
                self.include()?;
            }
        }
        Ok(())
    }

    /// `SYMBOL = EXPRESSION;`, with any assigning operator.
    fn assignment(&mut self, token: &[u8]) -> Result<(), ScriptError> {
        let operator = self.lexer.peek(Mode::Script)?.unwrap_or_default();
        let assigns = operator.starts_with(b"=") || (operator.len() > 1 && operator.ends_with(b"="));
        if !assigns {
            let token = String::from_utf8_lossy(token);
            return Err(self.lexer.error(format!("unknown directive: {token}")));
        }
        while self.next(Mode::Expression)? != b";" {}
        Ok(())
    }
}

/// A file that a script names, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// At this path.
    File(PathBuf),
    /// `-lNAME`, still to be searched.
    Library(OsString),
}

/// Finds a file named by `INPUT` or `GROUP` (lld `ScriptParser::addFile`).
pub fn resolve(search: &Search, script: &Source, name: &OsStr) -> Result<Resolved, String> {
    let sysroot = search.sysroot();
    let bytes = name.as_bytes();
    if bytes.starts_with(b"/") {
        if script.root == Root::Host {
            return Ok(Resolved::File(name.into()));
        }
        let path = PathBuf::from(concat(sysroot.as_os_str(), bytes));
        return if search.exists(&path) {
            Ok(Resolved::File(path))
        } else {
            Err(format!("cannot find {} inside {}", name.display(), sysroot.display()))
        };
    }
    if let Some(rest) = bytes.strip_prefix(b"=") {
        let path = if sysroot.as_os_str().is_empty() {
            OsStr::from_bytes(rest).to_os_string()
        } else {
            concat(&concat(sysroot.as_os_str(), b"/"), rest)
        };
        return Ok(Resolved::File(path.into()));
    }
    if let Some(library) = bytes.strip_prefix(b"-l") {
        return Ok(Resolved::Library(OsStr::from_bytes(library).into()));
    }
    let directory = paths::parent(&script.path).as_os_str().as_bytes();
    let beside = (!directory.is_empty())
        .then(|| paths::join(&[directory, bytes]))
        .filter(|path| search.exists(path));
    let here = || search.exists(Path::new(name)).then(|| PathBuf::from(name));
    beside
        .or_else(here)
        .or_else(|| search.file(name))
        .map(Resolved::File)
        .ok_or_else(|| format!("unable to find {}", name.display()))
}

/// Whether absolute paths in the script at `path` are meant below the sysroot: it lies there itself
/// (lld `ScriptLexer::Buffer::Buffer`).
pub fn root_of(search: &Search, path: &Path) -> Root {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| {
        std::fs::metadata(path)
            .ok()
            .map(|metadata| (metadata.dev(), metadata.ino()))
    };
    if search.sysroot().as_os_str().is_empty() {
        return Root::Host;
    }
    let Some(sysroot) = identity(search.sysroot()) else {
        return Root::Host;
    };
    let mut path = path;
    while !path.as_os_str().is_empty() {
        if identity(path) == Some(sysroot) {
            return Root::Sysroot;
        }
        path = paths::parent(path);
    }
    Root::Host
}
