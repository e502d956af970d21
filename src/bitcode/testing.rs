//! Real compilers for the tests here: sources in a temporary folder, run through every LLVM that is installed.
//! Knows nothing of what is tested.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The LLVM versions tried, newest first; those installed are used.
const VERSIONS: [u32; 3] = [22, 19, 16];

/// One LLVM and a folder to use it in.
pub struct Llvm {
    pub version: u32,
    folder: tempfile::TempDir,
}

impl Llvm {
    /// Every installed one, each with a folder of its own.
    pub fn all() -> Vec<Self> {
        let installed = |version: &u32| which::which(format!("ld.lld-{version}")).is_ok();
        let found: Vec<_> = VERSIONS.into_iter().filter(installed).map(Self::new).collect();
        assert!(
            !found.is_empty(),
            "these tests need clang-N, ld.lld-N and llvm-dis-N of one of {VERSIONS:?}"
        );
        found
    }

    /// The newest.
    pub fn newest() -> Self {
        Self::all().swap_remove(0)
    }

    fn new(version: u32) -> Self {
        Self {
            version,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Runs `tool-N` in the folder, gives what it printed.
    pub fn run(&self, tool: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        let mut command = Command::new(format!("{tool}-{}", self.version));
        command.args(arguments).current_dir(self.folder());
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Compiles `source` to bitcode `name`.o with the options, split at blanks; C++ if `name` begins with `cxx`.
    pub fn compile(&self, name: &str, source: &str, options: &str) -> Vec<u8> {
        let source_name = format!("{name}.{}", if name.starts_with("cxx") { "cc" } else { "c" });
        self.write(&source_name, source);
        let object = format!("{name}.o");
        let fixed = [
            "--no-default-config",
            "--target=x86_64-pc-linux-gnu",
            "-c",
            &source_name,
            "-o",
            &object,
        ];
        self.run("clang", fixed.into_iter().chain(options.split_whitespace()));
        self.read(&object)
    }

    /// Links the objects in-process with the link's options; gives each module's object, in link order.
    pub fn in_process(&self, objects: &[&str], options: &str) -> Vec<Vec<u8>> {
        let fixed = ["--lto-obj-path=task", "-o", "in-process"];
        self.run(
            "ld.lld",
            fixed.iter().chain(objects).copied().chain(options.split_whitespace()),
        );
        (1..=objects.len())
            .map(|task| self.read(&format!("task{task}")))
            .collect()
    }

    /// Runs the thin link; gives each module's index, in link order.
    pub fn thin_link(&self, objects: &[&str], options: &str) -> Vec<Vec<u8>> {
        let fixed = ["--thinlto-index-only", "-o", "thin"];
        self.run(
            "ld.lld",
            fixed.iter().chain(objects).copied().chain(options.split_whitespace()),
        );
        objects
            .iter()
            .map(|object| self.read(&format!("{object}.thinlto.bc")))
            .collect()
    }

    /// Runs one backend over the module with that index.
    pub fn backend(&self, module: &str, index: &[u8], model: &str) -> Vec<u8> {
        self.write("backend.thinlto.bc", index);
        let fixed = "-cc1 -triple x86_64-pc-linux-gnu -emit-obj -O2 -vectorize-loops -vectorize-slp -ffunction-sections \
                     -fdata-sections -faddrsig -fthinlto-index=backend.thinlto.bc -o backend.out";
        let last = ["-mrelocation-model", model, "-x", "ir", module];
        self.run("clang", fixed.split_whitespace().chain(last));
        self.read("backend.out")
    }

    /// The text of a bitcode file or index.
    pub fn disassemble(&self, bytes: &[u8]) -> String {
        self.write("text.bc", bytes);
        self.run("llvm-dis", ["text.bc", "-o", "-"])
    }
}
