//! `thinlto install` and `thinlto uninstall` as a person says them: what is there then, for whom, and what is left at the end.
//! Knows nothing of what build systems do with it; `wrappers.rs` does.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use common::Bench;

const THINLTO: &str = env!("CARGO_BIN_EXE_thinlto");

fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut below = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            below.extend(all_below(&entry.path()));
        }
        below.push(entry.path());
    }
    below
}

#[test]
fn from_nothing_to_a_distributed_link_and_back_to_nothing() {
    let mut bench = Bench::new();
    let home = bench.path("home");
    fs::create_dir(&home).unwrap();
    bench.env("HOME", home.to_str().unwrap());
    let said = bench
        .run(THINLTO, &["install", "--user", "--llvm", "22,19"])
        .ok()
        .stdout;
    assert!(
        said.contains("thinlto-ld-22, thinlto-ld-19") && said.contains("PATH    has no "),
        "{said}"
    );
    // The installed program needs nothing of where it was built.
    let thinlto = home.join(".local/bin/thinlto");
    let said = bench.run(&thinlto, &["check", "thinlto-ld-19"]).ok().stdout;
    assert!(said.contains("LLVM    19."), "{said}");
    bench.compile("main.c", "int main(void) { return 0; }\n", &["-O2", "-flto=thin"]);
    let linker = home.join(".local/lib/thinlto-ld/ld.lld");
    let linked = bench
        .drive("clang", linker.to_str().unwrap(), &["main.o", "-o", "prog"])
        .ok();
    assert_eq!(linked.mode(), "distributed", "{}", linked.reason());
    let said = bench.run(&thinlto, &["uninstall"]).ok().stdout;
    assert!(said.ends_with(" files removed\n"), "{said}");
    let left = all_below(&home);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn names_are_those_of_the_llvms_on_path() {
    let mut bench = Bench::new();
    let tools = bench.path("only");
    fs::create_dir(&tools).unwrap();
    for name in [
        "ld.lld-19",
        "clang-19",
        "ld.lld-22",
        "ld.lld-7",
        "clang-7",
        "clang",
        "ld.lld",
    ] {
        symlink(which::which("ld.lld-22").unwrap(), tools.join(name)).unwrap();
    }
    bench.env("PATH", tools.to_str().unwrap());
    let names = |bench: &Bench, prefix: &str, more: &[&str]| {
        let prefix = bench.path(prefix);
        let words = [&["install", "--prefix", prefix.to_str().unwrap()], more].concat();
        let outcome = bench.run(THINLTO, &words);
        let mut names: Vec<String> = fs::read_dir(prefix.join("bin"))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        (outcome, names)
    };
    // Not 22, whose clang is missing, nor 7, which is too old.
    assert_eq!(names(&bench, "a", &[]).1, ["thinlto", "thinlto-ld", "thinlto-ld-19"]);
    let (outcome, made) = names(&bench, "b", &["--llvm", "22"]);
    assert_eq!((outcome.status, made.len()), (1, 0));
    assert!(outcome.stderr.contains("no clang-22 on PATH"), "{}", outcome.stderr);
    fs::remove_file(tools.join("clang-19")).unwrap();
    assert_eq!(names(&bench, "c", &[]).1, ["thinlto", "thinlto-ld"]);
    let file = bench.text("c/lib/thinlto-ld/meson.ini");
    assert!(file.contains("c = 'clang'"), "{file}");
    fs::remove_file(tools.join("clang")).unwrap();
    let (outcome, _) = names(&bench, "d", &[]);
    assert!(outcome.ok().stdout.contains("no clang and ld.lld found on PATH"));
}

#[test]
fn a_name_that_somebody_else_has_is_theirs() {
    let bench = Bench::new();
    bench.write("opt/bin/thinlto-ld", "mine");
    let prefix = bench.path("opt");
    let words = ["install", "--prefix", prefix.to_str().unwrap(), "--llvm", "22"];
    let outcome = bench.run(THINLTO, &words);
    assert_eq!((outcome.status, all_below(&prefix).len()), (1, 2));
    assert!(
        outcome
            .stderr
            .contains("opt/bin/thinlto-ld: there already, and not by `thinlto install`"),
        "{}",
        outcome.stderr
    );
    let outcome = bench.run(THINLTO, &["uninstall", "--prefix", prefix.to_str().unwrap()]);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.stderr.contains("nothing is installed under this prefix"),
        "{}",
        outcome.stderr
    );
}

/// Pages that `man` shows without a complaint and that name every setting; completions that their shell reads.
#[test]
fn manuals_and_completions() {
    let bench = Bench::new();
    let prefix = bench.path("opt");
    bench
        .run(
            THINLTO,
            &["install", "--prefix", prefix.to_str().unwrap(), "--llvm", "22"],
        )
        .ok();
    let pages = bench.path("opt/share/man/man1");
    let count = fs::read_dir(&pages).unwrap().count();
    let help = bench.run(THINLTO, &["--help"]).ok().stdout;
    let tasks = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // Not of `help`; one of thinlto itself, one of thinlto-ld.
    assert_eq!(count, tasks.lines().count() - 1 + 2, "{tasks}");
    for page in fs::read_dir(&pages).unwrap() {
        let page = page.unwrap().path();
        let outcome = bench
            .run(
                "groff",
                &[
                    "-man",
                    "-Kutf8",
                    "-Tutf8",
                    "-P-c",
                    "-P-b",
                    "-P-u",
                    "-ww",
                    page.to_str().unwrap(),
                ],
            )
            .ok();
        assert!(
            outcome.stderr.is_empty() && outcome.stdout.contains("NAME"),
            "{page:?}: {}",
            outcome.stderr
        );
    }
    let linker = bench.text("opt/share/man/man1/thinlto-ld.1").replace('\\', "");
    for setting in thinlto_ld::settings::TABLE {
        assert!(
            linker.contains(&thinlto_ld::settings::variable(setting.name)),
            "{}",
            setting.name
        );
    }
    let completions = "opt/share/bash-completion/completions/thinlto";
    bench.run("bash", &["-n", completions]).ok();
    let asked = format!(
        ". {completions}; COMP_WORDS=(thinlto unin); COMP_CWORD=1; _thinlto thinlto unin thinlto; echo ${{COMPREPLY[@]}}"
    );
    assert_eq!(bench.run("bash", &["-c", &asked]).ok().stdout, "uninstall\n");
    for (shell, place) in [
        ("zsh", "site-functions/_thinlto"),
        ("fish", "vendor_completions.d/thinlto.fish"),
    ] {
        let place = Path::new("opt/share")
            .join(if shell == "zsh" { "zsh" } else { "fish" })
            .join(place);
        assert!(bench.text(place.to_str().unwrap()).contains("uninstall"), "{shell}");
    }
}

/// Under a name that only we have: who asks is told so, and which linkers are there.
#[test]
fn check_knows_its_own_wrapper_and_offers_what_is_there() {
    let mut bench = Bench::new();
    let first = bench.path("first");
    fs::create_dir(&first).unwrap();
    symlink(which::which("ld.lld-22").unwrap(), first.join("ld.lld-22")).unwrap();
    symlink(which::which("clang-22").unwrap(), first.join("clang-22")).unwrap();
    bench.env("PATH", first.to_str().unwrap());
    let offered = ">>> ld.lld-22 is there: thinlto-ld-22 stands before it\n";
    for name in ["thinlto-ld", "ld.lld"] {
        let outcome = bench.run(THINLTO, &["check", name]);
        assert_eq!(outcome.status, 1);
        assert!(
            outcome
                .stderr
                .starts_with("thinlto: error: cannot find the real ld.lld: ")
                && outcome.stderr.ends_with(offered),
            "{}",
            outcome.stderr
        );
    }
    // The program itself, and a copy of it.
    let program = Path::new(env!("CARGO_BIN_EXE_thinlto-ld"));
    for make in [
        |from: &Path, to: &Path| symlink(from, to),
        |from: &Path, to: &Path| fs::copy(from, to).map(drop),
    ] {
        let wrapper = first.join("ld.lld");
        make(program, &wrapper).unwrap();
        let outcome = bench.run(THINLTO, &["check", "ld.lld"]);
        assert_eq!(outcome.status, 1);
        let told = format!(">>> {} is thinlto-ld itself\n{offered}", wrapper.display());
        assert!(outcome.stderr.ends_with(&told), "{}", outcome.stderr);
        // So is who links.
        let outcome = bench.run(&wrapper, &["-r", "none.o"]);
        assert!(outcome.stderr.contains(&told[..told.len() - 1]), "{}", outcome.stderr);
        fs::remove_file(wrapper).unwrap();
    }
}
