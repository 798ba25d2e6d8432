//! Metadata of objects as JSON.

use jiff::Timestamp;
use kube_schema::Kind;
use kube_store::Key;
use problem::kube::{Cause, Status};
use rand::Rng;
use serde_json::{Map, Value, json};

/// Letters of generated names: no vowels, nothing that looks alike. Source: apimachinery `pkg/util/rand`.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Letters at the end of a generated name.
const SUFFIX: usize = 5;
/// Longest prefix that is kept of `generateName`. Source: apiserver `pkg/storage/names`.
const PREFIX_MAX: usize = 58;

/// A time as metadata has it: RFC 3339 in UTC, whole seconds.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A field of the metadata as text, empty if absent.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get("metadata").and_then(|meta| meta.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// The name as the client gave it: the prefix, if the rest was generated. Refusals say this one, so that a controller
/// that tries again and again tells of the same refusal each time.
pub(crate) fn given_name(object: &Value) -> &str {
    let (name, prefix) = (text(object, "name"), text(object, "generateName"));
    if !prefix.is_empty() && name.len() == prefix.len() + SUFFIX && name.starts_with(prefix) { prefix } else { name }
}

/// The metadata, made if absent.
///
/// # Errors
/// 400 if the object or its metadata is no JSON object.
pub(crate) fn map(object: &mut Value) -> Result<&mut Map<String, Value>, Status> {
    let whole = object.as_object_mut().ok_or_else(|| Status::bad_request("the object is not a JSON object"))?;
    let meta = whole.entry("metadata").or_insert_with(|| json!({}));
    if meta.is_null() {
        *meta = json!({});
    }
    meta.as_object_mut().ok_or_else(|| Status::bad_request("metadata is not a JSON object"))
}

/// `metadata.finalizers`.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    let list = object.get("metadata").and_then(|meta| meta.get("finalizers")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Five letters for the end of a generated name.
pub(crate) fn suffix() -> String {
    let mut random = rand::rng();
    (0..SUFFIX).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}

/// A name from `generateName`.
pub(crate) fn generated(prefix: &str) -> String {
    let mut end = prefix.len().min(PREFIX_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &prefix[..end], suffix())
}

/// Where an object of a kind is stored.
pub(crate) fn key(kind: &Kind, namespace: &str, name: &str) -> Key {
    Key::new(kind.resource(), if kind.namespaced { namespace } else { "" }, name)
}

/// Gives an object the type it is written as.
pub(crate) fn set_type(kind: &Kind, object: &mut Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".into(), Value::String(kind.api_version()));
        map.insert("kind".into(), Value::String(kind.kind.into()));
    }
}

/// Readies the metadata of a new object: place, UID, time; drops what clients can't set.
///
/// # Errors
/// 400 if the place contradicts the request.
pub(crate) fn begin(kind: &Kind, namespace: &str, object: &mut Value, now: Timestamp) -> Result<(), Status> {
    place(kind, namespace, object)?;
    let meta = map(object)?;
    if meta.get("resourceVersion").and_then(Value::as_str).is_some_and(|version| !matches!(version, "" | "0")) {
        return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
    }
    for field in ["managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"] {
        meta.remove(field);
    }
    meta.insert("uid".into(), Value::String(uuid::Uuid::new_v4().to_string()));
    meta.insert("creationTimestamp".into(), Value::String(rfc3339(now)));
    Ok(())
}

/// Checks and sets the namespace of an object.
///
/// # Errors
/// 400 if it is another one than the request's.
pub(crate) fn place(kind: &Kind, namespace: &str, object: &mut Value) -> Result<(), Status> {
    let meta = map(object)?;
    let given = meta.get("namespace").and_then(Value::as_str).unwrap_or_default();
    if !kind.namespaced {
        meta.remove("namespace");
        return Ok(());
    }
    if !given.is_empty() && given != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    meta.insert("namespace".into(), Value::String(namespace.into()));
    Ok(())
}

/// Fields of the metadata that an update can't change: taken over from the old object.
///
/// # Errors
/// 400 if the metadata is malformed.
pub(crate) fn carry_over(new: &mut Value, old: &Value) -> Result<(), Status> {
    const KEPT: [&str; 6] =
        ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName"];
    let meta = map(new)?;
    for field in KEPT {
        match old["metadata"].get(field) {
            Some(value) => meta.insert(field.into(), value.clone()),
            None => meta.remove(field),
        };
    }
    for field in ["managedFields", "selfLink"] {
        meta.remove(field);
    }
    Ok(())
}

/// Refuses finalizers that are new on an object that is being deleted.
pub(crate) fn new_finalizers(new: &Value, old: &Value) -> Option<Cause> {
    if text(old, "deletionTimestamp").is_empty() {
        return None;
    }
    let before = finalizers(old);
    let added: Vec<&str> = finalizers(new).into_iter().filter(|f| !before.contains(f)).collect();
    (!added.is_empty()).then(|| {
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join(", ")
        );
        Cause::forbidden("metadata.finalizers", &why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_fit() {
        assert_eq!(generated("web-").len(), 9);
        assert_eq!(generated(&"x".repeat(80)).len(), 63);
        let named = |name: &str| json!({"metadata": {"generateName": "web-", "name": name}});
        assert_eq!(given_name(&named(&generated("web-"))), "web-");
        assert_eq!(given_name(&named("web-own")), "web-own");
    }

    #[test]
    fn new_finalizers_of_a_dying_object_are_refused() {
        let old = json!({"metadata": {"deletionTimestamp": "x", "finalizers": ["a"]}});
        assert!(new_finalizers(&json!({"metadata": {"finalizers": ["a", "b"]}}), &old).is_some());
        assert!(new_finalizers(&json!({"metadata": {}}), &old).is_none());
    }
}
