//! Who signed a token: API keys asked from control, and verified tokens remembered for a short while.

use crate::{
    config::Limits,
    limit::Bucket,
    token::{self, Verifier},
    upstream::Upstream,
};
use axum::body::Body;
use dashmap::DashMap;
use domain::{ClusterId, PRINCIPAL_HEADER, Principal, TenantId, UserId};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long what control said of a key, or that there is none, is believed; so long a revoked key still works.
const BELIEVE: Duration = Duration::from_secs(30);
/// How long control may take to answer about a key.
const ASK: Duration = Duration::from_secs(5);
/// Remembered tokens, keys and buckets, each: past this the ones out of date are dropped, then all.
const REMEMBER: usize = 50_000;
/// Largest answer about a key: a PEM key and a user's groups.
const ANSWER_BYTES: usize = 64 * 1024;

/// Control could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("could not ask control for a key: {0}")]
pub(crate) struct Unknown(String);

/// A caller whose token is good.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The header that tells the services behind.
    pub(crate) header: HeaderValue,
    /// The only cluster the token is good for.
    pub(crate) cluster: Option<ClusterId>,
    /// The user, for logs.
    pub(crate) user: UserId,
    /// How fast the user may ask.
    pub(crate) bucket: Arc<Bucket>,
    /// Until when the token needs no new look.
    until: Instant,
}

/// Owner of a key, as control answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    tenant_id: TenantId,
    user_id: UserId,
    user_name: String,
    groups: Vec<String>,
    public_key: String,
}

#[derive(Debug)]
struct Known {
    owner: Option<(Owner, Verifier)>,
    until: Instant,
}

/// The keys and tokens that this gateway knows.
#[derive(Debug)]
pub(crate) struct Keys {
    control: Arc<Upstream>,
    limits: Limits,
    keys: DashMap<String, Arc<Known>>,
    tokens: DashMap<Box<str>, Arc<Caller>>,
    buckets: DashMap<UserId, Arc<Bucket>>,
}

impl Keys {
    /// Knows nothing yet.
    pub(crate) fn new(control: Arc<Upstream>, limits: Limits) -> Self {
        Self { control, limits, keys: DashMap::new(), tokens: DashMap::new(), buckets: DashMap::new() }
    }

    /// Whose token this is, if that was found out a short while ago.
    pub(crate) fn remembered(&self, token: &str, now: Instant) -> Option<Arc<Caller>> {
        self.tokens.get(token).filter(|caller| caller.until > now).map(|caller| Arc::clone(&caller))
    }

    /// Whose token this is; `None` if it is no good.
    ///
    /// # Errors
    /// If control cannot be asked.
    pub(crate) async fn caller(&self, token: &str, kid: &str) -> Result<Option<Arc<Caller>>, Unknown> {
        let now = Instant::now();
        if let Some(caller) = self.remembered(token, now) {
            return Ok(Some(caller));
        }
        let known = self.key(kid, now).await?;
        let Some((owner, verifier)) = &known.owner else { return Ok(None) };
        let unix = jiff::Timestamp::now().as_second();
        let grant = token::verify(token, verifier, unix).filter(|grant| grant.user == owner.user_id);
        let Some(grant) = grant else { return Ok(None) };
        let principal = Principal {
            tenant_id: owner.tenant_id.clone(),
            user_id: owner.user_id.clone(),
            user_name: owner.user_name.clone(),
            groups: owner.groups.clone(),
            cluster_id: grant.cluster.clone(),
        };
        let left = Duration::from_secs(u64::try_from(grant.expires - unix).unwrap_or(0));
        let caller = Arc::new(Caller {
            header: HeaderValue::try_from(principal.to_header()).expect("base64url is a header value"),
            cluster: grant.cluster,
            user: grant.user,
            bucket: self.bucket(&owner.user_id, now),
            until: known.until.min(now + left),
        });
        shrink(&self.tokens, |caller| caller.until > now);
        self.tokens.insert(token.into(), Arc::clone(&caller));
        Ok(Some(caller))
    }

    fn bucket(&self, user: &UserId, now: Instant) -> Arc<Bucket> {
        shrink(&self.buckets, |bucket| Arc::strong_count(bucket) > 1);
        let Limits { requests_per_second, burst, .. } = self.limits;
        let fresh = || Arc::new(Bucket::new(requests_per_second, burst, now));
        Arc::clone(&self.buckets.entry(user.clone()).or_insert_with(fresh))
    }

    async fn key(&self, kid: &str, now: Instant) -> Result<Arc<Known>, Unknown> {
        if let Some(known) = self.keys.get(kid).filter(|known| known.until > now) {
            return Ok(Arc::clone(&known));
        }
        let owner =
            tokio::time::timeout(ASK, self.ask(kid)).await.map_err(|_| Unknown("no answer in time".into()))??;
        let owner = owner.and_then(|owner| Some((Verifier::from_pem(&owner.public_key)?, owner)));
        let known = Arc::new(Known { owner: owner.map(|(verifier, owner)| (owner, verifier)), until: now + BELIEVE });
        shrink(&self.keys, |known| known.until > now);
        self.keys.insert(kid.to_owned(), Arc::clone(&known));
        Ok(known)
    }

    async fn ask(&self, kid: &str) -> Result<Option<Owner>, Unknown> {
        let mut request = Request::get(format!("/internal/v1/keys/{kid}"))
            .body(Body::empty())
            .map_err(|error| Unknown(error.to_string()))?;
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

/// Bounds a memory: forgets what is out of date, and everything if that is not enough.
fn shrink<K: std::hash::Hash + Eq, V>(memory: &DashMap<K, V>, fresh: impl Fn(&V) -> bool) {
    if memory.len() < REMEMBER {
        return;
    }
    memory.retain(|_, value| fresh(value));
    if memory.len() >= REMEMBER {
        memory.clear();
    }
}
