//! Who calls. A user's token is a JWT signed by one of the user's API keys, whose public half control knows; tokens of
//! service accounts are passed on to control, which has their keys.

use crate::{backend::Backends, route::Service};
use axum::body::Body;
use base64::Engine;
use dashmap::DashMap;
use domain::{ClusterId, Principal, TenantId, UserId};
use http::{Request, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Issuer of tokens that users sign with their own keys, and their audience if they are good for everything.
const ISSUER: &str = "hako";
/// Longest life of such a token.
const MAX_LIFE_SECONDS: i64 = 3600;
/// How far clocks may differ. Source: OCI allows a skew of 5 minutes for its signatures.
const SKEW_SECONDS: u64 = 300;
/// How long a key, its absence, or a verified token is believed: the time until a deleted key stops to work.
const BELIEVE: Duration = Duration::from_secs(30);
/// Entries of a cache before it is emptied: bounds memory against floods of made-up tokens.
const CACHE: usize = 20_000;
/// Longest key id asked of control.
const KID_LEN: usize = 128;

/// What a bearer token turned out to be.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// A user, verified.
    User(Arc<Verified>),
    /// Somebody else's token, for control to judge; it claims to be of this cluster.
    ServiceAccount(Option<ClusterId>),
}

/// A verified user.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) principal: Principal,
    /// The principal as a header's value.
    pub(crate) header: String,
    expires: i64,
    checked: Instant,
}

/// Why a caller is nobody; logged, and told in general words only.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("no bearer token")]
    Missing,
    #[error("the token is malformed")]
    Malformed,
    #[error("the token's key is not known")]
    UnknownKey,
    #[error("the token is not valid: {0}")]
    Invalid(String),
    #[error("keys cannot be looked up")]
    Unavailable,
}

/// Owner of a key, as control tells it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyOwner {
    tenant_id: TenantId,
    user_id: UserId,
    user_name: String,
    groups: Vec<String>,
    public_key: String,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    aud: Audience,
    #[serde(default)]
    iat: i64,
    exp: i64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// Claims of any token, before it is verified.
#[derive(Debug, Deserialize)]
struct Unverified {
    #[serde(default)]
    iss: String,
    #[serde(rename = "hako.dev/cluster")]
    cluster: Option<ClusterId>,
}

/// Verifies tokens, and remembers for a while what it verified.
#[derive(Debug)]
pub(crate) struct Authenticator {
    backends: Backends,
    tokens: DashMap<[u8; 32], Arc<Verified>>,
    keys: DashMap<String, (Instant, Option<Arc<KeyOwner>>)>,
}

impl Authenticator {
    pub(crate) fn new(backends: Backends) -> Self {
        Self { backends, tokens: DashMap::new(), keys: DashMap::new() }
    }

    /// The caller behind an `Authorization` header.
    pub(crate) async fn caller(&self, header: Option<&str>) -> Result<Caller, AuthError> {
        let token = header.and_then(bearer).ok_or(AuthError::Missing)?;
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.tokens.get(&digest) {
            if known.checked.elapsed() < BELIEVE && known.expires > jiff::Timestamp::now().as_second() {
                return Ok(Caller::User(Arc::clone(&known)));
            }
        }
        let claims = unverified(token)?;
        if claims.iss != ISSUER {
            return Ok(Caller::ServiceAccount(claims.cluster));
        }
        let kid = jsonwebtoken::decode_header(token).ok().and_then(|header| header.kid).ok_or(AuthError::Malformed)?;
        let owner = self.key(&kid).await?.ok_or(AuthError::UnknownKey)?;
        let verified = Arc::new(verify(token, &owner)?);
        if self.tokens.len() > CACHE {
            self.tokens.clear();
        }
        self.tokens.insert(digest, Arc::clone(&verified));
        Ok(Caller::User(verified))
    }

    async fn key(&self, kid: &str) -> Result<Option<Arc<KeyOwner>>, AuthError> {
        let plain = kid.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.".contains(&b));
        if kid.is_empty() || kid.len() > KID_LEN || !plain {
            return Err(AuthError::Malformed);
        }
        if let Some(known) = self.keys.get(kid).filter(|known| known.0.elapsed() < BELIEVE) {
            return Ok(known.1.clone());
        }
        let owner = self.ask_key(kid).await?.map(Arc::new);
        if self.keys.len() > CACHE {
            self.keys.clear();
        }
        self.keys.insert(kid.to_owned(), (Instant::now(), owner.clone()));
        Ok(owner)
    }

    async fn ask_key(&self, kid: &str) -> Result<Option<KeyOwner>, AuthError> {
        let request = Request::get(format!("/internal/v1/keys/{kid}")).body(Body::empty());
        let request = request.map_err(|_| AuthError::Malformed)?;
        let response = self.backends.send(Service::Control, request).await.map_err(|error| {
            tracing::warn!(%error, "could not look up an API key");
            AuthError::Unavailable
        })?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let body = axum::body::to_bytes(Body::new(response.into_body()), 64 << 10).await;
                let owner = body.ok().and_then(|body| serde_json::from_slice(&body).ok());
                owner.map(Some).ok_or(AuthError::Unavailable)
            }
            _ => Err(AuthError::Unavailable),
        }
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

fn unverified(token: &str) -> Result<Unverified, AuthError> {
    let payload = token.split('.').nth(1).ok_or(AuthError::Malformed)?;
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).map_err(|_| AuthError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| AuthError::Malformed)
}

fn decoding_key(algorithm: Algorithm, pem: &[u8]) -> Result<DecodingKey, AuthError> {
    let key = match algorithm {
        Algorithm::ES256 => DecodingKey::from_ec_pem(pem),
        Algorithm::EdDSA => DecodingKey::from_ed_pem(pem),
        Algorithm::RS256 => DecodingKey::from_rsa_pem(pem),
        other => return Err(AuthError::Invalid(format!("algorithm {other:?} is not allowed"))),
    };
    key.map_err(|_| AuthError::Invalid("the algorithm does not fit the key".into()))
}

fn verify(token: &str, owner: &KeyOwner) -> Result<Verified, AuthError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Malformed)?;
    let key = decoding_key(header.alg, owner.public_key.as_bytes())?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
    // The audience is a cluster's id or everything: judged below.
    validation.validate_aud = false;
    validation.leeway = 0;
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
        .map_err(|error| AuthError::Invalid(error.to_string()))?
        .claims;
    let now = jiff::Timestamp::now().as_second();
    if claims.exp - claims.iat.max(now - MAX_LIFE_SECONDS) > MAX_LIFE_SECONDS + SKEW_SECONDS.cast_signed() {
        return Err(AuthError::Invalid("it lives longer than an hour".into()));
    }
    if claims.iat > now + SKEW_SECONDS.cast_signed() {
        return Err(AuthError::Invalid("it is issued in the future".into()));
    }
    if claims.sub != owner.user_id.as_str() {
        return Err(AuthError::Invalid("its subject is not the key's owner".into()));
    }
    let principal = Principal {
        tenant_id: owner.tenant_id.clone(),
        user_id: owner.user_id.clone(),
        user_name: owner.user_name.clone(),
        groups: owner.groups.clone(),
        cluster_id: restriction(&claims.aud)?,
    };
    let header = principal.to_header();
    Ok(Verified { principal, header, expires: claims.exp, checked: Instant::now() })
}

/// The one cluster that a token is for; `None` if it is for everything.
fn restriction(audience: &Audience) -> Result<Option<ClusterId>, AuthError> {
    if audience.all().iter().any(|one| one == ISSUER) {
        return Ok(None);
    }
    match audience.all() {
        [one] => one.parse().map(Some).map_err(|_| AuthError::Invalid("its audience is not ours".into())),
        _ => Err(AuthError::Invalid("its audience is not ours".into())),
    }
}

#[cfg(test)]
mod tests;
