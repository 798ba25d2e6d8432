//! Fields that field selectors know.
//! Source: kubernetes `pkg/registry/*/strategy.go` (`ToSelectableFields`) and `pkg/apis/*/conversion.go`.

use kube_schema::Kind;
use serde_json::Value;

use crate::json::text;

/// Field and pointer of texts that are taken as they are.
type Fields = &'static [(&'static str, &'static str)];

const POD: Fields = &[
    ("spec.nodeName", "/spec/nodeName"),
    ("spec.restartPolicy", "/spec/restartPolicy"),
    ("spec.schedulerName", "/spec/schedulerName"),
    ("spec.serviceAccountName", "/spec/serviceAccountName"),
    ("spec.hostNetwork", "/spec/hostNetwork"),
    ("status.phase", "/status/phase"),
    ("status.podIP", "/status/podIP"),
    ("status.nominatedNodeName", "/status/nominatedNodeName"),
];
const EVENT: Fields = &[
    ("involvedObject.kind", "/involvedObject/kind"),
    ("involvedObject.namespace", "/involvedObject/namespace"),
    ("involvedObject.name", "/involvedObject/name"),
    ("involvedObject.uid", "/involvedObject/uid"),
    ("involvedObject.apiVersion", "/involvedObject/apiVersion"),
    ("involvedObject.resourceVersion", "/involvedObject/resourceVersion"),
    ("involvedObject.fieldPath", "/involvedObject/fieldPath"),
    ("reason", "/reason"),
    ("reportingComponent", "/reportingComponent"),
    ("source", "/source/component"),
    ("type", "/type"),
];

fn fields_of(resource: &str) -> Fields {
    match resource {
        "pods" => POD,
        "events" => EVENT,
        "nodes" => &[("spec.unschedulable", "/spec/unschedulable")],
        "secrets" => &[("type", "/type")],
        "namespaces" => &[("status.phase", "/status/phase")],
        "services" => &[("spec.clusterIP", "/spec/clusterIP"), ("spec.type", "/spec/type")],
        "replicasets.apps" | "replicationcontrollers" => &[("status.replicas", "/status/replicas")],
        "jobs.batch" => &[("status.successful", "/status/succeeded")],
        "certificatesigningrequests.certificates.k8s.io" | "clustertrustbundles.certificates.k8s.io" => {
            &[("spec.signerName", "/spec/signerName")]
        }
        "resourceslices.resource.k8s.io" => &[("spec.nodeName", "/spec/nodeName"), ("spec.driver", "/spec/driver")],
        _ => &[],
    }
}

/// Selectable fields and their values; `metadata.name` and `metadata.namespace` for every resource.
/// `resource` is the storage name, as `pods` or `deployments.apps`.
#[must_use]
pub fn selectable_fields(resource: &str, object: &Value) -> Vec<(&'static str, String)> {
    let fields = fields_of(resource);
    let mut found = Vec::with_capacity(2 + fields.len());
    found.push(("metadata.name", text(object, "/metadata/name").to_owned()));
    found.push(("metadata.namespace", text(object, "/metadata/namespace").to_owned()));
    for (name, pointer) in fields {
        let value = match object.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => absent(object, name),
            Some(other) => other.to_string(),
        };
        found.push((name, value));
    }
    found
}

fn absent(object: &Value, name: &str) -> String {
    match name {
        "spec.unschedulable" | "spec.hostNetwork" => "false".to_owned(),
        "status.replicas" | "status.successful" => "0".to_owned(),
        "source" => text(object, "/reportingComponent").to_owned(),
        _ => String::new(),
    }
}

/// Names of the fields that a resource can be selected by, for the error about any other.
#[must_use]
pub fn selectable_names(resource: &str) -> Vec<&'static str> {
    ["metadata.name", "metadata.namespace"]
        .into_iter()
        .chain(fields_of(resource).iter().map(|(name, _)| *name))
        .collect()
}

/// The stored name of a field that a version calls otherwise: `regarding.name` of events.k8s.io is
/// `involvedObject.name`.
#[must_use]
pub fn stored_field(kind: &Kind, field: &str) -> String {
    if kind.group != "events.k8s.io" {
        return field.to_owned();
    }
    match field.strip_prefix("regarding.") {
        Some(rest) => format!("involvedObject.{rest}"),
        None if field == "reportingController" => "reportingComponent".to_owned(),
        None => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_are_found_by_node_and_phase() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "a"}, "status": {"phase": "Running"}});
        let fields = selectable_fields("pods", &pod);
        for expect in
            [("metadata.name", "p"), ("spec.nodeName", "a"), ("status.phase", "Running"), ("spec.hostNetwork", "false")]
        {
            assert!(fields.contains(&(expect.0, expect.1.to_owned())), "{expect:?}");
        }
    }

    #[test]
    fn others_have_their_own_fields() {
        let event = json!({"metadata": {}, "involvedObject": {"kind": "Pod"}, "reportingComponent": "c"});
        assert!(selectable_fields("events", &event).contains(&("source", "c".to_owned())));
        assert!(selectable_fields("jobs.batch", &json!({})).contains(&("status.successful", "0".to_owned())));
        assert_eq!(selectable_fields("configmaps", &json!({})).len(), 2);
        let events = kube_schema::by_kind("events.k8s.io", "v1", "Event").unwrap();
        assert_eq!(stored_field(events, "regarding.name"), "involvedObject.name");
    }
}
