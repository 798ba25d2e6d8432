//! Strategic merge patch, with all its directives.
//! Source of the rules: apimachinery `pkg/util/strategicpatch` and "Strategic Merge Patch" in the API conventions.

mod list;
mod order;

use serde_json::{Map, Value};

use crate::{
    kind::Kind,
    table::{Field, Message, Type, message, message_of_kind},
};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Why a patch cannot be applied; answer it as 400 BadRequest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatchError(pub String);

/// Applies a strategic merge patch; keys that the type does not know merge like JSON.
/// # Errors
/// If the patch is malformed: unknown directive, missing merge key, list where an object belongs.
pub fn strategic_merge(kind: &Kind, original: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else {
        return Err(PatchError("unable to apply patch: a strategic merge patch must be an object".to_owned()));
    };
    let original = original.as_object().cloned().unwrap_or_default();
    merge_map(original, patch, Shape::Message(message_of_kind(kind))).map(Value::Object)
}

/// What is known of a map's values.
#[derive(Clone, Copy)]
enum Shape<'a> {
    Message(&'a Message),
    Map(&'a Type),
    Unknown,
}

impl<'a> Shape<'a> {
    fn of(kind: Option<&'a Type>) -> Self {
        match kind {
            Some(Type::Message(id)) => Self::Message(id.get()),
            Some(Type::Map(inner)) => Self::Map(inner),
            Some(Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings) => {
                message("apiextensions.v1.JSONSchemaProps").map_or(Self::Unknown, Self::Message)
            }
            _ => Self::Unknown,
        }
    }

    fn field(self, name: &str) -> Option<&'a Field> {
        match self {
            Self::Message(message) => message.field(name),
            _ => None,
        }
    }

    fn kind(self, name: &str) -> Option<&'a Type> {
        match self {
            Self::Message(message) => message.field(name).map(|f| &f.kind),
            Self::Map(inner) => Some(inner),
            Self::Unknown => None,
        }
    }
}

fn merge_map(
    mut original: Map<String, Value>,
    patch: &Map<String, Value>,
    shape: Shape<'_>,
) -> Result<Map<String, Value>, PatchError> {
    match patch.get(PATCH) {
        None => {}
        Some(Value::String(directive)) if directive == "replace" => {
            let rest = patch.iter().filter(|(k, _)| *k != PATCH);
            return Ok(rest.map(|(k, v)| (k.clone(), v.clone())).collect());
        }
        Some(Value::String(directive)) if directive == "delete" => return Ok(Map::new()),
        Some(Value::String(directive)) if directive == "merge" => {}
        Some(other) => return Err(PatchError(format!("unknown patch type: {other} in map"))),
    }
    retain_keys(&mut original, patch)?;
    for (key, order) in patch {
        if let Some(field) = key.strip_prefix(ORDER) {
            order::apply(&mut original, patch, field, order, shape)?;
        }
    }
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            delete_primitives(&mut original, field, value)?;
        } else if !key.starts_with('$') && !patch.contains_key(&format!("{ORDER}{key}")) {
            merge_key(&mut original, key, value, shape)?;
        } else if key.starts_with('$') && key != PATCH && key != RETAIN && !key.starts_with(ORDER) && is_directive(key)
        {
            return Err(PatchError(format!("unknown directive {key:?}")));
        }
    }
    Ok(original)
}

fn is_directive(key: &str) -> bool {
    // JSON schemas have `$ref` and `$schema` fields of their own.
    !matches!(key, "$ref" | "$schema")
}

fn merge_key(original: &mut Map<String, Value>, key: &str, value: &Value, shape: Shape<'_>) -> Result<(), PatchError> {
    if value.is_null() {
        original.remove(key);
        return Ok(());
    }
    let Some(old) = original.remove(key) else {
        original.insert(key.to_owned(), without_directives(value));
        return Ok(());
    };
    let merged = merge_value(old, value, key, shape)?;
    original.insert(key.to_owned(), merged);
    Ok(())
}

fn merge_value(old: Value, patch: &Value, key: &str, shape: Shape<'_>) -> Result<Value, PatchError> {
    let field = shape.field(key);
    match (old, patch) {
        (Value::Object(old), Value::Object(patch)) => {
            if field.is_some_and(|f| f.strategy.replace) {
                return Ok(without_directives(&Value::Object(patch.clone())));
            }
            merge_map(old, patch, Shape::of(shape.kind(key))).map(Value::Object)
        }
        (Value::Array(old), Value::Array(patch)) => list::merge(old, patch, field).map(Value::Array),
        (_, patch) => Ok(without_directives(patch)),
    }
}

/// `$retainKeys`: fields of a union that the patch does not name go away.
fn retain_keys(original: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), PatchError> {
    let Some(keys) = patch.get(RETAIN) else { return Ok(()) };
    let malformed = || PatchError("invalid patch format of retainKeys".to_owned());
    let keys: Vec<&str> = keys.as_array().ok_or_else(malformed)?.iter().filter_map(Value::as_str).collect();
    let stray = patch.iter().any(|(k, v)| !k.starts_with('$') && !v.is_null() && !keys.contains(&k.as_str()));
    if stray {
        return Err(malformed());
    }
    original.retain(|key, _| keys.contains(&key.as_str()));
    Ok(())
}

fn delete_primitives(original: &mut Map<String, Value>, field: &str, gone: &Value) -> Result<(), PatchError> {
    let Value::Array(gone) = gone else {
        return Err(PatchError(format!("{DELETE_FROM}{field} must be a list")));
    };
    if let Some(Value::Array(items)) = original.get_mut(field) {
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}

/// A new value from a patch: nulls and directives mean nothing where nothing was.
fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            if map.get(PATCH).is_some_and(|d| d == "delete") {
                return Value::Object(Map::new());
            }
            let kept = map.iter().filter(|(k, v)| !(v.is_null() || k.starts_with('$') && is_directive(k)));
            Value::Object(kept.map(|(k, v)| (k.clone(), without_directives(v))).collect())
        }
        Value::Array(items) => {
            let kept = items.iter().filter(|item| !list::is_special(item));
            Value::Array(kept.map(without_directives).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
