//! ConfigMaps, Secrets, Events, Leases.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use problem::kube::Cause;
use serde_json::{Value, json};

use super::{Causes, name::config_key};
use crate::json::{number, text};

/// Bytes that the values of a ConfigMap or Secret may have together.
const LIMIT: usize = 1024 * 1024;

fn keys(object: &Value, map: &str, causes: &mut Causes) {
    for (key, _) in object.get(map).and_then(Value::as_object).into_iter().flatten() {
        causes.all(&format!("{map}[{key}]"), &json!(key), &config_key(key));
    }
}

fn size(object: &Value, map: &str, encoded: bool) -> usize {
    let values = object.get(map).and_then(Value::as_object).into_iter().flatten();
    let lengths = values.map(|(_, value)| value.as_str().map_or(0, str::len));
    lengths.map(|length| if encoded { length / 4 * 3 } else { length }).sum()
}

/// A ConfigMap.
pub(super) fn config_map(object: &Value, causes: &mut Causes) {
    keys(object, "data", causes);
    keys(object, "binaryData", causes);
    for (key, _) in object.get("binaryData").and_then(Value::as_object).into_iter().flatten() {
        if object["data"].get(key).is_some() {
            causes.invalid(format!("binaryData[{key}]"), &json!(key), "duplicate of key present in data");
        }
    }
    if size(object, "data", false) + size(object, "binaryData", true) > LIMIT {
        causes.0.push(Cause::too_long("[]", &format!("may not be more than {LIMIT} bytes")));
    }
}

/// A Secret; its values are never repeated in messages.
pub(super) fn secret(object: &Value, causes: &mut Causes) {
    keys(object, "data", causes);
    if size(object, "data", true) > LIMIT {
        causes.0.push(Cause::too_long("data", &format!("may not be more than {LIMIT} bytes")));
    }
    let need: &[&str] = match text(object, "/type") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    for key in need {
        match object["data"].get(*key).and_then(Value::as_str) {
            None => causes.required(format!("data[{key}]"), ""),
            Some(value) if key.starts_with(".docker") => {
                let bytes = STANDARD.decode(value).unwrap_or_default();
                if serde_json::from_slice::<Value>(&bytes).is_err() {
                    causes.invalid(
                        format!("data[{key}]"),
                        &json!("<secret contents redacted>"),
                        "invalid character in JSON",
                    );
                }
            }
            Some(_) => {}
        }
    }
    if text(object, "/type") == "kubernetes.io/service-account-token"
        && object.pointer("/metadata/annotations/kubernetes.io~1service-account.name").is_none()
    {
        causes.required("metadata.annotations[kubernetes.io/service-account.name]", "");
    }
    if text(object, "/type") == "kubernetes.io/basic-auth"
        && ["username", "password"].iter().all(|k| object["data"].get(*k).is_none())
    {
        causes.required("data[username]", "");
        causes.required("data[password]", "");
    }
}

/// An Event.
pub(super) fn event(object: &Value, causes: &mut Causes) {
    let (own, about) = (text(object, "/metadata/namespace"), text(object, "/involvedObject/namespace"));
    if about.is_empty() {
        if own != "default" && own != "kube-system" {
            causes.invalid("involvedObject.namespace", &json!(about), "does not match event.namespace");
        }
    } else if own != about {
        causes.invalid("involvedObject.namespace", &json!(about), "does not match event.namespace");
    }
}

/// A Lease.
pub(super) fn lease(object: &Value, causes: &mut Causes) {
    if object.pointer("/spec/leaseDurationSeconds").is_some() && number(object, "/spec/leaseDurationSeconds") <= 0 {
        causes.invalid("spec.leaseDurationSeconds", &object["spec"]["leaseDurationSeconds"], "must be greater than 0");
    }
    causes.not_negative(object, "/spec/leaseTransitions", "spec.leaseTransitions");
}
