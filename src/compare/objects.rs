//! The backends' objects of two links, task by task: how many are identical, and what is the matter with the others.
//! Knows nothing of the outputs that were linked of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::listing::Lister;
use super::object_pair;
use super::verdict::{Kind, ObjectDifference, Objects, SymbolDifference};

/// Of so many differing objects the first functions are shown, and of each object so many.
const LISTED: (usize, usize) = (5, 3);
/// The most symbols named of one object.
const NAMED: usize = 50;

/// Compares what `--lto-obj-path=PREFIX` left of both links; `name` tells a task's module.
///
/// # Errors
/// A file cannot be read.
pub fn compare(
    in_process: &Path,
    distributed: &Path,
    name: impl Fn(usize) -> Option<String>,
    lister: &Lister,
) -> io::Result<Objects> {
    let tasks = tasks(in_process)?.max(tasks(distributed)?);
    let mut objects = Objects::default();
    for task in 0..tasks {
        let (ours, theirs) = (numbered(distributed, task), numbered(in_process, task));
        let (a, b) = (read(&theirs)?, read(&ours)?);
        // The regular partition is written even where there is nothing in it.
        let is_nothing = |bytes: &Option<Vec<u8>>| bytes.as_ref().is_none_or(|bytes| is_empty(bytes));
        if name(task).is_none() && is_nothing(&a) && is_nothing(&b) {
            continue;
        }
        objects.total += 1;
        if a == b {
            objects.identical += 1;
            continue;
        }
        let module = name(task).unwrap_or_else(|| match task {
            0 => "regular LTO".to_owned(),
            _ => format!("LTO task {task}"),
        });
        let mut difference = difference(module, task, a.as_deref(), b.as_deref());
        if objects.differing.len() < LISTED.0 {
            for symbol in difference.symbols.iter_mut().take(LISTED.1) {
                symbol.listing = lister.difference(&symbol.name, symbol.is_code, &theirs, &ours);
            }
        }
        objects.differing.push(difference);
    }
    objects
        .differing
        .sort_by_key(|difference| std::cmp::Reverse(difference.kind));
    Ok(objects)
}

fn difference(module: String, task: usize, a: Option<&[u8]>, b: Option<&[u8]>) -> ObjectDifference {
    let missing = |what: &str| SymbolDifference {
        name: "the whole object".into(),
        what: what.into(),
        is_code: true,
        listing: Vec::new(),
    };
    let found = match (a, b) {
        (Some(a), Some(b)) => object_pair::compare(a, b).unwrap_or_default(),
        (Some(_), None) => object_pair::Found {
            kind: Some(Kind::Missing),
            symbols: vec![missing("only in-process")],
            ..object_pair::Found::default()
        },
        _ => object_pair::Found {
            kind: Some(Kind::Missing),
            symbols: vec![missing("only distributed")],
            ..object_pair::Found::default()
        },
    };
    let mut symbols = found.symbols;
    symbols.truncate(NAMED);
    ObjectDifference {
        module,
        task,
        kind: found.kind.unwrap_or(Kind::Other),
        sections: found.sections,
        symbols,
    }
}

/// `PREFIX` is task 0's, `PREFIX1` task 1's.
pub fn numbered(prefix: &Path, task: usize) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    if task > 0 {
        name.push(task.to_string());
    }
    name.into()
}

/// One more than the highest task that left a file.
fn tasks(prefix: &Path) -> io::Result<usize> {
    let (Some(folder), Some(name)) = (prefix.parent(), prefix.file_name()) else {
        return Ok(0);
    };
    let mut most = 0;
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name();
        let number = file
            .to_string_lossy()
            .strip_prefix(&*name.to_string_lossy())
            .map(str::to_owned);
        match number.as_deref() {
            Some("") => most = most.max(1),
            Some(digits) => most = most.max(digits.parse::<usize>().map_or(0, |number| number + 1)),
            None => {}
        }
    }
    Ok(most)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_empty(object: &[u8]) -> bool {
    object.is_empty()
        || super::image::read(object).is_ok_and(|image| {
            let has_bytes = image
                .sections
                .iter()
                .any(|section| section.is_loaded() && section.size > 0);
            !has_bytes && image.symbols.iter().all(super::image::Symbol::is_local)
        })
}
