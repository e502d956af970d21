//! The real ld.lld and the clang that matches it: where they are, which LLVM they are, and that neither is ourselves.
//! Knows nothing of the link; asks the programs themselves for their version and remembers the answer by their stamp.

pub mod caller;
pub mod driver;
pub mod environment;
pub mod identity;
pub mod loading;
pub mod malloc;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::settings::Settings;
use crate::stamp::Stamp;

/// Asks a thinlto-ld which it is; `--version` is the linker's.
pub const OUR_VERSION: &str = "--thinlto-ld-version";

/// Set for the programs we start, to the list of linkers we took for the real one: a wrapper script that leads back to
/// us is then passed over instead of calling each other for ever.
const GUARD: &str = "THINLTO_LD_GUARD";

/// Set for the linkers we start, and by nobody else: whoever finds it set is part of a link that is distributed already.
const NESTED: &str = "THINLTO_LD_NESTED";

/// A full LLVM version: bitcode, indexes and codegen are only known to agree within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LlvmVersion {
    /// 22 of 22.1.8.
    pub major: u32,
    /// 1 of 22.1.8.
    pub minor: u32,
    /// 8 of 22.1.8.
    pub patch: u32,
}

impl fmt::Display for LlvmVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl LlvmVersion {
    /// What `clang --version` says.
    pub fn of_clang(said: &str) -> Option<LlvmVersion> {
        LlvmVersion::find(said, "clang version ")
    }

    /// The first `N.N.N` in a program's `--version` text that follows `marker` (`LLD `, `clang version `).
    fn find(text: &str, marker: &str) -> Option<LlvmVersion> {
        let after = &text[text.find(marker)? + marker.len()..];
        let end = after
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(after.len());
        let mut parts = after[..end].split('.').map(|p| p.parse().ok());
        Some(LlvmVersion {
            major: parts.next()??,
            minor: parts.next()??,
            patch: parts.next()??,
        })
    }
}

/// What went wrong in finding a tool.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// No linker to stand before.
    #[error("cannot find the real {wanted}: put it on PATH or name it with THINLTO_LD_LINKER{}", there(.ourselves.as_deref(), .others))]
    NoLinker {
        /// What was looked for.
        wanted: String,
        /// What is found by that name, and is thinlto-ld.
        ourselves: Option<PathBuf>,
        /// Linkers of other names that are there.
        others: Vec<String>,
    },
    /// `THINLTO_LD_LINKER` names ourselves, or a script that leads back to us.
    #[error("THINLTO_LD_LINKER={0} leads back to thinlto-ld: name the real ld.lld")]
    Ourselves(PathBuf),
}

impl ToolchainError {
    /// There is none of this name, or what has it is thinlto-ld.
    pub fn no_linker(wanted: String, ourselves: Option<PathBuf>) -> ToolchainError {
        let is_ours = |path: &Path| ourselves.as_deref().is_some_and(|ours| same_file(ours, path));
        let names = numbered().into_iter().map(|version| format!("ld.lld-{version}"));
        let others = names.filter(|name| *name != wanted && which::which(name).is_ok_and(|path| !is_ours(&path)));
        ToolchainError::NoLinker {
            others: others.collect(),
            ourselves,
            wanted,
        }
    }
}

/// Of the names that are there, how thinlto-ld is called to stand before them.
fn there(ourselves: Option<&Path>, others: &[String]) -> String {
    let ours = ourselves.map(|path| format!("\n>>> {} is thinlto-ld itself", path.display()));
    let names = others.iter().map(|name| {
        let suffix = version_suffix(name);
        format!("\n>>> {name} is there: thinlto-ld{suffix} stands before it")
    });
    ours.into_iter().chain(names).collect()
}

/// Why no backend compiler could be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCompiler {
    /// The user has named one that is not there.
    #[error("{}: no such program (THINLTO_LD_CLANG)", .0.display())]
    Missing(PathBuf),
    /// There is none of the linker's version: a reason for in-process LTO, shown in the stats.
    #[error("{0}")]
    Unfit(String),
}

/// The real linker.
#[derive(Clone, Debug)]
pub struct Linker {
    /// Where it is, by the name it is to be called by.
    pub path: PathBuf,
    /// The name it was found by on PATH, where it was; neither the setting's nor our caller's has one.
    pub name: Option<String>,
    /// `-22` where we were called `thinlto-ld-22` or `ld.lld-22`.
    pub suffix: String,
}

impl Linker {
    /// The linker that `argv0` stands before.
    ///
    /// # Errors
    /// There is none, or the one named is ourselves.
    pub fn find(argv0: &OsStr, settings: &Settings) -> Result<Linker, ToolchainError> {
        Linker::find_but(argv0, settings, &std::env::current_exe().unwrap_or_default())
    }

    /// As [`Linker::find`], for whoever is not thinlto-ld: `ourselves` is.
    ///
    /// # Errors
    /// As there.
    pub fn find_but(argv0: &OsStr, settings: &Settings, ourselves: &Path) -> Result<Linker, ToolchainError> {
        let name = Path::new(argv0)
            .file_name()
            .unwrap_or(argv0)
            .to_string_lossy()
            .into_owned();
        let suffix = version_suffix(&name);
        let passed = guard();
        if let Some(path) = &settings.linker {
            let path = which::which(path).map_err(|_| ToolchainError::NoLinker {
                wanted: path.display().to_string(),
                ourselves: None,
                others: Vec::new(),
            })?;
            if same_file(ourselves, &path) || is_passed(&passed, &path) {
                return Err(ToolchainError::Ourselves(path));
            }
            return Ok(Linker {
                path,
                name: None,
                suffix,
            });
        }
        let is_ours = |path: &Path| same_file(ourselves, path) || is_passed(&passed, path);
        // Under the drivers' own name for it we stand where that of their folder stood.
        if name == "ld.lld"
            && let Some(path) = caller::linker().filter(|path| !is_ours(path))
        {
            return Ok(Linker {
                path,
                name: None,
                suffix,
            });
        }
        let wanted = format!("ld.lld{suffix}");
        let found = which::which_all(&wanted)
            .into_iter()
            .flatten()
            .find(|path| !is_ours(path));
        match found {
            Some(path) => Ok(Linker {
                path,
                name: Some(wanted),
                suffix,
            }),
            None => {
                let found = which::which(&wanted).ok();
                Err(ToolchainError::no_linker(wanted, found))
            }
        }
    }

    /// The linker for a link of this many files: as [`Linker::command`], with memory got in steps that suit it.
    pub fn command_for(&self, files: usize) -> Command {
        let mut command = self.command();
        command.envs(malloc::of_linker(files).map(|told| (malloc::VARIABLE, told)));
        command
    }

    /// The linker, to be run as the user would have run it, so that it calls itself what they expect.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Some(name) = &self.name {
            command.arg0(name);
        }
        self.guard(&mut command);
        command
    }

    /// Tells a program that is run in the linker's place that the link is ours already.
    pub fn guard(&self, command: &mut Command) {
        command.env(GUARD, self.guard_value()).env(NESTED, "1");
    }

    /// What [`GUARD`] must say for the programs we start.
    fn guard_value(&self) -> OsString {
        let mut passed = guard();
        if !passed.contains(&self.path) {
            passed.push(self.path.clone());
        }
        std::env::join_paths(passed).unwrap_or_default()
    }

    /// Whether it is a thinlto-ld, installed once more, by its own word.
    pub fn is_thinlto_ld(&self) -> bool {
        let asked = Command::new(&self.path).arg(OUR_VERSION).output();
        asked.is_ok_and(|asked| asked.stdout.starts_with(b"thinlto-ld "))
    }

    /// The LLVM it is of, by its own word.
    pub fn version(&self, memo: &VersionMemo) -> Option<LlvmVersion> {
        memo.ask(&self.path, "LLD ", &self.guard_value())
    }
}

/// The versions that linkers on PATH have in their names (`ld.lld-22`), the newest first.
pub fn numbered() -> Vec<u32> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let entries = std::env::split_paths(&path).filter_map(|folder| fs::read_dir(folder).ok());
    let names = entries
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let versions: BTreeSet<u32> = names
        .filter_map(|name| name.strip_prefix("ld.lld-")?.parse().ok())
        .collect();
    versions.into_iter().rev().collect()
}

/// Whether another thinlto-ld took what led to us (a wrapper script) for the real linker: the link is its own already.
pub fn is_nested() -> bool {
    std::env::var_os(NESTED).is_some()
}

fn guard() -> Vec<PathBuf> {
    std::env::var_os(GUARD)
        .map(|list| std::env::split_paths(&list).collect())
        .unwrap_or_default()
}

/// `-22` of `thinlto-ld-22` and `ld.lld-22`; nothing for other names.
fn version_suffix(name: &str) -> String {
    match name.rsplit_once('-') {
        Some((_, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => format!("-{digits}"),
        _ => String::new(),
    }
}

/// Whatever the spelling: a script only knows itself by one of its paths.
fn is_passed(passed: &[PathBuf], path: &Path) -> bool {
    passed.iter().any(|other| other == path || same_file(other, path))
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// The backend compiler.
#[derive(Clone, Debug)]
pub struct Clang {
    /// Where it is.
    pub path: PathBuf,
    /// Its version, equal to the linker's.
    pub version: LlvmVersion,
}

impl Clang {
    /// The compiler that somebody else has chosen; none where it does not tell its version.
    pub fn at(path: &Path, memo: &VersionMemo) -> Option<Clang> {
        Some(Clang {
            path: path.to_owned(),
            version: memo.ask(path, "clang version ", OsStr::new(""))?,
        })
    }

    /// The clang of the linker's full version.
    ///
    /// # Errors
    /// See [`NoCompiler`].
    pub fn find(linker: &Linker, settings: &Settings, memo: &VersionMemo) -> Result<Clang, NoCompiler> {
        let wanted = linker
            .version(memo)
            .ok_or_else(|| NoCompiler::Unfit(format!("{} does not tell its LLVM version", linker.path.display())))?;
        let mut found = Vec::new();
        for path in candidates(linker, settings, wanted)? {
            let Some(version) = memo.ask(&path, "clang version ", &linker.guard_value()) else {
                continue;
            };
            if version == wanted {
                return Ok(Clang { path, version });
            }
            found.push(format!("{} is {version}", path.display()));
        }
        let found = if found.is_empty() {
            "none found".into()
        } else {
            found.join(", ")
        };
        Err(NoCompiler::Unfit(format!(
            "no clang {wanted} to match the linker ({found})"
        )))
    }
}

fn candidates(linker: &Linker, settings: &Settings, wanted: LlvmVersion) -> Result<Vec<PathBuf>, NoCompiler> {
    if let Some(path) = &settings.clang {
        let found = which::which(path).map_err(|_| NoCompiler::Missing(path.clone()))?;
        return Ok(vec![found]);
    }
    let numbered = format!("clang-{}", wanted.major);
    let mut paths = Vec::new();
    let real = fs::canonicalize(&linker.path).ok();
    for dir in [linker.path.parent(), real.as_deref().and_then(Path::parent)]
        .into_iter()
        .flatten()
    {
        paths.extend([
            dir.join(format!("clang{}", linker.suffix)),
            dir.join(&numbered),
            dir.join("clang"),
        ]);
    }
    paths.extend(
        [numbered.as_str(), "clang"]
            .iter()
            .filter_map(|name| which::which(name).ok()),
    );
    paths.retain(|path| path.is_file());
    paths.dedup();
    Ok(paths)
}

/// Remembers what programs said of their version, by path and stamp: asking clang costs as much as a small backend.
#[derive(Debug, Default)]
pub struct VersionMemo {
    dir: Option<PathBuf>,
}

impl VersionMemo {
    /// A memo kept in `dir` (created on first use); none where there is no folder to keep it in.
    pub fn new(dir: Option<PathBuf>) -> VersionMemo {
        VersionMemo { dir }
    }

    fn ask(&self, program: &Path, marker: &str, guard: &OsStr) -> Option<LlvmVersion> {
        let entry = self
            .dir
            .as_ref()
            .zip(stamp(program))
            .map(|(dir, stamp)| dir.join(stamp));
        if let Some(version) = entry
            .as_ref()
            .and_then(|e| LlvmVersion::find(&fs::read_to_string(e).ok()?, ""))
        {
            return Some(version);
        }
        let output = Command::new(program).arg("--version").env(GUARD, guard).output().ok()?;
        let version = LlvmVersion::find(&String::from_utf8_lossy(&output.stdout), marker)?;
        if let Some(entry) = entry {
            self.remember(&entry, version);
        }
        Some(version)
    }

    /// A memo that cannot be kept only costs the question next time, so its errors are nobody's concern.
    fn remember(&self, entry: &Path, version: LlvmVersion) {
        let Some(dir) = &self.dir else { return };
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(dir)?;
            let file = tempfile::NamedTempFile::new_in(dir)?;
            fs::write(file.path(), version.to_string())?;
            file.persist(entry)?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "version memo not kept");
        }
    }
}

/// A name that changes whenever the program behind `path` does: its real path, inode, size and times.
fn stamp(path: &Path) -> Option<String> {
    let real = fs::canonicalize(path).ok()?;
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(path.as_os_str().as_encoded_bytes())
        .update(b"\0")
        .update(real.as_os_str().as_encoded_bytes());
    for word in Stamp::of(&real).ok()?.words() {
        hasher.update(&word.to_le_bytes());
    }
    Some(hasher.finalize().to_hex()[..32].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_each_program_prints_them() {
        let lld = LlvmVersion::find("Debian LLD 22.1.8 (compatible with GNU linkers)", "LLD ").unwrap();
        let clang = LlvmVersion::find("Debian clang version 22.1.8 (1~deb12u1)\nTarget: x", "clang version ").unwrap();
        assert_eq!(lld, clang);
        assert_eq!(lld.to_string(), "22.1.8");
        assert_eq!(LlvmVersion::find("GNU ld (GNU Binutils) 2.40", "LLD "), None);
    }

    #[test]
    fn our_name_tells_the_version_wanted() {
        assert_eq!(version_suffix("thinlto-ld-22"), "-22");
        assert_eq!(version_suffix("ld.lld-19"), "-19");
        assert_eq!(version_suffix("thinlto-ld"), "");
        assert_eq!(version_suffix("ld.lld"), "");
    }
}
