//! Operations. kubectl looks here for the kind behind a path and for query parameters that a PATCH knows.

use serde_json::{Map, Value, json};

use super::{group_version_kind, path, schema::definition};
use crate::{
    kind::{Kind, Subresource, subresource},
    table::{message_of, message_of_kind},
};

/// Adds the paths of a kind and of its subresources.
pub(super) fn add(paths: &mut Map<String, Value>, kind: &Kind) {
    let root = format!("/{}", path(kind.group, kind.version));
    let base = match kind.namespaced {
        true => format!("{root}/namespaces/{{namespace}}/{}", kind.plural),
        false => format!("{root}/{}", kind.plural),
    };
    let gvk = group_version_kind(kind);
    let schema = definition(message_of_kind(kind).name);
    let operations = |pairs: &[(&str, &str, &str)], common: &[&str]| {
        let mut item = Map::new();
        for (method, verb, action) in pairs.iter().filter(|(_, verb, _)| kind.verbs.contains(verb)) {
            let listed = if *verb == "list" { format!("{schema}List") } else { schema.clone() };
            item.insert((*method).to_owned(), operation(action, &gvk, &listed));
        }
        if !item.is_empty() {
            item.insert("parameters".to_owned(), parameters(common, "path"));
        }
        item
    };
    let namespace: &[&str] = if kind.namespaced { &["namespace"] } else { &[] };
    let collection =
        [("get", "list", "list"), ("post", "create", "post"), ("delete", "deletecollection", "deletecollection")];
    insert(paths, base.clone(), operations(&collection, namespace));
    if kind.namespaced && kind.verbs.contains(&"list") {
        insert(paths, format!("{root}/{}", kind.plural), operations(&collection[..1], &[]));
    }
    let named = [&["name"], namespace].concat();
    let single =
        [("get", "get", "get"), ("put", "update", "put"), ("patch", "patch", "patch"), ("delete", "delete", "delete")];
    insert(paths, format!("{base}/{{name}}"), operations(&single, &named));
    for name in kind.subresources {
        if let Some(sub) = subresource(kind, name) {
            insert(paths, format!("{base}/{{name}}/{name}"), sub_operations(&sub, &named));
        }
    }
}

fn insert(paths: &mut Map<String, Value>, path: String, item: Map<String, Value>) {
    if !item.is_empty() {
        paths.insert(path, Value::Object(item));
    }
}

fn sub_operations(sub: &Subresource, named: &[&str]) -> Map<String, Value> {
    let gvk = json!({"group": sub.group, "version": sub.version, "kind": sub.kind});
    let schema = message_of(sub.group, sub.version, sub.kind).map(|m| definition(m.name));
    let mut item = Map::new();
    for (method, verb) in [("get", "get"), ("put", "update"), ("patch", "patch"), ("post", "create")] {
        if sub.verbs.contains(&verb) {
            let action = if schema.is_some() { method } else { "connect" };
            item.insert(method.to_owned(), operation(action, &gvk, schema.as_deref().unwrap_or_default()));
        }
    }
    item.insert("parameters".to_owned(), parameters(named, "path"));
    item
}

fn operation(action: &str, gvk: &Value, schema: &str) -> Value {
    let query: &[&str] = match action {
        "post" | "put" => &["pretty", "dryRun", "fieldManager", "fieldValidation"],
        "patch" => &["pretty", "dryRun", "fieldManager", "fieldValidation", "force"],
        "delete" => &["pretty", "dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"],
        "list" | "deletecollection" => &[
            "pretty",
            "allowWatchBookmarks",
            "continue",
            "fieldSelector",
            "labelSelector",
            "limit",
            "resourceVersion",
            "resourceVersionMatch",
            "sendInitialEvents",
            "timeoutSeconds",
            "watch",
        ],
        _ => &["pretty"],
    };
    let content = |schema: &str| match schema {
        "" => json!({"*/*": {"schema": {"type": "string"}}}),
        _ => json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}}),
    };
    let reply = match action {
        "delete" | "deletecollection" => "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
        _ => schema,
    };
    let mut operation = json!({
        "parameters": parameters(query, "query"),
        "responses": {"200": {"description": "OK", "content": content(reply)}, "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    });
    match action {
        "post" | "put" => operation["requestBody"] = json!({"required": true, "content": content(schema)}),
        "patch" => {
            let object = json!({"schema": {"type": "object"}});
            operation["requestBody"] = json!({"required": true, "content": {
                "application/json-patch+json": object, "application/merge-patch+json": object,
                "application/strategic-merge-patch+json": object,
            }});
        }
        "delete" | "deletecollection" => {
            let options = content("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
            operation["requestBody"] = json!({"content": options});
        }
        _ => {}
    }
    operation
}

fn parameters(names: &[&str], place: &str) -> Value {
    let one = |name: &&str| {
        let kind = match *name {
            "limit" | "timeoutSeconds" | "gracePeriodSeconds" => "integer",
            "watch" | "allowWatchBookmarks" | "sendInitialEvents" | "force" | "orphanDependents" => "boolean",
            _ => "string",
        };
        let mut parameter = json!({"name": name, "in": place, "schema": {"type": kind, "uniqueItems": true}});
        if place == "path" {
            parameter["required"] = json!(true);
        }
        parameter
    };
    Value::Array(names.iter().map(one).collect())
}
