//! Tokens as `hako` makes them: JWTs signed with the tenant's own API key.

use anyhow::Context;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use localcloud::Tenant;
use serde_json::json;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// Issuer, and audience of tokens for the cloud API. Source: `cli/src/token.rs`.
const ISSUER: &str = "hako";
/// How long a token lives. Source: as above.
const LIFE: Duration = Duration::from_secs(300);
/// Age at which a token is replaced, so that it does not end under way.
const RENEW: Duration = Duration::from_secs(200);

/// Signs for one user.
pub(crate) struct Signer {
    key: EncodingKey,
    fingerprint: String,
    user: String,
}

impl Signer {
    /// The signer of a tenant's administrator.
    pub(crate) fn new(tenant: &Tenant) -> anyhow::Result<Arc<Self>> {
        let path = &tenant.key_file;
        let pem = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        let key = EncodingKey::from_ec_pem(&pem)?;
        Ok(Arc::new(Self { key, fingerprint: tenant.fingerprint.clone(), user: tenant.user_id.clone() }))
    }

    fn header(&self, audience: &str) -> anyhow::Result<HeaderValue> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let claims = json!({
            "iss": ISSUER, "sub": self.user, "aud": audience, "iat": now, "exp": now + LIFE.as_secs(),
        });
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.fingerprint.clone());
        let token = jsonwebtoken::encode(&header, &claims, &self.key)?;
        Ok(HeaderValue::try_from(format!("Bearer {token}"))?)
    }
}

/// A credential for one audience, renewed in time; shared by connections as kubectl's cached one is.
#[derive(Clone)]
pub(crate) struct Bearer {
    signer: Arc<Signer>,
    audience: Arc<str>,
    current: Arc<Mutex<Option<(Instant, HeaderValue)>>>,
}

impl Bearer {
    /// For the cloud API, or for one cluster.
    pub(crate) fn new(signer: &Arc<Signer>, cluster: Option<&str>) -> Self {
        Self { signer: Arc::clone(signer), audience: cluster.unwrap_or(ISSUER).into(), current: Arc::default() }
    }

    /// The `authorization` header.
    pub(crate) fn header(&self) -> anyhow::Result<HeaderValue> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, header)) = &*current
            && made.elapsed() < RENEW
        {
            return Ok(header.clone());
        }
        let header = self.signer.header(&self.audience)?;
        *current = Some((Instant::now(), header.clone()));
        Ok(header)
    }
}
