//! The link of a kernel's vmlinux.o, read from what Kbuild wrote down when it made it.
//! Only reads the kernel's folders: the edited module is compiled into the work folder and stands in a copy of the archive.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::edit::{Edit, Reach};
use crate::error::{At, Error, Result, succeed};
use crate::program::{Program, redirected, shell_words, without_output};
use crate::tools::Tools;

/// The object whose source is edited.
const EDITED: &str = "kernel/fork.o";
const EDITED_SOURCE: &str = "kernel/fork.c";
/// What `nr_processes` there returns.
const EXPRESSION: &str = "total";

/// The link of the kernel built in `build`, with its own copies in `folder`.
///
/// # Errors
/// `build` is no folder where a kernel with ThinLTO was built.
pub fn prepare(build: &Path, folder: &Path, tools: &Tools) -> Result<Program> {
    let build = build.canonicalize().at(build)?;
    fs::create_dir_all(folder).at(folder)?;
    let linked = saved_command(&build.join(".vmlinux.o.cmd"), "vmlinux.o")?;
    let compiled = saved_command(&build.join("kernel/.fork.o.cmd"), EDITED)?;
    let original = source_of(&compiled, &build)?;
    let (source, object) = (folder.join("fork.c"), folder.join("fork.o"));
    let compile = redirected(&compiled, EDITED_SOURCE, &source, &object)?;
    let edit = Edit::new(source, &original, EXPRESSION, compile, build.clone())?;
    // An archive can only be made of what is there.
    edit.apply(Reach::Constant, 1)?;

    let mut replaced = 0_usize;
    let mut words = Vec::new();
    for word in without_output(linked.get(1..).unwrap_or_default()) {
        let is_archive = Path::new(&word).extension().is_some_and(|e| e == "a");
        let members = match is_archive {
            true => members(&build, &word, tools)?,
            false => Vec::new(),
        };
        if !members.iter().any(|member| member == EDITED) {
            words.push(word);
            continue;
        }
        let archive = folder.join("vmlinux.a");
        let _ = fs::remove_file(&archive);
        let members = members.iter().map(|member| match member == EDITED {
            true => object.clone(),
            false => build.join(member),
        });
        succeed(
            Command::new(&tools.ar)
                .args(["qcS", "--thin"])
                .arg(&archive)
                .args(members)
                .current_dir(&build),
        )?;
        replaced += 1;
        words.push(archive.into());
    }
    if replaced != 1 {
        return Err(Error::Unfit(format!(
            "{}: {EDITED} is in {replaced} of the archives that vmlinux.o is linked from, not in one",
            build.display()
        )));
    }
    Ok(Program {
        name: format!("kernel {}, vmlinux.o", release(&build)),
        modules: None,
        cwd: build,
        words,
        edit: Some(edit),
    })
}

/// The command of a `.foo.o.cmd`, up to the first `;`: after it comes objtool. Old kernels write `cmd_`, newer ones `savedcmd_`.
fn saved_command(file: &Path, target: &str) -> Result<Vec<OsString>> {
    let text = fs::read_to_string(file).at(file)?;
    let line = text
        .lines()
        .find_map(|line| line.split_once(&format!("cmd_{target} := ")))
        .map(|(_, command)| command.split(';').next().unwrap_or_default())
        .ok_or_else(|| Error::Unfit(format!("{}: no command for {target} in it", file.display())))?;
    // As make would have unquoted it.
    shell_words(&line.replace("$(pound)", "#").replace("$$", "$"))
}

fn source_of(command: &[OsString], build: &Path) -> Result<String> {
    let word = command
        .iter()
        .rfind(|word| Path::new(word).ends_with(EDITED_SOURCE))
        .ok_or_else(|| Error::Unfit(format!("the command that made {EDITED} does not name {EDITED_SOURCE}")))?;
    let path = build.join(word);
    fs::read_to_string(&path).at(&path)
}

fn members(build: &Path, archive: &OsString, tools: &Tools) -> Result<Vec<String>> {
    let text = succeed(Command::new(&tools.ar).arg("t").arg(archive).current_dir(build))?;
    let members = String::from_utf8_lossy(&text);
    Ok(members.lines().map(str::to_owned).collect())
}

fn release(build: &Path) -> String {
    fs::read_to_string(build.join("include/config/kernel.release"))
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
