//! The options of each module's backend: the link's, with what the module's own compilation adds where that is asked for.
//! Knows nothing of how compilations are found, nor of what is done with the options.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use rayon::prelude::*;

use super::Backends;
use super::flags::{Asking, Flags, ModuleTarget, ObjectFlags};
use super::modules::ReadModule;
use crate::cache::{Cache, Destination, Outputs};
use crate::compiled::{Commands, Compiled, Look, Unknown};
use crate::observe::stats;
use crate::staging::Staging;

/// So many are named in the stats.
const NAMED: usize = 3;

/// What each module's backend is told.
#[derive(Debug, Default)]
pub(super) struct OwnFlags {
    /// In the plan's order.
    pub(super) flags: Vec<Arc<Flags>>,
    /// The files that were looked at to find out.
    pub(super) looks: Vec<Look>,
}

type Question<'a> = (&'a Compiled, &'a ModuleTarget);
type Answer = Result<Arc<Flags>, String>;

/// The options of every module of the plan.
pub(super) fn all(link: &Backends<'_>, read: &[ReadModule], counts: &mut stats::Backends) -> OwnFlags {
    let of_link = Arc::new(link.flags.clone());
    let modules = &link.plan.modules;
    let Some(commands) = link.commands else {
        return OwnFlags {
            flags: modules.iter().map(|_| Arc::clone(&of_link)).collect(),
            looks: Vec::new(),
        };
    };
    let found: Vec<(Result<Compiled, Unknown>, Vec<Look>)> = modules
        .par_iter()
        .map(|module| look(link, commands, module.source))
        .collect();
    let questions: Vec<Option<Question<'_>>> = found
        .iter()
        .zip(read)
        .map(|((compiled, _), read)| Some((compiled.as_ref().ok()?, &read.target)))
        .collect();
    let answers = answers(link, &of_link, &questions);
    let mut flags = Vec::new();
    let mut missing = Vec::new();
    for ((question, (compiled, _)), module) in questions.iter().zip(&found).zip(modules) {
        let answer = question.and_then(|question| answers.get(&question));
        let why = match (answer, compiled) {
            (Some(Ok(own)), _) => {
                flags.push(Arc::clone(own));
                continue;
            }
            (Some(Err(why)), _) => why.clone(),
            (None, Err(unknown)) => unknown.to_string(),
            (None, Ok(_)) => "clang was not asked".to_owned(),
        };
        tracing::info!(module = module.shown(), why, "compiled with the link's options alone");
        missing.push(format!("{}: {why}", module.shown()));
        flags.push(Arc::clone(&of_link));
    }
    counts.flags_own = Some(modules.len() - missing.len());
    counts.flags_missing = Some(missing.len());
    missing.truncate(NAMED);
    counts.flags_missing_why = missing;
    let mut looks: Vec<Look> = found.into_iter().flat_map(|(_, looks)| looks).collect();
    looks.dedup();
    OwnFlags { flags, looks }
}

fn look(
    link: &Backends<'_>,
    commands: &Commands,
    source: crate::inputs::BitcodeSource,
) -> (Result<Compiled, Unknown>, Vec<Look>) {
    match link.inputs.object_file(source) {
        Some(object) => commands.of_object(&object),
        None => (Err(Unknown::InArchive), Vec::new()),
    }
}

/// Each question once, however many modules have it.
fn answers<'a>(
    link: &Backends<'_>,
    of_link: &Arc<Flags>,
    questions: &[Option<Question<'a>>],
) -> HashMap<Question<'a>, Answer> {
    let mut different: HashMap<Question<'a>, usize> = HashMap::new();
    for question in questions.iter().flatten() {
        let next = different.len();
        different.entry(*question).or_insert(next);
    }
    let answer = |((compiled, target), number): (Question<'a>, usize)| {
        let asking = Asking {
            clang: link.clang,
            flags: link.flags,
            target,
            compiled,
        };
        let added = remembered(&asking, link.cache, link.staging, number);
        let flags = added.map(|added| match added.is_empty() {
            true => Arc::clone(of_link),
            false => Arc::new(link.flags.with(&added)),
        });
        ((compiled, target), flags)
    };
    different.into_par_iter().map(answer).collect()
}

/// What clang said before to the same question, or says now.
fn remembered(
    asking: &Asking<'_>,
    cache: Option<&Cache>,
    staging: &Staging,
    number: usize,
) -> Result<ObjectFlags, String> {
    let key = cache.and_then(|cache| Some((cache, cache.question(asking.clang, &asking.fingerprint())?)));
    let Some((cache, key)) = key else {
        return asking.ask();
    };
    let said = cache.said(&key);
    if let Some(answer) = said.and_then(|said| serde_json::from_slice(&said).ok()) {
        return answer;
    }
    let answer = asking.ask();
    if let Err(error) = keep(&answer, cache, &key, staging, number) {
        tracing::debug!(error, "an answer of clang's is not kept");
    }
    answer
}

/// An entry of the store has a content and what is to be said of it: here both are the answer.
fn keep(
    answer: &Result<ObjectFlags, String>,
    cache: &Cache,
    key: &crate::cache::Key,
    staging: &Staging,
    number: usize,
) -> Result<(), String> {
    let said = serde_json::to_vec(answer).map_err(|error| error.to_string())?;
    let path = staging.path(&format!("answer-{number}"));
    fs::write(&path, &said).map_err(|error| error.to_string())?;
    let outputs = Outputs {
        object: Destination::Staging(&path),
        sides: &[],
    };
    cache.remember(key, &outputs, &said).map_err(|error| error.to_string())
}
