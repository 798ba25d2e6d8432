//! `scale` of deployments, replica sets, stateful sets and replication controllers: `autoscaling/v1` Scale.

use crate::{
    body,
    call::Call,
    meta,
    negotiate::Form,
    ops,
    patch::Patch,
    respond,
    verb::{Part, update},
};
use axum::{body::Body, response::Response};
use http::StatusCode;
use kube_schema::Kind;
use kube_store::Object;
use problem::kube::{Cause, Status};
use serde_json::{Value, json};

/// Serves `get`, `update` and `patch` of a scale.
///
/// # Errors
/// 404, 409, 422, 415.
pub(crate) async fn serve(call: &Call, verb: &str, name: &str, body: Body) -> Result<Response, Status> {
    let kind = call.kind;
    if verb == "get" {
        let found = ops::get(&call.cluster, kind, call.namespace(), name)?;
        return Ok(answer(call, &found));
    }
    let bytes = body::read(body, call.state.config.max_body_bytes).await?;
    let key = meta::key(kind, call.namespace(), name);
    let dry_run = call.dry_run()?;
    let done = if verb == "update" {
        let wanted = body::value(None, body::media_type(&call.headers), &bytes)?;
        update::on_current(&call.cluster, kind, Part::Whole, key, dry_run, move |old| scaled(kind, old, &wanted))
            .await?
    } else {
        let patch = Patch::parse(body::media_type(&call.headers), &bytes)?;
        let make = move |old: &Value| {
            let mut wanted = scale(kind, old);
            // The precondition is the patch's own, if it has one.
            meta::map(&mut wanted)?.remove("resourceVersion");
            let wanted = match patch {
                Patch::Json(operations) => {
                    json_patch::patch(&mut wanted, &operations)
                        .map_err(|error| Status::new(422, "Invalid", error.to_string()))?;
                    wanted
                }
                // A Scale has no lists: strategic and plain merges are the same.
                Patch::Merge(patch) | Patch::Strategic(patch) => {
                    json_patch::merge(&mut wanted, &patch);
                    wanted
                }
            };
            scaled(kind, old, &wanted)
        };
        update::on_current(&call.cluster, kind, Part::Whole, key, dry_run, make).await?
    };
    Ok(answer(call, &done))
}

fn answer(call: &Call, object: &Object) -> Response {
    let scale = scale(call.kind, &object.value());
    let shown = match call.answer.form {
        Form::Object => scale,
        Form::Metadata(version) => json!({
            "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": scale["metadata"],
        }),
        Form::Table(version) => table(&scale, version),
    };
    respond::encoded(StatusCode::OK, shown.to_string().into(), call.answer.encoding)
}

/// A Scale as `kubectl get --subresource=scale` prints it.
fn table(scale: &Value, version: &str) -> Value {
    let column = |name: &str, kind: &str, format: &str, description: &str| json!({"name": name, "type": kind, "format": format, "description": description, "priority": 0});
    let age = kube_kinds::age(scale, jiff::Timestamp::now());
    json!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": {"resourceVersion": scale["metadata"]["resourceVersion"]},
        "columnDefinitions": [
            column("Name", "string", "name", "Name of the object that is scaled."),
            column("Desired", "integer", "", "Replicas that are wanted."),
            column("Available", "integer", "", "Replicas that there are."),
            column("Age", "string", "", "Time since the object was created."),
        ],
        "rows": [{
            "cells": [scale["metadata"]["name"], scale["spec"]["replicas"], scale["status"]["replicas"], age],
            "object": {
                "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": scale["metadata"],
            },
        }],
    })
}

/// The object with the wanted number of replicas.
fn scaled(kind: &Kind, old: &Value, wanted: &Value) -> Result<Value, Status> {
    let name = meta::text(old, "name");
    let replicas = match &wanted["spec"]["replicas"] {
        Value::Null => json!(0),
        number => number.clone(),
    };
    if replicas.as_i64().is_none_or(|n| n < 0 || n > i64::from(i32::MAX)) {
        let cause = Cause::invalid("spec.replicas", &replicas, "must be greater than or equal to 0");
        return Err(Status::invalid("Scale.autoscaling", name, &[cause]));
    }
    let given = meta::text(wanted, "name");
    if !given.is_empty() && given != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let mut new = old.clone();
    new["spec"]["replicas"] = replicas;
    let version = meta::text(wanted, "resourceVersion").to_owned();
    let own = meta::map(&mut new)?;
    own.remove("resourceVersion");
    if !version.is_empty() {
        if version != meta::text(old, "resourceVersion") {
            return Err(Status::stale(&kind.qualified_plural(), name));
        }
        own.insert("resourceVersion".into(), json!(version));
    }
    Ok(new)
}

/// The Scale of an object.
fn scale(kind: &Kind, object: &Value) -> Value {
    let of = |field: &str| object["metadata"][field].clone();
    let selector = &object["spec"]["selector"];
    let selector =
        if kind.plural == "replicationcontrollers" { json!({"matchLabels": selector}) } else { selector.clone() };
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": of("name"), "namespace": of("namespace"), "uid": of("uid"),
            "resourceVersion": of("resourceVersion"), "creationTimestamp": of("creationTimestamp"),
        },
        "spec": {"replicas": object["spec"]["replicas"].as_i64().unwrap_or(0)},
        "status": {
            "replicas": object["status"]["replicas"].as_i64().unwrap_or(0),
            "selector": selector_text(&selector),
        },
    })
}

/// A `metav1.LabelSelector` as text.
fn selector_text(selector: &Value) -> String {
    let mut terms: Vec<String> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        terms.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let values: Vec<&str> = values.collect();
        terms.push(match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    terms.sort();
    terms.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_written_out() {
        let selector = json!({"matchLabels": {"b": "c", "a": "x"}, "matchExpressions": [
            {"key": "t", "operator": "In", "values": ["1", "2"]}, {"key": "z", "operator": "DoesNotExist"},
        ]});
        assert_eq!(selector_text(&selector), "!z,a=x,b=c,t in (1,2)");
    }
}
