//! What an update may not change.

use kube_schema::Kind;
use serde_json::{Value, json};

use super::Causes;
use crate::{
    json::{flag, list, text},
    pod_qos::qos_class,
};

const IMMUTABLE: &str = "field is immutable";
const POD: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const STATEFUL_SET: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const CLAIM: &str =
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

/// Rules about a change of an object of this kind.
pub(super) fn validate(kind: &Kind, new: &Value, old: &Value, causes: &mut Causes) {
    let mut same = |pointers: &[&str]| same(new, old, pointers, causes);
    match kind.resource() {
        "deployments.apps" | "replicasets.apps" | "daemonsets.apps" => same(&["/spec/selector"]),
        "jobs.batch" => {
            same(&["/spec/selector", "/spec/completionMode", "/spec/podFailurePolicy", "/spec/backoffLimitPerIndex"])
        }
        "endpointslices.discovery.k8s.io" => same(&["/addressType"]),
        "runtimeclasses.node.k8s.io" => same(&["/handler"]),
        "storageclasses.storage.k8s.io" => {
            same(&["/parameters", "/provisioner", "/reclaimPolicy", "/volumeBindingMode"])
        }
        "ingressclasses.networking.k8s.io" => same(&["/spec/controller"]),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            same(&["/spec/group", "/spec/names/plural", "/spec/names/kind", "/spec/scope"])
        }
        "secrets" => same(&["/type"]),
        "resourceclaims.resource.k8s.io"
        | "resourceclaimtemplates.resource.k8s.io"
        | "podcertificaterequests.certificates.k8s.io" => same(&["/spec"]),
        _ => {}
    }
    match kind.resource() {
        "pods" => pod(new, old, causes),
        "statefulsets.apps" => {
            let free = [
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ];
            if without(&new["spec"], &free) != without(&old["spec"], &free) {
                causes.forbidden("spec", STATEFUL_SET);
            }
        }
        "jobs.batch" => job(new, old, causes),
        "configmaps" | "secrets" => frozen(new, old, causes),
        "services" => service(new, old, causes),
        "persistentvolumeclaims" => claim(new, old, causes),
        "persistentvolumes" => volume(new, old, causes),
        "priorityclasses.scheduling.k8s.io" if new.get("value") != old.get("value") => {
            causes.forbidden("value", "may not be changed in an update.");
        }
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io"
            if new.get("roleRef") != old.get("roleRef") =>
        {
            causes.invalid("roleRef", &new["roleRef"], "cannot change roleRef");
        }
        "nodes" => {
            let (before, after) = (text(old, "/spec/providerID"), text(new, "/spec/providerID"));
            if !before.is_empty() && before != after {
                causes.forbidden("spec.providerID", "node updates may not change providerID except from \"\" to valid");
            }
        }
        _ => {}
    }
}

fn same(new: &Value, old: &Value, pointers: &[&str], causes: &mut Causes) {
    for pointer in pointers {
        if new.pointer(pointer) != old.pointer(pointer) {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            causes.invalid(field, new.pointer(pointer).unwrap_or(&Value::Null), IMMUTABLE);
        }
    }
}

fn without(value: &Value, keys: &[&str]) -> Value {
    let mut value = value.clone();
    if let Value::Object(map) = &mut value {
        map.retain(|key, _| !keys.contains(&key.as_str()));
    }
    value
}

fn pod(new: &Value, old: &Value, causes: &mut Causes) {
    let missing = list(old, "/spec/tolerations").iter().any(|t| {
        let extended = |other: &&Value| without(other, &["tolerationSeconds"]) == without(t, &["tolerationSeconds"]);
        list(new, "/spec/tolerations").iter().find(extended).is_none()
    });
    if missing {
        causes.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
    }
    let (before, after) = (old.pointer("/spec/activeDeadlineSeconds"), new.pointer("/spec/activeDeadlineSeconds"));
    match (before.and_then(Value::as_i64), after.and_then(Value::as_i64)) {
        (Some(_), None) => causes.invalid(
            "spec.activeDeadlineSeconds",
            &json!(null),
            "must not update from a positive integer to nil value",
        ),
        (Some(before), Some(after)) if after > before => {
            let words = format!("must be less than or equal to previous value {before}");
            causes.invalid("spec.activeDeadlineSeconds", &json!(after), &words);
        }
        _ => {}
    }
    let gate = |gate: &&Value| !list(old, "/spec/schedulingGates").contains(gate);
    if let Some(added) = list(new, "/spec/schedulingGates").iter().find(gate) {
        let words = format!("only deletion is allowed, but found new scheduling gate '{}'", text(added, "/name"));
        causes.forbidden("spec.schedulingGates", &words);
    }
    let grace = |pod: &Value| pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    if grace(new) != grace(old) && !(grace(old).is_some_and(|seconds| seconds < 0) && grace(new) == Some(1)) {
        causes.forbidden("spec", POD);
        return;
    }
    if list(new, "/spec/containers").len() != list(old, "/spec/containers").len() {
        causes.forbidden("spec.containers", "pod updates may not add or remove containers");
        return;
    }
    if fixed_part(&new["spec"]) != fixed_part(&old["spec"]) {
        causes.forbidden("spec", POD);
    }
}

/// A pod's spec without what may change. Gates may only go, which the scheduler relies on.
fn fixed_part(spec: &Value) -> Value {
    let free = ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"];
    let mut fixed = without(spec, &free);
    for list in ["containers", "initContainers"] {
        for container in fixed.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            // The pull policy follows the tag only at creation: it stays as it was and is compared.
            if let Value::Object(container) = container {
                container.remove("image");
            }
        }
    }
    fixed
}

/// Ephemeral containers can be added, never changed or removed.
pub(super) fn ephemeral_containers(new: &Value, old: &Value, causes: &mut Causes) {
    let (before, after) = (list(old, "/spec/ephemeralContainers"), list(new, "/spec/ephemeralContainers"));
    for container in before {
        let name = text(container, "/name");
        let words = match after.iter().find(|other| text(other, "/name") == name) {
            Some(other) if other == container => continue,
            Some(_) => format!("existing ephemeral containers {name:?} may not be changed\n"),
            None => format!("existing ephemeral containers {name:?} may not be removed\n"),
        };
        causes.forbidden("spec.ephemeralContainers", words.trim_end());
    }
}

/// Resources of a living pod may change, but not what class of service it has.
pub(super) fn resize(new: &Value, old: &Value, causes: &mut Causes) {
    if qos_class(new) != qos_class(old) {
        let words = "Pod QOS Class may not change as a result of resizing";
        causes.invalid("spec", &json!(qos_class(new)), words);
    }
}

fn job(new: &Value, old: &Value, causes: &mut Causes) {
    let indexed = text(old, "/spec/completionMode") == "Indexed";
    if new.pointer("/spec/completions") != old.pointer("/spec/completions")
        && !(indexed && new.pointer("/spec/completions") == new.pointer("/spec/parallelism"))
    {
        causes.invalid("spec.completions", &new["spec"]["completions"], IMMUTABLE);
    }
    // While a job is suspended and has not started, where its pods run may still change.
    let movable = flag(old, "/spec/suspend") && old.pointer("/status/startTime").is_none();
    let part = |object: &Value| {
        let mut template = object.pointer("/spec/template").cloned().unwrap_or_default();
        if movable {
            let free = ["nodeSelector", "affinity", "tolerations", "schedulingGates", "containers"];
            template["spec"] = without(&template["spec"], &free);
            template["metadata"] = Value::Null;
        }
        template
    };
    if part(new) != part(old) {
        causes.invalid("spec.template", &json!("..."), IMMUTABLE);
    }
}

fn frozen(new: &Value, old: &Value, causes: &mut Causes) {
    if !flag(old, "/immutable") {
        return;
    }
    if !flag(new, "/immutable") {
        causes.forbidden("immutable", "field is immutable when `immutable` is set");
    }
    for key in ["data", "binaryData"] {
        if new.get(key) != old.get(key) {
            causes.forbidden(key, "field is immutable when `immutable` is set");
        }
    }
}

fn service(new: &Value, old: &Value, causes: &mut Causes) {
    let external = |object: &Value| text(object, "/spec/type") == "ExternalName";
    let (before, after) = (text(old, "/spec/clusterIP"), text(new, "/spec/clusterIP"));
    if !external(old) && !external(new) && !before.is_empty() && before != after {
        causes.invalid("spec.clusterIPs[0]", &json!([after]), "may not change once set");
    }
}

fn claim(new: &Value, old: &Value, causes: &mut Causes) {
    let mut free = vec!["resources", "volumeAttributesClassName"];
    if text(old, "/spec/volumeName").is_empty() {
        free.push("volumeName");
    }
    if old.pointer("/spec/storageClassName").is_none() {
        free.push("storageClassName");
    }
    if without(&new["spec"], &free) != without(&old["spec"], &free) {
        causes.forbidden("spec", CLAIM);
    }
    let size = |object: &Value| domain::Quantity::parse(text(object, "/spec/resources/requests/storage")).ok();
    if size(new) < size(old) {
        causes.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
    }
}

fn volume(new: &Value, old: &Value, causes: &mut Causes) {
    let free = [
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
    ];
    if without(&new["spec"], &free) != without(&old["spec"], &free) {
        causes.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation");
    }
}
