//! What a write sees and may do: the committed state, overlaid by the batch that is being made.

use crate::{
    object::{Event, EventKind, Key, Meta, Object},
    state::State,
    stores::Limits,
};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};

/// Reads the selectable fields of an object of a resource.
pub(crate) type Extract = fn(&str, &Value) -> Vec<(&'static str, String)>;

/// Why an object cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The object is larger than one may be.
    #[error("the object has {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The cluster holds as much as it may.
    #[error("the cluster's quota of {0} is used up; delete what is not needed")]
    Quota(&'static str),
}

/// Changes of one batch, or of one write in it.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) latest: HashMap<Key, Option<Arc<Object>>>,
    pub(crate) events: Vec<Arc<Event>>,
    count: isize,
    bytes: isize,
}

impl Changes {
    fn absorb(&mut self, other: Self) {
        self.latest.extend(other.latest);
        self.events.extend(other.events);
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

/// One write in the making. Nothing of it is seen by others until it is committed; if the closure that makes it fails,
/// nothing of it happens.
#[derive(Debug)]
pub struct Txn<'a> {
    state: &'a State,
    batch: &'a mut Changes,
    own: Changes,
    limits: Limits,
    extract: Extract,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(state: &'a State, batch: &'a mut Changes, limits: Limits, extract: Extract) -> Self {
        Self { state, batch, own: Changes::default(), limits, extract }
    }

    /// Makes this write part of the batch.
    pub(crate) fn keep(self) {
        self.batch.absorb(self.own);
    }

    /// The revision of the last write, this one's own included.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.state.revision + (self.batch.events.len() + self.own.events.len()) as u64
    }

    /// The object at a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        match self.overlaid(key) {
            Some(change) => change.clone(),
            None => self.state.get(key).cloned(),
        }
    }

    fn overlaid(&self, key: &Key) -> Option<&Option<Arc<Object>>> {
        self.own.latest.get(key).or_else(|| self.batch.latest.get(key))
    }

    /// Objects of a resource, in order of namespace and name.
    #[must_use]
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Object>> {
        let fits = |key: &Key| &*key.resource == resource && namespace.is_none_or(|n| *key.namespace == *n);
        self.merged(self.state.list(resource, namespace).cloned(), |object| fits(&object.key))
    }

    /// Objects with an owner reference to this UID.
    #[must_use]
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<Object>> {
        let fits = |object: &Object| object.meta.owners.iter().any(|owner| &*owner.uid == uid);
        self.merged(self.state.owned_by(uid).into_iter(), fits)
    }

    fn merged(&self, stored: impl Iterator<Item = Arc<Object>>, fits: impl Fn(&Object) -> bool) -> Vec<Arc<Object>> {
        let mut all: Vec<_> = stored.filter(|object| self.overlaid(&object.key).is_none()).collect();
        let stored_len = all.len();
        let batch = self.batch.latest.iter().filter(|(key, _)| !self.own.latest.contains_key(key));
        all.extend(batch.chain(&self.own.latest).filter_map(|(_, change)| change.clone()).filter(|o| fits(o)));
        if all.len() > stored_len {
            all.sort_by(|a, b| a.key.cmp(&b.key));
        }
        all
    }

    /// Stores an object, and gives it its `metadata.resourceVersion`. Storing what is stored already changes nothing
    /// and returns the stored object.
    ///
    /// # Errors
    /// If the object or the cluster would become too large.
    pub fn put(&mut self, key: Key, mut value: Value) -> Result<Arc<Object>, PutError> {
        let previous = self.get(&key);
        if let Some(old) = &previous {
            set_revision(&mut value, old.revision);
            if serialise(&value) == old.bytes {
                return Ok(Arc::clone(old));
            }
        }
        let revision = self.revision() + 1;
        set_revision(&mut value, revision);
        let bytes = serialise(&value);
        self.check(&bytes, previous.as_deref())?;
        let meta = Meta::read(&value, (self.extract)(&key.resource, &value));
        let object = Arc::new(Object { key, revision, bytes: bytes.into(), meta });
        let kind = if previous.is_some() { EventKind::Modified } else { EventKind::Added };
        self.record(kind, Arc::clone(&object), previous);
        Ok(object)
    }

    fn check(&self, bytes: &[u8], previous: Option<&Object>) -> Result<(), PutError> {
        let limit = self.limits.object_bytes;
        if bytes.len() > limit {
            return Err(PutError::TooLarge { bytes: bytes.len(), limit });
        }
        let grown = previous.map_or(bytes.len(), |old| bytes.len().saturating_sub(old.bytes.len()));
        let after = |now: usize, batch: isize, own: isize, more: usize| {
            now.saturating_add_signed(batch).saturating_add_signed(own).saturating_add(more)
        };
        let more = usize::from(previous.is_none());
        if more > 0 && after(self.state.count, self.batch.count, self.own.count, more) > self.limits.objects {
            return Err(PutError::Quota("objects"));
        }
        if grown > 0 && after(self.state.bytes, self.batch.bytes, self.own.bytes, grown) > self.limits.cluster_bytes {
            return Err(PutError::Quota("bytes"));
        }
        Ok(())
    }

    /// Removes an object; returns its last state, carrying the deletion's revision, or `None` if there is none.
    pub fn delete(&mut self, key: &Key) -> Option<Arc<Object>> {
        let previous = self.get(key)?;
        let revision = self.revision() + 1;
        let mut value = previous.value();
        set_revision(&mut value, revision);
        let object = Arc::new(Object {
            key: key.clone(),
            revision,
            bytes: serialise(&value).into(),
            meta: previous.meta.clone(),
        });
        self.record(EventKind::Deleted, Arc::clone(&object), Some(previous));
        Some(object)
    }

    fn record(&mut self, kind: EventKind, object: Arc<Object>, previous: Option<Arc<Object>>) {
        let len = |object: &Object| isize::try_from(object.bytes.len()).unwrap_or(isize::MAX);
        let before = previous.as_deref().map_or(0, len);
        let (latest, count, bytes) = match kind {
            EventKind::Added => (Some(Arc::clone(&object)), 1, len(&object)),
            EventKind::Modified => (Some(Arc::clone(&object)), 0, len(&object) - before),
            EventKind::Deleted => (None, -1, -before),
        };
        self.own.count += count;
        self.own.bytes += bytes;
        self.own.latest.insert(object.key.clone(), latest);
        self.own.events.push(Arc::new(Event { kind, revision: object.revision, object, previous }));
    }
}

fn set_revision(value: &mut Value, revision: u64) {
    value["metadata"]["resourceVersion"] = Value::String(revision.to_string());
}

fn serialise(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value serialises")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Instant;

    const LIMITS: Limits = Limits { object_bytes: 200, objects: 2, cluster_bytes: 300 };

    fn run(state: &State, batch: &mut Changes, f: impl FnOnce(&mut Txn) -> bool) {
        let mut txn = Txn::new(state, batch, LIMITS, |_, _| Vec::new());
        if f(&mut txn) {
            txn.keep();
        }
    }

    fn key(name: &str) -> Key {
        Key::new("pods", "ns", name)
    }

    fn pod(name: &str, text: &str) -> Value {
        json!({"metadata": {"name": name, "uid": name}, "text": text})
    }

    #[test]
    fn revisions_are_gapless_over_failed_writes() {
        let (mut state, mut batch) = (State::new(7, []), Changes::default());
        run(&state, &mut batch, |txn| txn.put(key("a"), pod("a", "")).is_ok());
        run(&state, &mut batch, |txn| {
            txn.put(key("b"), pod("b", "")).unwrap();
            false
        });
        run(&state, &mut batch, |txn| {
            assert!(txn.get(&key("b")).is_none());
            txn.put(key("a"), pod("a", "x")).is_ok()
        });
        let revisions: Vec<u64> = batch.events.iter().map(|e| e.revision).collect();
        assert_eq!(revisions, [8, 9]);
        state.apply(Instant::now(), &batch.events);
        assert_eq!(state.revision, 9);
    }

    #[test]
    fn storing_the_same_again_is_no_write() {
        let (state, mut batch) = (State::new(0, []), Changes::default());
        run(&state, &mut batch, |txn| {
            let first = txn.put(key("a"), pod("a", "")).unwrap();
            let again = txn.put(key("a"), pod("a", "")).unwrap();
            first.revision == again.revision
        });
        assert_eq!(batch.events.len(), 1);
    }

    #[test]
    fn limits_hold_within_a_batch() {
        let (state, mut batch) = (State::new(0, []), Changes::default());
        run(&state, &mut batch, |txn| {
            assert!(matches!(txn.put(key("a"), pod("a", &"x".repeat(200))), Err(PutError::TooLarge { .. })));
            txn.put(key("a"), pod("a", "")).unwrap();
            txn.put(key("b"), pod("b", "")).unwrap();
            assert_eq!(txn.put(key("c"), pod("c", "")).unwrap_err(), PutError::Quota("objects"));
            txn.delete(&key("a")).unwrap();
            txn.put(key("c"), pod("c", "")).is_ok()
        });
        let names: Vec<_> = {
            let txn = Txn::new(&state, &mut batch, LIMITS, |_, _| Vec::new());
            txn.list("pods", Some("ns")).iter().map(|o| o.key.name.to_string()).collect()
        };
        assert_eq!(names, ["b", "c"]);
    }
}
