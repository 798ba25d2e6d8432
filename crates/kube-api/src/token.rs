//! Service-account tokens: signed JWTs, with keys per cluster that are derived, never stored. Keys have generations, so
//! that a cluster can get a new one while tokens of the old one still hold.

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

/// Which generations of a cluster's key are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyGenerations {
    /// Signs.
    pub current: u32,
    /// The oldest whose tokens are still good. Invariant: not above `current`.
    pub oldest: u32,
}

impl Default for KeyGenerations {
    fn default() -> Self {
        Self { current: 1, oldest: 1 }
    }
}

impl KeyGenerations {
    /// Whether tokens of a generation are good. The next one counts too: another replica may know of it already, and
    /// nobody else can sign with it.
    #[must_use]
    pub fn accept(self, generation: u32) -> bool {
        (self.oldest..=self.current.saturating_add(1)).contains(&generation)
    }
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

    fn pair(&self, cluster: &ClusterId, generation: u32) -> Ed25519KeyPair {
        let mut seed = [0u8; 32];
        // The first generation is older than generations.
        let suffix = if generation == 1 { String::new() } else { format!("#{generation}") };
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&self.0);
        secret
            .expand(&[cluster.as_str().as_bytes(), suffix.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut seed))
            .expect("32 bytes are one block of HKDF-SHA256");
        Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are an Ed25519 seed")
    }

    /// The generation, and what tells keys apart.
    fn key_id(pair: &Ed25519KeyPair, generation: u32) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pair.public_key().as_ref());
        format!("{generation}.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12]))
    }

    /// Signs a token of a cluster with a generation of its key.
    #[must_use]
    pub fn sign(&self, cluster: &ClusterId, generation: u32, claims: &Claims) -> String {
        let pair = self.pair(cluster, generation);
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(Self::key_id(&pair, generation));
        let der = pair.to_pkcs8v1().expect("an Ed25519 key has a PKCS#8 form");
        let key = EncodingKey::from_ed_der(der.as_ref());
        jsonwebtoken::encode(&header, claims, &key).expect("claims are plain JSON and the key fits the algorithm")
    }

    /// Reads a token of a cluster: `None` if the signature, the times or the cluster do not fit. `audience` must be
    /// among the token's, if given. Whether that generation of the key is still good, and whether what the token is bound
    /// to still exists, is the caller's to check.
    #[must_use]
    pub fn verify(&self, cluster: &ClusterId, token: &str, audiences: &[String]) -> Option<(u32, Claims)> {
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        // Ids without a generation are of tokens older than generations.
        let generation = kid.split_once('.').map_or(Some(1), |(generation, _)| generation.parse().ok())?;
        let pair = self.pair(cluster, generation);
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
        (claims.cluster == cluster.as_str()).then_some((generation, claims))
    }

    /// The public keys of a cluster, as `/openid/v1/jwks` gives them: the one that signs first.
    #[must_use]
    pub fn jwks(&self, cluster: &ClusterId, keys: KeyGenerations) -> Value {
        let key = |generation: u32| {
            let pair = self.pair(cluster, generation);
            let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
            let kid = Self::key_id(&pair, generation);
            json!({"use": "sig", "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": kid, "x": x})
        };
        json!({"keys": (keys.oldest..=keys.current).rev().map(key).collect::<Vec<_>>()})
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
        let token = keys.sign(&mine, 1, &claims(&mine));
        assert!(keys.verify(&mine, &token, &["api".into()]).is_some());
        assert!(keys.verify(&mine, &token, &["other".into()]).is_none());
        assert!(keys.verify(&other, &token, &["api".into()]).is_none());
        let mut old = claims(&mine);
        old.exp -= 3600;
        assert!(keys.verify(&mine, &keys.sign(&mine, 1, &old), &[]).is_none());
        assert!(SigningKeys::from_secret(&[7; 31]).is_err());
    }

    #[test]
    fn a_token_names_the_generation_of_its_key() {
        let keys = SigningKeys::from_secret(&[7; 32]).unwrap();
        let cluster = ClusterId::generate();
        let tokens = [1, 2].map(|generation| keys.sign(&cluster, generation, &claims(&cluster)));
        let found = tokens.clone().map(|token| keys.verify(&cluster, &token, &[]).unwrap().0);
        assert_eq!(found, [1, 2]);
        // A header that claims another generation does not fit the signature.
        let [(header, _), (_, rest)] = [&tokens[0], &tokens[1]].map(|token| token.split_once('.').unwrap());
        assert!(keys.verify(&cluster, &format!("{header}.{rest}"), &[]).is_none());
        let (rotating, rotated) = (KeyGenerations { current: 2, oldest: 1 }, KeyGenerations { current: 2, oldest: 2 });
        assert_eq!([1, 2].map(|generation| rotating.accept(generation)), [true, true]);
        assert_eq!([1, 2].map(|generation| rotated.accept(generation)), [false, true]);
        assert_eq!(keys.jwks(&cluster, rotating)["keys"].as_array().unwrap().len(), 2);
    }
}
