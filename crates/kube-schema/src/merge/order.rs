//! `$setElementOrder`: the client's order for the elements it knows, the server's for the others.

use serde_json::{Map, Value};

use super::{DELETE_FROM, PatchError, Shape, delete_primitives, list};

/// Merges `patch[name]` into `original[name]`, then orders the result.
pub(super) fn apply(
    original: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    name: &str,
    order: &Value,
    shape: Shape<'_>,
) -> Result<(), PatchError> {
    let Value::Array(order) = order else {
        return Err(PatchError(format!("$setElementOrder/{name} must be a list")));
    };
    let field = shape.field(name);
    let key = field.and_then(|f| f.merge_key);
    if let Some(gone) = patch.get(&format!("{DELETE_FROM}{name}")) {
        delete_primitives(original, name, gone)?;
    }
    let server: Vec<Value> = match original.get(name) {
        Some(Value::Array(items)) => items.clone(),
        _ => Vec::new(),
    };
    let merged = match patch.get(name) {
        Some(Value::Array(items)) => {
            check_known(items, order, key)?;
            list::merge(server.clone(), items, field)?
        }
        Some(Value::Null) => {
            original.remove(name);
            return Ok(());
        }
        Some(other) => return Err(PatchError(format!("{name} must be a list, not {other}"))),
        None if server.is_empty() => return Ok(()),
        None => server.clone(),
    };
    let (mut known, others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| position(order, item, key).is_some());
    known.sort_by_key(|item| position(order, item, key));
    original.insert(name.to_owned(), Value::Array(interleave(others, known, &server, key)));
    Ok(())
}

/// Every element that the patch brings must have a place in the order, and come in that order.
fn check_known(items: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    let mut last = 0;
    for item in items.iter().filter(|item| item.get(super::PATCH).is_none()) {
        match position(order, item, key) {
            Some(at) if at >= last => last = at,
            _ => {
                let text = "the order in patch list doesn't match $setElementOrder list";
                return Err(PatchError(format!("{text}: {}", Value::Array(order.to_vec()))));
            }
        }
    }
    Ok(())
}

fn position(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    match key.filter(|_| item.is_object()) {
        Some(key) => {
            let text = list::key_text(item, key)?;
            list.iter().position(|other| list::key_text(other, key).as_ref() == Some(&text))
        }
        None => list.iter().position(|other| other == item),
    }
}

/// Keeps the order within both lists; between them, the server's where it knows both.
fn interleave(left: Vec<Value>, right: Vec<Value>, server: &[Value], key: Option<&str>) -> Vec<Value> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let take_left = match (left.peek(), right.peek()) {
            (None, None) => return merged,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(l), Some(r)) => match (position(server, l, key), position(server, r, key)) {
                (Some(l), Some(r)) => l < r,
                _ => false,
            },
        };
        merged.extend(if take_left { left.next() } else { right.next() });
    }
}
