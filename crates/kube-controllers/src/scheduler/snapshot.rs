//! The nodes and pods that a decision looks at, prepared once per run.

use super::resources::{Resources, pod_requests};
use crate::view;
use domain::{ContainerSize, PodSize, Shape};
use k8s_openapi::api::core::v1::{Container, Node, Pod, PodAffinityTerm, PodSpec, Taint};
use k8s_openapi::apimachinery::pkg::api::resource as k8s;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// A pod with what the scheduler needs of it. Made once per revision of the pod.
#[derive(Debug, Clone)]
pub struct PodInfo {
    /// The pod.
    pub pod: Arc<Pod>,
    /// What it asks for.
    pub requests: Resources,
    /// Its host ports: protocol, address, number.
    pub host_ports: Vec<(String, String, i32)>,
    /// It refuses to be near some pods.
    pub has_anti_affinity: bool,
    /// Its size by the rule of virtual nodes, where an OCPU is one logical CPU and where it is two.
    sizes: [PodSize; 2],
}

impl PodInfo {
    /// Reads a pod.
    #[must_use]
    pub fn new(pod: Arc<Pod>) -> Self {
        let empty = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&empty);
        let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
        let host_ports = ports.filter(|port| port.host_port.is_some_and(|number| number > 0)).map(|port| {
            let address = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".into());
            (port.protocol.clone().unwrap_or_else(|| "TCP".into()), address, port.host_port.unwrap_or(0))
        });
        let host_ports = host_ports.collect();
        let requests = pod_requests(spec);
        let has_anti_affinity = !required_anti_affinity(&pod).is_empty();
        let sizes = [1, 2].map(|cpus| size(spec, cpus));
        Self { pod, requests, host_ports, has_anti_affinity, sizes }
    }

    pub(super) fn size_on(&self, shape: &Shape) -> PodSize {
        self.sizes[usize::from(shape.cpus_per_ocpu() > 1)]
    }

    pub(super) fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.pod.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    pub(super) fn namespace(&self) -> &str {
        view::namespace(&self.pod.metadata)
    }

    /// What it is a replica of.
    pub(super) fn owner(&self) -> Option<&str> {
        view::controller_uid(&self.pod.metadata)
    }
}

fn size(spec: &PodSpec, cpus_per_ocpu: u64) -> PodSize {
    let sizes = |containers: &[Container]| containers.iter().map(container_size).collect::<Vec<_>>();
    domain::pod_size(
        &sizes(&spec.containers),
        &sizes(spec.init_containers.as_deref().unwrap_or_default()),
        cpus_per_ocpu,
    )
}

fn container_size(container: &Container) -> ContainerSize {
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let amount = |name: &str| {
        let of = |all: Option<&BTreeMap<String, k8s::Quantity>>| domain::Quantity::parse(&all?.get(name)?.0).ok();
        of(limits).or_else(|| of(requests))
    };
    let sidecar = container.restart_policy.as_deref() == Some("Always");
    ContainerSize { cpu: amount("cpu"), memory: amount("memory"), sidecar }
}

/// The terms by which a pod refuses the company of others.
pub(super) fn required_anti_affinity(pod: &Pod) -> &[PodAffinityTerm] {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    let anti = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    anti.and_then(|anti| anti.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default()
}

/// A node, what is left of it and who is on it.
#[derive(Debug, Clone)]
pub struct NodeInfo {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) taints: Vec<Taint>,
    pub(super) unschedulable: bool,
    pub(super) allocatable: Resources,
    pub(super) used: Resources,
    pub(super) pods: Vec<Arc<PodInfo>>,
    pub(super) owners: HashMap<String, usize>,
    pub(super) host_ports: BTreeSet<(String, String, i32)>,
    /// Of a virtual node's pods.
    pub(super) shape: Option<&'static Shape>,
}

impl NodeInfo {
    /// An empty node.
    #[must_use]
    pub fn new(node: &Node) -> Self {
        let spec = node.spec.clone().unwrap_or_default();
        let status = node.status.as_ref();
        let allocatable = status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
        Self {
            name: view::name(&node.metadata).to_owned(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.taints.unwrap_or_default(),
            unschedulable: spec.unschedulable == Some(true),
            allocatable: allocatable.map(Resources::read).unwrap_or_default(),
            used: Resources::default(),
            pods: Vec::new(),
            owners: HashMap::new(),
            host_ports: BTreeSet::new(),
            shape: node.metadata.labels.as_ref().and_then(|all| domain::shape(all.get(domain::SHAPE_LABEL)?)),
        }
    }

    fn take(&mut self, pod: &Arc<PodInfo>) {
        self.used.add(&pod.requests);
        self.host_ports.extend(pod.host_ports.iter().cloned());
        if let Some(owner) = pod.owner() {
            *self.owners.entry(owner.to_owned()).or_default() += 1;
        }
        self.pods.push(Arc::clone(pod));
    }
}

/// The cluster as the scheduler sees it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(super) nodes: Vec<NodeInfo>,
    pub(super) pending: Vec<Arc<PodInfo>>,
    /// Labels of namespaces, for affinity terms that choose namespaces by label.
    pub(super) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Some pod somewhere refuses company: only then each node's pods are asked.
    pub(super) any_anti_affinity: bool,
}

impl Snapshot {
    /// Puts nodes and pods together. `bound` are the pods that take room on nodes (not those that ended).
    #[must_use]
    pub fn new(
        nodes: &[Arc<Node>],
        bound: Vec<Arc<PodInfo>>,
        pending: Vec<Arc<PodInfo>>,
        namespaces: BTreeMap<String, BTreeMap<String, String>>,
    ) -> Self {
        let mut infos: Vec<NodeInfo> = nodes
            .iter()
            .filter(|node| node.metadata.deletion_timestamp.is_none())
            .map(|node| NodeInfo::new(node))
            .collect();
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        let index: HashMap<String, usize> = infos.iter().enumerate().map(|(n, node)| (node.name.clone(), n)).collect();
        let mut snapshot = Self { nodes: infos, pending, namespaces, any_anti_affinity: false };
        for pod in bound {
            if let Some(index) = view::node_name(&pod.pod).and_then(|node| index.get(node)) {
                snapshot.place(&pod, *index);
            }
        }
        snapshot
    }

    pub(super) fn place(&mut self, pod: &Arc<PodInfo>, node: usize) {
        self.any_anti_affinity |= pod.has_anti_affinity;
        self.nodes[node].take(pod);
    }
}
