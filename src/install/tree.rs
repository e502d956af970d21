//! What is installed: every file by its place under the prefix, in one table, and the files of `wrappers/` with the paths and
//! the LLVM they are to name. Knows nothing of how any of it is written.

use std::env::consts::ARCH;
use std::path::PathBuf;

use super::Install;

/// Our own folder under a prefix.
pub(super) const HERE: &str = "lib/thinlto-ld";

/// One file.
#[derive(Debug)]
pub(super) struct Item {
    /// Under the prefix.
    pub place: PathBuf,
    pub what: What,
}

/// What a file is.
#[derive(Debug)]
pub(super) enum What {
    /// A copy of this program.
    Program(PathBuf),
    /// To be run.
    Script(String),
    /// To be read.
    Text(Vec<u8>),
    /// A symbolic link to this.
    Link(String),
}

/// Of `wrappers/`, where each is of use as it stands, with the paths of the default prefix and LLVM 22.
const WRAPPERS: [(&str, &str); 3] = [
    ("thinlto.cmake", include_str!("../../wrappers/thinlto.cmake")),
    ("meson.ini", include_str!("../../wrappers/meson.ini")),
    ("cargo-config.toml", include_str!("../../wrappers/cargo-config.toml")),
];
const KMAKE: &str = include_str!("../../wrappers/kmake");

/// What those say where the installed ones name the prefix, the suffix of LLVM's programs, and this machine.
const PREFIX: &str = "/usr/local/";
const SUFFIX: &str = "-22";
const MACHINE: &str = "x86_64";

fn placed(text: &str, install: &Install, prefix: &str) -> String {
    let suffix = install.llvms.first().map_or("", |llvm| llvm.suffix.as_str());
    text.replace(SUFFIX, suffix)
        .replace(PREFIX, &format!("{}/", prefix.trim_end_matches('/')))
        .replace(MACHINE, ARCH)
}

/// How a kernel's make is told of the LLVM: the suffix, or that it has none.
fn of_kernel(install: &Install) -> &str {
    let suffix = install.llvms.first().map_or("", |llvm| llvm.suffix.as_str());
    if suffix.is_empty() { "1" } else { suffix }
}

/// Everything.
pub(super) fn items(install: &Install, prefix: &str) -> Vec<Item> {
    let item = |place: String, what: What| Item {
        place: place.into(),
        what,
    };
    let here = |name: &str, what: What| item(format!("{HERE}/{name}"), what);
    let mut items = vec![
        here("thinlto-ld", What::Program(install.programs.thinlto_ld.clone())),
        here("thinlto", What::Program(install.programs.thinlto.clone())),
        // The name that clang looks for, behind -B and in --ld-path.
        here("ld.lld", What::Link("thinlto-ld".into())),
        item("bin/thinlto-ld".into(), What::Link(format!("../{HERE}/thinlto-ld"))),
        item("bin/thinlto".into(), What::Link(format!("../{HERE}/thinlto"))),
    ];
    for llvm in install.llvms.iter().filter(|llvm| !llvm.suffix.is_empty()) {
        items.push(here(&format!("ld.lld{}", llvm.suffix), What::Link("thinlto-ld".into())));
        items.push(item(
            format!("bin/thinlto-ld{}", llvm.suffix),
            What::Link(format!("../{HERE}/thinlto-ld")),
        ));
    }
    items.extend(WRAPPERS.map(|(name, text)| here(name, What::Text(placed(text, install, prefix).into_bytes()))));
    items.push(here("kmake", What::Script(KMAKE.replace(SUFFIX, of_kernel(install)))));
    items.extend(
        install
            .documents
            .iter()
            .map(|document| item(document.place.clone(), What::Text(document.text.clone()))),
    );
    items
}
