//! Links made of real files by the real clang and llvm-ar, read by us and by the real lld.

mod archives;
mod hostile;
mod links;
mod scripts;

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::Inputs;
use crate::cmdline::Invocation;

const LINKERS: [&str; 3] = ["ld.lld-22", "ld.lld-19", "ld.lld-16"];

/// A folder with objects in it, gone at the end of the test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The full path of a file here, folders made.
    fn at(&self, name: &str) -> String {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.at(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Compiles one C function called `name` into `file`.
    fn compile(&self, clang: &str, file: &str, name: &str, flags: &[&str]) -> String {
        let source = self.write(&format!("{name}.c"), format!("int {name}(void) {{ return 1; }}\n"));
        let object = self.at(file);
        run(Command::new(clang)
            .args(["-O1", "-fPIC", "-c", &source, "-o", &object])
            .args(flags));
        object
    }

    fn bitcode(&self, file: &str, name: &str) -> String {
        self.compile("clang-22", file, name, &["-flto=thin"])
    }

    fn native(&self, file: &str, name: &str) -> String {
        self.compile("clang-22", file, name, &[])
    }

    /// `llvm-ar` run in this folder.
    fn ar(&self, flags: &str, archive: &str, members: &[&str]) -> String {
        let path = self.at(archive);
        run(Command::new("llvm-ar-22")
            .current_dir(self.path())
            .arg(flags)
            .arg(archive)
            .args(members));
        path
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Reads the few options these tests use, as the real parser would.
fn link<S: AsRef<str>>(words: &[S]) -> Invocation {
    Invocation::read(words.iter().map(|word| OsString::from(word.as_ref())).collect()).unwrap()
}

/// Every file that the real lld opens for a link, in order, as it spells them (`--verbose`), whether or not it links.
/// lld says so before it tries, so files that are not there are left out.
fn lld_opens<S: AsRef<str>>(linker: &str, words: &[S], output: &Path) -> Vec<PathBuf> {
    let words = words.iter().map(AsRef::as_ref);
    let output = Command::new(linker)
        .arg("--verbose")
        .args(words)
        .arg("-o")
        .arg(output)
        .output()
        .unwrap();
    let prefix = format!("{linker}: ");
    [output.stdout, output.stderr]
        .concat()
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.strip_prefix(prefix.as_bytes()))
        .filter(|line| line.starts_with(b"/") || line.starts_with(b".."))
        .map(|line| PathBuf::from(OsString::from_vec(line.to_vec())))
        .filter(|path| path.is_file())
        .collect()
}

/// Every file that we open for the same link.
fn we_open(inputs: &Inputs) -> Vec<PathBuf> {
    inputs.entries.iter().map(|entry| entry.path.clone()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn name(inputs: &Inputs, entry: usize, member: usize) -> String {
    let entry = &inputs.entries[entry];
    text(entry.members[member].module_name(&entry.path).as_bytes())
}

/// A tree with two library directories and scripts of every sort.
fn tree() -> Folder {
    let folder = Folder::new();
    folder.native("main.o", "_start");
    folder.native("one.o", "one");
    folder.native("two.o", "two");
    folder.native("sub/beside.o", "beside");
    for library in [
        "l1/libstatic.a",
        "l1/libboth.a",
        "l2/libboth.a",
        "l2/libsecond.a",
        "root/lib/libr.a",
    ] {
        folder.at(library);
        folder.ar("rc", library, &["one.o"]);
    }
    for library in ["l1/libboth.so", "l2/libstatic.so", "l2/odd.name"] {
        let library = folder.at(library);
        run(Command::new("ld.lld-22").args(["-shared", &folder.at("two.o"), "-o", &library]));
    }
    std::fs::copy(folder.at("one.o"), folder.at("root/abs.o")).unwrap();
    folder
}

fn agree(folder: &Folder, words: &[String]) {
    let inputs = Inputs::open(&link(words)).unwrap();
    let only_scripts: Vec<_> = inputs.scripts.iter().map(|script| script.path.clone()).collect();
    let ours = we_open(&inputs);
    for linker in LINKERS {
        let theirs: Vec<_> = lld_opens(linker, words, &folder.path().join("out"))
            .into_iter()
            .filter(|path| ours.contains(path) || !only_scripts.contains(path))
            .collect();
        assert_eq!(ours, theirs, "{linker} {words:?} (missing: {:?})", inputs.missing);
    }
}
