//! SQL of the audit log.

use super::{Event, Outcome};
use crate::{rest::Page, sql::column};
use domain::{CompartmentId, TenantId};
use sqlx::{PgPool, Postgres, QueryBuilder, Row, postgres::PgRow};

pub(super) async fn insert(db: &PgPool, event: &Event) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into audit_events (id, tenancy_id, at_ms, operation, method, path, user_id, user_name, address,
                                   user_agent, request_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&event.id)
    .bind(event.tenancy_id.as_str())
    .bind(event.at_ms)
    .bind(&event.operation)
    .bind(&event.method)
    .bind(&event.path)
    .bind(&event.user_id)
    .bind(&event.user_name)
    .bind(&event.address)
    .bind(&event.user_agent)
    .bind(&event.request_id)
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn finish(db: &PgPool, event: &Event, outcome: &Outcome) -> Result<(), sqlx::Error> {
    let failure = outcome.failure.as_ref();
    sqlx::query(
        "insert into audit_outcomes (event_id, at_ms, status, code, message, compartment_id, resource_id, resource_name)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&event.id)
    .bind(outcome.at_ms)
    .bind(i16::try_from(outcome.status).unwrap_or(i16::MAX))
    .bind(failure.map(|(code, _)| code.as_str()))
    .bind(failure.map(|(_, message)| message.as_str()))
    .bind(outcome.compartment_id.as_str())
    .bind(&outcome.resource_id)
    .bind(&outcome.resource_name)
    .execute(db)
    .await?;
    Ok(())
}

fn read(row: &PgRow) -> Result<(Event, Option<Outcome>), sqlx::Error> {
    let event = Event {
        id: row.try_get("id")?,
        tenancy_id: column(row, "tenancy_id")?,
        at_ms: row.try_get("at_ms")?,
        operation: row.try_get("operation")?,
        method: row.try_get("method")?,
        path: row.try_get("path")?,
        user_id: row.try_get("user_id")?,
        user_name: row.try_get("user_name")?,
        address: row.try_get("address")?,
        user_agent: row.try_get("user_agent")?,
        request_id: row.try_get("request_id")?,
    };
    let Some(status) = row.try_get::<Option<i16>, _>("status")? else { return Ok((event, None)) };
    let code: Option<String> = row.try_get("code")?;
    let message: Option<String> = row.try_get("message")?;
    let outcome = Outcome {
        at_ms: row.try_get("ended_ms")?,
        status: u16::try_from(status).unwrap_or_default(),
        failure: code.map(|code| (code, message.unwrap_or_default())),
        compartment_id: crate::sql::compartment(row)?,
        resource_id: row.try_get("resource_id")?,
        resource_name: row.try_get("resource_name")?,
    };
    Ok((event, Some(outcome)))
}

/// Events of a compartment from `from_ms` up to `to_ms`; those without outcome belong to the root compartment.
pub(super) async fn list(
    db: &PgPool,
    tenant: &TenantId,
    compartment: &CompartmentId,
    (from_ms, to_ms): (i64, i64),
    page: &Page,
) -> Result<Vec<(Event, Option<Outcome>)>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select * from (select e.id, e.tenancy_id, e.at_ms, e.operation, e.method, e.path, e.user_id, e.user_name,
                e.address, e.user_agent, e.request_id, o.at_ms as ended_ms, o.status, o.code, o.message, o.resource_id,
                o.resource_name, coalesce(o.compartment_id, e.tenancy_id) as compartment_id
           from audit_events e left join audit_outcomes o on o.event_id = e.id where e.tenancy_id = ",
    );
    query.push_bind(tenant.as_str().to_owned());
    query.push(" and e.at_ms >= ").push_bind(from_ms).push(" and e.at_ms < ").push_bind(to_ms);
    query.push(") as events where compartment_id = ").push_bind(compartment.as_str().to_owned());
    page.push(&mut query);
    query.build().fetch_all(db).await?.iter().map(read).collect()
}

/// Forgets events of before `before_ms`.
pub(crate) async fn purge_all_tenants(db: &PgPool, before_ms: i64) -> Result<(), sqlx::Error> {
    sqlx::query("delete from audit_events where at_ms < $1").bind(before_ms).execute(db).await?;
    Ok(())
}
