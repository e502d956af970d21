//! Sources nobody here wrote: Debian's upstream tarballs, kept in cargo's target folder from one run to the next.
//! Knows nothing of what is built of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The upstream tarball of a Debian package: kept from an earlier run, or fetched now.
pub fn debian_source(package: &str) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sources").join(package);
    let tarball = || {
        let files = fs::read_dir(&kept).ok()?.flatten().map(|file| file.path());
        files
            .into_iter()
            .find(|path| path.to_string_lossy().contains(".orig.tar."))
    };
    if let Some(found) = tarball() {
        return found;
    }
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    let fresh = tempfile::tempdir_in(kept.parent().unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/debian-source.sh");
    let output = Command::new("sh")
        .arg(script)
        .arg(package)
        .arg(fresh.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "the sources of {package} cannot be fetched: this test needs Debian's package archive\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Another run may have been faster: its files are the same.
    let _ = fs::rename(fresh.keep(), &kept);
    tarball().unwrap_or_else(|| panic!("apt-get source {package} left no tarball in {}", kept.display()))
}
