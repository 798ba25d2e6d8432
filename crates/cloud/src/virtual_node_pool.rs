//! Pools of virtual nodes: what a tenant asks for, and the rules it must follow.

pub(crate) mod act;
pub(crate) mod api;
pub(crate) mod cycling;
pub(crate) mod node;
pub(crate) mod operation;
pub(crate) mod reconcile;
pub(crate) mod store;
pub(crate) mod wire;

use crate::{Config, Error, access::Resource, caller::Owned, catalog, cluster, error::invalid, tag, words::words};
use domain::{ClusterId, CompartmentId, TenantId, VirtualNodePoolId};
use problem::oci;
use wire::{CreatePoolDetails, Label, PlacementConfiguration, Spec, Taint, UpdatePoolDetails};

words! {
    /// Where in its life a pool or a virtual node is. Source: `VirtualNodePoolLifecycleState`.
    /// CREATING | UPDATING → ACTIVE ↔ NEEDS_ATTENTION; any but DELETED → DELETING → DELETED.
    LifecycleState {
        /// Being made.
        Creating = "CREATING",
        /// As it was asked for.
        Active = "ACTIVE",
        /// Being changed.
        Updating = "UPDATING",
        /// Being deleted.
        Deleting = "DELETING",
        /// Gone; the row stays for a while.
        Deleted = "DELETED",
        /// Could not be made.
        Failed = "FAILED",
        /// Not as it was asked for; the details say why.
        NeedsAttention = "NEEDS_ATTENTION",
    }
}

/// One pool.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) id: VirtualNodePoolId,
    pub(crate) tenancy_id: TenantId,
    pub(crate) compartment_id: CompartmentId,
    pub(crate) cluster_id: ClusterId,
    pub(crate) display_name: String,
    pub(crate) kubernetes_version: String,
    pub(crate) size: u32,
    pub(crate) state: LifecycleState,
    pub(crate) details: Option<String>,
    pub(crate) spec: Spec,
    pub(crate) version: i64,
    pub(crate) work_request_id: Option<String>,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: Option<i64>,
    pub(crate) state_ms: i64,
}

impl Owned for Pool {
    const RESOURCE: Resource = Resource::VirtualNodePools;
    const NOUN: &'static str = "virtual node pool";

    fn compartment(&self) -> &CompartmentId {
        &self.compartment_id
    }

    fn name(&self) -> &str {
        &self.display_name
    }
}

impl Pool {
    pub(crate) fn etag(&self) -> String {
        crate::rest::etag(self.id.as_str(), self.version)
    }

    /// Refuses changes in a state that does not allow them.
    pub(crate) fn require_settled(&self) -> Result<(), Error> {
        use LifecycleState::{Active, Creating, Deleted, Deleting, Failed, NeedsAttention, Updating};
        match self.state {
            Active | NeedsAttention | Failed => Ok(()),
            Creating | Updating | Deleting | Deleted => {
                let message = format!("the virtual node pool is {}; wait until it is ACTIVE", self.state);
                Err(oci::Error::incorrect_state(message).into())
            }
        }
    }
}

/// Makes the pool that a request describes, for a cluster that may have it; checks all of it. `subnet`: where nodes and pods
/// are if the request names none.
pub(crate) fn plan(
    details: CreatePoolDetails,
    cluster: &cluster::Cluster,
    (compartment, subnet): (CompartmentId, &str),
    config: &Config,
    now_ms: i64,
) -> Result<Pool, Error> {
    cluster.require_enhanced("virtual nodes")?;
    cluster.require_active()?;
    let spec = Spec {
        placement_configurations: placements(details.placement_configurations, config, subnet)?,
        pod_configuration: pod_configuration(details.pod_configuration, subnet)?,
        initial_virtual_node_labels: details.initial_virtual_node_labels.unwrap_or_default(),
        taints: details.taints.unwrap_or_default(),
        nsg_ids: details.nsg_ids.unwrap_or_default(),
        freeform_tags: details.freeform_tags.unwrap_or_default(),
        defined_tags: details.defined_tags.unwrap_or_default(),
        virtual_node_tags: details.virtual_node_tags,
        virtual_node_pool_cycling_details: details.virtual_node_pool_cycling_details,
    };
    check_spec(&spec)?;
    let size = check_size(details.size, cluster)?;
    cycling::check(spec.virtual_node_pool_cycling_details.as_ref(), size)?;
    Ok(Pool {
        id: VirtualNodePoolId::generate(),
        tenancy_id: cluster.tenancy_id.clone(),
        compartment_id: compartment,
        cluster_id: cluster.id.clone(),
        display_name: cluster::check_name("displayName", details.display_name)?,
        kubernetes_version: cluster.kubernetes_version.clone(),
        size,
        state: LifecycleState::Creating,
        details: None,
        spec,
        version: 1,
        work_request_id: None,
        created_ms: now_ms,
        updated_ms: None,
        state_ms: now_ms,
    })
}

/// Applies an update to a pool of a cluster; checks all of it.
pub(crate) fn apply(
    mut pool: Pool,
    details: UpdatePoolDetails,
    cluster: &cluster::Cluster,
    config: &Config,
) -> Result<Pool, Error> {
    if let Some(name) = details.display_name {
        pool.display_name = cluster::check_name("displayName", name)?;
    }
    if let Some(size) = details.size {
        pool.size = check_size(size, cluster)?;
    }
    if let Some(version) = details.kubernetes_version {
        catalog::check_pool_upgrade(&cluster.kubernetes_version, &pool.kubernetes_version, &version)?;
        pool.kubernetes_version = version;
    }
    let subnet = pool.spec.pod_configuration.subnet_id.clone().unwrap_or_default();
    let spec = &mut pool.spec;
    if let Some(wanted) = details.placement_configurations {
        spec.placement_configurations = placements(Some(wanted), config, &subnet)?;
    }
    if let Some(wanted) = details.pod_configuration {
        spec.pod_configuration = pod_configuration(Some(wanted), &subnet)?;
    }
    fn take<T>(into: &mut T, from: Option<T>) {
        if let Some(from) = from {
            *into = from;
        }
    }
    take(&mut spec.initial_virtual_node_labels, details.initial_virtual_node_labels);
    take(&mut spec.taints, details.taints);
    take(&mut spec.nsg_ids, details.nsg_ids);
    take(&mut spec.freeform_tags, details.freeform_tags);
    take(&mut spec.defined_tags, details.defined_tags);
    if details.virtual_node_tags.is_some() {
        spec.virtual_node_tags = details.virtual_node_tags;
    }
    if details.virtual_node_pool_cycling_details.is_some() {
        spec.virtual_node_pool_cycling_details = details.virtual_node_pool_cycling_details;
    }
    check_spec(spec)?;
    cycling::check(spec.virtual_node_pool_cycling_details.as_ref(), pool.size)?;
    Ok(pool)
}

fn check_size(size: i64, cluster: &cluster::Cluster) -> Result<u32, Error> {
    let most = cluster.kind.max_nodes();
    let fits = u32::try_from(size).ok().filter(|size| *size <= most);
    fits.ok_or_else(|| invalid(format!("size must be a number from 0 to {most}")))
}

fn placements(
    wanted: Option<Vec<PlacementConfiguration>>,
    config: &Config,
    subnet: &str,
) -> Result<Vec<PlacementConfiguration>, Error> {
    let domains = &config.availability_domains;
    let default =
        || vec![PlacementConfiguration { availability_domain: domains.first().cloned(), ..Default::default() }];
    let mut placements = wanted.filter(|wanted| !wanted.is_empty()).unwrap_or_else(default);
    for placement in &mut placements {
        let domain = placement.availability_domain.get_or_insert_with(|| domains[0].clone());
        if !domains.contains(domain) {
            let message = format!(
                "placementConfigurations: availabilityDomain {domain:?} does not exist; use one of {}",
                domains.join(", ")
            );
            return Err(invalid(message));
        }
        let faults = placement.fault_domain.get_or_insert_default();
        if faults.is_empty() {
            faults.clone_from(&config.fault_domains);
        }
        if let Some(unknown) = faults.iter().find(|fault| !config.fault_domains.contains(fault)) {
            let message = format!(
                "placementConfigurations: faultDomain {unknown:?} does not exist; use any of {}",
                config.fault_domains.join(", ")
            );
            return Err(invalid(message));
        }
        let subnet = placement.subnet_id.get_or_insert_with(|| subnet.to_owned());
        cluster::check_ocid("placementConfigurations: subnetId", "subnet", subnet)?;
    }
    Ok(placements)
}

fn pod_configuration(wanted: Option<wire::PodConfiguration>, subnet: &str) -> Result<wire::PodConfiguration, Error> {
    let mut pods = wanted.unwrap_or_default();
    catalog::shape(pods.shape.get_or_insert_with(|| catalog::DEFAULT_SHAPE.to_owned()))?;
    let subnet = pods.subnet_id.get_or_insert_with(|| subnet.to_owned());
    cluster::check_ocid("podConfiguration.subnetId", "subnet", subnet)?;
    Ok(pods)
}

fn check_spec(spec: &Spec) -> Result<(), Error> {
    tag::check(&spec.freeform_tags, &spec.defined_tags)?;
    for Label { key, value } in &spec.initial_virtual_node_labels {
        check_label_key("initialVirtualNodeLabels", key)?;
        check_label_value("initialVirtualNodeLabels", value)?;
        if node::is_reserved(key) {
            return Err(invalid(format!("initialVirtualNodeLabels: {key:?} is set by the service")));
        }
    }
    for Taint { key, value, effect } in &spec.taints {
        check_label_key("taints", key)?;
        check_label_value("taints", value.as_deref().unwrap_or_default())?;
        if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect.as_str()) {
            let message = format!("taints: effect {effect:?} must be NoSchedule, PreferNoSchedule or NoExecute");
            return Err(invalid(message));
        }
    }
    for id in &spec.nsg_ids {
        cluster::check_ocid("nsgIds", "networksecuritygroup", id)?;
    }
    Ok(())
}

/// Source: Kubernetes, "Labels and Selectors": syntax of names.
fn label_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (1..=63).contains(&text.len())
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn check_label_key(field: &str, key: &str) -> Result<(), Error> {
    let prefix = |prefix: &str| {
        let part = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        prefix.len() <= 253 && prefix.split('.').all(part)
    };
    let fits = match key.split_once('/') {
        None => label_name(key),
        Some((domain, name)) => prefix(domain) && label_name(name),
    };
    if fits { Ok(()) } else { Err(invalid(format!("{field}: {key:?} is not a valid label key"))) }
}

fn check_label_value(field: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() || label_name(value) {
        return Ok(());
    }
    Err(invalid(format!("{field}: {value:?} is not a valid label value")))
}

#[cfg(test)]
mod tests;
