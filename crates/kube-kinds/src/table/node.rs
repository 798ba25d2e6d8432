//! Nodes, namespaces and leases.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AGE, Column, NAME, Table, name, string,
    text::{NONE, UNKNOWN, age, or},
    wide,
};
use crate::json::{flag, list, text};

/// Tables of these kinds.
pub(super) fn table(resource: &str) -> Option<Table> {
    let (columns, row): (&'static [Column], super::Row) = match resource {
        "nodes" => (NODE, node),
        "namespaces" => (const { &[NAME, string("Status", "Active, or on its way out."), AGE] }, |object, now| {
            vec![name(object), json!(text(object, "/status/phase")), age(object, now)]
        }),
        "leases.coordination.k8s.io" => (const { &[NAME, string("Holder", "Who holds it."), AGE] }, |object, now| {
            vec![name(object), json!(text(object, "/spec/holderIdentity")), age(object, now)]
        }),
        "runtimeclasses.node.k8s.io" => {
            (const { &[NAME, string("Handler", "Runtime that is meant."), AGE] }, |object, now| {
                vec![name(object), json!(text(object, "/handler")), age(object, now)]
            })
        }
        _ => return None,
    };
    Some(Table { columns, row })
}

const NODE: &[Column] = &[
    NAME,
    string("Status", "Whether it takes and runs pods."),
    string("Roles", "What it is for."),
    AGE,
    string("Version", "Version of its kubelet."),
    wide("Internal-IP", "Address inside the cluster."),
    wide("External-IP", "Address outside the cluster."),
    wide("OS-Image", "Operating system."),
    wide("Kernel-Version", "Kernel."),
    wide("Container-Runtime", "Container runtime and its version."),
];

fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let address = |kind: &str| {
        let found = list(object, "/status/addresses").iter().find(|a| text(a, "/type") == kind);
        found.map_or(NONE, |address| text(address, "/address"))
    };
    let info = |key: &str| format!("/status/nodeInfo/{key}");
    vec![
        name(object),
        json!(status(object)),
        json!(roles(object)),
        age(object, now),
        json!(text(object, &info("kubeletVersion"))),
        json!(address("InternalIP")),
        json!(address("ExternalIP")),
        json!(or(object, &info("osImage"), UNKNOWN)),
        json!(or(object, &info("kernelVersion"), UNKNOWN)),
        json!(or(object, &info("containerRuntimeVersion"), UNKNOWN)),
    ]
}

fn status(object: &Value) -> String {
    let ready = list(object, "/status/conditions").iter().find(|c| text(c, "/type") == "Ready");
    let mut status = match ready.map(|c| text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if flag(object, "/spec/unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(object: &Value) -> String {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { NONE.to_owned() } else { roles.join(",") }
}
