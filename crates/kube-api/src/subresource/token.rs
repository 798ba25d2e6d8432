//! `serviceaccounts/x/token`: TokenRequest.

use crate::{
    meta,
    state::{ApiState, ClusterFacts},
    token::{Claims, PrivateClaims, Reference},
};
use jiff::{SignedDuration, Timestamp};
use kube_store::{Cluster, Key, Object};
use problem::kube::{Cause, Status};
use serde_json::{Value, json};
use std::sync::Arc;

/// Seconds a token holds if the caller does not say.
const DEFAULT_SECONDS: i64 = 3600;
/// Shortest life. Source: upstream's validation of TokenRequest.
const MIN_SECONDS: i64 = 600;
/// Longest life that is given, whatever was asked for: a day.
const MAX_SECONDS: i64 = 24 * 3600;

/// What a caller wants of a token.
#[derive(Debug, Clone, Default)]
pub struct TokenRequest {
    /// For whom it shall be; the API server if empty.
    pub audiences: Vec<String>,
    /// How long it shall hold; an hour if not given.
    pub expiration_seconds: Option<i64>,
    /// Kind (`Pod`, `Node` or `Secret`), name and UID (may be empty) of an object with which the token ends.
    pub bound_to: Option<(String, String, String)>,
}

/// A token.
#[derive(Clone)]
pub struct Issued {
    /// The JWT. Secret.
    pub token: String,
    /// When it ends.
    pub expires: Timestamp,
    /// For whom it is.
    pub audiences: Vec<String>,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issued(***, expires {})", self.expires)
    }
}

impl TokenRequest {
    /// Reads the `spec` of a `TokenRequest`.
    #[must_use]
    pub fn from_value(request: &Value) -> Self {
        let spec = &request["spec"];
        let text = |at: &Value| at.as_str().unwrap_or_default().to_owned();
        let bound = spec["boundObjectRef"].as_object();
        Self {
            audiences: spec["audiences"].as_array().into_iter().flatten().map(text).filter(|a| !a.is_empty()).collect(),
            expiration_seconds: spec["expirationSeconds"].as_i64(),
            bound_to: bound.map(|_| {
                let of = |field: &str| text(&spec["boundObjectRef"][field]);
                (of("kind"), of("name"), of("uid"))
            }),
        }
    }

    fn check(&self) -> Result<(), Status> {
        let seconds = self.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
        let why = match seconds {
            s if s < MIN_SECONDS => "may not specify a duration less than 10 minutes",
            s if s > 1 << 32 => "may not specify a duration larger than 2^32 seconds",
            _ => return Ok(()),
        };
        let cause = Cause::invalid("spec.expirationSeconds", &json!(seconds), why);
        Err(Status::invalid("TokenRequest.authentication.k8s.io", "", &[cause]))
    }
}

/// Who issues a cluster's tokens; also the audience that this API server answers to.
pub(crate) fn issuer(state: &ApiState, cluster: &Cluster) -> String {
    format!("{}/clusters/{}", state.config.public_url.trim_end_matches('/'), cluster.id())
}

/// The audiences that name this API server.
pub(crate) fn own_audiences(state: &ApiState, cluster: &Cluster) -> Vec<String> {
    vec![issuer(state, cluster), "https://kubernetes.default.svc".into()]
}

/// Issues a token.
///
/// # Errors
/// 404 if the account or the bound object is missing, 409 if its UID is another, 422 for a bad lifetime.
pub(crate) fn issue(
    state: &ApiState,
    cluster: &Cluster,
    facts: &ClusterFacts,
    (namespace, account): (&str, &str),
    request: &TokenRequest,
) -> Result<Issued, Status> {
    request.check()?;
    let missing = || Status::not_found("serviceaccounts", account);
    let stored = cluster.get(&Key::new("serviceaccounts", namespace, account)).ok_or_else(missing)?;
    let mut kubernetes = PrivateClaims {
        namespace: namespace.to_owned(),
        serviceaccount: reference(&stored),
        pod: None,
        secret: None,
        node: None,
    };
    if let Some(bound) = &request.bound_to {
        bind(cluster, namespace, account, bound, &mut kubernetes)?;
    }
    let now = state.clock.now();
    let seconds = request.expiration_seconds.unwrap_or(DEFAULT_SECONDS).min(MAX_SECONDS);
    let expires = now + SignedDuration::from_secs(seconds);
    let audiences =
        if request.audiences.is_empty() { own_audiences(state, cluster) } else { request.audiences.clone() };
    let claims = Claims {
        aud: audiences.clone(),
        exp: expires.as_second(),
        iat: now.as_second(),
        iss: issuer(state, cluster),
        jti: uuid::Uuid::new_v4().to_string(),
        nbf: now.as_second(),
        sub: format!("system:serviceaccount:{namespace}:{account}"),
        kubernetes,
        cluster: cluster.id().to_string(),
    };
    Ok(Issued { token: state.keys.sign(cluster.id(), facts.keys.current, &claims), expires, audiences })
}

fn reference(object: &Arc<Object>) -> Reference {
    Reference { name: object.key.name.to_string(), uid: object.meta.uid.to_string() }
}

fn bind(
    cluster: &Cluster,
    namespace: &str,
    account: &str,
    (kind, name, uid): &(String, String, String),
    claims: &mut PrivateClaims,
) -> Result<(), Status> {
    let (resource, place) = match kind.as_str() {
        "Pod" => ("pods", namespace),
        "Secret" => ("secrets", namespace),
        "Node" => ("nodes", ""),
        other => {
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount to object of type {other:?}"
            )));
        }
    };
    let found = cluster.get(&Key::new(resource, place, &**name)).ok_or_else(|| Status::not_found(resource, name))?;
    if !uid.is_empty() && **uid != *found.meta.uid {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record ({})",
            found.meta.uid
        );
        return Err(Status::conflict(resource, name, &why));
    }
    match kind.as_str() {
        "Secret" => claims.secret = Some(reference(&found)),
        "Node" => claims.node = Some(reference(&found)),
        _ => {
            let pod = found.value();
            if pod["spec"]["serviceAccountName"].as_str().unwrap_or("default") != account {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
                )));
            }
            let node = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty());
            let node = node.and_then(|node| cluster.get(&Key::new("nodes", "", node)));
            claims.node = node.as_ref().map(reference);
            claims.pod = Some(reference(&found));
        }
    }
    Ok(())
}

/// The answer to a TokenRequest.
pub(crate) fn answer(mut request: Value, namespace: &str, account: &str, issued: &Issued) -> Value {
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS).min(MAX_SECONDS);
    request["apiVersion"] = json!("authentication.k8s.io/v1");
    request["kind"] = json!("TokenRequest");
    request["metadata"] = json!({
        "name": account, "namespace": namespace, "creationTimestamp": meta::rfc3339(Timestamp::now()),
    });
    request["spec"]["audiences"] = json!(issued.audiences);
    request["spec"]["expirationSeconds"] = json!(seconds);
    request["status"] = json!({"token": issued.token, "expirationTimestamp": meta::rfc3339(issued.expires)});
    request
}
