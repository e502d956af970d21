use super::*;
use crate::cache::key::Key;
use crate::cache::store::{Destination, Outputs};
use std::process::{Command, Stdio};

/// Policies and whether they are good; lld is asked too.
const TABLE: &[(&str, bool)] = &[
    ("", true),
    ("prune_interval=30s", true),
    ("prune_interval=0s", true),
    ("prune_interval=2m:prune_after=3h", true),
    ("prune_after=0x10s", true),
    ("prune_after=010s", true),
    ("prune_after=0b11s", true),
    ("prune_after=0B11s", true),
    ("prune_after=0o17s", true),
    ("prune_after=0O17s", false),
    ("prune_after=08s", false),
    ("prune_after=0xs", false),
    ("prune_after=", false),
    ("prune_after", false),
    ("prune_after=s", false),
    ("prune_after=7d", false),
    ("prune_after=-1s", false),
    ("prune_after=+1s", false),
    ("prune_after= 1s", false),
    ("prune_after=1S", false),
    ("prune_after=1_0s", false),
    ("prune_after=99999999999999999999s", false),
    ("prune_interval=foos", false),
    ("cache_size=0%", true),
    ("cache_size=100%", true),
    ("cache_size=101%", false),
    ("cache_size=50", false),
    ("cache_size=%", false),
    ("cache_size=foo%", false),
    ("cache_size_bytes=1", true),
    ("cache_size_bytes=2k", true),
    ("cache_size_bytes=3M", true),
    ("cache_size_bytes=4G", true),
    ("cache_size_bytes=4t", false),
    ("cache_size_bytes=k", false),
    ("cache_size_bytes=foo", false),
    ("cache_size_files=7", true),
    ("cache_size_files=0", true),
    ("cache_size_files=", false),
    ("cache_size_files=7k", false),
    ("prune_after=1s:cache_size=50%:", true),
    ("prune_after=1s::cache_size=50%", false),
    (":prune_after=1s", false),
    ("foo=bar", false),
    ("Prune_after=1s", false),
    ("prune_after=1s=2s", false),
    ("prune_after=1s:prune_after=2h", true),
];

#[test]
fn accepts_and_rejects_what_lld_does_in_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("e.s");
    let object = dir.path().join("e.o");
    std::fs::write(&source, ".globl _start\n_start:\n").unwrap();
    assert!(
        Command::new("clang-22")
            .arg("-c")
            .arg(&source)
            .arg("-o")
            .arg(&object)
            .status()
            .unwrap()
            .success()
    );
    for &(text, good) in TABLE {
        let lld = Command::new("ld.lld-22")
            .args(["-o", "/dev/null", &format!("--thinlto-cache-policy={text}")])
            .arg(&object)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let ours = Policy::parse(text);
        assert_eq!(
            lld.status.success(),
            good,
            "lld on {text:?}: {}",
            String::from_utf8_lossy(&lld.stderr)
        );
        assert_eq!(ours.is_ok(), good, "{text:?}: {ours:?}");
        if let Err(e) = ours {
            let said = String::from_utf8_lossy(&lld.stderr).into_owned();
            assert!(said.contains(&e.to_string()), "{text:?}: ours {e:?}, lld's {said:?}");
        }
    }
}

#[test]
fn values_are_those_lld_reads() {
    let s = Duration::from_secs;
    let default = Policy::default();
    let table = [
        ("", default),
        (
            "prune_interval=1s",
            Policy {
                interval: s(1),
                ..default
            },
        ),
        (
            "prune_interval=3h:prune_after=2m",
            Policy {
                interval: s(10_800),
                expiration: s(120),
                ..default
            },
        ),
        (
            "prune_after=0x10s",
            Policy {
                expiration: s(16),
                ..default
            },
        ),
        (
            "prune_after=010s",
            Policy {
                expiration: s(8),
                ..default
            },
        ),
        (
            "cache_size=50%",
            Policy {
                percent: 50,
                bytes: 0,
                ..default
            },
        ),
        (
            "cache_size_bytes=4G",
            Policy {
                bytes: 4 << 30,
                ..default
            },
        ),
        (
            "cache_size_bytes=2k:cache_size=50%",
            Policy {
                percent: 50,
                bytes: 2048,
                ..default
            },
        ),
        (
            "cache_size=50%:cache_size_bytes=2k",
            Policy {
                percent: 50,
                bytes: 2048,
                ..default
            },
        ),
        ("cache_size_bytes=0", Policy { bytes: 0, ..default }),
        ("cache_size_files=9", Policy { files: 9, ..default }),
    ];
    for (text, policy) in table {
        assert_eq!(Policy::parse(text), Ok(policy), "{text:?}");
    }
    // lld reads the character before an empty value; whatever comes of that, we say no.
    for text in ["cache_size=", "cache_size_bytes="] {
        assert!(matches!(Policy::parse(text), Err(PolicyError::EmptyValue(_))));
    }
}

const HOUR: u64 = 3600;

fn cached(name: &str, hours: u64, bytes: u64) -> Cached {
    Cached {
        used: at(1000) - Duration::from_secs(hours * HOUR),
        bytes,
        path: PathBuf::from(name),
        kind: Kind::Content,
    }
}

fn at(hours: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(hours * HOUR)
}

fn unbounded() -> Policy {
    Policy {
        interval: Duration::ZERO,
        expiration: Duration::ZERO,
        percent: 0,
        bytes: 0,
        files: 0,
    }
}

fn gone(policy: Policy, files: Vec<Cached>, free: u64) -> Vec<(String, Why)> {
    let plan = plan(files, &policy, at(1000), || Ok(free)).unwrap();
    plan.remove
        .iter()
        .map(|d| (d.path.display().to_string(), d.why))
        .collect()
}

#[test]
fn the_longest_unused_go_first() {
    let files = || {
        vec![
            cached("new", 1, 10),
            cached("old", 9, 10),
            cached("big", 5, 40),
            cached("small", 5, 1),
        ]
    };
    let is = |v: Vec<(String, Why)>, want: &[(&str, Why)]| {
        assert_eq!(v.iter().map(|(n, w)| (n.as_str(), *w)).collect::<Vec<_>>(), want);
    };
    is(gone(unbounded(), files(), 0), &[]);
    is(
        gone(
            Policy {
                expiration: Duration::from_secs(5 * HOUR),
                ..unbounded()
            },
            files(),
            0,
        ),
        &[("old", Why::Expired)],
    );
    is(
        gone(
            Policy {
                files: 2,
                ..unbounded()
            },
            files(),
            0,
        ),
        &[("old", Why::Files), ("big", Why::Files)],
    );
    is(
        gone(
            Policy {
                bytes: 51,
                ..unbounded()
            },
            files(),
            0,
        ),
        &[("old", Why::Size)],
    );
    is(
        gone(
            Policy {
                bytes: 50,
                ..unbounded()
            },
            files(),
            0,
        ),
        &[("old", Why::Size), ("big", Why::Size)],
    );
    // 61 bytes are there and 139 free: a tenth of the 200 is 20.
    is(
        gone(
            Policy {
                percent: 10,
                ..unbounded()
            },
            files(),
            139,
        ),
        &[("old", Why::Size), ("big", Why::Size)],
    );
    is(
        gone(
            Policy {
                percent: 10,
                bytes: 5,
                ..unbounded()
            },
            files(),
            10_000,
        ),
        &[
            ("old", Why::Size),
            ("big", Why::Size),
            ("small", Why::Size),
            ("new", Why::Size),
        ],
    );
}

#[test]
fn a_file_used_in_the_future_is_not_old() {
    let mut file = cached("clock", 0, 1);
    file.used = at(2000);
    assert!(
        gone(
            Policy {
                expiration: Duration::from_secs(1),
                ..unbounded()
            },
            vec![file],
            0
        )
        .is_empty()
    );
}

fn store_with_one(dir: &Path) -> Store {
    let store = Store::open(dir).unwrap();
    let object = dir.join("made.o");
    std::fs::write(&object, "object").unwrap();
    store
        .put(
            &Key::from([1; 32]),
            &Outputs {
                object: Destination::Staging(&object),
                sides: &[],
            },
            b"",
        )
        .unwrap();
    store
}

#[test]
fn a_dry_run_says_what_a_pruning_then_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_one(dir.path());
    let leftover = store.root().join("01/tmp-leftover");
    std::fs::write(&leftover, "half").unwrap();
    File::options()
        .write(true)
        .open(&leftover)
        .unwrap()
        .set_modified(SystemTime::now() - 2 * LEFTOVER_AFTER)
        .unwrap();
    let stranger = store.root().join("01/holiday.jpg");
    std::fs::write(&stranger, "picture").unwrap();
    let policy = Policy {
        bytes: 1,
        ..unbounded()
    };
    let said = dry_run(&store, &policy).unwrap();
    assert_eq!((said.before.files, said.before.entries), (2, 1));
    assert_eq!(said.after, Usage::default());
    assert_eq!(said.remove.len(), 3);
    assert_eq!(prune(&store, &policy).unwrap(), Pruned::Done(said));
    assert_eq!(dry_run(&store, &policy).unwrap(), Plan::default());
    assert!(stranger.exists() && !leftover.exists());
}

#[test]
fn the_interval_holds_and_a_pruning_elsewhere_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_one(dir.path());
    let policy = Policy {
        interval: Duration::from_secs(HOUR),
        ..unbounded()
    };
    // As lld: the first link of a cache prunes.
    assert!(matches!(prune(&store, &policy).unwrap(), Pruned::Done(_)));
    assert_eq!(prune(&store, &policy).unwrap(), Pruned::NotNow);
    let stamp = File::open(store.root().join("pruned")).unwrap();
    stamp
        .set_modified(SystemTime::now() - Duration::from_secs(2 * HOUR))
        .unwrap();
    rustix::fs::flock(&stamp, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(prune(&store, &policy).unwrap(), Pruned::NotNow);
    drop(stamp);
    assert!(matches!(prune(&store, &policy).unwrap(), Pruned::Done(_)));
}
