//! The verdict on two outputs, given what is known of the objects they were linked of.
//! Knows nothing of how links are made, but that one more can be: in in-process lld's order.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::link::{CompareError, Links, at};
use super::output_pair::{self, Compared};
use super::table::shortened;
use super::verdict::{Comparison, Difference, Likeness, Outputs, Verdict};
use crate::settings::Order;

/// Compares the outputs, in-process LTO's (`theirs`) first, and says what it all comes to.
///
/// # Errors
/// See [`CompareError`].
pub fn outputs(
    comparison: &mut Comparison,
    links: &Links<'_>,
    mut theirs: PathBuf,
    distributed: &Path,
) -> Result<(), CompareError> {
    let Some(mut compared) = compare(&theirs, distributed, comparison)? else {
        return Ok(());
    };
    if let Some((plain, without)) = plainly(links, &compared, distributed, comparison)? {
        (theirs, compared) = (plain, without);
    }
    let is_elsewhere = !compared.identical && !compared.differing_sections.is_empty();
    let in_order = match is_elsewhere {
        true => in_order(links, &theirs)?,
        false => None,
    };
    let size = |path: &Path| path.metadata().map(|meta| meta.len()).unwrap_or_default();
    let likeness = likeness(&compared, in_order.as_ref());
    if let (Some(in_order), Likeness::Contents | Likeness::Different) = (&in_order, likeness) {
        let sections = shortened(&in_order.differing_sections);
        comparison.notes.push(match in_order.tells_all() {
            true => format!("laid out as in-process, every place means the same, and only {sections} have other bytes"),
            false => format!("laid out as in-process, these sections differ: {sections}"),
        });
    }
    comparison.output = Some(Outputs {
        likeness,
        sizes: (size(&theirs), size(distributed)),
        differences: compared.differences,
        allowed: compared.allowed,
        sections: compared.sections,
    });
    conclude(
        comparison,
        &compared.untold,
        in_order.is_some_and(|one| one.tells_all()),
    );
    Ok(())
}

/// Where the outputs differ, in-process LTO makes its own once more without being asked for objects, and that is compared:
/// asked for them, lld links the regular partition's too, empty as it is, and what an empty object does not say (that it
/// was made for branch protection, which ABI it has) the output may not say either.
fn plainly(
    links: &Links<'_>,
    compared: &Compared,
    distributed: &Path,
    comparison: &mut Comparison,
) -> Result<Option<(PathBuf, Compared)>, CompareError> {
    if compared.differences.is_empty() {
        return Ok(None);
    }
    let made = links.in_process_plainly()?;
    let theirs = made.side.output();
    if !made.status.success() || !theirs.is_file() {
        return Ok(None);
    }
    let again = compare(&theirs, distributed, comparison)?;
    Ok(again.map(|mut again| {
        let gone = |one: &&Difference| !again.differences.contains(one);
        let gone: BTreeSet<String> = compared
            .differences
            .iter()
            .filter(gone)
            .map(|one| one.name.clone())
            .collect();
        let gone: Vec<String> = gone.into_iter().collect();
        if !gone.is_empty() {
            again.allowed.push(format!(
                "{}: otherwise only where --lto-obj-path is given, for which lld links an empty object more",
                shortened(&gone)
            ));
        }
        (theirs, again)
    }))
}

fn compare(theirs: &Path, ours: &Path, comparison: &mut Comparison) -> Result<Option<Compared>, CompareError> {
    if !theirs.is_file() || !ours.is_file() {
        comparison.why = "the link leaves no output file".into();
        conclude(comparison, &[], false);
        return Ok(None);
    }
    let map = |path: &Path| {
        File::open(path)
            .and_then(|file| crate::sys::map(&file))
            .map_err(at(path.display()))
    };
    match output_pair::compare(&map(theirs)?, &map(ours)?) {
        Ok(compared) => Ok(Some(compared)),
        Err(error) => {
            // What is no ELF file (--oformat=binary) can only be the same or not.
            let same = map(theirs)?[..] == map(ours)?[..];
            if !same {
                comparison.why = format!("the outputs are not the same bytes, and cannot be read: {error}");
                conclude(comparison, &[], false);
            }
            Ok(same.then(|| Compared {
                identical: true,
                differing_sections: Vec::new(),
                differences: Vec::new(),
                allowed: Vec::new(),
                untold: Vec::new(),
                in_place: true,
                sections: Vec::new(),
            }))
        }
    }
}

/// The same link once more with backends' objects where in-process lld has them, compared with in-process.
fn in_order(links: &Links<'_>, theirs: &Path) -> Result<Option<Compared>, CompareError> {
    let (made, _) = links.distributed(Some(Order::InProcess))?;
    if !made.status.success() {
        return Ok(None);
    }
    let map = |path: &Path| {
        File::open(path)
            .and_then(|file| crate::sys::map(&file))
            .map_err(at(path.display()))
    };
    Ok(output_pair::compare(&map(theirs)?, &map(&made.side.output())?).ok())
}

fn likeness(compared: &Compared, in_order: Option<&Compared>) -> Likeness {
    if compared.identical {
        return Likeness::Identical;
    }
    if !compared.differences.is_empty() {
        return Likeness::Different;
    }
    match in_order {
        _ if compared.differing_sections.is_empty() => Likeness::SymbolOrder,
        Some(in_order) if in_order.differing_sections.is_empty() => Likeness::Order,
        _ => Likeness::Contents,
    }
}

/// `untold`: what could not be compared; `is_shown`: of a link in in-process lld's order everything could, and is the same.
fn conclude(comparison: &mut Comparison, untold: &[String], is_shown: bool) {
    let objects = &comparison.objects;
    let worse = objects.differing.iter().find(|object| object.kind.matters());
    let likeness = comparison.output.as_ref().map(|output| output.likeness);
    let (verdict, why) = match (worse, likeness) {
        (Some(object), _) => {
            let count = objects.differing.iter().filter(|object| object.kind.matters()).count();
            (
                Verdict::Different,
                format!(
                    "{count} of {} objects differ, first {}: {}",
                    objects.total,
                    object.module,
                    object.kind.describe()
                ),
            )
        }
        (None, Some(Likeness::Different)) => (Verdict::Different, "the outputs differ".to_owned()),
        (None, None) => (Verdict::Unknown, comparison.why.clone()),
        // In order, every section has the same bytes.
        (None, Some(likeness)) if !untold.is_empty() && !is_shown && likeness != Likeness::Order => (
            Verdict::Unknown,
            format!(
                "{} cannot be told to be the same where it stands elsewhere",
                shortened(untold)
            ),
        ),
        (None, Some(likeness)) => (Verdict::Equivalent, describe(likeness).to_owned()),
    };
    (comparison.verdict, comparison.why) = (verdict, why);
}

/// For people.
pub fn describe(likeness: Likeness) -> &'static str {
    match likeness {
        Likeness::Identical => "the outputs are identical",
        Likeness::SymbolOrder => "every section has the same bytes; symbols are listed in another order",
        Likeness::Order => {
            "the same contents in another order, and nothing else: laid out as in-process, every byte is equal"
        }
        Likeness::Contents => "the same functions and data, with the same contents, in another order",
        Likeness::Different => "the outputs differ",
    }
}
