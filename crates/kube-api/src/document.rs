//! Everything that is no resource: discovery, OpenAPI, version, health, keys.

use crate::{negotiate, respond, state::ApiState, subresource::token::issuer};
use axum::{extract::Request, response::Response};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use kube_store::Cluster;
use problem::kube::Status;
use serde_json::{Value, json};

/// The Kubernetes version that is spoken.
pub const KUBERNETES_VERSION: &str = "v1.36.0+hako";

/// Serves a document.
///
/// # Errors
/// 404 for unknown ones, 405 for anything but reading.
pub(crate) fn serve(
    state: &ApiState,
    cluster: &Cluster,
    segments: &[String],
    request: &Request,
) -> Result<Response, Status> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed());
    }
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    match parts.as_slice() {
        [] => Ok(respond::value(StatusCode::OK, &paths())),
        ["version"] => Ok(respond::value(StatusCode::OK, &version())),
        ["healthz" | "livez" | "readyz", ..] => Ok(respond::text("ok")),
        ["api"] => Ok(discovery(
            request,
            [kube_schema::discovery_api_v2, kube_schema::discovery_api_v2beta1, kube_schema::api_versions],
        )),
        ["apis"] => Ok(discovery(
            request,
            [kube_schema::discovery_apis_v2, kube_schema::discovery_apis_v2beta1, kube_schema::api_group_list],
        )),
        ["api", version] => found(kube_schema::api_resource_list("", version)),
        ["apis", group] => found(kube_schema::api_group(group)),
        ["apis", group, version] => found(kube_schema::api_resource_list(group, version)),
        ["openapi", "v3"] => found(Some(kube_schema::openapi_v3_index())),
        ["openapi", "v3", path @ ..] => openapi(&path.join("/"), request),
        ["openapi", "v2"] => Ok(openapi_v2(request)),
        [".well-known", "openid-configuration"] => Ok(respond::value(StatusCode::OK, &openid(state, cluster))),
        ["openid", "v1", "jwks"] => Ok(respond::value(StatusCode::OK, &state.keys.jwks(cluster.id()))),
        _ => Err(Status::no_such_path()),
    }
}

fn found(bytes: Option<Bytes>) -> Result<Response, Status> {
    bytes.map(|bytes| respond::json(StatusCode::OK, bytes)).ok_or_else(Status::no_such_path)
}

/// Chooses a form of discovery: v2 only for those who ask for it, as kubectl 1.29 and older would find nothing in it.
fn discovery(request: &Request, [v2, v2beta1, legacy]: [fn() -> Bytes; 3]) -> Response {
    for media in negotiate::accepted(request.headers()) {
        let asked = match (media.name, media.param("g"), media.param("v"), media.param("as")) {
            ("application/json", "apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") => Some((v2, "v2")),
            ("application/json", "apidiscovery.k8s.io", "v2beta1", "APIGroupDiscoveryList") => {
                Some((v2beta1, "v2beta1"))
            }
            ("application/json" | "*/*", "", ..) => break,
            _ => None,
        };
        if let Some((document, version)) = asked {
            let mut response = respond::json(StatusCode::OK, document());
            let media = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
            let media = HeaderValue::try_from(media).expect("the version is a constant");
            response.headers_mut().insert(header::CONTENT_TYPE, media);
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
            return response;
        }
    }
    let mut response = respond::json(StatusCode::OK, legacy());
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// OpenAPI v2 without any definitions: all is in v3. kubectl falls back to this document for kinds that it can't find
/// in v3, before it says that there is no such kind; it wants protobuf.
fn openapi_v2(request: &Request) -> Response {
    // Document {1: swagger "2.0", 2: Info {1: title "Kubernetes", 2: version "v1.36.0"}, 8: Paths {}}
    // Source of the numbers: gnostic, openapiv2/OpenAPIv2.proto.
    const DOCUMENT: &[u8] = b"\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.36.0\x42\x00";
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !accept.contains("proto-openapi") {
        let info = json!({"title": "Kubernetes", "version": "v1.36.0"});
        return respond::value(
            StatusCode::OK,
            &json!({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}}),
        );
    }
    let mut response = respond::json(StatusCode::OK, DOCUMENT);
    let media = HeaderValue::from_static("application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// One group's OpenAPI; addressed with its hash it never changes.
fn openapi(path: &str, request: &Request) -> Result<Response, Status> {
    let mut response = found(kube_schema::openapi_v3_group(path))?;
    if request.uri().query().is_some_and(|query| query.contains("hash=")) {
        let forever = HeaderValue::from_static("public, immutable, max-age=31536000");
        response.headers_mut().insert(header::CACHE_CONTROL, forever);
    }
    Ok(response)
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": KUBERNETES_VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc", "platform": "linux/amd64",
        "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
    })
}

fn paths() -> Value {
    let mut paths: Vec<String> =
        vec!["/.well-known/openid-configuration".into(), "/api".into(), "/api/v1".into(), "/apis".into()];
    for (group, version) in kube_schema::group_versions().iter().filter(|(group, _)| !group.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.push(format!("/apis/{group}/{version}"));
    }
    let more = ["/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"];
    paths.extend(more.map(str::to_owned));
    paths.sort();
    paths.dedup();
    json!({"paths": paths})
}

fn openid(state: &ApiState, cluster: &Cluster) -> Value {
    let issuer = issuer(state, cluster);
    json!({
        "issuer": issuer, "jwks_uri": format!("{issuer}/openid/v1/jwks"), "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["EdDSA"],
    })
}
