//! Reading columns into ids and words.

use sqlx::{Row, postgres::PgRow};

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// A text column as an id.
pub(crate) fn column<T>(row: &PgRow, name: &str) -> Result<T, sqlx::Error>
where
    T: TryFrom<String>,
    T::Error: std::error::Error + Send + Sync + 'static,
{
    T::try_from(row.try_get::<String, _>(name)?).map_err(decode)
}

/// A text column as a word.
pub(crate) fn word<T: std::str::FromStr<Err = String>>(row: &PgRow, name: &str) -> Result<T, sqlx::Error> {
    row.try_get::<String, _>(name)?.parse().map_err(|why: String| sqlx::Error::Decode(why.into()))
}

/// A compartment's column.
pub(crate) fn compartment(row: &PgRow) -> Result<domain::CompartmentId, sqlx::Error> {
    domain::CompartmentId::parse_any(&row.try_get::<String, _>("compartment_id")?).map_err(decode)
}

/// A JSON column.
pub(crate) fn json<T: serde::de::DeserializeOwned + 'static>(row: &PgRow, name: &str) -> Result<T, sqlx::Error> {
    row.try_get::<sqlx::types::Json<T>, _>(name).map(|json| json.0)
}
