//! Bounds of what the gateway remembers.

use dashmap::DashMap;
use std::hash::Hash;

/// Remembered things of one kind: past this the ones out of date are dropped, then all.
const REMEMBER: usize = 50_000;

/// Bounds a memory: forgets what is out of date, and everything if that is not enough.
pub(crate) fn shrink<K: Hash + Eq, V>(memory: &DashMap<K, V>, fresh: impl Fn(&V) -> bool) {
    if memory.len() < REMEMBER {
        return;
    }
    memory.retain(|_, value| fresh(value));
    if memory.len() >= REMEMBER {
        memory.clear();
    }
}
