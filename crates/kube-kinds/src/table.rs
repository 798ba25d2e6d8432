//! What `kubectl get` prints: columns and rows of `meta.k8s.io/v1` Tables.
//! Source of columns and cells: kubernetes `pkg/printers/internalversion/printers.go`; the descriptions are ours.

mod event;
mod network;
mod node;
mod pod;
mod policy;
mod storage;
mod text;
mod workload;

use jiff::Timestamp;
use kube_schema::Kind;
use serde_json::{Value, json};

pub use text::age;
use text::created_at;

/// One column's definition; `priority` above 0 shows only with `-o wide`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// `string`, `integer`, `boolean`; in the wire form this is `type`.
    pub kind: &'static str,
    /// `name` for the column of names, else "".
    pub format: &'static str,
    /// A sentence about it.
    pub description: &'static str,
    /// 0 for always, 1 for wide.
    pub priority: i32,
}

impl Column {
    /// The wire form.
    #[must_use]
    pub fn to_value(&self) -> Value {
        json!({"name": self.name, "type": self.kind, "format": self.format,
            "description": self.description, "priority": self.priority})
    }
}

const fn column(name: &'static str, kind: &'static str, priority: i32, description: &'static str) -> Column {
    Column { name, kind, format: "", description, priority }
}

const fn string(name: &'static str, description: &'static str) -> Column {
    column(name, "string", 0, description)
}

const fn integer(name: &'static str, description: &'static str) -> Column {
    column(name, "integer", 0, description)
}

const fn wide(name: &'static str, description: &'static str) -> Column {
    column(name, "string", 1, description)
}

const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name of the object, unique in its namespace.",
    priority: 0,
};
const AGE: Column = string("Age", "Time since the object was created.");
const CREATED: Column = string("Created At", "Time at which the object was created.");
const CONTAINERS: Column = wide("Containers", "Names of the containers in the template.");
const IMAGES: Column = wide("Images", "Images of the containers in the template.");
const SELECTOR: Column = wide("Selector", "Labels by which pods are found.");

/// Makes the cells of one object.
type Row = fn(&Value, Timestamp) -> Vec<Value>;

/// A kind's columns and what fills them.
struct Table {
    columns: &'static [Column],
    row: Row,
}

fn table(resource: &str) -> Table {
    pod::table(resource)
        .or_else(|| workload::table(resource))
        .or_else(|| network::table(resource))
        .or_else(|| node::table(resource))
        .or_else(|| storage::table(resource))
        .or_else(|| policy::table(resource))
        .or_else(|| event::table(resource))
        .unwrap_or(Table { columns: &[NAME, AGE], row: |object, now| vec![name(object), age(object, now)] })
}

fn name(object: &Value) -> Value {
    json!(crate::json::text(object, "/metadata/name"))
}

/// Columns of a kind's table.
#[must_use]
pub fn columns(kind: &Kind) -> &'static [Column] {
    table(kind.resource()).columns
}

/// Cells of one object in its storage version, one per column. Ages are counted to `now`.
#[must_use]
pub fn row(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    (table(kind.resource()).row)(object, now)
}

#[cfg(test)]
mod tests;
