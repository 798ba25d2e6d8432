//! SQL of pools and their virtual nodes.

use super::{LifecycleState, Pool};
use crate::{
    rest::Page,
    sql::{column, compartment, json, word},
    virtual_node::VirtualNode,
};
use domain::{ClusterId, CompartmentId, TenantId, VirtualNodeId, VirtualNodePoolId};
use sqlx::{PgConnection, PgExecutor, PgPool, Postgres, QueryBuilder, Row, postgres::PgRow, types::Json};

const COLUMNS: &str = "id, tenancy_id, compartment_id, cluster_id, display_name, kubernetes_version, size, \
    lifecycle_state, lifecycle_details, spec, version, work_request_id, created_ms, updated_ms, state_ms";
const NODE_COLUMNS: &str = "id, pool_id, cluster_id, node_name, availability_domain, fault_domain, subnet_id, \
    lifecycle_state, lifecycle_details, private_ip, drain_ms, forced, shrinks, work_request_id, created_ms, state_ms";

fn read(row: &PgRow) -> Result<Pool, sqlx::Error> {
    Ok(Pool {
        id: column(row, "id")?,
        tenancy_id: column(row, "tenancy_id")?,
        compartment_id: compartment(row)?,
        cluster_id: column(row, "cluster_id")?,
        display_name: row.try_get("display_name")?,
        kubernetes_version: row.try_get("kubernetes_version")?,
        size: u32::try_from(row.try_get::<i32, _>("size")?).unwrap_or(0),
        state: word(row, "lifecycle_state")?,
        details: row.try_get("lifecycle_details")?,
        spec: json(row, "spec")?,
        version: row.try_get("version")?,
        work_request_id: row.try_get("work_request_id")?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
        state_ms: row.try_get("state_ms")?,
    })
}

fn read_node(row: &PgRow) -> Result<VirtualNode, sqlx::Error> {
    Ok(VirtualNode {
        id: column(row, "id")?,
        pool_id: column(row, "pool_id")?,
        cluster_id: column(row, "cluster_id")?,
        node_name: row.try_get("node_name")?,
        availability_domain: row.try_get("availability_domain")?,
        fault_domain: row.try_get("fault_domain")?,
        subnet_id: row.try_get("subnet_id")?,
        state: word(row, "lifecycle_state")?,
        details: row.try_get("lifecycle_details")?,
        private_ip: row.try_get("private_ip")?,
        drain_ms: row.try_get("drain_ms")?,
        forced: row.try_get("forced")?,
        shrinks: row.try_get("shrinks")?,
        work_request_id: row.try_get("work_request_id")?,
        created_ms: row.try_get("created_ms")?,
        state_ms: row.try_get("state_ms")?,
    })
}

fn select(condition: &str) -> QueryBuilder<Postgres> {
    QueryBuilder::new(format!("select {COLUMNS} from virtual_node_pools where {condition}"))
}

fn select_nodes(condition: &str) -> QueryBuilder<Postgres> {
    QueryBuilder::new(format!("select {NODE_COLUMNS} from virtual_nodes where {condition}"))
}

fn size(pool: &Pool) -> i32 {
    i32::try_from(pool.size).unwrap_or(i32::MAX)
}

/// Stores a new pool.
pub(super) async fn insert(db: &mut PgConnection, pool: &Pool) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into virtual_node_pools (id, tenancy_id, compartment_id, cluster_id, display_name, kubernetes_version,
            size, lifecycle_state, spec, work_request_id, created_ms, state_ms)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
    )
    .bind(pool.id.as_str())
    .bind(pool.tenancy_id.as_str())
    .bind(pool.compartment_id.as_str())
    .bind(pool.cluster_id.as_str())
    .bind(&pool.display_name)
    .bind(&pool.kubernetes_version)
    .bind(size(pool))
    .bind(pool.state.as_str())
    .bind(Json(&pool.spec))
    .bind(&pool.work_request_id)
    .bind(pool.created_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// Stores what a caller changed.
pub(crate) async fn update(db: &mut PgConnection, pool: &Pool) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update virtual_node_pools set display_name = $2, size = $3, spec = $4, lifecycle_state = $5,
                lifecycle_details = null, work_request_id = $6, updated_ms = $7, state_ms = $8, version = version + 1,
                kubernetes_version = $9
          where id = $1",
    )
    .bind(pool.id.as_str())
    .bind(&pool.display_name)
    .bind(size(pool))
    .bind(Json(&pool.spec))
    .bind(pool.state.as_str())
    .bind(&pool.work_request_id)
    .bind(pool.updated_ms)
    .bind(pool.state_ms)
    .bind(&pool.kubernetes_version)
    .execute(db)
    .await?;
    Ok(())
}

/// Moves a pool to another state, unless a caller changed it since `pool` was read.
pub(super) async fn settle(
    db: &mut PgConnection,
    pool: &Pool,
    to: LifecycleState,
    details: Option<&str>,
    now_ms: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "update virtual_node_pools set lifecycle_state = $3, lifecycle_details = $4, version = version + 1,
                state_ms = case when lifecycle_state = $3 then state_ms else $5 end
          where id = $1 and version = $2",
    )
    .bind(pool.id.as_str())
    .bind(pool.version)
    .bind(to.as_str())
    .bind(details)
    .bind(now_ms)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The pool's work has ended.
pub(super) async fn close_work(db: &mut PgConnection, pool: &Pool, work: &str) -> Result<(), sqlx::Error> {
    sqlx::query("update virtual_node_pools set work_request_id = null where id = $1 and work_request_id = $2")
        .bind(pool.id.as_str())
        .bind(work)
        .execute(db)
        .await?;
    Ok(())
}

/// The tenant's pool of that id, deleted ones too.
pub(super) async fn get(db: &PgPool, tenant: &TenantId, id: &str) -> Result<Option<Pool>, sqlx::Error> {
    let mut query = select("tenancy_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" and id = ").push_bind(id.to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(read).transpose()
}

/// The same, locked until the transaction ends.
pub(super) async fn lock(db: &mut PgConnection, tenant: &TenantId, id: &str) -> Result<Option<Pool>, sqlx::Error> {
    let mut query = select("tenancy_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" and id = ").push_bind(id.to_owned()).push(" for update");
    query.build().fetch_optional(db).await?.as_ref().map(read).transpose()
}

/// The pool of that id, whoever owns it: for the reconciler.
pub(super) async fn get_all_tenants(
    db: impl PgExecutor<'_>,
    id: &VirtualNodePoolId,
) -> Result<Option<Pool>, sqlx::Error> {
    let mut query = select("id = ");
    query.push_bind(id.as_str().to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(read).transpose()
}

/// Which pools a list shows.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) cluster_id: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) states: Vec<LifecycleState>,
}

pub(super) async fn list(
    db: &PgPool,
    compartment: &CompartmentId,
    filter: &Filter,
    page: &Page,
) -> Result<Vec<Pool>, sqlx::Error> {
    let mut query = select("compartment_id = ");
    query.push_bind(compartment.as_str().to_owned());
    for (condition, value) in
        [(" and cluster_id = ", &filter.cluster_id), (" and display_name = ", &filter.display_name)]
    {
        if let Some(value) = value {
            query.push(condition).push_bind(value.clone());
        }
    }
    if !filter.states.is_empty() {
        let words: Vec<String> = filter.states.iter().map(|state| state.as_str().to_owned()).collect();
        query.push(" and lifecycle_state = any(").push_bind(words).push(")");
    }
    page.push(&mut query);
    query.build().fetch_all(db).await?.iter().map(read).collect()
}

/// Nodes that the cluster's other pools ask for.
pub(super) async fn size_of_others(
    db: &mut PgConnection,
    cluster: &ClusterId,
    except: &VirtualNodePoolId,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "select coalesce(sum(size), 0) from virtual_node_pools
          where cluster_id = $1 and id <> $2 and lifecycle_state not in ('DELETING', 'DELETED')",
    )
    .bind(cluster.as_str())
    .bind(except.as_str())
    .fetch_one(db)
    .await
}

/// Pools in a state that they must leave by our work, with their clusters.
pub(crate) async fn unsettled_all_tenants(db: &PgPool) -> Result<Vec<(ClusterId, VirtualNodePoolId)>, sqlx::Error> {
    // Pools of clusters that are being deleted end with them.
    let rows = sqlx::query(
        "select p.id, p.cluster_id from virtual_node_pools p join clusters c on c.id = p.cluster_id
          where p.lifecycle_state not in ('ACTIVE', 'DELETED') and c.lifecycle_state not in ('DELETING', 'DELETED')",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((column(row, "cluster_id")?, column(row, "id")?))).collect()
}

/// All pools of a cluster begin to end with it; their own work is given up.
pub(crate) async fn delete_with_cluster(
    db: &mut PgConnection,
    cluster: &ClusterId,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "select work_request_id from virtual_node_pools where cluster_id = $1 and work_request_id is not null
         union all
         select work_request_id from virtual_nodes where cluster_id = $1 and work_request_id is not null",
    )
    .bind(cluster.as_str())
    .fetch_all(&mut *db)
    .await?;
    for row in rows {
        let work: String = row.try_get("work_request_id")?;
        let why = "the cluster is being deleted";
        crate::work_request::store::finish(db, &work, crate::work_request::Status::Canceled, why, now_ms).await?;
    }
    sqlx::query(
        "update virtual_node_pools set lifecycle_state = 'DELETING', work_request_id = null, state_ms = $2,
                version = version + 1
          where cluster_id = $1 and lifecycle_state <> 'DELETED'",
    )
    .bind(cluster.as_str())
    .bind(now_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// All pools and nodes of a cluster are gone.
pub(crate) async fn bury_with_cluster(
    db: &mut PgConnection,
    cluster: &ClusterId,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    for table in ["virtual_nodes", "virtual_node_pools"] {
        let statement = format!(
            "update {table} set lifecycle_state = 'DELETED', lifecycle_details = null, state_ms = $2
              where cluster_id = $1 and lifecycle_state <> 'DELETED'"
        );
        sqlx::query(sqlx::AssertSqlSafe(statement)).bind(cluster.as_str()).bind(now_ms).execute(&mut *db).await?;
    }
    Ok(())
}

/// What a cluster has, of what is not DELETED.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    /// Virtual nodes.
    pub(crate) nodes: u64,
    /// Pools.
    pub(crate) pools: u64,
    /// Pools that are being changed for the cluster's sake, not by work of their own.
    pub(crate) following: u64,
}

/// Counts a cluster's pools and nodes.
pub(crate) async fn count(db: &PgPool, cluster: &ClusterId) -> Result<Counts, sqlx::Error> {
    let (nodes, pools, following): (i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from virtual_nodes where cluster_id = $1 and lifecycle_state <> 'DELETED'),
                count(*), count(*) filter (where lifecycle_state = 'UPDATING' and work_request_id is null)
           from virtual_node_pools where cluster_id = $1 and lifecycle_state <> 'DELETED'",
    )
    .bind(cluster.as_str())
    .fetch_one(db)
    .await?;
    let count = |count| u64::try_from(count).unwrap_or(0);
    Ok(Counts { nodes: count(nodes), pools: count(pools), following: count(following) })
}

/// Versions of a cluster's pools, each once.
pub(crate) async fn versions(db: &mut PgConnection, cluster: &ClusterId) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select distinct kubernetes_version from virtual_node_pools
          where cluster_id = $1 and lifecycle_state not in ('DELETING', 'DELETED')",
    )
    .bind(cluster.as_str())
    .fetch_all(db)
    .await
}

/// The cluster was paused or resumed: pools at rest have work to do; gives which. The others are at work anyway.
pub(crate) async fn follow_cluster(
    db: &mut PgConnection,
    cluster: &ClusterId,
    now_ms: i64,
) -> Result<Vec<VirtualNodePoolId>, sqlx::Error> {
    let rows = sqlx::query(
        "update virtual_node_pools set version = version + 1,
                state_ms = case when lifecycle_state in ('CREATING', 'UPDATING') then state_ms else $2 end,
                lifecycle_state = case when lifecycle_state = 'CREATING' then lifecycle_state else 'UPDATING' end
          where cluster_id = $1 and lifecycle_state not in ('DELETING', 'DELETED') returning id",
    )
    .bind(cluster.as_str())
    .bind(now_ms)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| column(row, "id")).collect()
}

/// Stores new nodes.
pub(super) async fn insert_nodes(db: &mut PgConnection, nodes: &[VirtualNode]) -> Result<(), sqlx::Error> {
    let texts = |pick: fn(&VirtualNode) -> &str| nodes.iter().map(|node| pick(node).to_owned()).collect::<Vec<_>>();
    sqlx::query(
        "insert into virtual_nodes (id, pool_id, cluster_id, node_name, availability_domain, fault_domain, subnet_id,
                                    lifecycle_state, created_ms, state_ms)
         select id, pool_id, cluster_id, node_name, availability_domain, fault_domain, subnet_id, state, at_ms, at_ms
           from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                       $9::bigint[])
             as new (id, pool_id, cluster_id, node_name, availability_domain, fault_domain, subnet_id, state, at_ms)",
    )
    .bind(texts(|node| node.id.as_str()))
    .bind(texts(|node| node.pool_id.as_str()))
    .bind(texts(|node| node.cluster_id.as_str()))
    .bind(texts(|node| &node.node_name))
    .bind(texts(|node| &node.availability_domain))
    .bind(texts(|node| &node.fault_domain))
    .bind(texts(|node| &node.subnet_id))
    .bind(texts(|node| node.state.as_str()))
    .bind(nodes.iter().map(|node| node.created_ms).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// Moves a node to another state. One that goes stays so: a caller may have said so since it was read.
pub(super) async fn settle_node(
    db: &mut PgConnection,
    id: &VirtualNodeId,
    to: LifecycleState,
    details: Option<&str>,
    private_ip: Option<&str>,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update virtual_nodes set lifecycle_state = $2, lifecycle_details = $3,
                private_ip = coalesce($4, private_ip),
                state_ms = case when lifecycle_state = $2 then state_ms else $5 end
          where id = $1 and lifecycle_state <> 'DELETED'
            and (lifecycle_state <> 'DELETING' or $2 in ('DELETING', 'DELETED'))",
    )
    .bind(id.as_str())
    .bind(to.as_str())
    .bind(details)
    .bind(private_ip)
    .bind(now_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// How a node is to go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leave {
    /// How long its pods get to leave it, if that was said.
    pub(crate) drain_ms: Option<i64>,
    /// It goes even if pods are left on it then.
    pub(crate) forced: bool,
    /// The pool was made smaller by it.
    pub(crate) shrinks: bool,
}

/// Lets a node go, as the work `work` wants.
pub(crate) async fn retire_node(
    db: &mut PgConnection,
    id: &VirtualNodeId,
    leave: &Leave,
    work: &str,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update virtual_nodes set lifecycle_state = 'DELETING', lifecycle_details = null, state_ms = $6,
                drain_ms = $2, forced = $3, shrinks = $4, work_request_id = $5
          where id = $1",
    )
    .bind(id.as_str())
    .bind(leave.drain_ms)
    .bind(leave.forced)
    .bind(leave.shrinks)
    .bind(work)
    .bind(now_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// A node that was to go stays; the pool gets the size back that it lost by it. False if it is gone or stays already.
pub(super) async fn restore_node(
    db: &mut PgConnection,
    id: &VirtualNodeId,
    details: &str,
    now_ms: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "with node as (
             update virtual_nodes n set lifecycle_state = 'ACTIVE', lifecycle_details = $2, state_ms = $3,
                    drain_ms = null, forced = true, shrinks = false, work_request_id = null
               from virtual_nodes old
              where n.id = $1 and old.id = n.id and n.lifecycle_state = 'DELETING'
             returning n.pool_id, old.shrinks)
         update virtual_node_pools p set size = p.size + case when node.shrinks then 1 else 0 end, version = version + 1
           from node where p.id = node.pool_id",
    )
    .bind(id.as_str())
    .bind(details)
    .bind(now_ms)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Says how long the pods of a pool's nodes get to leave them.
pub(super) async fn drain_all(
    db: &mut PgConnection,
    pool: &VirtualNodePoolId,
    drain_ms: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update virtual_nodes set drain_ms = $2, forced = true where pool_id = $1 and lifecycle_state <> 'DELETED'",
    )
    .bind(pool.as_str())
    .bind(drain_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// ACTIVE pools of these clusters or with pods of these shapes, with their clusters.
pub(crate) async fn of_all_tenants(
    db: &PgPool,
    clusters: &[String],
    shapes: &[String],
) -> Result<Vec<(ClusterId, VirtualNodePoolId)>, sqlx::Error> {
    let rows = sqlx::query(
        "select id, cluster_id from virtual_node_pools
          where lifecycle_state = 'ACTIVE' and (cluster_id = any($1) or spec #>> '{podConfiguration,shape}' = any($2))",
    )
    .bind(clusters)
    .bind(shapes)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((column(row, "cluster_id")?, column(row, "id")?))).collect()
}

/// The same node as [`get_node`], locked until the transaction ends.
pub(crate) async fn lock_node(
    db: &mut PgConnection,
    pool: &VirtualNodePoolId,
    id: &str,
) -> Result<Option<VirtualNode>, sqlx::Error> {
    let mut query = select_nodes("pool_id = ");
    query.push_bind(pool.as_str().to_owned()).push(" and id = ").push_bind(id.to_owned()).push(" for update");
    query.build().fetch_optional(db).await?.as_ref().map(read_node).transpose()
}

/// Nodes of a pool that are not DELETED, oldest first.
pub(super) async fn nodes(db: &PgPool, pool: &VirtualNodePoolId) -> Result<Vec<VirtualNode>, sqlx::Error> {
    let mut query = select_nodes("pool_id = ");
    query.push_bind(pool.as_str().to_owned()).push(" and lifecycle_state <> 'DELETED' order by created_ms, id");
    query.build().fetch_all(db).await?.iter().map(read_node).collect()
}

pub(crate) async fn list_nodes(
    db: &PgPool,
    pool: &VirtualNodePoolId,
    name: Option<&str>,
    page: &Page,
) -> Result<Vec<VirtualNode>, sqlx::Error> {
    let mut query = select_nodes("lifecycle_state <> 'DELETED' and pool_id = ");
    query.push_bind(pool.as_str().to_owned());
    if let Some(name) = name {
        query.push(" and node_name = ").push_bind(name.to_owned());
    }
    page.push(&mut query);
    query.build().fetch_all(db).await?.iter().map(read_node).collect()
}

pub(crate) async fn get_node(
    db: &PgPool,
    pool: &VirtualNodePoolId,
    id: &str,
) -> Result<Option<VirtualNode>, sqlx::Error> {
    let mut query = select_nodes("pool_id = ");
    query.push_bind(pool.as_str().to_owned()).push(" and id = ").push_bind(id.to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(read_node).transpose()
}
