//! Rules that objects must keep.

use kube_schema::Kind;
use problem::kube::Cause;
use serde_json::Value;

/// What is wrong with a new, defaulted object; empty if nothing.
#[must_use]
pub fn validate_create(_kind: &Kind, _object: &Value) -> Vec<Cause> {
    Vec::new()
}

/// What is wrong with a change; includes the rules of `validate_create`.
#[must_use]
pub fn validate_update(_kind: &Kind, _new: &Value, _old: &Value) -> Vec<Cause> {
    Vec::new()
}

/// What is wrong with a change of the status subresource.
#[must_use]
pub fn validate_status(_kind: &Kind, _new: &Value, _old: &Value) -> Vec<Cause> {
    Vec::new()
}

/// Why `name` cannot name an object of this kind; empty if it can. A prefix for `generateName` may end in a dash.
#[must_use]
pub fn validate_name(_kind: &Kind, _name: &str, _prefix: bool) -> Vec<String> {
    Vec::new()
}
