//! Discovery documents, aggregated and legacy, as bytes made once per process.

use std::{collections::HashMap, sync::LazyLock};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::kind::{Kind, group_versions, groups, kinds, subresource, versions};

struct Documents {
    api_v2: Bytes,
    api_v2beta1: Bytes,
    apis_v2: Bytes,
    apis_v2beta1: Bytes,
    api_versions: Bytes,
    group_list: Bytes,
    groups: HashMap<&'static str, Bytes>,
    resources: HashMap<(&'static str, &'static str), Bytes>,
}

static DOCUMENTS: LazyLock<Documents> = LazyLock::new(|| Documents {
    api_v2: aggregated("v2", &[""]),
    api_v2beta1: aggregated("v2beta1", &[""]),
    apis_v2: aggregated("v2", &groups()[1..]),
    apis_v2beta1: aggregated("v2beta1", &groups()[1..]),
    api_versions: bytes(&json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
    })),
    group_list: bytes(&json!({
        "kind": "APIGroupList", "apiVersion": "v1",
        "groups": groups()[1..].iter().map(|g| group(g)).collect::<Vec<_>>(),
    })),
    groups: groups()[1..].iter().map(|g| (*g, bytes(&group_document(g)))).collect(),
    resources: group_versions().iter().map(|(g, v)| ((*g, *v), bytes(&resource_list(g, v)))).collect(),
});

/// `/api` as `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`.
#[must_use]
pub fn discovery_api_v2() -> Bytes {
    DOCUMENTS.api_v2.clone()
}

/// `/api` as `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2beta1`, for kubectl up to 1.29.
#[must_use]
pub fn discovery_api_v2beta1() -> Bytes {
    DOCUMENTS.api_v2beta1.clone()
}

/// `/apis` as `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`.
#[must_use]
pub fn discovery_apis_v2() -> Bytes {
    DOCUMENTS.apis_v2.clone()
}

/// `/apis` as `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2beta1`.
#[must_use]
pub fn discovery_apis_v2beta1() -> Bytes {
    DOCUMENTS.apis_v2beta1.clone()
}

/// `/api`, legacy form.
#[must_use]
pub fn api_versions() -> Bytes {
    DOCUMENTS.api_versions.clone()
}

/// `/apis`, legacy form.
#[must_use]
pub fn api_group_list() -> Bytes {
    DOCUMENTS.group_list.clone()
}

/// `/apis/{group}`.
#[must_use]
pub fn api_group(group: &str) -> Option<Bytes> {
    DOCUMENTS.groups.get(group).cloned()
}

/// `/api/v1` (group "") or `/apis/{group}/{version}`.
#[must_use]
pub fn api_resource_list(group: &str, version: &str) -> Option<Bytes> {
    let (key, _) = DOCUMENTS.resources.iter().find(|((g, v), _)| *g == group && *v == version)?;
    DOCUMENTS.resources.get(key).cloned()
}

fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn kinds_of(group: &str, version: &str) -> impl Iterator<Item = &'static Kind> {
    kinds().iter().filter(move |k| k.group == group && k.version == version)
}

fn aggregated(version: &str, groups: &[&str]) -> Bytes {
    let items: Vec<Value> = groups
        .iter()
        .map(|g| {
            let versions: Vec<Value> = versions(g)
                .into_iter()
                .map(|v| {
                    let resources: Vec<Value> = kinds_of(g, v).map(aggregated_resource).collect();
                    json!({"version": v, "freshness": "Current", "resources": resources})
                })
                .collect();
            let mut metadata = json!({"creationTimestamp": null});
            if !g.is_empty() {
                metadata["name"] = json!(g);
            }
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    bytes(&json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items,
    }))
}

fn aggregated_resource(kind: &'static Kind) -> Value {
    let mut value = json!({
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    if !kind.short.is_empty() {
        value["shortNames"] = json!(kind.short);
    }
    if !kind.categories.is_empty() {
        value["categories"] = json!(kind.categories);
    }
    let subs: Vec<Value> = kind
        .subresources
        .iter()
        .filter_map(|name| subresource(kind, name).map(|sub| (name, sub)))
        .map(|(name, sub)| {
            json!({
                "subresource": name, "verbs": sub.verbs,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
            })
        })
        .collect();
    if !subs.is_empty() {
        value["subresources"] = Value::Array(subs);
    }
    value
}

fn group(name: &str) -> Value {
    let versions: Vec<Value> =
        versions(name).into_iter().map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v})).collect();
    json!({"name": name, "preferredVersion": versions[0], "versions": versions})
}

fn group_document(name: &str) -> Value {
    let mut value = group(name);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    value
}

fn resource_list(group: &str, version: &str) -> Value {
    let mut resources = Vec::new();
    for kind in kinds_of(group, version) {
        let mut entry = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": kind.verbs,
        });
        if !kind.short.is_empty() {
            entry["shortNames"] = json!(kind.short);
        }
        if !kind.categories.is_empty() {
            entry["categories"] = json!(kind.categories);
        }
        resources.push(entry);
        for name in kind.subresources {
            let Some(sub) = subresource(kind, name) else { continue };
            let mut entry = json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": sub.kind, "verbs": sub.verbs,
            });
            if (sub.group, sub.version) != (group, version) {
                entry["group"] = json!(sub.group);
                entry["version"] = json!(sub.version);
            }
            resources.push(entry);
        }
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources});
    if !group.is_empty() {
        list["apiVersion"] = json!("v1");
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &Bytes) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn core_group_has_pods_with_their_subresources() {
        let document = parse(&discovery_api_v2());
        let resources = document["items"][0]["versions"][0]["resources"].as_array().unwrap();
        let pods = resources.iter().find(|r| r["resource"] == "pods").unwrap();
        assert_eq!(pods["scope"], "Namespaced");
        assert_eq!(pods["shortNames"], json!(["po"]));
        let subs = pods["subresources"].as_array().unwrap();
        assert!(subs.iter().any(|s| s["subresource"] == "log" && s["responseKind"]["kind"] == "Pod"));
    }

    #[test]
    fn a_group_names_its_preferred_version() {
        let document = parse(&api_group("autoscaling").unwrap());
        assert_eq!(document["preferredVersion"]["groupVersion"], "autoscaling/v2");
        assert_eq!(document["versions"].as_array().unwrap().len(), 2);
        assert!(api_group("nope").is_none());
    }

    #[test]
    fn a_version_lists_scale_with_its_own_group() {
        let document = parse(&api_resource_list("apps", "v1").unwrap());
        let scale = document["resources"].as_array().unwrap().iter().find(|r| r["name"] == "deployments/scale");
        assert_eq!(scale.unwrap()["group"], "autoscaling");
        assert!(api_resource_list("apps", "v2").is_none());
    }
}
