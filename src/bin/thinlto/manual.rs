//! Manual pages and completions, made of the command line and of the table of settings: none of it is written by hand.
//! Knows nothing of where a prefix is.

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use thinlto_ld::install::Document;
use thinlto_ld::settings::{self, TABLE};

use crate::arguments::Arguments;

const SOURCE: &str = concat!("thinlto-ld ", env!("CARGO_PKG_VERSION"));
const MANUAL: &str = "thinlto-ld";

/// Where each shell looks for completions, under a prefix.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions/thinlto"),
    (Shell::Zsh, "share/zsh/site-functions/_thinlto"),
    (Shell::Fish, "share/fish/vendor_completions.d/thinlto.fish"),
];

/// All of them.
pub fn documents() -> Vec<Document> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    let completions = COMPLETIONS.map(|(shell, place)| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, "thinlto", &mut text);
        Document {
            place: place.into(),
            text,
        }
    });
    command.build();
    let mut documents = completions.to_vec();
    documents.push(page("thinlto-ld", of_linker().to_roff().into_bytes()));
    documents.push(of_command(&command));
    documents.extend(command.get_subcommands().map(of_command));
    documents
}

fn page(name: &str, text: Vec<u8>) -> Document {
    Document {
        place: format!("share/man/man1/{name}.1"),
        text,
    }
}

fn of_command(command: &Command) -> Document {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .source(SOURCE)
        .manual(MANUAL);
    let mut text = Vec::new();
    // Nothing that is written to memory fails.
    let _ = man.render(&mut text);
    page(&name, text)
}

/// `thinlto-ld(1)`: it has lld's command line, which is not told again, and settings of its own, which are.
fn of_linker() -> Roff {
    let mut page = Roff::new();
    page.control("TH", ["THINLTO-LD", "1", "", SOURCE, MANUAL]);
    page.control("SH", ["NAME"]);
    page.text([roman("thinlto-ld - ld.lld with distributed ThinLTO")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([
        bold("thinlto-ld"),
        roman("[-N] [--thinlto-ld-"),
        italic("SETTING"),
        roman("="),
        italic("VALUE"),
        roman("] … "),
        italic("the options and files of ld.lld"),
    ]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "Stands where ld.lld stands and makes the same link. Where there is ThinLTO bitcode the modules are compiled by backends of \
         their own, in parallel, and what was compiled once is kept; every other link, and what it cannot do as well as lld, it \
         leaves to lld.",
    )]);
    page.control("PP", []);
    page.text([
        roman("Its name tells which LLVM stands behind it: "),
        bold("thinlto-ld-22"),
        roman(" means ld.lld-22 and clang-22. Called "),
        bold("ld.lld"),
        roman(" by clang, it takes the ld.lld that this clang would have taken."),
    ]);
    page.control("SH", ["OPTIONS"]);
    page.text([roman("All of ld.lld's, the settings below, and")]);
    page.control("TP", []);
    page.text([bold("--thinlto-ld-version")]);
    page.text([roman(
        "Say which thinlto-ld this is, and link nothing. (--version is ld.lld's.)",
    )]);
    page.control("SH", ["SETTINGS"]);
    page.text([
        roman("In the environment, or on the link line as --thinlto-ld-"),
        italic("NAME"),
        roman("="),
        italic("VALUE"),
        roman(" (-Wl,… through a compiler), which wins and never reaches the linker."),
    ]);
    for setting in TABLE {
        page.control("TP", []);
        page.text([bold(settings::variable(setting.name))]);
        page.text([roman(setting.help)]);
    }
    page.control("SH", ["SEE ALSO"]);
    let also = ["thinlto(1)", "ld.lld(1)", "clang(1)"];
    page.text([roman(also.join(", "))]);
    page
}
