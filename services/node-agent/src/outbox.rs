//! What control has to hear: the last status of every pod, and events since. Filled by workers, emptied by the session.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use domain::unix_ms;
use parking_lot::Mutex;
use proto::fleet::{PlacementStatus, PodEvent};
use tokio::sync::Notify;

use crate::metrics;

/// Events kept per pod while control is silent; older ones are dropped: they are for people, and people look now.
const MAX_EVENTS: usize = 50;

/// All that is to be said; clones share it.
#[derive(Clone, Default)]
pub struct Outbox {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
    news: Arc<Notify>,
}

#[derive(Default)]
struct Entry {
    generation: u64,
    status: Bytes,
    removed: bool,
    events: VecDeque<PodEvent>,
    dirty: bool,
    /// The placement is on this host; control must hear so even before there is a status to tell.
    here: bool,
}

impl Outbox {
    /// Replaces a pod's status.
    pub fn status(&self, uid: &str, generation: u64, status: Bytes, removed: bool) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(uid.to_owned()).or_default();
        (entry.generation, entry.status, entry.removed, entry.dirty) = (generation, status, removed, true);
        entry.here = true;
        self.news.notify_one();
    }

    /// The placement was here when the agent started; `status` is what was last said of it, or empty. Without this the
    /// first Hello would not name it, and control would take what it asked to stop for gone.
    pub fn recall(&self, uid: &str, generation: u64, status: Bytes) {
        let entry = Entry { generation, status, here: true, ..Entry::default() };
        self.entries.lock().entry(uid.to_owned()).or_insert(entry);
    }

    /// Adds an event; `container` is empty for the pod's own.
    pub fn event(&self, uid: &str, kind: &str, reason: &str, message: String, container: &str) {
        metrics::happened(reason);
        tracing::info!(pod.uid = uid, reason, container, "pod event: {message}");
        let field_path = if container.is_empty() { String::new() } else { format!("spec.containers{{{container}}}") };
        let event =
            PodEvent { r#type: kind.to_owned(), reason: reason.to_owned(), message, at_ms: unix_ms(), field_path };
        let mut entries = self.entries.lock();
        let entry = entries.entry(uid.to_owned()).or_default();
        if entry.events.len() == MAX_EVENTS {
            entry.events.pop_front();
        }
        entry.events.push_back(event);
        entry.dirty = true;
        self.news.notify_one();
    }

    /// Drops all about a pod.
    pub fn forget(&self, uid: &str) {
        self.entries.lock().remove(uid);
    }

    /// What changed since the last call.
    pub fn take(&self) -> Vec<PlacementStatus> {
        self.collect(|entry| entry.dirty)
    }

    /// Everything, for a new session.
    pub fn take_all(&self) -> Vec<PlacementStatus> {
        self.collect(|_| true)
    }

    fn collect(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<PlacementStatus> {
        let mut entries = self.entries.lock();
        // Events alone wait for the status that belongs to them.
        let said = |entry: &Entry| entry.here;
        let wanted = entries.iter_mut().filter(|(_, entry)| said(entry) && wanted(entry));
        wanted
            .map(|(uid, entry)| {
                entry.dirty = false;
                PlacementStatus {
                    uid: uid.clone(),
                    generation: entry.generation,
                    pod_status: entry.status.clone(),
                    removed: entry.removed,
                    events: std::mem::take(&mut entry.events).into(),
                }
            })
            .collect()
    }

    /// Resolves when there may be something to take.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_agent_names_its_pods_before_they_have_a_status() {
        let outbox = Outbox::default();
        outbox.event("new", "Normal", "Pulling", "...".into(), "c");
        outbox.recall("old", 7, Bytes::new());
        assert!(outbox.take().is_empty(), "there is no news of either");
        let all = outbox.take_all();
        assert_eq!(all.iter().map(|s| (s.uid.as_str(), s.generation)).collect::<Vec<_>>(), [("old", 7)]);
        outbox.status("old", 8, Bytes::from_static(b"{}"), false);
        outbox.recall("old", 7, Bytes::new());
        assert_eq!(outbox.take()[0].generation, 8, "what was recalled never replaces what was said");
    }
}
