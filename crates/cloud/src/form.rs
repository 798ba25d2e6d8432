//! The form of all answers of the cloud API: every error is OCI's JSON, whoever made it, and every request is counted.

use crate::{
    Cloud,
    audit::{self, Operations},
    caller::Trail,
    error::respond,
    metrics::Metrics,
};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use problem::oci;
use std::{sync::Arc, time::Instant};

/// Middleware around all routes and fallbacks.
pub(crate) async fn keep(
    State((cloud, operations)): State<(Arc<Cloud>, Arc<Operations>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let trail = Trail::default();
    request.extensions_mut().insert(Arc::clone(&trail));
    let response = match check(&request) {
        Ok(()) => {
            let event = audit::event(&cloud, operations.of_route(&method, &route), &request);
            let response = match audit::begin(&cloud, event.as_ref()).await {
                Ok(()) => translate(next.run(request).await),
                Err(error) => error.into_response(),
            };
            let subject = trail.lock().clone();
            audit::end(&cloud, event.as_ref(), subject, &response).await;
            response
        }
        Err(refusal) => respond(&refusal),
    };
    Metrics::registered().answered(route, &method, response.status(), started.elapsed());
    response
}

/// Refuses what no handler can look up: PostgreSQL's texts have no NUL.
fn check(request: &Request) -> Result<(), oci::Error> {
    let text = request.uri().path_and_query().map_or("", |text| text.as_str());
    if text.contains("%00") {
        return Err(oci::Error::invalid_parameter("the path or the query has a NUL in it"));
    }
    Ok(())
}

/// The framework's own refusals (a body that is too large, a path that is no UTF-8) are plain text: they become ours.
fn translate(response: Response) -> Response {
    let status = response.status();
    let json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    respond(&match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            oci::Error::payload_too_large(format!("the body has more than {} bytes", crate::MAX_BODY_BYTES))
        }
        StatusCode::NOT_FOUND => oci::Error::no_such_route("there is no such path in this API"),
        StatusCode::METHOD_NOT_ALLOWED => oci::Error::method_not_allowed("the path does not allow this method"),
        status if status.is_client_error() => oci::Error::cannot_parse("the request is malformed, or broke off"),
        _ => oci::Error::internal(),
    })
}
