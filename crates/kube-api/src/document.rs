//! Everything that is no resource: discovery, OpenAPI, version, health, keys.

use crate::{auth::Entered, negotiate, respond, state::ApiState, subresource::token::issuer};
use axum::{extract::Request, response::Response};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use kube_schema::{Form, Release};
use kube_store::Cluster;
use problem::kube::Status;
use serde_json::{Value, json};

/// Follows the version that is spoken in `gitVersion`: this is not upstream's build of it.
const BUILD: &str = "+hako";

/// Serves a document.
///
/// # Errors
/// 404 for unknown ones, 405 for anything but reading.
pub(crate) fn serve(
    state: &ApiState,
    entered: &Entered,
    segments: &[String],
    request: &Request,
) -> Result<Response, Status> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed());
    }
    let Entered { cluster, facts, .. } = entered;
    let release = facts.release;
    let known = release.discovery();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    match parts.as_slice() {
        [] => Ok(respond::value(StatusCode::OK, &paths(release))),
        ["version"] => Ok(respond::value(StatusCode::OK, &version(release))),
        ["healthz" | "livez" | "readyz", ..] => Ok(respond::text("ok")),
        ["api"] => Ok(discovery(request, |form| known.api(form))),
        ["apis"] => Ok(discovery(request, |form| known.apis(form))),
        ["api", version] => found(known.resources("", version)),
        ["apis", group] => found(known.group(group)),
        ["apis", group, version] => found(known.resources(group, version)),
        ["openapi", "v3"] => found(Some(release.openapi_v3_index())),
        ["openapi", "v3", path @ ..] => openapi(release, &path.join("/"), request),
        ["openapi", "v2"] => Ok(openapi_v2(release, request)),
        [".well-known", "openid-configuration"] => Ok(respond::value(StatusCode::OK, &openid(state, cluster))),
        ["openid", "v1", "jwks"] => Ok(respond::value(StatusCode::OK, &state.keys.jwks(cluster.id(), facts.keys))),
        _ => Err(Status::no_such_path()),
    }
}

fn found(bytes: Option<Bytes>) -> Result<Response, Status> {
    bytes.map(|bytes| respond::json(StatusCode::OK, bytes)).ok_or_else(Status::no_such_path)
}

/// Chooses a form of discovery: v2 only for those who ask for it, as kubectl 1.29 and older would find nothing in it.
fn discovery(request: &Request, document: impl Fn(Form) -> Bytes) -> Response {
    for media in negotiate::accepted(request.headers()) {
        let asked = match (media.name, media.param("g"), media.param("v"), media.param("as")) {
            ("application/json", "apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") => Some((Form::V2, "v2")),
            ("application/json", "apidiscovery.k8s.io", "v2beta1", "APIGroupDiscoveryList") => {
                Some((Form::V2Beta1, "v2beta1"))
            }
            ("application/json" | "*/*", "", ..) => break,
            _ => None,
        };
        if let Some((form, version)) = asked {
            let mut response = respond::json(StatusCode::OK, document(form));
            let media = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
            let media = HeaderValue::try_from(media).expect("the version is a constant");
            response.headers_mut().insert(header::CONTENT_TYPE, media);
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
            return response;
        }
    }
    let mut response = respond::json(StatusCode::OK, document(Form::Legacy));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// OpenAPI v2 without any definitions: all is in v3. kubectl falls back to this document for kinds that it can't find
/// in v3, before it says that there is no such kind; it wants protobuf.
fn openapi_v2(release: &Release, request: &Request) -> Response {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !accept.contains("proto-openapi") {
        let info = json!({"title": "Kubernetes", "version": release.version});
        return respond::value(
            StatusCode::OK,
            &json!({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}}),
        );
    }
    // Document {1: swagger "2.0", 2: Info {1: title "Kubernetes", 2: version}, 8: Paths {}}
    // Source of the numbers: gnostic, openapiv2/OpenAPIv2.proto.
    let field = |tag: u8, value: &[u8]| {
        let length = u8::try_from(value.len()).expect("names and versions are short");
        [&[tag << 3 | 2, length], value].concat()
    };
    let info = [field(1, b"Kubernetes"), field(2, release.version.as_bytes())].concat();
    let mut response = respond::json(StatusCode::OK, [field(1, b"2.0"), field(2, &info), field(8, b"")].concat());
    let media = HeaderValue::from_static("application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// One group's OpenAPI; addressed with its hash it never changes.
fn openapi(release: &'static Release, path: &str, request: &Request) -> Result<Response, Status> {
    let mut response = found(release.openapi_v3_group(path))?;
    if request.uri().query().is_some_and(|query| query.contains("hash=")) {
        let forever = HeaderValue::from_static("public, immutable, max-age=31536000");
        response.headers_mut().insert(header::CACHE_CONTROL, forever);
    }
    Ok(response)
}

fn version(release: &Release) -> Value {
    let (minor, before) = (release.minor.to_string(), (release.minor - 1).to_string());
    json!({
        "major": "1", "minor": minor, "gitVersion": format!("{}{BUILD}", release.version), "gitCommit": "",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": "linux/amd64", "emulationMajor": "1", "emulationMinor": minor, "minCompatibilityMajor": "1",
        "minCompatibilityMinor": before,
    })
}

fn paths(release: &Release) -> Value {
    let mut paths: Vec<String> =
        vec!["/.well-known/openid-configuration".into(), "/api".into(), "/api/v1".into(), "/apis".into()];
    for (group, version) in release.group_versions().into_iter().filter(|(group, _)| !group.is_empty()) {
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
