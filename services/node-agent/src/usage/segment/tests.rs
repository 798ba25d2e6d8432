//! Crashes at every byte.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;

/// What billing has: (uid, sequence) → (from, to).
type Ledger = BTreeMap<(String, u64), (i64, i64)>;

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("network-journal-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn files(&self) -> usize {
        segment_numbers(&self.0).unwrap().len()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug, Clone)]
enum Op {
    Start(u8),
    Stop(u8),
    Cut,
    Ship(usize),
    Reopen,
}

fn op() -> impl Strategy<Value = (Op, i64)> {
    let op = prop_oneof![
        3 => (0u8..3).prop_map(Op::Start),
        2 => (0u8..3).prop_map(Op::Stop),
        6 => Just(Op::Cut),
        2 => (1usize..5).prop_map(Op::Ship),
        1 => Just(Op::Reopen),
    ];
    // Clocks go back now and then.
    (op, prop_oneof![5 => 1i64..1000, 1 => -3000i64..0])
}

/// Records into the ledger; the same interval may come twice, never with other times.
fn ship(store: &Store, ledger: &mut Ledger, limit: usize) -> usize {
    let sent = store.pending(limit);
    for interval in &sent {
        let times = (interval.from_ms, interval.to_ms);
        let before = ledger.insert((interval.uid.clone(), interval.sequence), times);
        assert!(before.is_none_or(|before| before == times), "{interval:?} was {before:?}");
    }
    sent.len()
}

fn run(store: &mut Store, op: &Op, now: i64, dir: &Path, ledger: &mut Ledger) {
    match op {
        Op::Start(pod) => store.start(&format!("p{pod}"), PlacementInfo::default(), now).unwrap(),
        Op::Stop(pod) => store.stop(&format!("p{pod}"), now).unwrap(),
        Op::Cut => store.cut(now).unwrap(),
        Op::Ship(limit) => {
            let count = ship(store, ledger, *limit);
            store.acknowledge(count).unwrap();
        }
        Op::Reopen => *store = reopened(dir),
    }
}

/// A new agent: it finds everything running that ran.
fn reopened(dir: &Path) -> Store {
    let mut store = Store::open(dir, 700).unwrap();
    for uid in store.running() {
        store.start(&uid, PlacementInfo::default(), 0).unwrap();
    }
    store
}

/// Sequences from 1 without gaps, times never overlapping.
fn check(ledger: &Ledger) {
    let mut last: BTreeMap<&str, (u64, i64)> = BTreeMap::new();
    for ((uid, sequence), (from, to)) in ledger {
        let (before, end) = last.insert(uid, (*sequence, *to)).unwrap_or((0, i64::MIN));
        assert_eq!(*sequence, before + 1, "gap in {uid}: {ledger:?}");
        assert!(*from >= end && to > from, "overlap in {uid}: {ledger:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// The machine dies while the last record is written: at each byte of it.
    #[test]
    fn a_crash_while_writing_doubles_and_loses_nothing(ops in prop::collection::vec(op(), 1..40), torn in 0.0f64..1.0) {
        let dir = Dir::new();
        let mut store = Store::open(&dir.0, 700).unwrap();
        let (mut ledger, mut now) = (Ledger::new(), 1_000_000);
        let mut synced = store.position();
        for (op, step) in &ops {
            synced = store.position();
            now += step;
            run(&mut store, op, now, &dir.0, &mut ledger);
        }
        let (number, length) = store.position();
        let safe = if number == synced.0 { synced.1.min(length) } else { 0 };
        drop(store);
        let cut = safe + ((length - safe) as f64 * torn) as u64;
        OpenOptions::new().write(true).open(path(&dir.0, number)).unwrap().set_len(cut).unwrap();
        let mut store = reopened(&dir.0);
        store.cut(now + 100_000).unwrap();
        ship(&store, &mut ledger, usize::MAX);
        check(&ledger);
    }

    /// The end of the file is lost anywhere, with nothing shipped: what is left is whole, and goes on.
    #[test]
    fn any_prefix_of_a_journal_is_a_journal(ops in prop::collection::vec(op(), 1..40), torn in 0.0f64..1.0) {
        let dir = Dir::new();
        let mut store = Store::open(&dir.0, 1 << 20).unwrap();
        let (mut ledger, mut now) = (Ledger::new(), 1_000_000);
        for (op, step) in ops.iter().filter(|(op, _)| !matches!(op, Op::Ship(_) | Op::Reopen)) {
            now += step;
            run(&mut store, op, now, &dir.0, &mut ledger);
        }
        let (number, length) = store.position();
        drop(store);
        let cut = (length as f64 * torn) as u64;
        OpenOptions::new().write(true).open(path(&dir.0, number)).unwrap().set_len(cut).unwrap();
        let mut store = reopened(&dir.0);
        let before = store.running();
        store.cut(now + 100_000).unwrap();
        prop_assert_eq!(store.running(), before);
        ship(&store, &mut ledger, usize::MAX);
        check(&ledger);
    }
}

#[test]
fn a_running_pod_goes_on_where_it_was_after_a_restart() {
    let dir = Dir::new();
    let mut store = Store::open(&dir.0, 1 << 20).unwrap();
    store.start("p", PlacementInfo::default(), 100).unwrap();
    store.cut(200).unwrap();
    drop(store);
    let mut store = Store::open(&dir.0, 1 << 20).unwrap();
    store.cut(300).unwrap();
    assert_eq!(store.waiting(), 1, "nobody has said that it runs still");
    store.start("p", PlacementInfo::default(), 350).unwrap();
    store.cut(400).unwrap();
    let times: Vec<_> = store.pending(9).iter().map(|i| (i.sequence, i.from_ms, i.to_ms)).collect();
    assert_eq!(times, [(1, 100, 200), (2, 200, 400)]);
}

#[test]
fn acknowledged_segments_go() {
    let dir = Dir::new();
    let mut store = Store::open(&dir.0, 300).unwrap();
    store.start("p", PlacementInfo::default(), 0).unwrap();
    for now in 1..100 {
        store.cut(now).unwrap();
    }
    assert!(dir.files() > 10);
    store.acknowledge(50).unwrap();
    assert_eq!(store.waiting(), 49);
    store.acknowledge(49).unwrap();
    assert_eq!(dir.files(), 1);
    drop(store);
    let mut store = Store::open(&dir.0, 300).unwrap();
    store.stop("p", 150).unwrap();
    let last = store.pending(usize::MAX).pop().unwrap();
    assert_eq!((last.sequence, last.from_ms, last.to_ms), (100, 99, 150));
}

#[test]
fn a_segment_that_was_never_begun_is_no_loss() {
    let dir = Dir::new();
    let mut store = Store::open(&dir.0, 1 << 20).unwrap();
    store.start("p", PlacementInfo::default(), 0).unwrap();
    store.cut(10).unwrap();
    drop(store);
    std::fs::write(path(&dir.0, 2), b"0123").unwrap();
    let store = Store::open(&dir.0, 1 << 20).unwrap();
    assert_eq!((store.waiting(), store.running().len(), dir.files()), (1, 1, 1));
}
