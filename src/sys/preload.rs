//! The library that turns a clang into a fork server: preloaded, it stops the program at its `main`, with everything
//! relocated and constructed, and forks a child for each backend. Knows nothing of LLVM but the names of its libraries.
//!
//! Built by `build.rs` as a library of its own and carried inside the thinlto-ld binary. What it does is by nature
//! unchecked: it stands in for glibc's `__libc_start_main`, and maps the program's code anew. Each call says why it may.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

type Main = extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;
type Hook = Option<extern "C" fn()>;
type Start = extern "C" fn(Main, c_int, *mut *mut c_char, Hook, Hook, Hook, *mut c_void) -> c_int;

/// The socket to thinlto-ld: the server's standard input.
const SOCKET: RawFd = 0;
/// Names the program that is to be a server. Any other runs as ever: where clang is a script, that is its shell.
const ASKED: &CStr = c"THINLTO_LD_FORKSERVER";

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

/// glibc's `sigset_t`: 1024 bits.
#[repr(C)]
struct SignalSet([u64; 16]);

const POLLIN: i16 = 1;
const SIGCHLD: c_int = 17;
const SIGKILL: c_long = 9;
const SIG_BLOCK: c_int = 0;
const SIG_UNBLOCK: c_int = 1;
const SFD_CLOEXEC: c_int = 0o2_000_000;
const WNOHANG: c_int = 1;
const PR_SET_PDEATHSIG: c_int = 1;
const O_WRITE_NEW: c_int = 0o1 | 0o100 | 0o1000;
const PROT_READ: c_int = 1;
const PROT_WRITE: c_int = 2;
const PROT_EXEC: c_int = 4;
const MAP_PRIVATE_ANONYMOUS: c_int = 0x22;
const MADV_HUGEPAGE: c_int = 14;
const MREMAP_MAYMOVE_FIXED: c_int = 3;

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn getenv(name: *const c_char) -> *const c_char;
    fn unsetenv(name: *const c_char) -> c_int;
    fn fork() -> c_int;
    fn exit(status: c_int) -> !;
    fn _exit(status: c_int) -> !;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn poll(fds: *mut PollFd, count: u64, timeout: c_int) -> c_int;
    fn sigemptyset(set: *mut SignalSet) -> c_int;
    fn sigaddset(set: *mut SignalSet, signal: c_int) -> c_int;
    fn sigprocmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    fn signalfd(fd: c_int, set: *const SignalSet, flags: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn mmap(at: *mut c_void, size: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    fn munmap(at: *mut c_void, size: usize) -> c_int;
    fn mprotect(at: *mut c_void, size: usize, prot: c_int) -> c_int;
    fn madvise(at: *mut c_void, size: usize, advice: c_int) -> c_int;
    fn mremap(at: *mut c_void, old: usize, new: usize, flags: c_int, ...) -> *mut c_void;
}

static mut REAL_MAIN: Option<Main> = None;

/// glibc's entry to `main`, interposed: the program's own `main` is kept and ours is started in its place.
///
/// # Safety
/// Called once, by the program's `_start`, before there is any other thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __libc_start_main(
    main: Main,
    argc: c_int,
    argv: *mut *mut c_char,
    init: Hook,
    fini: Hook,
    rtld_fini: Hook,
    stack_end: *mut c_void,
) -> c_int {
    // RTLD_NEXT is -1; the symbol is glibc's own, of the type above since its first release.
    let next = unsafe { dlsym(ptr::without_provenance_mut(usize::MAX), c"__libc_start_main".as_ptr()) };
    if next.is_null() {
        unsafe { _exit(127) };
    }
    let start: Start = unsafe { std::mem::transmute(next) };
    unsafe { REAL_MAIN = Some(main) };
    let entry = if is_asked() { serve } else { main };
    start(entry, argc, argv, init, fini, rtld_fini, stack_end)
}

fn is_asked() -> bool {
    let asked = unsafe { getenv(ASKED.as_ptr()) };
    // The environment is not changed while this is read.
    !asked.is_null()
        && std::fs::read_link("/proc/self/exe")
            .is_ok_and(|own| own.as_os_str().as_bytes() == unsafe { CStr::from_ptr(asked) }.to_bytes())
}

/// A backend to run, as thinlto-ld asks for it.
struct Request {
    number: u32,
    stderr: CString,
    argv: Vec<CString>,
}

extern "C" fn serve(_argc: c_int, argv: *mut *mut c_char, _envp: *mut *mut c_char) -> c_int {
    // The children are not servers, and what they might start must not load us.
    unsafe {
        unsetenv(ASKED.as_ptr());
        unsetenv(c"LD_PRELOAD".as_ptr());
    }
    code_to_huge_pages();
    // The program's own name, as it was started; it lives as long as the process.
    let name = unsafe { CStr::from_ptr(*argv) }.to_owned();
    let mut socket = ManuallyDrop::new(unsafe { File::from_raw_fd(SOCKET) });
    match attend(&mut socket, &name) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

/// Answers requests until thinlto-ld hangs up.
fn attend(socket: &mut File, name: &CStr) -> io::Result<()> {
    let mut set = SignalSet([0; 16]);
    // Blocked, so that the end of a child is read from a descriptor beside the socket instead of interrupting us.
    let ended = unsafe {
        sigemptyset(&raw mut set);
        sigaddset(&raw mut set, SIGCHLD);
        sigprocmask(SIG_BLOCK, &raw const set, ptr::null_mut());
        signalfd(-1, &raw const set, SFD_CLOEXEC)
    };
    if ended < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut running: Vec<(c_int, u32)> = Vec::new();
    socket.write_all(b"ready\n")?;
    loop {
        let mut fds =
            [PollFd { fd: SOCKET, events: POLLIN, revents: 0 }, PollFd { fd: ended, events: POLLIN, revents: 0 }];
        if unsafe { poll(fds.as_mut_ptr(), 2, -1) } < 0 {
            continue;
        }
        if fds[1].revents != 0 {
            let mut record = [0; 128];
            // One record may stand for several children: all that have ended are asked for below.
            ManuallyDrop::new(unsafe { File::from_raw_fd(ended) }).read_exact(&mut record)?;
            report(socket, &mut running)?;
        }
        if fds[0].revents != 0 {
            let Some(request) = read_request(socket)? else { return Ok(()) };
            match unsafe { fork() } {
                0 => child(&request, name, &set, ended),
                pid if pid > 0 => running.push((pid, request.number)),
                _ => answer(socket, request.number, 127 << 8)?,
            }
        }
    }
}

fn report(socket: &mut File, running: &mut Vec<(c_int, u32)>) -> io::Result<()> {
    loop {
        let mut status = 0;
        let pid = unsafe { waitpid(-1, &raw mut status, WNOHANG) };
        if pid <= 0 {
            return Ok(());
        }
        if let Some(at) = running.iter().position(|(child, _)| *child == pid) {
            let (_, number) = running.swap_remove(at);
            answer(socket, number, status)?;
        }
    }
}

fn answer(socket: &mut File, number: u32, status: c_int) -> io::Result<()> {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[4..].copy_from_slice(&status.to_le_bytes());
    socket.write_all(&bytes)
}

/// `LENGTH NUMBER` as little-endian words, then the file for stderr and the arguments, each ended by a zero byte.
fn read_request(socket: &mut File) -> io::Result<Option<Request>> {
    let mut head = [0; 8];
    match socket.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let [a, b, c, d, e, f, g, h] = head;
    let mut body = vec![0; u32::from_le_bytes([a, b, c, d]) as usize];
    socket.read_exact(&mut body)?;
    let mut words = body.split_inclusive(|byte| *byte == 0).map(CStr::from_bytes_with_nul);
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let stderr = words.next().ok_or_else(malformed)?.map_err(|_| malformed())?.to_owned();
    let argv = words.map(|word| word.map(CStr::to_owned)).collect::<Result<_, _>>().map_err(|_| malformed())?;
    Ok(Some(Request { number: u32::from_le_bytes([e, f, g, h]), stderr, argv }))
}

/// The child: a fresh clang but for its start, with the request's arguments and stderr.
fn child(request: &Request, name: &CStr, set: &SignalSet, ended: c_int) -> ! {
    unsafe {
        // A server that is killed takes its children with it.
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_UNBLOCK, set, ptr::null_mut());
        close(ended);
        let nothing = open(c"/dev/null".as_ptr(), 0);
        let stderr = open(request.stderr.as_ptr(), O_WRITE_NEW, 0o600 as c_int);
        if nothing < 0 || stderr < 0 {
            _exit(126);
        }
        dup2(nothing, SOCKET);
        dup2(stderr, 2);
        close(nothing);
        close(stderr);
    }
    let mut argv: Vec<*mut c_char> = std::iter::once(name.as_ptr())
        .chain(request.argv.iter().map(|word| word.as_ptr()))
        .map(<*const c_char>::cast_mut)
        .collect();
    argv.push(ptr::null_mut());
    let count = c_int::try_from(argv.len() - 1).unwrap_or(1);
    // Set before `serve` could run; `main` is called as glibc would have, in a process with one thread.
    match unsafe { REAL_MAIN } {
        Some(main) => unsafe { exit(main(count, argv.as_mut_ptr(), environ)) },
        None => unsafe { _exit(127) },
    }
}

const HUGE: usize = 2 << 20;

/// A read-only range of one of LLVM's libraries.
struct Range {
    from: usize,
    to: usize,
    protection: c_int,
}

/// Copies LLVM's code and constants into anonymous huge pages. `fork` copies no page tables of file mappings, so each
/// child would fault all it touches in again; those of anonymous memory it does copy, and huge pages need few.
fn code_to_huge_pages() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for range in maps.lines().filter_map(read_only_range) {
        copy(&range);
    }
}

fn read_only_range(line: &str) -> Option<Range> {
    let mut words = line.split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let path = words.nth(3)?;
    let is_llvm = ["libLLVM", "libclang-cpp"].iter().any(|name| path.contains(name));
    if !is_llvm || !permissions.starts_with("r-") {
        return None;
    }
    let up = usize::from_str_radix(from, 16).ok()?.checked_next_multiple_of(HUGE)?;
    let down = usize::from_str_radix(to, 16).ok()? / HUGE * HUGE;
    let executable = if permissions.contains('x') { PROT_EXEC } else { 0 };
    (down > up).then_some(Range { from: up, to: down, protection: PROT_READ | executable })
}

fn copy(range: &Range) {
    let size = range.to - range.from;
    // The old mapping stays until the copy, complete and with its own protection, takes its place in one call: no code
    // is missing at any moment. Where anything fails the old mapping is simply kept.
    unsafe {
        let raw = mmap(ptr::null_mut(), size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
        if raw.addr() == usize::MAX {
            return;
        }
        let skipped = raw.addr().next_multiple_of(HUGE) - raw.addr();
        let aligned = raw.cast::<u8>().add(skipped).cast::<c_void>();
        if skipped > 0 {
            munmap(raw, skipped);
        }
        munmap(aligned.cast::<u8>().add(size).cast(), HUGE - skipped);
        madvise(aligned, size, MADV_HUGEPAGE);
        let original = ptr::with_exposed_provenance::<u8>(range.from);
        ptr::copy_nonoverlapping(original, aligned.cast::<u8>(), size);
        if mprotect(aligned, size, range.protection) != 0 {
            munmap(aligned, size);
            return;
        }
        let place = ptr::with_exposed_provenance_mut::<c_void>(range.from);
        mremap(aligned, size, size, MREMAP_MAYMOVE_FIXED, place);
    }
}
