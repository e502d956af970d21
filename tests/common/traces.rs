//! What a link leaves behind and lets slip: staging folders, temporary files, staged names in what people read.
//! Knows nothing of which link it was.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Bench, Outcome};

/// Every name of a staged file has one of these in it.
const STAGED: [&str; 2] = ["thinlto-ld.", "/staging/"];

/// The staged name in a text, with what stands around it.
pub fn staged_name(text: &str) -> Option<&str> {
    text.lines().find(|line| STAGED.iter().any(|mark| line.contains(mark)))
}

impl Outcome {
    /// Nothing printed names a staged file.
    pub fn clean(self) -> Outcome {
        for text in [&self.stdout, &self.stderr] {
            assert_eq!(staged_name(text), None, "printed");
        }
        self
    }
}

impl Bench {
    /// Where links here put temporary files.
    pub fn tmp(&self) -> PathBuf {
        self.path("tmp")
    }

    /// What links here have left: in `$TMPDIR` and in the staging folders beside the cache.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let staging = self.path("cache/thinlto-ld/staging");
        let inside = |dir: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let mut left = inside(&staging);
        for path in inside(&self.tmp()) {
            // One user's folder for staging without a cache stays, with nothing in it but perhaps the machine's slots.
            match path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("thinlto-ld-"))
            {
                true => left.extend(inside(&path).into_iter().filter(|path| !path.ends_with("slots"))),
                false => left.push(path),
            }
        }
        left
    }

    /// No link here has left anything.
    pub fn tidy(&self) -> &Bench {
        assert_eq!(self.leftovers(), Vec::<PathBuf>::new(), "left behind");
        self
    }

    /// Neither of these files, nor anything in these folders, names a staged file.
    pub fn unstaged(&self, names: &[&str]) -> &Bench {
        let mut paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(staged_name(&String::from_utf8_lossy(&text)), None, "{}", path.display());
        }
        self
    }

    /// A script at `NAME` that stands before the real clang: it answers as that does, but for backends (not the
    /// question which options it takes), of which it does `BODY`. There `"$@"` is the command line, `$clang` the real
    /// one, `$object` and `$module` the files; `compile` runs it.
    pub fn clang_standing_before(&mut self, name: &str, body: &str) -> &mut Bench {
        let real = which::which(format!("clang-{}", self.llvm)).unwrap();
        let script = format!(
            "#!/bin/sh\nclang={}\nindex= object= module= last=\nfor word; do\n  case $word in -fthinlto-index=*) index=${{word#*=}};; esac\n  \
             case $last in -o) object=$word;; ir) module=$word;; esac\n  last=$word\ndone\n\
             compile() {{ \"$clang\" \"$@\"; }}\n\
             case $index in */i/*) ;; *) exec \"$clang\" \"$@\";; esac\n{body}\n",
            real.display()
        );
        let path = self.write_program(name, &script);
        self.env("THINLTO_LD_CLANG", path.to_str().unwrap())
    }
}
