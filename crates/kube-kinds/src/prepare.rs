//! What a write may touch: status on create, spec on status updates, generation.

use kube_schema::Kind;
use serde_json::Value;

/// Readies a new object: resets its status, sets `metadata.generation`. Run before `set_defaults`.
pub fn prepare_create(_kind: &Kind, _object: &mut Value) {}

/// Readies an update of the main resource: keeps the old status, bumps the generation if the spec changed.
pub fn prepare_update(_kind: &Kind, _new: &mut Value, _old: &Value) {}

/// Readies an update of the status subresource: all but the status is the old object's.
pub fn prepare_status(_kind: &Kind, _new: &mut Value, _old: &Value) {}
