//! What in-process LTO would leave for the user beside the output, where asked: objects (`--lto-obj-path`, `--save-temps`)
//! and the stages of modules (`--save-temps`). Knows nothing of how they were made.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::flags::{Flags, LlvmVersion, SavedStage};
use crate::cmdline::Invocation;
use crate::final_link::NativeObject;
use crate::final_link::dependencies::without_dots;
use crate::inputs::Inputs;
use crate::llvm;
use crate::thin_link::Plan;

/// Where all of a link's objects are.
#[derive(Clone, Copy, Debug)]
pub struct Objects<'a> {
    /// The user's command line.
    pub invocation: &'a Invocation,
    /// Its inputs.
    pub inputs: &'a Inputs,
    /// The modules.
    pub plan: &'a Plan,
    /// What their backends were told.
    pub flags: &'a Flags,
    /// The linker's.
    pub llvm: LlvmVersion,
    /// Theirs, in the plan's order.
    pub objects: &'a [NativeObject],
}

type CannotWrite = (PathBuf, io::Error);

impl Objects<'_> {
    /// Writes the objects that the user is to have.
    ///
    /// # Errors
    /// The file that cannot be written.
    pub fn keep(&self) -> Result<(), CannotWrite> {
        self.keep_by_task()?;
        if self.flags.temps().prelink() {
            self.keep_prelink()?;
        }
        Ok(())
    }

    /// `--lto-obj-path=P`: the regular partition to P, backends' objects to P1, P2 … by task (lld/ELF/LTO.cpp
    /// `BitcodeCompiler::compile`).
    fn keep_by_task(&self) -> Result<(), CannotWrite> {
        let asked = self.invocation.lto_value("lto-obj-path");
        let Some(prefix) = asked.filter(|prefix| !prefix.is_empty()) else {
            return Ok(());
        };
        copy(&self.plan.regular_written, prefix.into())?;
        for (at, object) in self.objects.iter().enumerate() {
            copy(
                object.path(),
                format!("{prefix}{}", self.flags.first_task() + at).into(),
            )?;
        }
        Ok(())
    }

    fn keep_prelink(&self) -> Result<(), CannotWrite> {
        let output = &self.invocation.output;
        // lld compiles one where there is a module for it, be nothing in that, and where its object is asked for.
        if self.invocation.has("lto-obj-path") || self.plan.regular.is_some() {
            copy(&self.plan.regular_written, regular_prelink(output))?;
        }
        for (at, (module, object)) in self.plan.modules.iter().zip(self.objects).enumerate() {
            copy(
                object.path(),
                prelink(output, &module.name, self.flags.first_task() + at, self.llvm),
            )?;
        }
        Ok(())
    }
}

/// What lld calls the object of the regular partition, as [`prelink`] those of modules.
pub fn regular_prelink(output: &Path) -> PathBuf {
    glued(output, ".lto.o")
}

/// What lld calls the object of a module: in messages, and on disk under `--save-temps` (lld/ELF/LTO.cpp
/// `BitcodeCompiler::compile`). Once by task; `dir/b.o` linked to `out` is `dir/out.lto.b.o` today.
pub fn prelink(output: &Path, module: &OsStr, task: usize, version: LlvmVersion) -> PathBuf {
    if llvm::traits(version.major).objects_by_task {
        return glued(output, &format!("{task}.lto.o"));
    }
    let name = module.as_bytes();
    let at = name.iter().rposition(|byte| *byte == b'/');
    let (dir, file) = name.split_at(at.map_or(0, |at| at + 1));
    // A member is called by all of its name, `libx.a(m.o at 8)`, a file by what stands before the last dot.
    let end = file
        .iter()
        .rposition(|byte| *byte == b'.')
        .filter(|_| !file.ends_with(b")"));
    let base = &file[..end.unwrap_or(file.len())];
    let last = output.file_name().unwrap_or_default().as_bytes();
    let path = [dir, last, b".lto.", base, b".o"].concat();
    without_dots(Path::new(OsStr::from_bytes(&path)))
}

/// Gives the user the bitcode that a backend has saved of the module called `module`.
///
/// # Errors
/// The file that cannot be written.
pub(super) fn keep_stages(module: &OsStr, stages: &[SavedStage]) -> Result<(), CannotWrite> {
    for stage in stages {
        copy(&stage.written, glued(Path::new(module), &format!(".{}", stage.suffix)))?;
    }
    Ok(())
}

fn glued(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned().into_vec();
    name.extend(end.as_bytes());
    OsStr::from_bytes(&name).into()
}

/// Not a copy of the file but of its bytes: the cache's own is read-only, and this is the user's.
fn copy(from: &Path, to: PathBuf) -> Result<(), CannotWrite> {
    let written = fs::read(from).and_then(|bytes| fs::write(&to, bytes));
    written.map_err(|error| (to, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_called_as_lld_calls_it() {
        let version = |major| LlvmVersion {
            major,
            minor: 1,
            patch: 0,
        };
        let name = |module: &str, major| {
            let path = prelink(Path::new("bin/out"), OsStr::new(module), 3, version(major));
            path.display().to_string()
        };
        assert_eq!(name("a.o", 22), "out.lto.a.o");
        assert_eq!(name("./dir/b.x.o", 22), "dir/out.lto.b.x.o");
        assert_eq!(name("dir/libb.a(b.o at 84)", 22), "dir/out.lto.libb.a(b.o at 84).o");
        assert_eq!(name("a.o", 16), "bin/out3.lto.o");
    }
}
