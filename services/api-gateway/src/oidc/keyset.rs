//! The keys of one identity provider: found by discovery, cached, fetched again when they rotate.

use super::Error;
use crate::limit::Bucket;
use anyhow::Context;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use parking_lot::Mutex;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// How old keys may be before they are fetched anew: so long a key that the provider withdrew still works.
const FRESH: Duration = Duration::from_secs(300);
/// How old keys may be while the provider cannot be reached.
const STALE: Duration = Duration::from_secs(3600);
/// Fetches per second, and at once: nobody makes the gateway a load on a provider with tokens of keys that don't exist,
/// and keys that the provider has just begun to use are found all the same.
const FETCHES: f64 = 0.1;
const FETCHES_AT_ONCE: u32 = 4;
/// How long the provider may take to answer.
const ASK: Duration = Duration::from_secs(5);
/// Largest document of a provider.
const DOCUMENT_BYTES: usize = 1 << 20;

/// A key and what it may verify.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) key: DecodingKey,
    pub(super) algorithms: Vec<Algorithm>,
    kid: Option<String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?} {:?})", self.kid, self.algorithms)
    }
}

#[derive(Debug, Default)]
struct State {
    keys: Arc<Vec<Key>>,
    /// When the keys were fetched.
    at: Option<Instant>,
    /// What went wrong when fetching was last tried.
    failed: Option<String>,
    /// Fetches so far: who waits for one that goes on needs no other.
    fetches: u64,
}

/// The keys of one provider.
#[derive(Debug)]
pub(super) struct KeySet {
    issuer: String,
    http: reqwest::Client,
    state: Mutex<State>,
    fetching: tokio::sync::Mutex<()>,
    bucket: Bucket,
}

#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Debug, Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Knows no keys yet. `ca`: a PEM file of those who may have signed the provider's certificate, instead of the
    /// system's.
    pub(super) fn new(issuer: &str, ca: Option<&Path>) -> anyhow::Result<Self> {
        runtime::tls::install_provider();
        let mut client = reqwest::Client::builder()
            .https_only(true)
            .timeout(ASK)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(path) = ca {
            let pem = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
            let roots = reqwest::Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("{} is not PEM certificates", path.display()))?;
            client = client.tls_certs_only(roots);
        }
        let (state, fetching) = (Mutex::default(), tokio::sync::Mutex::default());
        let bucket = Bucket::new(FETCHES, FETCHES_AT_ONCE, Instant::now());
        Ok(Self { issuer: issuer.to_owned(), http: client.build()?, state, fetching, bucket })
    }

    /// The key of that id; without one, the only key.
    pub(super) async fn key(&self, kid: Option<&str>) -> Result<Key, Error> {
        let known = |keys: &[Key]| match kid {
            Some(kid) => keys.iter().find(|key| key.kid.as_deref() == Some(kid)).cloned(),
            None if keys.len() == 1 => keys.first().cloned(),
            None => None,
        };
        let look = || {
            let state = self.state.lock();
            let age = state.at.map(|at| at.elapsed());
            (known(&state.keys), age)
        };
        if let (Some(key), Some(age)) = look()
            && age < FRESH
        {
            return Ok(key);
        }
        let failed = self.refresh().await;
        match (look(), failed) {
            ((Some(key), Some(age)), _) if age < STALE => Ok(key),
            (_, Some(reason)) => Err(Error::Unreachable { issuer: self.issuer.clone(), reason }),
            _ => Err(Error::NoKey {
                issuer: self.issuer.clone(),
                kid: kid.unwrap_or_default().chars().take(64).collect(),
            }),
        }
    }

    /// Fetches the keys, unless that was done a moment ago; gives what went wrong the last time.
    async fn refresh(&self) -> Option<String> {
        let before = self.state.lock().fetches;
        let _alone = self.fetching.lock().await;
        let now = Instant::now();
        {
            let state = self.state.lock();
            if state.fetches != before || self.bucket.take(now).is_err() {
                return state.failed.clone();
            }
        }
        let fetched = self.fetch().await.map_err(|error| format!("{error:#}"));
        let mut state = self.state.lock();
        state.fetches += 1;
        state.failed = fetched.as_ref().err().cloned();
        match fetched {
            Ok(keys) => {
                tracing::info!(
                    issuer = self.issuer,
                    keys = keys.len(),
                    "fetched {} keys of {}",
                    keys.len(),
                    self.issuer
                );
                (state.keys, state.at) = (Arc::new(keys), Some(now));
                None
            }
            Err(reason) => {
                tracing::warn!(issuer = self.issuer, "could not fetch the keys of {}: {reason}", self.issuer);
                Some(reason)
            }
        }
    }

    async fn fetch(&self) -> anyhow::Result<Vec<Key>> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let discovery: Discovery = self.get(&url).await?;
        // Source: Discovery 1.0, 4.3: the two must be identical.
        anyhow::ensure!(discovery.issuer == self.issuer, "{url} is about issuer {:?}", discovery.issuer);
        let document: Document = self.get(&discovery.jwks_uri).await?;
        // A provider may have keys of kinds that are unknown here; the others count.
        Ok(document.keys.into_iter().filter_map(|key| read(serde_json::from_value(key).ok()?)).collect())
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> anyhow::Result<T> {
        let mut answer = self.http.get(url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            anyhow::ensure!(body.len() + chunk.len() <= DOCUMENT_BYTES, "{url} has more than {DOCUMENT_BYTES} bytes");
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).with_context(|| format!("{url} is not what it should be"))
    }
}

/// A key that signatures can be verified with. Its kind says with which algorithms: never with a secret that both share.
fn read(jwk: Jwk) -> Option<Key> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => vec![ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => vec![ES384],
        AlgorithmParameters::OctetKeyPair(_) => vec![EdDSA],
        _ => return None,
    };
    if let Some(only) = jwk.common.key_algorithm {
        let only = Algorithm::try_from(only).ok()?;
        algorithms.retain(|algorithm| *algorithm == only);
    }
    Some(Key { key: DecodingKey::from_jwk(&jwk).ok()?, algorithms, kid: jwk.common.key_id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn algorithms(jwk: Value) -> Option<Vec<Algorithm>> {
        read(serde_json::from_value(jwk).ok()?).map(|key| key.algorithms)
    }

    #[test]
    fn a_key_verifies_what_its_kind_and_its_algorithm_allow() {
        let rsa = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
        let with = |base: &Value, name: &str, value: &str| {
            let mut changed = base.clone();
            changed[name] = json!(value);
            algorithms(changed)
        };
        assert_eq!(algorithms(rsa.clone()).unwrap().len(), 6);
        assert_eq!(with(&rsa, "alg", "RS256"), Some(vec![Algorithm::RS256]));
        assert_eq!(with(&rsa, "alg", "ES256"), Some(vec![]));
        assert_eq!(with(&rsa, "use", "enc"), None);
        let ec = json!({"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB"});
        assert_eq!(algorithms(ec.clone()), Some(vec![Algorithm::ES256]));
        assert_eq!(with(&ec, "crv", "P-521"), None);
        assert_eq!(algorithms(json!({"kty": "oct", "k": "AQAB"})), None, "a secret is no public key");
    }
}
