//! SQL of tenancies, users and API keys.

use super::{ADMIN_POLICY, ADMINISTRATORS, KeyOwner, PublicKey, UserNamed, api_key::ApiKey, membership::Membership};
use crate::{
    Error,
    rest::Page,
    sql::{place, unique},
};
use domain::{GroupId, MembershipId, PolicyId, TenantId, UserId};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, Row, postgres::PgRow};

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
        "select k.kid, u.tenancy_id, u.id, u.name, k.public_key_pem,
                array(select g.name from group_memberships m join groups g on g.id = m.group_id
                       where m.user_id = u.id order by g.name) as groups
           from api_keys k join users u on u.id = k.user_id where (k.kid = $1 or k.fingerprint_md5 = $1)
             and u.lifecycle_state = 'ACTIVE'",
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
    let row = sqlx::query(
        "select u.tenancy_id, u.id, u.name,
                array(select g.name from group_memberships m join groups g on g.id = m.group_id
                       where m.user_id = u.id order by g.name) as groups
           from users u where u.tenancy_id = $1 and u.name = $2 and u.lifecycle_state = 'ACTIVE'",
    )
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

/// Name of a tenancy, and when it was made.
pub(super) async fn tenancy(db: &PgPool, tenant: &TenantId) -> Result<Option<(String, i64)>, sqlx::Error> {
    sqlx::query_as("select name, created_ms from tenancies where id = $1")
        .bind(tenant.as_str())
        .fetch_optional(db)
        .await
}

/// How many users are in a group.
pub(super) async fn members(db: &mut PgConnection, group: &str) -> Result<i64, sqlx::Error> {
    let query = sqlx::query_scalar("select count(*) from group_memberships where group_id = $1");
    query.bind(group).fetch_one(db).await
}

pub(super) async fn insert_membership(db: &mut PgConnection, membership: &Membership) -> Result<(), Error> {
    sqlx::query(
        "insert into group_memberships (id, tenancy_id, user_id, group_id, created_ms) values ($1, $2, $3, $4, $5)",
    )
    .bind(membership.id.as_str())
    .bind(membership.tenancy_id.as_str())
    .bind(membership.user_id.as_str())
    .bind(membership.group_id.as_str())
    .bind(membership.created_ms)
    .execute(db)
    .await
    .map_err(|error| unique(error, "group_memberships_once", "the user is in the group already"))?;
    Ok(())
}

fn read_membership(row: &PgRow) -> Result<Membership, sqlx::Error> {
    Ok(Membership {
        id: text(row, "id")?,
        tenancy_id: text(row, "tenancy_id")?,
        root: place(row, "tenancy_id")?,
        user_id: text(row, "user_id")?,
        group_id: text(row, "group_id")?,
        created_ms: row.try_get("created_ms")?,
    })
}

fn select_memberships(tenant: &TenantId) -> QueryBuilder<Postgres> {
    let columns = "select id, tenancy_id, user_id, group_id, created_ms from group_memberships where tenancy_id = ";
    let mut query = QueryBuilder::new(columns);
    query.push_bind(tenant.as_str().to_owned());
    query
}

pub(super) async fn membership(
    db: &mut PgConnection,
    tenant: &TenantId,
    id: &str,
) -> Result<Option<Membership>, sqlx::Error> {
    let mut query = select_memberships(tenant);
    query.push(" and id = ").push_bind(id.to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(read_membership).transpose()
}

pub(super) async fn memberships(
    db: &PgPool,
    tenant: &TenantId,
    user: Option<&str>,
    group: Option<&str>,
    page: &Page,
) -> Result<Vec<Membership>, sqlx::Error> {
    let mut query = select_memberships(tenant);
    for (condition, value) in [(" and user_id = ", user), (" and group_id = ", group)] {
        if let Some(value) = value {
            query.push(condition).push_bind(value.to_owned());
        }
    }
    page.push(&mut query);
    query.build().fetch_all(db).await?.iter().map(read_membership).collect()
}

pub(super) async fn delete_membership(
    db: &mut PgConnection,
    tenant: &TenantId,
    id: &MembershipId,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("delete from group_memberships where tenancy_id = $1 and id = $2");
    query.bind(tenant.as_str()).bind(id.as_str()).execute(db).await?;
    Ok(())
}

/// Keeps a user's keys from being changed by others until the transaction ends.
pub(super) async fn lock_user(db: &mut PgConnection, user: &str) -> Result<(), sqlx::Error> {
    sqlx::query("select id from users where id = $1 for update").bind(user).execute(db).await?;
    Ok(())
}

fn read_key(row: &PgRow) -> Result<ApiKey, sqlx::Error> {
    Ok(ApiKey {
        fingerprint: row.try_get("fingerprint_md5")?,
        public_key: row.try_get("public_key_pem")?,
        created_ms: row.try_get("created_ms")?,
    })
}

/// A user's keys, oldest first.
pub(super) async fn keys(db: &mut PgConnection, user: &str) -> Result<Vec<ApiKey>, sqlx::Error> {
    let query =
        "select fingerprint_md5, public_key_pem, created_ms from api_keys where user_id = $1 order by created_ms, kid";
    sqlx::query(query).bind(user).fetch_all(db).await?.iter().map(read_key).collect()
}

/// Registers a key; `None` if somebody has it already.
pub(super) async fn insert_key(
    db: &mut PgConnection,
    user: &str,
    key: &PublicKey,
    now_ms: i64,
) -> Result<Option<ApiKey>, sqlx::Error> {
    let row = sqlx::query(
        "insert into api_keys (kid, user_id, public_key_pem, created_ms) values ($1, $2, $3, $4)
         on conflict do nothing returning fingerprint_md5, public_key_pem, created_ms",
    )
    .bind(key.fingerprint())
    .bind(user)
    .bind(key.to_pem())
    .bind(now_ms)
    .fetch_optional(db)
    .await?;
    row.as_ref().map(read_key).transpose()
}

/// Forgets a key, by its `kid` or by its fingerprint as OCI makes it; false if the user has none of that name.
pub(super) async fn delete_key(db: &PgPool, user: &str, fingerprint: &str) -> Result<bool, sqlx::Error> {
    let query = sqlx::query("delete from api_keys where user_id = $1 and (kid = $2 or fingerprint_md5 = $2)");
    Ok(query.bind(user).bind(fingerprint).execute(db).await?.rows_affected() == 1)
}
