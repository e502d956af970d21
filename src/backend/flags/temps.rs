//! What `--save-temps` asks for: which stages of a module, and whether its object before the link.
//! Knows nothing of where the files belong; LLVM's names for the stages are all it has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Recipe;

/// A stage of a backend whose bitcode is saved.
#[derive(Debug, PartialEq, Eq)]
struct Stage {
    /// Its name on the command line (lld/ELF/Driver.cpp `saveTempsValues`).
    asked: &'static str,
    /// What comes behind the module's name (llvm/lib/LTO/LTOBackend.cpp `Config::addSaveTemps`).
    suffix: &'static str,
}

const STAGES: [Stage; 6] = [
    stage("preopt", "0.preopt"),
    stage("promote", "1.promote"),
    stage("internalize", "2.internalize"),
    stage("import", "3.import"),
    stage("opt", OPTIMISED),
    stage("precodegen", BEFORE_CODE),
];

const fn stage(asked: &'static str, suffix: &'static str) -> Stage {
    Stage { asked, suffix }
}

const OPTIMISED: &str = "4.opt";
const BEFORE_CODE: &str = "5.precodegen";

/// Written by the thin link.
const OF_THE_LINK: [&str; 2] = ["resolution", "combinedindex"];
const PRELINK: &str = "prelink";

/// What is to be saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Temps(BTreeSet<&'static str>);

/// Bitcode of one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedStage {
    /// Where the backend writes it.
    pub written: PathBuf,
    /// What the user's file ends with, behind the module's name and a dot.
    pub suffix: String,
}

impl Temps {
    /// `--save-temps`, or `--save-temps=VALUE`.
    pub(super) fn add(&mut self, value: &str) -> Result<(), &'static str> {
        let known = STAGES
            .iter()
            .map(|stage| stage.asked)
            .chain(OF_THE_LINK)
            .chain([PRELINK]);
        let mut asked = known.filter(|name| value.is_empty() || *name == value).peekable();
        if asked.peek().is_none() {
            return Err("not a value lld knows");
        }
        self.0.extend(asked);
        Ok(())
    }

    /// Whether anything is.
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether objects are, as the final link finds them.
    pub fn prelink(&self) -> bool {
        self.0.contains(PRELINK)
    }

    fn stages(&self) -> impl Iterator<Item = &'static Stage> {
        STAGES.iter().filter(|stage| self.0.contains(stage.asked))
    }

    /// The word that makes clang's optimiser save every stage beside its output.
    pub(super) fn words(&self) -> impl Iterator<Item = &'static str> {
        self.stages().next().map(|_| "-save-temps=obj").into_iter()
    }

    /// What a backend saves whose optimiser's output is `output`. Where code is generated in a second step the bitcode
    /// before that is what the first has made.
    pub(super) fn of(&self, recipe: Recipe, output: &Path) -> Vec<SavedStage> {
        let saved = |stage: &Stage| {
            let from = match (recipe, stage.suffix) {
                (Recipe::Two, BEFORE_CODE) => OPTIMISED,
                (_, suffix) => suffix,
            };
            let mut written = output.as_os_str().to_owned();
            written.push(format!(".{from}.bc"));
            SavedStage {
                written: written.into(),
                suffix: format!("{}.bc", stage.suffix),
            }
        };
        self.stages().map(saved).collect()
    }
}
