//! A link made before: recognised by everything it read and looked for, and put back without running a linker.
//! Knows nothing of how a link is made; what one was made of is told by whoever made it.

mod outputs;
mod record;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::backend::launcher::Launcher;
use crate::backend::post::PostBackend;
use crate::cache::{Cache, Destination, Key, Outputs};
use crate::cmdline::Invocation;
use crate::color::Color;
use crate::compiled::Recipe;
use crate::fresh::Fresh;
use crate::native::Left;
use crate::settings::{FlagsFrom, Settings};
use crate::stamp::Stamp;
use crate::toolchain::{Clang, Linker, environment, identity};
use record::Record;
pub use record::Replay;

/// Raised whenever a record means something else than before.
const FORMAT: u32 = 2;

/// So many states of one link are remembered: going to another branch and back is common, more than that is not.
const STATES: u8 = 4;

/// A larger output is not kept: writing it down costs more than it will save.
const LARGEST: u64 = 1 << 30;

/// One link, as far as its command line and surroundings name it.
#[derive(Debug)]
pub struct Identity {
    states: Vec<Key>,
    outputs: Vec<PathBuf>,
}

/// Where the thin link and the backends found what they read.
#[derive(Debug)]
pub struct Made<'a> {
    /// Files read, with the stamp they were opened under.
    pub read: Vec<(PathBuf, Stamp)>,
    /// Files read, of which only that they were is known; with those looked for besides by an assembler, found or not.
    pub others: Vec<PathBuf>,
    /// Places looked at in vain.
    pub absent: Vec<PathBuf>,
    /// What backends wrote for the user.
    pub sides: Vec<PathBuf>,
    /// Native objects that the user is to find where they are.
    pub left: Vec<Left>,
    /// The linker and the compiler.
    pub tools: (&'a Linker, &'a Clang),
    /// When the link began.
    pub began: SystemTime,
    /// What is to be said again.
    pub replay: Replay,
}

impl Identity {
    /// What names this link; none where its output is not to be put back: somebody else is to see it made.
    pub fn of(
        arguments: &[OsString],
        invocation: &Invocation,
        settings: &Settings,
        linker: &Linker,
    ) -> Option<Identity> {
        if settings.final_linker.is_some() {
            return None;
        }
        let outputs = outputs::of(invocation)?;
        let mut hash = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(&FORMAT.to_le_bytes());
        part(env!("BUILD_OF_THINLTO_LD").as_bytes());
        part(std::env::current_dir().ok()?.as_os_str().as_bytes());
        // As typed, and as read from response files.
        for word in arguments.iter().chain(&invocation.words()) {
            part(word.as_bytes());
        }
        part(format!("{:?} {:?}", settings.order, Color::of(invocation)).as_bytes());
        part(format!("{:?} {:?} {:?}", settings.flags, settings.native, settings.post_backend).as_bytes());
        part(format!("{:?}", settings.launcher).as_bytes());
        // The words say what to look for on PATH, not what is found.
        if let Some(post) = PostBackend::find(&settings.post_backend).ok()? {
            part(post.0.program.as_os_str().as_bytes());
        }
        if let Some(launcher) = Launcher::find(&settings.launcher).ok()? {
            part(launcher.0.program.as_os_str().as_bytes());
        }
        if settings.flags == FlagsFrom::Kbuild {
            // It may be what compiles the object that is linked.
            part(&Recipe::running().text());
        }
        part(linker.path.as_os_str().as_bytes());
        for (name, value) in &environment::heard() {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        let named = hash.finalize();
        let states = (0..STATES).map(|state| {
            let mut hash = blake3::Hasher::new();
            hash.update(b"link").update(named.as_bytes()).update(&[state]);
            Key::from(*hash.finalize().as_bytes())
        });
        Some(Identity {
            states: states.collect(),
            outputs,
        })
    }

    /// Whether a cache in `dir` could know this link: one look where nearly every other link ends.
    pub fn may_be_in(&self, dir: &Path) -> bool {
        self.states.first().is_some_and(|first| Cache::has(dir, first))
    }

    /// Puts the output and all that was written beside it back, if all is as it was for one of the states remembered.
    pub fn restore(&self, cache: &Cache, clang: &Clang) -> Option<Replay> {
        let mut suspect = PathBuf::new();
        for key in &self.states {
            let Some(said) = cache.said(key) else { continue };
            let Ok(record) = serde_json::from_slice::<Record>(&said) else {
                continue;
            };
            if let Some(what) = record.difference(cache, &clang.path, &mut suspect) {
                tracing::debug!(%key, what, "not this state");
                continue;
            }
            if let Some(object) = record.replay.kept.iter().find(|object| !object.exists()) {
                tracing::debug!(%key, "{} is gone", object.display());
                continue;
            }
            match self.put_back(cache, key, &record) {
                Ok(()) => return Some(record.replay),
                Err(error) => tracing::debug!(%key, %error, "not restored"),
            }
        }
        None
    }

    /// Everything is written beside its place first, and then moved there.
    fn put_back(&self, cache: &Cache, key: &Key, record: &Record) -> io::Result<()> {
        let names = record.names();
        if names.len() != self.outputs.len() + record.sides.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let places: Vec<&PathBuf> = self.outputs.iter().chain(&record.sides).collect();
        let mut fresh = Vec::new();
        for place in &places {
            // lld writes through what is no plain file, and so must we.
            if fs::symlink_metadata(place).is_ok_and(|there| !there.is_file()) {
                return Err(io::Error::other(format!("{} is no plain file", place.display())));
            }
            fresh.push(Fresh::beside(place)?);
        }
        let (main, others) = fresh.split_first().ok_or(io::ErrorKind::InvalidData)?;
        let sides: Vec<(&str, Destination<'_>)> = names
            .iter()
            .skip(1)
            .map(String::as_str)
            .zip(others.iter().map(|fresh| Destination::Public(fresh.path())))
            .collect();
        let outputs = Outputs {
            object: Destination::Public(main.path()),
            sides: &sides,
        };
        cache
            .place(key, &outputs)
            .ok_or_else(|| io::Error::other("its copy is gone"))?;
        if record.executable {
            let mode = fs::metadata(main.path())?.permissions().mode();
            fs::set_permissions(main.path(), fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))?;
        }
        // The output last: where it is new, all is.
        for (fresh, place) in fresh.iter().zip(places).rev() {
            fresh.move_to(place)?;
        }
        Ok(())
    }

    /// Remembers a link that was made, if everything it was made of can be told.
    pub fn remember(&self, cache: &Cache, invocation: &Invocation, made: Made<'_>) {
        if let Err(why) = self.try_remember(cache, invocation, made) {
            tracing::debug!(why, "not remembered");
        }
    }

    fn try_remember(&self, cache: &Cache, invocation: &Invocation, made: Made<'_>) -> Result<(), String> {
        let metadata = fs::symlink_metadata(&invocation.output).map_err(|error| error.to_string())?;
        if metadata.len() > LARGEST {
            return Err("a large output".into());
        }
        let sides = made.sides.clone();
        if let Some(odd) = self
            .outputs
            .iter()
            .chain(&sides)
            .find(|path| !fs::symlink_metadata(path).is_ok_and(|there| there.is_file()))
        {
            return Err(format!("{} is no plain file", odd.display()));
        }
        let (linker, clang) = made.tools;
        let mut tools = identity::files(&linker.path).map_err(|error| error.to_string())?;
        tools.extend(identity::files(&clang.path).map_err(|error| error.to_string())?);
        tools.extend([linker.path.clone(), clang.path.clone()]);
        let executable = metadata.permissions().mode() & 0o111 != 0;
        let record = Record::of(cache, made, tools, sides, executable, &self.outputs)?;
        let said = serde_json::to_vec(&record).map_err(|error| error.to_string())?;
        let names = record.names();
        let places: Vec<(&str, Destination<'_>)> = names
            .iter()
            .map(String::as_str)
            .zip(
                self.outputs
                    .iter()
                    .chain(&record.sides)
                    .map(|path| Destination::Public(path)),
            )
            .skip(1)
            .collect();
        let outputs = Outputs {
            object: Destination::Public(&invocation.output),
            sides: &places,
        };
        let key = self.oldest(cache).ok_or("no place for it")?;
        cache.remember(key, &outputs, &said).map_err(|error| error.to_string())
    }

    /// Where the next state goes: the first free place, else that of the one used longest ago.
    fn oldest(&self, cache: &Cache) -> Option<&Key> {
        self.states.iter().min_by_key(|key| cache.last_use(key))
    }
}
