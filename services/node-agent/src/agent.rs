//! The pods of this host: what was asked on disk, and a worker for each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use domain::unix_ms;
use parking_lot::Mutex as SyncMutex;
use proto::fleet::{Placement, PlacementStatus, RemovePlacement, Sync};
use tokio::sync::{Mutex, Notify, watch};

use crate::context::Shared;
use crate::cri::view;
use crate::placement::{Desired, Removal};
use crate::pod::act;
use crate::pod::worker::{Live, Worker};
use crate::store::{Record, Store};

/// All pods of the host.
pub struct Agent {
    context: Shared,
    store: Store,
    records: Mutex<HashMap<String, Record>>,
    workers: SyncMutex<HashMap<String, Handle>>,
}

/// A running worker, from outside.
#[derive(Clone)]
pub struct Handle {
    desired: watch::Sender<Arc<Desired>>,
    wake: Arc<Notify>,
    /// What the worker sees.
    pub live: Arc<Live>,
}

impl Handle {
    /// What is asked of the pod.
    pub fn desired(&self) -> Arc<Desired> {
        self.desired.borrow().clone()
    }
}

impl Agent {
    /// Takes up what the agent before this one was asked; its pods are adopted, not restarted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open(context: Shared) -> anyhow::Result<Arc<Self>> {
        let store = Store::open(&context.paths)?;
        let loaded = store.load()?;
        let agent = Arc::new(Self { context, store, records: Mutex::default(), workers: SyncMutex::default() });
        let mut records = agent.records.lock().await;
        for record in loaded {
            let Some(placement) = &record.placement else { continue };
            let uid = placement.uid.clone();
            if record.removed {
                let (generation, status) = (placement.generation, record.final_status.clone());
                agent.context.outbox.status(&uid, generation, status, true);
            } else {
                let status = std::fs::read(agent.context.paths.status_file(&uid)).unwrap_or_default();
                agent.context.outbox.recall(&uid, placement.generation, status.into());
                agent.run(&record);
            }
            records.insert(uid, record);
        }
        for uid in agent.context.journal.running() {
            if !records.contains_key(&uid) {
                // Its record is lost or gone: it is billed up to where it was last seen.
                agent.context.journal.stop(&uid, 0).await?;
            }
        }
        drop(records);
        Ok(agent)
    }

    /// How many pods have a worker.
    pub fn count(&self) -> usize {
        self.workers.lock().len()
    }

    /// The worker of a pod.
    pub fn worker(&self, uid: &str) -> Option<Handle> {
        self.workers.lock().get(uid).cloned()
    }

    /// The workers of all pods.
    pub fn handles(&self) -> Vec<Handle> {
        self.workers.lock().values().cloned().collect()
    }

    /// Makes a pod's worker look again.
    pub fn wake(&self, uid: &str) {
        if let Some(handle) = self.workers.lock().get(uid) {
            handle.wake.notify_one();
        }
    }

    /// State of every placement known here.
    pub fn statuses(&self) -> Vec<PlacementStatus> {
        self.context.outbox.take_all()
    }

    /// Takes a new or changed placement; older generations than known are ignored.
    pub async fn place(self: &Arc<Self>, placement: Placement) {
        let mut records = self.records.lock().await;
        let uid = placement.uid.clone();
        let known = records.get(&uid);
        if let Some(old) = known.and_then(|r| r.placement.as_ref()) {
            let incomplete = known.is_some_and(|r| r.incomplete);
            if old.generation > placement.generation || (old == &placement && !incomplete) {
                return;
            }
        }
        if let Some(gone) = known.filter(|r| r.removed) {
            // It ran here once and is over; control must not wait for it.
            self.context.outbox.status(&uid, placement.generation, gone.final_status.clone(), true);
            return;
        }
        let record = Record {
            placement: Some(placement),
            accepted_ms: known.map_or_else(unix_ms, |r| r.accepted_ms),
            removal: known.and_then(|r| r.removal),
            ..Record::default()
        };
        if self.save(&record).await {
            self.run(&record);
            records.insert(uid, record);
        }
    }

    /// Takes the wish that a placement goes.
    pub async fn remove(self: &Arc<Self>, wish: RemovePlacement) {
        let mut records = self.records.lock().await;
        let Some(record) = records.get_mut(&wish.uid) else {
            // Never heard of: nothing of it is left, and control must know.
            self.context.outbox.status(&wish.uid, 0, Bytes::new(), true);
            return;
        };
        if record.removed {
            let generation = record.placement.as_ref().map_or(0, |p| p.generation);
            self.context.outbox.status(&wish.uid, generation, record.final_status.clone(), true);
            return;
        }
        let before = record.removal;
        let removal = Removal {
            // A second wish can only shorten the wait.
            grace_seconds: before.map_or(wish.grace_seconds, |b| b.grace_seconds.min(wish.grace_seconds)),
            moved: wish.moved || before.is_some_and(|b| b.moved),
            since_ms: before.map_or_else(unix_ms, |b| b.since_ms),
        };
        if before == Some(removal) {
            return;
        }
        record.removal = Some(removal);
        let record = record.clone();
        self.save(&record).await;
        self.run(&record);
    }

    /// Drops all knowledge of a placement that is gone.
    pub async fn forget(&self, uid: &str) {
        let mut records = self.records.lock().await;
        if records.get(uid).is_some_and(|r| !r.removed) {
            return;
        }
        records.remove(uid);
        self.store.delete(uid);
        self.context.outbox.forget(uid);
        if let Err(error) = self.context.journal.forget(uid).await {
            tracing::warn!(pod.uid = uid, error = format!("{error:#}"), "the usage journal keeps a pod that is gone");
        }
    }

    /// Makes this host run exactly what control says.
    pub async fn sync(self: &Arc<Self>, sync: Sync) {
        let wanted: HashSet<String> = sync.placements.iter().map(|p| p.uid.clone()).collect();
        let leaving: HashSet<String> = sync.removals.iter().map(|r| r.uid.clone()).collect();
        if let Err(error) = self.context.network.sync(&sync.networks).await {
            tracing::error!(error = format!("{error:#}"), "not all networks could be made");
        }
        for placement in sync.placements {
            self.place(placement).await;
        }
        for removal in sync.removals {
            self.remove(removal).await;
        }
        let unknown: Vec<(String, bool, u32)> = {
            let records = self.records.lock().await;
            let others = records.iter().filter(|(uid, _)| !wanted.contains(*uid) && !leaving.contains(*uid));
            others.map(|(uid, r)| (uid.clone(), r.removed, grace(r))).collect()
        };
        for (uid, removed, grace_seconds) in unknown {
            if removed {
                self.forget(&uid).await;
            } else {
                tracing::warn!(pod.uid = uid, "control does not know this pod any more: it is stopped");
                self.remove(RemovePlacement { uid, grace_seconds, moved: false }).await;
            }
        }
        self.remove_orphans().await;
    }

    /// Removes from containerd what no record speaks of. Only after a Sync: a record may have been lost.
    async fn remove_orphans(&self) {
        let Ok((sandboxes, containers)) = self.context.cri.list().await else { return };
        let label = |labels: &HashMap<String, String>| labels.get(crate::cri::POD_UID_LABEL).cloned();
        let uids = sandboxes.iter().filter_map(|s| label(&s.labels));
        let uids: HashSet<String> = uids.chain(containers.iter().filter_map(|c| label(&c.labels))).collect();
        let records = self.records.lock().await;
        let orphans: Vec<String> = uids.into_iter().filter(|uid| records.get(uid).is_none_or(|r| r.removed)).collect();
        drop(records);
        for uid in orphans {
            tracing::warn!(pod.uid = uid, "nobody asked for this pod: it is removed");
            if let Ok(view) = view::observe(&self.context.cri, &uid, &view::PodView::default()).await
                && let Err(error) = act::clean_runtime(&self.context, &uid, &view).await
            {
                tracing::error!(pod.uid = uid, error = error.message(), "orphan cannot be removed");
            }
        }
    }

    async fn save(&self, record: &Record) -> bool {
        let (store, record) = (self.store.clone(), record.clone());
        match tokio::task::spawn_blocking(move || store.save(&record)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "placement cannot be stored; it waits for the next sync");
                false
            }
            Err(error) => {
                tracing::error!(%error, "storing a placement panicked");
                false
            }
        }
    }

    /// Starts or updates the worker of a record.
    fn run(self: &Arc<Self>, record: &Record) {
        let Some(placement) = record.placement.clone() else { return };
        let uid = placement.uid.clone();
        let generation = placement.generation;
        let mut desired = match Desired::parse(placement.clone(), record.accepted_ms) {
            Ok(desired) => desired,
            Err(error) => {
                tracing::error!(pod.uid = uid, %error, "the placement's pod is no pod");
                // What is no pod still has a state, or control would wait for ever.
                let text = format!("the pod cannot be read: {error}");
                let status = serde_json::json!({"phase": "Failed", "reason": "InvalidPod", "message": text});
                self.context.outbox.status(&uid, generation, status.to_string().into(), false);
                let empty = Placement { pod: Bytes::from_static(b"{}"), ..placement };
                match Desired::parse(empty, record.accepted_ms) {
                    Ok(desired) if record.removal.is_some() => desired,
                    _ => return,
                }
            }
        };
        desired.removal = record.removal;
        desired.complete = !record.incomplete;
        let desired = Arc::new(desired);
        let mut workers = self.workers.lock();
        if let Some(handle) = workers.get(&uid) {
            handle.desired.send_replace(desired);
            return;
        }
        let (sender, receiver) = watch::channel(desired);
        let (wake, live) = (Arc::new(Notify::new()), Arc::new(Live::default()));
        workers.insert(uid.clone(), Handle { desired: sender, wake: wake.clone(), live: live.clone() });
        let worker = Worker::new(self.context.clone(), receiver, wake, live);
        let agent = self.clone();
        self.context.tasks.spawn(async move {
            if let Some(status) = worker.run().await {
                agent.finished(&uid, status).await;
            }
        });
    }

    /// Nothing of the pod is left: remembers so until control knows.
    async fn finished(&self, uid: &str, status: Bytes) {
        let mut records = self.records.lock().await;
        self.workers.lock().remove(uid);
        let Some(record) = records.get_mut(uid) else { return };
        let Some(placement) = &record.placement else { return };
        let gone = Record {
            placement: Some(Placement {
                uid: uid.to_owned(),
                generation: placement.generation,
                namespace: placement.namespace.clone(),
                name: placement.name.clone(),
                ..Default::default()
            }),
            accepted_ms: record.accepted_ms,
            removal: record.removal,
            removed: true,
            final_status: status.clone(),
            ..Record::default()
        };
        let generation = placement.generation;
        *record = gone.clone();
        self.save(&gone).await;
        self.store.drop_secrets(uid);
        self.context.outbox.status(uid, generation, status, true);
    }
}

fn grace(record: &Record) -> u32 {
    let placement = record.placement.clone().unwrap_or_default();
    Desired::parse(placement, 0).map_or(30, |d| d.grace_seconds())
}
