//! What a write may touch: status on create, spec on status updates, generation.
//! Source: kubernetes `pkg/registry/*/strategy.go` (`PrepareForCreate`, `PrepareForUpdate`).

mod job;
mod service;

use kube_schema::Kind;
use serde_json::{Value, json};

use crate::{
    json::{Object, child, child_or_new, fill, text},
    pod_qos::qos_class,
};

/// Kinds that count the changes of their spec in `metadata.generation`.
const COUNTED: &[&str] = &[
    "pods",
    "podtemplates",
    "replicationcontrollers",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "jobs.batch",
    "cronjobs.batch",
    "ingresses.networking.k8s.io",
    "ingressclasses.networking.k8s.io",
    "networkpolicies.networking.k8s.io",
    "endpointslices.discovery.k8s.io",
    "poddisruptionbudgets.policy",
    "flowschemas.flowcontrol.apiserver.k8s.io",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    "priorityclasses.scheduling.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "servicecidrs.networking.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "ipaddresses.networking.k8s.io",
    "mutatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "resourceslices.resource.k8s.io",
];

/// Readies a new object: resets its status, sets `metadata.generation`. Run after `set_defaults`; `metadata.uid` must
/// be set, as a Job selects its pods by it.
pub fn prepare_create(kind: &Kind, object: &mut Value) {
    let qos = if kind.resource() == "pods" { qos_class(object) } else { "" };
    let Value::Object(map) = object else { return };
    if kind.has("status") && kind.resource() != "nodes" {
        match initial_status(kind.resource(), qos) {
            Value::Null => map.remove("status"),
            status => map.insert("status".to_owned(), status),
        };
    }
    let metadata = child_or_new(map, "metadata");
    if COUNTED.contains(&kind.resource()) {
        metadata.insert("generation".to_owned(), json!(1));
    } else {
        metadata.remove("generation");
    }
    match kind.resource() {
        "namespaces" => {
            let finalizers = child_or_new(map, "spec").entry("finalizers").or_insert_with(|| json!([]));
            if let Value::Array(list) = finalizers
                && !list.contains(&json!("kubernetes"))
            {
                list.push(json!("kubernetes"));
            }
        }
        "jobs.batch" => job::generate_selector(map),
        "pods" => mark_gated(map),
        _ => {}
    }
}

/// Says of a pod with scheduling gates why it waits. Source: `applySchedulingGatedCondition`.
fn mark_gated(pod: &mut Object) {
    let gates = pod.get("spec").map_or(&[][..], |spec| crate::json::list(spec, "/schedulingGates"));
    if gates.is_empty() {
        return;
    }
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
        "lastProbeTime": null, "lastTransitionTime": null,
    });
    child_or_new(pod, "status").insert("conditions".to_owned(), json!([condition]));
}

fn initial_status(resource: &str, qos: &str) -> Value {
    match resource {
        "pods" => json!({"phase": "Pending", "qosClass": qos}),
        "namespaces" => json!({"phase": "Active"}),
        "persistentvolumes" | "persistentvolumeclaims" => json!({"phase": "Pending"}),
        "services" | "ingresses.networking.k8s.io" => json!({"loadBalancer": {}}),
        "replicasets.apps" | "replicationcontrollers" | "statefulsets.apps" => json!({"replicas": 0}),
        "deployments.apps" | "jobs.batch" | "cronjobs.batch" | "resourcequotas" => json!({}),
        "daemonsets.apps" => json!({
            "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
        }),
        "poddisruptionbudgets.policy" => {
            json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0})
        }
        "horizontalpodautoscalers.autoscaling" => json!({"desiredReplicas": 0}),
        _ => Value::Null,
    }
}

/// Readies an update of the main resource: keeps the old status and what is not the client's to change, bumps the
/// generation if the spec changed. Run after `set_defaults`.
pub fn prepare_update(kind: &Kind, new: &mut Value, old: &Value) {
    let resource = kind.resource();
    let Value::Object(map) = new else { return };
    if kind.has("status") {
        keep(map, old, "status");
    }
    match resource {
        "services" => service::keep_allocated(map, old),
        "namespaces" => {
            if let Some(finalizers) = old.pointer("/spec/finalizers") {
                child_or_new(map, "spec").insert("finalizers".to_owned(), finalizers.clone());
            }
        }
        _ => {}
    }
    set_generation(resource, map, old);
}

/// Keeps `key` of the old object, or its absence.
fn keep(map: &mut Object, old: &Value, key: &str) {
    match old.get(key) {
        Some(value) => map.insert(key.to_owned(), value.clone()),
        None => map.remove(key),
    };
}

fn set_generation(resource: &str, map: &mut Object, old: &Value) {
    let before = old.pointer("/metadata/generation").and_then(Value::as_i64);
    let changed = COUNTED.contains(&resource) && spec_changed(resource, map, old);
    let metadata = child_or_new(map, "metadata");
    match before {
        Some(before) => metadata.insert("generation".to_owned(), json!(before + i64::from(changed))),
        None if changed => metadata.insert("generation".to_owned(), json!(1)),
        None => metadata.remove("generation"),
    };
}

fn spec_changed(resource: &str, map: &Object, old: &Value) -> bool {
    // Kinds without a spec: everything but what describes the object counts.
    const AROUND: [&str; 4] = ["metadata", "status", "apiVersion", "kind"];
    let annotations = |metadata: Option<&Value>| metadata.and_then(|m| m.get("annotations")).cloned();
    let noted = resource == "deployments.apps" && annotations(map.get("metadata")) != annotations(old.get("metadata"));
    let Value::Object(old) = old else { return true };
    let keys = map.keys().chain(old.keys()).filter(|key| !AROUND.contains(&key.as_str()));
    noted || keys.into_iter().any(|key| map.get(key) != old.get(key))
}

/// Readies an update of the status subresource: all but the status is the old object's. Labels and annotations may
/// be written along with the status of pods and nodes, annotations with any status.
pub fn prepare_status(kind: &Kind, new: &mut Value, old: &Value) {
    let Value::Object(map) = new else { return };
    let status = map.remove("status");
    let metadata = map.remove("metadata").unwrap_or_default();
    *map = old.as_object().cloned().unwrap_or_default();
    match status {
        Some(status) => map.insert("status".to_owned(), status),
        None => map.remove("status"),
    };
    let along: &[&str] = match kind.resource() {
        "pods" | "nodes" => &["annotations", "labels", "managedFields", "finalizers"],
        "persistentvolumeclaims" | "persistentvolumes" => &["annotations", "managedFields", "finalizers"],
        _ => &["annotations", "managedFields"],
    };
    let kept = child_or_new(map, "metadata");
    for key in along.iter().chain(&["resourceVersion"]) {
        match metadata.get(*key) {
            Some(value) => kept.insert((*key).to_owned(), value.clone()),
            None if *key == "resourceVersion" => None,
            None => kept.remove(*key),
        };
    }
    if kind.resource() == "pods" {
        let status = child_or_new(map, "status");
        if let Some(qos) = old.pointer("/status/qosClass") {
            fill(status, "qosClass", qos.clone());
        }
    }
}

/// Readies an update of any subresource of the object itself: `status`, `finalize` (namespaces), `approval` (CSRs),
/// `ephemeralcontainers` and `resize` (pods); others change nothing.
pub fn prepare_subresource(kind: &Kind, subresource: &str, new: &mut Value, old: &Value) {
    let take = |new: &mut Value, pointers: &[&str]| {
        let wanted = std::mem::replace(new, old.clone());
        for pointer in pointers {
            let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", pointer));
            let Some(Value::Object(parent)) = new.pointer_mut(parent) else { continue };
            match wanted.pointer(pointer) {
                Some(value) => parent.insert(key.to_owned(), value.clone()),
                None => parent.remove(key),
            };
        }
        if let Some(version) = wanted.pointer("/metadata/resourceVersion") {
            new["metadata"]["resourceVersion"] = version.clone();
        }
    };
    match subresource {
        "status" => prepare_status(kind, new, old),
        "finalize" => take(new, &["/spec/finalizers"]),
        "approval" => take(new, &["/status/conditions"]),
        "ephemeralcontainers" => take(new, &["/spec/ephemeralContainers"]),
        "resize" => resize(new, old),
        _ => {}
    }
    if matches!(subresource, "ephemeralcontainers" | "resize")
        && let Value::Object(map) = new
    {
        set_generation(kind.resource(), map, old);
    }
}

/// Takes only the resources and resize policies of containers.
fn resize(new: &mut Value, old: &Value) {
    let wanted = std::mem::replace(new, old.clone());
    let Some(spec) = new.as_object_mut().and_then(|map| child(map, "spec")) else { return };
    for list in ["containers", "initContainers"] {
        for container in crate::json::each(spec, list) {
            let name = container.get("name").cloned().unwrap_or_default();
            let pointer = format!("/spec/{list}");
            let found = crate::json::list(&wanted, &pointer).iter().find(|c| text(c, "/name") == name);
            for key in ["resources", "resizePolicy"] {
                if let Some(value) = found.and_then(|c| c.get(key)) {
                    container.insert(key.to_owned(), value.clone());
                }
            }
        }
    }
    if let Some(version) = wanted.pointer("/metadata/resourceVersion") {
        new["metadata"]["resourceVersion"] = version.clone();
    }
}

#[cfg(test)]
mod tests;
