//! What Kbuild wrote down of an object's compilation: `.foo.o.cmd` beside `foo.o` (scripts/Kbuild.include, `cmd_and_savecmd`).
//! Knows nothing of other build systems, nor of recipes that still run.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Compiled, Look, Unknown, options};
use crate::shell::{self, Words};
use crate::stamp::Stamp;

/// What the kernel's own distributed ThinLTO (`CONFIG_LTO_CLANG_THIN_DIST`) saves for its backends (scripts/Makefile.lib).
const OPTIONS: [&str; 1] = ["saved_c_flags_"];

/// Where Kbuild writes about an object.
fn file(object: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(object.file_name().unwrap_or(OsStr::new("")));
    name.push(".cmd");
    object.with_file_name(name)
}

/// How an object was compiled by what its `.cmd` file says, with that file.
pub(super) fn saved(object: &Path) -> (Result<Compiled, Unknown>, Vec<Look>) {
    let path = file(object);
    // The stamp first: what is written between the two is then seen as a change.
    let stamp = Stamp::of(&path).ok();
    let read = match fs::read(&path) {
        Ok(_) if is_older(&path, object) => Err(Unknown::Older(path.clone())),
        Ok(text) => read(&path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unknown::NoFile(path.clone())),
        Err(error) => Err(Unknown::Unreadable(path.clone(), error.to_string())),
    };
    (read, vec![(path, stamp)])
}

/// Kbuild writes the file when the object is there: one that is older tells of another compilation.
fn is_older(path: &Path, object: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    modified(path) < modified(object)
}

fn read(path: &Path, text: &[u8]) -> Result<Compiled, Unknown> {
    let quotes = || Unknown::Quotes(path.to_owned());
    let of_compiler = shell::kbuild(text, &OPTIONS);
    if let Some(saved) = of_compiler {
        let commands = shell::commands(&saved.value).ok_or_else(quotes)?;
        return of(&commands.concat());
    }
    let not_compiled = || Unknown::NotCompiled(path.to_owned());
    let saved = shell::kbuild(text, &shell::COMMAND).ok_or_else(not_compiled)?;
    let commands = shell::commands(&saved.value).ok_or_else(quotes)?;
    let target = Path::new(&saved.target);
    let made_by = commands
        .iter()
        .find_map(|words| compiles(words, |output| output == target));
    of(made_by.ok_or_else(not_compiled)?)
}

/// The words of a command behind the compiler's name, where it compiles what `is_output` knows.
pub(super) fn compiles(words: &Words, is_output: impl Fn(&Path) -> bool) -> Option<&[OsString]> {
    let rest = options::behind_compiler(words)?;
    is_output(options::output(rest)?).then_some(rest)
}

/// Of the words behind the compiler's name. make runs compilers where it runs linkers.
pub(super) fn of(words: &[OsString]) -> Result<Compiled, Unknown> {
    Ok(Compiled {
        options: options::of(words)?,
        dir: PathBuf::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Vec<String>, Unknown> {
        read(Path::new(".x.o.cmd"), text.as_bytes()).map(|compiled| compiled.options)
    }

    #[test]
    fn commands_of_all_ages() {
        let rest = "clang -O2 -DX='\"a\"' -c -o d/x.o /s/x.c ; ld.lld -r -o d/.tmp_x.o d/x.o; mv d/.tmp_x.o d/x.o\n\nsource_d/x.o := /s/x.c\n";
        for name in ["savedcmd_", "cmd_"] {
            assert_eq!(options(&format!("{name}d/x.o := {rest}")).unwrap(), ["-O2"]);
        }
        let dist = format!("savedcmd_d/x.o := {rest}\nsaved_c_flags_d/x.o := -O1 -falign-loops=32\n");
        assert_eq!(options(&dist).unwrap(), ["-O1", "-falign-loops=32"]);
        assert_eq!(file(Path::new("d/x.o")), Path::new("d/.x.o.cmd"));
        assert_eq!(file(Path::new("x.o")), Path::new(".x.o.cmd"));
    }

    #[test]
    fn what_was_linked_or_makes_no_sense_has_none() {
        let unknown = [
            "savedcmd_x.o := ld.lld -r -o x.o a.o b.o\n",
            "savedcmd_x.o := clang -c -o y.o y.c\n",
            "deps_x.o := y\n",
            "",
        ];
        for text in unknown {
            assert_eq!(options(text), Err(Unknown::NotCompiled(".x.o.cmd".into())), "{text}");
        }
        let open = options("savedcmd_x.o := clang 'x -c -o x.o x.c\n");
        assert_eq!(open, Err(Unknown::Quotes(".x.o.cmd".into())));
    }
}
