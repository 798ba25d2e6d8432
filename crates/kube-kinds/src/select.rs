//! Fields that field selectors know.

use serde_json::Value;

/// Selectable fields and their values; `metadata.name` and `metadata.namespace` for every resource.
/// `resource` is the storage name, as `pods` or `deployments.apps`.
#[must_use]
pub fn selectable_fields(_resource: &str, object: &Value) -> Vec<(&'static str, String)> {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    vec![("metadata.name", text("name")), ("metadata.namespace", text("namespace"))]
}
