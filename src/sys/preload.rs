//! The library that turns a clang into a fork server: preloaded, it stops the program at its `main`, with everything
//! relocated and constructed, and forks workers that call that `main` once for each backend. Knows nothing of LLVM but
//! the names of its libraries and of what must outlive a `main` that is to be called again.
//!
//! On another machine the same library watches over one backend instead ([`guard`]).
//!
//! Built by `build.rs` as a library of its own and carried inside the thinlto-ld binary. What it does is by nature
//! unchecked: it stands in for glibc's `__libc_start_main`, and maps the program's code anew. Each call says why it may.
//!
//! Two sockets: on standard input one byte asks for a worker, and the server says of each that ends which backend it was
//! at and how it ended; on standard output requests come, a datagram each, and whichever worker is idle takes and
//! answers the next one. So nothing stands between the end of a backend and the start of the next.

mod guard;

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

type Main = extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;
type Hook = Option<extern "C" fn()>;
type Start = extern "C" fn(Main, c_int, *mut *mut c_char, Hook, Hook, Hook, *mut c_void) -> c_int;

/// The socket on which workers are asked for, and their ends told: the server's standard input.
const CONTROL: RawFd = 0;
/// The socket on which backends are asked for and answered: the server's standard output, until it has moved it.
const REQUESTS: RawFd = 1;
/// Where [`REQUESTS`] is moved to, out of the way of what clang may print.
const REQUESTS_MOVED: RawFd = 64;
/// Names the program that is to be a server. Any other runs as ever: where clang is a script, that is its shell.
const ASKED: &CStr = c"THINLTO_LD_FORKSERVER";
/// Set where the server has so much to do that moving its code to huge pages pays.
const LONG: &CStr = c"THINLTO_LD_FORKSERVER_LONG";
/// No backend: what is told of a worker that ends idle.
const NONE: u32 = u32::MAX;
/// The most workers at once.
const WORKERS: usize = 1024;
/// The longest request: the kernel's own limit on a datagram.
const LONGEST: usize = 256 << 10;

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
const O_READ_WRITE: c_int = 2;
const O_CLOEXEC: c_int = 0o2_000_000;
const PROT_READ: c_int = 1;
const PROT_WRITE: c_int = 2;
const PROT_EXEC: c_int = 4;
const MAP_PRIVATE_ANONYMOUS: c_int = 0x22;
const MAP_SHARED_ANONYMOUS: c_int = 0x21;
const F_DUPFD_CLOEXEC: c_int = 1030;
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
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn fflush(stream: *mut c_void) -> c_int;
    fn poll(fds: *mut PollFd, count: u64, timeout: c_int) -> c_int;
    fn sigemptyset(set: *mut SignalSet) -> c_int;
    fn sigaddset(set: *mut SignalSet, signal: c_int) -> c_int;
    fn sigprocmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    fn signalfd(fd: c_int, set: *const SignalSet, flags: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn mmap(at: *mut c_void, size: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    fn munmap(at: *mut c_void, size: usize) -> c_int;
    fn mprotect(at: *mut c_void, size: usize, prot: c_int) -> c_int;
    fn madvise(at: *mut c_void, size: usize, advice: c_int) -> c_int;
    fn mremap(at: *mut c_void, old: usize, new: usize, flags: c_int, ...) -> *mut c_void;
}

const RTLD_DEFAULT: *mut c_void = ptr::null_mut();
const RTLD_NEXT: *mut c_void = ptr::without_provenance_mut(usize::MAX);

static mut REAL_MAIN: Option<Main> = None;
/// Whether this process calls `main` again and again.
static WORKING: AtomicBool = AtomicBool::new(false);
/// Whether the `main` that has returned has left LLVM's globals alone.
static KEPT: AtomicBool = AtomicBool::new(false);

/// Whether LLVM has been initialised by an earlier `main` of this process.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// `llvm::InitLLVM::InitLLVM`, interposed: it installs what prints a crash, for which LLVM has room only a few times.
/// On Linux it does nothing else (llvm/lib/Support/InitLLVM.cpp).
///
/// # Safety
/// Called by the program's `main` to make an `InitLLVM`, which only its destructor below reads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _ZN4llvm8InitLLVMC2ERiRPPKcb(this: *mut c_void, argc: *mut c_int, argv: *mut c_void, pipe: bool) {
    if WORKING.load(Ordering::Relaxed) && BEGUN.swap(true, Ordering::Relaxed) {
        return;
    }
    let next = unsafe { dlsym(RTLD_NEXT, c"_ZN4llvm8InitLLVMC2ERiRPPKcb".as_ptr()) };
    if next.is_null() {
        unsafe { _exit(127) };
    }
    // The constructor this one stands before, called as the program would have.
    let real: extern "C" fn(*mut c_void, *mut c_int, *mut c_void, bool) = unsafe { std::mem::transmute(next) };
    real(this, argc, argv, pipe);
}

/// `llvm::InitLLVM::~InitLLVM`, interposed: it ends with `llvm_shutdown`, which destroys the registry of options that
/// the next call of `main` needs. A clang that holds LLVM in itself does not call this one, and its workers end with
/// their first backend.
///
/// # Safety
/// Called by the program's `main` on its own `InitLLVM`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _ZN4llvm8InitLLVMD1Ev(this: *mut c_void) {
    if WORKING.load(Ordering::Relaxed) {
        // Unless both ends of its life are ours, what the next `main` meets is not known.
        KEPT.store(BEGUN.load(Ordering::Relaxed), Ordering::Relaxed);
        return;
    }
    let next = unsafe { dlsym(RTLD_NEXT, c"_ZN4llvm8InitLLVMD1Ev".as_ptr()) };
    if !next.is_null() {
        // The destructor this one stands before, called as the program would have.
        let real: extern "C" fn(*mut c_void) = unsafe { std::mem::transmute(next) };
        real(this);
    }
}

/// LLVM's list of what it is at, which it prints when it crashes; an `InitLLVM` that is not destroyed stays in it.
#[derive(Clone, Copy)]
struct StackOfTraces {
    save: extern "C" fn() -> *const c_void,
    restore: extern "C" fn(*const c_void),
}

impl StackOfTraces {
    /// Of the LLVM that is loaded, where it has one (llvm/lib/Support/PrettyStackTrace.cpp).
    fn find() -> Option<StackOfTraces> {
        let save = unsafe { dlsym(RTLD_DEFAULT, c"_ZN4llvm20SavePrettyStackStateEv".as_ptr()) };
        let restore = unsafe { dlsym(RTLD_DEFAULT, c"_ZN4llvm23RestorePrettyStackStateEPKv".as_ptr()) };
        if save.is_null() || restore.is_null() {
            return None;
        }
        // Both functions' types are in their mangled names.
        Some(unsafe {
            StackOfTraces {
                save: std::mem::transmute::<*mut c_void, extern "C" fn() -> *const c_void>(save),
                restore: std::mem::transmute::<*mut c_void, extern "C" fn(*const c_void)>(restore),
            }
        })
    }
}

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
    // The symbol is glibc's own, of the type above since its first release.
    let next = unsafe { dlsym(RTLD_NEXT, c"__libc_start_main".as_ptr()) };
    if next.is_null() {
        unsafe { _exit(127) };
    }
    let start: Start = unsafe { std::mem::transmute(next) };
    unsafe { REAL_MAIN = Some(main) };
    let entry = match unsafe { guard::is_asked(argc, argv) } {
        true => guard::run,
        false if is_asked() => serve,
        false => main,
    };
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
    let is_long = unsafe { !getenv(LONG.as_ptr()).is_null() };
    // The workers are not servers, and what they might start must not load us.
    unsafe {
        unsetenv(ASKED.as_ptr());
        unsetenv(LONG.as_ptr());
        unsetenv(c"LD_PRELOAD".as_ptr());
    }
    if is_long {
        code_to_huge_pages();
    }
    // The program's own name, as it was started; it lives as long as the process.
    let name = unsafe { CStr::from_ptr(*argv) };
    let mut control = ManuallyDrop::new(unsafe { File::from_raw_fd(CONTROL) });
    match Server::new(name).and_then(|mut server| server.attend(&mut control)) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

/// What each worker is at: shared with all of them, so that the server can say it of one that has ended.
#[derive(Clone, Copy)]
struct Board(*const AtomicU32);

impl Board {
    fn new() -> io::Result<Board> {
        let size = WORKERS * size_of::<AtomicU32>();
        // Fresh and page-aligned; never unmapped.
        let at = unsafe { mmap(ptr::null_mut(), size, PROT_READ | PROT_WRITE, MAP_SHARED_ANONYMOUS, -1, 0) };
        if at.addr() == usize::MAX {
            return Err(io::Error::last_os_error());
        }
        Ok(Board(at.cast_const().cast()))
    }

    /// `desk` is less than [`WORKERS`].
    fn desk(self, desk: usize) -> &'static AtomicU32 {
        unsafe { &*self.0.add(desk) }
    }
}

struct Server {
    name: &'static CStr,
    board: Board,
    traces: Option<StackOfTraces>,
    set: SignalSet,
    ended: c_int,
    requests: c_int,
    nothing: c_int,
    /// The process at each desk.
    workers: Vec<Option<c_int>>,
}

impl Server {
    fn new(name: &'static CStr) -> io::Result<Server> {
        let mut set = SignalSet([0; 16]);
        // Blocked, so that the end of a worker is read from a descriptor beside the socket instead of interrupting us.
        let (ended, requests, nothing) = unsafe {
            sigemptyset(&raw mut set);
            sigaddset(&raw mut set, SIGCHLD);
            sigprocmask(SIG_BLOCK, &raw const set, ptr::null_mut());
            let requests = fcntl(REQUESTS, F_DUPFD_CLOEXEC, REQUESTS_MOVED);
            let nothing = open(c"/dev/null".as_ptr(), O_READ_WRITE | O_CLOEXEC);
            dup2(nothing, REQUESTS);
            (signalfd(-1, &raw const set, SFD_CLOEXEC), requests, nothing)
        };
        if ended < 0 || requests < 0 || nothing < 0 {
            return Err(io::Error::last_os_error());
        }
        let (board, traces) = (Board::new()?, StackOfTraces::find());
        Ok(Server { name, board, traces, set, ended, requests, nothing, workers: Vec::new() })
    }

    /// Starts workers until thinlto-ld hangs up.
    fn attend(&mut self, control: &mut File) -> io::Result<()> {
        control.write_all(b"ready\n")?;
        loop {
            let mut fds = [
                PollFd { fd: CONTROL, events: POLLIN, revents: 0 },
                PollFd { fd: self.ended, events: POLLIN, revents: 0 },
            ];
            if unsafe { poll(fds.as_mut_ptr(), 2, -1) } < 0 {
                continue;
            }
            if fds[1].revents != 0 {
                let mut record = [0; 128];
                // One record may stand for several workers: all that have ended are asked for below.
                ManuallyDrop::new(unsafe { File::from_raw_fd(self.ended) }).read_exact(&mut record)?;
                self.report(control)?;
            }
            if fds[0].revents != 0 {
                let mut asked = [0];
                if control.read(&mut asked)? == 0 {
                    self.dismiss();
                    return Ok(());
                }
                self.start(control)?;
            }
        }
    }

    fn start(&mut self, control: &mut File) -> io::Result<()> {
        let desk = self.workers.iter().position(Option::is_none).unwrap_or(self.workers.len());
        if desk >= WORKERS {
            return control.write_all(&answer(NONE, 127 << 8));
        }
        self.workers.resize(self.workers.len().max(desk + 1), None);
        self.board.desk(desk).store(NONE, Ordering::Relaxed);
        match unsafe { fork() } {
            0 => self.work(desk),
            pid if pid > 0 => self.workers[desk] = Some(pid),
            _ => control.write_all(&answer(NONE, 127 << 8))?,
        }
        Ok(())
    }

    /// Ends the workers and waits for them, so that what they used counts as used by thinlto-ld.
    fn dismiss(&self) {
        for pid in self.workers.iter().flatten() {
            // Our own children, not yet waited for.
            unsafe { kill(*pid, SIGKILL as c_int) };
        }
        for pid in self.workers.iter().flatten() {
            unsafe { waitpid(*pid, ptr::null_mut(), 0) };
        }
    }

    fn report(&mut self, control: &mut File) -> io::Result<()> {
        loop {
            let mut status = 0;
            let pid = unsafe { waitpid(-1, &raw mut status, WNOHANG) };
            if pid <= 0 {
                return Ok(());
            }
            if let Some(desk) = self.workers.iter().position(|worker| *worker == Some(pid)) {
                self.workers[desk] = None;
                control.write_all(&answer(self.board.desk(desk).load(Ordering::Acquire), status))?;
            }
        }
    }

    /// The worker: takes requests until the server is gone, and ends with one that fails or leaves LLVM unfit for more.
    fn work(&self, desk: usize) -> ! {
        unsafe {
            // A server that is killed takes its workers with it.
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            sigprocmask(SIG_UNBLOCK, &raw const self.set, ptr::null_mut());
            close(self.ended);
            dup2(self.nothing, CONTROL);
        }
        WORKING.store(true, Ordering::Relaxed);
        let mut requests = ManuallyDrop::new(unsafe { File::from_raw_fd(self.requests) });
        let mut buffer = vec![0; LONGEST];
        let at = self.board.desk(desk);
        loop {
            let Ok(length @ 1..) = requests.read(&mut buffer) else { unsafe { _exit(0) } };
            let Some(request) = Request::read(&buffer[..length]) else { unsafe { _exit(126) } };
            at.store(request.number, Ordering::Release);
            let status = self.run(&request);
            if status != 0 || !KEPT.swap(false, Ordering::Relaxed) || self.traces.is_none() {
                unsafe { exit(status) };
            }
            // Answered before the desk is cleared: who is killed in between is told of twice, and not never.
            if requests.write_all(&answer(request.number, 0)).is_err() {
                unsafe { _exit(0) };
            }
            at.store(NONE, Ordering::Release);
        }
    }

    /// `main` with the request's arguments and stderr: its status.
    fn run(&self, request: &Request) -> c_int {
        unsafe {
            let stderr = open(request.stderr.as_ptr(), O_WRITE_NEW, 0o600 as c_int);
            if stderr < 0 {
                _exit(126);
            }
            dup2(stderr, 2);
            close(stderr);
        }
        // They are never freed: LLVM keeps pointers to some.
        let words = request.argv.iter().map(|word| word.clone().into_raw());
        let mut argv: Vec<*mut c_char> = std::iter::once(self.name.as_ptr().cast_mut()).chain(words).collect();
        let count = c_int::try_from(argv.len()).unwrap_or(1);
        argv.push(ptr::null_mut());
        let traces = self.traces.map(|traces| (traces, (traces.save)()));
        // Set before `serve` could run; `main` is called as glibc would have, in a process with one thread.
        let status = match unsafe { REAL_MAIN } {
            Some(main) => main(count, argv.leak().as_mut_ptr(), unsafe { environ }),
            None => unsafe { _exit(127) },
        };
        if let Some((traces, saved)) = traces {
            (traces.restore)(saved);
        }
        unsafe { fflush(ptr::null_mut()) };
        status
    }
}

/// `NUMBER STATUS` as little-endian words; the status as `waitpid` has it.
fn answer(number: u32, status: c_int) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[4..].copy_from_slice(&status.to_le_bytes());
    bytes
}

impl Request {
    /// `NUMBER` as a little-endian word, then the file for stderr and the arguments, each ended by a zero byte.
    fn read(bytes: &[u8]) -> Option<Request> {
        let (number, body) = bytes.split_first_chunk::<4>()?;
        let mut words = body.split_inclusive(|byte| *byte == 0).map(CStr::from_bytes_with_nul);
        let stderr = words.next()?.ok()?.to_owned();
        let argv = words.map(|word| Some(word.ok()?.to_owned())).collect::<Option<_>>()?;
        Some(Request { number: u32::from_le_bytes(*number), stderr, argv })
    }
}

const HUGE: usize = 2 << 20;

/// A range of LLVM's code.
struct Range {
    from: usize,
    to: usize,
}

/// Copies LLVM's code into anonymous huge pages: backends spend their time all over it, and the processor finds its way
/// through few large pages faster. Not clang's, which bitcode hardly passes through, nor constants: they only cost memory.
fn code_to_huge_pages() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for range in maps.lines().filter_map(code_range) {
        copy(&range);
    }
}

fn code_range(line: &str) -> Option<Range> {
    let mut words = line.split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let path = words.nth(3)?;
    if !path.contains("libLLVM") || !permissions.starts_with("r-x") {
        return None;
    }
    let up = usize::from_str_radix(from, 16).ok()?.checked_next_multiple_of(HUGE)?;
    let down = usize::from_str_radix(to, 16).ok()? / HUGE * HUGE;
    (down > up).then_some(Range { from: up, to: down })
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
        if mprotect(aligned, size, PROT_READ | PROT_EXEC) != 0 {
            munmap(aligned, size);
            return;
        }
        let place = ptr::with_exposed_provenance_mut::<c_void>(range.from);
        mremap(aligned, size, size, MREMAP_MAYMOVE_FIXED, place);
    }
}
