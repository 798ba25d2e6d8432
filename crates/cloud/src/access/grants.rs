//! What is allowed in one tenancy: its policies, resolved against its groups and compartments.

use super::{
    Resource, Verb,
    statement::{GroupRef, Location, Statement, Subject, Target},
};
use domain::{CompartmentId, TenantId};
use std::collections::HashMap;

/// How deep the tree may be. Source: OCI, six levels below the root.
const MAX_DEPTH: usize = 8;

/// A compartment as it hangs in the tree.
#[derive(Debug, Clone)]
pub(crate) struct CompartmentNode {
    pub(crate) id: CompartmentId,
    /// The root has none.
    pub(crate) parent: Option<CompartmentId>,
    pub(crate) name: String,
    /// False for one that is deleted: what is still in it may be looked at and removed, nothing made.
    pub(crate) active: bool,
}

/// A tenancy's part of what grants are made of.
#[derive(Debug, Default)]
pub(crate) struct GrantSource {
    pub(crate) compartments: Vec<CompartmentNode>,
    /// Groups as (OCID, name).
    pub(crate) groups: Vec<(String, String)>,
    /// Statements with the compartment that their policy is attached to.
    pub(crate) statements: Vec<(CompartmentId, Statement)>,
}

#[derive(Debug)]
struct Rule {
    /// Names of groups in lower case; `None`: every user.
    groups: Option<Vec<String>>,
    verb: Verb,
    target: Target,
    scope: CompartmentId,
}

/// What is allowed in one tenancy. Invariant: rules name compartments that exist, and lie in or below the compartment
/// of their policy.
#[derive(Debug)]
pub(crate) struct Grants {
    root: CompartmentId,
    compartments: HashMap<CompartmentId, CompartmentNode>,
    rules: Vec<Rule>,
    /// OCIDs by names in lower case.
    groups: HashMap<String, String>,
}

impl Grants {
    /// Resolves names. Statements about groups or compartments that don't exist (any more) allow nothing.
    pub(crate) fn new(tenant: &TenantId, source: GrantSource) -> Self {
        let root = CompartmentId::root(tenant);
        let compartments = source.compartments.into_iter().map(|node| (node.id.clone(), node)).collect();
        let groups = source.groups.iter().map(|(id, name)| (name.to_lowercase(), id.clone())).collect();
        let mut grants = Self { root, compartments, rules: Vec::new(), groups };
        let rules = source.statements.into_iter().filter_map(|(at, statement)| {
            let scope = grants.locate(&at, &statement.location).filter(|scope| grants.is_within(scope, &at))?;
            let groups = match statement.subject {
                Subject::AnyUser => None,
                Subject::Groups(groups) => Some(groups.into_iter().filter_map(|g| name(g, &source.groups)).collect()),
            };
            Some(Rule { groups, verb: statement.verb, target: statement.target, scope })
        });
        grants.rules = rules.collect();
        grants
    }

    fn locate(&self, at: &CompartmentId, location: &Location) -> Option<CompartmentId> {
        match location {
            Location::Tenancy => Some(self.root.clone()),
            Location::Id(id) => CompartmentId::parse_any(id).ok().filter(|id| self.contains(id)),
            Location::Path(path) => self.descend(at, path).or_else(|| self.descend(&self.root, path)),
        }
    }

    fn descend(&self, from: &CompartmentId, path: &[String]) -> Option<CompartmentId> {
        path.iter().try_fold(from.clone(), |parent, name| {
            let mut children = self.compartments.values().filter(|node| node.parent.as_ref() == Some(&parent));
            children.find(|node| node.active && node.name.to_lowercase() == *name).map(|node| node.id.clone())
        })
    }

    fn contains(&self, id: &CompartmentId) -> bool {
        *id == self.root || self.compartments.contains_key(id)
    }

    /// True if `inner` is `outer` or somewhere below it.
    pub(crate) fn is_within(&self, inner: &CompartmentId, outer: &CompartmentId) -> bool {
        self.path(inner).any(|id| id == outer)
    }

    /// The compartment and all above it, up to the root; nothing if it is not of this tenancy.
    pub(crate) fn path<'a>(&'a self, id: &'a CompartmentId) -> impl Iterator<Item = &'a CompartmentId> {
        let known = self.contains(id).then_some(id);
        let parent = |id: &&'a CompartmentId| self.compartments.get(*id).and_then(|node| node.parent.as_ref());
        std::iter::successors(known, parent).take(MAX_DEPTH)
    }

    /// The compartment itself and all below it that are not deleted.
    pub(crate) fn subtree(&self, of: &CompartmentId) -> Vec<CompartmentId> {
        let inside = |node: &&CompartmentNode| node.id != *of && node.active && self.is_within(&node.id, of);
        let below = self.compartments.values().filter(inside);
        std::iter::once(of.clone()).chain(below.map(|node| node.id.clone())).collect()
    }

    /// Levels of compartments from this one down, itself counted.
    pub(crate) fn depth_below(&self, of: &CompartmentId) -> usize {
        let level = |id: &CompartmentId| self.path(id).take_while(|above| *above != of).count() + 1;
        self.subtree(of).iter().map(level).max().unwrap_or(1)
    }

    /// True if something may be made in the compartment: it is the root, or not deleted.
    pub(crate) fn is_active(&self, id: &CompartmentId) -> bool {
        *id == self.root || self.compartments.get(id).is_some_and(|node| node.active)
    }

    /// OCIDs of groups of these names; those that don't exist (any more) are left out.
    pub(crate) fn group_ids(&self, names: &[String]) -> Vec<String> {
        names.iter().filter_map(|name| self.groups.get(&name.to_lowercase()).cloned()).collect()
    }

    /// True if a member of `groups` (names) may do this there.
    pub(crate) fn allow(&self, groups: &[String], verb: Verb, resource: Resource, compartment: &CompartmentId) -> bool {
        let member = |names: &Vec<String>| groups.iter().any(|group| names.contains(&group.to_lowercase()));
        let path: Vec<_> = self.path(compartment).collect();
        self.rules.iter().any(|rule| {
            rule.verb.includes(verb)
                && rule.target.covers(resource)
                && path.contains(&&rule.scope)
                && rule.groups.as_ref().is_none_or(member)
        })
    }
}

fn name(group: GroupRef, groups: &[(String, String)]) -> Option<String> {
    match group {
        GroupRef::Name(name) => Some(name),
        GroupRef::Id(id) => groups.iter().find(|(known, _)| *known == id).map(|(_, name)| name.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::statement::parse;

    /// Root → dev → team; root → prod.
    struct Tree {
        tenant: TenantId,
        ids: [CompartmentId; 4],
    }

    impl Tree {
        fn new() -> Self {
            let tenant = TenantId::generate();
            let other = || CompartmentId::generate();
            Self { ids: [CompartmentId::root(&tenant), other(), other(), other()], tenant }
        }

        fn grants(&self, statements: &[(usize, &str)]) -> Grants {
            let [root, dev, team, prod] = &self.ids;
            let node = |id: &CompartmentId, parent: &CompartmentId, name: &str| CompartmentNode {
                id: id.clone(),
                parent: Some(parent.clone()),
                name: name.into(),
                active: true,
            };
            let compartments = vec![node(dev, root, "Dev"), node(team, dev, "Team"), node(prod, root, "Prod")];
            let at = |(at, text): &(usize, &str)| (self.ids[*at].clone(), parse(text).unwrap());
            let groups = vec![("ocid1.group.a".into(), "Ops".into())];
            let source = GrantSource { compartments, groups, statements: statements.iter().map(at).collect() };
            Grants::new(&self.tenant, source)
        }

        /// In which of root, dev, team, prod a member of `group` may do it.
        fn check(&self, grants: &Grants, group: &str, verb: Verb, resource: Resource) -> String {
            let may = |id| grants.allow(&[group.to_owned()], verb, resource, id);
            self.ids.iter().map(|id| if may(id) { 'y' } else { 'n' }).collect()
        }
    }

    #[test]
    fn statements_hold_in_their_compartment_and_below() {
        let tree = Tree::new();
        let grants = tree.grants(&[
            (0, "Allow group ops to use clusters in compartment Dev"),
            (0, "Allow any-user to inspect all-resources in tenancy"),
            (1, "Allow group id ocid1.group.a to manage vcns in compartment team"),
        ]);
        assert_eq!(tree.check(&grants, "Ops", Verb::Use, Resource::Clusters), "nyyn");
        assert_eq!(tree.check(&grants, "Ops", Verb::Manage, Resource::Clusters), "nnnn");
        assert_eq!(tree.check(&grants, "ops", Verb::Manage, Resource::Vcns), "nnyn");
        assert_eq!(tree.check(&grants, "x", Verb::Inspect, Resource::Users), "yyyy");
        assert_eq!(tree.check(&grants, "x", Verb::Read, Resource::Users), "nnnn");
    }

    #[test]
    fn a_policy_reaches_no_compartment_above_or_beside_its_own() {
        let tree = Tree::new();
        let prod = format!("Allow group ops to manage clusters in compartment id {}", tree.ids[3]);
        let grants = tree.grants(&[(1, "Allow group ops to manage clusters in tenancy"), (1, &prod)]);
        assert_eq!(tree.check(&grants, "ops", Verb::Inspect, Resource::Clusters), "nnnn");
    }

    #[test]
    fn nothing_is_allowed_in_another_tenancy() {
        let tree = Tree::new();
        let grants = tree.grants(&[(0, "Allow any-user to manage all-resources in tenancy")]);
        assert!(!grants.allow(&[], Verb::Inspect, Resource::Clusters, &CompartmentId::generate()));
        assert_eq!(grants.subtree(&tree.ids[1]).len(), 2);
        assert!(grants.is_within(&tree.ids[2], &tree.ids[0]) && !grants.is_within(&tree.ids[0], &tree.ids[2]));
    }
}
