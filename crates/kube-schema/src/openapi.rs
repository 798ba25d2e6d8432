//! OpenAPI v3 documents, one per group and version, made on first use and kept for the process.

mod describe;
mod paths;
mod schema;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{LazyLock, OnceLock},
};

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use crate::kind::{Kind, group_versions, kinds, subresource};

/// Group, version and, once asked for, the document.
type Document = (&'static str, &'static str, OnceLock<Bytes>);

/// Documents by path.
static DOCUMENTS: LazyLock<HashMap<String, Document>> = LazyLock::new(|| {
    group_versions()
        .iter()
        .map(|(group, version)| (path(group, version), (*group, *version, OnceLock::new())))
        .collect()
});

static INDEX: LazyLock<Bytes> = LazyLock::new(|| {
    let paths: BTreeMap<String, Value> = group_versions()
        .iter()
        .map(|(group, version)| {
            let path = path(group, version);
            let url = format!("/openapi/v3/{path}?hash={}", hash(group, version));
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    Bytes::from(json!({ "paths": paths }).to_string())
});

/// `/openapi/v3`: paths and hashes of the documents.
#[must_use]
pub fn openapi_v3_index() -> Bytes {
    INDEX.clone()
}

/// `/openapi/v3/{path}`, where path is `api/v1` or `apis/apps/v1`.
#[must_use]
pub fn openapi_v3_group(path: &str) -> Option<Bytes> {
    let (group, version, document) = DOCUMENTS.get(path)?;
    Some(document.get_or_init(|| build(group, version)).clone())
}

fn path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// Of what a document is made from, so that the index needs no document: this version of the table and its path.
fn hash(group: &str, version: &str) -> String {
    let mut hasher = Sha512::new();
    hasher.update(include_bytes!("table/types.txt"));
    hasher.update(include_bytes!("openapi/paths.rs"));
    hasher.update(include_bytes!("openapi/schema.rs"));
    hasher.update(path(group, version));
    hasher.finalize().iter().take(32).map(|byte| format!("{byte:02X}")).collect()
}

fn build(group: &str, version: &str) -> Bytes {
    let sentences = describe::sentences();
    let mut schemas = schema::Schemas::new(&sentences);
    let mut all = serde_json::Map::new();
    for kind in kinds().iter().filter(|k| k.group == group && k.version == version) {
        paths::add(&mut all, kind);
        schemas.add_kind(kind);
        if !kind.verbs.contains(&"list") {
            continue;
        }
        schemas.add_list(kind);
        for name in kind.subresources {
            if let Some(sub) = subresource(kind, name) {
                schemas.add_named(sub.group, sub.version, sub.kind);
            }
        }
    }
    for name in ["DeleteOptions", "Status", "APIResourceList"] {
        schemas.add_named("meta", "v1", name);
    }
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": all,
        "components": {"schemas": schemas.finish(), "securitySchemes": {
            "BearerToken": {"type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"},
        }},
    });
    Bytes::from(document.to_string())
}

/// The `x-kubernetes-group-version-kind` of a kind.
fn group_version_kind(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

#[cfg(test)]
mod tests;
