//! Our Nodes: what their status says, and their heartbeats.

use crate::{
    control::{ApiError, Control},
    mirror::{Mirror, Node},
};
use futures::StreamExt;
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Annotation with the version that a node says.
const VERSION_ANNOTATION: &str = "hako.dev/kubernetes-version";
/// Version that a node says if nobody told it one.
const KUBELET_VERSION: &str = "v1.36.0";
/// Pods that a virtual node takes. Source: OKE's limit of pods per virtual node.
const PODS: &str = "500";
/// More than 500 pods of the largest shape ask for: a virtual node is not a machine, its size is its pods'.
/// Invariant: in the canonical form of quantities, in which the API gives them back: else they would differ for ever.
const CPU: &str = "64k";
const MEMORY: &str = "512Ti";
const STORAGE: &str = "512Ti";
/// Source: `nodeLeaseDurationSeconds` of the kubelet's configuration, default 40.
const LEASE_SECONDS: u64 = 40;
/// Heartbeats under way at once.
const AT_ONCE: usize = 16;

/// Where the kubelet API of all our nodes is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

/// The status that a Node should have, or `None` if it has it. `now`: RFC 3339.
pub(crate) fn status_patch(node: &Value, endpoint: Endpoint, now: &str) -> Option<Value> {
    let label = |name: &str| node.pointer("/metadata/labels").and_then(|labels| labels[name].as_str());
    let annotations = node.pointer("/metadata/annotations");
    let version = annotations.and_then(|all| all[VERSION_ANNOTATION].as_str()).unwrap_or(KUBELET_VERSION);
    let amount = json!({"cpu": CPU, "memory": MEMORY, "ephemeral-storage": STORAGE, "pods": PODS});
    let wanted = json!({
        "capacity": amount,
        "allocatable": amount,
        "addresses": [
            {"type": "InternalIP", "address": endpoint.address.to_string()},
            {"type": "Hostname", "address": node["metadata"]["name"]},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": endpoint.port}},
        "nodeInfo": {
            "architecture": label("kubernetes.io/arch").unwrap_or("amd64"),
            "operatingSystem": "linux",
            "kubeletVersion": version,
            "kubeProxyVersion": "",
            "containerRuntimeVersion": "hakobune://1",
            "osImage": "Hakobune virtual node",
            "kernelVersion": "", "machineID": "", "systemUUID": "", "bootID": "",
        },
    });
    let current = &node["status"];
    let same = wanted.as_object().into_iter().flatten().all(|(key, value)| current[key] == *value);
    let conditions = current["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let good = |kind: &str, status: &str| conditions.iter().any(|c| c["type"] == kind && c["status"] == status);
    let pressures = ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"];
    if same && good("Ready", "True") && pressures.iter().all(|kind| good(kind, "False")) {
        return None;
    }
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        let before = conditions.iter().find(|c| c["type"] == kind && c["status"] == status);
        let since = before.and_then(|c| c["lastTransitionTime"].as_str()).unwrap_or(now);
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": since,
        })
    };
    let mut all = vec![condition("Ready", "True", "KubeletReady", "the virtual node takes pods")];
    all.extend(
        pressures.iter().map(|kind| condition(kind, "False", "VirtualNode", "a virtual node has no such limit")),
    );
    let mut status = wanted;
    status["conditions"] = Value::Array(all);
    Some(json!({"status": status}))
}

/// Makes a Node say that it is ready, if it does not.
pub(crate) async fn settle(control: &Control, node: &Node, endpoint: Endpoint) -> Result<(), ApiError> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let Some(patch) = status_patch(&node.value, endpoint, &now) else { return Ok(()) };
    beat(control, node).await?;
    match control.merge(&node.cluster, &format!("/api/v1/nodes/{}/status", node.name), &patch).await {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Renews a Node's lease; makes it if there is none.
async fn beat(control: &Control, node: &Node) -> Result<(), ApiError> {
    let base = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let path = format!("{base}/{}", node.name);
    match control.merge(&node.cluster, &path, &json!({"spec": {"renewTime": now}})).await {
        Err(error) if error.is_not_found() => {}
        other => return other.map(|_| ()),
    }
    let metadata = &node.value["metadata"];
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": node.name,
            "namespace": "kube-node-lease",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": metadata["uid"]}],
        },
        "spec": {"holderIdentity": node.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
    });
    control.create(&node.cluster, base, &lease).await.map(|_| ())
}

/// Renews all leases once per `period` until `stop`, spread over it.
pub(crate) async fn heartbeats(
    control: Control,
    mirror: Arc<Mirror>,
    endpoint: Endpoint,
    period: Duration,
    stop: CancellationToken,
) {
    let work = async {
        loop {
            let round = tokio::time::Instant::now();
            let nodes = mirror.nodes();
            let step = period.mul_f64(0.5) / u32::try_from(nodes.len().max(1)).unwrap_or(u32::MAX);
            let beats = nodes.into_iter().enumerate().map(|(index, node)| {
                let (control, at) = (control.clone(), round + step * u32::try_from(index).unwrap_or(u32::MAX));
                async move {
                    tokio::time::sleep_until(at).await;
                    let beaten = beat(&control, &node).await;
                    let settled = settle(&control, &node, endpoint).await;
                    if let Err(error) = beaten.and(settled) {
                        tracing::warn!(node = node.name, %error, "could not renew a node's lease");
                    }
                }
            });
            futures::stream::iter(beats).for_each_concurrent(AT_ONCE, |beat| beat).await;
            tokio::time::sleep_until(round + period).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_node_needs_no_patch_and_an_unknown_one_does() {
        let endpoint = Endpoint { address: [192, 0, 2, 1].into(), port: 10250 };
        let mut node = json!({"metadata": {"name": "n", "labels": {"kubernetes.io/arch": "arm64"}}});
        let patch = status_patch(&node, endpoint, "now").unwrap();
        assert_eq!(patch["status"]["nodeInfo"]["architecture"], "arm64");
        node["status"] = patch["status"].clone();
        assert_eq!(status_patch(&node, endpoint, "later"), None);
        node["metadata"]["annotations"] = json!({VERSION_ANNOTATION: "v1.35.0"});
        let patch = status_patch(&node, endpoint, "later").unwrap();
        assert_eq!(patch["status"]["nodeInfo"]["kubeletVersion"], "v1.35.0");
        node["status"] = patch["status"].clone();
        node["status"]["conditions"][0]["status"] = json!("Unknown");
        let patch = status_patch(&node, endpoint, "later").unwrap();
        let since = |index: usize| patch["status"]["conditions"][index]["lastTransitionTime"].clone();
        assert_eq!((since(0), since(1)), (json!("later"), json!("now")));
    }
}
