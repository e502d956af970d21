//! Programs of any number of modules, each a few functions that call their neighbours'.
//! Knows nothing of what is measured. One clang compiles many of them in one process, which takes some 2 ms a module.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread::{self, available_parallelism};

use crate::edit::Edit;
use crate::error::{At, Error, Result, succeed};
use crate::program::Program;
use crate::tools::Tools;

/// What `step_N` returns.
const EXPRESSION: &str = "mixed";
/// Modules a compiler gets at once.
const BATCH: usize = 250;

/// What is made of the modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bitcode,
    Native,
}

/// `count` ThinLTO modules.
///
/// # Errors
/// They cannot be written or compiled.
pub fn bitcode(count: usize, work: &Path, tools: &Tools) -> Result<Program> {
    let folder = work.join(format!("synthetic-{count}"));
    let compile = compile_all(Form::Bitcode, count, &folder, tools)?;
    let middle = count / 2;
    let source = PathBuf::from(format!("m{middle}.c"));
    let mut words = compile;
    words.push(source.clone().into());
    let edit = Edit::new(
        folder.join(source),
        &module(middle, count),
        EXPRESSION,
        words,
        folder.clone(),
    )?;
    Ok(Program {
        name: format!("synthetic, {count} modules"),
        modules: Some(count),
        words: link_words(Form::Bitcode, count),
        edit: Some(edit),
        cwd: folder,
    })
}

/// `count` native objects.
///
/// # Errors
/// They cannot be written or compiled.
pub fn native(count: usize, work: &Path, tools: &Tools) -> Result<Program> {
    let folder = work.join(format!("native-{count}"));
    compile_all(Form::Native, count, &folder, tools)?;
    Ok(Program {
        name: format!("passthrough, {count} native objects"),
        modules: None,
        words: link_words(Form::Native, count),
        edit: None,
        cwd: folder,
    })
}

impl Form {
    fn suffix(self) -> &'static str {
        match self {
            Form::Bitcode => "bc",
            Form::Native => "o",
        }
    }
}

/// One of `count` modules: its functions call those of the next and of one farther on, so that all are reached from the first.
/// Two are imported from each, and none of those imports a third: a backend has little to do, as in a program of small files.
fn module(i: usize, count: usize) -> String {
    let (next, far) = ((i + 1) % count, (i + 7) % count);
    let entry = if i == 0 {
        "int entry(void) { return run_0(1); }\n"
    } else {
        ""
    };
    format!(
        "int step_{next}(int);\nint run_{next}(int);\nint step_{far}(int);\n\
         static int table_{i}[8] = {{{i}, 2, 3, 5, 7, 11, 13, 17}};\n\
         static int mix(int x) {{ return (x ^ table_{i}[x & 7]) * 31; }}\n\
         int step_{i}(int x) {{\n  int mixed = mix(x) + {i};\n  table_{i}[x & 7] = mixed;\n  return {EXPRESSION};\n}}\n\
         __attribute__((noinline)) int run_{i}(int x) {{\n  int y = step_{next}(x) + mix(x);\n  if (y > {i})\n    y -= step_{far}(y);\n\
         \x20 return y > 0 ? run_{next}(y - 1) : y;\n}}\n{entry}"
    )
}

fn link_words(form: Form, count: usize) -> Vec<OsString> {
    let modules = (0..count).map(|i| format!("m{i}.{}", form.suffix()).into());
    ["-m", "elf_x86_64", "-e", "entry"]
        .map(OsString::from)
        .into_iter()
        .chain(modules)
        .collect()
}

/// Writes and compiles what is not there from an earlier time. Returns the compiler's words, to which sources are to be added.
fn compile_all(form: Form, count: usize, folder: &Path, tools: &Tools) -> Result<Vec<OsString>> {
    if count < 8 {
        return Err(Error::Unfit(format!("{count} modules: 8 is the least")));
    }
    fs::create_dir_all(folder).at(folder)?;
    let frontend = frontend(form, folder, tools)?;
    let mark = folder.join("made-of");
    let made_of = format!("{}\n{frontend:?}\n{}", tools.version, module(1, count));
    if fs::read_to_string(&mark).is_ok_and(|text| text == made_of) {
        return Ok(frontend);
    }
    for i in 0..count {
        let file = folder.join(format!("m{i}.c"));
        fs::write(&file, module(i, count)).at(&file)?;
    }
    let all: Vec<usize> = (0..count).collect();
    let batches = Mutex::new(all.chunks(BATCH));
    let compile = || -> Result<()> {
        while let Some(batch) = batches.lock().ok().and_then(|mut batches| batches.next()) {
            let sources = batch.iter().map(|i| format!("m{i}.c"));
            if let Some((clang, words)) = frontend.split_first() {
                succeed(Command::new(clang).args(words).args(sources).current_dir(folder))?;
            }
        }
        Ok(())
    };
    let workers = available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(compile)).collect();
        let ended = threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(Error::Program("a thread that compiles has died".into())))
        });
        ended.collect::<Result<()>>()
    })?;
    fs::write(&mark, made_of).at(&mark)?;
    Ok(frontend)
}

/// clang's own command line for one module, without the module. Given several sources and no output, `-cc1` compiles each to
/// a file beside it.
fn frontend(form: Form, folder: &Path, tools: &Tools) -> Result<Vec<OsString>> {
    let lto = match form {
        Form::Bitcode => "-flto=thin",
        Form::Native => "-fno-lto",
    };
    let output = Command::new(&tools.clang)
        .args([
            "-###",
            "-O1",
            "--target=x86_64-linux-gnu",
            "-fno-pic",
            lto,
            "-c",
            "-x",
            "c",
            "/dev/null",
            "-o",
            "null.o",
        ])
        .current_dir(folder)
        .output()
        .map_err(|error| Error::Program(format!("cannot run {}: {error}", tools.clang.display())))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said
        .lines()
        .find(|line| line.contains("\"-cc1\""))
        .ok_or_else(|| Error::Program(format!("{} -### shows no -cc1 line:\n{said}", tools.clang.display())))?;
    let mut words = crate::program::without_output(&crate::program::shell_words(line)?);
    words.retain(|word| word != "/dev/null");
    Ok(words)
}
