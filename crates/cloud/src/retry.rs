//! `opc-retry-token`: a create that is sent twice happens once.

mod store;

use crate::Error;
use domain::TenantId;
use problem::oci;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

pub(crate) use store::purge_all_tenants;

/// How long a token is remembered. Source: OCI's documentation, 24 hours.
pub(crate) const KEEP_MS: i64 = 24 * 3600 * 1000;

/// A create that may be a repetition.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) operation: &'static str,
    pub(crate) token: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// Claims the token for this request, which makes `made`: a work request or, where there is none, the resource itself.
/// `Some` is what the one that was first made.
///
/// # Errors
/// If the token came with another request before.
pub(crate) async fn claim(
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    made: &str,
    now_ms: i64,
) -> Result<Option<String>, Error> {
    let Some(token) = attempt.token else { return Ok(None) };
    let hash = Sha256::digest(attempt.body).to_vec();
    if store::take(db, attempt, token, &hash, made, now_ms).await? {
        return Ok(None);
    }
    let (first_hash, first) = store::holder(db, attempt, token).await?;
    if first_hash != hash {
        let text = "the opc-retry-token was used with another request; use a new one";
        return Err(oci::Error::invalidated_retry_token(text).into());
    }
    Ok(Some(first))
}
