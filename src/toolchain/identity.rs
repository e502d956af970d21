//! Which bytes are the compiler: clang itself and the shared libraries of LLVM it loads, found as the loader finds them.
//! Knows nothing of what clang does; an object made by other bytes is another object.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use goblin::container::Ctx;
use goblin::elf::dynamic::{DT_NEEDED, DT_RPATH, DT_RUNPATH};
use goblin::elf::{Dynamic, Elf, ProgramHeader};
use goblin::strtab::Strtab;

/// The files that make up the compiler at `clang`: itself, and those libraries it needs, directly or by another, that
/// stand in a folder its run path names or have LLVM or clang in their name. The C library and its kin are left out:
/// they take no part in code generation, and counting them would empty the cache at every system update.
///
/// # Errors
/// `clang` cannot be read, or is no ELF file. A library that cannot be found is left to the loader to complain of.
pub fn files(clang: &Path) -> io::Result<Vec<PathBuf>> {
    let clang = std::fs::canonicalize(clang)?;
    let mut found = vec![clang];
    let mut next = 0;
    while let Some(file) = found.get(next).cloned() {
        next += 1;
        let Some(libraries) = libraries(&file)? else {
            // A script, say, in the compiler's place may call another compiler tomorrow, its own bytes the same.
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{}: no ELF file", file.display()),
            ));
        };
        for library in libraries {
            if !found.contains(&library) {
                found.push(library);
            }
        }
    }
    Ok(found)
}

/// The libraries of an ELF file; none where it is no such file.
fn libraries(file: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    let map = crate::sys::map(&File::open(file)?)?;
    let Some(dynamic) = Linking::read(&map) else {
        return Ok(None);
    };
    let origin = file.parent().unwrap_or(Path::new("/"));
    let dirs = dynamic.run_path(origin);
    let is_compiler = |name: &str| ["LLVM", "clang"].iter().any(|word| name.contains(word));
    let libraries = dynamic
        .needed
        .iter()
        .filter_map(|name| {
            let own = dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file());
            let shared = || system_dirs().map(|dir| dir.join(name)).find(|path| path.is_file());
            own.or_else(|| is_compiler(name).then(shared).flatten())
        })
        .filter_map(|path| std::fs::canonicalize(path).ok())
        .collect();
    Ok(Some(libraries))
}

/// What an ELF file says of the libraries it needs.
#[derive(Default)]
struct Linking<'a> {
    needed: Vec<&'a str>,
    run_paths: Vec<&'a str>,
}

impl<'a> Linking<'a> {
    /// Reads the dynamic section and nothing else: LLVM's libraries have symbols by the ten thousands, and this is done for
    /// every link. None where it is no ELF file; nothing is needed by one that is static.
    fn read(bytes: &'a [u8]) -> Option<Linking<'a>> {
        let header = Elf::parse_header(bytes).ok()?;
        let context = Ctx::new(header.container().ok()?, header.endianness().ok()?);
        let (at, count) = (usize::try_from(header.e_phoff).ok()?, usize::from(header.e_phnum));
        let segments = ProgramHeader::parse(bytes, at, count, context).ok()?;
        let Some(dynamic) = Dynamic::parse(bytes, &segments, context).ok()? else {
            return Some(Linking::default());
        };
        let end = dynamic.info.strtab.checked_add(dynamic.info.strsz)?;
        let names = Strtab::new(bytes.get(dynamic.info.strtab..end)?, 0);
        let texts = |tags: &[u64]| -> Vec<&'a str> {
            let entries = dynamic.dyns.iter().filter(|entry| tags.contains(&entry.d_tag));
            entries
                .filter_map(|entry| names.get_unsafe(usize::try_from(entry.d_val).ok()?))
                .collect()
        };
        Some(Linking {
            needed: texts(&[DT_NEEDED]),
            run_paths: texts(&[DT_RPATH, DT_RUNPATH]),
        })
    }

    fn run_path(&self, origin: &Path) -> Vec<PathBuf> {
        let origin = origin.to_string_lossy();
        self.run_paths
            .iter()
            .flat_map(|list| list.split(':'))
            .filter(|dir| !dir.is_empty())
            .map(|dir| PathBuf::from(dir.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin)))
            .collect()
    }
}

/// Where the loader looks besides run paths: what the user added, and the folders of its configuration.
fn system_dirs() -> impl Iterator<Item = PathBuf> {
    let added = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let added: Vec<PathBuf> = std::env::split_paths(&added)
        .filter(|dir| !dir.as_os_str().is_empty())
        .collect();
    added
        .into_iter()
        .chain(configured_dirs())
        .chain(["/lib", "/usr/lib", "/lib64", "/usr/lib64"].map(PathBuf::from))
}

/// The folders `ld.so.conf` and what it includes from `ld.so.conf.d` name.
fn configured_dirs() -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("/etc/ld.so.conf")];
    if let Ok(entries) = std::fs::read_dir("/etc/ld.so.conf.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        .filter(|line| line.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clang_is_more_than_its_executable() {
        let clang = which::which("clang-22").unwrap();
        let files = files(&clang).unwrap();
        let has = |word: &str| {
            files
                .iter()
                .any(|f| f.file_name().unwrap().to_string_lossy().contains(word))
        };
        assert!(has("clang") && has("libLLVM"), "{files:?}");
        assert!(!has("libc.so"), "{files:?}");
    }
}
