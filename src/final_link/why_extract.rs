//! For which symbol each member was taken out of its archive: the linker asked once more (`--why-extract`), as nothing else
//! tells native members of one name apart.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;

use object::{Object, ObjectSymbol};

use super::load_order::is_bitcode;
use super::{FinalLink, FinalLinkError, at, execute, read_native};
use crate::bitcode::TableSymbol;
use crate::cmdline::{Item, Role};
use crate::inputs::BitcodeSource;
use crate::symbols::table_of_file;
use crate::thin_link::written_by_thin_link;

/// The members that were taken out of archives, in the order in which they were loaded.
pub(super) struct WhyExtract(Vec<Extraction>);

/// One row of `--why-extract`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Extraction {
    /// What referred to the symbol.
    by: String,
    /// What was taken out for it.
    member: String,
    symbol: String,
    /// The member, where several have its name, and what it refers to.
    file: Option<(BitcodeSource, Vec<String>)>,
}

impl Extraction {
    /// Whether the member has its name for itself, or is the one that refers to a symbol.
    fn may_refer_to(&self, symbol: &String) -> bool {
        self.file.as_ref().is_none_or(|(_, referred)| referred.contains(symbol))
    }
}

/// The rows in the order in which members were loaded. lld writes a row when the member has been read, and with it all that
/// it refers to in turn (lld/ELF/Symbols.cpp `Symbol::resolve(Undefined)`): those rows stand before it.
fn in_load_order(rows: Vec<Extraction>) -> Vec<Extraction> {
    let mut trees: Vec<Vec<Extraction>> = Vec::new();
    for row in rows {
        let is_below = |tree: &[Extraction], before: &[Vec<Extraction>]| {
            tree.first().is_some_and(|child| {
                let mut earlier = before
                    .iter()
                    .flatten()
                    .filter(|other| other.member == child.by && other.file.is_some());
                child.by == row.member
                    && row.may_refer_to(&child.symbol)
                    && !earlier.any(|other| other.may_refer_to(&child.symbol))
            })
        };
        let mut first = trees.len();
        while first > 0 && is_below(&trees[first - 1], &trees[..first - 1]) {
            first -= 1;
        }
        let below = trees.split_off(first);
        trees.push(std::iter::once(row).chain(below.into_iter().flatten()).collect());
    }
    trees.into_iter().flatten().collect()
}

impl WhyExtract {
    /// Asks the linker. `named` are the files of the link by the names that it has for them.
    ///
    /// # Errors
    /// The linker cannot be run, or does not say.
    pub(super) fn ask(
        link: &FinalLink<'_>,
        named: &HashMap<String, Vec<BitcodeSource>>,
    ) -> Result<WhyExtract, FinalLinkError> {
        let list = link.staging.path("why-extract");
        let items = link.invocation.items.iter();
        let items = items.filter(|item| match item {
            Item::Option { def, .. } => def.role != Role::Report && !written_by_thin_link(item),
            Item::Input(_) => true,
        });
        let words: Vec<OsString> = items.flat_map(|item| item.words().iter().cloned()).collect();
        let option = |name: &str, path: &str| {
            let mut word = OsString::from(name);
            word.push(link.staging.path(path));
            word
        };
        let more = [
            option("--thinlto-index-only=", "why-extract.list"),
            option("--thinlto-prefix-replace=;", "why-extract.indexes/"),
            option("--why-extract=", "why-extract"),
            "--no-demangle".into(),
            "-w".into(),
        ];
        let output = execute(link, link.lld(), words, &more)?;
        if !output.status.success() {
            let reason = "the linker does not tell what it extracts".into();
            return Err(FinalLinkError::Unfit(reason));
        }
        let text = fs::read_to_string(&list).map_err(at(&list))?;
        let mut left = named.clone();
        let rows = text.lines().skip(1).filter_map(|line| {
            let mut columns = line.split('\t').map(str::to_owned);
            let (by, member, symbol) = (columns.next()?, columns.next()?, columns.next()?);
            let file = match named.get(&member).map(Vec::len) {
                None | Some(0 | 1) => None,
                Some(_) => take_definer(link, left.entry(member.clone()).or_default(), &symbol),
            };
            Some(Extraction {
                by,
                member,
                symbol,
                file,
            })
        });
        Ok(WhyExtract(in_load_order(rows.collect())))
    }

    /// Which of the files of one name were loaded, in order.
    pub(super) fn files_called<'a>(&'a self, name: &'a str) -> impl Iterator<Item = BitcodeSource> + 'a {
        let rows = self.0.iter().filter(move |row| row.member == name);
        rows.filter_map(|row| row.file.as_ref().map(|(file, _)| *file))
    }
}

/// Takes the first of these files that defines a symbol, with what it refers to.
fn take_definer(
    link: &FinalLink<'_>,
    files: &mut Vec<BitcodeSource>,
    symbol: &str,
) -> Option<(BitcodeSource, Vec<String>)> {
    let symbols = files.iter().map(|file| symbols_of(link, *file));
    let (at, (_, referred)) = symbols
        .enumerate()
        .find(|(_, (defined, _))| defined.iter().any(|name| name == symbol))?;
    Some((files.remove(at), referred))
}

/// The symbols that a file defines, and those that it refers to; none where it cannot be read.
fn symbols_of(link: &FinalLink<'_>, file: BitcodeSource) -> (Vec<String>, Vec<String>) {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    if is_bitcode(link.inputs, file) {
        let symbols = table_of_file(link.inputs, file).unwrap_or_default();
        let (defined, referred): (Vec<_>, Vec<_>) = symbols.iter().partition(|symbol| symbol.is_definition());
        let names = |symbols: Vec<&TableSymbol<'_>>| symbols.iter().map(|symbol| text(symbol.name)).collect();
        return (names(defined), names(referred));
    }
    let read = read_native(&link.inputs.entries[file.entry], file.member, |bytes| {
        let object = object::File::parse(bytes).map_err(|error| error.to_string())?;
        let global = object.symbols().filter(|symbol| !symbol.is_local());
        let (referred, defined): (Vec<_>, Vec<_>) = global.partition(ObjectSymbol::is_undefined);
        let names = |symbols: Vec<object::Symbol<'_, '_>>| {
            let names = symbols.iter().filter_map(|symbol| symbol.name_bytes().ok());
            names.map(text).collect()
        };
        Ok((names(defined), names(referred)))
    });
    read.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(by: &str, member: &str, symbol: &str, referred: Option<&[&str]>) -> Extraction {
        let file = BitcodeSource { entry: 0, member: None };
        Extraction {
            by: by.into(),
            member: member.into(),
            symbol: symbol.into(),
            file: referred.map(|names| (file, names.iter().map(|name| (*name).to_owned()).collect())),
        }
    }

    #[test]
    fn what_a_member_brings_in_is_loaded_behind_it() {
        let rows = [
            ("x(b.o)", "x(c.o)"),
            ("x(a.o)", "x(b.o)"),
            ("m.o", "x(a.o)"),
            ("m.o", "x(d.o)"),
        ];
        let rows = rows.map(|(by, member)| row(by, member, "s", None));
        let order: Vec<String> = in_load_order(rows.into()).into_iter().map(|row| row.member).collect();
        assert_eq!(order, ["x(a.o)", "x(b.o)", "x(c.o)", "x(d.o)"]);
    }

    #[test]
    fn members_of_one_name_are_behind_the_one_that_refers_to_them() {
        let order =
            |rows: Vec<Extraction>| -> Vec<String> { in_load_order(rows).into_iter().map(|row| row.symbol).collect() };
        let nested = vec![
            row("x(s.o)", "x(s.o)", "g", Some(&[])),
            row("m.o", "x(s.o)", "f", Some(&["g"])),
        ];
        assert_eq!(order(nested), ["f", "g"]);
        let in_turn = vec![
            row("m.o", "x(s.o)", "f", Some(&["g"])),
            row("x(s.o)", "x(s.o)", "g", Some(&[])),
            row("--undefined", "x(s.o)", "h", Some(&[])),
        ];
        assert_eq!(order(in_turn), ["f", "g", "h"]);
    }
}
