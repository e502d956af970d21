//! The README against the program: its table of settings is the program's own, row by row.
//! Knows nothing of what the settings do.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use thinlto_ld::settings::{TABLE, variable};

const README: &str = include_str!("../README.md");

/// The first cells of the table's rows, under the heading `## Settings`.
fn rows() -> Vec<(String, String)> {
    let section = README
        .split("\n## ")
        .find(|section| section.starts_with("Settings"))
        .expect("README.md has no section Settings");
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| {
            let (name, rest) = line.split_once("` | ").expect("a row without a second cell");
            (name.to_owned(), rest.trim_end_matches(" |").to_owned())
        })
        .collect()
}

#[test]
fn every_setting_and_no_other_in_the_programs_order_and_words() {
    let expected: Vec<_> = TABLE
        .iter()
        .map(|setting| (variable(setting.name), setting.help.to_owned()))
        .collect();
    assert_eq!(rows(), expected);
}

#[test]
fn files_that_are_named_are_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let links = README.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let named: Vec<_> = links
        .map(|(path, _)| path)
        .filter(|path| !path.contains("://"))
        .collect();
    assert!(!named.is_empty());
    let missing: Vec<_> = named.iter().filter(|path| !root.join(path).exists()).collect();
    assert!(missing.is_empty(), "README.md links to {missing:?}");
}
