//! Volumes, and the plain kinds that hold data.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AGE, Column, NAME, Table, column, name, string,
    text::{UNSET, age, count, or, terminating},
    wide,
};
use crate::json::{flag, list, number, text};

/// Tables of kinds that store.
pub(super) fn table(resource: &str) -> Option<Table> {
    let (columns, row): (&'static [Column], super::Row) = match resource {
        "persistentvolumes" => (VOLUME, volume),
        "persistentvolumeclaims" => (CLAIM, claim),
        "storageclasses.storage.k8s.io" => (CLASS, class),
        "configmaps" => (const { &[NAME, string("Data", "Number of keys."), AGE] }, |object, now| {
            let keys = count(object, "/data") + count(object, "/binaryData");
            vec![name(object), json!(keys.to_string()), age(object, now)]
        }),
        "secrets" => (
            const { &[NAME, string("Type", "What it is used for."), string("Data", "Number of keys."), AGE] },
            |object, now| {
                let keys = count(object, "/data");
                vec![name(object), json!(text(object, "/type")), json!(keys.to_string()), age(object, now)]
            },
        ),
        "serviceaccounts" => {
            (const { &[NAME, string("Secrets", "Number of secrets it may use."), AGE] }, |object, now| {
                vec![name(object), json!(count(object, "/secrets").to_string()), age(object, now)]
            })
        }
        "volumeattachments.storage.k8s.io" => (ATTACHMENT, attachment),
        "csinodes.storage.k8s.io" => (
            const { &[NAME, column("Drivers", "integer", 0, "Number of drivers on the node."), AGE] },
            |object, now| vec![name(object), json!(count(object, "/spec/drivers")), age(object, now)],
        ),
        "volumeattributesclasses.storage.k8s.io" => {
            (const { &[NAME, string("DriverName", "Driver it is for."), AGE] }, |object, now| {
                vec![name(object), json!(text(object, "/driverName")), age(object, now)]
            })
        }
        "priorityclasses.scheduling.k8s.io" => (PRIORITY, priority),
        _ => return None,
    };
    Some(Table { columns, row })
}

const VOLUME: &[Column] = &[
    NAME,
    string("Capacity", "Size."),
    string("Access Modes", "How it can be mounted."),
    string("Reclaim Policy", "What happens to it after its claim."),
    string("Status", "Whether it is bound."),
    string("Claim", "Who has it."),
    string("StorageClass", "Class it belongs to."),
    string("VolumeAttributesClass", "Class of its attributes."),
    string("Reason", "Why it is in this status."),
    AGE,
    wide("VolumeMode", "Filesystem or Block."),
];

fn volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let claim = match (text(object, "/spec/claimRef/namespace"), text(object, "/spec/claimRef/name")) {
        (_, "") => String::new(),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    let status = if terminating(object) { "Terminating" } else { text(object, "/status/phase") };
    vec![
        name(object),
        json!(text(object, "/spec/capacity/storage")),
        json!(modes(object, "/spec/accessModes")),
        json!(text(object, "/spec/persistentVolumeReclaimPolicy")),
        json!(status),
        json!(claim),
        json!(text(object, "/spec/storageClassName")),
        json!(or(object, "/spec/volumeAttributesClassName", UNSET)),
        json!(text(object, "/status/reason")),
        age(object, now),
        json!(or(object, "/spec/volumeMode", UNSET)),
    ]
}

fn modes(object: &Value, pointer: &str) -> String {
    let has = |mode: &str| list(object, pointer).iter().any(|m| m == mode);
    let names =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let short: Vec<&str> = names.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    short.join(",")
}

const CLAIM: &[Column] = &[
    NAME,
    string("Status", "Whether it has a volume."),
    string("Volume", "Its volume."),
    string("Capacity", "Size."),
    string("Access Modes", "How it can be mounted."),
    string("StorageClass", "Class it asks for."),
    string("VolumeAttributesClass", "Class of its attributes."),
    AGE,
    wide("VolumeMode", "Filesystem or Block."),
];

fn claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = if terminating(object) { "Terminating" } else { text(object, "/status/phase") };
    let volume = text(object, "/spec/volumeName");
    let (capacity, access) = match volume {
        "" => (String::new(), String::new()),
        _ => (text(object, "/status/capacity/storage").to_owned(), modes(object, "/status/accessModes")),
    };
    vec![
        name(object),
        json!(status),
        json!(volume),
        json!(capacity),
        json!(access),
        json!(text(object, "/spec/storageClassName")),
        json!(or(object, "/spec/volumeAttributesClassName", UNSET)),
        age(object, now),
        json!(or(object, "/spec/volumeMode", UNSET)),
    ]
}

const CLASS: &[Column] = &[
    NAME,
    string("Provisioner", "Who makes its volumes."),
    string("ReclaimPolicy", "What happens to volumes after their claims."),
    string("VolumeBindingMode", "When claims get their volume."),
    string("AllowVolumeExpansion", "Whether volumes can grow."),
    AGE,
];

fn class(object: &Value, now: Timestamp) -> Vec<Value> {
    let annotations = object.pointer("/metadata/annotations");
    let default = annotations
        .and_then(|a| a.get("storageclass.kubernetes.io/is-default-class"))
        .is_some_and(|value| value == "true");
    let suffix = if default { " (default)" } else { "" };
    vec![
        json!(format!("{}{suffix}", text(object, "/metadata/name"))),
        json!(text(object, "/provisioner")),
        json!(or(object, "/reclaimPolicy", "Delete")),
        json!(or(object, "/volumeBindingMode", UNSET)),
        json!(flag(object, "/allowVolumeExpansion")),
        age(object, now),
    ]
}

const ATTACHMENT: &[Column] = &[
    NAME,
    string("Attacher", "Driver that attaches."),
    string("PV", "Volume."),
    string("Node", "Node it is attached to."),
    column("Attached", "boolean", 0, "Whether it is attached."),
    AGE,
];

fn attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        json!(text(object, "/spec/attacher")),
        json!(text(object, "/spec/source/persistentVolumeName")),
        json!(text(object, "/spec/nodeName")),
        json!(flag(object, "/status/attached")),
        age(object, now),
    ]
}

const PRIORITY: &[Column] = &[
    NAME,
    column("Value", "integer", 0, "Priority of its pods."),
    column("Global-Default", "boolean", 0, "Whether pods without a class get it."),
    AGE,
    string("PreemptionPolicy", "Whether its pods push others out."),
];

fn priority(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        json!(number(object, "/value")),
        json!(flag(object, "/globalDefault")),
        age(object, now),
        json!(text(object, "/preemptionPolicy")),
    ]
}
