//! Who asks: bearer tokens of four kinds, and signed requests.

use crate::{
    Gateway,
    caller::{Caller, instant_of},
    key::{Owner, Unknown, User},
    oidc, presigned,
    refusal::Refusal,
    route::Route,
    signature::{self, Head, Signature, Wrong},
    token::{self, Kind},
};
use domain::ClusterId;
use http::{HeaderMap, Method, Uri, header};
use std::{sync::Arc, time::Instant};

/// Who asks.
#[derive(Debug)]
pub(crate) enum Passage {
    /// A user with a good credential.
    User(Arc<Caller>, Content),
    /// A service account of a cluster, to be verified by control.
    ServiceAccount(ClusterId),
}

/// What the credential says of the request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing.
    Any,
    /// It must have this SHA-256.
    Digest(Vec<u8>),
    /// There must be none: none was signed.
    Empty,
}

/// Finds out who asks.
///
/// # Errors
/// If the credential is missing, wrong, or not for this route; or if nobody can be asked about it.
pub(crate) async fn authenticate(
    gateway: &Gateway,
    route: &Route,
    (method, uri, headers): (&Method, &Uri, &HeaderMap),
) -> Result<Passage, Refusal> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, credential) = header.and_then(|text| text.split_once(' ')).ok_or(Refusal::Unauthenticated)?;
    let credential = credential.trim();
    if scheme.eq_ignore_ascii_case("signature") {
        return signed(gateway, route, (method, uri, headers), credential).await;
    }
    if scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty() {
        return bearer(gateway, route, credential).await;
    }
    Err(Refusal::Unauthenticated)
}

async fn bearer(gateway: &Gateway, route: &Route, token: &str) -> Result<Passage, Refusal> {
    // Most tokens were seen a moment ago: those need no second look.
    if let Some(caller) = gateway.callers.remembered(token, Instant::now()) {
        return admit(caller, route, Content::Any);
    }
    let caller = match token::peek(token, |issuer| gateway.oidc.knows(issuer)).ok_or(Refusal::Unauthenticated)? {
        Kind::User { kid } => of_key(gateway, token, &kid).await?,
        Kind::ClusterRequest => of_cluster_request(gateway, token).await?,
        Kind::Issued => of_issuer(gateway, token).await?,
        Kind::ServiceAccount { cluster } => {
            let fits = *route == Route::InPod || route.cluster() == Some(&cluster);
            return if fits { Ok(Passage::ServiceAccount(cluster)) } else { Err(Refusal::Unauthenticated) };
        }
    };
    gateway.callers.remember(token, &caller);
    admit(caller, route, Content::Any)
}

/// A token that a user signed.
async fn of_key(gateway: &Gateway, token: &str, kid: &str) -> Result<Arc<Caller>, Refusal> {
    let known = gateway.directory.owner(kid).await.map_err(|error| down(&error))?;
    let owner = known.found.as_ref().ok_or(Refusal::Unauthenticated)?;
    let now = jiff::Timestamp::now().as_second();
    let grant = token::verify(token, &owner.verifier, now).filter(|grant| grant.user == owner.user.user_id);
    let grant = grant.ok_or(Refusal::Unauthenticated)?;
    let until = known.until.min(instant_of(grant.expires, now, Instant::now()));
    Ok(gateway.callers.caller(&owner.user, grant.cluster, until))
}

/// A token of `oci ce cluster generate-token`.
async fn of_cluster_request(gateway: &Gateway, token: &str) -> Result<Arc<Caller>, Refusal> {
    let now = jiff::Timestamp::now().as_second();
    let asked = presigned::parse(token, now).map_err(Refusal::Signature)?;
    let known = gateway.directory.owner(&asked.signature.fingerprint).await.map_err(|error| down(&error))?;
    let owner = verified(known.found.as_ref(), &asked.signature, &asked.message)?;
    let until = known.until.min(instant_of(asked.expires, now, Instant::now()));
    Ok(gateway.callers.caller(&owner.user, Some(asked.cluster), until))
}

/// A token of an identity provider outside.
async fn of_issuer(gateway: &Gateway, token: &str) -> Result<Arc<Caller>, Refusal> {
    let identity = match gateway.oidc.verify(token).await {
        Ok(identity) => identity,
        Err(oidc::Error::Unreachable { .. }) => return Err(Refusal::Down),
        Err(error) => {
            tracing::info!(%error, "refused a token: {error}");
            return Err(Refusal::Unauthenticated);
        }
    };
    let asked = gateway.directory.user(&identity.tenant, &identity.user_name).await;
    let known = asked.map_err(|error| down(&error))?;
    let Some(user) = &known.found else {
        tracing::warn!(
            issuer = identity.issuer,
            tenancy = %identity.tenant,
            "refused a token of {}: its user {} is not a user of {}; make one of that name",
            identity.issuer,
            identity.shown_name(),
            identity.tenant
        );
        return Err(Refusal::Unauthenticated);
    };
    let mut user = User::clone(user);
    user.groups.extend(identity.groups);
    user.groups.sort();
    user.groups.dedup();
    let until = known.until.min(instant_of(identity.expires, jiff::Timestamp::now().as_second(), Instant::now()));
    Ok(gateway.callers.caller(&user, None, until))
}

/// A request with a signature of its own.
async fn signed(
    gateway: &Gateway,
    route: &Route,
    (method, uri, headers): (&Method, &Uri, &HeaderMap),
    parameters: &str,
) -> Result<Passage, Refusal> {
    let signature = Signature::parse(parameters).map_err(Refusal::Signature)?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let host = crate::host::of(uri, headers).unwrap_or_default();
    let head = Head { method, target, host, headers };
    let now = jiff::Timestamp::now().as_second();
    let message = signature.message(head, now).map_err(Refusal::Signature)?;
    let digest = signature::body_digest(method, headers).map_err(Refusal::Signature)?;
    let known = gateway.directory.owner(&signature.fingerprint).await.map_err(|error| down(&error))?;
    let owner = verified(known.found.as_ref(), &signature, &message)?;
    let caller = gateway.callers.caller(&owner.user, None, known.until);
    admit(caller, route, digest.map_or(Content::Empty, Content::Digest))
}

/// The owner of a key, if it is who it says to be and made the signature.
fn verified<'a>(owner: Option<&'a Owner>, signature: &Signature, message: &[u8]) -> Result<&'a Owner, Refusal> {
    let owner = owner.filter(|owner| {
        owner.user.tenant_id == signature.tenant
            && owner.user.user_id == signature.user
            && owner.verifier.rsa_sha256(message, &signature.bytes)
    });
    owner.ok_or(Refusal::Signature(Wrong::Unknown))
}

/// Lets a user with a good credential pass, if that is good for this route.
fn admit(caller: Arc<Caller>, route: &Route, content: Content) -> Result<Passage, Refusal> {
    let fits = match &caller.cluster {
        None => *route != Route::InPod,
        Some(only) => route.cluster() == Some(only),
    };
    if fits { Ok(Passage::User(caller, content)) } else { Err(Refusal::Unauthenticated) }
}

fn down(error: &Unknown) -> Refusal {
    tracing::warn!(%error, "could not authenticate a caller: {error}");
    Refusal::Down
}
