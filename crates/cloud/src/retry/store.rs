//! The SQL of retry tokens.

use super::{Attempt, KEEP_MS};
use crate::Error;
use sqlx::{PgConnection, PgPool, Row};

/// Takes the token, or takes it over if it is too old to count; false if another request holds it. Waits for a
/// concurrent holder to commit.
pub(crate) async fn take(
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    token: &str,
    hash: &[u8],
    made: &str,
    now_ms: i64,
) -> Result<bool, Error> {
    let taken = sqlx::query(
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
    .bind(hash)
    .bind(made)
    .bind(now_ms)
    .bind(KEEP_MS)
    .execute(db)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// The hash of the request that holds the token, and what it made: `work_request_id` is the resource itself where there is no work request.
pub(crate) async fn holder(
    db: &mut PgConnection,
    attempt: &Attempt<'_>,
    token: &str,
) -> Result<(Vec<u8>, String), Error> {
    let row = sqlx::query(
        "select request_hash, work_request_id from retry_tokens where tenancy_id = $1 and operation = $2 and token = $3",
    )
    .bind(attempt.tenant.as_str())
    .bind(attempt.operation)
    .bind(token)
    .fetch_one(db)
    .await?;
    Ok((row.try_get("request_hash")?, row.try_get("work_request_id")?))
}

/// Forgets tokens that are too old to count.
pub(crate) async fn purge_all_tenants(db: &PgPool, now_ms: i64) -> Result<(), sqlx::Error> {
    sqlx::query("delete from retry_tokens where created_ms < $1").bind(now_ms - KEEP_MS).execute(db).await?;
    Ok(())
}
