//! Texts that many tables share.
//! Source: apimachinery `pkg/util/duration`, `pkg/labels`, `meta/v1.FormatLabelSelector`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::json::{list, text};

/// What stands where there is nothing.
pub(super) const NONE: &str = "<none>";
/// What stands where nothing is known.
pub(super) const UNKNOWN: &str = "<unknown>";
/// What stands where nothing is set.
pub(super) const UNSET: &str = "<unset>";

/// Time since the object was created.
#[must_use]
pub fn age(object: &Value, now: Timestamp) -> Value {
    json!(since(text(object, "/metadata/creationTimestamp"), now))
}

/// When the object was created, in full.
pub(super) fn created_at(object: &Value) -> Value {
    json!(text(object, "/metadata/creationTimestamp"))
}

/// Time since an RFC 3339 text; `<unknown>` if it is none.
pub(super) fn since(time: &str, now: Timestamp) -> String {
    time.parse::<Timestamp>().map_or_else(|_| UNKNOWN.to_owned(), |time| human(now.as_second() - time.as_second()))
}

/// Seconds in the largest units that matter, as `2d3h`.
pub(super) fn human(seconds: i64) -> String {
    let two = |big: i64, unit: char, small: i64, part: char| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit}{small}{part}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match () {
        () if seconds < -1 => "<invalid>".to_owned(),
        () if seconds < 0 => "0s".to_owned(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => two(hours / 24, 'd', hours % 24, 'h'),
        () if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        () if hours < 24 * 365 * 8 => two(hours / 24 / 365, 'y', hours / 24 % 365, 'd'),
        () => format!("{}y", hours / 24 / 365),
    }
}

/// Text at a pointer, or `other` if there is none.
pub(super) fn or<'a>(object: &'a Value, pointer: &str, other: &'a str) -> &'a str {
    Some(text(object, pointer)).filter(|text| !text.is_empty()).unwrap_or(other)
}

/// `a=b,c=d`, or `<none>`.
pub(super) fn labels(map: Option<&Value>) -> String {
    let pairs: Vec<String> = map
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    joined(&pairs, ",")
}

/// A label selector as one would type it, or `<none>`.
pub(super) fn selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return NONE.to_owned() };
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        parts.push((key.clone(), format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for expression in list(selector, "/matchExpressions") {
        let key = text(expression, "/key");
        let mut values: Vec<&str> = list(expression, "/values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let part = match text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        };
        parts.push((key.to_owned(), part));
    }
    parts.sort();
    let parts: Vec<String> = parts.into_iter().map(|(_, part)| part).collect();
    joined(&parts, ",")
}

/// Parts joined, or `<none>` if there are none.
pub(super) fn joined(parts: &[String], separator: &str) -> String {
    if parts.is_empty() { NONE.to_owned() } else { parts.join(separator) }
}

/// The first three parts and how many more there are; `empty` if there are none.
pub(super) fn first_three(parts: &[String], empty: &str) -> String {
    match parts.len() {
        0 => empty.to_owned(),
        length @ 0..=3 => {
            debug_assert!(length <= 3);
            parts.join(",")
        }
        length => format!("{} + {} more...", parts[..3].join(","), length - 3),
    }
}

/// Names and images of the containers of a pod spec.
pub(super) fn containers(object: &Value, pointer: &str) -> (Value, Value) {
    let of = |key: &str| {
        let texts: Vec<&str> = list(object, pointer).iter().map(|c| text(c, key)).collect();
        json!(texts.join(","))
    };
    (of("/name"), of("/image"))
}

/// Whether the object is on its way out.
pub(super) fn terminating(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// Whether a condition of that type is true.
pub(super) fn condition(object: &Value, kind: &str) -> bool {
    list(object, "/status/conditions").iter().any(|c| text(c, "/type") == kind && text(c, "/status") == "True")
}

/// Number of entries of a map or list.
pub(super) fn count(object: &Value, pointer: &str) -> usize {
    match object.pointer(pointer) {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(items)) => items.len(),
        _ => 0,
    }
}
