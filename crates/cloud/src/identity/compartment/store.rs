//! SQL of compartments.

use super::Compartment;
use crate::{
    Error,
    rest::Page,
    sql::{column, json, place, unique},
};
use domain::{CompartmentId, TenantId};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, Row, postgres::PgRow, types::Json};

fn read(row: &PgRow) -> Result<Compartment, sqlx::Error> {
    Ok(Compartment {
        id: place(row, "id")?,
        tenancy_id: column(row, "tenancy_id")?,
        parent_id: place(row, "parent_id")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        active: row.try_get::<&str, _>("lifecycle_state")? == "ACTIVE",
        freeform_tags: json(row, "freeform_tags")?,
        defined_tags: json(row, "defined_tags")?,
        version: row.try_get("version")?,
        created_ms: row.try_get("created_ms")?,
    })
}

fn select(tenant: &TenantId) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "select id, tenancy_id, parent_id, name, description, lifecycle_state, freeform_tags, defined_tags, version,
                created_ms from compartments where tenancy_id = ",
    );
    query.push_bind(tenant.as_str().to_owned());
    query
}

fn taken(error: sqlx::Error) -> Error {
    unique(error, "compartments_name", "a compartment of this name exists in the same parent already")
}

/// Stores a new compartment.
pub(super) async fn insert(db: &mut PgConnection, compartment: &Compartment) -> Result<(), Error> {
    sqlx::query(
        "insert into compartments (id, tenancy_id, parent_id, name, description, lifecycle_state, freeform_tags,
                                   defined_tags, created_ms)
         values ($1, $2, $3, $4, $5, 'ACTIVE', $6, $7, $8)",
    )
    .bind(compartment.id.as_str())
    .bind(compartment.tenancy_id.as_str())
    .bind(compartment.parent_id.as_str())
    .bind(&compartment.name)
    .bind(&compartment.description)
    .bind(Json(&compartment.freeform_tags))
    .bind(Json(&compartment.defined_tags))
    .bind(compartment.created_ms)
    .execute(db)
    .await
    .map_err(taken)?;
    Ok(())
}

/// Stores what was changed.
pub(super) async fn update(db: &mut PgConnection, compartment: &Compartment) -> Result<(), Error> {
    sqlx::query(
        "update compartments set parent_id = $3, name = $4, description = $5, freeform_tags = $6, defined_tags = $7,
                version = $8 where tenancy_id = $1 and id = $2",
    )
    .bind(compartment.tenancy_id.as_str())
    .bind(compartment.id.as_str())
    .bind(compartment.parent_id.as_str())
    .bind(&compartment.name)
    .bind(&compartment.description)
    .bind(Json(&compartment.freeform_tags))
    .bind(Json(&compartment.defined_tags))
    .bind(compartment.version)
    .execute(db)
    .await
    .map_err(taken)?;
    Ok(())
}

/// Says that it is deleted.
pub(super) async fn bury(db: &mut PgConnection, compartment: &Compartment, now_ms: i64) -> Result<(), Error> {
    sqlx::query(
        "update compartments set lifecycle_state = 'DELETED', deleted_ms = $3, version = $4
          where tenancy_id = $1 and id = $2",
    )
    .bind(compartment.tenancy_id.as_str())
    .bind(compartment.id.as_str())
    .bind(now_ms)
    .bind(compartment.version)
    .execute(db)
    .await?;
    Ok(())
}

/// The tenant's compartment of that id, deleted ones too.
pub(super) async fn get(db: &PgPool, tenant: &TenantId, id: &str) -> Result<Option<Compartment>, sqlx::Error> {
    let mut query = select(tenant);
    query.push(" and id = ").push_bind(id.to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(read).transpose()
}

/// The same, locked until the transaction ends.
pub(super) async fn lock(
    db: &mut PgConnection,
    tenant: &TenantId,
    id: &str,
) -> Result<Option<Compartment>, sqlx::Error> {
    let mut query = select(tenant);
    query.push(" and id = ").push_bind(id.to_owned()).push(" for update");
    query.build().fetch_optional(db).await?.as_ref().map(read).transpose()
}

pub(super) async fn list(
    db: &PgPool,
    tenant: &TenantId,
    parents: &[CompartmentId],
    name: Option<&str>,
    active: Option<bool>,
    page: &Page,
) -> Result<Vec<Compartment>, sqlx::Error> {
    let mut query = select(tenant);
    let parents: Vec<String> = parents.iter().map(|id| id.as_str().to_owned()).collect();
    query.push(" and parent_id = any(").push_bind(parents).push(")");
    if let Some(name) = name {
        query.push(" and name = ").push_bind(name.to_owned());
    }
    if let Some(active) = active {
        query.push(" and lifecycle_state = ").push_bind(if active { "ACTIVE" } else { "DELETED" });
    }
    page.push(&mut query);
    query.build().fetch_all(db).await?.iter().map(read).collect()
}

/// What must be gone before a compartment can be deleted: words with a query of one parameter, the compartment.
const CONTENTS: &[(&str, &str)] = &[
    ("compartments", "select count(*) from compartments where parent_id = $1 and lifecycle_state <> 'DELETED'"),
    ("clusters", "select count(*) from clusters where compartment_id = $1 and lifecycle_state <> 'DELETED'"),
    (
        "container instances",
        "select count(*) from container_instances where compartment_id = $1 and lifecycle_state <> 'DELETED'",
    ),
    (
        "virtual node pools",
        "select count(*) from virtual_node_pools where compartment_id = $1 and lifecycle_state <> 'DELETED'",
    ),
    (
        "container instances",
        "select count(*) from container_instances where compartment_id = $1 and lifecycle_state <> 'DELETED'",
    ),
    ("networks", "select count(*) from vcns where compartment_id = $1"),
    ("subnets", "select count(*) from subnets where compartment_id = $1"),
    ("network security groups", "select count(*) from security_groups where compartment_id = $1"),
    ("policies", "select count(*) from policies where compartment_id = $1"),
];

/// How much of what is in a compartment.
pub(super) async fn contents(
    db: &mut PgConnection,
    compartment: &CompartmentId,
) -> Result<Vec<(&'static str, i64)>, sqlx::Error> {
    let mut counts = Vec::new();
    for (what, query) in CONTENTS {
        let count = sqlx::query_scalar(*query).bind(compartment.as_str()).fetch_one(&mut *db).await?;
        counts.push((*what, count));
    }
    Ok(counts)
}
