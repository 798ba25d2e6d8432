//! What control knows of users and their API keys, asked for and believed for a short while.

use crate::{memory::shrink, upstream::Upstream, verifier::Verifier};
use axum::body::Body;
use dashmap::DashMap;
use domain::{PRINCIPAL_HEADER, TenantId, UserId};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long what control said of a key or a user, or that there is none, is believed; so long a revoked key still works.
const BELIEVE: Duration = Duration::from_secs(30);
/// How long control may take to answer.
const ASK: Duration = Duration::from_secs(5);
/// Largest answer: a PEM key and a user's groups.
const ANSWER_BYTES: usize = 64 * 1024;

/// Control could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("could not ask control who a caller is: {0}")]
pub(crate) struct Unknown(String);

/// A user, as control answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) tenant_id: TenantId,
    pub(crate) user_id: UserId,
    pub(crate) user_name: String,
    pub(crate) groups: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnerAnswer {
    #[serde(flatten)]
    user: User,
    public_key: String,
}

/// A registered key and whose it is.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) user: User,
    pub(crate) verifier: Verifier,
}

/// What control said, or that there is no such thing.
#[derive(Debug)]
pub(crate) struct Known<T> {
    pub(crate) found: Option<T>,
    /// Until when it is believed.
    pub(crate) until: Instant,
}

/// The keys and users that this gateway knows.
#[derive(Debug)]
pub(crate) struct Directory {
    control: Arc<Upstream>,
    keys: DashMap<String, Arc<Known<Owner>>>,
    users: DashMap<(TenantId, String), Arc<Known<User>>>,
}

impl Directory {
    /// Knows nothing yet.
    pub(crate) fn new(control: Arc<Upstream>) -> Self {
        Self { control, keys: DashMap::new(), users: DashMap::new() }
    }

    /// The owner of the key with this `kid` or OCI fingerprint.
    ///
    /// # Errors
    /// If control cannot be asked.
    pub(crate) async fn owner(&self, kid: &str) -> Result<Arc<Known<Owner>>, Unknown> {
        let now = Instant::now();
        if let Some(known) = self.keys.get(kid).filter(|known| known.until > now) {
            return Ok(Arc::clone(&known));
        }
        let answer: Option<OwnerAnswer> = self.ask(&format!("/internal/v1/keys/{kid}")).await?;
        let found = answer
            .and_then(|answer| Some(Owner { verifier: Verifier::from_pem(&answer.public_key)?, user: answer.user }));
        let known = Arc::new(Known { found, until: now + BELIEVE });
        shrink(&self.keys, |known| known.until > now);
        self.keys.insert(kid.to_owned(), Arc::clone(&known));
        Ok(known)
    }

    /// The user of that name in a tenancy.
    ///
    /// # Errors
    /// If control cannot be asked.
    pub(crate) async fn user(&self, tenant: &TenantId, name: &str) -> Result<Arc<Known<User>>, Unknown> {
        let now = Instant::now();
        let key = (tenant.clone(), name.to_owned());
        if let Some(known) = self.users.get(&key).filter(|known| known.until > now) {
            return Ok(Arc::clone(&known));
        }
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("name", name).finish();
        let found = self.ask(&format!("/internal/v1/tenancies/{tenant}/user?{query}")).await?;
        let known = Arc::new(Known { found, until: now + BELIEVE });
        shrink(&self.users, |known| known.until > now);
        self.users.insert(key, Arc::clone(&known));
        Ok(known)
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Unknown> {
        tokio::time::timeout(ASK, self.ask_slowly(path)).await.map_err(|_| Unknown("no answer in time".into()))?
    }

    async fn ask_slowly<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Unknown> {
        let mut request = Request::get(path).body(Body::empty()).map_err(|error| Unknown(error.to_string()))?;
        runtime::request::propagate(request.headers_mut());
        request.headers_mut().remove(PRINCIPAL_HEADER);
        let answer = self.control.send(request).await.map_err(|error| Unknown(error.to_string()))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(Unknown(format!("control answered {status}"))),
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| Unknown(error.to_string()))?.to_bytes();
        serde_json::from_slice(&body).map(Some).map_err(|error| Unknown(error.to_string()))
    }
}
