//! A caller with a good credential, and the bearer tokens that were found good a short while ago.

use crate::{
    config::Limits,
    key::User,
    limit::{Bucket, Buckets},
    memory::shrink,
    refusal::{Refusal, Whose},
};
use dashmap::DashMap;
use domain::{ClusterId, Principal, UserId};
use http::HeaderValue;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A caller whose credential is good.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The header that tells the services behind.
    pub(crate) header: HeaderValue,
    /// The only cluster the credential is good for.
    pub(crate) cluster: Option<ClusterId>,
    /// The user, for logs.
    pub(crate) user: UserId,
    /// How fast the user, and all users of the tenancy, may ask.
    own: Arc<Bucket>,
    shared: Arc<Bucket>,
    /// Until when the credential needs no new look.
    until: Instant,
}

impl Caller {
    /// Counts one request against the limits of the user and of the tenancy.
    pub(crate) fn count(&self, now: Instant) -> Result<(), Refusal> {
        self.own.take(now).map_err(|seconds| Refusal::TooMany(Whose::User, seconds))?;
        self.shared.take(now).map_err(|seconds| Refusal::TooMany(Whose::Tenancy, seconds))
    }
}

/// The callers that were here of late.
#[derive(Debug)]
pub(crate) struct Callers {
    tokens: DashMap<Box<str>, Arc<Caller>>,
    buckets: Buckets,
}

impl Callers {
    /// Knows nobody yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { tokens: DashMap::new(), buckets: Buckets::new(limits) }
    }

    /// Whose bearer token this is, if that was found out a short while ago.
    pub(crate) fn remembered(&self, token: &str, now: Instant) -> Option<Arc<Caller>> {
        self.tokens.get(token).filter(|caller| caller.until > now).map(|caller| Arc::clone(&caller))
    }

    /// The caller that a credential has shown `user` to be. Good for one request; a bearer token's can be remembered.
    pub(crate) fn caller(&self, user: &User, cluster: Option<ClusterId>, until: Instant) -> Arc<Caller> {
        let now = Instant::now();
        let principal = Principal {
            tenant_id: user.tenant_id.clone(),
            user_id: user.user_id.clone(),
            user_name: user.user_name.clone(),
            groups: user.groups.clone(),
            cluster_id: cluster.clone(),
        };
        Arc::new(Caller {
            header: HeaderValue::try_from(principal.to_header()).expect("base64url is a header value"),
            cluster,
            user: user.user_id.clone(),
            own: self.buckets.user(&user.user_id, now),
            shared: self.buckets.tenant(&user.tenant_id, now),
            until,
        })
    }

    /// Believes a bearer token for as long as its caller's `until`.
    ///
    /// Invariant: only bearer tokens come here. A request signature is good for one request, and is verified each time.
    pub(crate) fn remember(&self, token: &str, caller: &Arc<Caller>) {
        let now = Instant::now();
        shrink(&self.tokens, |caller| caller.until > now);
        self.tokens.insert(token.into(), Arc::clone(caller));
    }
}

/// The instant of a Unix time, seen from now; now if it is past.
pub(crate) fn instant_of(unix: i64, now_unix: i64, now: Instant) -> Instant {
    now + Duration::from_secs(u64::try_from(unix - now_unix).unwrap_or(0))
}
