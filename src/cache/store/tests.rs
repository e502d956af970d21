use super::*;
use crate::cache::policy::{self, Policy};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicUsize;
use tempfile::TempDir;

struct Fixture {
    dir: TempDir,
    store: Store,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("cache")).unwrap();
    Fixture { dir, store }
}

fn key(n: u32) -> Key {
    Key::from(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

fn outputs(object: &Path) -> Outputs<'_> {
    Outputs {
        object: Destination::Staging(object),
        sides: &[],
    }
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, n: u32, content: &[u8]) {
        let from = self.path("made.o");
        std::fs::write(&from, content).unwrap();
        self.store.put(&key(n), &outputs(&from), b"warning: w\n").unwrap();
    }

    fn get(&self, n: u32) -> Result<(Vec<u8>, Hit), Miss> {
        let to = self.path("got.o");
        let hit = self.store.get(&key(n), &outputs(&to));
        match hit {
            Ok(hit) => Ok((std::fs::read(to).unwrap(), hit)),
            Err(miss) => {
                assert!(!to.exists() || miss == Miss::Absent);
                Err(miss)
            }
        }
    }

    fn entry(&self, n: u32) -> PathBuf {
        self.store.path(key(n).as_bytes(), "")
    }

    fn content(&self, content: &[u8]) -> PathBuf {
        self.store.path(blake3::hash(content).as_bytes(), CONTENT_SUFFIX)
    }
}

/// Rewrites a read-only file of the cache as rot would: same inode.
fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_put_is_got_with_its_warnings() {
    let f = fixture();
    assert_eq!(f.get(1).unwrap_err(), Miss::Absent);
    f.put(1, b"object");
    let (object, hit) = f.get(1).unwrap();
    assert_eq!(
        (object.as_slice(), hit.warnings.as_slice()),
        (&b"object"[..], &b"warning: w\n"[..])
    );
    assert_eq!(hit.object, *blake3::hash(b"object").as_bytes());
    let mode = std::fs::metadata(f.content(b"object")).unwrap().mode() & 0o777;
    assert_eq!(mode & 0o333, 0, "{mode:o} is writable or executable");
}

#[test]
fn warnings_of_any_bytes_survive() {
    let f = fixture();
    let from = f.path("a.o");
    std::fs::write(&from, "x").unwrap();
    for warnings in [&b""[..], b"\n", b"a\nb\0\xff"] {
        f.store.put(&key(1), &outputs(&from), warnings).unwrap();
        assert_eq!(f.get(1).unwrap().1.warnings, warnings);
    }
}

#[test]
fn an_empty_object_is_refused() {
    let f = fixture();
    let from = f.path("a.o");
    std::fs::write(&from, "").unwrap();
    assert!(matches!(
        f.store.put(&key(1), &outputs(&from), b""),
        Err(PutError::EmptyObject(_))
    ));
    assert_eq!(f.get(1).unwrap_err(), Miss::Absent);
}

#[test]
fn side_outputs_come_along_and_must_be_those_asked_for() {
    let f = fixture();
    let (o, dwo, o2, dwo2) = (f.path("a.o"), f.path("a.dwo"), f.path("b.o"), f.path("b.dwo"));
    std::fs::write(&o, "object").unwrap();
    std::fs::write(&dwo, "debug").unwrap();
    f.store
        .put(
            &key(1),
            &Outputs {
                object: Destination::Staging(&o),
                sides: &[("dwo", Destination::Public(&dwo))],
            },
            b"",
        )
        .unwrap();
    let wanted = Outputs {
        object: Destination::Staging(&o2),
        sides: &[("dwo", Destination::Public(&dwo2))],
    };
    f.store.get(&key(1), &wanted).unwrap();
    assert_eq!(std::fs::read(&dwo2).unwrap(), b"debug");
    // A public file is nobody's but its owner's.
    let m = std::fs::metadata(&dwo2).unwrap();
    assert_eq!(m.nlink(), 1);
    assert_ne!(m.mode() & 0o200, 0);
    assert_eq!(f.get(1).unwrap_err(), Miss::OtherOutputs);
    // A damaged side output takes the object back too.
    damage(&f.content(b"debug"), |b| b[0] ^= 1);
    assert_eq!(f.store.get(&key(1), &wanted).unwrap_err(), Miss::Damaged);
    assert!(!o2.exists() && !dwo2.exists());
}

#[test]
fn damage_of_any_kind_is_a_miss_and_is_cleared_away() {
    let f = fixture();
    let changes: [fn(&mut Vec<u8>); 5] = [
        |b| b.truncate(b.len() / 2),
        Vec::clear,
        |b| b[0] ^= 1,
        |b| {
            if let Some(last) = b.last_mut() {
                *last ^= 0x80;
            }
        },
        |b| b.push(0),
    ];
    for change in changes {
        for file in [f.entry(1), f.content(b"object")] {
            f.put(1, b"object");
            damage(&file, change);
            assert_eq!(f.get(1).unwrap_err(), Miss::Damaged);
            assert!(!file.exists());
            assert_eq!(f.get(1).unwrap_err(), Miss::Absent);
        }
    }
    f.put(1, b"object");
    assert_eq!(f.get(1).unwrap().0, b"object");
}

#[test]
fn an_entry_under_another_name_is_not_believed() {
    let f = fixture();
    f.put(1, b"object");
    f.put(2, b"other");
    std::fs::rename(f.entry(1), f.entry(2)).unwrap();
    assert_eq!(f.get(2).unwrap_err(), Miss::Damaged);
}

#[test]
fn a_staged_object_outlives_its_entry() {
    let f = fixture();
    f.put(1, b"object");
    let to = f.path("staged.o");
    f.store.get(&key(1), &outputs(&to)).unwrap();
    let everything = Policy {
        bytes: 1,
        interval: Duration::ZERO,
        ..Policy::default()
    };
    policy::prune(&f.store, &everything).unwrap();
    assert!(!f.content(b"object").exists());
    assert_eq!(std::fs::read(&to).unwrap(), b"object");
}

#[test]
fn a_place_already_taken_is_replaced_not_written_through() {
    let f = fixture();
    f.put(1, b"first");
    f.put(2, b"second");
    let to = f.path("staged.o");
    for destination in [Destination::Staging(to.as_path()), Destination::Public(&to)] {
        f.store.get(&key(1), &outputs(&to)).unwrap();
        f.store
            .get(
                &key(2),
                &Outputs {
                    object: destination,
                    sides: &[],
                },
            )
            .unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"second");
        assert_eq!(f.get(1).unwrap().0, b"first");
    }
}

#[test]
fn another_file_system_gets_a_copy() {
    let f = fixture();
    f.put(1, b"object");
    let shm = tempfile::tempdir_in("/dev/shm").unwrap();
    let to = shm.path().join("a.o");
    f.store.get(&key(1), &outputs(&to)).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), b"object");
    assert_eq!(std::fs::metadata(f.content(b"object")).unwrap().nlink(), 1);
}

#[test]
fn a_use_is_noted_once_in_a_while() {
    let f = fixture();
    f.put(1, b"object");
    let long_ago = SystemTime::now() - Duration::from_secs(86_400);
    let moments_ago = SystemTime::now() - Duration::from_secs(60);
    for (set, moves) in [(long_ago, true), (moments_ago, false)] {
        for file in [f.entry(1), f.content(b"object")] {
            File::open(&file).unwrap().set_modified(set).unwrap();
        }
        f.get(1).unwrap();
        for file in [f.entry(1), f.content(b"object")] {
            assert_eq!(
                std::fs::metadata(&file).unwrap().modified().unwrap() > set + Duration::from_secs(1),
                moves
            );
        }
    }
}

#[test]
fn no_folder_no_cache_and_the_reason_has_a_name() {
    assert_eq!(
        default_dir(Some(OsStr::new("/x")), Some(OsStr::new("/h"))).unwrap(),
        Path::new("/x/thinlto-ld")
    );
    assert_eq!(
        default_dir(Some(OsStr::new("x")), Some(OsStr::new("/h"))).unwrap(),
        Path::new("/h/.cache/thinlto-ld")
    );
    assert_eq!(
        default_dir(None, Some(OsStr::new(""))).unwrap_err().name(),
        "cache-no-home"
    );
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(
        Store::open(&dir.path().join("file")).unwrap_err().name(),
        "cache-cannot-create"
    );
    // /proc takes no new folders, whoever asks.
    assert_eq!(
        Store::open(Path::new("/proc/thinlto-ld")).unwrap_err().name(),
        "cache-cannot-create"
    );
}

/// 64 threads put and get the same few keys, each with whatever object it likes (as if backends were not deterministic),
/// while others prune everything and damage files: an object got is always one that was put under its key.
#[test]
fn many_links_at_once_never_get_a_wrong_object() {
    const KEYS: u32 = 8;
    let f = fixture();
    let (hits, prunes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let object = |key: u32, variant: u32| format!("object {key} ").repeat(500 + variant as usize).into_bytes();
    std::thread::scope(|s| {
        for thread in 0..64u32 {
            let (f, hits, prunes) = (&f, &hits, &prunes);
            s.spawn(move || {
                let (made, got) = (f.path(&format!("made{thread}.o")), f.path(&format!("got{thread}.o")));
                for round in 0..60u32 {
                    let n = (thread + round) % KEYS;
                    if thread % 16 == 0 {
                        let policy = Policy {
                            bytes: 6_000,
                            interval: Duration::ZERO,
                            ..Policy::default()
                        };
                        if let policy::Pruned::Done(plan) = policy::prune(&f.store, &policy).unwrap() {
                            prunes.fetch_add(plan.remove.len(), Ordering::Relaxed);
                        }
                    } else if thread % 16 == 1 {
                        // Rot is simulated by replacing the file: writing into it would also reach what is staged.
                        let victim = f.content(&object(n, thread % 3));
                        let rot = f.path(&format!("rot{thread}"));
                        std::fs::write(&rot, b"rot").unwrap();
                        if victim.exists() {
                            let _ = std::fs::rename(&rot, &victim);
                        }
                    } else {
                        std::fs::write(&made, object(n, thread % 3)).unwrap();
                        f.store.put(&key(n), &outputs(&made), n.to_string().as_bytes()).unwrap();
                        if let Ok(hit) = f.store.get(&key(n), &outputs(&got)) {
                            let bytes = std::fs::read(&got).unwrap();
                            assert!((0..3).any(|v| bytes == object(n, v)), "wrong object under key {n}");
                            assert_eq!(hit.warnings, n.to_string().as_bytes());
                            hits.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert!(
        hits.into_inner() > 100 && prunes.into_inner() > 10,
        "the test tested nothing"
    );
}
