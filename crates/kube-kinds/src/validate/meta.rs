//! Metadata of every object, and label selectors.

use kube_schema::Kind;
use serde_json::{Value, json};

use super::{
    Causes,
    name::{label_value, qualified_name, validate_name},
};
use crate::json::{flag, list, text};

/// Bytes that all annotations together may have.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Rules for new and changed metadata.
pub(super) fn validate(kind: &Kind, object: &Value, causes: &mut Causes) {
    let metadata = object.get("metadata").cloned().unwrap_or_default();
    let (name, prefix) = (text(&metadata, "/name"), text(&metadata, "/generateName"));
    if !prefix.is_empty() {
        causes.all("metadata.generateName", &json!(prefix), &validate_name(kind, prefix, true));
    }
    if name.is_empty() {
        causes.required("metadata.name", "name or generateName is required");
    } else {
        causes.all("metadata.name", &json!(name), &validate_name(kind, name, false));
    }
    match (kind.namespaced, text(&metadata, "/namespace")) {
        (true, "") => causes.required("metadata.namespace", ""),
        (false, namespace) if !namespace.is_empty() => {
            causes.forbidden("metadata.namespace", "not allowed on this type");
        }
        _ => {}
    }
    labels(&metadata["labels"], "metadata.labels", causes);
    annotations(&metadata["annotations"], "metadata.annotations", causes);
    owners(&metadata, causes);
    for (index, finalizer) in list(&metadata, "/finalizers").iter().enumerate() {
        let field = format!("metadata.finalizers[{index}]");
        let name = finalizer.as_str().unwrap_or_default();
        causes.all(&field, finalizer, &qualified_name(name));
        let standard = ["orphan", "foregroundDeletion", "kubernetes"].contains(&name);
        if !name.contains('/') && !standard {
            causes.invalid(field, finalizer, "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}

fn owners(metadata: &Value, causes: &mut Causes) {
    let owners = list(metadata, "/ownerReferences");
    for (index, owner) in owners.iter().enumerate() {
        let field = format!("metadata.ownerReferences[{index}]");
        for (key, words) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(owner, &format!("/{key}")).is_empty() {
                causes.invalid(format!("{field}.{key}"), &json!(""), words);
            }
        }
    }
    if owners.iter().filter(|owner| flag(owner, "/controller")).count() > 1 {
        let words = "Only one reference can have Controller set to true";
        causes.invalid("metadata.ownerReferences", &Value::Array(owners.to_vec()), words);
    }
}

/// What an update may not change.
pub(super) fn validate_update(new: &Value, old: &Value, causes: &mut Causes) {
    for key in ["name", "namespace", "uid", "creationTimestamp"] {
        let pointer = format!("/metadata/{key}");
        let (new, old) = (new.pointer(&pointer), old.pointer(&pointer));
        if new != old && !(old.is_none_or(Value::is_null) || text(old.unwrap_or(&Value::Null), "").is_empty()) {
            let value = new.cloned().unwrap_or_default();
            causes.invalid(format!("metadata.{key}"), &value, "field is immutable");
        }
    }
    let deleted = |object: &Value| text(object, "/metadata/deletionTimestamp").to_owned();
    if deleted(new) != deleted(old) {
        causes.invalid("metadata.deletionTimestamp", &json!(deleted(new)), "field is immutable");
    }
    if !deleted(old).is_empty() {
        let old_finalizers = list(old, "/metadata/finalizers");
        let added: Vec<String> = list(new, "/metadata/finalizers")
            .iter()
            .filter(|f| !old_finalizers.contains(f))
            .map(|f| format!("{:?}", f.as_str().unwrap_or_default()))
            .collect();
        if !added.is_empty() {
            let words = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            causes.forbidden("metadata.finalizers", &words);
        }
    }
}

/// Rules for a map of labels.
pub(super) fn labels(map: &Value, field: &str, causes: &mut Causes) {
    for (key, value) in map.as_object().into_iter().flatten() {
        causes.all(field, &json!(key), &qualified_name(key));
        causes.all(field, value, &label_value(value.as_str().unwrap_or_default()));
    }
}

fn annotations(map: &Value, field: &str, causes: &mut Causes) {
    let mut size = 0;
    for (key, value) in map.as_object().into_iter().flatten() {
        causes.all(field, &json!(key), &qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        let cause = problem::kube::Cause::too_long(field, &format!("may not be more than {ANNOTATIONS_LIMIT} bytes"));
        causes.0.push(cause);
    }
}

/// Rules for a label selector.
pub(super) fn selector(selector: &Value, field: &str, causes: &mut Causes) {
    labels(&selector["matchLabels"], &format!("{field}.matchLabels"), causes);
    for (index, expression) in list(selector, "/matchExpressions").iter().enumerate() {
        let at = format!("{field}.matchExpressions[{index}]");
        let values = list(expression, "/values").len();
        match text(expression, "/operator") {
            "In" | "NotIn" if values == 0 => {
                causes.required(format!("{at}.values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if values > 0 => {
                causes.forbidden(
                    format!("{at}.values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => causes.invalid(format!("{at}.operator"), &json!(other), "not a valid selector operator"),
        }
        causes.all(&format!("{at}.key"), &expression["key"], &qualified_name(text(expression, "/key")));
    }
}

/// Whether labels satisfy a label selector; an empty selector matches everything.
#[must_use]
pub(crate) fn selector_matches(selector: &Value, labels: &Value) -> bool {
    let has = |key: &str| labels.get(key).and_then(Value::as_str);
    let pairs = selector.get("matchLabels").and_then(Value::as_object);
    let equal = pairs.into_iter().flatten().all(|(key, value)| has(key) == value.as_str());
    equal
        && list(selector, "/matchExpressions").iter().all(|expression| {
            let value = has(text(expression, "/key"));
            let listed = value.is_some_and(|v| list(expression, "/values").iter().any(|other| other == v));
            match text(expression, "/operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                _ => value.is_none(),
            }
        })
}
