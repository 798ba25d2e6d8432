//! Acting as somebody else: `kubectl --as`, and proxies that authenticate their users themselves.
//! Source: apiserver `pkg/endpoints/filters/impersonation.go`.

use crate::actor::{Actor, Attempt};
use http::HeaderMap;
use problem::kube::Status;
use std::collections::BTreeMap;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// The actor that the request shall count as: the caller itself, unless it asks to be another and may.
///
/// # Errors
/// 403 if the caller may not, 400 if groups, UID or extra facts are given without a user.
pub(crate) fn apply(caller: Actor, headers: &HeaderMap) -> Result<Actor, Status> {
    let all = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok().map(str::to_owned)).collect()
    };
    let user = all(USER).into_iter().next().unwrap_or_default();
    let (groups, uid) = (all(GROUP), all(UID).into_iter().next().unwrap_or_default());
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in headers.keys().filter_map(|name| name.as_str().strip_prefix(EXTRA)) {
        let key = crate::path::decode(name).map_or_else(|| name.to_owned(), |key| key.into_owned());
        extra.insert(key, all(&format!("{EXTRA}{name}")));
    }
    if user.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(caller);
        }
        return Err(Status::bad_request("requested groups, a UID or extra facts without impersonating a user"));
    }
    let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let (resource, namespace, name) = match account {
        Some((namespace, name)) => ("serviceaccounts", namespace, name),
        None => ("users", "", &*user),
    };
    let may = |group, resource, subresource, namespace, name| {
        let verb = "impersonate";
        caller.authorize(&Attempt { verb, group, resource, subresource, namespace, name })
    };
    may("", resource, "", namespace, name)?;
    groups.iter().try_for_each(|group| may("", "groups", "", "", group))?;
    if !uid.is_empty() {
        may("authentication.k8s.io", "uids", "", "", &uid)?;
    }
    extra.keys().try_for_each(|key| may("authentication.k8s.io", "userextras", key, "", ""))?;
    let mut actor = Actor::named(&user, groups);
    (actor.uid, actor.extra) = (uid.into(), extra);
    Ok(actor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(caller: Actor, pairs: &[(&'static str, &str)]) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        let actor = apply(caller, &headers).map_err(|status| status.code())?;
        let can = actor.may(&Attempt { verb: "list", resource: "pods", ..Attempt::default() });
        Ok(format!("{} {:?} {can}", actor.name, actor.groups))
    }

    #[test]
    fn only_who_may_do_everything_acts_as_another() {
        let admin = || Actor::system("admin");
        assert_eq!(check(admin(), &[]), Ok("admin [\"system:masters\", \"system:authenticated\"] true".into()));
        let groups = [(USER, "bob"), (GROUP, "dev"), (GROUP, "ops")];
        assert_eq!(check(admin(), &groups), Ok(r#"bob ["dev", "ops", "system:authenticated"] false"#.into()));
        let masters = [(USER, "bob"), (GROUP, "system:masters")];
        assert_eq!(check(admin(), &masters), Ok(r#"bob ["system:masters", "system:authenticated"] true"#.into()));
        let account = r#"system:serviceaccount:a:b ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"] false"#;
        assert_eq!(check(admin(), &[(USER, "system:serviceaccount:a:b")]), Ok(account.into()));
        let nobody = r#"system:anonymous ["system:unauthenticated"] false"#;
        assert_eq!(check(admin(), &[(USER, "system:anonymous")]), Ok(nobody.into()));
        assert_eq!(check(admin(), &[(GROUP, "dev")]), Err(400));
        assert_eq!(check(Actor::service_account("a", "b", ""), &[(USER, "bob")]), Err(403));
    }

    #[test]
    fn who_may_act_as_a_service_account_gets_no_groups_with_it() {
        let account = (USER, "system:serviceaccount:a:b");
        assert!(check(editor(), &[account]).is_ok());
        assert_eq!(check(editor(), &[account, (GROUP, "system:masters")]), Err(403));
        assert_eq!(check(editor(), &[account, (UID, "1")]), Err(403));
        assert_eq!(check(editor(), &[account, ("impersonate-extra-a", "b")]), Err(403));
    }

    fn editor() -> Actor {
        let principal = domain::Principal {
            tenant_id: domain::TenantId::generate(),
            user_id: domain::UserId::generate(),
            user_name: "ada".into(),
            groups: vec![],
            cluster_id: None,
        };
        Actor::user(&principal, &crate::Access { rights: crate::Rights::Edit, groups: vec![] })
    }
}
