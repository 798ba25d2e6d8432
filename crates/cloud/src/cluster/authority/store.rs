//! SQL of clusters' certificate authorities.

use super::Authority;
use domain::ClusterId;
use sqlx::{PgConnection, PgPool, Row};

fn number(generation: u32) -> i32 {
    i32::try_from(generation).unwrap_or(i32::MAX)
}

/// An authority of a cluster.
pub(super) async fn get(db: &PgPool, id: &ClusterId, generation: u32) -> Result<Option<Authority>, sqlx::Error> {
    let query = sqlx::query(
        "select certificate_pem, sealed_key from cluster_authorities where cluster_id = $1 and generation = $2",
    );
    let row = query.bind(id.as_str()).bind(number(generation)).fetch_optional(db).await?;
    row.map(|row| {
        Ok(Authority { certificate_pem: row.try_get("certificate_pem")?, sealed_key: row.try_get("sealed_key")? })
    })
    .transpose()
}

/// Stores a new authority, unless there is one of that generation.
pub(super) async fn insert(
    db: &PgPool,
    id: &ClusterId,
    generation: u32,
    authority: &Authority,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into cluster_authorities (cluster_id, generation, certificate_pem, sealed_key) values ($1, $2, $3, $4)
         on conflict do nothing",
    )
    .bind(id.as_str())
    .bind(number(generation))
    .bind(&authority.certificate_pem)
    .bind(&authority.sealed_key)
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a cluster's authorities of generations before this one.
pub(super) async fn delete_before(db: &mut PgConnection, id: &ClusterId, before: u32) -> Result<(), sqlx::Error> {
    sqlx::query("delete from cluster_authorities where cluster_id = $1 and generation < $2")
        .bind(id.as_str())
        .bind(number(before))
        .execute(db)
        .await?;
    Ok(())
}
