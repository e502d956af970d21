//! Which files a program is loaded from: its loader and every shared library, the C library too, as that loader finds them.
//! Knows nothing of what the program does, nor of why anybody wants to know.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use goblin::container::Ctx;
use goblin::elf::program_header::PT_INTERP;
use goblin::elf::{Elf, ProgramHeader};

/// The files of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loading {
    /// The program itself, its links followed.
    pub program: PathBuf,
    /// What loads it.
    pub loader: PathBuf,
    /// What it needs, by the names it needs them under.
    pub libraries: Vec<(String, PathBuf)>,
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum NotLoaded {
    /// It is a script, or for another system.
    #[error("{}: no ELF file", .0.display())]
    NotElf(PathBuf),
    /// It needs no loader, and so cannot be given a library of ours.
    #[error("{}: statically linked", .0.display())]
    Static(PathBuf),
    /// Something cannot be read or run.
    #[error("{}: {error}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The loader does not find one, or the program names one by its path.
    #[error("{}: {what}", program.display())]
    Library {
        /// Who needs it.
        program: PathBuf,
        /// The loader's words.
        what: String,
    },
}

impl Loading {
    /// The files of `program`, and of `preload` loaded before them.
    ///
    /// # Errors
    /// See [`NotLoaded`].
    pub fn of(program: &Path, preload: &Path) -> Result<Loading, NotLoaded> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |error| NotLoaded::Io { path, error }
        };
        let program = std::fs::canonicalize(program).map_err(failed(program))?;
        let loader = interpreter(&program)?;
        let mut command = Command::new(&loader);
        command.arg("--preload").arg(preload).arg("--list").arg(&program);
        // What others preload is not the program's.
        command.env_remove("LD_PRELOAD").stdin(Stdio::null());
        let listed = command.output().map_err(failed(&loader))?;
        let text = String::from_utf8_lossy(&listed.stdout);
        if !listed.status.success() {
            return Err(NotLoaded::Library {
                what: String::from_utf8_lossy(&listed.stderr).trim().to_owned(),
                program,
            });
        }
        let libraries = libraries(&text, &[&loader, preload]);
        let libraries = libraries.map_err(|what| NotLoaded::Library {
            program: program.clone(),
            what,
        })?;
        Ok(Loading {
            program,
            loader,
            libraries,
        })
    }
}

/// What the loader prints: `NAME => PATH (ADDRESS)`, or the path alone of what is named by one. Those `known` are left out.
fn libraries(listed: &str, known: &[&Path]) -> Result<Vec<(String, PathBuf)>, String> {
    let mut libraries = Vec::new();
    for line in listed.lines().map(str::trim) {
        let (name, found) = line.split_once(" => ").unwrap_or(("", line));
        let path = found.rsplit_once(" (0x").map_or(found, |(path, _)| path);
        if known
            .iter()
            .any(|known| known.as_os_str().as_bytes() == path.as_bytes())
        {
            continue;
        }
        match (name, path.starts_with('/')) {
            ("", true) => return Err(format!("needs {path} by its path")),
            // What the kernel itself maps into every process.
            ("", false) => {}
            (name, true) => libraries.push((name.to_owned(), PathBuf::from(path))),
            (_, false) => return Err(line.to_owned()),
        }
    }
    Ok(libraries)
}

/// The loader a program names (its PT_INTERP).
fn interpreter(program: &Path) -> Result<PathBuf, NotLoaded> {
    let file = File::open(program).and_then(|file| crate::sys::map(&file));
    let bytes = file.map_err(|error| NotLoaded::Io {
        path: program.to_owned(),
        error,
    })?;
    let segments = || {
        let header = Elf::parse_header(&bytes).ok()?;
        let context = Ctx::new(header.container().ok()?, header.endianness().ok()?);
        let (at, count) = (usize::try_from(header.e_phoff).ok()?, usize::from(header.e_phnum));
        ProgramHeader::parse(&bytes, at, count, context).ok()
    };
    let segments = segments().ok_or_else(|| NotLoaded::NotElf(program.to_owned()))?;
    let named = segments.iter().find(|segment| segment.p_type == PT_INTERP);
    let name = named.and_then(|segment| bytes.get(segment.file_range()));
    match name.and_then(|name| name.split(|byte| *byte == 0).next()) {
        Some(name) if !name.is_empty() => Ok(PathBuf::from(std::ffi::OsStr::from_bytes(name))),
        _ => Err(NotLoaded::Static(program.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clang_needs_llvm_and_the_c_library() {
        let clang = which::which("clang-22").unwrap();
        let loading = Loading::of(&clang, Path::new("/nonexistent")).unwrap();
        for word in ["libLLVM", "libclang-cpp", "libc.so", "libstdc++"] {
            let found = loading.libraries.iter().find(|(name, _)| name.starts_with(word));
            assert!(found.is_some_and(|(_, path)| path.is_file()), "{word}: {loading:?}");
        }
        assert!(loading.loader.is_file());
        assert!(!loading.libraries.iter().any(|(_, path)| *path == loading.loader));
    }

    #[test]
    fn a_script_has_no_loader() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("clang");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let error = Loading::of(&script, Path::new("/x")).unwrap_err();
        assert!(matches!(error, NotLoaded::NotElf(_)), "{error}");
    }

    #[test]
    fn what_the_loader_does_not_find_is_told() {
        let listed = "\tlinux-vdso.so.1 (0x1)\n\tliba.so => /l/liba.so (0x2)\n\tlibb.so => not found\n";
        assert_eq!(libraries(listed, &[]), Err("libb.so => not found".to_owned()));
        let path = "\t/opt/libx.so (0x2)\n";
        assert_eq!(libraries(path, &[Path::new("/opt/libx.so")]), Ok(Vec::new()));
        assert!(libraries(path, &[]).is_err());
    }
}
