//! `--exclude-libs`: the archives whose symbols stay in the output. lld goes by the name of the archive that a file came out
//! of (lld/ELF/Driver.cpp `excludeLibs`), so what such an archive's bitcode became is given to the final link in an archive of
//! that name, as its native members are in any case.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{FinalLink, FinalLinkError, at, refuse_for, script_texts};
use crate::bitcode::TableSymbol;
use crate::bitcode::symbol_table::Origin;
use crate::inputs::BitcodeSource;

/// Which archives are excluded, and how.
pub(super) struct ExcludeLibs {
    files: HashSet<OsString>,
    bitcode: Bitcode,
}

/// Whether what bitcode defines is hidden by its archive's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bitcode {
    Hidden,
    /// lld gives symbols of bitcode the version that a script has for them after it has excluded them, and does not exclude
    /// LTO's objects again: a script with a pattern for every name decides alone.
    LeftToVersionScript,
}

impl ExcludeLibs {
    /// What the user's options exclude.
    ///
    /// # Errors
    /// `Unfit` where a version script decides of some names, and that of regular LTO's objects cannot be told.
    pub(super) fn new(link: &FinalLink<'_>) -> Result<ExcludeLibs, FinalLinkError> {
        let lists = link.invocation.all("exclude-libs");
        let files = lists.flat_map(|list| list.as_bytes().split(|byte| b",:".contains(byte)));
        let files: HashSet<OsString> = files.map(|name| OsStr::from_bytes(name).to_owned()).collect();
        let bitcode = match version_scripts(link)? {
            _ if files.is_empty() => Bitcode::Hidden,
            scripts if scripts.is_empty() => Bitcode::Hidden,
            scripts if scripts.iter().any(|text| has_pattern_for_all(text)) => Bitcode::LeftToVersionScript,
            _ => {
                return Err(FinalLinkError::Unfit(
                    "exclude-libs with a version script that names only some symbols".into(),
                ));
            }
        };
        if !files.is_empty() && bitcode == Bitcode::Hidden && link.plan.regular.is_some() {
            return Err(FinalLinkError::Unfit("exclude-libs with regular LTO".into()));
        }
        let exclude = ExcludeLibs { files, bitcode };
        match bitcode {
            Bitcode::LeftToVersionScript => exclude.refuse_versioned(link)?,
            Bitcode::Hidden => exclude.refuse_defined_in_assembly(link)?,
        }
        Ok(exclude)
    }

    /// Refuses what has a version by its name: of that the script does not decide.
    fn refuse_versioned(&self, link: &FinalLink<'_>) -> Result<(), FinalLinkError> {
        let excluded = link.bitcode.iter().filter(|file| self.excludes(link, file));
        let symbols = excluded.flat_map(|file| link.tables.of(*file));
        let versioned = symbols.filter(|symbol| symbol.is_definition() && symbol.name.contains(&b'@'));
        refuse_for(versioned.map(|symbol| symbol.name).min(), |name| {
            format!("exclude-libs of {name}, which has its version by name")
        })
    }

    /// Refuses what module assembly defines and other bitcode too, where one of them comes out of an excluded archive: LTO may leave
    /// the definition that does not count for lld, as weak as it is.
    fn refuse_defined_in_assembly(&self, link: &FinalLink<'_>) -> Result<(), FinalLinkError> {
        let mut in_assembly: HashMap<&[u8], bool> = HashMap::new();
        let bitcode = link.bitcode.iter().filter(|_| !self.files.is_empty());
        for file in bitcode.clone() {
            let symbols = link.tables.of(*file);
            let defined = symbols
                .iter()
                .filter(|symbol| symbol.is_definition() && symbol.origin == Origin::Assembly);
            in_assembly.extend(defined.map(|symbol| (symbol.name, self.excludes(link, file))));
        }
        let differs = |file: &BitcodeSource, symbol: &&TableSymbol<'_>| {
            let excluded = in_assembly.get(symbol.name);
            symbol.is_definition() && excluded.is_some_and(|excluded| *excluded != self.excludes(link, file))
        };
        let twice = bitcode.flat_map(|file| link.tables.of(*file).iter().filter(move |symbol| differs(file, symbol)));
        refuse_for(twice.map(|symbol| symbol.name).min(), |name| {
            format!("exclude-libs of {name}, which module assembly defines too")
        })
    }

    fn excludes(&self, link: &FinalLink<'_>, file: &BitcodeSource) -> bool {
        let entry = &link.inputs.entries[file.entry];
        entry.kind.is_archive() && self.names(&entry.path)
    }

    /// Whether this archive is excluded.
    pub(super) fn names(&self, archive: &Path) -> bool {
        self.files.contains(OsStr::new("ALL")) || archive.file_name().is_some_and(|name| self.files.contains(name))
    }

    /// Whether what an excluded archive's bitcode defines is hidden for that.
    pub(super) fn hides_bitcode(&self) -> bool {
        self.bitcode == Bitcode::Hidden
    }
}

/// The text of all that gives symbols versions.
fn version_scripts(link: &FinalLink<'_>) -> Result<Vec<Vec<u8>>, FinalLinkError> {
    let named = link.invocation.all("version-script").map(Path::new);
    let mut texts = named
        .map(|path| fs::read(path).map_err(at(path)))
        .collect::<Result<Vec<_>, _>>()?;
    let scripts = script_texts(link)?.into_iter();
    texts.extend(scripts.filter(|text| memchr::memmem::find(text, b"VERSION").is_some()));
    Ok(texts)
}

/// Whether a version script has the pattern `*`.
fn has_pattern_for_all(text: &[u8]) -> bool {
    let mut tokens = text.split(|byte| byte.is_ascii_whitespace() || b"{};:".contains(byte));
    tokens.any(|token| token == b"*" || token == b"\"*\"")
}
