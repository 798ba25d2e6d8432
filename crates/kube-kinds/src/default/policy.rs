//! Everything that is neither workload nor network.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube_schema::canonical_quantity;
use serde_json::{Value, json};

use crate::json::{Object, child, child_or_new, each, fill, put, unset};

/// A Namespace: its name as a label.
pub(super) fn namespace(object: &mut Object) {
    let metadata = child_or_new(object, "metadata");
    if let Some(name) = metadata.get("name").filter(|name| !unset(Some(name))).cloned() {
        child_or_new(metadata, "labels").insert("kubernetes.io/metadata.name".to_owned(), name);
    }
}

/// A Node: what can be allocated is what there is, until it says otherwise.
pub(super) fn node(object: &mut Object) {
    if let Some(status) = child(object, "status")
        && let Some(capacity) = status.get("capacity").cloned()
    {
        put(status, "allocatable", capacity);
    }
}

/// A Secret: `stringData` is only ever written, into `data`.
pub(super) fn secret(object: &mut Object) {
    fill(object, "type", "Opaque");
    if let Some(Value::Object(plain)) = object.remove("stringData") {
        let data = child_or_new(object, "data");
        for (key, value) in plain {
            let bytes = value.as_str().unwrap_or_default();
            data.insert(key, Value::String(STANDARD.encode(bytes)));
        }
    }
}

/// A CSIDriver.
pub(super) fn csi_driver(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    put(spec, "attachRequired", true);
    put(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    put(spec, "volumeLifecycleModes", json!(["Persistent"]));
    for name in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        put(spec, name, false);
    }
}

/// A HorizontalPodAutoscaler (v2).
pub(super) fn autoscaler(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    put(spec, "minReplicas", 1);
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        spec.insert("metrics".to_owned(), json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
    }
    let Some(behavior) = child(spec, "behavior") else { return };
    let percent = |value: i32| json!({"type": "Percent", "value": value, "periodSeconds": 15});
    let up = child_or_new(behavior, "scaleUp");
    put(up, "selectPolicy", "Max");
    put(up, "stabilizationWindowSeconds", 0);
    put(up, "policies", json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, percent(100)]));
    let down = child_or_new(behavior, "scaleDown");
    put(down, "selectPolicy", "Max");
    put(down, "policies", json!([percent(100)]));
}

/// A LimitRange: defaults of containers follow from the limits.
pub(super) fn limit_range(object: &mut Object) {
    for item in child(object, "spec").into_iter().flat_map(|spec| each(spec, "limits")) {
        if item.get("type").is_none_or(|kind| kind != "Container") {
            continue;
        }
        for (target, source) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
            let Some(values) = item.get(source).and_then(Value::as_object).cloned() else { continue };
            let target = child_or_new(item, target);
            for (name, value) in values {
                let text = value.as_str().and_then(canonical_quantity).map_or(value.clone(), Value::String);
                put(target, &name, text);
            }
        }
    }
}

/// A RoleBinding or ClusterRoleBinding.
pub(super) fn binding(object: &mut Object) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    child(object, "roleRef").into_iter().for_each(|role| fill(role, "apiGroup", GROUP));
    for subject in each(object, "subjects") {
        if subject.get("kind").is_some_and(|kind| kind == "User" || kind == "Group") {
            fill(subject, "apiGroup", GROUP);
        }
    }
}

/// A CustomResourceDefinition.
pub(super) fn custom_resource_definition(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    put(spec, "conversion", json!({"strategy": "None"}));
    let names = child_or_new(spec, "names");
    let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !kind.is_empty() {
        fill(names, "singular", kind.to_lowercase());
        fill(names, "listKind", format!("{kind}List"));
    }
}

/// One webhook of a configuration.
pub(super) fn webhook(hook: &mut Object, mutating: bool) {
    put(hook, "failurePolicy", "Fail");
    put(hook, "timeoutSeconds", 10);
    if mutating {
        put(hook, "reinvocationPolicy", "Never");
    }
    match_resources(hook);
    each(hook, "rules").for_each(|rule| put(rule, "scope", "*"));
    let service = child(hook, "clientConfig").and_then(|config| child(config, "service"));
    service.into_iter().for_each(|service| put(service, "port", 443));
}

/// What a webhook or policy applies to.
pub(super) fn match_resources(object: &mut Object) {
    put(object, "matchPolicy", "Equivalent");
    put(object, "namespaceSelector", json!({}));
    put(object, "objectSelector", json!({}));
    for list in ["resourceRules", "excludeResourceRules"] {
        each(object, list).for_each(|rule| put(rule, "scope", "*"));
    }
}
