//! Two contenders over one link, in pairs: one after the other, the order swapped each time, ratios taken within a pair.
//! Knows nothing of who they are nor of what is linked.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::contenders::{Case, Contender};
use crate::error::{At, Error, Result};
use crate::measure::{self, Cost, Outcome};
use crate::program::Program;
use crate::report::{Figures, Row, Spread, median};
use crate::tools::Tools;

/// Where and how it is fought.
#[derive(Debug)]
pub struct Arena<'a> {
    /// The LLVM measured.
    pub tools: &'a Tools,
    /// Caches and outputs go below.
    pub work: &'a Path,
    /// How many pairs.
    pub pairs: u32,
    /// Whether memory is measured too, in runs of its own.
    pub memory: bool,
}

/// One contender at its place.
struct Side<'a> {
    arena: &'a Arena<'a>,
    program: &'a Program,
    case: Case,
    who: Contender,
    folder: PathBuf,
}

impl Arena<'_> {
    /// `who` against `against`. A link that fails is a result, too.
    ///
    /// # Errors
    /// The work folder cannot be written, or the edited module not be compiled.
    pub fn fight(&self, program: &Program, case: Case, who: Contender, against: Contender) -> Result<Row> {
        let ring = self.work.join("duel");
        let _ = fs::remove_dir_all(&ring);
        let sides = [(who, "a"), (against, "b")].map(|(who, name)| Side {
            arena: self,
            program,
            case,
            who,
            folder: ring.join(name),
        });
        for side in &sides {
            for name in ["tmp", "home"] {
                let folder = side.folder.join(name);
                fs::create_dir_all(&folder).at(&folder)?;
            }
        }
        let figures = self.measure(program, case, &sides);
        // Ten thousand objects in two caches are worth the room.
        fs::remove_dir_all(&ring).at(&ring)?;
        Ok(Row {
            case,
            who,
            against,
            modules: program.modules,
            figures: match figures {
                Ok(figures) => Ok(figures),
                Err(Stop::Failed(words)) => Err(words.replace(&ring.display().to_string(), "…")),
                Err(Stop::Broken(error)) => return Err(error),
            },
        })
    }

    fn measure(
        &self,
        program: &Program,
        case: Case,
        [ours, theirs]: &[Side<'_>; 2],
    ) -> std::result::Result<Figures, Stop> {
        let mut edits = 0;
        let mut edit = || match (case.reach(), &program.edit) {
            (Some(reach), Some(edit)) => {
                edits += 1;
                edit.apply(reach, edits)
            }
            (Some(_), None) => Err(Error::Unfit(format!("{}: nothing to edit", program.name))),
            (None, Some(first)) if edits == 0 => {
                // The object of an edit that was made must be there even where none is asked for.
                edits = 1;
                first.apply(crate::edit::Reach::Constant, 1)
            }
            (None, _) => Ok(()),
        };
        edit()?;
        // Both once for nothing: inputs come into the page cache, caches are filled, whoever can't do it says so.
        let warm_up = case.is_warm() || !self.memory || !case.is_lto();
        if warm_up {
            ours.time()?;
            theirs.time()?;
        }
        edit()?;
        let memory = match self.memory && case.is_lto() {
            true => Some((ours.memory()?, theirs.memory()?)),
            false => None,
        };
        let mut figures = Pairs::default();
        for pair in 0..self.pairs.saturating_mul(case.repeats()) {
            edit()?;
            let (a, b) = match pair % 2 {
                0 => {
                    let a = ours.time()?;
                    (a, theirs.time()?)
                }
                _ => {
                    let b = theirs.time()?;
                    (ours.time()?, b)
                }
            };
            figures.add(a, b, ours.stats());
        }
        Ok(figures.sum_up(memory))
    }
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

impl Side<'_> {
    fn time(&self) -> std::result::Result<Cost, Stop> {
        self.named(measure::timed(self.command(), &self.folder.join("said"))?)
    }

    fn memory(&self) -> std::result::Result<u64, Stop> {
        self.named(measure::watched(self.command(), &self.folder.join("said"))?)
    }

    fn command(&self) -> std::process::Command {
        self.who
            .command(self.program, self.case, &self.folder, self.arena.tools)
    }

    fn named<T>(&self, outcome: Outcome<T>) -> std::result::Result<T, Stop> {
        outcome.map_err(|words| Stop::Failed(format!("{}: {words}", self.who.name())))
    }

    /// What thinlto-ld wrote about its last link.
    fn stats(&self) -> Option<Value> {
        let text = fs::read_to_string(self.folder.join("stats")).ok()?;
        serde_json::from_str(text.lines().last()?).ok()
    }
}

/// What was measured, pair by pair.
#[derive(Default)]
struct Pairs {
    costs: Vec<(Cost, Cost)>,
    own_cpu: Vec<f64>,
    compiled: Option<(u64, u64)>,
}

impl Pairs {
    fn add(&mut self, ours: Cost, theirs: Cost, stats: Option<Value>) {
        self.costs.push((ours, theirs));
        let Some(stats) = stats else { return };
        self.own_cpu.extend(stats["cpu_ms"].as_f64());
        self.compiled = stats["backends"]["run"].as_u64().zip(stats["modules"].as_u64());
    }

    fn sum_up(&self, memory: Option<(u64, u64)>) -> Figures {
        let each = |f: &dyn Fn(&(Cost, Cost)) -> f64| self.costs.iter().map(f).collect::<Vec<f64>>();
        Figures {
            wall: (median(&each(&|(a, _)| a.wall)), median(&each(&|(_, b)| b.wall))),
            difference: median(&each(&|(a, b)| a.wall - b.wall)),
            wall_ratio: Spread::of(&each(&|(a, b)| a.wall / b.wall)),
            cpu: (median(&each(&|(a, _)| a.cpu)), median(&each(&|(_, b)| b.cpu))),
            cpu_ratio: Spread::of(&each(&|(a, b)| a.cpu / b.cpu)),
            memory,
            own_cpu: (!self.own_cpu.is_empty()).then(|| median(&self.own_cpu)),
            compiled: self.compiled,
        }
    }
}
