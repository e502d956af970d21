//! The machine's slots: files in a folder of this user's own, one for a CPU, each held by whoever has locked it.
//! Knows nothing of what a slot is wanted for.
//!
//! A lock is the kernel's: it ends with the process that holds it, however that ends, and there is nothing to repair.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::thread;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::private;

/// Where this user's slots are.
#[derive(Clone, Debug)]
pub struct MachineSlots {
    /// `$XDG_RUNTIME_DIR`.
    runtime: Option<PathBuf>,
    /// Where that is not to be had.
    scratch: PathBuf,
}

impl MachineSlots {
    /// In `$XDG_RUNTIME_DIR`, which all processes of a session have in common, else among the temporary files.
    pub fn of_user() -> MachineSlots {
        MachineSlots {
            runtime: std::env::var_os("XDG_RUNTIME_DIR")
                .map(PathBuf::from)
                .filter(|path| path.is_absolute()),
            scratch: private::scratch(),
        }
    }

    /// The slots that matter to one who wants to run `most` at once: those of the CPUs, and more where that is more.
    ///
    /// # Errors
    /// There is no folder that is this user's alone, or no file in it.
    pub fn open(&self, most: usize) -> io::Result<OpenSlots> {
        let folder = self.folder()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |name: String| Ok(File::from(openat(&folder, name, flags, Mode::RUSR | Mode::WUSR)?));
        let others = names(most).into_iter().map(open).collect::<io::Result<_>>()?;
        Ok(OpenSlots { others })
    }

    fn folder(&self) -> io::Result<File> {
        let runtime = self.runtime.as_ref().and_then(|runtime| {
            // Under sudo it may be that of another, who could not use what we make in it.
            private::open(runtime).ok()?;
            private::make(&runtime.join("thinlto-ld")).ok()
        });
        match runtime {
            Some(folder) => Ok(folder),
            None => {
                private::make(&self.scratch)?;
                private::make(&self.scratch.join("slots"))
            }
        }
    }
}

/// What the slots are called: by CPU, so that processes bound to other CPUs have other slots. The first has none, since
/// everybody may run one thing without: a process that is alone then fills all CPUs and no more.
fn names(most: usize) -> Vec<String> {
    let count = thread::available_parallelism().map_or(1, usize::from);
    let cpus: Vec<usize> = match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU)
            .filter(|cpu| set.is_set(*cpu))
            .take(count)
            .collect(),
        Err(_) => (0..count).collect(),
    };
    let of_cpus = cpus.into_iter().skip(1).map(|cpu| format!("cpu{cpu}"));
    let beyond = (count.max(1)..most).map(|number| format!("beyond{number}"));
    of_cpus.chain(beyond).collect()
}

/// The slots, open, but for those taken.
#[derive(Debug)]
pub struct OpenSlots {
    others: Vec<File>,
}

impl OpenSlots {
    /// Takes as many as are free, `count` at most; waits for none.
    ///
    /// # Errors
    /// Files cannot be locked here.
    pub fn take(&mut self, count: usize) -> io::Result<Vec<Slot>> {
        let mut taken = Vec::new();
        for file in std::mem::take(&mut self.others) {
            if taken.len() < count && lock(&file)? {
                taken.push(Slot { _locked: file });
            } else {
                self.others.push(file);
            }
        }
        Ok(taken)
    }
}

fn lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A slot of ours, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    _locked: File,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// Slots of a folder of its own.
    pub fn slots_in(runtime: &Path) -> MachineSlots {
        MachineSlots {
            runtime: Some(runtime.to_owned()),
            scratch: runtime.join("scratch"),
        }
    }

    fn most() -> usize {
        thread::available_parallelism().unwrap().get() + 3
    }

    #[test]
    fn each_is_held_once_and_free_again_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let slots = slots_in(folder.path());
        let (mut one, mut two) = (slots.open(most()).unwrap(), slots.open(most()).unwrap());
        let first = one.take(2).unwrap();
        let rest = two.take(usize::MAX).unwrap();
        assert_eq!((first.len(), rest.len()), (2, most() - 3));
        assert_eq!(one.take(usize::MAX).unwrap().len(), 0);
        drop(first);
        assert_eq!(two.take(usize::MAX).unwrap().len(), 2);
        assert!(slots.scratch.symlink_metadata().is_err());
    }

    #[test]
    fn who_asks_for_no_more_than_the_cpus_sees_only_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let slots = slots_in(folder.path());
        let mut few = slots.open(1).unwrap();
        assert_eq!(few.take(usize::MAX).unwrap().len(), most() - 4);
    }

    #[test]
    fn without_a_runtime_folder_they_are_among_the_temporary_files() {
        let folder = tempfile::tempdir().unwrap();
        let slots = MachineSlots {
            runtime: Some(folder.path().join("none")),
            scratch: folder.path().join("scratch"),
        };
        assert_eq!(slots.open(most()).unwrap().take(1).unwrap().len(), 1);
        assert!(folder.path().join("scratch/slots").is_dir());
        assert!(!folder.path().join("none").exists());
        let nowhere = MachineSlots {
            runtime: None,
            scratch: folder.path().join("file"),
        };
        fs::write(&nowhere.scratch, "").unwrap();
        assert!(nowhere.open(most()).is_err());
    }
}
