//! SQL of what grants are made of.

use crate::{
    access::{CompartmentNode, GrantSource, statement},
    sql::{column, place},
};
use domain::TenantId;
use sqlx::{PgPool, Row, postgres::PgRow};

fn node(row: &PgRow) -> Result<CompartmentNode, sqlx::Error> {
    Ok(CompartmentNode {
        id: column(row, "id")?,
        parent: Some(place(row, "parent_id")?),
        name: row.try_get("name")?,
        active: row.try_get("active")?,
    })
}

/// Compartments, groups and statements of a tenancy, as of one moment.
pub(super) async fn source(db: &PgPool, tenant: &TenantId) -> Result<GrantSource, sqlx::Error> {
    let mut txn = db.begin_with("begin isolation level repeatable read read only").await?;
    let nodes = sqlx::query(
        "select id, parent_id, name, lifecycle_state = 'ACTIVE' as active from compartments where tenancy_id = $1",
    );
    let nodes = nodes.bind(tenant.as_str()).fetch_all(&mut *txn).await?;
    let groups = sqlx::query_as("select id, name from groups where tenancy_id = $1");
    let groups = groups.bind(tenant.as_str()).fetch_all(&mut *txn).await?;
    let policies = sqlx::query("select compartment_id, statements from policies where tenancy_id = $1");
    let policies = policies.bind(tenant.as_str()).fetch_all(&mut *txn).await?;
    txn.commit().await?;
    let mut statements = Vec::new();
    for row in &policies {
        let at = place(row, "compartment_id")?;
        let texts: Vec<String> = row.try_get("statements")?;
        // What was taken once and is not understood any more allows nothing.
        statements.extend(texts.iter().filter_map(|text| Some((at.clone(), statement::parse(text).ok()?))));
    }
    let compartments = nodes.iter().map(node).collect::<Result<_, _>>()?;
    Ok(GrantSource { compartments, groups, statements })
}
