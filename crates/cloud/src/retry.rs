//! `opc-retry-token`: a create that is sent twice happens once.

use crate::Error;
use domain::{TenantId, WorkRequestId};
use problem::oci;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool, Row};

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

/// Claims the token for this request; `Some` is the work request of the one that was first.
///
/// # Errors
/// If the token came with another request before.
pub(crate) async fn claim(
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    work: &WorkRequestId,
    now_ms: i64,
) -> Result<Option<WorkRequestId>, Error> {
    let Some(token) = attempt.token else { return Ok(None) };
    let hash = Sha256::digest(attempt.body).to_vec();
    // Takes over tokens that are too old to count; waits for a concurrent holder of the same token.
    let claimed = sqlx::query(
        "insert into retry_tokens as t (tenancy_id, operation, token, request_hash, work_request_id, created_ms)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (tenancy_id, operation, token) do update
            set request_hash = excluded.request_hash, work_request_id = excluded.work_request_id,
                created_ms = excluded.created_ms
          where t.created_ms < excluded.created_ms - $7",
    )
    .bind(attempt.tenant.as_str())
    .bind(attempt.operation)
    .bind(token)
    .bind(&hash)
    .bind(work.as_str())
    .bind(now_ms)
    .bind(KEEP_MS)
    .execute(&mut *db)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let row = sqlx::query(
        "select request_hash, work_request_id from retry_tokens where tenancy_id = $1 and operation = $2 and token = $3",
    )
    .bind(attempt.tenant.as_str())
    .bind(attempt.operation)
    .bind(token)
    .fetch_one(db)
    .await?;
    if row.try_get::<Vec<u8>, _>("request_hash")? != hash {
        let text = "the opc-retry-token was used with another request; use a new one";
        return Err(oci::Error::invalidated_retry_token(text).into());
    }
    Ok(Some(crate::sql::column(&row, "work_request_id")?))
}

/// Forgets tokens that are too old to count.
pub(crate) async fn purge_all_tenants(db: &PgPool, now_ms: i64) -> Result<(), sqlx::Error> {
    sqlx::query("delete from retry_tokens where created_ms < $1").bind(now_ms - KEEP_MS).execute(db).await?;
    Ok(())
}
