//! All clusters of this replica: loads them when asked for, evicts idle ones, and tells what was committed.

use crate::{
    cluster::{Cluster, Context},
    metrics::metrics,
    object::{Event, Meta, Object, Resource},
    store::{self, ObjectRow, Taken},
    txn::Extract,
};
use domain::ClusterId;
use parking_lot::Mutex;
use sealing::Sealer;
use sqlx::PgPool;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// How long other replicas respect this one's clusters after its last sign of life.
const LEASE: Duration = Duration::from_secs(15);
/// How often the sign of life is given.
const RENEW: Duration = Duration::from_secs(4);
/// Signals that a slow listener may lag behind before it must look at everything again.
const SIGNALS: usize = 16 * 1024;

/// Bounds of what a cluster may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one object. Source: etcd's and so Kubernetes' limit of 1.5 MiB.
    pub object_bytes: usize,
    /// Objects of one cluster.
    pub objects: usize,
    /// Bytes of all objects of one cluster.
    pub cluster_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { object_bytes: 1536 * 1024, objects: 200_000, cluster_bytes: 512 << 20 }
    }
}

/// How clusters are kept.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// This replica's name: stays the same over restarts, differs between replicas.
    pub replica: String,
    /// A cluster that nobody asked for this long leaves memory.
    pub idle_after: Duration,
    /// What one cluster may hold.
    pub limits: Limits,
    /// Seals what `sealed` names.
    pub sealer: Arc<Sealer>,
    /// Resources whose objects are encrypted at rest.
    pub sealed: fn(&str) -> bool,
    /// Reads the selectable fields of an object.
    pub extract: Extract,
}

/// Why a cluster cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no such cluster.
    #[error("there is no such cluster")]
    NotFound,
    /// It cannot be had now; the text says why and holds nothing of the database.
    #[error("{0}")]
    Unavailable(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the database failed");
        Self::Unavailable("the database is not available; retry".into())
    }
}

/// What happened to clusters of this replica. Hints: a listener that lags looks at everything again.
#[derive(Debug, Clone)]
pub enum Signal {
    /// A cluster came into memory.
    Loaded(ClusterId),
    /// Writes were committed.
    Committed(ClusterId, Arc<[Arc<Event>]>),
    /// A cluster left memory.
    Unloaded(ClusterId),
    /// A cluster was deleted for good.
    Deleted(ClusterId),
}

#[derive(Debug, Default)]
struct Slot {
    loaded: Mutex<Option<Arc<Cluster>>>,
    loading: tokio::sync::Mutex<()>,
}

impl Slot {
    fn current(&self) -> Option<Arc<Cluster>> {
        self.loaded.lock().as_ref().filter(|cluster| cluster.is_open()).cloned()
    }
}

/// All clusters of this replica.
#[derive(Debug)]
pub struct Stores {
    context: Context,
    replica: String,
    idle_after: Duration,
    slots: Mutex<HashMap<ClusterId, Arc<Slot>>>,
    stop: CancellationToken,
}

impl Drop for Stores {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Stores {
    /// Starts with nothing in memory, and gives the first sign of life.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn start(db: PgPool, config: StoreConfig) -> Result<Arc<Self>, StoreError> {
        store::renew_replica(&db, &config.replica, LEASE.as_secs_f64()).await?;
        let context = Context {
            db,
            sealer: config.sealer,
            sealed: config.sealed,
            limits: config.limits,
            extract: config.extract,
            signals: broadcast::Sender::new(SIGNALS),
        };
        let stop = CancellationToken::new();
        let stores = Arc::new(Self {
            context,
            replica: config.replica,
            idle_after: config.idle_after,
            slots: Mutex::default(),
            stop: stop.clone(),
        });
        tokio::spawn(keep_alive(Arc::downgrade(&stores), stop));
        Ok(stores)
    }

    /// Makes an empty cluster and loads it; if it exists already, just loads it.
    ///
    /// # Errors
    /// If the database fails or another replica has it.
    pub async fn create_cluster(&self, id: &ClusterId) -> Result<Arc<Cluster>, StoreError> {
        let Some(taken) = store::insert_cluster(&self.context.db, id, &self.replica).await? else {
            return self.cluster(id).await;
        };
        let slot = self.slot(id);
        let cluster = self.started(id, taken, Vec::new());
        *slot.loaded.lock() = Some(Arc::clone(&cluster));
        self.context.send(Signal::Loaded(id.clone()));
        Ok(cluster)
    }

    fn started(&self, id: &ClusterId, taken: Taken, objects: Vec<Arc<Object>>) -> Arc<Cluster> {
        let cluster = Cluster::start(id.clone(), self.context.clone(), taken, objects);
        cluster.touch();
        cluster
    }

    /// Deletes a cluster and all in it; false if there was none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn delete_cluster(&self, id: &ClusterId) -> Result<bool, StoreError> {
        let existed = store::delete_cluster(&self.context.db, id).await?;
        let slot = self.slots.lock().remove(id);
        if let Some(cluster) = slot.and_then(|slot| slot.loaded.lock().take()) {
            cluster.close();
        }
        self.context.send(Signal::Deleted(id.clone()));
        Ok(existed)
    }

    fn slot(&self, id: &ClusterId) -> Arc<Slot> {
        Arc::clone(self.slots.lock().entry(id.clone()).or_default())
    }

    /// The cluster, loaded if it sleeps.
    ///
    /// # Errors
    /// If there is none, or it cannot be had now.
    pub async fn cluster(&self, id: &ClusterId) -> Result<Arc<Cluster>, StoreError> {
        let known = self.slots.lock().get(id).and_then(|slot| slot.current());
        if let Some(cluster) = known {
            cluster.touch();
            return Ok(cluster);
        }
        let slot = self.slot(id);
        let loaded = self.load(id, &slot).await;
        if loaded.is_err() {
            self.slots.lock().retain(|_, slot| Arc::strong_count(slot) > 2 || slot.loaded.lock().is_some());
        }
        loaded
    }

    async fn load(&self, id: &ClusterId, slot: &Slot) -> Result<Arc<Cluster>, StoreError> {
        let _alone = slot.loading.lock().await;
        if let Some(cluster) = slot.current() {
            return Ok(cluster);
        }
        let Some(taken) = store::take_cluster(&self.context.db, id, &self.replica).await? else {
            let exists = store::cluster_exists(&self.context.db, id).await?;
            let elsewhere = || StoreError::Unavailable("another replica serves this cluster; retry".into());
            return Err(if exists { elsewhere() } else { StoreError::NotFound });
        };
        let started = Instant::now();
        let rows = store::load_objects(&self.context.db, taken.no).await?;
        let objects: Vec<_> = rows.into_iter().map(|row| self.object(id, row)).collect::<Result<_, _>>()?;
        tracing::info!(cluster = %id, objects = objects.len(), duration_ms = started.elapsed().as_millis() as u64, "loaded a cluster");
        metrics().loaded();
        let cluster = self.started(id, taken, objects);
        *slot.loaded.lock() = Some(Arc::clone(&cluster));
        self.context.send(Signal::Loaded(id.clone()));
        Ok(cluster)
    }

    fn object(&self, id: &ClusterId, row: ObjectRow) -> Result<Arc<Object>, StoreError> {
        let bytes = self.context.open(id, &row.key, row.body)?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|_| StoreError::Unavailable(format!("a stored object of {id} cannot be read")))?;
        let meta = Meta::read(&value, (self.context.extract)(&row.key.resource, &value));
        let revision = u64::try_from(row.revision).unwrap_or(0);
        Ok(Arc::new(Object { key: row.key, revision, bytes: bytes.into(), meta }))
    }

    /// What happens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Signal> {
        self.context.signals.subscribe()
    }

    /// The clusters in memory now.
    #[must_use]
    pub fn loaded(&self) -> Vec<Arc<Cluster>> {
        self.slots.lock().values().filter_map(|slot| slot.current()).collect()
    }

    /// All objects of a resource in all clusters, the sleeping ones included. Subscribe first, then ask: a change in
    /// between is then seen in one or both.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn wildcard(&self, resource: &Resource) -> Result<Vec<(ClusterId, Arc<Object>)>, StoreError> {
        let stored = store::load_resource_all_tenants(&self.context.db, resource).await?;
        let awake: HashMap<ClusterId, Arc<Cluster>> =
            self.loaded().into_iter().map(|cluster| (cluster.id().clone(), cluster)).collect();
        let mut all = Vec::with_capacity(stored.len());
        for (id, row) in stored {
            let Ok(id) = id.parse::<ClusterId>() else { continue };
            if !awake.contains_key(&id) {
                all.push((id.clone(), self.object(&id, row)?));
            }
        }
        for (id, cluster) in awake {
            all.extend(cluster.list(resource, None).1.into_iter().map(|object| (id.clone(), object)));
        }
        Ok(all)
    }

    fn evict_idle(&self) {
        let mut gone = Vec::new();
        self.slots.lock().retain(|id, slot| {
            let mut loaded = slot.loaded.lock();
            let Some(cluster) = loaded.as_ref() else { return Arc::strong_count(slot) > 1 };
            cluster.trim();
            // Only this registry holds it: no watch and no request is open.
            if Arc::strong_count(cluster) > 1 || cluster.idle() < self.idle_after {
                return true;
            }
            cluster.close();
            *loaded = None;
            gone.push(id.clone());
            Arc::strong_count(slot) > 1
        });
        for id in gone {
            metrics().evicted();
            tracing::info!(cluster = %id, "evicted an idle cluster from memory");
            self.context.send(Signal::Unloaded(id));
        }
    }

    fn give_up_all(&self) {
        for cluster in self.loaded() {
            cluster.close();
            self.context.send(Signal::Unloaded(cluster.id().clone()));
        }
    }
}

/// Renews the lease and evicts idle clusters until `stop`; gives everything up when the lease has run out.
async fn keep_alive(stores: std::sync::Weak<Stores>, stop: CancellationToken) {
    let mut renewed = Instant::now();
    while stop.run_until_cancelled(tokio::time::sleep(RENEW)).await.is_some() {
        let Some(stores) = stores.upgrade() else { return };
        let renewal = store::renew_replica(&stores.context.db, &stores.replica, LEASE.as_secs_f64());
        match tokio::time::timeout(RENEW, renewal).await {
            Ok(Ok(())) => renewed = Instant::now(),
            _ if renewed.elapsed() > LEASE => stores.give_up_all(),
            _ => tracing::warn!("could not renew this replica's lease"),
        }
        stores.evict_idle();
    }
}
