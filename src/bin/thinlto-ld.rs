//! `thinlto-ld`: stands where `ld.lld` stood.

use thinlto_ld::link;

fn main() {
    let argv: Vec<_> = std::env::args_os().collect();
    match link::run(argv) {
        Ok(ending) => ending.meet(),
        Err(message) => {
            eprintln!("thinlto-ld: error: {message}");
            std::process::exit(1);
        }
    }
}
