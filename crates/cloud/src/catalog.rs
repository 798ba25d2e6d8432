//! What this installation offers: Kubernetes versions and pod shapes.

use crate::{
    Cloud, Error,
    error::{invalid, not_found},
    rest::{Caller, Params, resource},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The version of a cluster that asks for none.
pub(crate) const DEFAULT_VERSION: &str = "v1.36.0";
/// Versions that can be asked for, oldest first.
const VERSIONS: &[&str] = &[DEFAULT_VERSION];

/// A size and kind of processor that pods run on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    processor: &'static str,
    max_ocpus: f64,
    max_memory_gb: f64,
    /// Value of the `kubernetes.io/arch` label.
    pub(crate) architecture: &'static str,
}

/// Source: OKE's pod shapes; at most 64 OCPU on E3/E4, 1 to 40 Gbit/s. Arm comes with hosts that offer it.
const SHAPES: &[Shape] = &[
    Shape {
        name: "Pod.Standard.E4.Flex",
        processor: "2.55 GHz AMD EPYC 7J13 (Milan), or what the host has",
        max_ocpus: 64.0,
        max_memory_gb: 1024.0,
        architecture: "amd64",
    },
    Shape {
        name: "Pod.Standard.E3.Flex",
        processor: "2.25 GHz AMD EPYC 7742 (Rome), or what the host has",
        max_ocpus: 64.0,
        max_memory_gb: 1024.0,
        architecture: "amd64",
    },
];

/// The shape of a pool that asks for none.
pub(crate) const DEFAULT_SHAPE: &str = SHAPES[0].name;

/// The shape of that name.
pub(crate) fn shape(name: &str) -> Result<Shape, Error> {
    let found = SHAPES.iter().find(|shape| shape.name == name).copied();
    found.ok_or_else(|| {
        let names: Vec<_> = SHAPES.iter().map(|shape| shape.name).collect();
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

pub(crate) fn routes() -> Router<Arc<Cloud>> {
    Router::new().route("/clusterOptions/{id}", get(cluster_options)).route("/podShapes", get(pod_shapes))
}

/// `id` is `all`, or a cluster's: then the versions are those it can be upgraded to.
async fn cluster_options(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let versions = if id == "all" {
        VERSIONS.to_vec()
    } else {
        let cluster = crate::cluster::store::get(&cloud.db, &caller.principal.tenant_id, &id).await?;
        upgrades(&cluster.ok_or_else(|| not_found("cluster", &id))?.kubernetes_version)
    };
    let networks = json!([{"cniType": "OCI_VCN_IP_NATIVE"}]);
    Ok(resource(json!({"kubernetesVersions": versions, "clusterPodNetworkOptions": networks}), None))
}

async fn pod_shapes(caller: Caller, params: Params) -> Result<Response, Error> {
    caller.compartment(params.required("compartmentId")?)?;
    let wanted = params.get("name");
    let shapes: Vec<Value> =
        SHAPES.iter().filter(|shape| wanted.is_none_or(|name| name == shape.name)).map(shape_response).collect();
    Ok(Json(shapes).into_response())
}

fn shape_response(shape: &Shape) -> Value {
    json!({
        "name": shape.name,
        "processorDescription": shape.processor,
        "ocpuOptions": [{"min": 0.125, "max": shape.max_ocpus}],
        "memoryOptions": [{
            "minInGBs": 0.5, "maxInGBs": shape.max_memory_gb,
            "defaultPerOcpuInGBs": 1.0, "minPerOcpuInGBs": 0.5, "maxPerOcpuInGBs": 64.0,
        }],
        "networkBandwidthOptions": [{"minInGbps": 1.0, "maxInGbps": 40.0, "defaultPerOcpuInGbps": 1.0}],
    })
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
