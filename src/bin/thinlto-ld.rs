//! `thinlto-ld`: stands where `ld.lld` stood.
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

use thinlto_ld::{link, say};

fn main() {
    let argv: Vec<_> = std::env::args_os().collect();
    match link::run(&argv) {
        Ok(ending) => ending.meet(),
        Err(message) => {
            say::aside(format_args!("thinlto-ld: error: {message}\n"));
            std::process::exit(1);
        }
    }
}
