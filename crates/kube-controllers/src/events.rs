//! The Events that controllers record: repeated ones are counted, many are written at once, and old ones go.

pub(crate) mod drive;
#[cfg(test)]
mod tests;

use crate::action::Note;
use crate::{view, world::World};
use domain::ClusterId;
use jiff::Timestamp;
use kube_store::{Key, PutError, Txn, WriteError};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Resource name.
pub const RESOURCE: &str = "events";
/// Notes that may wait for the writer; more are dropped: Events are told on a best-effort basis, as upstream.
const WAITING: usize = 8192;
/// How long notes are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(20);
/// Most notes of one write, so that other writers do not wait for it.
const AT_ONCE: usize = 128;
/// Names of recent Events that are remembered for counting. Source: client-go's event correlator, 4096.
const REMEMBERED: usize = 4096;

/// Records Events without making the caller wait.
#[derive(Clone)]
pub(crate) struct Recorder(mpsc::Sender<(ClusterId, Note)>);

impl Recorder {
    /// A recorder, and the end that [`write_all`] works off.
    pub(crate) fn new() -> (Self, mpsc::Receiver<(ClusterId, Note)>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    pub(crate) fn record(&self, cluster: &ClusterId, note: Note) {
        if self.0.try_send((cluster.clone(), note)).is_err() {
            tracing::debug!(%cluster, "dropped an event: too many wait");
        }
    }
}

/// Which Event a note counts up: same object, type, reason, text and source.
type Sameness = (ClusterId, String, &'static str, &'static str, String);

/// Recent Events by what they say, oldest first.
#[derive(Default)]
struct Recent {
    names: HashMap<Sameness, String>,
    order: VecDeque<Sameness>,
}

impl Recent {
    fn name(&mut self, cluster: &ClusterId, note: &Note) -> String {
        let uid = note.about["uid"].as_str().unwrap_or_default().to_owned();
        let sameness = (cluster.clone(), uid, note.kind, note.reason, note.message.clone());
        if let Some(name) = self.names.get(&sameness) {
            return name.clone();
        }
        let object = note.about["name"].as_str().unwrap_or_default();
        let name = format!("{object}.{:016x}", rand::random::<u64>());
        self.names.insert(sameness.clone(), name.clone());
        self.order.push_back(sameness);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
        name
    }
}

/// Writes what recorders send, until all are gone or `stop`; then what is left.
pub(crate) async fn write_all(
    world: Arc<World>,
    mut notes: mpsc::Receiver<(ClusterId, Note)>,
    stop: CancellationToken,
) {
    let mut recent = Recent::default();
    loop {
        let first = tokio::select! {
            first = notes.recv() => first,
            () = stop.cancelled() => notes.try_recv().ok(),
        };
        let Some(first) = first else { return };
        if !stop.is_cancelled() {
            tokio::time::sleep(GATHER).await;
        }
        let mut gathered = vec![first];
        while gathered.len() < AT_ONCE
            && let Ok(next) = notes.try_recv()
        {
            gathered.push(next);
        }
        let mut by_cluster: HashMap<ClusterId, Vec<(String, Note)>> = HashMap::new();
        for (cluster, note) in gathered {
            let name = recent.name(&cluster, &note);
            by_cluster.entry(cluster).or_default().push((name, note));
        }
        for (id, notes) in by_cluster {
            // Nothing wakes a sleeping cluster just to tell a story.
            let Some((cluster, _)) = world.cluster(&id) else { continue };
            let now = world.now();
            let written = cluster.write(move |txn| notes.iter().try_for_each(|(name, note)| put(txn, name, note, now)));
            if let Err(error) = written.await {
                log(&id, &error);
            }
        }
    }
}

fn log(cluster: &ClusterId, error: &WriteError<PutError>) {
    tracing::debug!(%cluster, %error, "could not write events");
}

fn put(txn: &mut Txn<'_>, name: &str, note: &Note, now: Timestamp) -> Result<(), PutError> {
    let namespace = note.about["namespace"].as_str().unwrap_or("default");
    let ending = txn.get(&Key::new("namespaces", "", namespace)).is_none_or(|object| object.meta.deletion.is_some());
    if ending {
        return Ok(());
    }
    let key = Key::new(RESOURCE, namespace, name);
    let value = match txn.get(&key) {
        Some(before) => counted(before.value(), now),
        None => event(name, namespace, note, now),
    };
    txn.put(key, value).map(|_| ())
}

fn counted(mut event: Value, now: Timestamp) -> Value {
    event["count"] = json!(event["count"].as_i64().unwrap_or(1) + 1);
    event["lastTimestamp"] = json!(view::time_text(now));
    event
}

fn event(name: &str, namespace: &str, note: &Note, now: Timestamp) -> Value {
    let at = view::time_text(now);
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uuid::Uuid::new_v4().to_string(),
            "creationTimestamp": at,
        },
        "involvedObject": note.about,
        "reason": note.reason,
        "message": note.message,
        "type": note.kind,
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "eventTime": null,
        "source": { "component": note.source },
        "reportingComponent": note.source,
        "reportingInstance": "",
    })
}

/// Which of these Events are older than `ttl`, and when the next one will be.
/// Invariant: no I/O and no clock.
pub(crate) fn expired(events: &[(Key, Timestamp)], ttl: Duration, now: Timestamp) -> (Vec<Key>, Option<Duration>) {
    let due = |at: &Timestamp| *at + jiff::SignedDuration::try_from(ttl).unwrap_or(jiff::SignedDuration::MAX);
    let old = events.iter().filter(|(_, at)| due(at) <= now).map(|(key, _)| key.clone()).collect();
    let next = events.iter().map(|(_, at)| due(at)).filter(|due| *due > now).min();
    (old, next.map(|due| view::until(due, now)))
}
