//! Two contenders over one link, in pairs: one after the other, the order swapped each time.
//! Knows nothing of who they are nor of what is linked.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::contenders::{Case, Contender};
use crate::edit::Reach;
use crate::error::{At, Error, Result};
use crate::measure::{self, Cost, Failure, Outcome};
use crate::program::Program;
use crate::results::{Figures, Work};
use crate::tools::Tools;

/// How a duel is fought.
#[derive(Debug)]
pub struct Rules<'a> {
    /// The LLVM measured.
    pub tools: &'a Tools,
    /// Most pairs.
    pub pairs: u32,
    /// No pair begins when it has been spent, but for the least number of them.
    pub budget: Duration,
    /// How long a link may take.
    pub limit: Duration,
    /// Whether memory is measured too, in runs of its own.
    pub memory: bool,
}

/// Where all duels over one program are fought: each contender has its folder, and its cache from one duel to the next.
pub struct Ring<'a> {
    rules: &'a Rules<'a>,
    program: &'a Program,
    folder: PathBuf,
    edits: u32,
    /// The link was made before, so that what it reads is in the page cache.
    is_read: bool,
    /// Peaks of those who do the same each time.
    peaks: HashMap<Contender, u64>,
    /// Who cannot make this link, in their words. They are not asked twice.
    failed: HashMap<Contender, String>,
}

/// Why a duel ends early.
enum Stop {
    Failed(String),
    Broken(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Broken(error)
    }
}

type Fought<T> = std::result::Result<T, Stop>;

impl<'a> Ring<'a> {
    /// In `folder`, which is emptied.
    pub fn new(rules: &'a Rules<'a>, program: &'a Program, folder: &Path) -> Ring<'a> {
        let _ = fs::remove_dir_all(folder);
        Ring {
            rules,
            program,
            folder: folder.to_owned(),
            edits: 0,
            is_read: false,
            peaks: HashMap::new(),
            failed: HashMap::new(),
        }
    }

    /// `who` against `against`. A link that fails is a result, too.
    ///
    /// # Errors
    /// The folder cannot be written, or the edited module not be compiled.
    pub fn fight(
        &mut self,
        case: Case,
        who: Contender,
        against: Contender,
    ) -> Result<std::result::Result<Figures, String>> {
        for who in [who, against] {
            if let Some(words) = self.failed.get(&who) {
                return Ok(Err(words.clone()));
            }
            for name in ["tmp", "home"] {
                let folder = self.place(who).join(name);
                fs::create_dir_all(&folder).at(&folder)?;
            }
        }
        match self.measure(case, who, against) {
            Ok(figures) => Ok(Ok(figures)),
            Err(Stop::Failed(words)) => Ok(Err(words)),
            Err(Stop::Broken(error)) => Err(error),
        }
    }

    fn measure(&mut self, case: Case, who: Contender, against: Contender) -> Fought<Figures> {
        self.edit(case)?;
        // Caches are filled, inputs come into the page cache.
        for who in [who, against] {
            if (case.is_warm() && who.has_cache()) || !self.is_read {
                self.time(case, who)?;
            }
        }
        self.edit(case)?;
        let mut figures = Figures::default();
        let (least, share) = who.least_pairs();
        if self.rules.memory && case.is_lto() && share == 1 {
            figures.memory = Some((self.memory(case, who)?, self.memory(case, against)?));
        }
        let began = Instant::now();
        for pair in 0..self.rules.pairs.saturating_mul(case.repeats()) {
            if pair >= least && began.elapsed() > self.rules.budget / share {
                break;
            }
            self.edit(case)?;
            let costs = if pair % 2 == 0 {
                let ours = self.time(case, who)?;
                (ours, self.time(case, against)?)
            } else {
                let theirs = self.time(case, against)?;
                (self.time(case, who)?, theirs)
            };
            figures.costs.push(costs);
            if who.is_ours() {
                self.account(who, &mut figures)?;
            }
        }
        Ok(figures)
    }

    /// Makes the edit that `case` is of. The object of an edit must be there even where none is asked for.
    fn edit(&mut self, case: Case) -> Result<()> {
        let reach = match (case.reach(), self.edits) {
            (None, 0) => Reach::Constant,
            (None, _) => return Ok(()),
            (Some(reach), _) => reach,
        };
        let Some(edit) = &self.program.edit else { return Ok(()) };
        self.edits += 1;
        edit.apply(reach, self.edits)
    }

    fn time(&mut self, case: Case, who: Contender) -> Fought<Cost> {
        let said = self.place(who).join("said");
        let cost = measure::timed(self.command(case, who), &said, self.rules.limit)?;
        self.named(who, cost)
    }

    fn memory(&mut self, case: Case, who: Contender) -> Fought<u64> {
        let is_fixed = case == Case::Cold || !who.has_cache();
        if let (true, Some(peak)) = (is_fixed, self.peaks.get(&who)) {
            return Ok(*peak);
        }
        let said = self.place(who).join("said");
        let peak = measure::watched(self.command(case, who), &said, self.rules.limit)?;
        let peak = self.named(who, peak)?;
        if is_fixed {
            self.peaks.insert(who, peak);
        }
        Ok(peak)
    }

    fn named<T>(&mut self, who: Contender, outcome: Outcome<T>) -> Fought<T> {
        self.is_read = true;
        outcome.map_err(|failure| {
            let (Failure::Refused(words) | Failure::Stuck(words)) = &failure;
            let words = words.replace(&self.folder.display().to_string(), "…");
            let words = format!("{}: {words}", who.name());
            if let Failure::Refused(_) = failure {
                self.failed.insert(who, words.clone());
            }
            Stop::Failed(words)
        })
    }

    fn command(&self, case: Case, who: Contender) -> Command {
        who.command(self.program, case, &self.place(who), self.rules.tools)
    }

    fn place(&self, who: Contender) -> PathBuf {
        self.folder.join(format!("{who:?}"))
    }

    /// Takes in what thinlto-ld wrote about its last link, which must have been made as it is said to be.
    fn account(&self, who: Contender, figures: &mut Figures) -> Fought<()> {
        let file = self.place(who).join("stats");
        let text = fs::read_to_string(&file).at(&file)?;
        let stats: Value = serde_json::from_str(text.lines().last().unwrap_or_default())
            .map_err(|error| Error::Unfit(format!("{}: {error}", file.display())))?;
        let backends = &stats["backends"];
        for what in [&backends["engine_fallback"], &stats["cache_off"]] {
            if let Some(reason) = what.as_str() {
                return Err(Stop::Failed(format!("{}: {reason}", who.name())));
            }
        }
        figures.own_cpu.extend(stats["cpu_ms"].as_f64());
        let count = || {
            let run = backends["run"].as_u64();
            run.zip(stats["modules"].as_u64())
                .map(|(run, of)| Work::Backends { run, of })
        };
        figures.work = match stats["output_state"].as_str() {
            Some("restored") => Some(Work::Restored),
            Some(_) => count(),
            // The link is lld's own, and its output nothing that a distributor knows of.
            None if stats["mode"] == "distributor" => count(),
            None => None,
        };
        Ok(())
    }
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        // Ten thousand objects in two caches are worth the room.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
