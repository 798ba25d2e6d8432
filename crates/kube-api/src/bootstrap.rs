//! What every cluster begins with.

use crate::{
    admission::service::{DEFAULT_CIDR, Range},
    meta,
    verb::{commit, create},
};
use domain::TenantId;
use jiff::Timestamp;
use kube_schema::Kind;
use kube_store::{Cluster, Txn};
use problem::kube::Status;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// The namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];
/// Place of the cluster's DNS among its service addresses. Source: kubeadm's convention.
const DNS_AT: u32 = 10;

/// What a new cluster is told.
#[derive(Debug, Clone)]
pub struct ClusterBootstrap {
    /// Who owns it.
    pub tenant: TenantId,
    /// Its name, for people.
    pub name: String,
    /// Range of service addresses, as `10.96.0.0/16`.
    pub service_cidr: String,
    /// Range of pod addresses.
    pub pod_cidr: String,
    /// PEM of the CA that pods trust towards the API: becomes the ConfigMaps `kube-root-ca.crt`.
    pub ca_pem: String,
    /// Where the API answers inside the cluster's network: becomes the endpoints of the Service `kubernetes`.
    pub endpoint: Option<(Ipv4Addr, u16)>,
}

impl Default for ClusterBootstrap {
    fn default() -> Self {
        Self {
            tenant: TenantId::generate(),
            name: String::new(),
            service_cidr: DEFAULT_CIDR.into(),
            pod_cidr: "10.244.0.0/16".into(),
            ca_pem: String::new(),
            endpoint: None,
        }
    }
}

/// Makes what every cluster begins with, in one transaction. What is there already stays as it is.
///
/// # Errors
/// 400 if the service range is malformed; 503 if the store is down.
pub async fn bootstrap_cluster(cluster: &Cluster, bootstrap: &ClusterBootstrap) -> Result<(), Status> {
    let bad = || Status::bad_request(format!("{:?} is not a range of service addresses", bootstrap.service_cidr));
    let range = Range::parse(&bootstrap.service_cidr).ok_or_else(bad)?;
    let now = Timestamp::now();
    let mut ready = Vec::new();
    for (group, kind, namespace, object) in objects(bootstrap, range) {
        let (group, version) = group.split_once('/').unwrap_or(("", group));
        let kind = kube_schema::by_kind(group, version, kind)
            .ok_or_else(|| Status::internal(format!("no kind {kind} to begin a cluster with")))?;
        ready.push((kind, create::prepare(kind, namespace, object, now)?));
    }
    commit(cluster, false, move |txn| ready.into_iter().try_for_each(|(kind, object)| ensure(txn, kind, object))).await
}

fn ensure(txn: &mut Txn<'_>, kind: &'static Kind, object: Value) -> Result<(), Status> {
    let key = meta::key(kind, meta::text(&object, "namespace"), meta::text(&object, "name"));
    if txn.get(&key).is_some() {
        return Ok(());
    }
    create::insert(txn, kind, object).map(drop)
}

type Wanted = (&'static str, &'static str, &'static str, Value);

fn objects(bootstrap: &ClusterBootstrap, range: Range) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    for namespace in NAMESPACES {
        all.push(("v1", "Namespace", "", json!({"metadata": {"name": namespace}})));
        all.push(("v1", "ServiceAccount", namespace, json!({"metadata": {"name": "default"}})));
        let note = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints \
                    such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
                    distributions of Kubernetes clusters.";
        all.push((
            "v1",
            "ConfigMap",
            namespace,
            json!({
                "metadata": {"name": "kube-root-ca.crt", "annotations": {"kubernetes.io/description": note}},
                "data": {"ca.crt": bootstrap.ca_pem},
            }),
        ));
    }
    all.push((
        "networking.k8s.io/v1",
        "ServiceCIDR",
        "",
        json!({
            "metadata": {"name": "kubernetes"}, "spec": {"cidrs": [bootstrap.service_cidr]},
        }),
    ));
    for (name, value, description) in [
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ] {
        all.push((
            "scheduling.k8s.io/v1",
            "PriorityClass",
            "",
            json!({
                "metadata": {"name": name}, "value": value, "description": description,
                "preemptionPolicy": "PreemptLowerPriority",
            }),
        ));
    }
    all.push((
        "v1",
        "ConfigMap",
        "kube-system",
        json!({
            "metadata": {"name": "hako-cluster"},
            "data": {
                "name": bootstrap.name, "tenant": bootstrap.tenant.as_str(), "serviceCIDR": bootstrap.service_cidr,
                "podCIDR": bootstrap.pod_cidr, "clusterDNS": range.nth(DNS_AT).to_string(),
            },
        }),
    ));
    all.extend(api_service(bootstrap, range));
    all
}

/// The Service `kubernetes`, and what stands behind it.
fn api_service(bootstrap: &ClusterBootstrap, range: Range) -> Vec<Wanted> {
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    let target = bootstrap.endpoint.map_or(443, |(_, port)| port);
    let mut all: Vec<Wanted> = vec![(
        "v1",
        "Service",
        "default",
        json!({
            "metadata": {"name": "kubernetes", "labels": labels},
            "spec": {
                "type": "ClusterIP", "clusterIP": range.nth(1).to_string(), "sessionAffinity": "None",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": target}],
            },
        }),
    )];
    if let Some((address, port)) = bootstrap.endpoint {
        all.push((
            "v1",
            "Endpoints",
            "default",
            json!({
                "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
                "subsets": [{
                    "addresses": [{"ip": address.to_string()}],
                    "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
                }],
            }),
        ));
        all.push(("discovery.k8s.io/v1", "EndpointSlice", "default", json!({
            "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4", "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        })));
    }
    all
}
