//! Which bytes are the compiler: clang itself and the shared libraries of LLVM it loads, found as the loader finds them.
//! Knows nothing of what clang does; an object made by other bytes is another object.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use goblin::elf::Elf;
use goblin::elf::dynamic::{DT_RPATH, DT_RUNPATH};

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
    let Ok(elf) = Elf::parse(&map) else {
        return Ok(None);
    };
    let origin = file.parent().unwrap_or(Path::new("/"));
    let dirs = run_path(&elf, origin);
    let is_compiler = |name: &str| ["LLVM", "clang"].iter().any(|word| name.contains(word));
    let libraries = elf
        .libraries
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

fn run_path(elf: &Elf<'_>, origin: &Path) -> Vec<PathBuf> {
    let Some(dynamic) = &elf.dynamic else { return Vec::new() };
    dynamic
        .dyns
        .iter()
        .filter(|entry| entry.d_tag == DT_RPATH || entry.d_tag == DT_RUNPATH)
        .filter_map(|entry| elf.dynstrtab.get_at(usize::try_from(entry.d_val).ok()?))
        .flat_map(|list| list.split(':'))
        .filter(|dir| !dir.is_empty())
        .map(|dir| {
            PathBuf::from(
                dir.replace("$ORIGIN", &origin.to_string_lossy())
                    .replace("${ORIGIN}", &origin.to_string_lossy()),
            )
        })
        .collect()
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
