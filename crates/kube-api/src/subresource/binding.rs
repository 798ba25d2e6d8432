//! `pods/x/binding` and `bindings`: a pod gets its node.

use crate::{
    actor::Actor,
    meta,
    verb::{commit, put_status},
};
use jiff::Timestamp;
use kube_store::Cluster;
use problem::kube::{Cause, Status};
use serde_json::{Map, Value, json};

/// Where a pod is bound to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    node: String,
    annotations: Map<String, Value>,
    labels: Map<String, Value>,
    uid: String,
}

impl Target {
    /// A node by name.
    pub(crate) fn node(name: &str) -> Self {
        Self { node: name.to_owned(), ..Self::default() }
    }

    /// Reads a `Binding`.
    ///
    /// # Errors
    /// 422 if it names no node.
    pub(crate) fn from_value(binding: &Value) -> Result<Self, Status> {
        let target = &binding["target"];
        let mut causes = Vec::new();
        if !target["kind"].as_str().is_none_or(|kind| kind.is_empty() || kind == "Node") {
            causes.push(Cause::not_supported("target.kind", &target["kind"], &["Node", "<empty>"]));
        }
        let node = target["name"].as_str().unwrap_or_default();
        if node.is_empty() {
            causes.push(Cause::required("target.name", ""));
        }
        if !causes.is_empty() {
            return Err(Status::invalid("Binding", meta::text(binding, "name"), &causes));
        }
        let of = |field: &str| binding["metadata"][field].as_object().cloned().unwrap_or_default();
        Ok(Self {
            node: node.to_owned(),
            annotations: of("annotations"),
            labels: of("labels"),
            uid: meta::text(binding, "uid").to_owned(),
        })
    }
}

/// Binds a pod.
///
/// # Errors
/// 404, 409 if it has a node already or is being deleted.
pub(crate) async fn bind(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    target: Target,
    _actor: &Actor,
    dry_run: bool,
) -> Result<(), Status> {
    let kind = kube_schema::by_plural("", "v1", "pods").expect("pods are built in");
    let key = meta::key(kind, namespace, pod);
    commit(cluster, dry_run, move |txn| {
        let name = key.name.to_string();
        let stored = txn.get(&key).ok_or_else(|| Status::not_found("pods", &name))?;
        let conflict = |why: &str| Err(Status::conflict("pods/binding", &name, why));
        if !target.uid.is_empty() && *target.uid != *stored.meta.uid {
            let why = format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                target.uid, stored.meta.uid
            );
            return conflict(&why);
        }
        if stored.meta.deletion.is_some() {
            return conflict(&format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        let mut pod = stored.value();
        if let Some(node) = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
            return conflict(&format!("pod {name} is already assigned to node {node:?}"));
        }
        if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            return conflict(&format!("pod {name} has non-empty .spec.schedulingGates"));
        }
        pod["spec"]["nodeName"] = json!(target.node);
        for (field, more) in [("annotations", target.annotations), ("labels", target.labels)] {
            if !more.is_empty() {
                let map = meta::map(&mut pod)?.entry(field).or_insert_with(|| json!({}));
                map.as_object_mut().into_iter().for_each(|map| map.extend(more.clone()));
            }
        }
        scheduled(&mut pod, &meta::rfc3339(Timestamp::now()));
        txn.put(key, pod).map(drop).map_err(|error| put_status(kind, &name, &error))
    })
    .await
}

fn scheduled(pod: &mut Value, now: &str) {
    let generation = pod["metadata"]["generation"].clone();
    let mut condition =
        json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    if !generation.is_null() {
        condition["observedGeneration"] = generation;
    }
    if !pod["status"].is_object() {
        pod["status"] = json!({});
    }
    let conditions = pod["status"]["conditions"].as_array_mut();
    match conditions {
        Some(list) => {
            list.retain(|c| c["type"] != "PodScheduled");
            list.push(condition);
        }
        None => pod["status"]["conditions"] = json!([condition]),
    }
}
