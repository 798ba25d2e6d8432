//! SQL of the ledger. Whole batches go in one statement.

use postgres::PgPool;
use proto::billing::{Closure, Interval};

/// Why Postgres did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is out of reach or refuses.
    #[error("Postgres: {0}")]
    Database(#[from] sqlx::Error),
    /// Try again at once.
    #[error("the ledger is busy")]
    Busy,
}

/// A row of `resources`: (resource uid, source) and its id.
pub(crate) type ResourceRow = ((String, String), i64);

/// The rows of these resources, made if they are missing.
pub(crate) async fn ensure_resources(pool: &PgPool, wanted: &[&Interval]) -> Result<Vec<ResourceRow>, StoreError> {
    let texts = |pick: fn(&Interval) -> &String| -> Vec<String> { wanted.iter().map(|i| pick(i).clone()).collect() };
    sqlx::query(
        "insert into resources (resource_uid, source, tenant_id, compartment_id, cluster_id, namespace, name, shape)
         select resource_uid, source, tenant_id, compartment_id, cluster_id, namespace, name, shape
           from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
             as new (resource_uid, source, tenant_id, compartment_id, cluster_id, namespace, name, shape)
          order by resource_uid, source
             on conflict (resource_uid, source) do nothing",
    )
    .bind(texts(|i| &i.resource_uid))
    .bind(texts(|i| &i.source))
    .bind(texts(|i| &i.tenant_id))
    .bind(texts(|i| &i.compartment_id))
    .bind(texts(|i| &i.cluster_id))
    .bind(texts(|i| &i.namespace))
    .bind(texts(|i| &i.name))
    .bind(texts(|i| &i.shape))
    .execute(pool)
    .await?;
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "select resource_uid, source, resource_id
           from resources join unnest($1::text[], $2::text[]) as wanted (resource_uid, source)
          using (resource_uid, source)",
    )
    .bind(texts(|i| &i.resource_uid))
    .bind(texts(|i| &i.source))
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(uid, source, id)| ((uid, source), id)).collect())
}

/// Appends intervals; gives how many were new. `ids` has the resource of each.
pub(crate) async fn insert_intervals(pool: &PgPool, ids: &[i64], intervals: &[Interval]) -> Result<u64, StoreError> {
    let columns = Columns::new(ids, intervals);
    let done = sqlx::query(
        "insert into intervals (resource_id, sequence, from_ms, to_ms, ocpu_milli, memory_bytes)
         select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
             on conflict (resource_id, sequence) do nothing",
    )
    .bind(&columns.ids)
    .bind(&columns.sequences)
    .bind(&columns.from_ms)
    .bind(&columns.to_ms)
    .bind(&columns.ocpu_milli)
    .bind(&columns.memory_bytes)
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// How many of these intervals are recorded with other times or sizes.
pub(crate) async fn count_conflicts(pool: &PgPool, ids: &[i64], intervals: &[Interval]) -> Result<i64, StoreError> {
    let columns = Columns::new(ids, intervals);
    let count = sqlx::query_scalar(
        "select count(*)
           from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
             as new (resource_id, sequence, from_ms, to_ms, ocpu_milli, memory_bytes)
           join intervals old using (resource_id, sequence)
          where (old.from_ms, old.to_ms, old.ocpu_milli, old.memory_bytes)
             is distinct from (new.from_ms, new.to_ms, new.ocpu_milli, new.memory_bytes)",
    )
    .bind(&columns.ids)
    .bind(&columns.sequences)
    .bind(&columns.from_ms)
    .bind(&columns.to_ms)
    .bind(&columns.ocpu_milli)
    .bind(&columns.memory_bytes)
    .fetch_one(pool)
    .await?;
    Ok(count)
}

/// Appends closures; those that are there already are left as they are.
pub(crate) async fn insert_closures(pool: &PgPool, closures: &[Closure]) -> Result<(), StoreError> {
    let texts = |pick: fn(&Closure) -> &String| -> Vec<String> { closures.iter().map(|c| pick(c).clone()).collect() };
    sqlx::query(
        "insert into closures (resource_uid, source, at_ms, reason)
         select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
             on conflict (resource_uid, source, at_ms) do nothing",
    )
    .bind(texts(|c| &c.resource_uid))
    .bind(texts(|c| &c.source))
    .bind(closures.iter().map(|c| c.at_ms).collect::<Vec<_>>())
    .bind(texts(|c| &c.reason))
    .execute(pool)
    .await?;
    Ok(())
}

/// Intervals by columns, in the order of the primary key: so two batches never wait for each other in a circle.
struct Columns {
    ids: Vec<i64>,
    sequences: Vec<i64>,
    from_ms: Vec<i64>,
    to_ms: Vec<i64>,
    ocpu_milli: Vec<i64>,
    memory_bytes: Vec<i64>,
}

impl Columns {
    fn new(ids: &[i64], intervals: &[Interval]) -> Self {
        // Checked before: sequence and sizes fit.
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let mut rows: Vec<(i64, &Interval)> = ids.iter().copied().zip(intervals).collect();
        rows.sort_by_key(|(id, interval)| (*id, interval.sequence));
        Self {
            ids: rows.iter().map(|(id, _)| *id).collect(),
            sequences: rows.iter().map(|(_, i)| number(i.sequence)).collect(),
            from_ms: rows.iter().map(|(_, i)| i.from_ms).collect(),
            to_ms: rows.iter().map(|(_, i)| i.to_ms).collect(),
            ocpu_milli: rows.iter().map(|(_, i)| number(i.ocpu_milli)).collect(),
            memory_bytes: rows.iter().map(|(_, i)| number(i.memory_bytes)).collect(),
        }
    }
}
