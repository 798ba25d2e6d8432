//! The keyed queue: each key at most once in it, lanes in turn, due times in one shared heap.

#[cfg(test)]
mod tests;

use crate::{Backoff, Key, Next};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Handle to a queue; clones share it. Costs nothing for keys that are settled.
pub struct Queue<K: Key>(Arc<Shared<K>>);

impl<K: Key> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Key> Default for Queue<K> {
    fn default() -> Self {
        Self::new(Backoff::default())
    }
}

struct Shared<K: Key> {
    state: Mutex<State<K>>,
    ready: Notify,
    earlier: Notify,
    backoff: Backoff,
}

/// A key handed to a worker.
#[derive(Debug)]
pub struct Job<K> {
    /// The key to reconcile.
    pub key: K,
    /// How long it waited since it became ready.
    pub waited: Duration,
    /// Errors in a row before this run.
    pub failures: u32,
}

/// What is known of a key. Invariant: an entry exists only while the key is ready, running or has a wake.
struct Entry {
    ready_since: Option<Instant>,
    running: bool,
    failures: u32,
    wake: Option<(Instant, u64)>,
}

struct State<K: Key> {
    entries: HashMap<K, Entry>,
    lanes: HashMap<K::Lane, VecDeque<K>>,
    turns: VecDeque<K::Lane>,
    wakes: BTreeMap<(Instant, u64), K>,
    sequence: u64,
    ready: usize,
}

impl<K: Key> State<K> {
    fn entry(&mut self, key: &K) -> &mut Entry {
        let fresh = || Entry { ready_since: None, running: false, failures: 0, wake: None };
        self.entries.entry(key.clone()).or_insert_with(fresh)
    }

    /// Marks the key ready. A running key is only remembered: `finish` puts it into its lane.
    fn make_ready(&mut self, key: &K) -> bool {
        let entry = self.entry(key);
        if entry.ready_since.is_some() {
            return false;
        }
        entry.ready_since = Some(Instant::now());
        let running = entry.running;
        if !running {
            self.push(key.clone());
        }
        !running
    }

    fn push(&mut self, key: K) {
        let lane = key.lane();
        let waiting = self.lanes.entry(lane.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_back(lane);
        }
        waiting.push_back(key);
        self.ready += 1;
    }

    fn pop(&mut self) -> Option<K> {
        let lane = self.turns.pop_front()?;
        let waiting = self.lanes.get_mut(&lane)?;
        let key = waiting.pop_front()?;
        if waiting.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.turns.push_back(lane);
        }
        self.ready -= 1;
        Some(key)
    }

    /// Sets the wake of a key; `true` if it is now the earliest of all.
    fn set_wake(&mut self, key: &K, at: Instant) -> bool {
        self.sequence += 1;
        let due = (at, self.sequence);
        if let Some(old) = self.entry(key).wake.replace(due) {
            self.wakes.remove(&old);
        }
        self.wakes.insert(due, key.clone());
        self.wakes.first_key_value().is_some_and(|(first, _)| *first == due)
    }

    fn clear_wake(&mut self, key: &K) {
        if let Some(due) = self.entries.get_mut(key).and_then(|entry| entry.wake.take()) {
            self.wakes.remove(&due);
        }
    }
}

impl<K: Key> Queue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        let state = State {
            entries: HashMap::new(),
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            wakes: BTreeMap::new(),
            sequence: 0,
            ready: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), ready: Notify::new(), earlier: Notify::new(), backoff }))
    }

    /// Asks for a run of `key`, now. While it waits for one already, nothing changes; while it runs, it runs once more.
    pub fn add(&self, key: K) {
        if self.0.state.lock().make_ready(&key) {
            self.0.ready.notify_one();
        }
    }

    /// Adds many keys under one lock.
    pub fn add_all(&self, keys: impl IntoIterator<Item = K>) {
        let mut state = self.0.state.lock();
        let mut any = false;
        for key in keys {
            any |= state.make_ready(&key);
        }
        drop(state);
        if any {
            self.0.ready.notify_one();
        }
    }

    /// Asks for a run at the latest after `delay`; an earlier wake of the key stays. A run before then forgets it:
    /// every run says anew, by its `Next`, when it wants to be woken.
    pub fn add_after(&self, key: K, delay: Duration) {
        let at = Instant::now() + delay;
        let mut state = self.0.state.lock();
        let entry = state.entry(&key);
        if entry.wake.is_some_and(|(due, _)| due <= at) {
            return;
        }
        if state.set_wake(&key, at) {
            self.0.earlier.notify_one();
        }
    }

    /// Forgets everything that waits and for which `belongs` holds; what runs now runs to its end, and not again.
    pub fn remove(&self, belongs: impl Fn(&K) -> bool) {
        let mut state = self.0.state.lock();
        let gone: Vec<K> = state.entries.keys().filter(|key| belongs(key)).cloned().collect();
        for key in &gone {
            state.clear_wake(key);
            let lane = key.lane();
            let Some(entry) = state.entries.get_mut(key) else { continue };
            let queued = entry.ready_since.take().is_some() && !entry.running;
            if !entry.running {
                state.entries.remove(key);
            }
            if queued && let Some(waiting) = state.lanes.get_mut(&lane) {
                waiting.retain(|other| other != key);
                if waiting.is_empty() {
                    state.lanes.remove(&lane);
                    state.turns.retain(|other| *other != lane);
                }
                state.ready -= 1;
            }
        }
    }

    /// How many keys are ready and wait for a worker.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.state.lock().ready
    }

    /// How many keys the queue knows: ready, running or with a wake. Settled keys are not among them.
    #[must_use]
    pub fn known(&self) -> usize {
        self.0.state.lock().entries.len()
    }

    /// Waits for a ready key and takes it. Cancel safe.
    pub async fn next(&self) -> Job<K> {
        loop {
            if let Some(job) = self.take() {
                return job;
            }
            self.0.ready.notified().await;
        }
    }

    fn take(&self) -> Option<Job<K>> {
        let mut state = self.0.state.lock();
        let key = state.pop()?;
        // A run looks at everything, so a wake that was still to come has nothing left to say.
        state.clear_wake(&key);
        let entry = state.entry(&key);
        let waited = entry.ready_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        entry.running = true;
        let failures = entry.failures;
        if state.ready > 0 {
            self.0.ready.notify_one();
        }
        Some(Job { key, waited, failures })
    }

    /// Ends a run: `None` means it failed and backs off.
    pub fn finish(&self, key: &K, next: Option<Next>) {
        let mut state = self.0.state.lock();
        let Some(entry) = state.entries.get_mut(key) else { return };
        entry.running = false;
        entry.failures = if next.is_some() { 0 } else { entry.failures.saturating_add(1) };
        let delay = match next {
            Some(Next::Settled) => None,
            Some(Next::After(delay)) => Some(delay),
            None => Some(self.0.backoff.delay(entry.failures)),
        };
        let again = entry.ready_since.is_some();
        let due = entry.wake.map(|(at, _)| at);
        let wake = delay.map(|delay| Instant::now() + delay).filter(|at| due.is_none_or(|due| *at < due));
        let earlier = wake.is_some_and(|at| state.set_wake(key, at));
        if again {
            state.push(key.clone());
        } else if state.entries.get(key).is_some_and(|entry| entry.wake.is_none()) {
            state.entries.remove(key);
        }
        drop(state);
        if again {
            self.0.ready.notify_one();
        }
        if earlier {
            self.0.earlier.notify_one();
        }
    }

    /// Turns due wakes into ready keys, for ever. One caller per queue.
    pub(crate) async fn keep_time(&self) {
        loop {
            let first = self.0.state.lock().wakes.first_key_value().map(|(due, _)| due.0);
            match first {
                None => self.0.earlier.notified().await,
                Some(at) if at <= Instant::now() => self.fire(),
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => self.fire(),
                    () = self.0.earlier.notified() => {}
                },
            }
        }
    }

    fn fire(&self) {
        let now = Instant::now();
        let mut state = self.0.state.lock();
        let mut any = false;
        while let Some(due) = state.wakes.first_entry().filter(|due| due.key().0 <= now) {
            let key = due.remove();
            if let Some(entry) = state.entries.get_mut(&key) {
                entry.wake = None;
            }
            any |= state.make_ready(&key);
        }
        drop(state);
        if any {
            self.0.ready.notify_one();
        }
    }
}
