//! SQL of tenancies, users and API keys.

use super::{KeyOwner, UserNamed};
use domain::{TenantId, UserId};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};

fn text<T: TryFrom<String>>(row: &PgRow, column: &str) -> Result<T, sqlx::Error>
where
    T::Error: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.try_get(column)?;
    T::try_from(text).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

pub(super) async fn ensure_tenancy(
    db: &mut PgConnection,
    id: &TenantId,
    name: &str,
    now_ms: i64,
) -> Result<TenantId, sqlx::Error> {
    // The update that changes nothing makes the existing row come back.
    let row = sqlx::query(
        "insert into tenancies (id, name, created_ms) values ($1, $2, $3)
         on conflict on constraint tenancies_name do update set name = excluded.name returning id",
    )
    .bind(id.as_str())
    .bind(name)
    .bind(now_ms)
    .fetch_one(db)
    .await?;
    text(&row, "id")
}

pub(super) async fn ensure_user(
    db: &mut PgConnection,
    id: &UserId,
    tenant: &TenantId,
    name: &str,
    groups: &[String],
    now_ms: i64,
) -> Result<UserId, sqlx::Error> {
    let row = sqlx::query(
        "insert into users (id, tenancy_id, name, groups, created_ms) values ($1, $2, $3, $4, $5)
         on conflict on constraint users_name do update set name = excluded.name returning id",
    )
    .bind(id.as_str())
    .bind(tenant.as_str())
    .bind(name)
    .bind(groups)
    .bind(now_ms)
    .fetch_one(db)
    .await?;
    text(&row, "id")
}

/// Registers a key; returns whose it is, and its fingerprint as OCI makes it.
pub(super) async fn ensure_key(
    db: &mut PgConnection,
    kid: &str,
    user: &UserId,
    pem: &str,
    now_ms: i64,
) -> Result<(UserId, String), sqlx::Error> {
    let row = sqlx::query(
        "insert into api_keys (kid, user_id, public_key_pem, created_ms) values ($1, $2, $3, $4)
         on conflict (kid) do update set kid = excluded.kid returning user_id, fingerprint_md5",
    )
    .bind(kid)
    .bind(user.as_str())
    .bind(pem)
    .bind(now_ms)
    .fetch_one(db)
    .await?;
    Ok((text(&row, "user_id")?, row.try_get("fingerprint_md5")?))
}

/// Whose key it is, by its `kid` or by its fingerprint as OCI makes it. Across tenants by nature: the key says who the
/// tenant is.
pub(super) async fn key_owner_all_tenants(db: &PgPool, kid: &str) -> Result<Option<KeyOwner>, sqlx::Error> {
    let row = sqlx::query(
        "select k.kid, u.tenancy_id, u.id, u.name, u.groups, k.public_key_pem
         from api_keys k join users u on u.id = k.user_id where k.kid = $1 or k.fingerprint_md5 = $1",
    )
    .bind(kid)
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(KeyOwner {
            kid: row.try_get("kid")?,
            tenant_id: text(&row, "tenancy_id")?,
            user_id: text(&row, "id")?,
            user_name: row.try_get("name")?,
            groups: row.try_get("groups")?,
            public_key: row.try_get("public_key_pem")?,
        })
    })
    .transpose()
}

/// The user of that name.
pub(super) async fn user_by_name(db: &PgPool, tenant: &TenantId, name: &str) -> Result<Option<UserNamed>, sqlx::Error> {
    let row = sqlx::query("select tenancy_id, id, name, groups from users where tenancy_id = $1 and name = $2")
        .bind(tenant.as_str())
        .bind(name)
        .fetch_optional(db)
        .await?;
    row.map(|row| {
        Ok(UserNamed {
            tenant_id: text(&row, "tenancy_id")?,
            user_id: text(&row, "id")?,
            user_name: row.try_get("name")?,
            groups: row.try_get("groups")?,
        })
    })
    .transpose()
}
