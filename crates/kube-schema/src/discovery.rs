//! Discovery documents, aggregated and legacy, as bytes made once per process.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    kind::{Kind, subresource},
    release::{PerRelease, Release},
};

/// All discovery documents of a release.
#[derive(Debug)]
pub struct Discovery {
    api: [Bytes; 3],
    apis: [Bytes; 3],
    groups: HashMap<&'static str, Bytes>,
    resources: HashMap<(&'static str, &'static str), Bytes>,
}

/// Forms of `/api` and `/apis`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`.
    V2,
    /// `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2beta1`, for kubectl up to 1.29.
    V2Beta1,
    /// `APIVersions` or `APIGroupList`.
    Legacy,
}

static DISCOVERY: PerRelease<Discovery> = PerRelease::new(Discovery::make);

impl Release {
    /// Its discovery documents.
    #[must_use]
    pub fn discovery(&'static self) -> &'static Discovery {
        DISCOVERY.of(self)
    }
}

impl Discovery {
    fn make(release: &'static Release) -> Self {
        let groups = release.groups();
        let others = &groups[1..];
        let versions = json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
        });
        let list = json!({
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": others.iter().map(|g| group(release, g)).collect::<Vec<_>>(),
        });
        let pairs = release.group_versions().into_iter();
        Self {
            api: [aggregated(release, "v2", &[""]), aggregated(release, "v2beta1", &[""]), bytes(&versions)],
            apis: [aggregated(release, "v2", others), aggregated(release, "v2beta1", others), bytes(&list)],
            groups: others.iter().map(|g| (*g, bytes(&group_document(release, g)))).collect(),
            resources: pairs.map(|(g, v)| ((g, v), bytes(&resource_list(release, g, v)))).collect(),
        }
    }

    /// `/api`.
    #[must_use]
    pub fn api(&self, form: Form) -> Bytes {
        self.api[form as usize].clone()
    }

    /// `/apis`.
    #[must_use]
    pub fn apis(&self, form: Form) -> Bytes {
        self.apis[form as usize].clone()
    }

    /// `/apis/{group}`.
    #[must_use]
    pub fn group(&self, group: &str) -> Option<Bytes> {
        self.groups.get(group).cloned()
    }

    /// `/api/v1` (group "") or `/apis/{group}/{version}`.
    #[must_use]
    pub fn resources(&self, group: &str, version: &str) -> Option<Bytes> {
        self.resources.iter().find(|((g, v), _)| *g == group && *v == version).map(|(_, bytes)| bytes.clone())
    }
}

fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn kinds_of(release: &Release, group: &str, version: &str) -> impl Iterator<Item = &'static Kind> {
    release.kinds().filter(move |k| k.group == group && k.version == version)
}

fn aggregated(release: &Release, version: &str, groups: &[&str]) -> Bytes {
    let items: Vec<Value> = groups
        .iter()
        .map(|g| {
            let versions: Vec<Value> = release
                .versions(g)
                .into_iter()
                .map(|v| {
                    let resources: Vec<Value> = kinds_of(release, g, v).map(aggregated_resource).collect();
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

fn group(release: &Release, name: &str) -> Value {
    let versions: Vec<Value> = release
        .versions(name)
        .into_iter()
        .map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v}))
        .collect();
    json!({"name": name, "preferredVersion": versions[0], "versions": versions})
}

fn group_document(release: &Release, name: &str) -> Value {
    let mut value = group(release, name);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    value
}

fn resource_list(release: &Release, group: &str, version: &str) -> Value {
    let mut resources = Vec::new();
    for kind in kinds_of(release, group, version) {
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

    fn discovery() -> &'static Discovery {
        crate::newest().discovery()
    }

    fn parse(bytes: &Bytes) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn core_group_has_pods_with_their_subresources() {
        let document = parse(&discovery().api(Form::V2));
        let resources = document["items"][0]["versions"][0]["resources"].as_array().unwrap();
        let pods = resources.iter().find(|r| r["resource"] == "pods").unwrap();
        assert_eq!(pods["scope"], "Namespaced");
        assert_eq!(pods["shortNames"], json!(["po"]));
        let subs = pods["subresources"].as_array().unwrap();
        assert!(subs.iter().any(|s| s["subresource"] == "log" && s["responseKind"]["kind"] == "Pod"));
    }

    #[test]
    fn a_group_names_its_preferred_version() {
        let document = parse(&discovery().group("autoscaling").unwrap());
        assert_eq!(document["preferredVersion"]["groupVersion"], "autoscaling/v2");
        assert_eq!(document["versions"].as_array().unwrap().len(), 2);
        assert!(discovery().group("nope").is_none());
    }

    #[test]
    fn a_version_lists_scale_with_its_own_group() {
        let document = parse(&discovery().resources("apps", "v1").unwrap());
        let scale = document["resources"].as_array().unwrap().iter().find(|r| r["name"] == "deployments/scale");
        assert_eq!(scale.unwrap()["group"], "autoscaling");
        assert!(discovery().resources("apps", "v2").is_none());
    }
}
