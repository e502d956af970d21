//! Builds the fork server's library with the compiler that builds the rest, so that it can travel inside the binary, and names
//! what the rest is built of: what one build has decided about a link is not for another to repeat.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "src/sys/preload.rs";

fn main() {
    name_sources();
    let variable = |name: &str| env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"));
    let library = PathBuf::from(variable("OUT_DIR")).join("preload.so");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args([
            "--edition=2024",
            "--crate-name=thinlto_ld_preload",
            "--crate-type=cdylib",
        ])
        .args(["-Copt-level=2", "-Cpanic=abort", "-Cstrip=symbols"])
        .arg("--target")
        .arg(variable("TARGET"))
        .arg("-o")
        .arg(&library)
        .arg(SOURCE);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = std::ffi::OsString::from("-Clinker=");
        option.push(linker);
        rustc.arg(option);
    }
    let status = rustc.status().unwrap_or_else(|error| panic!("{rustc:?}: {error}"));
    assert!(status.success(), "{rustc:?}: {status}");
    println!("cargo::rustc-env=THINLTO_LD_PRELOAD={}", library.display());
}

/// Sets `BUILD_OF_THINLTO_LD` to a hash of the sources and of the dependencies' versions.
fn name_sources() {
    let mut hasher = DefaultHasher::new();
    let mut files = Vec::new();
    for root in ["src", "wrappers", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={root}");
        collect(Path::new(root), &mut files);
    }
    files.sort();
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file).unwrap_or_default().hash(&mut hasher);
    }
    println!("cargo::rustc-env=BUILD_OF_THINLTO_LD={:016x}", hasher.finish());
}

/// The files of a folder and of those in it.
fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().for_each(|entry| collect(&entry.path(), files)),
        Err(_) => files.push(path.to_owned()),
    }
}
