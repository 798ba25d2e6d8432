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
use kube_schema::Release;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// How many minor releases a node may be older than its cluster; it is never newer.
/// Source: Kubernetes, "Version Skew Policy", kubelet.
const MAX_SKEW: u16 = 3;

/// The version of a cluster that asks for none.
pub(crate) fn default_version() -> &'static str {
    kube_schema::newest().version
}

/// Versions that can be asked for, oldest first.
pub(crate) fn versions() -> Vec<&'static str> {
    kube_schema::releases().iter().map(|release| release.version).collect()
}

/// What is spoken by a cluster of `version`: the release of its minor, or the oldest if that is not offered any more.
pub(crate) fn release(version: &str) -> &'static Release {
    let all = kube_schema::releases();
    let minor = numbers(version).map(|(minor, _)| minor);
    all.iter().find(|release| Some(release.minor) == minor).unwrap_or(&all[0])
}

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
    if versions().contains(&version) {
        return Ok(());
    }
    let message = format!("kubernetesVersion {version:?} is not offered; use one of {}", versions().join(", "));
    Err(invalid(message))
}

/// Versions to which a cluster of `version` can be upgraded in place: later ones, one minor at a time.
pub(crate) fn upgrades(version: &str) -> Vec<&'static str> {
    let Some(from) = numbers(version) else { return Vec::new() };
    let next = |to: (u16, u16)| to > from && to.0 - from.0 <= 1;
    versions().into_iter().filter(|version| numbers(version).is_some_and(next)).collect()
}

/// Refuses versions to which a cluster cannot be upgraded, also because of the versions of its pools.
pub(crate) fn check_upgrade(from: &str, to: &str, pools: &[String]) -> Result<(), Error> {
    let offered = upgrades(from);
    if offered.contains(&to) {
        return match pools.iter().find(|pool| !fits(to, pool)) {
            None => Ok(()),
            Some(pool) => Err(invalid(format!(
                "kubernetesVersion: a virtual node pool is at {pool}, which may be {MAX_SKEW} minor versions older than \
                 its cluster at most; upgrade the pool first"
            ))),
        };
    }
    let list = if offered.is_empty() { "none: it is the newest".to_owned() } else { offered.join(", ") };
    Err(invalid(format!("kubernetesVersion: {from} cannot become {to:?}; upgrades from it: {list}")))
}

/// Whether nodes of `pool` may be in a cluster of `cluster`.
fn fits(cluster: &str, pool: &str) -> bool {
    let (Some(cluster), Some(pool)) = (numbers(cluster), numbers(pool)) else { return false };
    pool <= cluster && cluster.0 - pool.0 <= MAX_SKEW
}

/// Refuses versions that a pool of `from` in a cluster of `cluster` cannot get.
pub(crate) fn check_pool_upgrade(cluster: &str, from: &str, to: &str) -> Result<(), Error> {
    check_version(to)?;
    if numbers(to) < numbers(from) {
        return Err(invalid(format!(
            "kubernetesVersion: the virtual node pool is at {from} and cannot go back to {to}"
        )));
    }
    if fits(cluster, to) {
        return Ok(());
    }
    Err(invalid(format!(
        "kubernetesVersion: nodes are never newer than their cluster, nor more than {MAX_SKEW} minor versions older: \
         {to} does not fit a cluster of {cluster}; upgrade the cluster first"
    )))
}

/// Minor and patch of `v1.<minor>.<patch>`.
fn numbers(version: &str) -> Option<(u16, u16)> {
    let (minor, patch) = version.strip_prefix("v1.")?.split_once('.')?;
    Some((minor.parse().ok()?, patch.parse().ok()?))
}

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new()
        .routes(routes!(cluster_options))
        .routes(routes!(pod_shapes))
        .routes(routes!(node_pool_options))
        .routes(routes!(addon_options))
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
        versions()
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

/// Lists what pools of managed nodes can be made with: nothing, as they are not offered.
#[utoipa::path(
    get,
    path = "/nodePoolOptions/{nodePoolOptionId}",
    tag = "Catalogue",
    operation_id = "get_node_pool_options",
    params(("nodePoolOptionId" = String, Path, description = "`all`, or a cluster")),
    responses((status = 200, description = "OK", body = NodePoolOptions)),
    extensions(("x-hako-access" = json!("any"))),
)]
async fn node_pool_options(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    if id != "all" {
        crate::cluster::operation::find(&cloud, &caller, &id, Verb::Read).await?;
    }
    Ok(resource(NodePoolOptions { kubernetes_versions: versions(), ..NodePoolOptions::default() }, None))
}

/// Lists the add-ons offered: none.
#[utoipa::path(
    get,
    path = "/addonOptions",
    tag = "Catalogue",
    operation_id = "list_addon_options",
    params(("kubernetesVersion" = String, Query, description = "For clusters of this version")),
    responses((status = 200, description = "OK", body = Vec<String>)),
    extensions(("x-hako-access" = json!("any"))),
)]
async fn addon_options(_: Caller, params: Params) -> Result<Response, Error> {
    check_version(params.required("kubernetesVersion")?)?;
    Ok(Json(Vec::<String>::new()).into_response())
}

/// What pools of managed nodes can be made with.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NodePoolOptions {
    kubernetes_versions: Vec<&'static str>,
    shapes: Vec<&'static str>,
    images: Vec<&'static str>,
    sources: Vec<&'static str>,
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
        assert!(upgrades(default_version()).is_empty());
        assert_eq!(upgrades("v1.35.4"), [default_version()]);
        assert_eq!(upgrades("v1.34.2"), ["v1.35.0"]);
        assert_eq!(upgrades("v1.34.1"), ["v1.34.2", "v1.35.0"]);
        assert!(upgrades("v1.32.9").is_empty());
    }

    fn said(result: Result<(), Error>) -> String {
        result.map_or_else(|error| error.to_string(), |()| "yes".into())
    }

    #[test]
    fn a_cluster_goes_up_by_one_minor_and_never_back() {
        assert_eq!(said(check_upgrade("v1.34.2", "v1.35.0", &[])), "yes");
        assert!(said(check_upgrade("v1.34.2", "v1.36.0", &[])).contains("upgrades from it: v1.35.0"));
        assert!(said(check_upgrade("v1.36.0", "v1.35.0", &[])).contains("it is the newest"));
        assert!(said(check_upgrade("v1.35.0", "v1.36.0", &["v1.32.1".into()])).contains("upgrade the pool first"));
        assert_eq!(said(check_upgrade("v1.35.0", "v1.36.0", &["v1.33.1".into(), "v1.35.0".into()])), "yes");
    }

    #[test]
    fn a_pool_is_never_newer_than_its_cluster_and_never_goes_back() {
        assert_eq!(said(check_pool_upgrade("v1.36.0", "v1.34.2", "v1.36.0")), "yes");
        assert_eq!(said(check_pool_upgrade("v1.36.0", "v1.34.2", "v1.34.2")), "yes");
        assert!(said(check_pool_upgrade("v1.35.0", "v1.35.0", "v1.36.0")).contains("upgrade the cluster first"));
        assert!(said(check_pool_upgrade("v1.36.0", "v1.35.0", "v1.34.2")).contains("cannot go back"));
        assert!(said(check_pool_upgrade("v1.36.0", "v1.35.0", "v1.35.7")).contains("not offered"));
        assert!(fits("v1.36.0", "v1.33.9") && !fits("v1.36.0", "v1.32.9") && !fits("v1.36.0", "v1.36.1"));
    }

    #[test]
    fn a_version_that_is_offered_no_more_is_spoken_as_its_minor() {
        let spoken = |version| release(version).version;
        assert_eq!([spoken("v1.35.9"), spoken("v1.20.1"), spoken("v1.36.0")], ["v1.35.0", "v1.34.2", "v1.36.0"]);
    }
}
