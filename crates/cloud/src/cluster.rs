//! Clusters: what a tenant asks for, the rules it must follow, and the life cycle from CREATING to DELETED.

pub(crate) mod api;
pub(crate) mod authority;
pub(crate) mod kubeconfig;
pub(crate) mod network;
pub(crate) mod operation;
pub(crate) mod reconcile;
pub(crate) mod rotation;
pub(crate) mod store;
pub(crate) mod wire;

use crate::{Error, access::Resource, caller::Owned, catalog, cidr::Cidr, error::invalid, words::words};
use domain::{ClusterId, CompartmentId, TenantId, UserId};
use kube_api::{ClusterFacts, KeyGenerations};
use problem::oci;
use wire::{CreateClusterDetails, Spec, UpdateClusterDetails};

words! {
    /// What a cluster may do. Source: `ClusterType`.
    ClusterType {
        /// Core Kubernetes, free of charge.
        Basic = "BASIC_CLUSTER",
        /// All features, among them virtual nodes.
        Enhanced = "ENHANCED_CLUSTER",
    }

    /// How far a cluster's change of credentials is.
    /// COMPLETED → ISSUING → WAITING → RETIRING → COMPLETED.
    Rotation {
        /// None is going on.
        Completed = "COMPLETED",
        /// New ones are made; work for the reconciler.
        Issuing = "ISSUING",
        /// New and old ones are good.
        Waiting = "WAITING",
        /// Old ones are ended; work for the reconciler.
        Retiring = "RETIRING",
    }

    /// Where in its life a cluster is. Source: `ClusterLifecycleState`.
    /// CREATING → ACTIVE | FAILED; ACTIVE ↔ UPDATING; any but DELETED → DELETING → DELETED.
    ClusterState {
        /// Being made.
        Creating = "CREATING",
        /// In service.
        Active = "ACTIVE",
        /// Could not be made.
        Failed = "FAILED",
        /// Being deleted.
        Deleting = "DELETING",
        /// Gone; the row stays for a while.
        Deleted = "DELETED",
        /// Being changed; in service.
        Updating = "UPDATING",
    }
}

/// Who did something to a cluster, when, and by which work request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at_ms: i64,
    pub(crate) by: String,
    pub(crate) work_request: String,
}

/// One cluster.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) tenancy_id: TenantId,
    pub(crate) compartment_id: CompartmentId,
    pub(crate) name: String,
    pub(crate) kind: ClusterType,
    pub(crate) kubernetes_version: String,
    pub(crate) vcn_id: String,
    pub(crate) pods_cidr: Cidr,
    pub(crate) services_cidr: Cidr,
    pub(crate) state: ClusterState,
    pub(crate) details: Option<String>,
    /// Keeps its objects, runs nothing.
    pub(crate) is_paused: bool,
    pub(crate) keys: KeyGenerations,
    pub(crate) rotation: Rotation,
    /// When a waiting rotation goes on by itself.
    pub(crate) rotation_due_ms: Option<i64>,
    pub(crate) spec: Spec,
    pub(crate) version: i64,
    pub(crate) work_request_id: Option<String>,
    pub(crate) created: Mark,
    pub(crate) updated: Option<Mark>,
    pub(crate) deleted: Option<Mark>,
}

impl ClusterType {
    /// Most worker nodes. Source: OKE's limits.
    pub(crate) const fn max_nodes(self) -> u32 {
        match self {
            Self::Basic => 1000,
            Self::Enhanced => 2000,
        }
    }
}

impl Owned for Cluster {
    const RESOURCE: Resource = Resource::Clusters;
    const NOUN: &'static str = "cluster";

    fn compartment(&self) -> &CompartmentId {
        &self.compartment_id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Cluster {
    /// What the Kubernetes API must know of it.
    pub(crate) fn facts(&self) -> ClusterFacts {
        let release = catalog::release(&self.kubernetes_version);
        ClusterFacts { tenant: self.tenancy_id.clone(), release, keys: self.keys }
    }

    pub(crate) fn etag(&self) -> String {
        crate::rest::etag(self.id.as_str(), self.version)
    }

    /// Refuses what only an Enhanced cluster may do, and says what helps.
    pub(crate) fn require_enhanced(&self, feature: &str) -> Result<(), Error> {
        match self.kind {
            ClusterType::Enhanced => Ok(()),
            ClusterType::Basic => Err(invalid(format!(
                "{feature} need a cluster of type ENHANCED_CLUSTER, and cluster {:?} is a BASIC_CLUSTER; update its \
                 type to ENHANCED_CLUSTER first (hako cluster update {} --type ENHANCED_CLUSTER)",
                self.name, self.name
            ))),
        }
    }

    /// Refuses changes in a state that does not allow them.
    pub(crate) fn require_active(&self) -> Result<(), Error> {
        if self.state == ClusterState::Active {
            return Ok(());
        }
        let message = format!("the cluster is {}; it must be ACTIVE for this", self.state);
        Err(oci::Error::incorrect_state(message).into())
    }
}

/// Makes the cluster that a request describes; checks all of it.
pub(crate) fn plan(
    details: CreateClusterDetails,
    tenant: &TenantId,
    user: &UserId,
    compartment: CompartmentId,
    now_ms: i64,
) -> Result<Cluster, Error> {
    let kubernetes_version = match details.kubernetes_version {
        None => catalog::default_version().to_owned(),
        Some(version) => catalog::check_version(&version).map(|()| version)?,
    };
    let (pods_cidr, services_cidr) = network::plan(details.options.as_ref())?;
    let vcn_id = details.vcn_id.unwrap_or_default();
    if !vcn_id.is_empty() {
        check_ocid("vcnId", "vcn", &vcn_id)?;
    }
    let spec = Spec {
        endpoint_config: details.endpoint_config,
        kms_key_id: details.kms_key_id,
        freeform_tags: details.freeform_tags.unwrap_or_default(),
        defined_tags: details.defined_tags.unwrap_or_default(),
        options: details.options.unwrap_or_default(),
        image_policy_config: details.image_policy_config,
        cluster_pod_network_options: details.cluster_pod_network_options,
    };
    spec.check()?;
    Ok(Cluster {
        id: ClusterId::generate(),
        tenancy_id: tenant.clone(),
        compartment_id: compartment,
        name: check_name("name", details.name)?,
        kind: details.kind.unwrap_or(ClusterType::Basic),
        kubernetes_version,
        vcn_id,
        pods_cidr: pods_cidr.unwrap_or(network::PODS),
        services_cidr,
        state: ClusterState::Creating,
        details: None,
        is_paused: false,
        keys: KeyGenerations::default(),
        rotation: Rotation::Completed,
        rotation_due_ms: None,
        spec,
        version: 1,
        work_request_id: None,
        created: Mark { at_ms: now_ms, by: user.as_str().to_owned(), work_request: String::new() },
        updated: None,
        deleted: None,
    })
}

/// Applies an update to a cluster whose pools are at these versions; checks all of it.
pub(crate) fn apply(mut cluster: Cluster, details: UpdateClusterDetails, pools: &[String]) -> Result<Cluster, Error> {
    if let Some(name) = details.name {
        cluster.name = check_name("name", name)?;
    }
    if let Some(version) = details.kubernetes_version
        && version != cluster.kubernetes_version
    {
        catalog::check_upgrade(&cluster.kubernetes_version, &version, pools)?;
        cluster.kubernetes_version = version;
    }
    match (cluster.kind, details.kind) {
        (ClusterType::Enhanced, Some(ClusterType::Basic)) => {
            return Err(invalid("type: an ENHANCED_CLUSTER cannot become a BASIC_CLUSTER; make a new cluster instead"));
        }
        (_, Some(kind)) => cluster.kind = kind,
        (_, None) => {}
    }
    let spec = &mut cluster.spec;
    if let Some(options) = details.options {
        spec.options.update(options);
    }
    if let Some(tags) = details.freeform_tags {
        spec.freeform_tags = tags;
    }
    if let Some(tags) = details.defined_tags {
        spec.defined_tags = tags;
    }
    if let Some(policy) = details.image_policy_config {
        spec.image_policy_config = Some(policy);
    }
    spec.check()?;
    Ok(cluster)
}

/// A display name: 1 to 255 characters, none of them a control character, not only blanks.
pub(crate) fn check_name(field: &str, name: String) -> Result<String, Error> {
    let fits = (1..=255).contains(&name.chars().count()) && !name.trim().is_empty();
    if fits && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    Err(invalid(format!("{field} must have 1 to 255 characters, not only blanks and no control characters")))
}

/// An OCID of a kind that this installation does not keep itself.
pub(crate) fn check_ocid(field: &str, kind: &str, text: &str) -> Result<(), Error> {
    let parts: Vec<&str> = text.split('.').collect();
    let word = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let fits = parts.len() >= 5 && parts[0] == "ocid1" && parts[1] == kind && text.len() <= 255;
    if fits && parts.iter().all(|part| word(part)) {
        return Ok(());
    }
    Err(invalid(format!("{field} must be an OCID of the form ocid1.{kind}.<realm>.<region>.<unique>")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn planned(body: Value) -> Result<Cluster, String> {
        let details = serde_json::from_value(body).map_err(|error| error.to_string())?;
        let tenant = TenantId::generate();
        let root = CompartmentId::root(&tenant);
        plan(details, &tenant, &UserId::generate(), root, 0).map_err(|error| error.for_caller().message)
    }

    #[track_caller]
    fn refused(body: Value, expect: &str) {
        let message = planned(body).unwrap_err();
        assert!(message.contains(expect), "{message}");
    }

    #[test]
    fn the_defaults_are_basic_and_the_known_ranges() {
        let cluster = planned(json!({"name": "demo", "compartmentId": "x"})).unwrap();
        assert_eq!(cluster.kind, ClusterType::Basic);
        assert_eq!(
            (cluster.pods_cidr.to_string(), cluster.services_cidr.to_string()),
            ("10.244.0.0/16".into(), "10.96.0.0/16".into())
        );
        assert_eq!(cluster.kubernetes_version, catalog::default_version());
    }

    #[test]
    fn bad_requests_are_named() {
        refused(json!({"compartmentId": "x"}), "missing field `name`");
        refused(json!({"name": " ", "compartmentId": "x"}), "name must have");
        refused(json!({"name": "a", "compartmentId": "x", "type": "BIG"}), "BIG");
        refused(json!({"name": "a", "compartmentId": "x", "typ": "BASIC_CLUSTER"}), "unknown field `typ`");
        refused(json!({"name": "a", "compartmentId": "x", "kubernetesVersion": "v1.1.1"}), "v1.1.1");
        refused(json!({"name": "a", "compartmentId": "x", "vcnId": "net"}), "vcnId must be an OCID");
    }

    #[test]
    fn enhanced_never_becomes_basic() {
        let cluster = planned(json!({"name": "a", "compartmentId": "x", "type": "ENHANCED_CLUSTER"})).unwrap();
        let back = serde_json::from_value(json!({"type": "BASIC_CLUSTER"})).unwrap();
        assert!(apply(cluster, back, &[]).is_err());
        let cluster = planned(json!({"name": "a", "compartmentId": "x"})).unwrap();
        assert!(cluster.require_enhanced("virtual nodes").unwrap_err().to_string().contains("ENHANCED_CLUSTER"));
        let up = serde_json::from_value(json!({"type": "ENHANCED_CLUSTER", "name": "b"})).unwrap();
        let cluster = apply(cluster, up, &[]).unwrap();
        assert_eq!((cluster.kind, cluster.name.as_str()), (ClusterType::Enhanced, "b"));
    }
}
