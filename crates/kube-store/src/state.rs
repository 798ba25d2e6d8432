//! A cluster's objects in memory: sorted maps, indexes, and the window of recent events that watches resume from.

use crate::object::{Event, EventKind, Key, Object, Resource};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Events kept per resource, at most: as many as kube-apiserver's watch cache keeps of a busy resource.
const RING_EVENTS: usize = 20_000;
/// Bytes of objects kept per resource's window, at most.
const RING_BYTES: usize = 32 << 20;
/// How long an event is kept, at most.
const RING_AGE: Duration = Duration::from_secs(300);

type Place = (Arc<str>, Arc<str>);

/// Recent events of one resource.
#[derive(Debug)]
pub(crate) struct Ring {
    events: VecDeque<(Instant, Arc<Event>)>,
    bytes: usize,
    /// Revision of the newest event that is no longer here; watches can't resume from before it.
    floor: u64,
    /// Told the revision of each new event.
    pub(crate) changed: watch::Sender<u64>,
}

impl Ring {
    fn new(floor: u64) -> Self {
        Self { events: VecDeque::new(), bytes: 0, floor, changed: watch::Sender::new(floor) }
    }

    fn push(&mut self, now: Instant, event: Arc<Event>) {
        self.bytes += event.object.bytes.len();
        self.events.push_back((now, event));
        self.trim(now);
    }

    fn trim(&mut self, now: Instant) {
        while let Some((at, event)) = self.events.front() {
            let keep = self.events.len() <= RING_EVENTS && self.bytes <= RING_BYTES && now - *at <= RING_AGE;
            if keep {
                break;
            }
            self.floor = event.revision;
            self.bytes -= event.object.bytes.len();
            self.events.pop_front();
        }
    }

    /// Up to `max` events after revision `after`; `None` if some of them are gone.
    pub(crate) fn after(&self, after: u64, max: usize) -> Option<Vec<Arc<Event>>> {
        if after < self.floor {
            return None;
        }
        let start = self.events.partition_point(|(_, event)| event.revision <= after);
        Some(self.events.range(start..).take(max).map(|(_, event)| Arc::clone(event)).collect())
    }
}

/// All of one cluster.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) revision: u64,
    /// Nothing is known of events up to here: the revision at which the cluster was loaded.
    base: u64,
    objects: HashMap<Resource, BTreeMap<Place, Arc<Object>>>,
    uids: HashMap<Arc<str>, Key>,
    owned: HashMap<Arc<str>, HashSet<Key>>,
    rings: HashMap<Resource, Ring>,
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    /// Set when this memory may no longer be what Postgres holds.
    pub(crate) closed: bool,
}

impl State {
    pub(crate) fn new(revision: u64, objects: impl IntoIterator<Item = Arc<Object>>) -> Self {
        let mut state = Self {
            revision,
            base: revision,
            objects: HashMap::new(),
            uids: HashMap::new(),
            owned: HashMap::new(),
            rings: HashMap::new(),
            count: 0,
            bytes: 0,
            closed: false,
        };
        for object in objects {
            state.insert(object);
        }
        state
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(&key.resource)?.get(&(Arc::clone(&key.namespace), Arc::clone(&key.name)))
    }

    /// Objects of a resource in order of namespace and name.
    pub(crate) fn list<'a>(
        &'a self,
        resource: &str,
        namespace: Option<&str>,
    ) -> Box<dyn Iterator<Item = &'a Arc<Object>> + 'a> {
        let Some(objects) = self.objects.get(resource) else { return Box::new(std::iter::empty()) };
        match namespace {
            None => Box::new(objects.values()),
            Some(namespace) => {
                let namespace: Arc<str> = namespace.into();
                let start = (Arc::clone(&namespace), Arc::from(""));
                Box::new(
                    objects.range(start..).take_while(move |(place, _)| place.0 == namespace).map(|(_, object)| object),
                )
            }
        }
    }

    pub(crate) fn resources(&self) -> Vec<Resource> {
        self.objects.iter().filter(|(_, objects)| !objects.is_empty()).map(|(r, _)| Arc::clone(r)).collect()
    }

    pub(crate) fn owned_by(&self, uid: &str) -> Vec<Arc<Object>> {
        let keys = self.owned.get(uid).into_iter().flatten();
        keys.filter_map(|key| self.get(key).cloned()).collect()
    }

    pub(crate) fn by_uid(&self, uid: &str) -> Option<&Arc<Object>> {
        self.get(self.uids.get(uid)?)
    }

    fn insert(&mut self, object: Arc<Object>) {
        self.remove(&object.key);
        self.count += 1;
        self.bytes += object.bytes.len();
        self.uids.insert(Arc::clone(&object.meta.uid), object.key.clone());
        for owner in &object.meta.owners {
            self.owned.entry(Arc::clone(&owner.uid)).or_default().insert(object.key.clone());
        }
        let place = (Arc::clone(&object.key.namespace), Arc::clone(&object.key.name));
        self.objects.entry(Arc::clone(&object.key.resource)).or_default().insert(place, object);
    }

    fn remove(&mut self, key: &Key) {
        let place = (Arc::clone(&key.namespace), Arc::clone(&key.name));
        let Some(old) = self.objects.get_mut(&key.resource).and_then(|objects| objects.remove(&place)) else { return };
        self.count -= 1;
        self.bytes -= old.bytes.len();
        self.uids.remove(&old.meta.uid);
        for owner in &old.meta.owners {
            if let Some(keys) = self.owned.get_mut(&owner.uid) {
                keys.remove(key);
                if keys.is_empty() {
                    self.owned.remove(&owner.uid);
                }
            }
        }
    }

    /// Takes over what was committed, and tells watchers.
    pub(crate) fn apply(&mut self, now: Instant, events: &[Arc<Event>]) {
        let mut touched: HashSet<Resource> = HashSet::new();
        for event in events {
            match event.kind {
                EventKind::Deleted => self.remove(&event.object.key),
                EventKind::Added | EventKind::Modified => self.insert(Arc::clone(&event.object)),
            }
            self.revision = event.revision;
            let resource = &event.object.key.resource;
            self.ring(resource).push(now, Arc::clone(event));
            if !touched.contains(resource) {
                touched.insert(Arc::clone(resource));
            }
        }
        for resource in touched {
            let revision = self.revision;
            self.ring(&resource).changed.send_replace(revision);
        }
    }

    /// The window of a resource; made if there is none yet.
    pub(crate) fn ring(&mut self, resource: &Resource) -> &mut Ring {
        let base = self.base;
        self.rings.entry(Arc::clone(resource)).or_insert_with(|| Ring::new(base))
    }

    pub(crate) fn existing_ring(&self, resource: &str) -> Option<&Ring> {
        self.rings.get(resource)
    }

    /// The oldest revision that a watch of anything can resume from.
    pub(crate) fn oldest(&self) -> u64 {
        self.rings.values().map(|ring| ring.floor).max().unwrap_or(self.base)
    }

    /// Forgets events that are too old, so that an idle cluster shrinks.
    pub(crate) fn trim(&mut self, now: Instant) {
        for ring in self.rings.values_mut() {
            ring.trim(now);
            ring.events.shrink_to_fit();
        }
    }

    /// Ends all watches and refuses everything from now on.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.rings.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Meta;
    use bytes::Bytes;

    fn object(name: &str, revision: u64, owner: Option<&str>) -> Arc<Object> {
        let value = serde_json::json!({"metadata": {"uid": format!("uid-{name}"),
            "ownerReferences": owner.map(|uid| vec![serde_json::json!({"uid": uid})]).unwrap_or_default()}});
        let key = Key::new("pods", "ns", name);
        Arc::new(Object { key, revision, bytes: Bytes::from_static(b"{}"), meta: Meta::read(&value, Vec::new()) })
    }

    fn event(kind: EventKind, revision: u64, object: Arc<Object>) -> Arc<Event> {
        Arc::new(Event { kind, revision, object, previous: None })
    }

    #[test]
    fn indexes_follow_the_objects() {
        let mut state = State::new(0, []);
        let now = Instant::now();
        state.apply(now, &[event(EventKind::Added, 1, object("a", 1, Some("o")))]);
        assert_eq!(state.owned_by("o").len(), 1);
        assert!(state.by_uid("uid-a").is_some());
        state.apply(now, &[event(EventKind::Modified, 2, object("a", 2, None))]);
        assert!(state.owned_by("o").is_empty());
        state.apply(now, &[event(EventKind::Deleted, 3, object("a", 3, None))]);
        assert_eq!((state.count, state.bytes, state.revision), (0, 0, 3));
        assert!(state.by_uid("uid-a").is_none());
    }

    #[test]
    fn a_namespace_lists_only_its_own() {
        let mut state = State::new(0, []);
        let now = Instant::now();
        for (revision, namespace) in [(1, "a"), (2, "ab"), (3, "b")] {
            let mut object = Arc::into_inner(object("x", revision, None)).unwrap();
            object.key.namespace = namespace.into();
            object.meta.uid = namespace.into();
            state.apply(now, &[event(EventKind::Added, revision, Arc::new(object))]);
        }
        assert_eq!(state.list("pods", Some("a")).count(), 1);
        assert_eq!(state.list("pods", None).count(), 3);
    }

    #[test]
    fn a_watch_resumes_only_inside_the_window() {
        let mut state = State::new(10, []);
        let start = Instant::now();
        state.apply(start, &[event(EventKind::Added, 11, object("a", 11, None))]);
        state.apply(start + RING_AGE * 2, &[event(EventKind::Modified, 12, object("a", 12, None))]);
        let ring = state.existing_ring("pods").unwrap();
        assert!(ring.after(10, 9).is_none());
        assert_eq!(ring.after(11, 9).unwrap().len(), 1);
        assert_eq!(ring.after(12, 9).unwrap().len(), 0);
        assert_eq!(state.oldest(), 11);
    }
}
