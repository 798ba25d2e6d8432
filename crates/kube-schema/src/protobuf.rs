//! Kubernetes' protobuf encoding (`application/vnd.kubernetes.protobuf`) to JSON.

use serde_json::Value;

use crate::kind::Kind;

/// Why a protobuf body cannot be read; answer it as 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// Reads a body that starts with `k8s\0`; `kind_hint` serves if the envelope names no kind.
/// # Errors
/// If the body is cut off, has no known kind or a field of another wire type.
pub fn from_protobuf(_kind_hint: Option<&Kind>, _body: &[u8]) -> Result<Value, DecodeError> {
    Err(DecodeError("not yet".to_owned()))
}
