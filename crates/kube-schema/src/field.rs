//! Strict and lenient reading of objects: unknown, repeated and mistyped fields.

mod duplicate;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

pub use duplicate::{duplicate_fields, duplicate_fields_of};

use crate::{
    kind::Kind,
    scalar::{canonical_micro_time, canonical_quantity, canonical_time},
    table::{Field, Message, Type, message, message_of_kind},
};

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

/// Fields of `value` that its type does not have, in the order of its keys.
#[must_use]
pub fn validate_fields(kind: &Kind, value: &Value) -> Vec<FieldProblem> {
    let mut found = Vec::new();
    unknown_fields(message_of_kind(kind), value, "", &mut found);
    found
}

/// Like `validate_fields`, for a type that no kind has, as `autoscaling.v1.Scale`.
#[must_use]
pub fn validate_message(message: &Message, value: &Value) -> Vec<FieldProblem> {
    let mut found = Vec::new();
    unknown_fields(message, value, "", &mut found);
    found
}

fn unknown_fields(message: &Message, value: &Value, path: &str, found: &mut Vec<FieldProblem>) {
    let Value::Object(map) = value else { return };
    for (key, value) in map {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match message.field(key) {
            Some(field) => unknown_in(&field.kind, value, &at, found),
            None if is_type_meta(message, key) => {}
            None => found.push(FieldProblem::Unknown(at)),
        }
    }
}

fn unknown_in(kind: &Type, value: &Value, path: &str, found: &mut Vec<FieldProblem>) {
    match (kind, value) {
        (Type::Message(id), Value::Object(_)) => unknown_fields(id.get(), value, path, found),
        (Type::List(inner), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                unknown_in(inner, item, &format!("{path}[{index}]"), found);
            }
        }
        (Type::Map(inner), Value::Object(entries)) => {
            for (key, item) in entries {
                unknown_in(inner, item, &format!("{path}.{key}"), found);
            }
        }
        (Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings, Value::Object(_)) => {
            if let Some(schema) = schema_message() {
                unknown_fields(schema, value, path, found);
            }
        }
        _ => {}
    }
}

fn schema_message() -> Option<&'static Message> {
    message("apiextensions.v1.JSONSchemaProps")
}

fn is_type_meta(message: &Message, key: &str) -> bool {
    message.is_kind && matches!(key, "apiVersion" | "kind")
}

/// Checks that every known field has a value of its type. Upstream says the kind before the problem: `Pod in version
/// "v1" cannot be handled as a Pod: ...`; that is the caller's to add.
/// # Errors
/// The first field that has not; answer it as 400 BadRequest.
pub fn check_types(kind: &Kind, value: &Value) -> Result<(), DecodeProblem> {
    check_message_types(message_of_kind(kind), value)
}

/// Like `check_types`, for a type that no kind has.
/// # Errors
/// The first field that has a value of another type.
pub fn check_message_types(message: &Message, value: &Value) -> Result<(), DecodeProblem> {
    match value {
        Value::Object(map) => check_map(message, map, ""),
        other => Err(DecodeProblem(format!(
            "json: cannot unmarshal {} into Go value of type {}",
            json_name(other),
            go_message(message)
        ))),
    }
}

fn check_map(message: &Message, map: &Map<String, Value>, path: &str) -> Result<(), DecodeProblem> {
    for (key, value) in map {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if let Some(field) = message.field(key) {
            check_value(&field.kind, value, &Place { message, path: &at })?;
        } else if is_type_meta(message, key) {
            check_value(&Type::String, value, &Place { message, path: &at })?;
        }
    }
    Ok(())
}

/// Where a value stands: innermost Go struct and path of field names from the root.
struct Place<'a> {
    message: &'a Message,
    path: &'a str,
}

impl Place<'_> {
    fn mismatch(&self, value: &Value, kind: &Type) -> DecodeProblem {
        DecodeProblem(format!(
            "json: cannot unmarshal {} into Go struct field {}.{} of type {}",
            match (value, kind) {
                (Value::Number(number), Type::Int32 | Type::Int64 | Type::IntOrString) => format!("number {number}"),
                _ => json_name(value).to_owned(),
            },
            self.message.short_name(),
            self.path,
            go_type(kind)
        ))
    }
}

fn check_value(kind: &Type, value: &Value, place: &Place<'_>) -> Result<(), DecodeProblem> {
    if value.is_null() {
        return Ok(());
    }
    let fits = match (kind, value) {
        (Type::Message(id), Value::Object(map)) => return check_map(id.get(), map, place.path),
        (Type::List(inner), Value::Array(items)) => {
            return items.iter().try_for_each(|item| check_value(inner, item, place));
        }
        (Type::Map(inner), Value::Object(entries)) => {
            return entries.values().try_for_each(|item| check_value(inner, item, place));
        }
        (Type::Any, _) | (Type::String, Value::String(_)) | (Type::Bool, Value::Bool(_)) => true,
        (Type::Double, Value::Number(_)) => true,
        (Type::Int32, Value::Number(n)) => integer(n).is_some_and(|n| i32::try_from(n).is_ok()),
        (Type::Int64, Value::Number(n)) => integer(n).is_some(),
        (Type::IntOrString, Value::String(_)) => true,
        (Type::IntOrString, Value::Number(n)) => integer(n).is_some_and(|n| i32::try_from(n).is_ok()),
        (Type::Quantity, _) => return check_quantity(value),
        (Type::Time | Type::MicroTime, Value::String(text)) => return check_time(text),
        (Type::Bytes, Value::String(text)) => return check_bytes(text),
        (Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings, Value::Object(map)) => {
            return schema_message().map_or(Ok(()), |schema| check_map(schema, map, place.path));
        }
        (Type::SchemaOrBool, Value::Bool(_)) | (Type::SchemaOrArray | Type::SchemaOrStrings, Value::Array(_)) => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err(place.mismatch(value, kind)) }
}

fn integer(number: &serde_json::Number) -> Option<i64> {
    // Go takes 1.0 for an integer no more than we do.
    number.as_i64()
}

fn check_quantity(value: &Value) -> Result<(), DecodeProblem> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    if canonical_quantity(&text).is_some() {
        return Ok(());
    }
    let words = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    Err(DecodeProblem(words.to_owned()))
}

fn check_time(text: &str) -> Result<(), DecodeProblem> {
    if canonical_time(text).is_some() {
        return Ok(());
    }
    Err(DecodeProblem(format!(
        "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
    )))
}

fn check_bytes(text: &str) -> Result<(), DecodeProblem> {
    let clean: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    STANDARD.decode(&clean).map(drop).map_err(|error| {
        let offset = match error {
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            _ => clean.len(),
        };
        DecodeProblem(format!("illegal base64 data at input byte {offset}"))
    })
}

fn json_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn go_message(message: &Message) -> String {
    let mut parts = message.name.rsplit('.');
    let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{version}.{name}")
}

fn go_type(kind: &Type) -> String {
    match kind {
        Type::String => "string".to_owned(),
        Type::Int32 => "int32".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Double => "float64".to_owned(),
        Type::Quantity => "resource.Quantity".to_owned(),
        Type::IntOrString => "intstr.IntOrString".to_owned(),
        Type::Time => "time.Time".to_owned(),
        Type::MicroTime => "v1.MicroTime".to_owned(),
        Type::Bytes => "[]uint8".to_owned(),
        Type::Any | Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => "interface {}".to_owned(),
        Type::List(inner) => format!("[]{}", go_type(inner)),
        Type::Map(inner) => format!("map[string]{}", go_type(inner)),
        Type::Message(id) => go_message(id.get()),
    }
}

/// Does to a value what storing through a Go struct would: drops unknown fields and nulls, writes quantities and
/// times in their canonical form, leaves out zero values that mean "not set".
pub fn prune(kind: &Kind, value: &mut Value) {
    prune_message(message_of_kind(kind), value);
}

/// Like `prune`, for a type that no kind has.
pub fn prune_message(message: &Message, value: &mut Value) {
    let Value::Object(map) = value else { return };
    map.retain(|key, value| match message.field(key) {
        _ if value.is_null() => false,
        Some(field) => {
            prune_value(&field.kind, value);
            !(field.omits_zero && is_zero(value) || is_empty_collection(field, value))
        }
        None => is_type_meta(message, key),
    });
}

fn prune_value(kind: &Type, value: &mut Value) {
    match (kind, value) {
        (Type::Message(id), value) => prune_message(id.get(), value),
        (Type::List(inner), Value::Array(items)) => items.iter_mut().for_each(|item| prune_value(inner, item)),
        (Type::Map(inner), Value::Object(entries)) => {
            if matches!(**inner, Type::String) {
                // A null in a map of texts is the empty text in Go.
                entries.values_mut().filter(|v| v.is_null()).for_each(|v| *v = Value::String(String::new()));
            }
            entries.values_mut().for_each(|item| prune_value(inner, item));
        }
        (Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings, value @ Value::Object(_)) => {
            if let Some(schema) = schema_message() {
                prune_message(schema, value);
            }
        }
        (Type::Quantity, value) => rewrite(value, canonical_quantity),
        (Type::Time, value) => rewrite(value, canonical_time),
        (Type::MicroTime, value) => rewrite(value, canonical_micro_time),
        _ => {}
    }
}

fn rewrite(value: &mut Value, canonical: fn(&str) -> Option<String>) {
    let text = match &*value {
        Value::String(text) => canonical(text),
        Value::Number(number) => canonical(&number.to_string()),
        _ => None,
    };
    if let Some(text) = text {
        *value = Value::String(text);
    }
}

/// Whether a value is what Go has where nothing was set.
pub(crate) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// Go leaves out empty optional lists and maps; a message stays, as its presence can mean something.
fn is_empty_collection(field: &Field, value: &Value) -> bool {
    // An empty list of rules or policy types is not the same as none: these keep their emptiness in Go too, where
    // the field is read through a pointer or without `omitempty`.
    const KEPT: &[&str] = &["ingress", "egress", "rules", "subsets", "endpoints", "ports", "addresses"];
    match (&field.kind, value) {
        (Type::List(_), Value::Array(items)) => items.is_empty() && !field.required && !KEPT.contains(&field.name),
        (Type::Map(_), Value::Object(entries)) => entries.is_empty() && !field.required,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::by_kind;

    fn deployment() -> &'static Kind {
        by_kind("apps", "v1", "Deployment").unwrap()
    }

    #[test]
    fn unknown_fields_are_named_with_their_path() {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "labels": {"x": "y"}},
            "spec": {"foo": 1, "template": {"spec": {"containers": [{"name": "a"}, {"name": "b", "imag": "c"}]}}}});
        let texts: Vec<String> = validate_fields(deployment(), &value).iter().map(ToString::to_string).collect();
        assert_eq!(texts, [r#"unknown field "spec.foo""#, r#"unknown field "spec.template.spec.containers[1].imag""#]);
    }

    #[track_caller]
    fn refuse(value: &Value, words: &str) {
        let text = check_types(deployment(), value).unwrap_err().to_string();
        assert_eq!(text, words);
    }

    #[test]
    fn mistyped_fields_are_refused_in_gos_words() {
        refuse(
            &json!({"spec": {"replicas": "two"}}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        );
        refuse(
            &json!({"spec": {"template": {"spec": {"containers": {}}}}}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        );
        refuse(
            &json!({"metadata": {"labels": {"a": 1}}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        );
        refuse(
            &json!({"spec": {"replicas": 99_999_999_999i64}}),
            "json: cannot unmarshal number 99999999999 into Go struct field DeploymentSpec.spec.replicas of type int32",
        );
        assert_eq!(check_types(deployment(), &json!({"spec": null, "metadata": {"name": "x"}})), Ok(()));
    }

    #[test]
    fn pruning_leaves_what_go_would_store() {
        let pod = by_kind("", "v1", "Pod").unwrap();
        let mut value = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "creationTimestamp": null},
            "spec": {"x": 1, "hostNetwork": false, "terminationGracePeriodSeconds": 0, "nodeName": "", "containers": [
                {"name": "c", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}, "stdin": true}]}});
        prune(pod, &mut value);
        assert_eq!(
            value,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {
                "terminationGracePeriodSeconds": 0, "containers": [
                {"name": "c", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}, "stdin": true}]}})
        );
    }
}
