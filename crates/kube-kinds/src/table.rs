//! What `kubectl get` prints: columns and rows of `meta.k8s.io/v1` Tables.

use jiff::Timestamp;
use kube_schema::Kind;
use serde_json::Value;

/// One column's definition; `priority` above 0 shows only with `-o wide`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// `string`, `integer`, ...
    pub kind: &'static str,
    /// `name` for the first column, else mostly "".
    pub format: &'static str,
    /// A sentence about it.
    pub description: &'static str,
    /// 0 for always, 1 for wide.
    pub priority: i32,
}

/// Columns of a kind's table.
#[must_use]
pub fn columns(_kind: &Kind) -> &'static [Column] {
    &[]
}

/// Cells of one object, one per column.
#[must_use]
pub fn row(_kind: &Kind, _object: &Value, _now: Timestamp) -> Vec<Value> {
    Vec::new()
}
