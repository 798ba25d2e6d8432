//! Namespaces: what they begin with, how they end, and who may still enter.

use crate::meta;
use jiff::Timestamp;
use kube_schema::Kind;
use kube_store::{Key, Txn};
use problem::kube::Status;
use serde_json::{Value, json};

/// Namespaces that can't be deleted. Source: upstream's NamespaceLifecycle admission.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Gives a new namespace its finalizer, phase and label.
pub(crate) fn begin(kind: &Kind, object: &mut Value) {
    if kind.resource() != "namespaces" {
        return;
    }
    object["spec"] = json!({"finalizers": ["kubernetes"]});
    object["status"] = json!({"phase": "Active"});
    let name = meta::text(object, "name").to_owned();
    if !object["metadata"]["labels"].is_object() {
        object["metadata"]["labels"] = json!({});
    }
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
}

/// Refuses to create in a namespace that is missing or ending.
///
/// # Errors
/// 404 or 403.
pub(crate) fn open(txn: &Txn<'_>, kind: &Kind, namespace: &str, name: &str) -> Result<(), Status> {
    let Some(found) = txn.get(&Key::new("namespaces", "", namespace)) else {
        return Err(Status::not_found("namespaces", namespace));
    };
    if found.meta.deletion.is_some() {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let refused = Status::forbidden(&kind.qualified_plural(), name, &why);
        // Controllers stop retrying when they see this cause.
        let cause = format!("namespace {namespace} is being terminated");
        return Err(refused.with_cause("NamespaceTerminating", &cause, "metadata.namespace"));
    }
    Ok(())
}

/// Begins a namespace's end.
///
/// # Errors
/// 403 for those that every cluster needs.
pub(crate) fn terminate(object: &mut Value, now: Timestamp) -> Result<(), Status> {
    let name = meta::text(object, "name").to_owned();
    if IMMORTAL.contains(&name.as_str()) {
        return Err(Status::forbidden("namespaces", &name, "this namespace may not be deleted"));
    }
    object["status"]["phase"] = json!("Terminating");
    let meta = meta::map(object)?;
    if !meta.contains_key("deletionTimestamp") {
        meta.insert("deletionTimestamp".into(), meta::rfc3339(now).into());
    }
    Ok(())
}

/// An update leaves `spec.finalizers` as they are; `finalize` changes them.
pub(crate) fn keep_finalizers(new: &mut Value, old: &Value) {
    if let Some(spec) = old.get("spec") {
        new["spec"] = spec.clone();
    }
    let name = meta::text(old, "name").to_owned();
    if let Some(labels) = new["metadata"]["labels"].as_object_mut() {
        labels.insert("kubernetes.io/metadata.name".into(), json!(name));
    } else {
        new["metadata"]["labels"] = json!({"kubernetes.io/metadata.name": name});
    }
}

/// The old namespace with the new one's `spec.finalizers`.
pub(crate) fn finalized(new: Value, old: &Value) -> Value {
    let mut kept = old.clone();
    kept["spec"]["finalizers"] = match &new["spec"]["finalizers"] {
        Value::Array(list) => Value::Array(list.clone()),
        _ => json!([]),
    };
    kept
}
