//! SQL of work requests.

use super::{Operation, Status, WorkRequest};
use crate::{
    rest::Page,
    sql::{column, word},
};
use domain::{CompartmentId, TenantId, WorkRequestId};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, Row, postgres::PgRow};

const COLUMNS: &str = "id, tenancy_id, compartment_id, cluster_id, operation_type, status, percent_complete, \
                       resource_id, entity_type, action_type, accepted_ms, started_ms, finished_ms";

fn read(row: &PgRow) -> Result<WorkRequest, sqlx::Error> {
    let cluster: Option<String> = row.try_get("cluster_id")?;
    let compartment: String = row.try_get("compartment_id")?;
    Ok(WorkRequest {
        id: column(row, "id")?,
        tenancy_id: column(row, "tenancy_id")?,
        compartment_id: CompartmentId::parse_any(&compartment).map_err(|e| sqlx::Error::Decode(Box::new(e)))?,
        cluster_id: cluster.and_then(|id| id.parse().ok()),
        operation: word(row, "operation_type")?,
        status: word(row, "status")?,
        percent_complete: row.try_get("percent_complete")?,
        resource_id: row.try_get("resource_id")?,
        entity_type: row.try_get("entity_type")?,
        action_type: row.try_get("action_type")?,
        accepted_ms: row.try_get("accepted_ms")?,
        started_ms: row.try_get("started_ms")?,
        finished_ms: row.try_get("finished_ms")?,
    })
}

/// Records a new work request with its first log line.
pub(crate) async fn insert(db: &mut PgConnection, work: &WorkRequest, message: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with work as (
             insert into work_requests (id, tenancy_id, compartment_id, cluster_id, operation_type, status,
                                        percent_complete, resource_id, entity_type, action_type, accepted_ms, started_ms)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) returning id)
         insert into work_request_logs (work_request_id, message, at_ms) select id, $13, $11 from work",
    )
    .bind(work.id.as_str())
    .bind(work.tenancy_id.as_str())
    .bind(work.compartment_id.as_str())
    .bind(work.cluster_id.as_ref().map(|id| id.as_str().to_owned()))
    .bind(work.operation.as_str())
    .bind(work.status.as_str())
    .bind(work.percent_complete)
    .bind(&work.resource_id)
    .bind(&work.entity_type)
    .bind(&work.action_type)
    .bind(work.accepted_ms)
    .bind(work.started_ms)
    .bind(message)
    .execute(db)
    .await?;
    Ok(())
}

/// Adds a log line, and how far the work is in per cent.
pub(crate) async fn log(
    db: &mut PgConnection,
    id: &str,
    message: &str,
    percent: f32,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with work as (update work_requests set percent_complete = greatest(percent_complete, $3)
                        where id = $1 and finished_ms is null returning id)
         insert into work_request_logs (work_request_id, message, at_ms) select id, $2, $4 from work",
    )
    .bind(id)
    .bind(message)
    .bind(percent)
    .bind(now_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// Notes how far the work is in per cent; it never goes back.
pub(crate) async fn progress(db: &mut PgConnection, id: &str, percent: f32) -> Result<(), sqlx::Error> {
    let statement = "update work_requests set percent_complete = greatest(percent_complete, $2)
                      where id = $1 and finished_ms is null";
    sqlx::query(statement).bind(id).bind(percent).execute(db).await?;
    Ok(())
}

/// Ends a work request, unless it has ended; the reason goes to its errors if it did not succeed.
pub(crate) async fn finish(
    db: &mut PgConnection,
    id: &str,
    status: Status,
    message: &str,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let row = sqlx::query("select operation_type from work_requests where id = $1 and finished_ms is null for update")
        .bind(id)
        .fetch_optional(&mut *db)
        .await?;
    let Some(row) = row else { return Ok(()) };
    let operation: Operation = word(&row, "operation_type")?;
    sqlx::query(
        "with work as (
             update work_requests set status = $2, action_type = $3, finished_ms = $4,
                    percent_complete = case when $2 = 'SUCCEEDED' then 100 else percent_complete end
              where id = $1 returning id),
         failure as (
             insert into work_request_errors (work_request_id, code, message, at_ms)
             select id, $2, $5, $4 from work where $2 <> 'SUCCEEDED')
         insert into work_request_logs (work_request_id, message, at_ms) select id, $5, $4 from work",
    )
    .bind(id)
    .bind(status.as_str())
    .bind(operation.action(status))
    .bind(now_ms)
    .bind(message)
    .execute(db)
    .await?;
    Ok(())
}

/// Gives up a work request, unless it has begun; false then.
pub(super) async fn cancel(db: &PgPool, id: &WorkRequestId, now_ms: i64) -> Result<bool, sqlx::Error> {
    let mut txn = db.begin().await?;
    let waits = sqlx::query("select id from work_requests where id = $1 and status = 'ACCEPTED' for update");
    let waits = waits.bind(id.as_str()).fetch_optional(&mut *txn).await?.is_some();
    if waits {
        finish(&mut txn, id.as_str(), Status::Canceled, "cancelled by its owner", now_ms).await?;
        txn.commit().await?;
    }
    Ok(waits)
}

/// The tenant's work request of that id.
pub(crate) async fn get(db: &PgPool, tenant: &TenantId, id: &str) -> Result<Option<WorkRequest>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(format!("select {COLUMNS} from work_requests where tenancy_id = "));
    query.push_bind(tenant.as_str().to_owned()).push(" and id = ").push_bind(id.to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(read).transpose()
}

/// Which work requests a list shows.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// Words of the operations that are meant.
    pub(super) operations: Vec<String>,
    pub(super) id: Option<String>,
    pub(super) cluster_id: Option<String>,
    pub(super) resource_id: Option<String>,
    pub(super) resource_type: Option<String>,
    pub(super) statuses: Vec<Status>,
}

pub(super) async fn list(
    db: &PgPool,
    compartment: &CompartmentId,
    filter: &Filter,
    page: &Page,
) -> Result<Vec<WorkRequest>, sqlx::Error> {
    let mut query =
        QueryBuilder::<Postgres>::new(format!("select {COLUMNS} from work_requests where compartment_id = "));
    query.push_bind(compartment.as_str().to_owned());
    query.push(" and operation_type = any(").push_bind(filter.operations.clone()).push(")");
    let equal = [
        (" and id = ", &filter.id),
        (" and cluster_id = ", &filter.cluster_id),
        (" and resource_id = ", &filter.resource_id),
        (" and lower(entity_type) = ", &filter.resource_type),
    ];
    for (condition, value) in equal {
        if let Some(value) = value {
            query.push(condition).push_bind(value.clone());
        }
    }
    if !filter.statuses.is_empty() {
        let words: Vec<String> = filter.statuses.iter().map(|status| status.as_str().to_owned()).collect();
        query.push(" and status = any(").push_bind(words).push(")");
    }
    page.push(&mut query);
    query.build().fetch_all(db).await?.iter().map(read).collect()
}

/// Log lines as (message, time), oldest first.
pub(super) async fn logs(db: &PgPool, id: &WorkRequestId) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as("select message, at_ms from work_request_logs where work_request_id = $1 order by no")
        .bind(id.as_str())
        .fetch_all(db)
        .await
}

/// Errors as (code, message, time), oldest first.
pub(super) async fn errors(db: &PgPool, id: &WorkRequestId) -> Result<Vec<(String, String, i64)>, sqlx::Error> {
    sqlx::query_as("select code, message, at_ms from work_request_errors where work_request_id = $1 order by no")
        .bind(id.as_str())
        .fetch_all(db)
        .await
}

/// Forgets what ended before `before_ms`.
pub(crate) async fn purge_all_tenants(db: &PgPool, before_ms: i64) -> Result<(), sqlx::Error> {
    sqlx::query("delete from work_requests where finished_ms < $1").bind(before_ms).execute(db).await?;
    Ok(())
}
