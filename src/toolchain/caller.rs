//! The `ld.lld` that the compiler driver which has called us would have called: a driver takes that of its own folder, which need
//! not be on PATH (Debian's is in `/usr/lib/llvm-N/bin`). Knows nothing of what else is called `ld.lld`.

use std::fs;
use std::path::PathBuf;

/// How the programs of LLVM's drivers begin, whatever the name they were called by.
const DRIVERS: [&str; 2] = ["clang", "flang"];

/// None where the process above us is no driver of LLVM's, or has no linker beside it.
pub fn linker() -> Option<PathBuf> {
    let program = fs::read_link(format!("/proc/{}/exe", std::os::unix::process::parent_id())).ok()?;
    let name = program.file_name()?.to_str()?;
    let is_driver = DRIVERS.iter().any(|driver| name.starts_with(driver));
    let beside = program.with_file_name("ld.lld");
    (is_driver && beside.is_file()).then_some(beside)
}
