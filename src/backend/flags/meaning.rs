//! What each LTO option of a link comes to in its backends, told for people: the words it adds, or why it adds none.
//! Knows nothing of any option by name; it asks the translation what changes without it.

use std::ffi::OsString;
use std::path::Path;

use super::settings::{self, Effect, Several};
use super::{Flags, JobFiles, LlvmVersion, ModuleTarget, Trace};
use crate::cmdline::{LtoSetting, OutputKind};

/// What becomes of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// These words in every backend.
    Words(Vec<String>),
    /// Nothing: it is the thin link's, or says how the link is run.
    Nothing,
    /// A later option of its group counts instead.
    Overridden,
    /// It leaves the link to lld, and why.
    InProcess(&'static str),
}

/// What each of `lto` comes to, in their order.
pub fn of(lto: &[LtoSetting], kind: OutputKind, llvm: LlvmVersion) -> Vec<(LtoSetting, Meaning)> {
    let meaning = |at: usize, setting: &LtoSetting| match settings::find(setting.name) {
        None => Meaning::InProcess("no translation is known"),
        Some(row) => {
            let group = match row.several {
                Several::LastOf(group) => Some(group),
                Several::Each => None,
            };
            let is_overridden = group.is_some() && lto[at + 1..].iter().any(|later| is_of(later, group));
            match row.effect {
                _ if is_overridden => Meaning::Overridden,
                Effect::None => Meaning::Nothing,
                Effect::InProcess(why) => Meaning::InProcess(why),
                Effect::Apply(_) => added(at, lto, kind, llvm),
            }
        }
    };
    lto.iter()
        .enumerate()
        .map(|(at, setting)| (setting.clone(), meaning(at, setting)))
        .collect()
}

fn is_of(setting: &LtoSetting, group: Option<&str>) -> bool {
    settings::find(setting.name).is_some_and(|row| matches!(row.several, Several::LastOf(one) if Some(one) == group))
}

/// The words that are not there without the option: among all others where those can be translated, else of it alone.
fn added(at: usize, lto: &[LtoSetting], kind: OutputKind, llvm: LlvmVersion) -> Meaning {
    let flags = |lto: &[LtoSetting]| Flags::derive(lto, kind, llvm, Trace::AsLinked);
    let without = [&lto[..at], &lto[at + 1..]].concat();
    let pairs = [(flags(lto), flags(&without)), (flags(&lto[at..=at]), flags(&[]))];
    for (with, without) in pairs {
        match (with, without) {
            (Ok(with), Ok(without)) => return words_or_nothing(difference(&with, &without)),
            (Err(error), Ok(_)) => return Meaning::InProcess(error.why),
            _ => {}
        }
    }
    Meaning::Nothing
}

/// What the steps of backends have more; said once where several have it.
fn difference(with: &Flags, without: &Flags) -> Vec<String> {
    let (steps, others) = (shown(with), shown(without));
    if steps.len() != others.len() {
        let levels = format!("-O{} to optimise, -O{} to generate code", with.opt, with.codegen);
        return vec![format!("{} steps, {levels}", steps.len())];
    }
    let mut added: Vec<Vec<String>> = steps
        .into_iter()
        .zip(others)
        .map(|(with, without)| more(with, without))
        .collect();
    added.dedup();
    added.concat()
}

fn words_or_nothing(words: Vec<String>) -> Meaning {
    match words.is_empty() {
        true => Meaning::Nothing,
        false => Meaning::Words(words),
    }
}

fn more(with: Vec<String>, mut without: Vec<String>) -> Vec<String> {
    let is_more = |word: &String| match without.iter().position(|other| other == word) {
        Some(at) => {
            without.swap_remove(at);
            false
        }
        None => true,
    };
    with.into_iter().filter(is_more).collect()
}

/// The steps of a backend whose files have names for people.
pub fn shown(flags: &Flags) -> Vec<Vec<String>> {
    let module = ModuleTarget {
        triple: "TRIPLE".to_owned(),
        pic_level: 0,
    };
    let job = JobFiles {
        module: Path::new("MODULE"),
        index: Path::new("INDEX"),
        object: Path::new("OBJECT"),
        intermediate: Path::new("OPTIMIZED"),
        task: flags.first_task(),
    };
    let text = |word: OsString| word.to_string_lossy().into_owned();
    let steps = flags.steps(&module, &job).into_iter();
    steps.map(|step| step.into_iter().map(text).collect()).collect()
}
