//! Strict and lenient reading of objects: unknown, repeated and mistyped fields.

use serde_json::Value;

use crate::kind::Kind;

/// A field that strict decoding refuses, in upstream's words: `unknown field "spec.foo"`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// No such field in the type.
    #[error("unknown field \"{0}\"")]
    Unknown(String),
    /// The same key twice in one JSON object.
    #[error("duplicate field \"{0}\"")]
    Duplicate(String),
}

/// A value of the wrong JSON type, in the words of Go's decoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeProblem(pub String);

/// Fields of `value` that its type does not have; in document order of sorted keys.
#[must_use]
pub fn validate_fields(_kind: &Kind, _value: &Value) -> Vec<FieldProblem> {
    Vec::new()
}

/// Keys that come twice within one object of a JSON text; malformed text gives what was found before it breaks.
#[must_use]
pub fn duplicate_fields(_body: &[u8]) -> Vec<FieldProblem> {
    Vec::new()
}

/// Checks that every known field has a value of its type.
/// # Errors
/// The first field that has not; answer it as 400 BadRequest.
pub fn check_types(_kind: &Kind, _value: &Value) -> Result<(), DecodeProblem> {
    Ok(())
}

/// Drops unknown fields, as storing through a Go struct would.
pub fn prune(_kind: &Kind, _value: &mut Value) {}
