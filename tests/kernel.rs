//! A ThinLTO Linux built with `LD=thinlto-ld-22` and booted to userland; `kernel.sh` is the test, this gives it the program.
//! Knows nothing of kernels. Takes some minutes: nextest's default profile runs it, `--profile quick` leaves it out.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::Command;

#[test]
fn linux_builds_distributed_and_boots_with_every_module() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel.sh");
    let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = Command::new("bash")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_thinlto-ld"))
        .arg(work.path())
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}{stderr}");
    for module in ["vmlinux.o", "fs/fuse/fuse.o", "fs/fuse/fuse.ko", "fs/binfmt_misc.o"] {
        assert!(
            stdout.contains(&format!("distributed: {module} ")),
            "{module} is missing:\n{stdout}"
        );
    }
    assert!(stdout.contains("booted: 2 of 2 modules loaded"), "{stdout}");
    assert!(stdout.contains("reconfigured: "), "{stdout}");
    let (_, after) = stdout.split_once("own options: ").expect(&stdout);
    assert!(after.contains("booted: 2 of 2 modules loaded"), "{stdout}");
}
