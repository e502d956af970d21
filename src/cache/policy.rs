//! When cached files go: lld's `--thinlto-cache-policy` grammar, and pruning by it, oldest first. Knows nothing of what
//! the files hold; readers and writers are not stopped, for an unlinked file lives on as long as someone has it.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::store::{CONTENT_SUFFIX, Store, TEMP_PREFIX};

/// A file half-written for so long has lost its writer.
const LEFTOVER_AFTER: Duration = Duration::from_secs(60 * 60);

/// What bounds the cache (LLVM's `CachePruningPolicy`, llvm/Support/CachePruning.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long after one pruning the next may be; zero prunes after every link.
    pub interval: Duration,
    /// How long a file unused stays; zero: for ever.
    pub expiration: Duration,
    /// Largest share of the space the cache could take (its own size and what is free), in percent; zero: no bound.
    pub percent: u32,
    /// Largest size; zero: no bound.
    pub bytes: u64,
    /// Most files, an object being two (itself and its entry); zero: no bound.
    pub files: u64,
}

impl Default for Policy {
    /// lld's (twenty minutes, a week, 75 %, a million files), and 5 GB at most: lld caches where it is told to, we also
    /// where nobody asked for it.
    fn default() -> Policy {
        Policy {
            interval: Duration::from_secs(20 * 60),
            expiration: Duration::from_secs(7 * 24 * 60 * 60),
            percent: 75,
            bytes: 5_000_000_000,
            files: 1_000_000,
        }
    }
}

/// What is wrong with a policy; the texts are lld's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// `prune_after=`
    #[error("Duration must not be empty")]
    EmptyDuration,
    /// `cache_size=`, `cache_size_bytes=`: lld reads past the end of the value here.
    #[error("'{0}' must have a value")]
    EmptyValue(String),
    /// `prune_after=soon`
    #[error("'{0}' not an integer")]
    NotAnInteger(String),
    /// `prune_after=3d`
    #[error("'{0}' must end with one of 's', 'm' or 'h'")]
    Unit(String),
    /// `cache_size=3`
    #[error("'{0}' must be a percentage")]
    NotAPercentage(String),
    /// `cache_size=101%`
    #[error("'{0}' must be between 0 and 100")]
    PercentageRange(String),
    /// `size=3`
    #[error("Unknown key: '{0}'")]
    UnknownKey(String),
}

impl Policy {
    /// Reads a policy as llvm's `parseCachePruningPolicy` does: `key=value` with `:` between, the last of a key wins, what
    /// is not named has its default. Our own bound of 5 GB only holds where the policy names no size itself.
    ///
    /// # Errors
    /// Where lld has one, in its words.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        Policy::default().and(text, true)
    }

    /// lld's for a folder that the user names: the same without a bound of ours.
    ///
    /// # Errors
    /// As [`Policy::parse`].
    pub fn llds(text: &str) -> Result<Policy, PolicyError> {
        let unbounded = Policy {
            bytes: 0,
            ..Policy::default()
        };
        unbounded.and(text, false)
    }

    fn and(self, text: &str, mut own_bound: bool) -> Result<Policy, PolicyError> {
        let mut policy = self;
        let mut rest = text;
        while !rest.is_empty() {
            let (item, after) = rest.split_once(':').unwrap_or((rest, ""));
            rest = after;
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            match key {
                "prune_interval" => policy.interval = duration(value)?,
                "prune_after" => policy.expiration = duration(value)?,
                "cache_size" => {
                    policy.percent = percentage(key, value)?;
                    if std::mem::take(&mut own_bound) {
                        policy.bytes = 0;
                    }
                }
                "cache_size_bytes" => {
                    policy.bytes = bytes(key, value)?;
                    own_bound = false;
                }
                "cache_size_files" => policy.files = integer(value)?,
                _ => return Err(PolicyError::UnknownKey(key.to_owned())),
            }
        }
        Ok(policy)
    }
}

impl Policy {
    /// Whether nothing is ever pruned.
    pub(super) fn is_boundless(&self) -> bool {
        self.expiration.is_zero() && self.percent == 0 && self.bytes == 0 && self.files == 0
    }

    /// How many bytes files that have `total` may have.
    pub(super) fn largest(&self, total: u64, free: impl FnOnce() -> io::Result<u64>) -> io::Result<u64> {
        Ok(match (self.percent.min(100), self.bytes) {
            (0, 0) => u64::MAX,
            (0, bytes) => bytes,
            (percent, bytes) => {
                let available = u128::from(total).saturating_add(u128::from(free()?));
                let share = u64::try_from(available.saturating_mul(u128::from(percent)) / 100).unwrap_or(u64::MAX);
                if bytes == 0 { share } else { share.min(bytes) }
            }
        })
    }
}

fn duration(value: &str) -> Result<Duration, PolicyError> {
    let Some(unit) = value.chars().next_back() else {
        return Err(PolicyError::EmptyDuration);
    };
    let number = integer(value.strip_suffix(unit).unwrap_or(value))?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        _ => return Err(PolicyError::Unit(value.to_owned())),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

fn percentage(key: &str, value: &str) -> Result<u32, PolicyError> {
    if value.is_empty() {
        return Err(PolicyError::EmptyValue(key.to_owned()));
    }
    let number = value
        .strip_suffix('%')
        .ok_or_else(|| PolicyError::NotAPercentage(value.to_owned()))?;
    match u32::try_from(integer(number)?) {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => Err(PolicyError::PercentageRange(number.to_owned())),
    }
}

fn bytes(key: &str, value: &str) -> Result<u64, PolicyError> {
    let Some(unit) = value.chars().next_back() else {
        return Err(PolicyError::EmptyValue(key.to_owned()));
    };
    let (number, multiplier) = match unit.to_ascii_lowercase() {
        'k' => (value.strip_suffix(unit), 1 << 10),
        'm' => (value.strip_suffix(unit), 1 << 20),
        'g' => (value.strip_suffix(unit), 1 << 30),
        _ => (Some(value), 1),
    };
    Ok(integer(number.unwrap_or(value))?.saturating_mul(multiplier))
}

/// `StringRef::getAsInteger(0, …)`: `0x`, `0b`, `0o` and a bare leading `0` choose the radix; no sign.
fn integer(text: &str) -> Result<u64, PolicyError> {
    let error = || PolicyError::NotAnInteger(text.to_owned());
    let prefixed = |lower: &str, upper: &str| text.strip_prefix(lower).or_else(|| text.strip_prefix(upper));
    let (digits, radix) = if let Some(d) = prefixed("0x", "0X") {
        (d, 16)
    } else if let Some(d) = prefixed("0b", "0B") {
        (d, 2)
    } else if let Some(d) = text.strip_prefix("0o") {
        (d, 8)
    } else {
        match text.strip_prefix('0') {
            Some(d) if d.starts_with(|c: char| c.is_ascii_digit()) => (d, 8),
            _ => (text, 10),
        }
    };
    // Rust takes a plus sign, LLVM does not.
    if digits.starts_with('+') {
        return Err(error());
    }
    u64::from_str_radix(digits, radix).map_err(|_| error())
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of the files' lengths.
    pub bytes: u64,
    /// How many files; an object is two.
    pub files: u64,
    /// How many of them are entries: of objects, and of whole links.
    pub entries: u64,
}

impl Usage {
    fn add(&mut self, file: &Cached) {
        self.bytes = self.bytes.saturating_add(file.bytes);
        self.files = self.files.saturating_add(1);
        self.entries = self.entries.saturating_add(u64::from(file.kind == Kind::Entry));
    }

    fn remove(&mut self, file: &Cached) {
        self.bytes = self.bytes.saturating_sub(file.bytes);
        self.files = self.files.saturating_sub(1);
        self.entries = self.entries.saturating_sub(u64::from(file.kind == Kind::Entry));
    }
}

/// Why a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Unused longer than the policy's `prune_after`.
    Expired,
    /// There are more files than `cache_size_files`.
    Files,
    /// There is more than `cache_size` or `cache_size_bytes`.
    Size,
    /// Left half-written by a process that is gone.
    Leftover,
}

/// A file that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// Which.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Why.
    pub why: Why,
}

/// What a pruning would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What goes, first to last.
    pub remove: Vec<Doomed>,
    /// What is there before.
    pub before: Usage,
    /// What is there after.
    pub after: Usage,
}

/// What came of a pruning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// Not yet time for it, or another link is at it.
    NotNow,
    /// This went.
    Done(Plan),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Entry,
    Content,
    Temporary,
}

/// A file that may go.
pub(super) struct Cached {
    /// When it was last used.
    pub(super) used: SystemTime,
    pub(super) bytes: u64,
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

/// What would go if the store were pruned now, the interval disregarded; nothing is touched.
///
/// # Errors
/// Where the folder can't be listed, or the free space is needed and can't be had.
pub fn dry_run(store: &Store, policy: &Policy) -> io::Result<Plan> {
    plan(list(store)?, policy, SystemTime::now(), || free_space(store.root()))
}

/// Prunes the store if the policy's interval is over (llvm's `pruneCache`). Takes a lock that only other prunings look at,
/// and does not wait for it.
///
/// # Errors
/// Where the folder can't be listed or the time of pruning noted. A file that can't be removed is none.
pub fn prune(store: &Store, policy: &Policy) -> io::Result<Pruned> {
    let path = store.root().join("pruned");
    let stamp = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)?;
    match rustix::fs::flock(&stamp, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Pruned::NotNow),
        Err(e) => return Err(e.into()),
    }
    // An empty file is one just made: nobody has pruned here yet.
    let now = SystemTime::now();
    let m = stamp.metadata()?;
    if m.len() > 0 && !policy.interval.is_zero() && age(now, m.modified()?) <= policy.interval {
        return Ok(Pruned::NotNow);
    }
    stamp.set_len(1)?;
    stamp.set_modified(now)?;
    let plan = plan(list(store)?, policy, now, || free_space(store.root()))?;
    for doomed in &plan.remove {
        let _ = std::fs::remove_file(&doomed.path);
    }
    Ok(Pruned::Done(plan))
}

pub(super) fn plan(
    files: Vec<Cached>,
    policy: &Policy,
    now: SystemTime,
    free: impl FnOnce() -> io::Result<u64>,
) -> io::Result<Plan> {
    let mut plan = Plan::default();
    let mut remove = Vec::new();
    let mut kept = Vec::new();
    for file in files {
        match file.kind {
            Kind::Temporary if age(now, file.used) > LEFTOVER_AFTER => remove.push((file, Why::Leftover)),
            Kind::Temporary => {}
            Kind::Entry | Kind::Content => {
                plan.before.add(&file);
                if !policy.expiration.is_zero() && age(now, file.used) > policy.expiration {
                    remove.push((file, Why::Expired));
                } else {
                    plan.after.add(&file);
                    kept.push(file);
                }
            }
        }
    }
    let target = policy.largest(plan.after.bytes, free)?;
    // Longest unused first; of those the largest.
    kept.sort_by(|a, b| (a.used, b.bytes, &a.path).cmp(&(b.used, a.bytes, &b.path)));
    for file in kept {
        let why = if policy.files > 0 && plan.after.files > policy.files {
            Why::Files
        } else if plan.after.bytes > target {
            Why::Size
        } else {
            break;
        };
        plan.after.remove(&file);
        remove.push((file, why));
    }
    plan.remove = remove
        .into_iter()
        .map(|(f, why)| Doomed {
            path: f.path,
            bytes: f.bytes,
            why,
        })
        .collect();
    Ok(plan)
}

/// Time since `then`; none for a time to come.
fn age(now: SystemTime, then: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

pub(super) fn free_space(root: &Path) -> io::Result<u64> {
    let s = rustix::fs::statvfs(root)?;
    Ok(s.f_bfree.saturating_mul(s.f_frsize))
}

/// Every file of the store that is ours by its name, so that a cache folder which is something else too loses nothing.
/// What goes away while we look is not there.
fn list(store: &Store) -> io::Result<Vec<Cached>> {
    let mut files = Vec::new();
    let mut folders = vec![store.root().to_owned()];
    folders.extend((0..=u8::MAX).map(|n| store.root().join(format!("{n:02x}"))));
    for folder in folders {
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Some(kind) = entry.file_name().to_str().and_then(kind_of) else {
                continue;
            };
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if let (true, Ok(used)) = (metadata.is_file(), Metadata::modified(&metadata)) {
                files.push(Cached {
                    used,
                    bytes: metadata.len(),
                    path: entry.path(),
                    kind,
                });
            }
        }
    }
    Ok(files)
}

fn kind_of(name: &str) -> Option<Kind> {
    if name.starts_with(TEMP_PREFIX) {
        return Some(Kind::Temporary);
    }
    let (hash, kind) = match name.strip_suffix(CONTENT_SUFFIX) {
        Some(hash) => (hash, Kind::Content),
        None => (name, Kind::Entry),
    };
    (hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit())).then_some(kind)
}

#[cfg(test)]
mod tests;
