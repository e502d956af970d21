//! Which of lld's drivers a command line is for, decided as lld decides it (lld/Common/DriverDispatcher.cpp).
//! Knows nothing of the options of any of them but `-flavor` and `-m`.

use std::ffi::OsString;

use super::error::CommandLineError;
use super::response;
use super::tokenize::Quoting;

/// The driver.
#[derive(Debug, PartialEq, Eq)]
pub enum Driver {
    /// ELF's, with the command line less its leading `-flavor`.
    Elf(Vec<OsString>),
    /// Another one: COFF, MinGW, Mach-O or WebAssembly.
    Foreign,
}

/// `-flavor` names, lower case, and whether they are ELF's (`getFlavor`).
const FLAVORS: &[(&str, bool)] = &[
    ("ld", true),
    ("ld.lld", true),
    ("gnu", true),
    ("wasm", false),
    ("ld-wasm", false),
    ("link", false),
    ("ld64", false),
    ("ld64.lld", false),
    ("darwin", false),
];

/// `-m` values that mean Windows (`isPETargetName`).
const PE_TARGETS: &[&str] = &["i386pe", "i386pep", "thumb2pe", "arm64pe", "arm64ecpe"];

/// The driver for these words (without `argv[0]`, which is taken to be some spelling of `ld.lld`).
pub fn of(args: Vec<OsString>) -> Result<Driver, CommandLineError> {
    let args = match args.as_slice() {
        [first, rest @ ..] if first == "-flavor" => {
            let name = rest
                .first()
                .map(|name| name.to_string_lossy().to_lowercase())
                .unwrap_or_default();
            match FLAVORS.iter().find(|(flavor, _)| *flavor == name) {
                Some((_, true)) => rest.get(1..).unwrap_or_default().to_vec(),
                Some((_, false)) => return Ok(Driver::Foreign),
                None => return Err(CommandLineError::Flavor(name)),
            }
        }
        _ => args,
    };
    let pe = match first_m_is_pe(&args) {
        Some(pe) => pe,
        // At this point lld does not look for `--rsp-quoting` yet.
        None => first_m_is_pe(&response::expand(args.clone(), Quoting::Posix)?).unwrap_or(false),
    };
    Ok(if pe { Driver::Foreign } else { Driver::Elf(args) })
}

/// Whether the first `-m X` names a Windows target, if there is any.
fn first_m_is_pe(args: &[OsString]) -> Option<bool> {
    let target = args.windows(2).find_map(|pair| match pair {
        [m, target] if m == "-m" => Some(target),
        _ => None,
    })?;
    Some(PE_TARGETS.iter().any(|name| target == *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(words: &[&str]) -> Result<Driver, CommandLineError> {
        of(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn flavors() {
        assert_eq!(
            driver(&["-flavor", "gnu", "x.o"]).unwrap(),
            Driver::Elf(vec!["x.o".into()])
        );
        assert_eq!(driver(&["-flavor", "LD.LLD"]).unwrap(), Driver::Elf(vec![]));
        assert_eq!(driver(&["-flavor", "darwin", "x.o"]).unwrap(), Driver::Foreign);
        assert!(matches!(driver(&["-flavor", "foo"]), Err(CommandLineError::Flavor(_))));
        assert!(matches!(driver(&["-flavor"]), Err(CommandLineError::Flavor(_))));
    }

    #[test]
    fn windows_targets() {
        assert_eq!(driver(&["x.o", "-m", "i386pep"]).unwrap(), Driver::Foreign);
        // The first one counts, and only in two words.
        assert!(matches!(
            driver(&["-m", "elf_x86_64", "-m", "i386pep"]).unwrap(),
            Driver::Elf(_)
        ));
        assert!(matches!(driver(&["-mi386pep"]).unwrap(), Driver::Elf(_)));
        assert!(matches!(driver(&["-m"]).unwrap(), Driver::Elf(_)));
    }
}
