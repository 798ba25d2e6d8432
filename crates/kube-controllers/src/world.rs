//! What every controller works with: the clusters in memory, objects parsed once per revision, the clock, the recorder.

use crate::{Config, events::Recorder, scheduler::PodInfo};
use domain::{Clock, ClusterId};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Service};
use kube_api::Actor;
use kube_store::{Cluster, Object, Stores};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};

/// Shared by all controllers of all clusters.
pub(crate) struct World {
    pub(crate) stores: Arc<Stores>,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) recorder: Recorder,
    pub(crate) actor: Actor,
    active: Mutex<HashMap<ClusterId, Active>>,
}

struct Active {
    /// Weak: looking at a cluster must not keep it in memory.
    cluster: Weak<Cluster>,
    memory: Arc<Memory>,
}

/// What is remembered of one cluster while it is in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) pods: Parsed<PodInfo>,
    pub(crate) nodes: Parsed<Node>,
    pub(crate) services: Parsed<Service>,
    /// When each node was last heard from.
    pub(crate) heard: Mutex<HashMap<String, Timestamp>>,
    /// Some node is not to be trusted: its next sign of life matters.
    pub(crate) nodes_in_doubt: std::sync::atomic::AtomicBool,
    /// Since when nodes with pods are missing.
    pub(crate) missing: Mutex<BTreeMap<String, Timestamp>>,
}

/// Objects of one kind, parsed once per revision; by UID.
pub(crate) struct Parsed<T>(Mutex<ByUid<T>>);

/// Revision and parsed form of objects.
type ByUid<T> = HashMap<Arc<str>, (u64, Arc<T>)>;

impl<T> Default for Parsed<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Parsed<T> {
    fn get_or(&self, object: &Object, parse: impl FnOnce(&Object) -> Option<T>) -> Option<Arc<T>> {
        if let Some((revision, known)) = self.0.lock().get(&object.meta.uid)
            && *revision == object.revision
        {
            return Some(Arc::clone(known));
        }
        let parsed = Arc::new(parse(object)?);
        self.0.lock().insert(Arc::clone(&object.meta.uid), (object.revision, Arc::clone(&parsed)));
        Some(parsed)
    }

    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

impl Parsed<PodInfo> {
    /// The pod, prepared; `None` if it cannot be read, which the API prevents.
    pub(crate) fn pod(&self, object: &Object) -> Option<Arc<PodInfo>> {
        self.get_or(object, |object| Some(PodInfo::new(Arc::new(parse(object)?))))
    }
}

impl<T: DeserializeOwned> Parsed<T> {
    /// The object, parsed; `None` if it cannot be read, which the API prevents.
    pub(crate) fn get(&self, object: &Object) -> Option<Arc<T>> {
        self.get_or(object, parse)
    }
}

/// Parses an object; one that cannot be read is logged and left alone.
pub(crate) fn parse<T: DeserializeOwned>(object: &Object) -> Option<T> {
    object
        .parse()
        .inspect_err(
            |error| tracing::error!(key = ?object.key, %error, "a stored {} cannot be read", object.key.resource),
        )
        .ok()
}

impl World {
    pub(crate) fn new(stores: Arc<Stores>, config: Config, clock: Arc<dyn Clock>, recorder: Recorder) -> Self {
        let actor = Actor::system("system:kube-controller-manager");
        Self { stores, config, clock, recorder, actor, active: Mutex::default() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A cluster that is in memory, and what is remembered of it; never loads one, nor counts as a use of it.
    pub(crate) fn cluster(&self, id: &ClusterId) -> Option<(Arc<Cluster>, Arc<Memory>)> {
        let active = self.active.lock();
        let found = active.get(id)?;
        let cluster = found.cluster.upgrade().filter(|cluster| cluster.is_open())?;
        Some((cluster, Arc::clone(&found.memory)))
    }

    /// Begins with a cluster that came into memory, with nothing remembered.
    pub(crate) fn begin(&self, cluster: &Arc<Cluster>) -> Arc<Memory> {
        let memory = Arc::new(Memory::default());
        let active = Active { cluster: Arc::downgrade(cluster), memory: Arc::clone(&memory) };
        self.active.lock().insert(cluster.id().clone(), active);
        memory
    }

    /// Forgets a cluster that left memory.
    pub(crate) fn end(&self, id: &ClusterId) {
        self.active.lock().remove(id);
    }
}

/// All pods of a namespace, prepared.
pub(crate) fn pods_in(cluster: &Cluster, memory: &Memory, namespace: &str) -> Vec<Arc<PodInfo>> {
    cluster.list("pods", Some(namespace)).1.iter().filter_map(|object| memory.pods.pod(object)).collect()
}

/// All nodes, parsed.
pub(crate) fn nodes(cluster: &Cluster, memory: &Memory) -> Vec<Arc<Node>> {
    cluster.list("nodes", None).1.iter().filter_map(|object| memory.nodes.get(object)).collect()
}
