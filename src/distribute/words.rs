//! What a backend said, as it is true of another link too: the names of a job's files, which have the linker's process number
//! in them, are put in again by whoever reads it. Knows nothing of what was said.

use std::path::Path;

use super::description::Job;
use crate::backend::jobs::Called;

/// What stands for the module, the index and the object.
const NAMES: [&str; 3] = ["\0module\0", "\0index\0", "\0object\0"];

fn paths(called: Called<'_>) -> [&Path; 3] {
    [called.module, called.index, called.object]
}

/// Without the names of this job's files; none where it names another file of the job's.
pub fn lasting(said: &str, job: &Job) -> Option<String> {
    if said.is_empty() {
        return Some(String::new());
    }
    let mut files: Vec<(String, &str)> = paths(job.called())
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .zip(NAMES)
        .collect();
    // An index is called as its object, and more.
    files.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    let said = files
        .iter()
        .fold(said.to_owned(), |said, (path, name)| said.replace(path.as_str(), name));
    let others = job.others().iter().map(|path| path.to_string_lossy());
    let mut others = others.filter(|path| said.contains(&**path));
    others.next().is_none().then_some(said)
}

/// With the names of somebody's files.
pub fn naming(lasting: &str, called: Called<'_>) -> String {
    let names = NAMES.iter().zip(paths(called));
    names.fold(lasting.to_owned(), |said, (name, path)| {
        said.replace(name, &path.to_string_lossy())
    })
}

/// For people: modules by lld's names.
pub fn shown(said: &str, job: &Job) -> String {
    said.replace(&*job.module().to_string_lossy(), &job.shown())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str) -> Job {
        Job {
            args: Vec::new(),
            inputs: ["m", "o.o.thinlto.bc", "other"]
                .map(|name| format!("{id}/{name}").into())
                .to_vec(),
            outputs: vec![format!("{id}/o.o").into()],
        }
    }

    #[test]
    fn names_come_back_as_those_of_the_next_link() {
        let said = "1/m: warning: 1/o.o of 1/o.o.thinlto.bc\n";
        let kept = lasting(said, &job("1")).unwrap();
        assert!(!kept.contains("1/"));
        assert_eq!(naming(&kept, job("2").called()), said.replace("1/", "2/"));
        assert_eq!(lasting("1/other: warning\n", &job("1")), None);
        assert_eq!(lasting("", &job("1")), Some(String::new()));
    }
}
