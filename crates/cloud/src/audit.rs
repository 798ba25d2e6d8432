//! The audit log: every request that may change something, who made it, and how it ended. Append-only.

pub(crate) mod api;
mod store;

use crate::{
    Cloud, Error,
    caller::{Subject, principal},
};
use axum::{extract::Request, response::Response};
use domain::{CompartmentId, Principal, TenantId};
use http::{Method, header};
use problem::oci;
use std::collections::HashMap;
use utoipa::openapi::OpenApi;

pub(crate) use store::purge_all_tenants;

/// How long events are kept. Source: OCI's audit retention, 365 days.
pub(crate) const KEEP_MS: i64 = 365 * 24 * 3600 * 1000;
/// Longest text that is kept of what a caller says about itself.
const MAX_TEXT: usize = 255;

/// Names of operations by method and route.
#[derive(Debug, Default)]
pub(crate) struct Operations(HashMap<(Method, String), String>);

impl Operations {
    /// Those of a document.
    pub(crate) fn of(document: &OpenApi) -> Self {
        let mut names = HashMap::new();
        for (path, item) in &document.paths.paths {
            let writes = [(Method::POST, &item.post), (Method::PUT, &item.put), (Method::DELETE, &item.delete)];
            for (method, operation) in writes {
                if let Some(id) = operation.as_ref().and_then(|operation| operation.operation_id.clone()) {
                    names.insert((method, path.clone()), id);
                }
            }
        }
        Self(names)
    }

    /// The operation that writes by this method at this route; `None` for reads, and for what is no operation.
    pub(crate) fn of_route(&self, method: &Method, route: &str) -> Option<&str> {
        self.0.get(&(method.clone(), route.to_owned())).map(String::as_str)
    }
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) tenancy_id: TenantId,
    pub(crate) at_ms: i64,
    pub(crate) operation: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) user_id: String,
    pub(crate) user_name: String,
    pub(crate) address: String,
    pub(crate) user_agent: String,
    pub(crate) request_id: String,
}

/// How an event ended.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) at_ms: i64,
    pub(crate) status: u16,
    /// OCI's code and message, of a failure.
    pub(crate) failure: Option<(String, String)>,
    pub(crate) compartment_id: CompartmentId,
    pub(crate) resource_id: Option<String>,
    pub(crate) resource_name: Option<String>,
}

/// What a request is about to change. Callers that the gateway does not vouch for are refused by the handler, and belong to
/// no tenancy's log.
pub(crate) fn event(cloud: &Cloud, operation: Option<&str>, request: &Request) -> Option<Event> {
    let (operation, principal) = (operation?, peek(request)?);
    let text = |name| request.headers().get(&name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Some(Event {
        id: uuid::Uuid::now_v7().to_string(),
        tenancy_id: principal.tenant_id,
        at_ms: cloud.now_ms(),
        operation: operation.to_owned(),
        method: request.method().as_str().to_owned(),
        path: request.uri().path().chars().take(1024).collect(),
        user_id: principal.user_id.as_str().to_owned(),
        user_name: principal.user_name,
        address: text(http::HeaderName::from_static("x-forwarded-for")).chars().take(MAX_TEXT).collect(),
        user_agent: text(header::USER_AGENT).chars().take(MAX_TEXT).collect(),
        request_id: runtime::request::current().map(|id| id.as_str().to_owned()).unwrap_or_default(),
    })
}

/// Notes that somebody is about to change something; what can't be noted must not be done.
pub(crate) async fn begin(cloud: &Cloud, event: Option<&Event>) -> Result<(), Error> {
    match event {
        Some(event) => Ok(store::insert(&cloud.db, event).await?),
        None => Ok(()),
    }
}

fn peek(request: &Request) -> Option<Principal> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.headers = request.headers().clone();
    parts.extensions = request.extensions().clone();
    principal(&parts).ok()
}

/// Notes how it ended. If this fails, the event stays without outcome: it can't undo what was done.
pub(crate) fn end<'a>(
    cloud: &'a Cloud,
    event: Option<&'a Event>,
    subject: Subject,
    response: &Response,
) -> impl Future<Output = ()> + Send + use<'a> {
    let at_ms = cloud.now_ms();
    let status = response.status().as_u16();
    let failure = response.extensions().get::<oci::Error>().map(|error| (error.code.to_owned(), error.message.clone()));
    async move {
        let Some(event) = event else { return };
        let outcome = Outcome {
            at_ms,
            status,
            failure,
            compartment_id: subject.compartment.unwrap_or_else(|| CompartmentId::root(&event.tenancy_id)),
            resource_id: subject.resource_id,
            resource_name: subject.resource_name,
        };
        if let Err(error) = store::finish(&cloud.db, event, &outcome).await {
            let operation = &event.operation;
            tracing::error!(%error, request_id = event.request_id, "could not note how {operation} ended: {error}");
        }
    }
}
