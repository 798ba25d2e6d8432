//! Reads request bodies: JSON, YAML, protobuf.

use crate::patch::decode_message;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube_schema::Kind;
use problem::kube::Status;
use serde_json::Value;

/// What happens to unknown and repeated fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped, with a warning.
    Warn,
    /// They fail the request.
    Strict,
}

impl FieldValidation {
    /// Reads the query parameter.
    ///
    /// # Errors
    /// 422 for another word.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Status> {
        match text {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => {
                let cause = problem::kube::Cause::not_supported(
                    "fieldValidation",
                    &Value::String(other.into()),
                    &["Ignore", "Strict", "Warn"],
                );
                Err(Status::invalid("CreateOptions.meta.k8s.io", "", &[cause]))
            }
        }
    }
}

/// The media type of a request's body, without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// Reads a whole body.
///
/// # Errors
/// 413 if it is too large, 400 if it breaks off.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, Status> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Status::too_large(format!("Request entity too large: limit is {limit}")))
        }
        Err(_) => Err(Status::bad_request("unable to read the request's body")),
    }
}

/// A decoded body, and what to warn of.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) value: Value,
    pub(crate) warnings: Vec<String>,
}

/// Decodes an object of a kind.
///
/// # Errors
/// 400 for what can't be read or, if strict, has unknown fields; 415 for an unknown media type.
pub(crate) fn decode(
    kind: &'static Kind,
    media_type: &str,
    body: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let value = value(Some(kind), media_type, body)?;
    if !value.is_object() {
        return Err(Status::bad_request(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type struct",
            json_type(&value)
        )));
    }
    let value = expect_kind(kind, value)?;
    check(kind, value, repeated_fields(media_type, body), validation)
}

/// Checks fields of an object, and says what is wrong as `validation` wants it.
///
/// # Errors
/// 400 for fields of a wrong type or, if strict, unknown ones.
pub(crate) fn check(
    kind: &'static Kind,
    value: Value,
    repeated: Vec<kube_schema::FieldProblem>,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    kube_schema::check_types(kind, &value).map_err(|error| Status::bad_request(decode_message(kind, &error.0)))?;
    if validation == FieldValidation::Ignore {
        return Ok(Decoded { value, warnings: Vec::new() });
    }
    let mut problems = repeated;
    problems.extend(kube_schema::validate_fields(kind, &value));
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if validation == FieldValidation::Strict && !texts.is_empty() {
        let why = format!("strict decoding error: {}", texts.join(", "));
        return Err(Status::bad_request(decode_message(kind, &why)));
    }
    Ok(Decoded { value, warnings: texts })
}

/// Keys that come twice in a body: a parsed value no longer shows them.
pub(crate) fn repeated_fields(media_type: &str, body: &[u8]) -> Vec<kube_schema::FieldProblem> {
    match media_type {
        "" | "application/json" => kube_schema::duplicate_fields(body),
        "application/yaml" | "application/x-yaml" | "text/yaml" => {
            kube_schema::duplicate_fields_of(serde_yaml_ng::Deserializer::from_slice(body))
        }
        _ => Vec::new(),
    }
}

/// Decodes any object.
///
/// # Errors
/// 400 for what can't be read, 415 for an unknown media type.
pub(crate) fn value(kind: Option<&'static Kind>, media_type: &str, body: &[u8]) -> Result<Value, Status> {
    let name = kind.map_or_else(|| "object".to_owned(), |kind| format!("{} in version {:?}", kind.kind, kind.version));
    let target = kind.map_or("object", |kind| kind.kind);
    let fail = |why: String| Status::bad_request(format!("{name} cannot be handled as a {target}: {why}"));
    match media_type {
        "" | "application/json" => serde_json::from_slice(body)
            .map_err(|error| Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"))),
        "application/yaml" | "application/x-yaml" | "text/yaml" => {
            serde_yaml_ng::from_slice(body).map_err(|error| fail(format!("yaml: {error}")))
        }
        "application/vnd.kubernetes.protobuf" => {
            kube_schema::from_protobuf(kind, body).map_err(|error| fail(error.to_string()))
        }
        other => Err(Status::unsupported_media_type(format!(
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf (got {other:?})"
        ))),
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        _ => "null",
    }
}

/// Checks the type that a body says it has. What it leaves out is that of the URL, as upstream's decoder has it: typed
/// clients other than Go's send neither `kind` nor `apiVersion`.
fn expect_kind(kind: &'static Kind, mut value: Value) -> Result<Value, Status> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    let (given_kind, given_version) = (text("kind"), text("apiVersion"));
    let (given_kind, own_version) = (if given_kind.is_empty() { kind.kind } else { given_kind }, kind.api_version());
    let given_version = if given_version.is_empty() { &*own_version } else { given_version };
    let (group, version) = given_version.split_once('/').unwrap_or(("", given_version));
    if given_kind != kind.kind || group != kind.group {
        return Err(Status::bad_request(format!(
            "{given_kind} in version {version:?} cannot be handled as a {}: no kind {given_kind:?} is registered for \
             version {given_version:?} here; expected {own_version}, Kind={}",
            kind.kind, kind.kind
        )));
    }
    if given_version != own_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({own_version})"
        )));
    }
    crate::meta::set_type(kind, &mut value);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods() -> &'static Kind {
        kube_schema::by_plural("", "v1", "pods").unwrap()
    }

    #[track_caller]
    fn check(media: &str, body: &str, expect: &str) {
        let error = decode(pods(), media, body.as_bytes(), FieldValidation::Ignore).unwrap_err();
        assert!(error.message().contains(expect), "{error}");
    }

    #[test]
    fn bad_bodies_are_refused() {
        check("application/json", "{", "json parse error");
        check("application/json", "[]", "cannot unmarshal array");
        check("application/json", r#"{"kind":"Service","apiVersion":"v1"}"#, "cannot be handled as a Pod");
        check("application/json", r#"{"kind":"Pod","apiVersion":"v2"}"#, "does not match the expected API version");
        check("text/csv", "a,b", "unknown format");
        check("application/yaml", "a: [", "yaml");
    }

    #[test]
    fn a_type_left_out_is_that_of_the_url() {
        for body in [r#"{"metadata":{"name":"a"}}"#, r#"{"kind":"Pod"}"#, r#"{"apiVersion":"v1"}"#] {
            let decoded = decode(pods(), "application/json", body.as_bytes(), FieldValidation::Strict).unwrap();
            assert_eq!((&decoded.value["kind"], &decoded.value["apiVersion"]), (&"Pod".into(), &"v1".into()));
        }
        check("application/json", r#"{"kind":"Service"}"#, "cannot be handled as a Pod");
        check("application/json", r#"{"apiVersion":"apps/v1"}"#, "cannot be handled as a Pod");
    }

    #[test]
    fn repeated_keys_are_found_in_json_and_yaml() {
        for (media, body) in [
            ("application/json", r#"{"metadata":{"name":"a","name":"b"}}"#),
            ("application/yaml", "metadata:\n  name: a\n  name: b\n"),
        ] {
            let error = decode(pods(), media, body.as_bytes(), FieldValidation::Strict).unwrap_err();
            assert!(error.message().contains("duplicate field \"metadata.name\""), "{error}");
            let warned = decode(pods(), media, body.as_bytes(), FieldValidation::Warn).unwrap();
            assert_eq!((warned.warnings.len(), &warned.value["metadata"]["name"]), (1, &"b".into()));
        }
    }

    #[test]
    fn yaml_is_read() {
        let body = b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
        let decoded = decode(pods(), "application/yaml", body, FieldValidation::Warn).unwrap();
        assert_eq!(decoded.value["metadata"]["name"], "a");
    }
}
