//! Why an operation of the cloud API did not happen, and what its caller is told.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use kube_store::StoreError;
use problem::{kube::Status, oci};

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that cannot be; it reads this.
    #[error("{0}")]
    Refused(#[from] oci::Error),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A cluster's store failed.
    #[error("the cluster's store failed: {0}")]
    Store(#[from] StoreError),
    /// A cluster's API refused what it should take.
    #[error("the cluster's API refused: {0}")]
    Kube(#[from] Status),
    /// Something behind this service failed.
    #[error("{0}")]
    Outside(String),
}

impl Error {
    /// What the caller reads: nothing of the inside.
    pub(crate) fn for_caller(&self) -> oci::Error {
        match self {
            Self::Refused(error) => error.clone(),
            Self::Database(error) if !is_away(error) => oci::Error::internal(),
            Self::Database(_) | Self::Store(StoreError::Unavailable(_)) | Self::Outside(_) => {
                oci::Error::unavailable("the service cannot answer at the moment; retry")
            }
            Self::Store(StoreError::NotFound) => oci::Error::not_found("the cluster does not exist any more"),
            Self::Kube(_) => oci::Error::internal(),
        }
    }
}

/// True if the database is away, starting, stopping or full, and the same request may succeed later.
/// Source of the classes: PostgreSQL's documentation, appendix A: 08 connection, 53 resources, 57 operator.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| ["08", "53", "57"].iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if !matches!(self, Self::Refused(_)) {
            tracing::error!(error = &self as &dyn std::error::Error, "a cloud API request failed: {self}");
        }
        respond(&self.for_caller())
    }
}

/// The answer that an error makes. Carries the error along, for the audit log.
pub(crate) fn respond(error: &oci::Error) -> Response {
    let json = HeaderValue::from_static("application/json");
    let mut response = (error.status, [(header::CONTENT_TYPE, json)], error.to_json()).into_response();
    response.extensions_mut().insert(error.clone());
    response
}

/// 404 in the words that do not say whether it exists.
pub(crate) fn not_found(what: &str, id: &str) -> Error {
    let shown: String = id.chars().take(120).collect();
    oci::Error::not_found(format!("{what} {shown:?} does not exist, or you may not use it")).into()
}

/// 400 for a parameter or field.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    oci::Error::invalid_parameter(message).into()
}
