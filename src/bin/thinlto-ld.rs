//! `thinlto-ld`: stands where `ld.lld` stood.

use thinlto_ld::link::{self, Ending};

fn main() {
    let argv: Vec<_> = std::env::args_os().collect();
    match link::run(argv) {
        Ok(Ending::Exit(status)) => std::process::exit(status),
        Ok(Ending::Signal(signal)) => {
            // Ends the process as the signal would have, so that make and the shell see what happened.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
            std::process::exit(128 + signal);
        }
        Err(message) => {
            eprintln!("thinlto-ld: error: {message}");
            std::process::exit(1);
        }
    }
}
