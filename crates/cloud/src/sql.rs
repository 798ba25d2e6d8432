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
    place(row, "compartment_id")
}

/// A text column as a compartment or, for the root one, a tenancy.
pub(crate) fn place(row: &PgRow, name: &str) -> Result<domain::CompartmentId, sqlx::Error> {
    domain::CompartmentId::parse_any(&row.try_get::<String, _>(name)?).map_err(decode)
}

/// What a violated constraint means to the caller; other errors stay what they are.
pub(crate) fn unique(error: sqlx::Error, constraint: &str, message: &str) -> crate::Error {
    match &error {
        sqlx::Error::Database(cause) if cause.constraint() == Some(constraint) => {
            problem::oci::Error::already_exists(message).into()
        }
        _ => error.into(),
    }
}

/// A JSON column.
pub(crate) fn json<T: serde::de::DeserializeOwned + 'static>(row: &PgRow, name: &str) -> Result<T, sqlx::Error> {
    row.try_get::<sqlx::types::Json<T>, _>(name).map(|json| json.0)
}
