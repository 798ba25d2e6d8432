//! Roles, quotas, budgets, admission, extensions.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AGE, CREATED, Column, NAME, Table, created_at, integer, name, string,
    text::{NONE, age, condition, count, human, or},
    wide,
};
use crate::json::{list, number, text};

/// Tables of these kinds.
pub(super) fn table(resource: &str) -> Option<Table> {
    let (columns, row): (&'static [Column], super::Row) = match resource {
        "roles.rbac.authorization.k8s.io"
        | "clusterroles.rbac.authorization.k8s.io"
        | "limitranges"
        | "customresourcedefinitions.apiextensions.k8s.io" => {
            (const { &[NAME, CREATED] }, |object, _| vec![name(object), created_at(object)])
        }
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            (BINDING, binding)
        }
        "resourcequotas" => (QUOTA, quota),
        "poddisruptionbudgets.policy" => (BUDGET, budget),
        "mutatingwebhookconfigurations.admissionregistration.k8s.io"
        | "validatingwebhookconfigurations.admissionregistration.k8s.io" => {
            (const { &[NAME, integer("Webhooks", "Number of webhooks."), AGE] }, |object, now| {
                vec![name(object), json!(count(object, "/webhooks")), age(object, now)]
            })
        }
        "apiservices.apiregistration.k8s.io" => (API_SERVICE, api_service),
        "certificatesigningrequests.certificates.k8s.io" => (REQUEST, request),
        _ => return None,
    };
    Some(Table { columns, row })
}

const BINDING: &[Column] = &[
    NAME,
    string("Role", "Role that is given."),
    AGE,
    wide("Users", "Users who get it."),
    wide("Groups", "Groups that get it."),
    wide("ServiceAccounts", "Service accounts that get it."),
];

fn binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str| {
        let of_kind = list(object, "/subjects").iter().filter(|s| text(s, "/kind") == kind);
        let names: Vec<String> = of_kind
            .map(|s| match text(s, "/namespace") {
                namespace if kind == "ServiceAccount" => format!("{namespace}/{}", text(s, "/name")),
                _ => text(s, "/name").to_owned(),
            })
            .collect();
        json!(names.join(", "))
    };
    vec![
        name(object),
        json!(format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name"))),
        age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

const QUOTA: &[Column] = &[
    NAME,
    string("Request", "Requests and counts: used, of allowed."),
    string("Limit", "Limits: used, of allowed."),
    AGE,
];

fn quota(object: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in object.pointer("/status/hard").and_then(Value::as_object).into_iter().flatten() {
        let used = object.pointer("/status/used").and_then(|used| used.get(resource)).and_then(Value::as_str);
        let part = format!("{resource}: {}/{}", used.unwrap_or("0"), hard.as_str().unwrap_or_default());
        if resource.contains("limits") { limits.push(part) } else { requests.push(part) }
    }
    vec![name(object), json!(requests.join(", ")), json!(limits.join(", ")), age(object, now)]
}

const BUDGET: &[Column] = &[
    NAME,
    string("Min Available", "Pods that must stay."),
    string("Max Unavailable", "Pods that may be missing."),
    integer("Allowed Disruptions", "Pods that may go now."),
    AGE,
];

fn budget(object: &Value, now: Timestamp) -> Vec<Value> {
    let amount = |pointer: &str| match object.pointer(pointer) {
        Some(Value::String(text)) => json!(text),
        Some(Value::Number(number)) => json!(number.to_string()),
        _ => json!("N/A"),
    };
    vec![
        name(object),
        amount("/spec/minAvailable"),
        amount("/spec/maxUnavailable"),
        json!(number(object, "/status/disruptionsAllowed")),
        age(object, now),
    ]
}

const API_SERVICE: &[Column] =
    &[NAME, string("Service", "Who serves it."), string("Available", "Whether it answers."), AGE];

fn api_service(object: &Value, now: Timestamp) -> Vec<Value> {
    let service = match text(object, "/spec/service/name") {
        "" => "Local".to_owned(),
        service => format!("{}/{service}", text(object, "/spec/service/namespace")),
    };
    let found = list(object, "/status/conditions").iter().find(|c| text(c, "/type") == "Available");
    let available = found.map_or_else(
        || "Unknown".to_owned(),
        |c| match (text(c, "/status"), text(c, "/reason")) {
            ("True", _) => "True".to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        },
    );
    vec![name(object), json!(service), json!(available), age(object, now)]
}

const REQUEST: &[Column] = &[
    NAME,
    AGE,
    string("SignerName", "Who should sign."),
    string("Requestor", "Who asked."),
    string("RequestedDuration", "For how long."),
    string("Condition", "What has been decided."),
];

fn request(object: &Value, now: Timestamp) -> Vec<Value> {
    let seconds = object.pointer("/spec/expirationSeconds").and_then(Value::as_i64);
    let states = ["Approved", "Denied", "Failed"];
    let mut found: Vec<&str> = states.into_iter().filter(|state| condition(object, state)).collect();
    if found.is_empty() {
        found.push("Pending");
    }
    if !text(object, "/status/certificate").is_empty() {
        found.push("Issued");
    }
    vec![
        name(object),
        age(object, now),
        json!(or(object, "/spec/signerName", NONE)),
        json!(text(object, "/spec/username")),
        json!(seconds.map_or_else(|| NONE.to_owned(), human)),
        json!(found.join(",")),
    ]
}
