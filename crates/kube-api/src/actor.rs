//! Who does something, and whether it may.

use crate::{
    rights::{self, Rights},
    state::Access,
};
use domain::Principal;
use problem::kube::Status;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// Group of those who may do everything. Source: upstream.
const MASTERS: &str = "system:masters";
/// Under this key a cloud user's name is among the further facts.
const NAME_KEY: &str = "hako.dev/user-name";

/// An authenticated caller, inside a cluster's world.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Kubernetes user name.
    pub name: Arc<str>,
    /// UID of the user; empty if it has none.
    pub uid: Arc<str>,
    /// Groups, `system:masters` among them for those who may do everything.
    pub groups: Vec<String>,
    /// Further facts, as `authentication.kubernetes.io/pod-name`.
    pub extra: BTreeMap<String, Vec<String>>,
    /// `None`: discovery and reviews of itself, as service accounts until RBAC comes.
    rights: Option<Rights>,
}

/// What somebody wants to do, as access reviews and authorisation name it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempt<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl Actor {
    /// A part of the system, such as `system:kube-scheduler`.
    #[must_use]
    pub fn system(name: &str) -> Self {
        Self::new(name, "", vec![MASTERS.into()], Some(Rights::Admin))
    }

    /// A user of the cloud, known here by its OCID as on OKE; the name is among the further facts.
    #[must_use]
    pub(crate) fn user(principal: &Principal, access: &Access) -> Self {
        let mut groups = access.groups.clone();
        if access.rights == Rights::Admin {
            groups.push(MASTERS.into());
        }
        let id = principal.user_id.as_str();
        let mut actor = Self::new(id, id, groups, Some(access.rights));
        actor.extra.insert(NAME_KEY.into(), vec![principal.user_name.clone()]);
        actor
    }

    /// A service account of the cluster.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
        Self::new(&format!("system:serviceaccount:{namespace}:{name}"), uid, groups, None)
    }

    /// Somebody known by name alone, as reviews and impersonation name them. Until RBAC comes, members of
    /// `system:masters` may do everything and others little.
    #[must_use]
    pub(crate) fn named(user: &str, groups: Vec<String>) -> Self {
        if user == "system:anonymous" {
            let mut actor = Self::new(user, "", Vec::new(), None);
            actor.groups = if groups.is_empty() { vec!["system:unauthenticated".into()] } else { groups };
            return actor;
        }
        match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
            Some((namespace, name)) if groups.is_empty() => Self::service_account(namespace, name, ""),
            _ => {
                let master = groups.iter().any(|group| group == MASTERS);
                Self::new(user, "", groups, master.then_some(Rights::Admin))
            }
        }
    }

    fn new(name: &str, uid: &str, mut groups: Vec<String>, rights: Option<Rights>) -> Self {
        if groups.iter().all(|group| group != "system:authenticated") {
            groups.push("system:authenticated".into());
        }
        Self { name: name.into(), uid: uid.into(), groups, extra: BTreeMap::new(), rights }
    }

    /// `userInfo` as reviews show it.
    #[must_use]
    pub fn user_info(&self) -> Value {
        let mut info = json!({"username": &*self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = json!(&*self.uid);
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }

    /// What it may do.
    pub(crate) fn rights(&self) -> Option<Rights> {
        self.rights
    }

    /// Whether the attempt is allowed.
    pub(crate) fn may(&self, attempt: &Attempt<'_>) -> bool {
        rights::allow(self.rights, attempt)
    }

    /// Refuses what is not allowed.
    ///
    /// # Errors
    /// 403 in upstream's words.
    pub(crate) fn authorize(&self, attempt: &Attempt<'_>) -> Result<(), Status> {
        if self.may(attempt) {
            return Ok(());
        }
        let (verb, group, resource) = (attempt.verb, attempt.group, attempt.resource);
        let full = match attempt.subresource {
            "" => resource.to_owned(),
            subresource => format!("{resource}/{subresource}"),
        };
        let place = match attempt.namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        let user = &self.name;
        let why = format!("User {user:?} cannot {verb} resource {full:?} in API group {group:?} {place}");
        let qualified = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        Err(Status::forbidden(&qualified, attempt.name, &why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_accounts_are_refused_in_upstreams_words() {
        let actor = Actor::service_account("a", "default", "1");
        let attempt = Attempt { verb: "list", resource: "pods", namespace: "x", ..Attempt::default() };
        assert_eq!(
            actor.authorize(&attempt).unwrap_err().message(),
            "pods is forbidden: User \"system:serviceaccount:a:default\" cannot list resource \"pods\" in API group \"\" in the namespace \"x\""
        );
        assert!(Actor::system("x").authorize(&attempt).is_ok());
    }
}
