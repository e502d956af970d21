use super::*;
use std::thread;

fn link(mode: LinkMode, reason: Option<&str>) -> Sums {
    let mut stats = Stats::new("ld.lld".into());
    stats.mode = mode;
    stats.reason = reason.map(str::to_owned);
    stats.backends.run = 2;
    stats.backends.cached = 3;
    stats.backends.cached_ms = 40.0;
    Sums::of(&stats)
}

fn ledger() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::of(folder.path());
    (folder, ledger)
}

#[test]
fn links_add_up() {
    let (_folder, ledger) = ledger();
    assert_eq!(ledger.sums(), Sums::default());
    for (mode, reason) in [
        (LinkMode::Distributed, None),
        (LinkMode::InProcess, Some("--reproduce")),
        (LinkMode::InProcess, Some("--reproduce")),
        (LinkMode::Passthrough, Some("no ThinLTO bitcode")),
    ] {
        ledger.add(&link(mode, reason)).unwrap();
    }
    let sums = ledger.sums();
    assert_eq!(sums.all(), 4);
    assert_eq!(
        sums.reasons[&LinkMode::InProcess],
        BTreeMap::from([("--reproduce".to_owned(), 2)])
    );
    assert_eq!(
        (sums.modules.compiled, sums.modules.cached, sums.ms.saved),
        (8, 12, 160.0)
    );
    ledger.clear().unwrap();
    assert_eq!(ledger.sums(), Sums::default());
}

/// Folded again and again while others write: not one is lost, and not one is counted twice.
#[test]
fn links_at_once_are_all_counted() {
    let (folder, mut ledger) = ledger();
    ledger.largest = 2000;
    let link = link(LinkMode::InProcess, Some("mode"));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..300).for_each(|_| ledger.add(&link).unwrap()));
        }
    });
    assert_eq!(ledger.sums().all(), 2400);
    let bytes: u64 = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 10_000, "{bytes}");
}

#[test]
fn what_is_damaged_is_not_counted_and_harms_no_other() {
    let (_folder, ledger) = ledger();
    for _ in 0..3 {
        ledger.add(&link(LinkMode::Distributed, None)).unwrap();
    }
    let whole = fs::read(ledger.path()).unwrap();
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 2;
        fs::write(ledger.path(), altered).unwrap();
        assert!((1..3).contains(&ledger.sums().all()), "byte {at}");
    }
}

#[test]
fn reasons_without_end_are_counted_together() {
    let mut sums = Sums::default();
    for number in 0..1000 {
        sums += &link(LinkMode::InProcess, Some(&format!("{number}.o changed")));
    }
    let reasons = &sums.reasons[&LinkMode::InProcess];
    assert_eq!((reasons.len(), reasons.values().sum::<u64>()), (REASONS + 1, 1000));
}
