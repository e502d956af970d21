//! The cache as one link uses it: which folder, which policy, which key an object has, and nothing said when it fails.
//! Knows nothing of how entries are stored; a cache that fails only costs time.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use super::digest::{Digest, Digests, Stamp};
use super::key::{AsmInput, ExtraInput, FeedIndex, Key, KeyParts};
use super::lld_dir::{self, LldDir};
use super::policy::{self, Policy, PolicyError};
use super::store::{self, Access, CacheOff, Destination, Outputs, PutError, Store};
use super::tally::{Counts, Tally};
use super::views::Views;
use crate::backend::launcher::Launcher;
use crate::backend::post::PostBackend;
use crate::cmdline::Invocation;
use crate::private;
use crate::settings::Settings;
use crate::toolchain::{Clang, environment, identity};

/// The cache of one link.
#[derive(Debug)]
pub struct Cache {
    store: Store,
    /// Read where the store has nothing, in this order, and never written.
    behind: Vec<Store>,
    /// The user's `--thinlto-cache-dir`, which objects are kept in instead of the store.
    users: Option<LldDir>,
    digests: Digests,
    policy: Policy,
    clang: OnceLock<Option<Vec<u8>>>,
    views: OnceLock<Views>,
}

/// Our folder among the user's caches.
pub fn home() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name);
    store::default_dir(variable("XDG_CACHE_HOME").as_deref(), variable("HOME").as_deref()).ok()
}

impl Cache {
    /// The cache a link asks for: in the settings' folder, else in [`home`], objects in `--thinlto-cache-dir` where that is
    /// given and no setting says otherwise. With it, or without: why there is none, where one was wanted.
    pub fn for_link(settings: &Settings, invocation: &Invocation) -> (Option<Cache>, Option<String>) {
        if !settings.cache {
            return (None, None);
        }
        if let Some(option) = ruled_out(settings, invocation) {
            return (None, Some(option.into()));
        }
        let asked = invocation.lto_value("thinlto-cache-policy");
        let users = match users_dir(settings, invocation).map(|dir| users(dir, asked)).transpose() {
            Ok(users) => users,
            Err(error) => {
                tracing::debug!("--thinlto-cache-dir: {error}");
                return (None, Some("thinlto-cache-dir".into()));
            }
        };
        let policy = match &settings.cache_policy {
            Some(text) => understood(Policy::parse(text)),
            None => llds(asked.filter(|_| users.is_none()).map(Policy::parse)),
        };
        match open(Cache::folders(settings, invocation), settings) {
            Ok((store, behind)) => (Some(Cache::of(store, behind, users, policy)), None),
            Err(off) => (None, Some(off.name().into())),
        }
    }

    /// The cache of backends that lld itself has described: in the settings' folder, else in [`home`]. With it, or without:
    /// why there is none, where one was wanted.
    pub fn for_jobs(settings: &Settings) -> (Option<Cache>, Option<String>) {
        if !settings.cache {
            return (None, None);
        }
        let policy = settings
            .cache_policy
            .as_deref()
            .map(|text| understood(Policy::parse(text)));
        match open(settings.cache_dir.clone().or_else(home), settings) {
            Ok((store, behind)) => (Some(Cache::of(store, behind, None, policy.unwrap_or_default())), None),
            Err(off) => (None, Some(off.name().into())),
        }
    }

    fn of(store: Store, behind: Vec<Store>, users: Option<LldDir>, policy: Policy) -> Cache {
        Cache {
            digests: Digests::open(&store.digest_memo()),
            store,
            behind,
            users,
            policy,
            clang: OnceLock::new(),
            views: OnceLock::new(),
        }
    }

    /// Where a link's objects are kept, for people: nothing is made or opened.
    ///
    /// # Errors
    /// Why they are not: an option's name, or that there is no such place.
    pub fn of_objects(settings: &Settings, invocation: &Invocation) -> Result<PathBuf, &'static str> {
        if let Some(option) = ruled_out(settings, invocation) {
            return Err(option);
        }
        let users = users_dir(settings, invocation).map(Path::to_owned);
        let ours = || Cache::folders(settings, invocation).into_iter().next();
        users.or_else(ours).ok_or(CacheOff::NoHome.name())
    }

    /// Whether a cache in `dir` has an entry of this key, as far as one look tells.
    pub fn has(dir: &Path, key: &Key) -> bool {
        Store::has(dir, key)
    }

    /// Where the part of a link's cache that is ours may be: in the first that can be opened. Where none for users' caches
    /// can, what `--thinlto-cache-dir` does not take is among the temporary files.
    pub fn folders(settings: &Settings, invocation: &Invocation) -> Vec<PathBuf> {
        if let Some(dir) = &settings.cache_dir {
            return vec![dir.clone()];
        }
        let scratch = users_dir(settings, invocation).map(|_| scratch());
        home().into_iter().chain(scratch).collect()
    }

    /// The files in the user's folder that this link has used or made.
    pub fn users_entries(&self) -> Vec<PathBuf> {
        self.users.as_ref().map(LldDir::entries).unwrap_or_default()
    }

    /// Notes that entries in the user's folder have been used.
    pub fn use_entries(entries: &[PathBuf]) {
        entries.iter().for_each(|entry| lld_dir::touch(entry));
    }

    /// What was remembered under a key.
    pub fn said(&self, key: &Key) -> Option<Vec<u8>> {
        self.stores().find_map(|store| store.said(key).ok())
    }

    /// When an entry was last used; none where there is none.
    pub fn last_use(&self, key: &Key) -> Option<SystemTime> {
        self.store.last_use(key)
    }

    /// Puts the outputs of a link in place, each verified there.
    pub fn place(&self, key: &Key, outputs: &Outputs<'_>) -> Option<()> {
        self.stores().find_map(|store| store.get(key, outputs).ok()).map(drop)
    }

    /// Keeps the outputs of a link, and what is to be known of it.
    ///
    /// # Errors
    /// Of the file system.
    pub fn remember(&self, key: &Key, outputs: &Outputs<'_>, said: &[u8]) -> Result<(), PutError> {
        match self.store.access() {
            Access::Full => self.store.put(key, outputs, said),
            Access::Read => Ok(()),
        }
    }

    /// Why nothing is kept, where it can only be read: for the stats.
    pub fn unwritten(&self) -> Option<&'static str> {
        (self.store.access() == Access::Read).then_some("cache-not-writable")
    }

    fn stores(&self) -> impl Iterator<Item = &Store> {
        std::iter::once(&self.store).chain(&self.behind)
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.store.dir()
    }

    /// The key of a module's object; none where a part of it cannot be told.
    pub fn key(&self, parts: &ModuleParts<'_>, index: &mut FeedIndex<'_>) -> Option<Keyed> {
        let clang = self.clang(parts.clang)?;
        let mut options = vec![OsStr::from_bytes(parts.words)];
        let mut named: Vec<PathBuf> = parts.named.to_vec();
        // What stands before the compiler may set what that hears (`env`), or be a compiler itself (`ccache`).
        let launcher = parts
            .launcher
            .map(|launcher| (LAUNCHER, &launcher.0.words, &launcher.0.program));
        let post = parts.post.map(|post| (POST, &post.0.words, &post.0.program));
        for (tag, words, program) in launcher.into_iter().chain(post) {
            options.push(OsStr::new(tag));
            options.extend(words.iter().map(OsString::as_os_str));
            named.push(program.clone());
        }
        let mut files = Vec::new();
        let mut contents = |paths: &[PathBuf]| -> Option<Vec<Option<Digest>>> {
            let mut digests = Vec::with_capacity(paths.len());
            for path in paths {
                let found = self.content(path).ok()?;
                digests.push(found.map(|(digest, _)| digest));
                files.push((path.clone(), found.map(|(_, stamp)| stamp)));
            }
            Some(digests)
        };
        let (pulled_in, extra) = (contents(parts.asm_files)?, contents(&named)?);
        let asm: Vec<AsmInput<'_>> = parts
            .asm_files
            .iter()
            .zip(pulled_in)
            .map(|(spelled, content)| AsmInput { spelled, content })
            .collect();
        let names: Vec<String> = names(&named);
        // Of a name that leads nowhere there is no content; a file that appears there has some.
        let extra: Vec<ExtraInput<'_>> = names
            .iter()
            .zip(extra)
            .map(|(option, content)| ExtraInput {
                option,
                content: content.unwrap_or_default(),
            })
            .collect();
        let key = KeyParts {
            clang,
            options: &options,
            module: parts.module,
            index,
            asm_files: &asm,
            extra: &extra,
        }
        .key();
        Some(Keyed {
            key,
            exact: None,
            files,
        })
    }

    /// What is in a file and the stamp it was read under; none where there is no file.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn content(&self, path: &Path) -> io::Result<Option<(Digest, Stamp)>> {
        match self.digests.with_stamp(path) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the digests of remote execution are remembered.
    pub fn remote_memo(&self) -> PathBuf {
        self.store.remote_memo()
    }

    /// What the thin link of a linker of this LLVM sees of files. Of one link all linkers are the same.
    pub fn views(&self, llvm: &str) -> &Views {
        self.views.get_or_init(|| Views::open(&self.store.view_memo(llvm)))
    }

    /// The key of an answer of clang's; none where it cannot be told which clang would give it.
    pub fn question(&self, clang: &Clang, question: &[u8]) -> Option<Key> {
        let mut hash = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(b"answer");
        part(env!("BUILD_OF_THINLTO_LD").as_bytes());
        part(self.clang(clang)?);
        for (name, value) in &environment::heard() {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        part(question);
        Some(Key::from(*hash.finalize().as_bytes()))
    }

    /// What the link's one clang is, looked at once.
    fn clang(&self, clang: &Clang) -> Option<&Vec<u8>> {
        let identity = || self.identity(&clang.path, &clang.version.to_string());
        self.clang.get_or_init(identity).as_ref()
    }

    /// The content of every file a tool of this LLVM is made of; none where that cannot be told.
    pub fn identity(&self, tool: &Path, llvm: &str) -> Option<Vec<u8>> {
        let files = identity::files(tool).ok()?;
        let mut bytes = llvm.as_bytes().to_vec();
        for file in files {
            bytes.extend(self.digests.of(&file).ok()?);
        }
        Some(bytes)
    }

    /// Puts a kept object and what else its backend wrote in place; what there is to know of the backend.
    pub fn get(&self, keyed: &Keyed, object: Destination<'_>, sides: &[PathBuf]) -> Option<Kept> {
        let names = names(sides);
        let sides = places(&names, sides);
        let outputs = Outputs { object, sides: &sides };
        let in_store = |store: &Store, key: &Key| store.get(key, &outputs).ok().map(|hit| (hit.warnings, hit.took));
        let own = |key: &Key| match &self.users {
            // Their entries are lld's, which have no place for it.
            Some(users) => users.get(key, &outputs).map(|said| (said, None)),
            None => in_store(&self.store, key),
        };
        let behind = |key: &Key| self.behind.iter().find_map(|store| in_store(store, key));
        let keys = || std::iter::once(&keyed.key).chain(&keyed.exact);
        let own = keys().find_map(own).map(|found| (found, Tier::Own));
        let ((said, took), tier) = own.or_else(|| Some((keys().find_map(behind)?, Tier::Behind)))?;
        Some(Kept {
            said: String::from_utf8_lossy(&said).into_owned(),
            held: Held { took, tier },
        })
    }

    /// Keeps an object, what else its backend wrote, what it said and how long it ran, unless a file it was made from has changed.
    pub fn put(&self, keyed: &Keyed, object: &Path, sides: &[PathBuf], said: &str, took: Option<Duration>) {
        let names = names(sides);
        let sides = places(&names, sides);
        let outputs = Outputs {
            object: Destination::Staging(object),
            sides: &sides,
        };
        let is_kept = self.users.is_some() || self.store.access() == Access::Full;
        if !is_kept || !keyed.holds() {
            return;
        }
        // The object does not say what is left out of the key; a message can, and who knows what another file does.
        let key = match &keyed.exact {
            Some(exact) if !(said.is_empty() && sides.is_empty()) => exact,
            _ => &keyed.key,
        };
        let kept = match &self.users {
            Some(users) => users
                .put(key, &outputs, said.as_bytes())
                .map_err(|error| error.to_string()),
            None => self
                .store
                .put_timed(key, &outputs, said.as_bytes(), took)
                .map_err(|error| error.to_string()),
        };
        if let Err(error) = kept {
            tracing::debug!("{error}");
        }
    }

    /// Notes for people what it had of a link's backends.
    pub fn count(&self, counts: Counts) {
        if self.store.access() == Access::Read {
            return;
        }
        if let Err(error) = Tally::of(self.store.root()).add(counts, SystemTime::now()) {
            tracing::debug!("not counted: {error}");
        }
    }

    /// Prunes the user's folder if it is time to, after a link of so many LTO tasks; what lld would say of it.
    pub fn prune_users(&self, tasks: usize) -> String {
        let pruned = self
            .users
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), |users| users.prune(tasks));
        let said = pruned.unwrap_or_else(|error| {
            tracing::debug!("--thinlto-cache-dir not pruned: {error}");
            Vec::new()
        });
        said.iter().map(|said| format!("warning: {said}\n")).collect()
    }

    /// Prunes if it is time to, and keeps what was learned of files' contents.
    pub fn tidy(&self) {
        if self.store.access() == Access::Read {
            return;
        }
        if let Err(error) = self.digests.save() {
            tracing::debug!("digests not kept: {error}");
        }
        if let Some(Err(error)) = self.views.get().map(Views::save) {
            tracing::debug!("views not kept: {error}");
        }
        if let Err(error) = policy::prune(&self.store, &self.policy) {
            tracing::debug!("not pruned: {error}");
        }
    }
}

/// Opens the first of the folders that can be, and those behind it. Where none can be, the first of those has to do.
fn open(folders: impl IntoIterator<Item = PathBuf>, settings: &Settings) -> Result<(Store, Vec<Store>), CacheOff> {
    let behind = settings.cache_behind.iter().filter(|folder| folder.is_dir());
    let mut behind: Vec<Store> = behind.map(|folder| Store::to_read(folder)).collect();
    let mut why = CacheOff::NoHome;
    for dir in folders {
        match open_one(&dir) {
            Ok(store) => return Ok((store, behind)),
            Err(off) => {
                tracing::debug!("{off}");
                why = off;
            }
        }
    }
    if behind.is_empty() {
        return Err(why);
    }
    let first = behind.remove(0);
    Ok((first, behind))
}

/// In a folder that anybody can write to, another may have made ours first.
fn open_one(dir: &Path) -> Result<Store, CacheOff> {
    if dir == scratch() {
        private::make(&private::scratch()).map_err(|source| CacheOff::CannotCreate {
            path: dir.to_owned(),
            source,
        })?;
    }
    Store::open(dir)
}

fn scratch() -> PathBuf {
    private::scratch().join("cache")
}

/// The option that leaves a link without a cache.
fn ruled_out(settings: &Settings, invocation: &Invocation) -> Option<&'static str> {
    // Of an object that is not made there are no stages to save.
    if invocation.has("save-temps") {
        return Some("save-temps");
    }
    // Nor times to trace, which in-process LTO has where no cache is asked for.
    let traced = invocation.has("time-trace") && users_dir(settings, invocation).is_none();
    traced.then_some("time-trace")
}

/// Where the user wants objects to be kept, as lld would keep them.
fn users_dir<'a>(settings: &Settings, invocation: &'a Invocation) -> Option<&'a Path> {
    let named = invocation.lto_value("thinlto-cache-dir").filter(|dir| !dir.is_empty());
    named.filter(|_| settings.cache_dir.is_none()).map(Path::new)
}

fn users(dir: &Path, policy: Option<&str>) -> io::Result<LldDir> {
    LldDir::open(dir, llds(Some(Policy::llds(policy.unwrap_or_default()))))
}

/// A policy of lld's own option: of one that is wrong, lld is about to say so.
fn llds(policy: Option<Result<Policy, PolicyError>>) -> Policy {
    policy.and_then(Result::ok).unwrap_or_default()
}

/// Of a policy in our setting that is wrong, a person is told.
fn understood(policy: Result<Policy, PolicyError>) -> Policy {
    policy.unwrap_or_else(|error| {
        tracing::warn!("cache policy: {error}; the default is used");
        Policy::default()
    })
}

/// What was kept beside an object.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What its backend said.
    pub said: String,
    /// What else is known of it.
    pub held: Held,
}

/// What is known of an object that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// How long its backend ran, where that is known.
    pub took: Option<Duration>,
    /// Where it was.
    pub tier: Tier,
}

/// One of the caches of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// That which it writes.
    Own,
    /// One behind it.
    Behind,
}

/// A key, and the files besides modules whose content is in it.
#[derive(Clone, Debug)]
pub struct Keyed {
    key: Key,
    /// The key with what that leaves out, if it does.
    exact: Option<Key>,
    /// None for a file that was not there.
    files: Vec<(PathBuf, Option<Stamp>)>,
}

impl Keyed {
    /// Says what the key leaves out because an object never tells it: what its backend says may.
    #[must_use]
    pub fn without(self, places: &[u8]) -> Keyed {
        let exact = (!places.is_empty()).then(|| self.key.with(places));
        Keyed { exact, ..self }
    }

    /// Those files, as they are named.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter().map(|(path, _)| path)
    }

    /// Whether the files are what they were when the key was made: an object compiled from others is not this key's.
    fn holds(&self) -> bool {
        self.files.iter().all(|(path, stamp)| Stamp::of(path).ok() == *stamp)
    }
}

/// Before the words of a command of the user's, lest those of one read as another's.
const LAUNCHER: &str = "launcher";
const POST: &str = "post-backend";

/// What a module's key is made of, besides its index.
#[derive(Clone, Copy, Debug)]
pub struct ModuleParts<'a> {
    /// The compiler.
    pub clang: &'a Clang,
    /// The words of its commands, but for the names of files that don't shape the object.
    pub words: &'a [u8],
    /// Files that they name, there or not.
    pub named: &'a [PathBuf],
    /// What the backend is started through.
    pub launcher: Option<&'a Launcher>,
    /// What is run on the object.
    pub post: Option<&'a PostBackend>,
    /// Its bytes.
    pub module: Digest,
    /// The files its assembly names.
    pub asm_files: &'a [PathBuf],
}

fn names(sides: &[PathBuf]) -> Vec<String> {
    sides.iter().map(|side| side.display().to_string()).collect()
}

/// What a backend writes beside its object is the user's to see and to change: never the cache's own file.
fn places<'a>(names: &'a [String], sides: &'a [PathBuf]) -> Vec<(&'a str, Destination<'a>)> {
    names
        .iter()
        .map(String::as_str)
        .zip(sides.iter().map(|side| Destination::Public(side)))
        .collect()
}
