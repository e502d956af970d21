//! The option table and the parser held against the real ld.lld of each LLVM installed: what one calls an unknown
//! argument or a missing value, the other must. Knows nothing of what options mean.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, iter};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use thinlto_ld::cmdline::table::{self, Arity, OptionDef};
use thinlto_ld::cmdline::{CommandLineError, Invocation, Item};

/// A word no lld knows: it is reported as an unknown argument unless the word before it takes it for its value.
const PROBE: &str = "--not-an-option";

/// A value no option name goes on with.
const VALUE: &str = "zqx";

/// lld stops at its twentieth error, so this many probes (two unknown words each at most) go into one run.
const PROBES_PER_RUN: usize = 8;

/// What `--color-diagnostics` puts around the word "error".
const COLORS: &[&str] = &["\x1b[0;31m", "\x1b[0m"];

/// Values for options whose value lld, and we, look at while reading.
const VALUES: &[(&str, &str)] = &[
    ("color-diagnostics", "auto"),
    ("rsp-quoting", "posix"),
    ("format", "elf"),
];

/// What has to stand before and after an option for the command line to be balanced.
const BALANCE: &[(&str, &[&str], &[&str])] = &[
    ("start-lib", &[], &["--end-lib"]),
    ("end-lib", &["--start-lib"], &[]),
    ("start-group", &[], &["--end-group"]),
    ("end-group", &["--start-group"], &[]),
    ("pop-state", &["--push-state"], &[]),
];

/// One ld.lld.
struct Linker {
    program: PathBuf,
    major: u32,
    /// Where it runs: some options write files.
    folder: tempfile::TempDir,
}

/// What was wrong with a command line's words.
#[derive(Debug, PartialEq, Eq)]
struct Complaints {
    unknown: Vec<String>,
    missing: Option<String>,
}

impl Linker {
    /// ld.lld of this LLVM release, if installed.
    fn find(major: u32) -> Option<Self> {
        let program = which::which(format!("ld.lld-{major}")).ok()?;
        Some(Self {
            program,
            major,
            folder: tempfile::tempdir().unwrap(),
        })
    }

    fn output(&self, words: &[String]) -> (String, String) {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .current_dir(self.folder.path())
            .env_remove("LLD_REPRODUCE");
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    }

    /// Its complaints, for words without quotes in them.
    fn complaints(&self, words: &[String]) -> Complaints {
        let (_, stderr) = self.output(words);
        let stderr = COLORS.iter().fold(stderr, |text, color| text.replace(color, ""));
        let mut found = Complaints {
            unknown: Vec::new(),
            missing: None,
        };
        for message in stderr.lines().filter_map(|line| Some(line.split_once(": error: ")?.1)) {
            if let Some(word) = message.strip_prefix("unknown argument '") {
                found.unknown.push(word.split_once('\'').unwrap().0.to_owned());
            } else if let Some(word) = message.strip_suffix(": missing argument") {
                found.missing = Some(word.to_owned());
            }
        }
        found
    }
}

/// Our reader's complaints about a command line without a missing value.
fn unknown(words: &[String]) -> Result<Vec<String>, CommandLineError> {
    let invocation = Invocation::read(words.iter().map(OsString::from).collect())?;
    let unknown = invocation.items.iter().filter_map(|item| match item {
        Item::Option { def, .. } if **def == table::UNKNOWN => Some(item.spelled()),
        _ => None,
    });
    Ok(unknown.collect())
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn value(row: &OptionDef) -> &'static str {
    VALUES
        .iter()
        .find(|(name, _)| *name == row.canonical)
        .map_or(VALUE, |(_, value)| value)
}

/// A row spelled with this many dashes, as the first word of its own.
fn word(row: &OptionDef, dashes: usize) -> String {
    "-".repeat(dashes) + row.name
}

/// Words that show whether lld reads the row, spelled with this many dashes, as the table says.
fn probes(row: &OptionDef, dashes: usize) -> Vec<Vec<String>> {
    let word = word(row, dashes);
    let joined = word.clone() + value(row);
    let mut alone = match row.arity {
        Arity::Joined => vec![joined.clone()],
        Arity::Flag => vec![word.clone()],
        Arity::Separate | Arity::JoinedOrSeparate => vec![word, value(row).to_owned()],
    };
    if row.takes(dashes) {
        let balance = BALANCE.iter().find(|(name, ..)| *name == row.canonical);
        let (before, after) = balance.map_or((&[][..], &[][..]), |(_, before, after)| (before, after));
        alone = strings(before).into_iter().chain(alone).chain(strings(after)).collect();
    }
    // Once followed by its value or none, and once with a value glued on: each shows where the option ends. What this
    // cannot tell is `--omagic`, which takes two dashes, from one that takes either: `-omagic` is `-o magic` then, and
    // nobody complains.
    [alone, vec![joined]]
        .into_iter()
        .map(|words| words.into_iter().chain([PROBE.to_owned()]).collect())
        .collect()
}

/// Every row of this release, in every spelling: known to lld or not as we say, ending where we say.
fn rows_agree(linker: &Linker) {
    let rows = || table::rows().filter(|row| row.versions.has(linker.major));
    let spelled = || rows().flat_map(|row| [(row, 1), (row, 2)]);
    for (row, dashes) in spelled().filter(|(row, dashes)| row.takes(*dashes)) {
        let words = probes(row, dashes).swap_remove(0);
        let read = Invocation::read(words.iter().map(OsString::from).collect()).unwrap();
        let is_row = |item: &Item| matches!(item, Item::Option { def, .. } if *def == row);
        assert!(read.items.iter().any(is_row), "{words:?} is not read as {}", row.name);
    }
    let all: Vec<_> = spelled().flat_map(|(row, dashes)| probes(row, dashes)).collect();
    let wanting: Vec<_> = spelled()
        .filter(|(row, dashes)| row.takes(*dashes))
        .filter(|(row, _)| matches!(row.arity, Arity::Separate | Arity::JoinedOrSeparate))
        .map(|(row, dashes)| word(row, dashes))
        .collect();
    let batches = all.chunks(PROBES_PER_RUN).map(<[_]>::concat);
    let ends = wanting.iter().map(Some).chain(iter::repeat(None));
    assert!(
        wanting.len() <= batches.len(),
        "every option that wants a value ends one batch"
    );
    for (mut words, end) in batches.zip(ends) {
        let expected = Complaints {
            unknown: unknown(&words).unwrap(),
            missing: end.cloned(),
        };
        if let Some(end) = end {
            words.push(end.clone());
            let read = Invocation::read(words.iter().map(OsString::from).collect());
            assert!(
                matches!(read, Err(CommandLineError::MissingArgument(word)) if word == *end),
                "{end}"
            );
        }
        assert_eq!(
            linker.complaints(&words),
            expected,
            "{} {words:?}",
            linker.program.display()
        );
    }
}

/// Rows of other releases are unknown to this one, in at least the spelling the table says they have elsewhere.
fn other_rows_are_unknown(linker: &Linker) {
    for row in table::rows().filter(|row| !row.versions.has(linker.major)) {
        let spelling =
            word(row, if row.takes(2) { 2 } else { 1 }) + if row.arity == Arity::Joined { VALUE } else { "" };
        let (_, stderr) = linker.output(std::slice::from_ref(&spelling));
        let rejected = stderr.contains("unknown argument '") || stderr.contains("unknown plugin option '");
        assert!(rejected, "{} knows {spelling}", linker.program.display());
    }
}

/// The options of `--help` as printed: name, then what stands for the value.
fn help(linker: &Linker) -> Vec<String> {
    /// Names of more columns than this have a line to themselves; so LLVM's `PrintHelpOptionList`.
    const NAME_COLUMNS: usize = 23;
    let (stdout, _) = linker.output(&strings(&["--help"]));
    let names = stdout.lines().filter_map(|line| {
        let entry = line.strip_prefix("  ").filter(|entry| entry.starts_with('-'))?;
        let inline = entry
            .get(NAME_COLUMNS..NAME_COLUMNS + 2)
            .is_some_and(|at| at.starts_with(' ') && at != "  ");
        let name = if inline { entry.get(..NAME_COLUMNS)? } else { entry };
        Some(name.trim_end().to_owned())
    });
    names.collect()
}

/// Everything `--help` lists is in the table with the same arity.
fn help_is_known(linker: &Linker) {
    let entries = help(linker);
    assert!(entries.len() > 250, "only {} options in --help", entries.len());
    let placeholder =
        |text: &str| text.starts_with(['<', '[']) || (!text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase()));
    for entry in entries {
        let row = table::matches(entry.as_bytes()).find(|(row, matched)| {
            let rest = &entry[*matched..];
            match row.arity {
                Arity::Flag => rest.is_empty(),
                Arity::Joined => placeholder(rest),
                Arity::Separate | Arity::JoinedOrSeparate => rest.strip_prefix(' ').is_some_and(placeholder),
            }
        });
        let known = row.is_some_and(|(row, _)| row.versions.has(linker.major));
        assert!(known, "the table does not have {entry} of {}", linker.program.display());
    }
}

/// Whatever else in lld's own program file looks like an option: its option table, hidden rows and those of its other
/// drivers, has stood there with dashes since LLVM 17.
fn nothing_in_the_program_is_missed(linker: &Linker) {
    let program = fs::read(fs::canonicalize(&linker.program).unwrap()).unwrap();
    let rows: HashSet<_> = table::rows().flat_map(|row| [word(row, 1), word(row, 2)]).collect();
    let is_option = |text: &&str| {
        text.len() > 1
            && text.starts_with('-')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_=()".contains(c))
    };
    let texts = program
        .split(|&byte| byte == 0)
        .filter_map(|text| str::from_utf8(text).ok())
        .filter(is_option);
    let (known, unseen): (BTreeSet<_>, BTreeSet<_>) = texts.partition(|text| rows.contains(*text));
    let count = table::rows().filter(|row| row.versions.has(linker.major)).count();
    assert!(
        known.len() >= count,
        "{} of {count} rows are in the program",
        known.len()
    );
    for texts in unseen.into_iter().collect::<Vec<_>>().chunks(PROBES_PER_RUN) {
        // The option comes after its probe, for `-flavor` is special as the first word.
        let probes = texts.iter().flat_map(|text| [PROBE, *text]).chain([PROBE]);
        let words: Vec<_> = probes.map(str::to_owned).collect();
        let expected = Complaints {
            unknown: unknown(&words).unwrap(),
            missing: None,
        };
        assert_eq!(
            linker.complaints(&words),
            expected,
            "{} {words:?}",
            linker.program.display()
        );
    }
}

fn agrees(linker: &Linker) {
    help_is_known(linker);
    rows_agree(linker);
    other_rows_are_unknown(linker);
    if linker.major >= 17 {
        nothing_in_the_program_is_missed(linker);
    }
}

fn agrees_if_installed(major: u32) {
    match Linker::find(major) {
        Some(linker) => agrees(&linker),
        None => eprintln!("ld.lld-{major} is not installed, its options were not looked at"),
    }
}

fn main_linker() -> Linker {
    Linker::find(22).expect("these tests need ld.lld-22")
}

#[test]
fn options_of_lld_23() {
    agrees_if_installed(23);
}

#[test]
fn options_of_lld_22() {
    agrees(&main_linker());
}

#[test]
fn options_of_lld_19() {
    agrees_if_installed(19);
}

#[test]
fn options_of_lld_16() {
    agrees_if_installed(16);
}

/// One word, likely to be an option or nearly one.
fn any_word(major: u32) -> impl Strategy<Value = String> {
    let names: Vec<_> = table::rows()
        .filter(|row| row.versions.has(major))
        .map(|row| row.name)
        .collect();
    let dashes = proptest::sample::select(vec!["", "-", "--", "---"]);
    let tail = proptest::sample::select(vec!["", "", "", "=", "=1", "1", "x"]);
    let name = prop_oneof![4 => proptest::sample::select(names), 1 => Just("-plugin-opt"), 1 => Just("")];
    (dashes, name, tail).prop_map(|(dashes, name, tail)| format!("{dashes}{name}{tail}"))
}

#[test]
fn any_words_are_read_as_lld_22_reads_them() {
    let linker = main_linker();
    let words = proptest::collection::vec(any_word(linker.major), 0..18);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..Default::default()
    });
    let outcome = runner.run(&words, |words| {
        match unknown(&words) {
            Ok(unknown) => prop_assert_eq!(linker.complaints(&words), Complaints { unknown, missing: None }),
            Err(CommandLineError::MissingArgument(word)) => {
                prop_assert_eq!(linker.complaints(&words).missing, Some(word));
            }
            Err(_) => {
                let (_, stderr) = linker.output(&words);
                prop_assert!(stderr.contains("error: "), "only we refuse it: {}", stderr);
            }
        }
        Ok(())
    });
    outcome.unwrap();
}

/// The words a response file stands for, as the inputs lld cannot find show them.
fn words_of_response_file(linker: &Linker, style: &str, text: &str) -> (HashSet<String>, String) {
    let file = linker.folder.path().join("response");
    fs::write(&file, text).unwrap();
    let args = strings(&[&format!("--rsp-quoting={style}"), &format!("@{}", file.display())]);
    let read = Invocation::read(args.iter().map(OsString::from).collect()).unwrap();
    let words = read
        .items
        .iter()
        .skip(1)
        .map(|item| item.words()[0].to_string_lossy().into_owned())
        .collect();
    (words, linker.output(&args).1)
}

#[test]
fn response_files_are_cut_as_lld_22_cuts_them() {
    let linker = main_linker();
    let style = proptest::sample::select(vec!["posix", "windows"]);
    let text = proptest::collection::vec(
        proptest::sample::select(vec!["+", "+", "\\", "'", "\"", " ", "\n"]),
        0..24,
    );
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..Default::default()
    });
    let outcome = runner.run(&(style, text), |(style, text)| {
        let (words, stderr) = words_of_response_file(&linker, style, &text.concat());
        let missing: HashSet<_> = stderr
            .split("cannot open ")
            .skip(1)
            .filter_map(|message| Some(message.split_once(": No such file or directory")?.0.to_owned()))
            .collect();
        prop_assert_eq!(words, missing);
        Ok(())
    });
    outcome.unwrap();
}

/// Our path through `@file` is lld's: the same files are read, or not.
#[test]
fn response_file_errors_are_lld_22s() {
    let linker = main_linker();
    let at = |name: &str| format!("@{}", linker.folder.path().join(name).display());
    fs::write(Path::new(linker.folder.path()).join("self"), at("self")).unwrap();
    for word in ["@", "@.", &at("self"), &at("self/below")] {
        let read = Invocation::read(vec![word.into()]);
        let (_, stderr) = linker.output(&strings(&[word]));
        assert!(
            read.is_err() && !stderr.contains("error: "),
            "{word}: {read:?} {stderr}"
        );
    }
    let (_, stderr) = linker.output(&strings(&["@nowhere"]));
    assert!(stderr.contains("cannot open @nowhere"), "{stderr}");
}
