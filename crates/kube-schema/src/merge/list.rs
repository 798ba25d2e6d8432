//! Merging of lists: by value for texts and numbers, by merge key for objects.

use serde_json::{Map, Value};

use super::{PATCH, PatchError, Shape, merge_map, without_directives};
use crate::table::{Field, Type};

/// Merges `patch` into `old` if the field says so, else replaces it.
pub(super) fn merge(old: Vec<Value>, patch: &[Value], field: Option<&Field>) -> Result<Vec<Value>, PatchError> {
    let Some(field) = field.filter(|f| f.strategy.merge) else {
        return Ok(patch.iter().map(without_directives).collect());
    };
    let objects = old.iter().chain(patch).any(Value::is_object);
    match field.merge_key.filter(|_| objects) {
        Some(key) => merge_objects(old, patch, key, element(field)),
        None if objects => Err(PatchError(format!("list {} has no merge key", field.name))),
        None => {
            let mut merged = old;
            for item in patch {
                if !merged.contains(item) {
                    merged.push(item.clone());
                }
            }
            Ok(merged)
        }
    }
}

fn element(field: &Field) -> Shape<'_> {
    match &field.kind {
        Type::List(inner) => Shape::of(Some(inner)),
        _ => Shape::Unknown,
    }
}

/// Whether a list element only carries a directive.
pub(super) fn is_special(item: &Value) -> bool {
    item.get(PATCH).is_some_and(|d| d == "delete" || (d == "replace" && item.as_object().is_some_and(|o| o.len() == 1)))
}

/// The text by which elements are compared: 80 and "80" are the same key.
pub(super) fn key_text(item: &Value, key: &str) -> Option<String> {
    match item.get(key)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn merge_objects(
    mut merged: Vec<Value>,
    patch: &[Value],
    key: &str,
    shape: Shape<'_>,
) -> Result<Vec<Value>, PatchError> {
    let mut plain = Vec::new();
    let mut replace = false;
    for item in patch {
        let Value::Object(map) = item else {
            return Err(PatchError("a list of objects can only be patched with objects".to_owned()));
        };
        match map.get(PATCH).map(|d| d.as_str().unwrap_or_default()) {
            None => plain.push(item),
            Some("delete") => {
                let text = key_text(item, key).ok_or_else(|| missing_key(map, key))?;
                merged.retain(|old| key_text(old, key).as_ref() != Some(&text));
            }
            Some("replace") => {
                replace = true;
                if map.len() > 1 {
                    plain.push(item);
                }
            }
            Some("merge") => return Err(PatchError("merging lists cannot yet be specified in the patch".to_owned())),
            Some(other) => return Err(PatchError(format!("unknown patch type: {other} in list"))),
        }
    }
    if replace {
        return Ok(plain.into_iter().map(without_directives).collect());
    }
    for item in plain {
        let Value::Object(map) = item else { continue };
        let text = key_text(item, key).ok_or_else(|| missing_key(map, key))?;
        match merged.iter_mut().find(|old| key_text(old, key).as_ref() == Some(&text)) {
            Some(slot @ Value::Object(_)) => {
                let old = std::mem::take(slot);
                let old = if let Value::Object(old) = old { old } else { Map::new() };
                *slot = Value::Object(merge_map(old, map, shape)?);
            }
            _ => merged.push(without_directives(item)),
        }
    }
    Ok(merged)
}

fn missing_key(map: &Map<String, Value>, key: &str) -> PatchError {
    PatchError(format!("map: {} does not contain declared merge key: {key}", Value::Object(map.clone())))
}
