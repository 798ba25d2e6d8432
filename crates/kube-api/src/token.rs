//! Service-account tokens: signed JWTs, with a key per cluster that is derived, never stored.

use aws_lc_rs::{hkdf, signature::Ed25519KeyPair, signature::KeyPair};
use base64::Engine;
use domain::ClusterId;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};

/// Sets this use of the secret apart from others.
const SALT: &[u8] = b"hako service-account signing key v1";

/// Where the keys come from: one secret, from which each cluster's Ed25519 key is derived (HKDF-SHA256), so that
/// clusters cost nothing and a key can't leave with a cluster's rows. Invariant: the secret is never printed.
#[derive(Clone)]
pub struct SigningKeys(Arc<Vec<u8>>);

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKeys(***)")
    }
}

/// The secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It could not be read.
    #[error("cannot read the service-account secret {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is too short to be random.
    #[error("the service-account secret has {0} bytes; it needs 32 or more")]
    Short(usize),
}

/// A namespace object that a token speaks of.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Reference {
    /// Name.
    pub name: String,
    /// UID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// The `kubernetes.io` claim. Source: Kubernetes `pkg/serviceaccount/claims.go`.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct PrivateClaims {
    /// Namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub serviceaccount: Reference,
    /// The pod the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// The Secret the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The node of that pod, or the node the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
}

/// All claims of a service-account token.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Claims {
    /// For whom it is.
    pub aud: Vec<String>,
    /// Seconds since 1970 at which it ends.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// Who made it.
    pub iss: String,
    /// Id of this token.
    pub jti: String,
    /// From when it holds.
    pub nbf: i64,
    /// `system:serviceaccount:<namespace>:<name>`.
    pub sub: String,
    /// What it is bound to.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: PrivateClaims,
    /// The cluster it is good for.
    #[serde(rename = "hako.dev/cluster")]
    pub cluster: String,
}

impl SigningKeys {
    /// Keys from a secret of at least 32 random bytes.
    ///
    /// # Errors
    /// If it is shorter.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < 32 { Err(KeyError::Short(secret.len())) } else { Ok(Self(Arc::new(secret.to_vec()))) }
    }

    /// Keys from a secret in a file; the same file that seals Secrets may be used, as uses are kept apart.
    ///
    /// # Errors
    /// If it can't be read or is too short.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let read = |source| KeyError::Read { path: path.display().to_string(), source };
        Self::from_secret(&std::fs::read(path).map_err(read)?)
    }

    fn pair(&self, cluster: &ClusterId) -> Ed25519KeyPair {
        let mut seed = [0u8; 32];
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&self.0);
        secret
            .expand(&[cluster.as_str().as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut seed))
            .expect("32 bytes are one block of HKDF-SHA256");
        Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are an Ed25519 seed")
    }

    fn key_id(pair: &Ed25519KeyPair) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pair.public_key().as_ref());
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12])
    }

    /// Signs a token of a cluster.
    #[must_use]
    pub fn sign(&self, cluster: &ClusterId, claims: &Claims) -> String {
        let pair = self.pair(cluster);
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(Self::key_id(&pair));
        let der = pair.to_pkcs8v1().expect("an Ed25519 key has a PKCS#8 form");
        let key = EncodingKey::from_ed_der(der.as_ref());
        jsonwebtoken::encode(&header, claims, &key).expect("claims are plain JSON and the key fits the algorithm")
    }

    /// Reads a token of a cluster: `None` if the signature, the times or the cluster do not fit. `audience` must be
    /// among the token's, if given. Whether what it is bound to still exists is the caller's to check.
    #[must_use]
    pub fn verify(&self, cluster: &ClusterId, token: &str, audiences: &[String]) -> Option<Claims> {
        let pair = self.pair(cluster);
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = 5;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        if audiences.is_empty() {
            validation.validate_aud = false;
        } else {
            validation.set_audience(audiences);
        }
        let key = DecodingKey::from_ed_der(pair.public_key().as_ref());
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).ok()?.claims;
        (claims.cluster == cluster.as_str()).then_some(claims)
    }

    /// The public keys of a cluster, as `/openid/v1/jwks` gives them.
    #[must_use]
    pub fn jwks(&self, cluster: &ClusterId) -> Value {
        let pair = self.pair(cluster);
        let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        json!({"keys": [{
            "use": "sig", "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": Self::key_id(&pair), "x": x,
        }]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(cluster: &ClusterId) -> Claims {
        let now = jiff::Timestamp::now().as_second();
        let kubernetes = PrivateClaims {
            namespace: "a".into(),
            serviceaccount: Reference { name: "b".into(), uid: "1".into() },
            pod: None,
            secret: None,
            node: None,
        };
        Claims {
            aud: vec!["api".into()],
            exp: now + 600,
            iat: now,
            iss: "https://gw".into(),
            jti: "x".into(),
            nbf: now,
            sub: "system:serviceaccount:a:b".into(),
            kubernetes,
            cluster: cluster.as_str().into(),
        }
    }

    #[test]
    fn tokens_are_good_for_their_cluster_and_time_only() {
        let keys = SigningKeys::from_secret(&[7; 32]).unwrap();
        let (mine, other) = (ClusterId::generate(), ClusterId::generate());
        let token = keys.sign(&mine, &claims(&mine));
        assert!(keys.verify(&mine, &token, &["api".into()]).is_some());
        assert!(keys.verify(&mine, &token, &["other".into()]).is_none());
        assert!(keys.verify(&other, &token, &["api".into()]).is_none());
        let mut old = claims(&mine);
        old.exp -= 3600;
        assert!(keys.verify(&mine, &keys.sign(&mine, &old), &[]).is_none());
        assert!(SigningKeys::from_secret(&[7; 31]).is_err());
    }
}
