//! The kinds that are served: names, scope, verbs, subresources.
//! Source: kinds, plurals and scopes as in k8s-openapi (a test compares them); short names, categories and
//! subresources as kube-apiserver 1.36 announces them.

mod list;

use crate::release::Release;
use std::{collections::HashMap, sync::LazyLock};

/// One served kind in one version.
#[derive(Debug)]
pub struct Kind {
    /// API group; "" for the core group.
    pub group: &'static str,
    /// Version, as `v1`.
    pub version: &'static str,
    /// Kind, as `Deployment`.
    pub kind: &'static str,
    /// Plural name in paths, as `deployments`.
    pub plural: &'static str,
    /// Singular name, as `deployment`.
    pub singular: &'static str,
    /// Short names, as `deploy`.
    pub short: &'static [&'static str],
    /// Categories, as `all`.
    pub categories: &'static [&'static str],
    /// False if cluster-scoped.
    pub namespaced: bool,
    /// Names of subresources, as `status`.
    pub subresources: &'static [&'static str],
    /// Verbs on the kind itself; reviews and bindings have only `create`.
    pub verbs: &'static [&'static str],
    /// True for the version in which objects are stored.
    pub storage_version: bool,
    /// Minor release of Kubernetes that it came with; 0 if all releases offered have it.
    pub since: u16,
    resource: &'static str,
}

impl Kind {
    /// Name of the storage, the same for all versions: `pods`, `deployments.apps`.
    #[must_use]
    pub fn resource(&self) -> &'static str {
        self.resource
    }

    /// Name for error messages: plural with the group of this version, `events.events.k8s.io`.
    #[must_use]
    pub fn qualified_plural(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Name for error messages: `Pod`, `Deployment.apps`.
    #[must_use]
    pub fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// Kind of a list of these, as `PodList`.
    #[must_use]
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// Whether objects of this kind are kept; reviews, bindings and component statuses are not.
    #[must_use]
    pub fn stored(&self) -> bool {
        self.verbs.contains(&"update")
    }

    /// Whether it has the subresource.
    #[must_use]
    pub fn has(&self, subresource: &str) -> bool {
        self.subresources.contains(&subresource)
    }
}

/// What a subresource takes and gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Subresource {
    /// Group of the kind on the wire.
    pub group: &'static str,
    /// Version of the kind on the wire.
    pub version: &'static str,
    /// Kind on the wire, as `Scale`.
    pub kind: &'static str,
    /// Verbs, as `get`, `update`.
    pub verbs: &'static [&'static str],
}

/// Describes the subresource `name` of `kind`, if it has one.
#[must_use]
pub fn subresource(kind: &Kind, name: &str) -> Option<Subresource> {
    const EDIT: &[&str] = &["get", "patch", "update"];
    const STREAM: &[&str] = &["create", "get"];
    const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
    if !kind.has(name) {
        return None;
    }
    let (group, version, kind_name, verbs): (_, _, _, &'static [&'static str]) = match (kind.plural, name) {
        (_, "scale") => ("autoscaling", "v1", "Scale", EDIT),
        (_, "binding") => ("", "v1", "Binding", &["create"]),
        (_, "eviction") => ("policy", "v1", "Eviction", &["create"]),
        (_, "token") => ("authentication.k8s.io", "v1", "TokenRequest", &["create"]),
        (_, "log") => ("", "v1", "Pod", &["get"]),
        (_, "exec") => ("", "v1", "PodExecOptions", STREAM),
        (_, "attach") => ("", "v1", "PodAttachOptions", STREAM),
        (_, "portforward") => ("", "v1", "PodPortForwardOptions", STREAM),
        ("nodes", "proxy") => ("", "v1", "NodeProxyOptions", PROXY),
        ("services", "proxy") => ("", "v1", "ServiceProxyOptions", PROXY),
        (_, "proxy") => ("", "v1", "PodProxyOptions", PROXY),
        (_, "finalize") => (kind.group, kind.version, kind.kind, &["update"]),
        _ => (kind.group, kind.version, kind.kind, EDIT),
    };
    Some(Subresource { group, version, kind: kind_name, verbs })
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// All served kinds, by group in upstream's order, then by version with the preferred one first.
#[must_use]
pub fn kinds() -> &'static [Kind] {
    list::KINDS
}

struct Index {
    plural: HashMap<(&'static str, &'static str, &'static str), &'static Kind>,
    kind: HashMap<(&'static str, &'static str, &'static str), &'static Kind>,
    resource: HashMap<&'static str, &'static Kind>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { plural: HashMap::new(), kind: HashMap::new(), resource: HashMap::new() };
    for kind in kinds() {
        index.plural.insert((kind.group, kind.version, kind.plural), kind);
        index.kind.insert((kind.group, kind.version, kind.kind), kind);
        if kind.storage_version {
            index.resource.insert(kind.resource, kind);
        }
    }
    index
});

/// The kind at a path such as `/apis/{group}/{version}/{plural}`.
#[must_use]
pub fn by_plural(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    INDEX.plural.get(&(group, version, plural)).copied()
}

/// The kind that an object names in `apiVersion` and `kind`.
#[must_use]
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    INDEX.kind.get(&(group, version, kind)).copied()
}

/// The storage version's kind of a resource such as `deployments.apps`.
#[must_use]
pub fn by_resource(resource: &str) -> Option<&'static Kind> {
    INDEX.resource.get(resource).copied()
}

impl Release {
    /// Whether the release has the kind in this version.
    #[must_use]
    pub fn has(&self, kind: &Kind) -> bool {
        kind.since <= self.minor
    }

    /// Groups in upstream's order; the core group "" first.
    #[must_use]
    pub fn groups(&self) -> Vec<&'static str> {
        let mut groups: Vec<&'static str> = Vec::new();
        for (group, _) in self.group_versions() {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }

    /// Versions of a group, the preferred one first; empty if there is no such group.
    #[must_use]
    pub fn versions(&self, group: &str) -> Vec<&'static str> {
        self.group_versions().into_iter().filter(|(g, _)| *g == group).map(|(_, v)| v).collect()
    }

    /// All pairs of group and version.
    #[must_use]
    pub fn group_versions(&self) -> Vec<(&'static str, &'static str)> {
        let mut all = Vec::new();
        for kind in self.kinds() {
            if !all.contains(&(kind.group, kind.version)) {
                all.push((kind.group, kind.version));
            }
        }
        all
    }

    /// Its kinds, in the table's order.
    pub fn kinds(&self) -> impl Iterator<Item = &'static Kind> {
        let minor = self.minor;
        kinds().iter().filter(move |kind| kind.since <= minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_kind_share_one_storage() {
        for kind in kinds() {
            let stored = by_resource(kind.resource());
            assert!(stored.is_some(), "{} {} has no storage version", kind.resource(), kind.version);
        }
        assert_eq!(by_kind("events.k8s.io", "v1", "Event").map(Kind::resource), Some("events"));
        assert_eq!(by_plural("apps", "v1", "deployments").map(Kind::resource), Some("deployments.apps"));
    }

    #[test]
    fn names_are_unique_in_their_version() {
        assert_eq!(INDEX.plural.len(), kinds().len());
        assert_eq!(INDEX.kind.len(), kinds().len());
    }

    /// Definitions of `k8s-openapi` with the first release of its that has them, as the build script found them.
    const FIRST: &str = include_str!(concat!(env!("OUT_DIR"), "/first_minor.txt"));

    #[test]
    fn a_kind_is_served_from_the_release_that_brought_it() {
        let first: HashMap<&str, u16> =
            FIRST.lines().filter_map(|l| l.split_once(' ')).map(|(d, m)| (d, m.parse().unwrap())).collect();
        let oldest = crate::releases()[0].minor;
        for kind in kinds() {
            let message = crate::message_of_kind(kind).name;
            let minor =
                first.iter().find(|(definition, _)| definition.ends_with(&format!(".{message}"))).map(|(_, m)| *m);
            let expect = minor.filter(|minor| *minor > oldest).unwrap_or(0);
            assert_eq!(kind.since, expect, "{message}: came with {minor:?}");
        }
    }

    #[test]
    fn an_older_release_lacks_what_came_later() {
        let [old, new] = ["v1.34.2", "v1.36.0"].map(|version| crate::release(version).unwrap());
        assert!(
            !old.groups().contains(&"storagemigration.k8s.io") && new.groups().contains(&"storagemigration.k8s.io")
        );
        assert_eq!(old.versions("scheduling.k8s.io"), ["v1"]);
        assert_eq!(new.versions("scheduling.k8s.io"), ["v1", "v1alpha2"]);
        assert_eq!((old.groups()[0], new.kinds().count()), ("", kinds().len()));
    }

    #[test]
    fn subresources_have_their_own_kinds() {
        let pods = by_plural("", "v1", "pods").unwrap();
        assert_eq!(subresource(pods, "eviction").map(|s| s.kind), Some("Eviction"));
        assert_eq!(subresource(pods, "scale"), None);
    }
}
