//! Pools as they are on the wire. Source of names and shapes: OCI Container Engine API 20180222.

use super::Pool;
use crate::{
    cluster::wire::wire,
    rest::time,
    tag::{DefinedTags, FreeformTags},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

wire! {
    /// Where nodes are. `availabilityDomain` and `subnetId` may be left out: our addition.
    PlacementConfiguration {
        availability_domain: String,
        subnet_id: String,
        fault_domain: Vec<String>,
    }
    /// What pods run on. `subnetId` and `shape` may be left out: our addition.
    PodConfiguration {
        subnet_id: String,
        shape: String,
        nsg_ids: Vec<String>,
    }
    /// Tags of the nodes.
    VirtualNodeTags {
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
    }
    /// How nodes are replaced when the pool's labels, taints, shape or places change: numbers, or per cent of its size.
    #[schema(as = VirtualNodePoolCyclingDetails)]
    CyclingDetails {
        maximum_unavailable: String,
        maximum_surge: String,
        is_virtual_node_cycling_enabled: bool,
    }
    /// What an update may change.
    #[schema(as = UpdateVirtualNodePoolDetails)]
    UpdatePoolDetails {
        display_name: String,
        initial_virtual_node_labels: Vec<Label>,
        taints: Vec<Taint>,
        size: i64,
        /// Our addition.
        kubernetes_version: String,
        placement_configurations: Vec<PlacementConfiguration>,
        nsg_ids: Vec<String>,
        pod_configuration: PodConfiguration,
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
        virtual_node_tags: VirtualNodeTags,
        virtual_node_pool_cycling_details: CyclingDetails,
    }
}

/// A label of the pool's nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InitialVirtualNodeLabel)]
pub(crate) struct Label {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: String,
}

/// A taint of the pool's nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Taint {
    pub(crate) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    pub(crate) effect: String,
}

/// What a new pool should be.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateVirtualNodePoolDetails)]
pub(crate) struct CreatePoolDetails {
    pub(crate) compartment_id: String,
    pub(crate) cluster_id: String,
    pub(crate) display_name: String,
    pub(crate) size: i64,
    pub(crate) placement_configurations: Option<Vec<PlacementConfiguration>>,
    pub(crate) pod_configuration: Option<PodConfiguration>,
    pub(crate) initial_virtual_node_labels: Option<Vec<Label>>,
    pub(crate) taints: Option<Vec<Taint>>,
    pub(crate) nsg_ids: Option<Vec<String>>,
    pub(crate) freeform_tags: Option<FreeformTags>,
    pub(crate) defined_tags: Option<DefinedTags>,
    pub(crate) virtual_node_tags: Option<VirtualNodeTags>,
    pub(crate) virtual_node_pool_cycling_details: Option<CyclingDetails>,
}

/// What is kept of a pool as its caller gave it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = VirtualNodePoolSpec)]
pub(crate) struct Spec {
    pub(crate) placement_configurations: Vec<PlacementConfiguration>,
    pub(crate) pod_configuration: PodConfiguration,
    pub(crate) initial_virtual_node_labels: Vec<Label>,
    pub(crate) taints: Vec<Taint>,
    pub(crate) nsg_ids: Vec<String>,
    pub(crate) freeform_tags: FreeformTags,
    pub(crate) defined_tags: DefinedTags,
    pub(crate) virtual_node_tags: Option<VirtualNodeTags>,
    pub(crate) virtual_node_pool_cycling_details: Option<CyclingDetails>,
}

/// A pool as get and list show it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VirtualNodePool)]
pub(crate) struct PoolResponse {
    #[schema(value_type = String)]
    id: domain::VirtualNodePoolId,
    #[schema(value_type = String)]
    compartment_id: domain::CompartmentId,
    #[schema(value_type = String)]
    cluster_id: domain::ClusterId,
    display_name: String,
    kubernetes_version: String,
    size: u32,
    #[serde(flatten)]
    spec: Spec,
    system_tags: DefinedTags,
    lifecycle_state: &'static str,
    lifecycle_details: Option<String>,
    time_created: String,
    time_updated: Option<String>,
}

impl From<Pool> for PoolResponse {
    fn from(pool: Pool) -> Self {
        Self {
            id: pool.id,
            compartment_id: pool.compartment_id,
            cluster_id: pool.cluster_id,
            display_name: pool.display_name,
            kubernetes_version: pool.kubernetes_version,
            size: pool.size,
            spec: pool.spec,
            system_tags: DefinedTags::new(),
            lifecycle_state: pool.state.as_str(),
            lifecycle_details: pool.details,
            time_created: time(pool.created_ms),
            time_updated: pool.updated_ms.map(time),
        }
    }
}
