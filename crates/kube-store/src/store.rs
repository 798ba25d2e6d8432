//! All SQL of logical clusters.

use crate::object::{Key, Resource};
use domain::ClusterId;
use sqlx::{PgPool, Row, postgres::PgRow};

/// A cluster as taken by this replica.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) no: i64,
    pub(crate) epoch: i64,
    pub(crate) revision: i64,
}

/// One stored object, still sealed if it is a Secret.
#[derive(Debug)]
pub(crate) struct ObjectRow {
    pub(crate) key: Key,
    pub(crate) revision: i64,
    pub(crate) body: Vec<u8>,
}

/// One batch of changes, each key at most once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) put_keys: Vec<Key>,
    pub(crate) put_revisions: Vec<i64>,
    pub(crate) put_bodies: Vec<Vec<u8>>,
    pub(crate) deleted: Vec<Key>,
}

/// Says that this replica lives, for so many seconds.
pub(crate) async fn renew_replica(db: &PgPool, replica: &str, seconds: f64) -> sqlx::Result<()> {
    sqlx::query(
        "insert into kube_replicas (name, lease_until) values ($1, now() + make_interval(secs => $2))
         on conflict (name) do update set lease_until = excluded.lease_until",
    )
    .bind(replica)
    .bind(seconds)
    .execute(db)
    .await
    .map(|_| ())
}

fn taken(row: &PgRow) -> Taken {
    Taken { no: row.get("no"), epoch: row.get("epoch"), revision: row.get("revision") }
}

/// Makes a cluster owned by `replica`; `None` if there is one with this id.
pub(crate) async fn insert_cluster(db: &PgPool, id: &ClusterId, replica: &str) -> sqlx::Result<Option<Taken>> {
    let row = sqlx::query(
        "insert into kube_clusters (id, owner) values ($1, $2)
         on conflict on constraint kube_clusters_id do nothing returning no, epoch, revision",
    )
    .bind(id.as_str())
    .bind(replica)
    .fetch_optional(db)
    .await?;
    Ok(row.as_ref().map(taken))
}

/// Takes a cluster for `replica` and fences whoever wrote before; `None` if it does not exist or a living replica has it.
pub(crate) async fn take_cluster(db: &PgPool, id: &ClusterId, replica: &str) -> sqlx::Result<Option<Taken>> {
    let row = sqlx::query(
        "update kube_clusters c set owner = $2, epoch = epoch + 1
          where id = $1
            and (owner = $2 or not exists (
                select from kube_replicas r where r.name = c.owner and r.lease_until > now()))
         returning no, epoch, revision",
    )
    .bind(id.as_str())
    .bind(replica)
    .fetch_optional(db)
    .await?;
    Ok(row.as_ref().map(taken))
}

/// Whether there is such a cluster, whoever has it.
pub(crate) async fn cluster_exists(db: &PgPool, id: &ClusterId) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from kube_clusters where id = $1)").bind(id.as_str()).fetch_one(db).await
}

/// All objects of a cluster.
pub(crate) async fn load_objects(db: &PgPool, no: i64) -> sqlx::Result<Vec<ObjectRow>> {
    let rows = sqlx::query("select resource, namespace, name, revision, body from kube_objects where cluster_no = $1")
        .bind(no)
        .fetch_all(db)
        .await?;
    Ok(rows.iter().map(object_row).collect())
}

fn object_row(row: &PgRow) -> ObjectRow {
    let text = |column: &str| row.get::<&str, _>(column).to_owned();
    ObjectRow {
        key: Key::new(text("resource"), text("namespace"), text("name")),
        revision: row.get("revision"),
        body: row.get("body"),
    }
}

/// All objects of one resource in all clusters.
pub(crate) async fn load_resource_all_tenants(
    db: &PgPool,
    resource: &Resource,
) -> sqlx::Result<Vec<(String, ObjectRow)>> {
    let rows = sqlx::query(
        "select c.id, o.resource, o.namespace, o.name, o.revision, o.body
           from kube_objects o join kube_clusters c on c.no = o.cluster_no where o.resource = $1",
    )
    .bind(&**resource)
    .fetch_all(db)
    .await?;
    Ok(rows.iter().map(|row| (row.get("id"), object_row(row))).collect())
}

/// Commits a batch and advances the cluster from `from` to `to`, in one statement and so in one transaction; false,
/// and nothing done, if the cluster was taken by somebody else or is not at `from`.
pub(crate) async fn commit(db: &PgPool, taken: Taken, from: u64, to: u64, batch: &Batch) -> sqlx::Result<bool> {
    fn column(keys: &[Key], part: impl Fn(&Key) -> &str) -> Vec<&str> {
        keys.iter().map(part).collect()
    }
    let revision = |revision: u64| i64::try_from(revision).unwrap_or(i64::MAX);
    sqlx::query_scalar(
        "with bump as (
             update kube_clusters set revision = $4 where no = $1 and epoch = $2 and revision = $3 returning no
         ), gone as (
             delete from kube_objects o
              using unnest($10::text[], $11::text[], $12::text[]) as d (resource, namespace, name)
              where o.cluster_no = $1 and exists (select from bump)
                and o.resource = d.resource and o.namespace = d.namespace and o.name = d.name
         ), kept as (
             insert into kube_objects (cluster_no, resource, namespace, name, revision, body)
             select $1, p.resource, p.namespace, p.name, p.revision, p.body
               from unnest($5::text[], $6::text[], $7::text[], $8::bigint[], $9::bytea[])
                    as p (resource, namespace, name, revision, body)
              where exists (select from bump)
             on conflict (cluster_no, resource, namespace, name)
             do update set revision = excluded.revision, body = excluded.body
         )
         select exists (select from bump)",
    )
    .bind(taken.no)
    .bind(taken.epoch)
    .bind(revision(from))
    .bind(revision(to))
    .bind(column(&batch.put_keys, |k| &k.resource))
    .bind(column(&batch.put_keys, |k| &k.namespace))
    .bind(column(&batch.put_keys, |k| &k.name))
    .bind(&batch.put_revisions)
    .bind(&batch.put_bodies)
    .bind(column(&batch.deleted, |k| &k.resource))
    .bind(column(&batch.deleted, |k| &k.namespace))
    .bind(column(&batch.deleted, |k| &k.name))
    .fetch_one(db)
    .await
}

/// Forgets a cluster and all in it; false if there is none.
pub(crate) async fn delete_cluster(db: &PgPool, id: &ClusterId) -> sqlx::Result<bool> {
    let mut txn = db.begin().await?;
    let no: Option<i64> = sqlx::query_scalar("delete from kube_clusters where id = $1 returning no")
        .bind(id.as_str())
        .fetch_optional(&mut *txn)
        .await?;
    if let Some(no) = no {
        sqlx::query("delete from kube_objects where cluster_no = $1").bind(no).execute(&mut *txn).await?;
    }
    txn.commit().await?;
    Ok(no.is_some())
}
