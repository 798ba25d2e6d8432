//! SQL of usage reports.

use domain::{PodSize, TenantId};
use postgres::PgPool;

use super::{Position, Query};
use crate::rating::{Closure, Span};

/// Time by which a pod's charged time may be longer than what was seen of it.
const LONGEST_EXTENSION_MS: i64 = 60_000;

/// Neighbouring intervals of one pod, host and size as one.
#[derive(Debug, sqlx::FromRow)]
pub struct SpanRow {
    /// The pod.
    pub resource_uid: String,
    /// The host.
    pub source: String,
    /// The compartment it is accounted to.
    pub compartment_id: String,
    /// The pod's cluster.
    pub cluster_id: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// Pod shape.
    pub shape: String,
    /// Thousandths of an OCPU.
    pub ocpu_milli: i64,
    /// Bytes.
    pub memory_bytes: i64,
    /// Unix milliseconds.
    pub from_ms: i64,
    /// Unix milliseconds.
    pub to_ms: i64,
}

impl SpanRow {
    /// The pod's place in the order of pods.
    pub(crate) fn position(&self) -> Position {
        Position {
            cluster: self.cluster_id.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.resource_uid.clone(),
        }
    }

    /// The row as rating takes it.
    pub(crate) fn span(&self) -> Span {
        // The table's checks keep sizes from being negative.
        let size = |value: i64| u64::try_from(value).unwrap_or_default();
        Span {
            source: self.source.clone(),
            from_ms: self.from_ms,
            to_ms: self.to_ms,
            size: PodSize { ocpu_milli: size(self.ocpu_milli), memory_bytes: size(self.memory_bytes) },
        }
    }
}

/// The pods of a page, and one more if there are more.
pub(crate) async fn list_positions(pool: &PgPool, query: &Query) -> Result<Vec<Position>, sqlx::Error> {
    let after = query.after.clone();
    let after = after.as_ref();
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "select distinct cluster_id, namespace, name, resource_uid
           from resources r
          where tenant_id = $1
            and ($2::text is null or cluster_id = $2)
            and ($3::text is null or namespace = $3)
            and ($4::text is null or (cluster_id, namespace, name, resource_uid) > ($4, $5, $6, $7))
            and exists (select from intervals i
                         where i.resource_id = r.resource_id and i.to_ms > $8 and i.from_ms < $9)
          order by cluster_id, namespace, name, resource_uid
          limit $10",
    )
    .bind(query.tenant.as_str())
    .bind(&query.cluster)
    .bind(&query.namespace)
    .bind(after.map(|position| &position.cluster))
    .bind(after.map(|position| &position.namespace))
    .bind(after.map(|position| &position.name))
    .bind(after.map(|position| &position.uid))
    .bind(query.window.from_ms.saturating_sub(LONGEST_EXTENSION_MS))
    .bind(query.window.to_ms)
    .bind(i64::from(query.limit) + 1)
    .fetch_all(pool)
    .await?;
    let position = |(cluster, namespace, name, uid)| Position { cluster, namespace, name, uid };
    Ok(rows.into_iter().map(position).collect())
}

/// All that hosts saw of these pods of a tenant.
pub(crate) async fn list_spans(pool: &PgPool, tenant: &TenantId, uids: &[String]) -> Result<Vec<SpanRow>, sqlx::Error> {
    sqlx::query_as(
        "select resource_uid, source, compartment_id, cluster_id, namespace, name, shape, ocpu_milli, memory_bytes,
                lower(span) as from_ms, upper(span) as to_ms
           from (select resource_id, ocpu_milli, memory_bytes, range_agg(int8range(from_ms, to_ms)) as spans
                   from intervals
                  where resource_id in (select resource_id from resources
                                         where tenant_id = $1 and resource_uid = any($2))
                  group by resource_id, ocpu_milli, memory_bytes) as sizes
           join resources using (resource_id)
          cross join unnest(spans) as span
          order by resource_id, lower(span)",
    )
    .bind(tenant.as_str())
    .bind(uids)
    .fetch_all(pool)
    .await
}

/// Ends of billing of these pods, by uid.
pub(crate) async fn list_closures(pool: &PgPool, uids: &[String]) -> Result<Vec<(String, Closure)>, sqlx::Error> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "select resource_uid, source, min(at_ms) from closures where resource_uid = any($1) group by resource_uid, source",
    )
    .bind(uids)
    .fetch_all(pool)
    .await?;
    let closure = |source: String, at_ms| Closure { source: Some(source).filter(|source| !source.is_empty()), at_ms };
    Ok(rows.into_iter().map(|(uid, source, at_ms)| (uid, closure(source, at_ms))).collect())
}

/// True if Postgres answers.
pub(crate) async fn ping(pool: &PgPool) -> bool {
    sqlx::query("select 1").execute(pool).await.is_ok()
}
