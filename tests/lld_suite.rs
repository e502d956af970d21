//! lld's own tests of LTO with thinlto-ld in ld.lld's place; `lld-suite/run.py` is the test, this gives it the program.
//! Knows nothing of lld's tests. The whole suite takes longer: it is run by hand.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::Command;

#[test]
fn llds_tests_of_lto_pass_and_their_links_are_distributed() {
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lld-suite/run.py"))
        .args(["--llvm=22", "--thinlto-ld", env!("CARGO_BIN_EXE_thinlto-ld"), "ELF/lto"])
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}{stderr}");
    let passed = |who: &str| {
        let line = stdout.lines().find(|line| line.starts_with(who)).unwrap();
        let count = line.split_once("PASS ").unwrap().1.split(',').next().unwrap();
        count.parse::<u32>().unwrap()
    };
    assert!(passed("the real ld.lld:") > 100, "{stdout}");
    assert_eq!(passed("thinlto-ld:"), passed("the real ld.lld:"), "{stdout}");
}
