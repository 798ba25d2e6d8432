//! Bearer tokens: whose kind they are, and the rules for those that users sign with their API keys. No I/O.

use crate::{presigned, verifier::Verifier};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{ClusterId, UserId};
use jsonwebtoken::Validation;
use serde::Deserialize;
use std::sync::Once;

/// Issuer of tokens that users sign themselves.
const ISSUER: &str = "hako";
/// Audience that is good for everything; any other names one cluster.
const AUDIENCE: &str = "hako";
/// Longest life of a token, in seconds.
const MAX_LIFE: i64 = 3600;
/// Difference of clocks that is put up with, in seconds.
const LEEWAY: i64 = 30;
/// Longest token that is looked at: an RS256 token with 4096-bit key and service-account claims stays far below.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Whose token it is. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Signed by a user's API key with this fingerprint.
    User { kid: String },
    /// A signed request for a cluster, as `oci` makes them.
    ClusterRequest,
    /// Of an identity provider that is known.
    Issued,
    /// A service account's of this cluster; control verifies it.
    ServiceAccount { cluster: ClusterId },
}

#[derive(Debug, Deserialize)]
struct Peek {
    #[serde(default)]
    iss: String,
    #[serde(rename = "hako.dev/cluster")]
    cluster: Option<ClusterId>,
}

#[derive(Debug, Deserialize)]
struct Head {
    kid: Option<String>,
}

/// Looks at an unverified token. `known`: tells whether an issuer is an identity provider that is believed.
pub(crate) fn peek(token: &str, known: impl FnOnce(&str) -> bool) -> Option<Kind> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    if presigned::is_presigned(token) {
        return Some(Kind::ClusterRequest);
    }
    let mut parts = token.split('.');
    let (head, payload) = (parts.next()?, parts.next()?);
    parts.next()?;
    if parts.next().is_some() {
        return None;
    }
    let peek: Peek = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    if peek.iss == ISSUER {
        let head: Head = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
        let kid = head.kid.filter(|kid| !kid.is_empty() && kid.len() <= 128 && kid.bytes().all(is_kid_byte))?;
        return Some(Kind::User { kid });
    }
    if known(&peek.iss) {
        return Some(Kind::Issued);
    }
    peek.cluster.map(|cluster| Kind::ServiceAccount { cluster })
}

fn is_kid_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":-_".contains(&byte)
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The user.
    pub(crate) user: UserId,
    /// The only cluster it is good for; `None`: everything.
    pub(crate) cluster: Option<ClusterId>,
    /// Unix seconds at which it ends.
    pub(crate) expires: i64,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: UserId,
    aud: Audience,
    iat: i64,
    exp: i64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Verifies a user's token at `now` (Unix seconds); `None` if anything about it is wrong.
pub(crate) fn verify(token: &str, key: &Verifier, now: i64) -> Option<Grant> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(runtime::tls::install_provider);
    let mut validation = Validation::new(key.algorithm);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "sub"]);
    // Times and audience are judged below, against the time that is given.
    validation.validate_exp = false;
    validation.validate_aud = false;
    let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &validation).ok()?.claims;
    let timely = claims.exp > now - LEEWAY && claims.iat <= now + LEEWAY && claims.exp > claims.iat;
    if !timely || claims.exp - claims.iat > MAX_LIFE {
        return None;
    }
    let audiences = match claims.aud {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    };
    let cluster = match audiences.as_slice() {
        all if all.iter().any(|audience| audience == AUDIENCE) => None,
        [one] => Some(one.parse().ok()?),
        _ => return None,
    };
    Some(Grant { user: claims.sub, cluster, expires: claims.exp })
}

#[cfg(test)]
mod tests;
