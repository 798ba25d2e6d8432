//! OpenAPI v3 documents, one per group and version, made on first use and kept for the process.

mod describe;
mod paths;
mod schema;

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use crate::{
    kind::{Kind, subresource},
    release::{PerRelease, Release},
};

/// Group, version and, once asked for, the document.
type Document = (&'static str, &'static str, OnceLock<Bytes>);

struct Documents {
    index: Bytes,
    by_path: HashMap<String, Document>,
}

static DOCUMENTS: PerRelease<Documents> = PerRelease::new(|release| Documents {
    index: index(release),
    by_path: release.group_versions().into_iter().map(|(g, v)| (path(g, v), (g, v, OnceLock::new()))).collect(),
});

impl Release {
    /// `/openapi/v3`: paths and hashes of the documents.
    #[must_use]
    pub fn openapi_v3_index(&'static self) -> Bytes {
        DOCUMENTS.of(self).index.clone()
    }

    /// `/openapi/v3/{path}`, where path is `api/v1` or `apis/apps/v1`.
    #[must_use]
    pub fn openapi_v3_group(&'static self, path: &str) -> Option<Bytes> {
        let (group, version, document) = DOCUMENTS.of(self).by_path.get(path)?;
        Some(document.get_or_init(|| build(self, group, version)).clone())
    }
}

fn index(release: &Release) -> Bytes {
    let paths: BTreeMap<String, Value> = release
        .group_versions()
        .into_iter()
        .map(|(group, version)| {
            let path = path(group, version);
            let url = format!("/openapi/v3/{path}?hash={}", hash(release, group, version));
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    Bytes::from(json!({ "paths": paths }).to_string())
}

fn path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// Of what a document is made from, so that the index needs no document: this version of the table, the release and the
/// path.
fn hash(release: &Release, group: &str, version: &str) -> String {
    let mut hasher = Sha512::new();
    hasher.update(release.version);
    hasher.update(include_bytes!("table/types.txt"));
    hasher.update(include_bytes!("openapi/paths.rs"));
    hasher.update(include_bytes!("openapi/schema.rs"));
    hasher.update(path(group, version));
    hasher.finalize().iter().take(32).map(|byte| format!("{byte:02X}")).collect()
}

fn build(release: &Release, group: &str, version: &str) -> Bytes {
    let sentences = describe::sentences();
    let mut schemas = schema::Schemas::new(&sentences);
    let mut all = serde_json::Map::new();
    for kind in release.kinds().filter(|k| k.group == group && k.version == version) {
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
        "info": {"title": "Kubernetes", "version": release.version},
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
