//! SQL of limits, quotas, and what is counted for them.

use super::{
    Limit, Rule,
    statement::{self, Place, Value},
};
use crate::sql::place;
use domain::{CompartmentId, TenantId};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, Row};
use std::collections::HashMap;

/// Makes the tenancy's other makers wait until the transaction ends.
pub(crate) async fn lock_tenancy(db: &mut PgConnection, tenant: &TenantId) -> Result<(), sqlx::Error> {
    let lock = sqlx::query("select pg_advisory_xact_lock(hashtextextended('quota:' || $1, 0))");
    lock.bind(tenant.as_str()).execute(db).await?;
    Ok(())
}

/// True if the compartment exists and is not deleted.
pub(super) async fn is_active(db: &mut PgConnection, compartment: &CompartmentId) -> Result<bool, sqlx::Error> {
    let query = "select exists (select from compartments where id = $1 and lifecycle_state = 'ACTIVE')";
    sqlx::query_scalar(query).bind(compartment.as_str()).fetch_one(db).await
}

/// What the operator said the tenancy may have.
pub(super) async fn limit(db: &mut PgConnection, tenant: &TenantId, limit: Limit) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("select value from service_limits where tenancy_id = $1 and name = $2")
        .bind(tenant.as_str())
        .bind(limit.as_str())
        .fetch_optional(db)
        .await
}

/// Why a limit could not be set.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// There is no such limit.
    #[error("there is no limit {0:?}; there are {known}", known = Limit::WORDS.join(", "))]
    Unknown(String),
    /// There is no such tenancy.
    #[error("there is no tenancy {0:?}")]
    NoTenancy(String),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// Says how much a tenancy, given by name or OCID, may have of something. For operators.
///
/// # Errors
/// If there is no such tenancy or limit, or the database fails.
pub async fn set_limit(db: &PgPool, tenancy: &str, name: &str, value: u32) -> Result<(), LimitError> {
    let limit: Limit = name.parse().map_err(|_| LimitError::Unknown(name.to_owned()))?;
    let done = sqlx::query(
        "insert into service_limits (tenancy_id, name, value)
         select id, $2, $3 from tenancies where id = $1 or name = $1
         on conflict (tenancy_id, name) do update set value = excluded.value",
    )
    .bind(tenancy)
    .bind(limit.as_str())
    .bind(i64::from(value))
    .execute(db)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(LimitError::NoTenancy(tenancy.to_owned())) }
}

/// What is in use, in the whole tenancy or in some compartments of it.
pub(super) async fn used(
    db: &mut PgConnection,
    tenant: &TenantId,
    limit: Limit,
    compartments: Option<&[CompartmentId]>,
) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(match limit {
        Limit::Clusters => "select count(*) from clusters where lifecycle_state <> 'DELETED'",
        Limit::VirtualNodes => {
            "select coalesce(sum(size), 0) from virtual_node_pools where lifecycle_state not in ('DELETING', 'DELETED')"
        }
        Limit::Instances => "select count(*) from container_instances where lifecycle_state <> 'DELETED'",
        Limit::InstanceOcpus => {
            "select coalesce(sum(ocpus), 0)::bigint from container_instances where lifecycle_state <> 'DELETED'"
        }
        Limit::InstanceMemory => {
            "select coalesce(sum(memory_gb), 0)::bigint from container_instances where lifecycle_state <> 'DELETED'"
        }
        Limit::Vcns => "select count(*) from vcns where true",
    });
    query.push(" and tenancy_id = ").push_bind(tenant.as_str().to_owned());
    if let Some(compartments) = compartments {
        let ids: Vec<String> = compartments.iter().map(|id| id.as_str().to_owned()).collect();
        query.push(" and compartment_id = any(").push_bind(ids).push(")");
    }
    query.build_query_scalar().fetch_one(db).await
}

/// The rules of all quotas of a tenancy: of statements about the same name and compartment the last one counts.
pub(super) async fn quotas_of(db: &mut PgConnection, tenant: &TenantId) -> Result<Vec<Rule>, sqlx::Error> {
    let quotas: Vec<(String, Vec<String>)> =
        sqlx::query_as("select name, statements from quotas where tenancy_id = $1 order by created_ms, id")
            .bind(tenant.as_str())
            .fetch_all(&mut *db)
            .await?;
    if quotas.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "select id, parent_id, lower(name) as name from compartments where tenancy_id = $1 and lifecycle_state = 'ACTIVE'",
    );
    let rows = rows.bind(tenant.as_str()).fetch_all(db).await?;
    let mut tree = HashMap::new();
    for row in &rows {
        tree.insert((place(row, "parent_id")?, row.try_get::<String, _>("name")?), place(row, "id")?);
    }
    let root = CompartmentId::root(tenant);
    let locate = |place: &Place| match place {
        Place::Tenancy => Some(root.clone()),
        Place::Id(id) => tree.values().find(|known| known.as_str() == id).cloned(),
        Place::Path(path) => {
            path.iter().try_fold(root.clone(), |parent, name| tree.get(&(parent, name.clone())).cloned())
        }
    };
    let mut rules: HashMap<(Limit, CompartmentId), Option<Rule>> = HashMap::new();
    for (name, statements) in quotas {
        for statement in statements.iter().filter_map(|text| statement::parse(text).ok()) {
            let Some(compartment) = locate(&statement.place) else { continue };
            for limit in statement.limits {
                let rule = match statement.value {
                    Value::Unset => None,
                    Value::Most(value) => {
                        Some(Rule { name: name.clone(), limit, value, compartment: compartment.clone() })
                    }
                };
                rules.insert((limit, compartment.clone()), rule);
            }
        }
    }
    Ok(rules.into_values().flatten().collect())
}
