//! SQL of clusters.

use super::{Cluster, ClusterState, ClusterType, Mark, Rotation};
use crate::{
    rest::Page,
    sql::{column, compartment, json, word},
};
use domain::{ClusterId, CompartmentId, TenantId};
use kube_api::KeyGenerations;
use sqlx::{PgConnection, PgExecutor, PgPool, Postgres, QueryBuilder, Row, postgres::PgRow, types::Json};

const COLUMNS: &str = "id, tenancy_id, compartment_id, name, type, kubernetes_version, vcn_id, pods_cidr, \
    services_cidr, lifecycle_state, lifecycle_details, is_paused, key_generation, oldest_key_generation, rotation, \
    rotation_due_ms, spec, version, work_request_id, created_ms, created_by, created_by_work_request, updated_ms, updated_by, updated_by_work_request, deleted_ms, deleted_by, \
    deleted_by_work_request";

fn mark(row: &PgRow, names: [&str; 3]) -> Result<Option<Mark>, sqlx::Error> {
    let at: Option<i64> = row.try_get(names[0])?;
    let text = |name| row.try_get::<Option<String>, _>(name).map(Option::unwrap_or_default);
    at.map(|at_ms| Ok(Mark { at_ms, by: text(names[1])?, work_request: text(names[2])? })).transpose()
}

fn read(row: &PgRow) -> Result<Cluster, sqlx::Error> {
    let created = mark(row, ["created_ms", "created_by", "created_by_work_request"])?;
    Ok(Cluster {
        id: column(row, "id")?,
        tenancy_id: column(row, "tenancy_id")?,
        compartment_id: compartment(row)?,
        name: row.try_get("name")?,
        kind: word::<ClusterType>(row, "type")?,
        kubernetes_version: row.try_get("kubernetes_version")?,
        vcn_id: row.try_get("vcn_id")?,
        pods_cidr: word(row, "pods_cidr")?,
        services_cidr: word(row, "services_cidr")?,
        state: word(row, "lifecycle_state")?,
        details: row.try_get("lifecycle_details")?,
        is_paused: row.try_get("is_paused")?,
        keys: KeyGenerations {
            current: generation(row, "key_generation")?,
            oldest: generation(row, "oldest_key_generation")?,
        },
        rotation: word::<Rotation>(row, "rotation")?,
        rotation_due_ms: row.try_get("rotation_due_ms")?,
        spec: json(row, "spec")?,
        version: row.try_get("version")?,
        work_request_id: row.try_get("work_request_id")?,
        created: created.ok_or(sqlx::Error::RowNotFound)?,
        updated: mark(row, ["updated_ms", "updated_by", "updated_by_work_request"])?,
        deleted: mark(row, ["deleted_ms", "deleted_by", "deleted_by_work_request"])?,
    })
}

fn generation(row: &PgRow, name: &str) -> Result<u32, sqlx::Error> {
    u32::try_from(row.try_get::<i32, _>(name)?).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn select(condition: &str) -> QueryBuilder<Postgres> {
    QueryBuilder::new(format!("select {COLUMNS} from clusters where {condition}"))
}

/// Stores a new cluster.
pub(super) async fn insert(db: &mut PgConnection, cluster: &Cluster) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into clusters (id, tenancy_id, compartment_id, name, type, kubernetes_version, vcn_id, pods_cidr,
            services_cidr, lifecycle_state, spec, work_request_id, created_ms, created_by, created_by_work_request)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $12)",
    )
    .bind(cluster.id.as_str())
    .bind(cluster.tenancy_id.as_str())
    .bind(cluster.compartment_id.as_str())
    .bind(&cluster.name)
    .bind(cluster.kind.as_str())
    .bind(&cluster.kubernetes_version)
    .bind(&cluster.vcn_id)
    .bind(cluster.pods_cidr.to_string())
    .bind(cluster.services_cidr.to_string())
    .bind(cluster.state.as_str())
    .bind(Json(&cluster.spec))
    .bind(&cluster.work_request_id)
    .bind(cluster.created.at_ms)
    .bind(&cluster.created.by)
    .execute(db)
    .await?;
    Ok(())
}

/// The tenant's cluster of that id, deleted ones too.
pub(crate) async fn get(db: &PgPool, tenant: &TenantId, id: &str) -> Result<Option<Cluster>, sqlx::Error> {
    let mut query = select("tenancy_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" and id = ").push_bind(id.to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(read).transpose()
}

/// The same, locked until the transaction ends.
pub(crate) async fn lock(db: &mut PgConnection, tenant: &TenantId, id: &str) -> Result<Option<Cluster>, sqlx::Error> {
    let mut query = select("tenancy_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" and id = ").push_bind(id.to_owned()).push(" for update");
    query.build().fetch_optional(db).await?.as_ref().map(read).transpose()
}

/// The cluster of that id, whoever owns it: for reconcilers.
pub(crate) async fn get_all_tenants(db: impl PgExecutor<'_>, id: &ClusterId) -> Result<Option<Cluster>, sqlx::Error> {
    let mut query = select("id = ");
    query.push_bind(id.as_str().to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(read).transpose()
}

/// Which clusters a list shows.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) name: Option<String>,
    pub(super) states: Vec<ClusterState>,
}

pub(super) async fn list(
    db: &PgPool,
    compartment: &CompartmentId,
    filter: &Filter,
    page: &Page,
) -> Result<Vec<Cluster>, sqlx::Error> {
    let mut query = select("compartment_id = ");
    query.push_bind(compartment.as_str().to_owned());
    if let Some(name) = &filter.name {
        query.push(" and name = ").push_bind(name.clone());
    }
    if !filter.states.is_empty() {
        let words: Vec<String> = filter.states.iter().map(|state| state.as_str().to_owned()).collect();
        query.push(" and lifecycle_state = any(").push_bind(words).push(")");
    }
    page.push(&mut query);
    query.build().fetch_all(db).await?.iter().map(read).collect()
}

/// Stores what an update changed.
pub(super) async fn update(db: &mut PgConnection, cluster: &Cluster) -> Result<(), sqlx::Error> {
    let updated = cluster.updated.as_ref();
    sqlx::query(
        "update clusters set name = $2, type = $3, kubernetes_version = $4, spec = $5, version = version + 1,
                updated_ms = $6, updated_by = $7, updated_by_work_request = $8, lifecycle_state = $9,
                lifecycle_details = $10, work_request_id = $11, is_paused = $12, rotation = $13, rotation_due_ms = $14
          where id = $1",
    )
    .bind(cluster.id.as_str())
    .bind(&cluster.name)
    .bind(cluster.kind.as_str())
    .bind(&cluster.kubernetes_version)
    .bind(Json(&cluster.spec))
    .bind(updated.map(|mark| mark.at_ms))
    .bind(updated.map(|mark| mark.by.clone()))
    .bind(updated.map(|mark| mark.work_request.clone()))
    .bind(cluster.state.as_str())
    .bind(&cluster.details)
    .bind(&cluster.work_request_id)
    .bind(cluster.is_paused)
    .bind(cluster.rotation.as_str())
    .bind(cluster.rotation_due_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// Moves a cluster from one state to another; false if it was not in that state.
pub(super) async fn settle(
    db: &mut PgConnection,
    id: &ClusterId,
    from: ClusterState,
    to: ClusterState,
    details: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "update clusters set lifecycle_state = $3, lifecycle_details = $4, work_request_id = null, version = version + 1
          where id = $1 and lifecycle_state = $2",
    )
    .bind(id.as_str())
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(details)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a step of a rotation, unless it is no more at `from`: the generations are the new ones from then on.
pub(super) async fn rotate(
    db: &mut PgConnection,
    id: &ClusterId,
    (from, to): (Rotation, Rotation),
    keys: KeyGenerations,
) -> Result<bool, sqlx::Error> {
    let number = |generation: u32| i32::try_from(generation).unwrap_or(i32::MAX);
    let done = sqlx::query(
        "update clusters set rotation = $3, key_generation = $4, oldest_key_generation = $5, version = version + 1
          where id = $1 and rotation = $2",
    )
    .bind(id.as_str())
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(number(keys.current))
    .bind(number(keys.oldest))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What a cluster's pools go by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    /// There shall be no nodes.
    pub(crate) paused: bool,
    /// Generation of the key that signs service-account tokens.
    pub(crate) key_generation: u32,
}

/// What the pools of a cluster go by.
pub(crate) async fn terms_all_tenants(db: &PgPool, id: &ClusterId) -> Result<Terms, sqlx::Error> {
    let query = sqlx::query("select is_paused, key_generation from clusters where id = $1").bind(id.as_str());
    let Some(row) = query.fetch_optional(db).await? else { return Ok(Terms::default()) };
    Ok(Terms { paused: row.try_get("is_paused")?, key_generation: generation(&row, "key_generation")? })
}

/// Begins a deletion.
pub(super) async fn begin_delete(db: &mut PgConnection, id: &ClusterId, mark: &Mark) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update clusters set lifecycle_state = 'DELETING', lifecycle_details = null, version = version + 1,
                work_request_id = $2, deleted_ms = $3, deleted_by = $4, deleted_by_work_request = $2
          where id = $1",
    )
    .bind(id.as_str())
    .bind(&mark.work_request)
    .bind(mark.at_ms)
    .bind(&mark.by)
    .execute(db)
    .await?;
    Ok(())
}

/// Clusters in a state that they must leave by our work, and those whose rotation is due.
pub(crate) async fn unsettled_all_tenants(db: &PgPool, now_ms: i64) -> Result<Vec<ClusterId>, sqlx::Error> {
    let rows = sqlx::query(
        "select id from clusters where lifecycle_state in ('CREATING', 'UPDATING', 'DELETING')
         union select id from clusters
                where rotation = 'WAITING' and rotation_due_ms <= $1 and lifecycle_state = 'ACTIVE'",
    )
    .bind(now_ms)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| column(row, "id")).collect()
}

/// Forgets clusters that were deleted before `before_ms`, with their pools and nodes.
pub(crate) async fn purge_all_tenants(db: &PgPool, before_ms: i64) -> Result<(), sqlx::Error> {
    let mut txn = db.begin().await?;
    let gone = "select id from clusters where lifecycle_state = 'DELETED' and deleted_ms < $1";
    for table in ["virtual_nodes", "virtual_node_pools"] {
        let statement = format!("delete from {table} where cluster_id in ({gone})");
        sqlx::query(sqlx::AssertSqlSafe(statement)).bind(before_ms).execute(&mut *txn).await?;
    }
    sqlx::query("delete from clusters where lifecycle_state = 'DELETED' and deleted_ms < $1")
        .bind(before_ms)
        .execute(&mut *txn)
        .await?;
    txn.commit().await
}
