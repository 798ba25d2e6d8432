//! Kubernetes' `Status`: how its API says that something went wrong.
//! Source of reasons, codes and wording: Kubernetes apimachinery, `pkg/api/errors`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, `FieldValueNotSupported`, `FieldValueForbidden` ...
    pub reason: String,
    /// Upstream's words, without the field.
    pub message: String,
    /// Path of the field, as in `spec.containers[0].image`.
    pub field: String,
}

impl Cause {
    /// A value that breaks a rule: `Invalid value: <value>: <detail>`.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::make("FieldValueInvalid", field, format!("Invalid value: {value}: {detail}"))
    }

    /// A missing value: `Required value: <detail>`.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Self::make("FieldValueRequired", field, message)
    }

    /// A value that must be unique: `Duplicate value: <value>`.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::make("FieldValueDuplicate", field, format!("Duplicate value: {value}"))
    }

    /// A value out of a fixed set: `Unsupported value: <value>: supported values: ...`.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", list.join(", "));
        Self::make("FieldValueNotSupported", field, message)
    }

    /// A field that may not be set here: `Forbidden: <detail>`.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::make("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    /// A reference to nothing: `Not found: <value>`.
    pub fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self::make("FieldValueNotFound", field, format!("Not found: {value}"))
    }

    /// A value that is too long: `Too long: <detail>`.
    pub fn too_long(field: impl Into<String>, detail: &str) -> Self {
        Self::make("FieldValueTooLong", field, format!("Too long: {detail}"))
    }

    fn make(reason: &str, field: impl Into<String>, message: String) -> Self {
        Self { reason: reason.to_owned(), message, field: field.into() }
    }
}

/// A failed request, as `kind: Status`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    code: u16,
    reason: &'static str,
    message: String,
    details: Option<Box<Value>>,
}

impl Status {
    /// A status of any code and reason; prefer the named ones.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    fn of(code: u16, reason: &'static str, message: String, resource: &str, name: &str) -> Self {
        let (kind, group) = resource.split_once('.').unwrap_or((resource, ""));
        let mut details = json!({"name": name, "kind": kind});
        if !group.is_empty() {
            details["group"] = json!(group);
        }
        Self { code, reason, message, details: Some(Box::new(details)) }
    }

    /// 404 for an object; `resource` is `pods` or `deployments.apps`.
    #[must_use]
    pub fn not_found(resource: &str, name: &str) -> Self {
        Self::of(404, "NotFound", format!("{resource} {name:?} not found"), resource, name)
    }

    /// 404 for a path or a kind that is not served.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 409: the name is taken.
    #[must_use]
    pub fn already_exists(resource: &str, name: &str) -> Self {
        Self::of(409, "AlreadyExists", format!("{resource} {name:?} already exists"), resource, name)
    }

    /// 409: somebody else wrote in between, or a precondition does not hold.
    #[must_use]
    pub fn conflict(resource: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Self::of(409, "Conflict", message, resource, name)
    }

    /// 409 for an update with an old `resourceVersion`.
    #[must_use]
    pub fn stale(resource: &str, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 422: the object breaks rules; `kind` is `Pod` or `Deployment.apps`.
    #[must_use]
    pub fn invalid(kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut texts: Vec<String> = causes
            .iter()
            .map(|c| if c.field.is_empty() { c.message.clone() } else { format!("{}: {}", c.field, c.message) })
            .collect();
        texts.dedup();
        let list = if texts.len() == 1 { texts[0].clone() } else { format!("[{}]", texts.join(", ")) };
        let mut status = Self::of(422, "Invalid", format!("{kind} {name:?} is invalid: {list}"), kind, name);
        if let Some(details) = &mut status.details {
            details["causes"] = json!(causes);
        }
        status
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 403 for an object or kind; `name` may be empty.
    #[must_use]
    pub fn forbidden(resource: &str, name: &str, why: &str) -> Self {
        let what = if name.is_empty() { resource.to_owned() } else { format!("{resource} {name:?}") };
        Self::of(403, "Forbidden", format!("{what} is forbidden: {why}"), resource, name)
    }

    /// 401: nobody we know.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 410: the version is older than what is kept; list again.
    #[must_use]
    pub fn gone_expired(message: &str) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 413: the body or the object is too large.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 405: the resource has no such verb.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// 406: no media type that both sides know.
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(406, "NotAcceptable", message)
    }

    /// 415: a body in a form that is not understood.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 429: slow down, or a budget forbids it.
    #[must_use]
    pub fn too_many_requests(message: &str, retry_after_seconds: u32) -> Self {
        let mut status = Self::new(429, "TooManyRequests", message);
        status.details = Some(Box::new(json!({"retryAfterSeconds": retry_after_seconds})));
        status
    }

    /// 500: our fault; the text must hold no secret.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {}", message.into()))
    }

    /// 503: a part is down; retry.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// 504: it took too long.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(504, "Timeout", message)
    }

    /// Adds a cause that clients look for by its reason.
    #[must_use]
    pub fn with_cause(mut self, reason: &str, message: &str, field: &str) -> Self {
        let cause = Cause { reason: reason.into(), message: message.into(), field: field.into() };
        let details = self.details.get_or_insert_with(|| Box::new(json!({})));
        match details.get_mut("causes").and_then(Value::as_array_mut) {
            Some(causes) => causes.push(json!(cause)),
            None => details["causes"] = json!([cause]),
        }
        self
    }

    /// Says when to retry.
    #[must_use]
    pub fn retry_in(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_with(|| Box::new(json!({})))["retryAfterSeconds"] = json!(seconds);
        self
    }

    /// The HTTP status code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The machine-readable reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// The human-readable message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Seconds after which the caller should retry, if said.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.details.as_ref()?.get("retryAfterSeconds")?.as_u64()
    }

    /// The object on the wire.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(details) = &self.details {
            value["details"] = (**details).clone();
        }
        value
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        self.to_value().to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_upstreams() {
        assert_eq!(Status::not_found("deployments.apps", "web").message(), "deployments.apps \"web\" not found");
        let one = Status::invalid("Pod", "x", &[Cause::required("spec.containers", "")]);
        assert_eq!(one.message(), "Pod \"x\" is invalid: spec.containers: Required value");
        assert_eq!(one.code(), 422);
        let value = Status::not_found("deployments.apps", "web").to_value();
        assert_eq!(value["details"], json!({"name": "web", "kind": "deployments", "group": "apps"}));
    }

    #[test]
    fn causes_join_what_is_known_already() {
        let status =
            Status::forbidden("pods", "p", "no").with_cause("A", "b", "c").with_cause("D", "e", "").retry_in(2);
        let details = status.to_value()["details"].clone();
        assert_eq!((&details["name"], &details["retryAfterSeconds"]), (&json!("p"), &json!(2)));
        assert_eq!((&details["causes"][0]["field"], &details["causes"][1]["reason"]), (&json!("c"), &json!("D")));
    }

    #[test]
    fn a_limit_says_when_to_retry() {
        assert_eq!(Status::too_many_requests("slow down", 3).retry_after_seconds(), Some(3));
    }
}
