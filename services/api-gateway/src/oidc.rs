//! Identity providers outside: whose tokens are taken, and which user of a tenancy each one names.
//! Source: OpenID Connect Core 1.0, 3.1.3.7, and Discovery 1.0.

mod keyset;

use crate::config::Provider;
use domain::TenantId;
use jsonwebtoken::Validation;
use keyset::KeySet;
use serde_json::{Map, Value};

/// Difference of clocks that is put up with, in seconds.
const LEEWAY: u64 = 30;

/// Why a token of an identity provider is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the keys of {issuer} cannot be fetched: {reason}")]
    Unreachable { issuer: String, reason: String },
    #[error("a token has no readable head")]
    Head,
    #[error("{issuer} has no key {kid:?} for a token")]
    NoKey { issuer: String, kid: String },
    #[error("a token of {issuer} has algorithm {algorithm:?}, which its key is not for")]
    Algorithm { issuer: String, algorithm: jsonwebtoken::Algorithm },
    #[error("a token of {issuer} is no good: {reason}")]
    Invalid { issuer: String, reason: jsonwebtoken::errors::Error },
    #[error("a token of {issuer} has no usable claim {claim}")]
    Claim { issuer: String, claim: String },
}

/// Whom a verified token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The provider.
    pub(crate) issuer: String,
    /// The tenancy that trusts it.
    pub(crate) tenant: TenantId,
    /// The user's name in that tenancy.
    pub(crate) user_name: String,
    /// Groups of that tenancy that the token brings.
    pub(crate) groups: Vec<String>,
    /// Unix seconds at which the token ends.
    pub(crate) expires: i64,
}

impl Identity {
    /// The user's name for a log: of mail addresses the first letter and the domain.
    pub(crate) fn shown_name(&self) -> String {
        match self.user_name.split_once('@') {
            Some((name, domain)) => format!("{}...@{domain}", name.chars().take(1).collect::<String>()),
            None => self.user_name.clone(),
        }
    }
}

/// One provider and its keys.
#[derive(Debug)]
struct Trusted {
    provider: Provider,
    keys: KeySet,
}

/// All providers that this installation trusts.
#[derive(Debug)]
pub(crate) struct Oidc(Vec<Trusted>);

impl Oidc {
    /// Fetches nothing yet: a provider that is away at start is asked when its first token comes.
    ///
    /// # Errors
    /// If a provider is described wrongly, or its CA cannot be read.
    pub(crate) fn new(providers: &[Provider]) -> anyhow::Result<Self> {
        let trust = |provider: &Provider| {
            provider.check()?;
            Ok(Trusted { keys: KeySet::new(&provider.issuer, provider.ca.as_deref())?, provider: provider.clone() })
        };
        providers.iter().map(trust).collect::<anyhow::Result<_>>().map(Self)
    }

    /// True if tokens of this issuer are taken.
    pub(crate) fn knows(&self, issuer: &str) -> bool {
        self.0.iter().any(|trusted| trusted.provider.issuer == issuer)
    }

    /// Verifies a token, which has an issuer that is known.
    ///
    /// # Errors
    /// If anything about the token is wrong, or the provider's keys cannot be fetched.
    pub(crate) async fn verify(&self, token: &str) -> Result<Identity, Error> {
        let head = jsonwebtoken::decode_header(token).map_err(|_| Error::Head)?;
        let (issuer, audiences) = claimed(token).ok_or(Error::Head)?;
        // The same provider may serve several tenancies, each with an audience of its own.
        let of_issuer = || self.0.iter().filter(|trusted| trusted.provider.issuer == issuer);
        let meant = of_issuer().find(|trusted| audiences.contains(&trusted.provider.audience));
        let Trusted { provider, keys } = meant.or_else(|| of_issuer().next()).ok_or(Error::Head)?;
        let key = keys.key(head.kid.as_deref()).await?;
        if !key.algorithms.contains(&head.alg) {
            return Err(Error::Algorithm { issuer, algorithm: head.alg });
        }
        let mut validation = Validation::new(head.alg);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[&provider.issuer]);
        validation.set_audience(&[&provider.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let verified = jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &validation);
        let claims = verified.map_err(|reason| Error::Invalid { issuer, reason })?.claims;
        identity(provider, &claims)
    }
}

/// Issuer and audiences that an unverified token claims to have.
fn claimed(token: &str) -> Option<(String, Vec<String>)> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()?;
    Some((claims["iss"].as_str()?.to_owned(), texts(&claims["aud"])))
}

/// A text, or an array of texts.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// Whom the claims of a verified token name.
fn identity(provider: &Provider, claims: &Map<String, Value>) -> Result<Identity, Error> {
    let issuer = provider.issuer.clone();
    let missing = |claim: &str| Error::Claim { issuer: issuer.clone(), claim: claim.to_owned() };
    let claim = &provider.username_claim;
    let name =
        claims.get(claim).and_then(Value::as_str).filter(|name| !name.is_empty()).ok_or_else(|| missing(claim))?;
    // As kube-apiserver does: an address that the provider did not check could be anybody's.
    let verified = claims.get("email_verified").is_none_or(|verified| *verified == Value::Bool(true));
    if claim == "email" && !verified {
        return Err(missing("email_verified"));
    }
    let claimed = provider.groups_claim.as_ref().and_then(|claim| claims.get(claim)).map(texts).unwrap_or_default();
    let groups = claimed.iter().filter_map(|group| provider.groups.get(group).cloned()).collect();
    let expires = claims.get("exp").and_then(Value::as_f64).ok_or_else(|| missing("exp"))?;
    Ok(Identity {
        issuer: provider.issuer.clone(),
        tenant: provider.tenancy.clone(),
        user_name: format!("{}{name}", provider.username_prefix),
        groups,
        // Saturates; checked against the present before.
        expires: expires as i64,
    })
}

#[cfg(test)]
mod tests;
