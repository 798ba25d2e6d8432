//! What the watches say: our nodes, the pods bound to them, and the placements that the fleet has.

use crate::kubelet::PodIndex;
use parking_lot::RwLock;
use proto::fleet::{PlacementState, placement_state::Phase};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Label of the Nodes that are ours.
const NODE_LABEL: &str = "hako.dev/virtual-node";

/// A pod bound to one of our nodes.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) cluster: Arc<str>,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) value: Arc<Value>,
}

/// A Node of ours.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) cluster: Arc<str>,
    pub(crate) name: String,
    pub(crate) value: Arc<Value>,
}

#[derive(Debug, Default)]
struct State {
    pods: HashMap<String, Pod>,
    uids: HashMap<(Arc<str>, String, String), String>,
    nodes: HashMap<(Arc<str>, String), Node>,
    placements: HashMap<String, PlacementState>,
    pods_known: bool,
    placements_known: bool,
}

/// Shared view of both sides.
#[derive(Debug, Default)]
pub(crate) struct Mirror(RwLock<State>);

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Mirror {
    /// True once both sides were seen whole: before, what is missing may just not have been told yet.
    pub(crate) fn is_complete(&self) -> bool {
        let state = self.0.read();
        state.pods_known && state.placements_known
    }

    /// How many pods, nodes and placements there are.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let state = self.0.read();
        (state.pods.len(), state.nodes.len(), state.placements.len())
    }

    /// Takes a pod's new state; gives its UID if it is bound to a node.
    pub(crate) fn put_pod(&self, cluster: &str, value: Value) -> Option<String> {
        let node = text(&value, "/spec/nodeName").to_owned();
        if node.is_empty() {
            return None;
        }
        let uid = text(&value, "/metadata/uid").to_owned();
        let cluster: Arc<str> = cluster.into();
        let (namespace, name) =
            (text(&value, "/metadata/namespace").to_owned(), text(&value, "/metadata/name").to_owned());
        let mut state = self.0.write();
        state.uids.insert((Arc::clone(&cluster), namespace.clone(), name.clone()), uid.clone());
        state.pods.insert(uid.clone(), Pod { cluster, namespace, name, node, value: Arc::new(value) });
        Some(uid)
    }

    /// Forgets a pod.
    pub(crate) fn remove_pod(&self, uid: &str) {
        let mut state = self.0.write();
        let Some(pod) = state.pods.remove(uid) else { return };
        let place = (pod.cluster, pod.namespace, pod.name);
        if state.uids.get(&place).is_some_and(|current| current == uid) {
            state.uids.remove(&place);
        }
    }

    /// The whole set of pods was told: forgets the others, and gives their UIDs.
    pub(crate) fn keep_pods(&self, told: &HashSet<String>) -> Vec<String> {
        let gone: Vec<String> = self.0.read().pods.keys().filter(|uid| !told.contains(*uid)).cloned().collect();
        for uid in &gone {
            self.remove_pod(uid);
        }
        self.0.write().pods_known = true;
        gone
    }

    /// Takes a Node's new state; gives it if it is ours.
    pub(crate) fn put_node(&self, cluster: &str, value: Value) -> Option<Node> {
        value.pointer("/metadata/labels")?.get(NODE_LABEL)?;
        let name = text(&value, "/metadata/name").to_owned();
        let node = Node { cluster: cluster.into(), name, value: Arc::new(value) };
        self.0.write().nodes.insert((Arc::clone(&node.cluster), node.name.clone()), node.clone());
        Some(node)
    }

    /// Forgets a Node.
    pub(crate) fn remove_node(&self, cluster: &str, name: &str) {
        self.0.write().nodes.remove(&(cluster.into(), name.to_owned()));
    }

    /// The whole set of Nodes was told: forgets the others.
    pub(crate) fn keep_nodes(&self, told: &HashSet<(Arc<str>, String)>) {
        self.0.write().nodes.retain(|key, _| told.contains(key));
    }

    /// All our Nodes.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.0.read().nodes.values().cloned().collect()
    }

    /// The Node of that name, if it is ours.
    pub(crate) fn node(&self, cluster: &Arc<str>, name: &str) -> Option<Node> {
        self.0.read().nodes.get(&(Arc::clone(cluster), name.to_owned())).cloned()
    }

    /// UIDs of pods on a Node.
    pub(crate) fn pods_on(&self, cluster: &Arc<str>, node: &str) -> Vec<String> {
        let state = self.0.read();
        let on = state.pods.iter().filter(|(_, pod)| pod.cluster == *cluster && pod.node == node);
        on.map(|(uid, _)| uid.clone()).collect()
    }

    /// Takes a placement's new state.
    pub(crate) fn put_placement(&self, state: PlacementState) {
        let mut all = self.0.write();
        if state.phase() == Phase::Removed {
            all.placements.remove(&state.uid);
            return;
        }
        all.placements.insert(state.uid.clone(), state);
    }

    /// Notes a placement that was just asked for, unless more is known of it.
    pub(crate) fn note_placement(&self, state: PlacementState) {
        self.0.write().placements.entry(state.uid.clone()).or_insert(state);
    }

    /// The whole set of placements was told: forgets the others.
    pub(crate) fn keep_placements(&self, told: &HashSet<String>) {
        let mut state = self.0.write();
        state.placements.retain(|uid, _| told.contains(uid));
        state.placements_known = true;
    }

    /// The fleet is out of reach: what it has is not known any more.
    pub(crate) fn forget_placements(&self) {
        self.0.write().placements_known = false;
    }

    /// What there is of one UID on both sides.
    pub(crate) fn both(&self, uid: &str) -> (Option<Pod>, Option<PlacementState>) {
        let state = self.0.read();
        (state.pods.get(uid).cloned(), state.placements.get(uid).cloned())
    }

    /// Every UID on either side.
    pub(crate) fn uids(&self) -> Vec<String> {
        let state = self.0.read();
        let all: HashSet<&String> = state.pods.keys().chain(state.placements.keys()).collect();
        all.into_iter().cloned().collect()
    }
}

impl PodIndex for Mirror {
    fn uid(&self, cluster: &str, namespace: &str, name: &str) -> Option<String> {
        self.0.read().uids.get(&(cluster.into(), namespace.to_owned(), name.to_owned())).cloned()
    }
}
