//! OpenAPI v3 documents, one per group and version, made on first use and kept for the process.

use bytes::Bytes;

/// `/openapi/v3`: paths and hashes of the documents.
#[must_use]
pub fn openapi_v3_index() -> Bytes {
    Bytes::new()
}

/// `/openapi/v3/{path}`, where path is `api/v1` or `apis/apps/v1`.
#[must_use]
pub fn openapi_v3_group(_path: &str) -> Option<Bytes> {
    None
}
