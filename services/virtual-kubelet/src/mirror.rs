//! What is known at the moment: virtual nodes, the pods bound to nodes, and the fleet's placements.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;
use proto::fleet::PlacementState;
use serde_json::Value;

/// Label of Nodes that are virtual.
pub const NODE_LABEL: &str = "hako.dev/virtual-node";

/// Names one pod, whether it still exists or only its placement does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodKey {
    /// Its cluster.
    pub cluster: Arc<str>,
    /// Its uid.
    pub uid: Arc<str>,
}

/// Names one node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeKey {
    /// Its cluster.
    pub cluster: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl reconcile::Key for PodKey {
    type Lane = Arc<str>;

    fn lane(&self) -> Arc<str> {
        Arc::clone(&self.cluster)
    }
}

impl reconcile::Key for NodeKey {
    type Lane = Arc<str>;

    fn lane(&self) -> Arc<str> {
        Arc::clone(&self.cluster)
    }
}

type Name = (Arc<str>, String, String);

#[derive(Debug, Default)]
struct State {
    nodes: HashMap<NodeKey, Arc<Value>>,
    pods: HashMap<PodKey, Arc<Value>>,
    names: HashMap<Name, Arc<str>>,
    placements: HashMap<Arc<str>, Arc<PlacementState>>,
    nodes_synced: bool,
    pods_synced: bool,
    fleet_synced: bool,
}

/// The shared picture. All of it is lost with the process, and read anew.
#[derive(Debug, Default)]
pub struct Mirror {
    state: RwLock<State>,
}

/// What is known of one pod at one moment.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The pod, if it exists and is bound.
    pub pod: Option<Arc<Value>>,
    /// Its node, if that is one of ours.
    pub node: Option<Arc<Value>>,
    /// Its placement.
    pub placement: Option<Arc<PlacementState>>,
    /// Whether all three are complete: what is absent is then known to be absent.
    pub complete: bool,
}

/// A text in an object's metadata.
pub fn meta<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"][name].as_str().unwrap_or_default()
}

fn name_of(cluster: &Arc<str>, object: &Value) -> Name {
    (Arc::clone(cluster), meta(object, "namespace").to_owned(), meta(object, "name").to_owned())
}

impl Mirror {
    /// A pod is there. Pods without a node are of no interest.
    pub fn put_pod(&self, cluster: &Arc<str>, pod: Arc<Value>) -> Option<PodKey> {
        if pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
            return None;
        }
        let key = PodKey { cluster: Arc::clone(cluster), uid: meta(&pod, "uid").into() };
        let mut state = self.state.write();
        state.names.insert(name_of(cluster, &pod), Arc::clone(&key.uid));
        state.pods.insert(key.clone(), pod);
        Some(key)
    }

    /// A pod is gone. Only its name may be known.
    pub fn drop_pod(&self, cluster: &Arc<str>, pod: &Value) -> Option<PodKey> {
        let name = name_of(cluster, pod);
        let mut state = self.state.write();
        let known = state.names.get(&name).cloned();
        let uid: Arc<str> = match meta(pod, "uid") {
            "" => known.clone()?,
            uid => uid.into(),
        };
        if known.as_ref() == Some(&uid) {
            state.names.remove(&name);
        }
        let key = PodKey { cluster: Arc::clone(cluster), uid };
        state.pods.remove(&key).map(|_| key)
    }

    /// A watch of pods has told all there is: what it did not tell is gone. Gives the keys to look at.
    pub fn pods_synced(&self, told: &HashSet<PodKey>) -> Vec<PodKey> {
        let mut state = self.state.write();
        let gone: Vec<PodKey> = state.pods.keys().filter(|key| !told.contains(*key)).cloned().collect();
        for key in &gone {
            if let Some(pod) = state.pods.remove(key) {
                let name = name_of(&key.cluster, &pod);
                if state.names.get(&name) == Some(&key.uid) {
                    state.names.remove(&name);
                }
            }
        }
        state.pods_synced = true;
        gone
    }

    /// A node is there. Gives its key if it is virtual.
    pub fn put_node(&self, cluster: &Arc<str>, node: Arc<Value>) -> Option<NodeKey> {
        let key = NodeKey { cluster: Arc::clone(cluster), name: meta(&node, "name").into() };
        let mut state = self.state.write();
        if node["metadata"]["labels"].get(NODE_LABEL).is_none() {
            state.nodes.remove(&key);
            return None;
        }
        state.nodes.insert(key.clone(), node);
        Some(key)
    }

    /// A node is gone.
    pub fn drop_node(&self, cluster: &Arc<str>, node: &Value) -> NodeKey {
        let key = NodeKey { cluster: Arc::clone(cluster), name: meta(node, "name").into() };
        self.state.write().nodes.remove(&key);
        key
    }

    /// A watch of nodes has told all there is.
    pub fn nodes_synced(&self, told: &HashSet<NodeKey>) {
        let mut state = self.state.write();
        state.nodes.retain(|key, _| told.contains(key));
        state.nodes_synced = true;
    }

    /// The fleet tells of a placement, or that it is gone.
    pub fn put_placement(&self, placement: PlacementState, gone: bool) -> PodKey {
        let uid: Arc<str> = placement.uid.as_str().into();
        let key = PodKey { cluster: placement.cluster_id.as_str().into(), uid: Arc::clone(&uid) };
        let mut state = self.state.write();
        if gone {
            state.placements.remove(&uid);
        } else {
            state.placements.insert(uid, Arc::new(placement));
        }
        key
    }

    /// The fleet has told all placements there are.
    pub fn fleet_synced(&self, told: &HashSet<Arc<str>>) -> Vec<PodKey> {
        let mut state = self.state.write();
        let gone: Vec<Arc<str>> = state.placements.keys().filter(|uid| !told.contains(*uid)).cloned().collect();
        let mut keys = Vec::new();
        for uid in gone {
            if let Some(placement) = state.placements.remove(&uid) {
                keys.push(PodKey { cluster: placement.cluster_id.as_str().into(), uid });
            }
        }
        state.fleet_synced = true;
        keys
    }

    /// The way to the fleet is broken: what is not known to be there may be there.
    pub fn fleet_lost(&self) {
        self.state.write().fleet_synced = false;
    }

    /// Whether everything has been told at least once.
    pub fn is_complete(&self) -> bool {
        let state = self.state.read();
        state.nodes_synced && state.pods_synced && state.fleet_synced
    }

    /// What is known of one pod.
    pub fn see(&self, key: &PodKey) -> Seen {
        let state = self.state.read();
        let pod = state.pods.get(key).cloned();
        let node = pod.as_ref().and_then(|pod| {
            let name = pod["spec"]["nodeName"].as_str().unwrap_or_default().into();
            state.nodes.get(&NodeKey { cluster: Arc::clone(&key.cluster), name }).cloned()
        });
        Seen {
            pod,
            node,
            placement: state.placements.get(&key.uid).cloned(),
            complete: state.nodes_synced && state.pods_synced && state.fleet_synced,
        }
    }

    /// The pod of a name.
    pub fn pod_named(&self, cluster: &str, namespace: &str, name: &str) -> Option<(PodKey, Arc<Value>)> {
        let state = self.state.read();
        let uid = state.names.get(&(cluster.into(), namespace.to_owned(), name.to_owned()))?;
        let key = PodKey { cluster: cluster.into(), uid: Arc::clone(uid) };
        state.pods.get(&key).map(|pod| (key.clone(), Arc::clone(pod)))
    }

    /// One node.
    pub fn node(&self, key: &NodeKey) -> Option<Arc<Value>> {
        self.state.read().nodes.get(key).cloned()
    }

    /// All virtual nodes.
    pub fn nodes(&self) -> Vec<NodeKey> {
        self.state.read().nodes.keys().cloned().collect()
    }

    /// All pods on our nodes.
    pub fn pods(&self) -> Vec<(PodKey, Arc<Value>)> {
        self.state.read().pods.iter().map(|(key, pod)| (key.clone(), Arc::clone(pod))).collect()
    }

    /// Everything that has a pod or a placement.
    pub fn keys(&self) -> Vec<PodKey> {
        let state = self.state.read();
        let placed = state.placements.values().map(|placement| PodKey {
            cluster: placement.cluster_id.as_str().into(),
            uid: placement.uid.as_str().into(),
        });
        let all: HashSet<PodKey> = state.pods.keys().cloned().chain(placed).collect();
        all.into_iter().collect()
    }

    /// Pods on one node.
    pub fn pods_on(&self, node: &NodeKey) -> Vec<PodKey> {
        let state = self.state.read();
        let on = |pod: &Value| pod["spec"]["nodeName"].as_str() == Some(&*node.name);
        let own = state.pods.iter().filter(|(key, pod)| key.cluster == node.cluster && on(pod));
        own.map(|(key, _)| key.clone()).collect()
    }
}
