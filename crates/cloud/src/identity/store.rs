//! SQL of tenancies, users and API keys.

use super::{ADMIN_POLICY, ADMINISTRATORS, KeyOwner};
use domain::{GroupId, MembershipId, PolicyId, TenantId, UserId};
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
    now_ms: i64,
) -> Result<UserId, sqlx::Error> {
    let row = sqlx::query(
        "insert into users (id, tenancy_id, name, created_ms) values ($1, $2, $3, $4)
         on conflict on constraint users_name do update set name = excluded.name returning id",
    )
    .bind(id.as_str())
    .bind(tenant.as_str())
    .bind(name)
    .bind(now_ms)
    .fetch_one(db)
    .await?;
    text(&row, "id")
}

/// Makes the administrators' group with its policy, and the user a member of it.
pub(super) async fn ensure_administrators(
    db: &mut PgConnection,
    tenant: &TenantId,
    user: &UserId,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into groups (id, tenancy_id, name, description, created_ms) values ($1, $2, $3, $3, $4)
         on conflict (tenancy_id, lower(name)) do nothing",
    )
    .bind(GroupId::generate().as_str())
    .bind(tenant.as_str())
    .bind(ADMINISTRATORS)
    .bind(now_ms)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "insert into group_memberships (id, tenancy_id, user_id, group_id, created_ms)
         select $1, $2, $3, id, $5 from groups where tenancy_id = $2 and lower(name) = lower($4)
         on conflict on constraint group_memberships_once do nothing",
    )
    .bind(MembershipId::generate().as_str())
    .bind(tenant.as_str())
    .bind(user.as_str())
    .bind(ADMINISTRATORS)
    .bind(now_ms)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "insert into policies (id, tenancy_id, compartment_id, name, description, statements, created_ms)
         values ($1, $2, $2, $3, 'Administrators may do everything in the tenancy', array[$4], $5)
         on conflict on constraint policies_name do nothing",
    )
    .bind(PolicyId::generate().as_str())
    .bind(tenant.as_str())
    .bind(ADMIN_POLICY)
    .bind(format!("Allow group {ADMINISTRATORS} to manage all-resources in tenancy"))
    .bind(now_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// Registers a key; returns whose it is.
pub(super) async fn ensure_key(
    db: &mut PgConnection,
    kid: &str,
    user: &UserId,
    pem: &str,
    now_ms: i64,
) -> Result<UserId, sqlx::Error> {
    let row = sqlx::query(
        "insert into api_keys (kid, user_id, public_key_pem, created_ms) values ($1, $2, $3, $4)
         on conflict (kid) do update set kid = excluded.kid returning user_id",
    )
    .bind(kid)
    .bind(user.as_str())
    .bind(pem)
    .bind(now_ms)
    .fetch_one(db)
    .await?;
    text(&row, "user_id")
}

/// Whose key it is. Across tenants by nature: the key says who the tenant is.
pub(super) async fn key_owner_all_tenants(db: &PgPool, kid: &str) -> Result<Option<KeyOwner>, sqlx::Error> {
    let row = sqlx::query(
        "select k.kid, u.tenancy_id, u.id, u.name, k.public_key_pem,
                array(select g.name from group_memberships m join groups g on g.id = m.group_id
                       where m.user_id = u.id order by g.name) as groups
           from api_keys k join users u on u.id = k.user_id where k.kid = $1 and u.lifecycle_state = 'ACTIVE'",
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
