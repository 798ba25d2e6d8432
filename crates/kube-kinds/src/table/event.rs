//! Events: when, what, about whom.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Column, Table, column, string,
    text::{or, since},
    wide,
};
use crate::json::{number, text};

const COLUMNS: &[Column] = &[
    string("Last Seen", "Time since it last happened."),
    string("Type", "Normal or Warning."),
    string("Reason", "What happened, in one word."),
    string("Object", "Whom it happened to."),
    wide("Subobject", "Which part of the object."),
    wide("Source", "Who says so."),
    string("Message", "What happened, in a sentence."),
    wide("First Seen", "Time since it first happened."),
    column("Count", "integer", 1, "How often it happened."),
    Column { name: "Name", kind: "string", format: "name", description: "Name of the event.", priority: 1 },
];

/// The table of events.
pub(super) fn table(resource: &str) -> Option<Table> {
    (resource == "events").then_some(Table { columns: COLUMNS, row })
}

fn row(event: &Value, now: Timestamp) -> Vec<Value> {
    let first = or(event, "/firstTimestamp", text(event, "/eventTime"));
    let last = or(event, "/series/lastObservedTime", or(event, "/lastTimestamp", first));
    let count = match (number(event, "/series/count"), number(event, "/count")) {
        (0, 0) => 1,
        (0, count) | (count, _) => count,
    };
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    let target = match text(event, "/involvedObject/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = or(event, "/source/component", text(event, "/reportingComponent"));
    let host = or(event, "/source/host", text(event, "/reportingInstance"));
    let source: Vec<&str> = [component, host].into_iter().filter(|part| !part.is_empty()).collect();
    vec![
        json!(since(last, now)),
        json!(text(event, "/type")),
        json!(text(event, "/reason")),
        json!(target),
        json!(text(event, "/involvedObject/fieldPath")),
        json!(source.join(", ")),
        json!(text(event, "/message").trim()),
        json!(since(first, now)),
        json!(count),
        json!(text(event, "/metadata/name")),
    ]
}
