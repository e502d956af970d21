//! ninja as its own build system links it: some thirty C++ modules with debug information, from Debian's sources.
//! Knows nothing of what is measured; the link line is the one clang gave to its linker.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;

use serde_json::Value;

use crate::edit::Edit;
use crate::error::{At, Error, Result, succeed};
use crate::program::{Program, redirected, shell_words, without_output};
use crate::tools::Tools;

const PACKAGE: &str = "ninja-build";
const EDITED_SOURCE: &str = "src/edit_distance.cc";
/// What `EditDistance` there returns.
const EXPRESSION: &str = "row[n]";

/// Writes the words of the link it is called for, then makes the link.
const RECORDER: &str = r#"#!/bin/sh
printf '%s\0' "$@" > "$RECORD"
exec "$REAL" "$@"
"#;

/// Fetches and builds ninja in `folder`, where it isn't there from an earlier time.
///
/// # Errors
/// The sources cannot be had, or cmake, make or the compiler fail.
pub fn prepare(folder: &Path, tools: &Tools) -> Result<Program> {
    let (source, build, link) = (folder.join("source"), folder.join("build"), folder.join("link"));
    if !link.exists() {
        fetch(folder, &source)?;
        compile(&source, &build, folder, tools)?;
        fs::rename(folder.join("recorded"), &link).at(&link)?;
    }
    let recorded = fs::read(&link).at(&link)?;
    let words: Vec<OsString> = recorded
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    Ok(Program {
        name: "ninja, C++ with -O2 -g".into(),
        modules: None,
        words: without_output(&words),
        edit: Some(edit(&build, folder)?),
        cwd: build,
    })
}

fn fetch(folder: &Path, source: &Path) -> Result<()> {
    let downloads = folder.join("downloads");
    fs::create_dir_all(&downloads).at(&downloads)?;
    let tarball = || {
        let files = fs::read_dir(&downloads).ok()?.flatten().map(|file| file.path());
        files
            .into_iter()
            .find(|path| path.to_string_lossy().contains(".orig.tar."))
    };
    if tarball().is_none() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/debian-source.sh");
        succeed(Command::new("sh").arg(script).arg(PACKAGE).arg(&downloads))?;
    }
    let tarball: PathBuf =
        tarball().ok_or_else(|| Error::Program(format!("apt-get source {PACKAGE} left no tarball")))?;
    let _ = fs::remove_dir_all(source);
    fs::create_dir_all(source).at(source)?;
    let mut tar = Command::new("tar");
    succeed(
        tar.arg("xf")
            .arg(tarball)
            .arg("--strip-components=1")
            .arg("-C")
            .arg(source),
    )?;
    Ok(())
}

fn compile(source: &Path, build: &Path, folder: &Path, tools: &Tools) -> Result<()> {
    let recorder = folder.join("recorder");
    fs::write(&recorder, RECORDER).at(&recorder)?;
    fs::set_permissions(&recorder, fs::Permissions::from_mode(0o755)).at(&recorder)?;
    let definition = |name: &str, value: &Path| {
        let mut word = OsString::from(format!("-D{name}="));
        word.push(value);
        word
    };
    // clang takes what looks like a path for one, and cmake splits its flags as a shell does.
    let flags = format!("-flto=thin '--ld-path={}'", recorder.display());
    let mut cmake = Command::new("cmake");
    cmake
        .args(["-G", "Unix Makefiles", "-S"])
        .arg(source)
        .arg("-B")
        .arg(build);
    cmake
        .args([
            "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
            "-DCMAKE_CXX_FLAGS=-flto=thin",
            "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
        ])
        .arg(format!("-DCMAKE_EXE_LINKER_FLAGS={flags}"))
        .arg(definition("CMAKE_CXX_COMPILER", &tools.clangxx))
        .arg(definition("CMAKE_C_COMPILER", &tools.clang))
        .arg(definition("CMAKE_AR", &tools.ar))
        .arg(definition("CMAKE_RANLIB", &tools.ranlib));
    let mut make = Command::new("cmake");
    let jobs = available_parallelism().map_or(1, usize::from);
    make.arg("--build")
        .arg(build)
        .args(["--target", "ninja", "-j", &jobs.to_string()]);
    for command in [&mut cmake, &mut make] {
        succeed(command.env("RECORD", folder.join("recorded")).env("REAL", &tools.lld))?;
    }
    Ok(())
}

fn edit(build: &Path, folder: &Path) -> Result<Edit> {
    let database = build.join("compile_commands.json");
    let text = fs::read(&database).at(&database)?;
    let unfit = |what: &str| Error::Unfit(format!("{}: {what}", database.display()));
    let entries: Vec<Value> = serde_json::from_slice(&text).map_err(|error| unfit(&error.to_string()))?;
    let is_edited = |entry: &&Value| entry["file"].as_str().is_some_and(|file| file.ends_with(EDITED_SOURCE));
    let entry = entries
        .iter()
        .find(is_edited)
        .ok_or_else(|| unfit(&format!("no command for {EDITED_SOURCE}")))?;
    let text = |name: &str| entry[name].as_str().ok_or_else(|| unfit(&format!("no {name}")));
    let (source, directory, words) = (
        Path::new(text("file")?),
        PathBuf::from(text("directory")?),
        shell_words(text("command")?)?,
    );
    let object = words
        .iter()
        .skip_while(|word| *word != "-o")
        .nth(1)
        .map(|word| directory.join(word))
        .ok_or_else(|| unfit("a command without -o"))?;
    let copy = folder.join("edit_distance.cc");
    let mut compile = redirected(&words, EDITED_SOURCE, &copy, &object)?;
    // The copy's own headers stand where the source is.
    let mut include = OsString::from("-I");
    include.push(source.parent().unwrap_or(source));
    compile.push(include);
    let original = fs::read_to_string(source).at(source)?;
    Edit::new(copy, &original, EXPRESSION, compile, directory)
}
