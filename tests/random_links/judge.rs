//! What a link through thinlto-ld must have in common with lld's, and where it may be another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::image::Image;
use super::program::{Kind, Program};
use super::run::{Made, Side};

/// In what two links differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    Status,
    Errors,
    Warnings,
    Printed,
    UserLink,
    Missing(Table),
    Extra(Table),
    Attributes(Table),
    Needed,
    Soname,
    Versions,
    Sections,
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    Symtab,
    Dynsym,
    Locals,
}

impl Aspect {
    /// Whether it is about what links and programs do, not what files look like.
    pub fn is_behaviour(self) -> bool {
        matches!(self, Aspect::Status | Aspect::Printed | Aspect::UserLink)
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = |table: &Table| match table {
            Table::Symtab => ".symtab",
            Table::Dynsym => ".dynsym",
            Table::Locals => ".symtab, local",
        };
        match self {
            Aspect::Status => write!(f, "exit status"),
            Aspect::Errors => write!(f, "errors"),
            Aspect::Warnings => write!(f, "warnings"),
            Aspect::Printed => write!(f, "what the program does"),
            Aspect::UserLink => write!(f, "link of the program that uses it"),
            Aspect::Missing(of) => write!(f, "symbols missing ({})", table(of)),
            Aspect::Extra(of) => write!(f, "symbols too many ({})", table(of)),
            Aspect::Attributes(of) => write!(f, "symbols' attributes ({})", table(of)),
            Aspect::Needed => write!(f, "DT_NEEDED"),
            Aspect::Soname => write!(f, "DT_SONAME"),
            Aspect::Versions => write!(f, "version definitions"),
            Aspect::Sections => write!(f, "section sizes"),
            Aspect::Bytes => write!(f, "bytes of a -r link in in-process order"),
        }
    }
}

/// Why two links may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exception {
    /// In-process lld puts what LTO makes behind all native objects, and regular LTO's before ThinLTO's; here each stands in
    /// its own place. So do constructors and the entries of linker sets.
    Order,
    /// `--warn-backrefs` warns in-process of every runtime routine out of an archive, since LTO's objects come last.
    RoutineBackrefs,
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exception::Order => write!(f, "order of constructors and set entries among kinds of modules"),
            Exception::RoutineBackrefs => write!(f, "backward references to runtime routines"),
        }
    }
}

#[derive(Debug)]
pub struct Difference {
    pub aspect: Aspect,
    pub said: String,
}

impl Difference {
    /// What it has in common with others: which names and files they are about does not count.
    pub fn alike(&self) -> String {
        let said = match self.aspect {
            Aspect::Printed | Aspect::UserLink | Aspect::Status | Aspect::Errors | Aspect::Warnings => "",
            _ => &self.said,
        };
        format!("{}: {}", self.aspect, said.replace(|c: char| c.is_ascii_digit(), ""))
    }
}

#[derive(Debug)]
pub enum Verdict {
    Same(BTreeSet<Exception>),
    /// With these errors.
    BothFail(BTreeSet<String>),
    /// thinlto-ld would have left it to lld, for this reason.
    InProcess(String),
    Different(Vec<Difference>),
}

/// Compares the links of `program`.
pub fn judge(program: &Program, made: &Made) -> Verdict {
    let (lld, ours) = (&made.lld, &made.ours);
    // Where the thin link is refused, the reason is lld's error, and is compared as such.
    if ours.status != 0 && ours.mode == "in-process" && ours.stderr.contains("would go in-process") {
        let refused = if lld.status == 0 { "" } else { " (and lld refuses it)" };
        return Verdict::InProcess(format!("{}{refused}", ours.reason));
    }
    let mut judge = Judge {
        program,
        differences: Vec::new(),
        exceptions: BTreeSet::new(),
    };
    judge.sides(lld, ours);
    if made.in_process_order == Some(false) {
        judge.differ(Aspect::Bytes, String::new());
    }
    match (judge.differences.is_empty(), lld.status) {
        (false, _) => Verdict::Different(judge.differences),
        (true, 0) => Verdict::Same(judge.exceptions),
        _ => Verdict::BothFail(lld.errors.clone()),
    }
}

struct Judge<'a> {
    program: &'a Program,
    differences: Vec<Difference>,
    exceptions: BTreeSet<Exception>,
}

impl Judge<'_> {
    fn differ(&mut self, aspect: Aspect, said: String) {
        self.differences.push(Difference { aspect, said });
    }

    fn same<T: PartialEq + fmt::Debug>(&mut self, aspect: Aspect, lld: &T, ours: &T) {
        if lld != ours {
            self.differ(aspect, format!("lld {lld:?}, ours {ours:?}"));
        }
    }

    fn sides(&mut self, lld: &Side, ours: &Side) {
        if (lld.status == 0) != (ours.status == 0) {
            self.differ(
                Aspect::Status,
                format!(
                    "lld {}: {}ours {}: {}",
                    lld.status, lld.stderr, ours.status, ours.stderr
                ),
            );
            return;
        }
        self.same(Aspect::Errors, &lld.errors, &ours.errors);
        let is_routine = |warning: &&String| warning.starts_with("backward reference detected: __");
        let others: BTreeSet<String> = lld
            .warnings
            .iter()
            .filter(|warning| !is_routine(warning))
            .cloned()
            .collect();
        if lld.warnings != ours.warnings && others == ours.warnings {
            self.exceptions.insert(Exception::RoutineBackrefs);
        } else {
            self.same(Aspect::Warnings, &lld.warnings, &ours.warnings);
        }
        self.same(Aspect::UserLink, &lld.user, &ours.user);
        if let (Some(lld), Some(ours)) = (&lld.image, &ours.image) {
            self.images(lld, ours);
        }
        if let (Some(lld), Some(ours)) = (&lld.run, &ours.run) {
            self.printed(lld, ours);
        }
    }

    /// What programs print: the same, but for the order of constructors and sets among kinds of modules.
    fn printed(&mut self, lld: &(i32, String), ours: &(i32, String)) {
        if lld == ours {
            return;
        }
        let (in_process, distributed) = (self.by_kind(&lld.1), self.by_kind(&ours.1));
        if lld.0 == ours.0 && in_process.len() > 1 && in_process == distributed {
            self.exceptions.insert(Exception::Order);
        } else {
            self.same(Aspect::Printed, lld, ours);
        }
    }

    /// Lines in their order: those of constructors and sets by the place where LTO puts their modules, and the others.
    fn by_kind(&self, text: &str) -> BTreeMap<&'static str, Vec<String>> {
        let mut all: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            all.entry(self.place(line)).or_default().push(line.to_owned());
        }
        all
    }

    fn place(&self, line: &str) -> &'static str {
        let mut words = line.split(' ');
        let module = match words.next() {
            Some("structor") => words.next().and_then(|tag| tag.split('_').next()?.parse().ok()),
            // Entries are their module's number, times a hundred and something.
            Some("set0" | "set1") => words
                .nth(1)
                .and_then(|value| value.parse().ok())
                .map(|value: usize| value / 100),
            // A COMDAT's: of whichever kind comes first.
            Some("constructor") => return "template",
            _ => None,
        };
        let Some(module) = module else { return "plain" };
        let module = self.program.modules.iter().find(|of| of.number == module);
        let may_be_split = module.is_some_and(|module| module.cpp && self.program.split_unit);
        match module.map(|module| module.kind) {
            // A unit with virtual tables that cannot be split is one of regular LTO.
            Some(Kind::Thin | Kind::Fat) if may_be_split => "split unit",
            Some(Kind::Thin | Kind::Fat) => "ThinLTO",
            Some(Kind::Regular) => "regular LTO",
            _ => "native",
        }
    }

    fn images(&mut self, lld: &Image, ours: &Image) {
        self.table(Table::Symtab, &lld.symtab, &ours.symtab);
        self.table(Table::Dynsym, &lld.dynsym, &ours.dynsym);
        self.table(Table::Locals, &lld.locals, &ours.locals);
        self.same(Aspect::Needed, &lld.needed, &ours.needed);
        self.same(Aspect::Soname, &lld.soname, &ours.soname);
        self.same(Aspect::Versions, &lld.versions, &ours.versions);
        let names: BTreeSet<&String> = lld.sections.keys().chain(ours.sections.keys()).collect();
        for name in names {
            let size = |image: &Image| image.sections.get(name).copied().unwrap_or_default();
            let (lld, ours) = (size(lld), size(ours));
            if lld != ours {
                self.differ(Aspect::Sections, format!("{name}: lld {lld} bytes, ours {ours}"));
            }
        }
    }

    fn table(&mut self, table: Table, lld: &BTreeMap<String, Vec<String>>, ours: &BTreeMap<String, Vec<String>>) {
        let names: BTreeSet<&String> = lld.keys().chain(ours.keys()).collect();
        for name in names {
            match (lld.get(name), ours.get(name)) {
                (Some(lld), None) => self.differ(Aspect::Missing(table), format!("{name}: {}", lld.join("; "))),
                (None, Some(ours)) => self.differ(Aspect::Extra(table), format!("{name}: {}", ours.join("; "))),
                (Some(lld), Some(ours)) if lld != ours => {
                    let said = format!("{name}: lld {}, ours {}", lld.join("; "), ours.join("; "));
                    self.differ(Aspect::Attributes(table), said);
                }
                _ => {}
            }
        }
    }
}
