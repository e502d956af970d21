//! `--trace` and `-y SYMBOL`: the lines of in-process lld, put together of the thin link's and the final link's.
//! Knows nothing of what else is on a linker's stdout.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::FinalLink;
use crate::backend::kept::{prelink, regular_prelink};
use crate::symbol_trace;

/// The final link's stdout with the lines that in-process lld prints of traced symbols: of the inputs, as the thin link has
/// met them, then of LTO's objects in the order of their tasks, wherever they stand.
pub(super) fn of_in_process(link: &FinalLink<'_>, regular: Option<&Path>, stdout: Vec<u8>) -> Vec<u8> {
    if !link.invocation.has("trace-symbol") {
        return stdout;
    }
    let regular = regular.into_iter().map(|path| (path, None));
    let objects = link.objects.iter().enumerate();
    let objects = objects.map(|(module, object)| (object.path().as_path(), Some(module)));
    let objects: HashMap<&Path, Option<usize>> = regular.chain(objects).collect();
    let stdout = String::from_utf8_lossy(&stdout);
    let mut of_objects = Vec::new();
    let mut others = Vec::new();
    for line in stdout.lines() {
        let Some(file) = symbol_trace::file(line, link.invocation) else {
            others.push(line.to_owned());
            continue;
        };
        // In-process none of them is lazy, whatever they stand in here.
        let told = &line[file.len()..];
        if let Some(module) = object(file, &objects).filter(|_| !told.starts_with(symbol_trace::LAZY)) {
            of_objects.push((module, format!("{}{told}", called(link, module))));
        }
    }
    of_objects.sort_by_key(|(module, _)| *module);
    let of_objects = of_objects.into_iter().map(|(_, line)| line);
    let lines = link.plan.traced.iter().cloned().chain(of_objects).chain(others);
    lines.flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

/// The final link's stdout with `--trace`'s names of files in the order in which the thin link loaded them, and behind them
/// those of files that only code generation asked for.
pub(super) fn in_load_order(link: &FinalLink<'_>, stdout: &[u8]) -> Vec<u8> {
    if !link.invocation.has("trace") {
        return stdout.to_vec();
    }
    let known: HashSet<&str> = link.plan.loaded.iter().map(String::as_str).collect();
    let stdout = String::from_utf8_lossy(stdout);
    let loaded = link.plan.loaded.iter().map(|name| format!("{name}\n"));
    let others = stdout
        .split_inclusive('\n')
        .filter(|line| !known.contains(line.trim_end_matches('\n')));
    loaded.chain(others.map(str::to_owned)).collect::<String>().into_bytes()
}

/// The object that lld calls `file`: by its path, or by a thin archive's with that from its folder in parentheses.
fn object(file: &str, objects: &HashMap<&Path, Option<usize>>) -> Option<Option<usize>> {
    let whole = file.strip_suffix(')').into_iter();
    let members = whole.flat_map(|whole| whole.match_indices('(').map(move |(at, _)| whole.split_at(at)));
    let members = members.map(|(archive, member)| Path::new(archive).with_file_name(&member[1..]));
    let mut paths = [PathBuf::from(file)].into_iter().chain(members);
    paths.find_map(|path| objects.get(path.as_path()).copied())
}

/// The name in-process lld gives the object of a module, or of the regular partition.
fn called(link: &FinalLink<'_>, module: Option<usize>) -> String {
    let output = &link.invocation.output;
    let name = match module {
        None => regular_prelink(output),
        Some(at) => prelink(output, &link.plan.modules[at].name, link.first_task + at, link.llvm),
    };
    name.to_string_lossy().into_owned()
}
