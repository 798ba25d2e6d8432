//! Makes answers.

use crate::{
    negotiate::{Answer, Encoding, Form},
    table, verb,
};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use kube_schema::Kind;
use kube_store::Object;
use problem::kube::Status;
use serde_json::{Value, json};

/// JSON, as every answer is unless YAML was asked for.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");

/// An answer of JSON bytes.
pub(crate) fn json(code: StatusCode, bytes: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(bytes.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// An answer of a JSON value.
pub(crate) fn value(code: StatusCode, value: &Value) -> Response {
    json(code, value.to_string())
}

/// An answer of text.
pub(crate) fn text(text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// A failure.
pub(crate) fn failure(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, status.to_json());
    if let Some(seconds) = status.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// `Status: Success`.
pub(crate) fn success(code: StatusCode, details: Option<Value>) -> Response {
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    match details {
        Some(details) => status["details"] = details,
        None => status["code"] = json!(code.as_u16()),
    }
    value(code, &status)
}

/// Adds `Warning` headers.
pub(crate) fn warn(response: &mut Response, warnings: &[String]) {
    for text in warnings {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::try_from(format!("299 - \"{escaped}\"")) {
            response.headers_mut().append(HeaderName::from_static("warning"), value);
        }
    }
}

/// The bytes of an object in `kind`'s version: as they are stored, unless that is another version.
pub(crate) fn bytes_in(kind: &'static Kind, object: &Object) -> Bytes {
    if std::ptr::eq(verb::storage_kind(kind), kind) {
        return object.bytes.clone();
    }
    Bytes::from(value_in(kind, object).to_string())
}

/// An object in `kind`'s version, parsed.
pub(crate) fn value_in(kind: &'static Kind, object: &Object) -> Value {
    let mut value = object.value();
    if !std::ptr::eq(verb::storage_kind(kind), kind) {
        kube_schema::from_storage(kind, &mut value);
        crate::meta::set_type(kind, &mut value);
    }
    value
}

/// One object in the form that was asked for.
pub(crate) fn object(
    code: StatusCode,
    kind: &'static Kind,
    object: &Object,
    answer: Answer,
    query: table::Include,
) -> Response {
    let bytes = match answer.form {
        Form::Object => bytes_in(kind, object),
        Form::Metadata(version) => Bytes::from(table::metadata_of(&object.bytes, version)),
        Form::Table(version) => {
            let mut table = table::Table::new(kind, version, query);
            table.add(object);
            Bytes::from(table.finish(&object.revision.to_string(), None, None))
        }
    };
    encoded(code, bytes, answer.encoding)
}

/// JSON bytes in the encoding that was asked for.
pub(crate) fn encoded(code: StatusCode, bytes: Bytes, encoding: Encoding) -> Response {
    if encoding == Encoding::Json {
        return json(code, bytes);
    }
    let text = serde_json::from_slice::<Value>(&bytes).ok().and_then(|value| serde_yaml_ng::to_string(&value).ok());
    let mut response = json(code, text.map_or(bytes, Bytes::from));
    response.headers_mut().insert(header::CONTENT_TYPE, YAML);
    response
}
