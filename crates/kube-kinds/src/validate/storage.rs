//! Volumes, claims and their classes.

use serde_json::{Value, json};

use super::Causes;
use crate::json::{list, text};

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
/// Fields of a volume's spec that are not its source.
const PLAIN: [&str; 10] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeMode",
    "volumeAttributesClassName",
    "status",
];

fn modes(spec: &Value, field: &str, words: &str, causes: &mut Causes) {
    let modes = list(spec, "/accessModes");
    if modes.is_empty() {
        causes.required(format!("{field}.accessModes"), words);
    }
    for mode in modes {
        causes.supported(format!("{field}.accessModes"), mode, &MODES);
    }
}

/// A PersistentVolumeClaim's spec at `field`; also of a template.
pub(super) fn claim(spec: &Value, field: &str, causes: &mut Causes) {
    modes(spec, field, "at least 1 access mode is required", causes);
    match spec.pointer("/resources/requests/storage").and_then(Value::as_str) {
        None => causes.required(format!("{field}.resources[storage]"), ""),
        Some(size) => {
            let positive = domain::Quantity::parse(size).is_ok_and(|q| q > domain::Quantity::default());
            if !positive {
                causes.invalid(format!("{field}.resources[storage]"), &json!(size), "must be greater than zero");
            }
        }
    }
    if let Some(mode) = spec.get("volumeMode") {
        causes.supported(format!("{field}.volumeMode"), mode, &["Block", "Filesystem"]);
    }
}

/// A PersistentVolume.
pub(super) fn volume(object: &Value, causes: &mut Causes) {
    let spec = &object["spec"];
    modes(spec, "spec", "", causes);
    if spec.pointer("/capacity/storage").is_none() {
        causes.required("spec.capacity", "");
    }
    let policies = ["Delete", "Recycle", "Retain"];
    causes.supported("spec.persistentVolumeReclaimPolicy", &spec["persistentVolumeReclaimPolicy"], &policies);
    let sources = spec.as_object().into_iter().flatten().filter(|(key, _)| !PLAIN.contains(&key.as_str()));
    match sources.count() {
        0 => causes.required("spec", "must specify a volume type"),
        1 => {}
        _ => causes.forbidden("spec", "may not specify more than 1 volume type"),
    }
}

/// A StorageClass.
pub(super) fn class(object: &Value, causes: &mut Causes) {
    if text(object, "/provisioner").is_empty() {
        causes.required("provisioner", "");
    }
    causes.supported("reclaimPolicy", &object["reclaimPolicy"], &["Delete", "Retain"]);
    let modes = ["Immediate", "WaitForFirstConsumer"];
    causes.supported("volumeBindingMode", &object["volumeBindingMode"], &modes);
}
