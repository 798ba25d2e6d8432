//! Server-side printing: `Table` and `PartialObjectMetadata`.

use crate::{query::Query, respond, verb};
use jiff::Timestamp;
use kube_schema::Kind;
use kube_store::Object;
use problem::kube::Status;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use std::fmt::Write;

/// What each row carries of its object (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Include {
    /// Nothing.
    None,
    /// `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// Reads the query parameter.
    ///
    /// # Errors
    /// 400 for another word.
    pub(crate) fn parse(query: &Query) -> Result<Self, Status> {
        match query.get("includeObject") {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}"))),
        }
    }
}

/// A table in the making.
pub(crate) struct Table {
    kind: &'static Kind,
    version: &'static str,
    include: Include,
    now: Timestamp,
    with_columns: bool,
    rows: String,
}

impl Table {
    /// An empty table of `meta.k8s.io/{version}`.
    pub(crate) fn new(kind: &'static Kind, version: &'static str, include: Include) -> Self {
        Self { kind, version, include, now: Timestamp::now(), with_columns: true, rows: String::new() }
    }

    /// Leaves the column definitions out, as in all but the first event of a watch.
    pub(crate) fn without_columns(mut self) -> Self {
        self.with_columns = false;
        self
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, object: &Object) {
        let value = object.value();
        let storage = verb::storage_kind(self.kind);
        let mut cells = kube_kinds::row(storage, &value, self.now);
        if cells.is_empty() {
            cells = vec![json!(&*object.key.name), json!(object.meta.created)];
        }
        if !self.rows.is_empty() {
            self.rows.push(',');
        }
        let shown = match self.include {
            Include::None => "null".to_owned(),
            Include::Metadata => metadata_of(&object.bytes, self.version),
            Include::Object => String::from_utf8_lossy(&respond::bytes_in(self.kind, object)).into_owned(),
        };
        let cells = Value::Array(cells);
        write!(self.rows, "{{\"cells\":{cells},\"object\":{shown}}}").expect("writing to a string can't fail");
    }

    /// The table as JSON.
    pub(crate) fn finish(self, revision: &str, next: Option<&str>, remaining: Option<usize>) -> String {
        let mut metadata = json!({"resourceVersion": revision});
        if let Some(next) = next {
            metadata["continue"] = json!(next);
        }
        if let Some(remaining) = remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        let columns = if self.with_columns { definitions(self.kind) } else { json!([]) };
        let (version, rows) = (self.version, self.rows);
        format!(
            "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{metadata},\
             \"columnDefinitions\":{columns},\"rows\":[{rows}]}}"
        )
    }
}

fn definitions(kind: &'static Kind) -> Value {
    let storage = verb::storage_kind(kind);
    let columns = kube_kinds::columns(storage);
    if columns.is_empty() {
        return json!([
            {"name": "Name", "type": "string", "format": "name", "priority": 0,
             "description": "Name must be unique within a namespace."},
            {"name": "Created At", "type": "date", "format": "", "priority": 0, "description": "Time of creation."},
        ]);
    }
    let shown = columns.iter().map(|c| {
        json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority})
    });
    Value::Array(shown.collect())
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Partial<'a> {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: String,
    metadata: &'a RawValue,
}

/// `PartialObjectMetadata` of an object; its metadata's bytes are taken over as they are.
pub(crate) fn metadata_of(object: &[u8], version: &str) -> String {
    let head: Head<'_> = serde_json::from_slice(object).unwrap_or(Head { metadata: None });
    let api_version = format!("meta.k8s.io/{version}");
    let Some(metadata) = head.metadata else {
        return json!({"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": {}}).to_string();
    };
    serde_json::to_string(&Partial { kind: "PartialObjectMetadata", api_version, metadata })
        .expect("raw JSON serialises")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_taken_over() {
        let bytes = br#"{"kind":"Pod","metadata":{"name":"a","labels":{"x":"y"}},"spec":{"a":[1,2]}}"#;
        let text = metadata_of(bytes, "v1");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["metadata"]["labels"]["x"], "y");
        assert_eq!(value["apiVersion"], "meta.k8s.io/v1");
        assert!(value.get("spec").is_none());
    }
}
