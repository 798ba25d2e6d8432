//! The loop: commits of all clusters become keys, one pool of workers works them off.

use crate::events::{Recorder, write_all};
use crate::key::Key;
use crate::world::{Memory, World};
use crate::{Config, act::Fault, metrics::Metrics, table};
use domain::{Clock, ClusterId};
use kube_api::ApiState;
use kube_store::{Cluster, Event, Signal, Stores};
use reconcile::{Next, Queue, Reconcile};
use std::sync::Arc;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Runs the controllers of every cluster that is in memory, now or later, until `stop`; returns when the runs under
/// way have ended. A cluster in which nothing happens costs nothing but its entry in a map.
pub async fn run(api: Arc<ApiState>, stop: CancellationToken) {
    let config = Config { ca_pem: api.config.public_ca_pem.clone(), ..Config::default() };
    run_with(Arc::clone(&api.stores), config, Arc::clone(&api.clock), stop).await;
}

/// As [`run`], with the knobs given.
pub async fn run_with(stores: Arc<Stores>, config: Config, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let queue = Queue::default();
    let pool =
        reconcile::Config { workers: config.workers, resync: Some(config.resync), ..reconcile::Config::default() };
    // Before the first look: what happens in between is then seen in one or both.
    let signals = stores.subscribe();
    let (recorder, notes) = Recorder::new();
    let world = Arc::new(World::new(stores, config, clock, recorder));
    let tasks = TaskTracker::new();
    tasks.spawn(write_all(Arc::clone(&world), notes, stop.clone()));
    tasks.spawn(dispatch(Arc::clone(&world), queue.clone(), signals, stop.clone()));
    tasks.close();
    reconcile::run(queue, pool, Arc::new(Controllers(world)), Arc::new(Metrics::registered()), stop).await;
    tasks.wait().await;
}

struct Controllers(Arc<World>);

impl Reconcile<Key> for Controllers {
    type Error = Fault;

    async fn reconcile(&self, key: &Key) -> Result<Next, Fault> {
        table::reconcile(&self.0, key).await
    }

    fn all(&self) -> Vec<Key> {
        self.0.stores.loaded().iter().flat_map(|cluster| table::all_keys(cluster)).collect()
    }
}

/// Turns signals into keys.
async fn dispatch(world: Arc<World>, queue: Queue<Key>, mut signals: Receiver<Signal>, stop: CancellationToken) {
    look_at_everything(&world, &queue);
    while let Some(signal) = stop.run_until_cancelled(signals.recv()).await {
        match signal {
            Ok(Signal::Committed(id, events)) => committed(&world, &queue, &id, &events),
            Ok(Signal::Loaded(id)) => {
                let loaded = world.stores.loaded();
                if let Some(cluster) = loaded.iter().find(|cluster| *cluster.id() == id) {
                    begin(&world, &queue, cluster);
                }
            }
            Ok(Signal::Unloaded(id) | Signal::Deleted(id)) => {
                world.end(&id);
                queue.remove(|key| key.cluster == id);
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "fell {missed} signals behind the stores: looking at everything");
                look_at_everything(&world, &queue);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn look_at_everything(world: &World, queue: &Queue<Key>) {
    for cluster in world.stores.loaded() {
        begin(world, queue, &cluster);
    }
}

fn begin(world: &World, queue: &Queue<Key>, cluster: &Arc<Cluster>) {
    world.begin(cluster);
    queue.add_all(table::all_keys(cluster));
}

fn committed(world: &World, queue: &Queue<Key>, id: &ClusterId, events: &[Arc<Event>]) {
    let Some((cluster, memory)) = world.cluster(id) else { return };
    let now = world.now();
    for event in events {
        queue.add_all(table::keys(&cluster, &memory, event, now));
        if event.is_deletion() {
            forget(&memory, event);
        }
    }
}

/// Drops what was parsed of an object that is gone.
fn forget(memory: &Memory, event: &Event) {
    let uid = &event.object.meta.uid;
    match &*event.object.key.resource {
        "pods" => memory.pods.forget(uid),
        "nodes" => memory.nodes.forget(uid),
        "services" => memory.services.forget(uid),
        _ => {}
    }
}
