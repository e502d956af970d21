//! A backend on a machine where nobody of ours watches it: its steps run one after the other in children, and unless the
//! last leaves an object this process fails, whatever clang says. Knows nothing of who asked for the backend.
//!
//! clang exits 0 with an empty file where an import or the index cannot be read, which a remote execution engine would keep
//! as a success. Asked for by arguments and not by the environment: a clang that runs without this library refuses them.

use std::ffi::{CStr, c_char, c_int};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use super::{PR_SET_PDEATHSIG, REAL_MAIN, SIGKILL, _exit, environ, exit, fork, prctl, waitpid};

/// The first argument; the object's path comes next, and then the first step.
const LEAVES: &CStr = c"--thinlto-ld-leaves";
/// Stands before every other step.
const THEN: &CStr = c"--thinlto-ld-then";
/// The exit status where clang is content and the object is not there (EX_SOFTWARE of sysexits.h); clang has no such one.
const NO_OBJECT: c_int = 70;
/// What every ELF file begins with.
const MAGIC: &[u8; 4] = b"\x7fELF";

/// Whether a program's arguments ask for this.
///
/// # Safety
/// The arguments are those a program was started with.
pub unsafe fn is_asked(argc: c_int, argv: *mut *mut c_char) -> bool {
    argc > 3 && unsafe { CStr::from_ptr(*argv.add(1)) } == LEAVES
}

/// Stands for the program's `main`.
pub extern "C" fn run(argc: c_int, argv: *mut *mut c_char, _envp: *mut *mut c_char) -> c_int {
    // As many as there are, and they live as long as the process.
    let words: &[*mut c_char] = unsafe { std::slice::from_raw_parts(argv, usize::try_from(argc).unwrap_or_default()) };
    let [name, _, object, steps @ ..] = words else { return NO_OBJECT };
    for step in steps.split(|word| unsafe { CStr::from_ptr(*word) } == THEN) {
        let status = in_a_child(*name, step);
        if status != 0 {
            return status;
        }
    }
    let object = Path::new(std::ffi::OsStr::from_bytes(unsafe { CStr::from_ptr(*object) }.to_bytes()));
    if is_object(object) {
        return 0;
    }
    // What cannot be said is in the status.
    let _ = std::io::stderr().write_all(b"thinlto-ld: clang exited with status 0 and left no object\n");
    NO_OBJECT
}

/// `main` with these arguments, in a process of its own: however it ends, this one is told.
fn in_a_child(name: *mut c_char, step: &[*mut c_char]) -> c_int {
    match unsafe { fork() } {
        0 => {
            let mut argv: Vec<*mut c_char> = std::iter::once(name).chain(step.iter().copied()).collect();
            let count = c_int::try_from(argv.len()).unwrap_or(1);
            argv.push(ptr::null_mut());
            // Kept before `run` could be called; called as glibc would, in a process with one thread.
            unsafe {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                match REAL_MAIN {
                    Some(main) => exit(main(count, argv.leak().as_mut_ptr(), environ)),
                    None => _exit(127),
                }
            }
        }
        pid if pid > 0 => {
            let mut status = 0;
            // Of our own child; interrupted by nothing, for nobody handles a signal here.
            match unsafe { waitpid(pid, &raw mut status, 0) } {
                ended if ended != pid => 127,
                // As a shell tells of it: 128 and the signal's number.
                _ if status & 0x7f != 0 => 128 + (status & 0x7f),
                _ => (status >> 8) & 0xff,
            }
        }
        _ => 127,
    }
}

fn is_object(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && &magic == MAGIC
}
