//! Who calls: the peer's certificate, the gateway's word, or a service-account token.

use crate::{
    actor::Actor,
    state::{ApiState, ClusterFacts},
    subresource::token::own_audiences,
    token::Claims,
};
use domain::{ClusterId, PRINCIPAL_HEADER, Principal};
use http::{HeaderMap, header::AUTHORIZATION};
use kube_store::{Cluster, Key};
use problem::kube::Status;
use std::sync::Arc;

/// Common name of the gateway, whose word about users is believed.
const GATEWAY: &str = "api-gateway";
/// Common names of parts that may do everything in every cluster.
const MASTERS: [&str; 2] = ["virtual-kubelet", "control"];

/// What is known of the caller before its cluster is looked at.
#[derive(Debug)]
pub(crate) enum Caller {
    /// One of our own processes.
    Master(Actor),
    /// A user, vouched for by the gateway.
    User(Box<Principal>),
    /// Somebody with a token that only the cluster can check.
    Bearer(String),
}

/// Reads who calls.
///
/// # Errors
/// 401 without believable credentials.
pub(crate) fn caller(peer: Option<&runtime::Peer>, headers: &HeaderMap) -> Result<Caller, Status> {
    let name = peer.and_then(|peer| peer.common_name.as_deref()).unwrap_or_default();
    if let Some(bearer) = bearer(headers) {
        return Ok(Caller::Bearer(bearer));
    }
    if MASTERS.contains(&name) {
        return Ok(Caller::Master(Actor::system(&format!("system:{name}"))));
    }
    if name == GATEWAY
        && let Some(value) = headers.get(PRINCIPAL_HEADER)
    {
        let principal = value.to_str().ok().and_then(|text| Principal::from_header(text).ok());
        return principal.map(|p| Caller::User(Box::new(p))).ok_or_else(Status::unauthorized);
    }
    Err(Status::unauthorized())
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    if headers.contains_key(PRINCIPAL_HEADER) {
        return None;
    }
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// A caller inside of a cluster.
pub(crate) struct Entered {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) facts: Arc<ClusterFacts>,
    pub(crate) actor: Actor,
}

/// Lets the caller into a cluster, as the actor that it is there.
///
/// # Errors
/// 404 if the cluster does not exist for this caller, 401 for a bad token, 503 if the store is down.
pub(crate) async fn enter(state: &ApiState, id: &ClusterId, caller: Caller) -> Result<Entered, Status> {
    if let Caller::Bearer(token) = &caller {
        // A token that no key of this cluster signed must not cost more than this.
        state.keys.verify(id, token, &[]).ok_or_else(Status::unauthorized)?;
    }
    let stranger = || if matches!(caller, Caller::Bearer(_)) { Status::unauthorized() } else { no_cluster() };
    let facts = state.directory.facts(id).await.map_err(Status::unavailable)?.ok_or_else(stranger)?;
    let actor = match &caller {
        Caller::Master(actor) => Some(actor.clone()),
        Caller::User(principal) => {
            let fits =
                facts.tenant == principal.tenant_id && principal.cluster_id.as_ref().is_none_or(|only| only == id);
            if !fits {
                return Err(no_cluster());
            }
            let access = state.directory.access(id, principal).await.map_err(Status::unavailable)?;
            let access = access.ok_or_else(no_cluster)?;
            Some(Actor::user(principal, &access))
        }
        Caller::Bearer(_) => None,
    };
    let cluster = match state.stores.cluster(id).await {
        Ok(cluster) => cluster,
        Err(kube_store::StoreError::NotFound) => return Err(stranger()),
        Err(error) => return Err(crate::verb::store_status(&error)),
    };
    let actor = match (actor, caller) {
        (Some(actor), _) => actor,
        (None, Caller::Bearer(token)) => {
            let audiences = own_audiences(state, &cluster);
            token_actor(state, &cluster, &facts, &token, &audiences).ok_or_else(Status::unauthorized)?.0
        }
        (None, _) => return Err(Status::unauthorized()),
    };
    Ok(Entered { cluster, facts, actor })
}

/// The answer for a cluster that does not exist, or that the caller must not know of.
pub(crate) fn no_cluster() -> Status {
    Status::new(404, "NotFound", "there is no such cluster")
}

/// The service account behind a token, if all that it is bound to still exists.
pub(crate) fn token_actor(
    state: &ApiState,
    cluster: &Cluster,
    facts: &ClusterFacts,
    token: &str,
    audiences: &[String],
) -> Option<(Actor, Claims)> {
    let (generation, claims) = state.keys.verify(cluster.id(), token, audiences)?;
    if !facts.keys.accept(generation) {
        return None;
    }
    let bound = &claims.kubernetes;
    let alive = |resource: &str, namespace: &str, reference: &crate::token::Reference| {
        let found = cluster.get(&Key::new(resource, namespace, &*reference.name));
        found.is_some_and(|object| *object.meta.uid == *reference.uid)
    };
    let account = &bound.serviceaccount;
    let all = alive("serviceaccounts", &bound.namespace, account)
        && bound.pod.as_ref().is_none_or(|pod| alive("pods", &bound.namespace, pod))
        && bound.secret.as_ref().is_none_or(|secret| alive("secrets", &bound.namespace, secret))
        && (bound.pod.is_some() || bound.node.as_ref().is_none_or(|node| alive("nodes", "", node)));
    if !all {
        return None;
    }
    let mut actor = Actor::service_account(&bound.namespace, &account.name, &account.uid);
    let mut extra = |key: &str, value: &str| {
        actor.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
    };
    extra("credential-id", &format!("JTI={}", claims.jti));
    if let Some(pod) = &bound.pod {
        extra("pod-name", &pod.name);
        extra("pod-uid", &pod.uid);
    }
    if let Some(node) = &bound.node {
        extra("node-name", &node.name);
        extra("node-uid", &node.uid);
    }
    Some((actor, claims))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: Option<&str>) -> runtime::Peer {
        runtime::Peer { common_name: name.map(str::to_owned), address: ([127, 0, 0, 1], 1).into() }
    }

    #[test]
    fn only_the_gateway_may_speak_for_users() {
        let mut headers = HeaderMap::new();
        let principal = Principal {
            tenant_id: domain::TenantId::generate(),
            user_id: domain::UserId::generate(),
            user_name: "ada".into(),
            groups: vec![],
            cluster_id: None,
        };
        headers.insert(PRINCIPAL_HEADER, principal.to_header().parse().unwrap());
        assert!(matches!(caller(Some(&peer(Some("api-gateway"))), &headers), Ok(Caller::User(_))));
        assert!(caller(Some(&peer(Some("host:a"))), &headers).is_err());
        assert!(caller(Some(&peer(None)), &headers).is_err());
        assert!(caller(None, &headers).is_err());
        assert!(matches!(caller(Some(&peer(Some("control"))), &HeaderMap::new()), Ok(Caller::Master(_))));
    }
}
