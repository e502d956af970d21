//! What the user asked of thinlto-ld itself: one table of settings, read from `THINLTO_LD_*` and `--thinlto-ld-*=`.
//! Knows nothing of what the settings are used for, and nothing of ld.lld's own options.

pub mod remote;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::shell::{self, Words};

/// One row of the table: the setting's name in lower case with hyphens, and its help.
#[derive(Debug)]
pub struct Setting {
    /// `cache-dir`: `THINLTO_LD_CACHE_DIR` in the environment, `--thinlto-ld-cache-dir=` on the link line.
    pub name: &'static str,
    /// One line for people: values and default.
    pub help: &'static str,
}

macro_rules! settings {
    ($($name:literal: $help:literal,)*) => { &[$(Setting { name: $name, help: $help }),*] };
}

/// Every setting there is. The README's table and `thinlto settings` are made from it.
pub const TABLE: &[Setting] = settings! {
    "linker": "the real ld.lld; default: by our own name's suffix, then ld.lld on PATH, ourselves excluded",
    "clang": "the backend compiler, of the linker's full LLVM version; default: beside the linker, then clang-N, then clang",
    "mode": "auto, distributed (a ThinLTO link that would go in-process is an error) or in-process; default: auto",
    "jobs": "most backends at once; default: make's jobserver, else every CPU, shared among this user's links",
    "engine": "forkserver, process or remote (backends are executed by the server `remote` names, and here as well); default: forkserver, falling back to process",
    "launcher": "command put before each backend's, which is then clang's as a person would type it, a process each (nice -n 10); default: none",
    "remote": "server that executes backends, by Bazel's Remote Execution API: grpc[s]://HOST:PORT[/INSTANCE]; default: none",
    "remote-cache": "server whose action cache is used behind our own, grpc[s]://HOST:PORT[/INSTANCE]; read-only: before it if it is not to be filled; default: none",
    "remote-headers": "sent with every call to either, such as API keys: NAME=VALUE, with commas or newlines between; default: none",
    "remote-tls-ca": "PEM file of the authorities that may vouch for a grpcs:// server; default: the system's",
    "remote-tls-cert": "PEM file of a client certificate for a grpcs:// server; default: none",
    "remote-tls-key": "PEM file of that certificate's key; default: none",
    "remote-platform": "what workers must be: NAME=VALUE, with commas between; default: nothing in particular",
    "remote-clang": "sent (ours, with its libraries, once), worker (the one at the same path there) or a path there; default: sent",
    "remote-jobs": "most backends at the server at once, 128 at first, fewer when it is full; default: 1000",
    "remote-local": "on or off: whether backends run here as well while the server has work, or only what it cannot do; default: on",
    "flags": "where backends' options come from: link (as in-process), kbuild (also the .foo.o.cmd beside each object) or compile-commands=FILE; default: link",
    "native": "off, on (each native object is left beside its bitcode too, as foo.thinlto-native.o) or a folder for them; default: off",
    "post-backend": "command run on each native object before it is linked, its path last or in the place of {}; default: none",
    "cache-dir": "where objects are kept, and what else is remembered; default: objects in --thinlto-cache-dir if given, all else in $XDG_CACHE_HOME/thinlto-ld",
    "cache-behind": "folders of other caches, with : between, read where ours has nothing and never written; default: none",
    "cache-policy": "lld's --thinlto-cache-policy grammar, for our own folder; default: that option if objects are there too, else a cap of 5 GB",
    "cache": "on or off; default: on",
    "unchanged": "restore (a link of which nothing has changed is put back as it was made) or relink; default: restore",
    "order": "where backends' objects stand in the final link: command-line or in-process; default: command-line",
    "relocatable": "renamed (where a -r link has thousands of sections of one name, for each of which lld looks through the others, each has a name of its own until lld is done; the output is the same), always (where there are few, too) or plain; default: renamed",
    "final-linker": "another linker for the native objects (mold, wild); default: the real ld.lld",
    "stats": "file to append one JSON line a link to; default: none",
    "summary": "on or off: whether each link leaves a line on stderr that says what became of it; default: off",
    "timeline": "on or off: whether the stats line lists the link's backends by slot, start and end, and what each read and wrote; default: off",
    "compare": "folder to which every link's comparison with in-process LTO is added, for `thinlto compare --report`; default: none",
    "log": "tracing filter, to stderr; default: warn",
};

/// Which links may be distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Distribute where it can be done as well as in-process.
    Auto,
    /// A link with ThinLTO bitcode that would go in-process is an error.
    Distributed,
    /// Always exec the real linker.
    InProcess,
}

/// What runs the backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// One clang that forks a child for each.
    ForkServer,
    /// A process for each.
    Process,
    /// A server that executes them, and a fork server beside it.
    Remote,
}

/// What is done of a link of which nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// It is put back.
    Restore,
    /// It is made again.
    Relink,
}

/// Where the backends' objects stand in the final link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Where their bitcode stood.
    CommandLine,
    /// After all other inputs, as lld lays out its own.
    InProcess,
}

/// Whether a link says what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    /// In one line.
    On,
    /// It does not.
    Off,
}

/// Whether sections of one name are renamed for the time of a `-r` link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relocatable {
    /// Where there are so many that it pays.
    Renamed,
    /// However few.
    Always,
    /// Never.
    Plain,
}

/// Where backends' options come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagsFrom {
    /// The link's command line alone, as in-process.
    Link,
    /// The link's, and what Kbuild wrote down of each object's compilation.
    Kbuild,
    /// The link's, and what this compilation database says of each object.
    CompileCommands(PathBuf),
}

/// Whether native objects are left for the user, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Native {
    /// They are not.
    Off,
    /// Beside their bitcode.
    Beside,
    /// Under this folder.
    Under(PathBuf),
}

/// The settings in force for one link.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `linker`
    pub linker: Option<PathBuf>,
    /// `clang`
    pub clang: Option<PathBuf>,
    /// `mode`
    pub mode: Mode,
    /// `jobs`
    pub jobs: Option<usize>,
    /// `engine`
    pub engine: EngineKind,
    /// `launcher`: the words of a command, none of them where there is none.
    pub launcher: Words,
    /// `remote` and all that begins with it.
    pub remote: remote::Remote,
    /// `flags`
    pub flags: FlagsFrom,
    /// `native`
    pub native: Native,
    /// `post-backend`: the words of a command, none of them where there is none.
    pub post_backend: Words,
    /// `cache-dir`
    pub cache_dir: Option<PathBuf>,
    /// `cache-behind`
    pub cache_behind: Vec<PathBuf>,
    /// `cache-policy`
    pub cache_policy: Option<String>,
    /// `cache`: false when `off`.
    pub cache: bool,
    /// `unchanged`
    pub unchanged: Unchanged,
    /// `order`
    pub order: Order,
    /// `relocatable`
    pub relocatable: Relocatable,
    /// `final-linker`
    pub final_linker: Option<PathBuf>,
    /// `stats`
    pub stats: Option<PathBuf>,
    /// `summary`
    pub summary: Summary,
    /// `timeline`: true when `on`.
    pub timeline: bool,
    /// `compare`
    pub compare: Option<PathBuf>,
    /// `log`
    pub log: String,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// No such setting on the link line.
    #[error("unknown option --thinlto-ld-{name}; the settings are: {}", names())]
    Unknown {
        /// As given.
        name: String,
    },
    /// The value is not one the setting takes.
    #[error("{origin}={value}: expected {expected}")]
    Value {
        /// Where it was set, as the user would write it.
        origin: String,
        /// What was found.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// The value is not one the setting takes, and is nothing to be shown.
    #[error("{origin}: expected {expected}")]
    Secret {
        /// Where it was set, as the user would write it.
        origin: String,
        /// What it takes.
        expected: &'static str,
    },
}

fn names() -> String {
    let names: Vec<_> = TABLE.iter().map(|s| s.name).collect();
    names.join(", ")
}

/// The environment variable of a setting: `cache-dir` → `THINLTO_LD_CACHE_DIR`.
pub fn variable(name: &str) -> String {
    format!("THINLTO_LD_{}", name.replace('-', "_").to_uppercase())
}

/// What begins as a setting's variable does and is none: of our own programs among each other, of their build and of their tests.
const NO_SETTINGS: [&str; 7] = [
    "THINLTO_LD_GUARD",
    "THINLTO_LD_NESTED",
    "THINLTO_LD_FORKSERVER",
    "THINLTO_LD_FORKSERVER_LONG",
    "THINLTO_LD_PRELOAD",
    "THINLTO_LD_SAMPLING",
    "THINLTO_LD_SUITE_PROGRAM",
];

/// Warns of every variable of ours in the environment that has no meaning: it is misspelt, and does nothing.
pub fn warn_of_unknown() {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for (name, nearest) in unknown(names) {
        tracing::warn!("{name} is no setting and does nothing; did you mean {nearest}?");
    }
}

/// Variables that are misspelt, each with that whose name is nearest.
fn unknown(names: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let settings: Vec<String> = TABLE.iter().map(|setting| variable(setting.name)).collect();
    names
        .filter(|name| name.starts_with("THINLTO_LD_"))
        .filter(|name| !NO_SETTINGS.contains(&name.as_str()) && !settings.contains(name))
        .filter_map(|name| {
            let nearest = settings.iter().min_by_key(|setting| distance(&name, setting))?;
            Some((name, nearest.clone()))
        })
        .collect()
}

/// How many letters are to be changed, put in or left out (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.bytes().enumerate() {
        let mut last = at + 1;
        let next = row.windows(2).zip(to.bytes()).map(|(above, other)| {
            last = (last + 1)
                .min(above[1] + 1)
                .min(above[0] + usize::from(letter != other));
            last
        });
        row = std::iter::once(at + 1).chain(next.collect::<Vec<_>>()).collect();
    }
    row.last().copied().unwrap_or_default()
}

struct Values(BTreeMap<&'static str, (String, OsString)>);

impl Values {
    fn path(&self, name: &str) -> Option<PathBuf> {
        let (_, value) = self.0.get(name)?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    }

    /// As in `PATH`; what is empty names none.
    fn paths(&self, name: &str) -> Vec<PathBuf> {
        let Some((_, value)) = self.0.get(name) else {
            return Vec::new();
        };
        let named = std::env::split_paths(value);
        named.filter(|path| !path.as_os_str().is_empty()).collect()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|(_, v)| v.to_string_lossy().into_owned())
    }

    fn choose<T: Copy>(
        &self,
        name: &str,
        default: T,
        expected: &'static str,
        of: &[(&str, T)],
    ) -> Result<T, SettingError> {
        let Some((origin, value)) = self.0.get(name).filter(|(_, v)| !v.is_empty()) else {
            return Ok(default);
        };
        of.iter()
            .find(|(word, _)| OsStr::new(word) == value)
            .map(|(_, t)| *t)
            .ok_or_else(|| SettingError::Value {
                origin: origin.clone(),
                value: value.to_string_lossy().into_owned(),
                expected,
            })
    }
}

const FLAGS: &str = "link, kbuild or compile-commands=FILE";

impl Values {
    fn flags(&self) -> Result<FlagsFrom, SettingError> {
        let named = self.0.get("flags").and_then(|(_, value)| {
            let file = value.as_bytes().strip_prefix(b"compile-commands=")?;
            (!file.is_empty()).then(|| FlagsFrom::CompileCommands(PathBuf::from(OsStr::from_bytes(file))))
        });
        match named {
            Some(named) => Ok(named),
            None => {
                let is_kbuild = self.choose("flags", false, FLAGS, &[("link", false), ("kbuild", true)])?;
                Ok(if is_kbuild { FlagsFrom::Kbuild } else { FlagsFrom::Link })
            }
        }
    }

    fn native(&self) -> Native {
        match self.path("native") {
            None => Native::Off,
            Some(path) => match path.to_str() {
                Some("off" | "0") => Native::Off,
                Some("on" | "1") => Native::Beside,
                _ => Native::Under(path),
            },
        }
    }

    /// The words of one command; none where the setting has none.
    fn command(&self, name: &str) -> Result<Words, SettingError> {
        let Some((origin, value)) = self.0.get(name) else {
            return Ok(Words::new());
        };
        let commands = shell::commands(value.as_bytes());
        match commands.as_deref() {
            Some([]) => Ok(Words::new()),
            Some([words]) => Ok(words.clone()),
            _ => Err(SettingError::Value {
                origin: origin.clone(),
                value: value.to_string_lossy().into_owned(),
                expected: "one command, its quotes closed and without ; & |",
            }),
        }
    }
}

impl Settings {
    /// Settings from the environment, overridden by those of the link line (`own`, name and value, in order).
    ///
    /// # Errors
    /// An unknown name on the link line, or a value the setting does not take.
    pub fn read(env: impl Fn(&str) -> Option<OsString>, own: &[(String, OsString)]) -> Result<Settings, SettingError> {
        let mut values = Values(BTreeMap::new());
        for setting in TABLE {
            let variable = variable(setting.name);
            if let Some(value) = env(&variable) {
                values.0.insert(setting.name, (variable, value));
            }
        }
        for (name, value) in own {
            let setting = TABLE
                .iter()
                .find(|s| s.name == name)
                .ok_or_else(|| SettingError::Unknown { name: name.clone() })?;
            values
                .0
                .insert(setting.name, (format!("--thinlto-ld-{name}"), value.clone()));
        }
        let jobs = match values.text("jobs").filter(|t| !t.is_empty()) {
            None => None,
            Some(text) => Some(
                text.parse()
                    .ok()
                    .filter(|n| *n > 0)
                    .ok_or_else(|| SettingError::Value {
                        origin: values.0["jobs"].0.clone(),
                        value: text,
                        expected: "a number from 1",
                    })?,
            ),
        };
        let remote = remote::Remote::read(&values)?;
        if values.text("engine").as_deref() == Some("remote") && remote.server.is_none() {
            return Err(values.wrong(
                "engine",
                "the setting remote (THINLTO_LD_REMOTE) to name a server as well",
            ));
        }
        Ok(Settings {
            linker: values.path("linker"),
            clang: values.path("clang"),
            mode: values.choose(
                "mode",
                Mode::Auto,
                "auto, distributed or in-process",
                &[
                    ("auto", Mode::Auto),
                    ("distributed", Mode::Distributed),
                    ("in-process", Mode::InProcess),
                ],
            )?,
            jobs,
            engine: values.choose(
                "engine",
                EngineKind::ForkServer,
                "forkserver, process or remote",
                &[
                    ("forkserver", EngineKind::ForkServer),
                    ("process", EngineKind::Process),
                    ("remote", EngineKind::Remote),
                ],
            )?,
            launcher: values.command("launcher")?,
            remote,
            flags: values.flags()?,
            native: values.native(),
            post_backend: values.command("post-backend")?,
            cache_dir: values.path("cache-dir"),
            cache_behind: values.paths("cache-behind"),
            cache_policy: values.text("cache-policy"),
            cache: values.choose("cache", true, "on or off", &[("on", true), ("off", false)])?,
            unchanged: values.choose(
                "unchanged",
                Unchanged::Restore,
                "restore or relink",
                &[("restore", Unchanged::Restore), ("relink", Unchanged::Relink)],
            )?,
            order: values.choose(
                "order",
                Order::CommandLine,
                "command-line or in-process",
                &[("command-line", Order::CommandLine), ("in-process", Order::InProcess)],
            )?,
            relocatable: values.choose(
                "relocatable",
                Relocatable::Renamed,
                "renamed, always or plain",
                &[
                    ("renamed", Relocatable::Renamed),
                    ("always", Relocatable::Always),
                    ("plain", Relocatable::Plain),
                ],
            )?,
            final_linker: values.path("final-linker"),
            stats: values.path("stats"),
            summary: values.choose(
                "summary",
                Summary::Off,
                "on or off",
                &[("on", Summary::On), ("off", Summary::Off)],
            )?,
            timeline: values.choose("timeline", false, "on or off", &[("on", true), ("off", false)])?,
            compare: values.path("compare"),
            log: values
                .text("log")
                .filter(|t| !t.is_empty())
                .unwrap_or_else(|| "warn".into()),
        })
    }
}

impl Settings {
    /// Warns of every cache that is to be read and is not there: it is misspelt, or was to be brought here and was not.
    pub fn warn_of_absent(&self) {
        for folder in self.cache_behind.iter().filter(|folder| !folder.is_dir()) {
            tracing::warn!("{}: {}: no such folder", variable("cache-behind"), folder.display());
        }
    }

    /// Whether any of them asks something of backends that in-process LTO would not do.
    pub fn are_for_backends(&self) -> bool {
        self.flags != FlagsFrom::Link || self.native != Native::Off || !self.post_backend.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)], own: &[(&str, &str)]) -> Result<Settings, SettingError> {
        let own: Vec<_> = own.iter().map(|(n, v)| ((*n).to_owned(), OsString::from(v))).collect();
        Settings::read(|name| env.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()), &own)
    }

    #[test]
    fn the_link_line_wins_over_the_environment() {
        let settings = read(
            &[("THINLTO_LD_MODE", "in-process"), ("THINLTO_LD_JOBS", "3")],
            &[("mode", "distributed")],
        )
        .unwrap();
        assert_eq!((settings.mode, settings.jobs), (Mode::Distributed, Some(3)));
    }

    #[test]
    fn values_that_name_files_and_commands() {
        let settings = read(
            &[("THINLTO_LD_FLAGS", "compile-commands=a b.json")],
            &[("native", "out"), ("post-backend", "strip -g '{} x'")],
        );
        let settings = settings.unwrap();
        assert_eq!(settings.flags, FlagsFrom::CompileCommands("a b.json".into()));
        assert_eq!(settings.native, Native::Under("out".into()));
        assert_eq!(settings.post_backend, ["strip", "-g", "{} x"]);
        for (native, is) in [
            ("1", Native::Beside),
            ("on", Native::Beside),
            ("off", Native::Off),
            ("", Native::Off),
        ] {
            assert_eq!(read(&[], &[("native", native)]).unwrap().native, is);
        }
        assert_eq!(
            read(&[("THINLTO_LD_FLAGS", "kbuild")], &[]).unwrap().flags,
            FlagsFrom::Kbuild
        );
        for (name, value) in [
            ("flags", "make"),
            ("flags", "compile-commands="),
            ("post-backend", "a; b"),
            ("launcher", "a | b"),
            ("post-backend", "'"),
        ] {
            let error = read(&[], &[(name, value)]).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("--thinlto-ld-{name}={value}: expected ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_wrong_value_names_where_it_came_from_and_what_is_taken() {
        let error = read(&[("THINLTO_LD_MODE", "fast")], &[]).unwrap_err().to_string();
        assert_eq!(error, "THINLTO_LD_MODE=fast: expected auto, distributed or in-process");
        assert!(
            read(&[], &[("jobs", "0")])
                .unwrap_err()
                .to_string()
                .starts_with("--thinlto-ld-jobs=0")
        );
    }

    #[test]
    fn an_unknown_setting_lists_the_known_ones() {
        let error = read(&[], &[("cash", "off")]).unwrap_err().to_string();
        assert!(
            error.contains("--thinlto-ld-cash") && error.contains("cache-dir"),
            "{error}"
        );
    }
}
