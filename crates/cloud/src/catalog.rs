//! What this installation offers: Kubernetes versions and pod shapes.

use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    error::invalid,
    rest::{Caller, Params, resource},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use domain::{MAX_GBPS, SHAPES, Shape};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The version of a cluster that asks for none.
pub(crate) const DEFAULT_VERSION: &str = "v1.36.0";
/// Versions that can be asked for, oldest first.
const VERSIONS: &[&str] = &[DEFAULT_VERSION];

/// The shape of a pool that asks for none.
pub(crate) const DEFAULT_SHAPE: &str = SHAPES[0].pod_name;

/// The pods' shape of that name.
pub(crate) fn shape(name: &str) -> Result<&'static Shape, Error> {
    let found = SHAPES.iter().find(|shape| shape.pod_name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = SHAPES.iter().map(|shape| shape.pod_name).collect();
        invalid(format!("podConfiguration.shape {name:?} is not offered; use one of {}", names.join(", ")))
    })
}

/// Refuses versions that are not offered.
pub(crate) fn check_version(version: &str) -> Result<(), Error> {
    if VERSIONS.contains(&version) {
        return Ok(());
    }
    let message = format!("kubernetesVersion {version:?} is not offered; use one of {}", VERSIONS.join(", "));
    Err(invalid(message))
}

/// Versions to which a cluster of `version` can be upgraded in place: later ones, one minor at a time.
pub(crate) fn upgrades(version: &str) -> Vec<&'static str> {
    let Some(from) = numbers(version) else { return Vec::new() };
    let next = |to: (u32, u32)| to > from && to.0 - from.0 <= 1;
    VERSIONS.iter().filter(|version| numbers(version).is_some_and(next)).copied().collect()
}

/// Refuses versions to which a cluster cannot be upgraded.
pub(crate) fn check_upgrade(from: &str, to: &str) -> Result<(), Error> {
    let offered = upgrades(from);
    if offered.contains(&to) {
        return Ok(());
    }
    let list = if offered.is_empty() { "none: it is the newest".to_owned() } else { offered.join(", ") };
    Err(invalid(format!("kubernetesVersion: {from} cannot become {to:?}; upgrades from it: {list}")))
}

/// Minor and patch of `v1.<minor>.<patch>`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let (minor, patch) = version.strip_prefix("v1.")?.split_once('.')?;
    Some((minor.parse().ok()?, patch.parse().ok()?))
}

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(cluster_options)).routes(routes!(pod_shapes))
}

/// Lists the Kubernetes versions offered. `clusterOptionId` is `all`, or a cluster's: then the versions that it can be upgraded to.
#[utoipa::path(
    get,
    path = "/clusterOptions/{clusterOptionId}",
    tag = "Catalogue",
    operation_id = "get_cluster_options",
    params(("clusterOptionId" = String, Path, description = "`all`, or a cluster")),
    responses((status = 200, description = "OK", body = ClusterOptions)),
    extensions(("x-hako-access" = json!("any"))),
)]
async fn cluster_options(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let versions = if id == "all" {
        VERSIONS.to_vec()
    } else {
        upgrades(&crate::cluster::operation::find(&cloud, &caller, &id, Verb::Read).await?.kubernetes_version)
    };
    let networks = vec![PodNetworkOption { cni_type: "OCI_VCN_IP_NATIVE" }];
    Ok(resource(ClusterOptions { kubernetes_versions: versions, cluster_pod_network_options: networks }, None))
}

/// Lists the shapes of processors that pods run on.
#[utoipa::path(
    get,
    path = "/podShapes",
    tag = "Catalogue",
    operation_id = "list_pod_shapes",
    params(("compartmentId" = String, Query, description = "The compartment"), ("name" = Option<String>, Query, description = "Only the shape of this name")),
    responses((status = 200, description = "OK", body = Vec<PodShape>)),
    extensions(("x-hako-access" = json!("inspect cluster-virtualnode-pools"))),
)]
async fn pod_shapes(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::VirtualNodePools)?;
    let wanted = params.get("name");
    let supply = cloud.supply.shortage();
    let shapes = SHAPES.iter().filter(|shape| wanted.is_none_or(|name| name == shape.pod_name));
    let shapes: Vec<PodShape> =
        shapes.map(|shape| PodShape::new(shape, !supply.shapes.contains(shape.pod_name))).collect();
    Ok(Json(shapes).into_response())
}

/// What clusters can be made with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClusterOptions {
    kubernetes_versions: Vec<&'static str>,
    cluster_pod_network_options: Vec<PodNetworkOption>,
}

/// How pods are connected.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClusterPodNetworkOptionDetails)]
struct PodNetworkOption {
    cni_type: &'static str,
}

/// A shape of processors for pods.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PodShape {
    name: &'static str,
    processor_description: &'static str,
    ocpu_options: Vec<OcpuOptions>,
    memory_options: Vec<MemoryOptions>,
    network_bandwidth_options: Vec<BandwidthOptions>,
    /// Whether a host offers it now: our addition.
    is_offered: bool,
}

/// OCPUs that a pod may have.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShapeOcpuOptions)]
struct OcpuOptions {
    min: f64,
    max: f64,
}

/// Memory that a pod may have.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShapeMemoryOptions)]
struct MemoryOptions {
    #[serde(rename = "minInGBs")]
    min: f64,
    #[serde(rename = "maxInGBs")]
    max: f64,
    #[serde(rename = "defaultPerOcpuInGBs")]
    default_per_ocpu: f64,
    #[serde(rename = "minPerOcpuInGBs")]
    min_per_ocpu: f64,
    #[serde(rename = "maxPerOcpuInGBs")]
    max_per_ocpu: f64,
}

/// Bandwidth that a pod may have.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShapeNetworkBandwidthOptions)]
struct BandwidthOptions {
    #[serde(rename = "minInGbps")]
    min: f64,
    #[serde(rename = "maxInGbps")]
    max: f64,
    #[serde(rename = "defaultPerOcpuInGbps")]
    default_per_ocpu: f64,
}

impl PodShape {
    fn new(shape: &Shape, is_offered: bool) -> Self {
        let (max_ocpus, max_memory) = (shape.max_ocpus as f64, shape.max_memory_gb as f64);
        Self {
            name: shape.pod_name,
            processor_description: shape.processor,
            // Source: the size rule's least size; a pod's memory and OCPUs are not tied to each other.
            ocpu_options: vec![OcpuOptions { min: 0.125, max: max_ocpus }],
            memory_options: vec![MemoryOptions {
                min: 0.5,
                max: max_memory,
                default_per_ocpu: 1.0,
                min_per_ocpu: 0.5,
                max_per_ocpu: max_memory,
            }],
            network_bandwidth_options: vec![BandwidthOptions { min: 1.0, max: MAX_GBPS as f64, default_per_ocpu: 1.0 }],
            is_offered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_has_no_upgrades() {
        assert!(upgrades(DEFAULT_VERSION).is_empty());
        assert_eq!(upgrades("v1.35.4"), [DEFAULT_VERSION]);
        assert!(upgrades("v1.34.9").is_empty());
    }
}
