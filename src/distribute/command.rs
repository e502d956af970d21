//! What clang's driver makes of the jobs' commands, asked once for all that differ in nothing but the names of files, so
//! that a fork server can run them and keys have what the compiler is really told. Knows nothing of what the words mean.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::description::{Description, Job};
use crate::backend::jobs::Called;
use crate::toolchain::driver;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Which {
    Module,
    Index,
    Object,
    /// The module's name without folders, which the driver tells `-cc1`.
    ModuleName,
}

impl Which {
    fn of(self, called: Called<'_>) -> &OsStr {
        match self {
            Which::Module => called.module.as_os_str(),
            Which::Index => called.index.as_os_str(),
            Which::Object => called.object.as_os_str(),
            Which::ModuleName => called.module.file_name().unwrap_or_default(),
        }
    }
}

/// A word of a command, or where one of its files is named: alone, or behind a `=`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Word(OsString),
    File(OsString, Which),
}

type Parts = Vec<Part>;

fn parts(words: impl IntoIterator<Item = OsString>, files: Called<'_>, named: &[Which]) -> Parts {
    let part = |word: OsString| {
        let of = |which: &Which| {
            let before = word.as_bytes().strip_suffix(which.of(files).as_bytes())?;
            let is_named = before.is_empty() || before.ends_with(b"=");
            is_named.then(|| Part::File(OsStr::from_bytes(before).to_owned(), *which))
        };
        named.iter().find_map(of).unwrap_or(Part::Word(word))
    };
    words.into_iter().map(part).collect()
}

fn filled<'a>(parts: impl IntoIterator<Item = &'a Part>, files: Called<'_>) -> Vec<OsString> {
    let word = |part: &Part| match part {
        Part::Word(word) => word.clone(),
        Part::File(before, which) => {
            let mut word = before.clone();
            word.push(which.of(files));
            word
        }
    };
    parts.into_iter().map(word).collect()
}

/// What the driver makes of all jobs of one kind.
#[derive(Clone, Debug)]
pub struct Command {
    parts: Parts,
}

/// In-process LTO has no front end either: only that reads these, and they name the folder of the link
/// (clang/lib/CodeGen/CGDebugInfo.cpp, CoverageMappingGen.cpp).
const FRONT_ENDS: [&str; 2] = ["-fdebug-compilation-dir=", "-fcoverage-compilation-dir="];

/// A word that leads to the headers of the clang here, in the next, which only a front end reads.
const HEADERS: &str = "-resource-dir";

/// What puts the command itself, names of files and all, into the object.
const EMBEDS: [&str; 2] = ["-fembed-bitcode", "-record-command-line"];

/// Options whose file is read and is all that they read.
const INPUTS: [&str; 5] = [
    "-fprofile-sample-use=",
    "-fprofile-instrument-use-path=",
    "-fprofile-remapping-file=",
    "-fmemory-profile-use=",
    "-fbasic-block-sections=list=",
];

/// What is in the names of other options that have to do with files: that leave one (`-opt-record-file`, `-ftime-trace=`,
/// `-info-output-file`), or load what nobody can tell (`-load`, `-fpass-plugin=`, `-ivfsoverlay`).
const OF_FILES: [&str; 7] = ["file", "output", "plugin", "load", "record", "trace", "overlay"];

/// The one such word in every command: a name that names no file.
const MAIN_FILE_NAME: &str = "-main-file-name";

/// Where assembly looks for files besides the working folder.
const SEARCHES: [&str; 3] = ["-I", "-isystem", "-iquote"];

impl Command {
    /// The `-cc1` line of one job.
    pub fn of(&self, job: &Job) -> Vec<OsString> {
        filled(&self.parts, job.called())
    }

    /// The same of a job whose files are called so on another machine: without what only a front end reads, which names
    /// folders of this one.
    pub fn away(&self, called: Called<'_>) -> Vec<OsString> {
        filled(self.travelling(), called)
    }

    fn travelling(&self) -> impl Iterator<Item = &Part> {
        let mut is_folder_next = false;
        self.parts.iter().filter(move |part| {
            let Part::Word(word) = part else { return true };
            let is_left_out = is_folder_next || is_of_a_front_end(word) || word == HEADERS;
            is_folder_next = word == HEADERS;
            !is_left_out
        })
    }

    /// Its words but for names of files that don't shape the object.
    pub fn fingerprint(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            let (tag, word) = match part {
                Part::Word(word) if is_of_a_front_end(word) => continue,
                Part::Word(word) => (b'W', word),
                Part::File(word, Which::Module) => (b'M', word),
                Part::File(word, Which::Index) => (b'I', word),
                Part::File(word, Which::Object) => (b'O', word),
                Part::File(word, Which::ModuleName) => (b'N', word),
            };
            bytes.push(tag);
            bytes.extend((word.len() as u64).to_le_bytes());
            bytes.extend(word.as_bytes());
        }
        bytes
    }

    /// Files that its words name: a word, or what is behind a `=` in it, that is a file's name now.
    pub fn named_files(&self) -> Vec<PathBuf> {
        named(self.parts.iter(), |path| path.is_file())
    }

    /// Folders that the words of [`Command::away`] name likewise; by a path, for `all` and `pic` are no folders' names but by
    /// chance.
    pub fn named_folders(&self) -> Vec<PathBuf> {
        let is_path = |path: &Path| path.as_os_str().as_bytes().contains(&b'/');
        named(self.travelling(), |path| is_path(path) && path.is_dir())
    }

    /// An option that may leave another file than the object, or read more than the file it names: whose command has one runs
    /// where its files are, each time.
    pub fn odd_option(&self) -> Option<String> {
        let words = self.parts.iter().filter_map(|part| match part {
            Part::Word(word) => Some(word.to_string_lossy()),
            Part::File(..) => None,
        });
        let mut options = words.filter(|word| word.starts_with('-') && word != MAIN_FILE_NAME);
        let odd = options.find(|option| {
            let name = option.split('=').next().unwrap_or_default();
            !INPUTS.iter().any(|input| option.starts_with(input)) && OF_FILES.iter().any(|what| name.contains(what))
        });
        odd.map(std::borrow::Cow::into_owned)
    }

    /// Whether assembly may find files elsewhere than in the working folder.
    pub fn searches(&self) -> bool {
        self.has(&SEARCHES)
    }

    fn has(&self, beginnings: &[&str]) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Word(word) => beginnings
                .iter()
                .any(|begins| word.as_bytes().starts_with(begins.as_bytes())),
            Part::File(..) => false,
        })
    }
}

fn is_of_a_front_end(word: &OsStr) -> bool {
    let word = word.as_bytes();
    FRONT_ENDS.iter().any(|front| word.starts_with(front.as_bytes()))
}

fn named<'a>(parts: impl Iterator<Item = &'a Part>, is: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut named = Vec::new();
    for part in parts {
        let Part::Word(word) = part else { continue };
        let bytes = word.as_bytes();
        let behind = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'=');
        let starts = std::iter::once(0).chain(behind.map(|(at, _)| at + 1));
        let paths = starts.filter_map(|at| bytes.get(at..)).filter(|path| !path.is_empty());
        named.extend(
            paths
                .map(|path| PathBuf::from(OsStr::from_bytes(path)))
                .filter(|path| is(path)),
        );
    }
    named
}

/// The driver's line of one job, without the compiler.
pub fn line(description: &Description, job: &Job) -> Vec<OsString> {
    description
        .words()
        .iter()
        .chain(&job.args)
        .map(OsString::from)
        .collect()
}

/// What the driver makes of every job, in their order.
///
/// # Errors
/// Why that cannot be told without asking about each: a text for the stats.
pub fn of_jobs(description: &Description, scratch: &Path) -> Result<Vec<Command>, String> {
    let mut known: HashMap<(Parts, OsString), Command> = HashMap::new();
    let mut commands = Vec::new();
    for job in &description.jobs {
        let all = [Which::Module, Which::Index, Which::Object];
        let own = parts(job.args.iter().map(OsString::from), job.called(), &all);
        // By that the driver tells what is in a file.
        let extension = job.module().extension().unwrap_or_default().to_owned();
        let kind = (own, extension);
        if !known.contains_key(&kind) {
            let command = ask(description, job, &kind, scratch)?;
            known.insert(kind.clone(), command);
        }
        commands.extend(known.get(&kind).cloned());
    }
    Ok(commands)
}

/// What none of a job's own files is called.
const NAME: &str = "thinlto-ld-module";

fn ask(
    description: &Description,
    job: &Job,
    (own, extension): &(Parts, OsString),
    scratch: &Path,
) -> Result<Command, String> {
    // Names that nothing else has, so that all places where they are used are seen.
    let module = scratch.join(NAME).with_extension(extension);
    let [index, object] = ["index", "object.o"].map(|name| scratch.join(format!("{NAME}.{name}")));
    let files = Called {
        module: &module,
        index: &index,
        object: &object,
    };
    // The driver looks whether its input is there.
    fs::write(&module, "").map_err(|error| format!("{}: {error}", module.display()))?;
    let compiler = description.compiler();
    let common = description.words().iter().map(OsString::from);
    let words: Vec<OsString> = common.chain(filled(own, files)).collect();
    let (told, real) = rayon::join(
        || driver::cc1(compiler, &words, None),
        || driver::cc1(compiler, &line(description, job), None),
    );
    let all = [Which::Module, Which::Index, Which::Object, Which::ModuleName];
    let command = Command {
        parts: parts(told?, files, &all),
    };
    let names_a_file = |part: &&Part| match part {
        Part::Word(word) | Part::File(word, _) => word.to_string_lossy().contains(NAME),
    };
    if let Some(Part::Word(word) | Part::File(word, _)) = command.parts.iter().find(names_a_file) {
        return Err(format!(
            "clang's driver makes another file's name of a job's: {}",
            word.to_string_lossy().replace(&*scratch.to_string_lossy(), "…")
        ));
    }
    if command.has(&EMBEDS) {
        return Err("the command itself is put into objects".to_owned());
    }
    match command.of(job) == real? {
        true => Ok(command),
        false => Err("clang's driver heeds the names of files".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(common: &str, jobs: &[&str], dir: &Path) -> Description {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let clang = which::which("clang-22").unwrap();
        let job = |name: &&str| {
            let [module, index, object] = ["", ".thinlto.bc", ".native.o"].map(|end| dir.join(format!("{name}{end}")));
            fs::write(&module, "").unwrap();
            let text = |path: &Path| path.display().to_string();
            let index_word = format!("-fthinlto-index={}", text(&index));
            Job {
                args: vec![text(&module), index_word, "-o".to_owned(), text(&object)],
                inputs: vec![module, index],
                outputs: vec![object],
            }
        };
        let mut args = vec![clang.display().to_string()];
        args.extend(words(common));
        Description {
            common: super::super::description::Common {
                linker_output: "out".to_owned(),
                args,
                inputs: Vec::new(),
            },
            jobs: jobs.iter().map(job).collect(),
        }
    }

    #[test]
    fn one_question_tells_every_job_s_line() {
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let common = "-c --target=x86_64-linux-gnu -O2 -ffunction-sections -fpic -falign-loops=32";
        let description = description(common, &["a.o", "b.o", "c.bc", "d"], dir.path());
        let commands = of_jobs(&description, scratch.path()).unwrap();
        for (job, command) in description.jobs.iter().zip(&commands) {
            let real = driver::cc1(description.compiler(), &line(&description, job), None).unwrap();
            assert_eq!(command.of(job), real);
            assert_eq!(command.fingerprint(), commands[0].fingerprint());
            let called = Called {
                module: Path::new("m/0"),
                index: Path::new("i"),
                object: Path::new("o"),
            };
            let away = command.away(called).join(OsStr::new(" ")).into_string().unwrap();
            assert!(
                away.contains("-falign-loops=32") && away.ends_with("-o o -x ir m/0"),
                "{away}"
            );
            assert!(
                !away.contains("/usr") && !away.contains(&*scratch.path().to_string_lossy()),
                "{away}"
            );
            assert!(!away.contains("-dir"), "{away}");
        }
        let text = String::from_utf8_lossy(&commands[0].fingerprint()).into_owned();
        assert!(
            text.contains("-falign-loops=32") && !text.contains("compilation-dir"),
            "{text}"
        );
    }

    #[test]
    fn what_names_other_files_is_not_for_a_template() {
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (more, why) in [
            ("-save-temps", "clang's driver would run"),
            ("-gsplit-dwarf", "clang's driver makes another file's name of a job's: "),
            ("-fstack-usage", "clang's driver makes another file's name of a job's: "),
            (
                "-frecord-command-line",
                "clang's driver makes another file's name of a job's: ",
            ),
            ("--no-such-option", "clang-22: error: "),
        ] {
            let description = description(&format!("-c -O2 {more}"), &["a.o"], dir.path());
            let error = of_jobs(&description, scratch.path()).unwrap_err();
            assert!(error.starts_with(why) || error.contains(why), "{more}: {error}");
        }
    }

    #[test]
    fn options_that_leave_files_or_load_them_are_odd() {
        let odd = |words: &str| {
            let parts = words.split(' ').map(|word| Part::Word(word.into()));
            Command { parts: parts.collect() }.odd_option()
        };
        for word in [
            "-opt-record-file opt.yaml",
            "-ftime-trace=t.json",
            "-mllvm -info-output-file=s.txt",
            "-fpass-plugin=/p/y.so",
            "-load y.so",
            "-ivfsoverlay o.yaml",
        ] {
            assert!(odd(&format!("-O2 {word}")).is_some(), "{word}");
        }
        for word in [
            "-main-file-name a.o",
            "-fprofile-remapping-file=r",
            "-fbasic-block-sections=list=l",
        ] {
            assert_eq!(odd(&format!("-O2 {word}")), None, "{word}");
        }
        // Nor is any word that the driver writes by itself.
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let description = description("-c --target=x86_64-linux-gnu -O2 -fpic", &["a.o"], dir.path());
        assert_eq!(of_jobs(&description, scratch.path()).unwrap()[0].odd_option(), None);
    }

    #[test]
    fn files_that_words_name_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x=y");
        fs::write(&file, "").unwrap();
        let command = |word: OsString| Command {
            parts: vec![Part::Word(word)],
        };
        let named = |word: OsString| command(word).named_files();
        for before in ["", "-fprofile-sample-use=", "-fbasic-block-sections=list="] {
            let mut word = OsString::from(before);
            word.push(&file);
            assert_eq!(named(word), std::slice::from_ref(&file), "{before}");
        }
        assert!(named("-O2".into()).is_empty());
        let named = |word: &str| command(word.into()).named_folders();
        let folder = dir.path().display().to_string();
        assert_eq!(named(&format!("-fprofile-use={folder}")), [dir.path()]);
        for word in ["src", "-mcmodel=src", &format!("-fdebug-compilation-dir={folder}")] {
            assert!(named(word).is_empty(), "{word}");
        }
    }
}
