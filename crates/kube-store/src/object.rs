//! Objects as they are kept: bytes for clients, and the parsed metadata that selectors and indexes need.

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// Plural name and, behind a dot, group of a kind: `pods`, `deployments.apps`.
pub type Resource = Arc<str>;

/// Where an object lies in its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Kind of object.
    pub resource: Resource,
    /// Empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// Unique within resource and namespace.
    pub name: Arc<str>,
}

impl Key {
    /// A key from its three parts.
    pub fn new(resource: impl Into<Arc<str>>, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }
}

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// UID of the owner.
    pub uid: Arc<str>,
    /// Kind of the owner.
    #[serde(default)]
    pub kind: String,
    /// Group and version of the owner.
    #[serde(default)]
    pub api_version: String,
    /// Name of the owner.
    #[serde(default)]
    pub name: String,
    /// The owner manages this object.
    #[serde(default)]
    pub controller: bool,
    /// Foreground deletion of the owner waits for this object.
    #[serde(default)]
    pub block_owner_deletion: bool,
}

/// What of an object's metadata is needed without parsing it again.
#[derive(Debug, Clone, Default)]
pub struct Meta {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.generation`; 0 if the kind has none.
    pub generation: i64,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.ownerReferences`.
    pub owners: Vec<Owner>,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
    /// `metadata.deletionTimestamp`, RFC 3339.
    pub deletion: Option<String>,
    /// `metadata.creationTimestamp`, RFC 3339.
    pub created: String,
    /// Values of the kind's selectable fields, but for name and namespace.
    pub fields: Vec<(&'static str, String)>,
}

impl Meta {
    pub(crate) fn read(value: &Value, fields: Vec<(&'static str, String)>) -> Self {
        let Some(meta) = value.get("metadata") else { return Self { fields, ..Self::default() } };
        let text = |name: &str| meta.get(name).and_then(Value::as_str);
        let labels = meta.get("labels").and_then(Value::as_object).into_iter().flatten();
        let finalizers = meta.get("finalizers").and_then(Value::as_array).into_iter().flatten();
        let owners = meta.get("ownerReferences").and_then(Value::as_array).into_iter().flatten();
        Self {
            uid: text("uid").unwrap_or_default().into(),
            generation: meta.get("generation").and_then(Value::as_i64).unwrap_or(0),
            labels: labels.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect(),
            owners: owners.filter_map(|owner| Owner::deserialize(owner).ok()).collect(),
            finalizers: finalizers.filter_map(|f| f.as_str().map(str::to_owned)).collect(),
            deletion: text("deletionTimestamp").map(str::to_owned),
            created: text("creationTimestamp").unwrap_or_default().to_owned(),
            fields,
        }
    }

    /// The owner that manages this object, if there is one.
    #[must_use]
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.controller)
    }
}

/// One object at one revision. Never changes.
#[derive(Debug)]
pub struct Object {
    /// Where it lies.
    pub key: Key,
    /// The write that made this state; equals `metadata.resourceVersion` in `bytes`.
    pub revision: u64,
    /// The object as JSON: what clients get.
    pub bytes: Bytes,
    /// Parsed metadata.
    pub meta: Meta,
}

impl Object {
    /// The whole object, parsed.
    ///
    /// # Panics
    /// Never: the bytes were serialised here.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("stored objects are JSON")
    }

    /// The object as a typed structure.
    ///
    /// # Errors
    /// If it does not have that structure.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.bytes)
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It did not exist before.
    Added,
    /// It existed.
    Modified,
    /// It exists no more.
    Deleted,
}

/// One committed write.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The write's revision.
    pub revision: u64,
    /// The new state; for a deletion the last state, carrying the deletion's revision.
    pub object: Arc<Object>,
    /// The state before, if there was one.
    pub previous: Option<Arc<Object>>,
}
